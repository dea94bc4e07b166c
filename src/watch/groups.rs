//! Whose the watches are: what the connections from one address take together, so that one address cannot take all there is.
//!
//! A watch counts for its connection's address, a path for that of whoever watched it first, as it is stored once.

use super::slab::NIL;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Number of an address among those that have connections or watches; [`NIL`]: nobody's, which is not counted.
pub(super) type Group = u32;

#[derive(Debug)]
struct Account {
    address: IpAddr,
    connections: u32,
    bytes: usize,
}

impl Account {
    /// Nothing is left of what it was for.
    fn is_over(&self) -> bool {
        self.connections == 0 && self.bytes == 0
    }
}

/// The accounts of all addresses.
#[derive(Debug, Default)]
pub(super) struct Groups {
    accounts: Vec<Option<Account>>,
    free: Vec<Group>,
    by_address: BTreeMap<IpAddr, Group>,
}

impl Groups {
    /// Another connection from this address.
    pub(crate) fn join(&mut self, address: IpAddr) -> Group {
        if let Some(group) = self.by_address.get(&address).copied() {
            self.account(group).connections += 1;
            return group;
        }
        let account = Some(Account { address, connections: 1, bytes: 0 });
        let group = match self.free.pop() {
            Some(group) => {
                self.accounts[group as usize] = account;
                group
            }
            None => {
                self.accounts.push(account);
                (self.accounts.len() - 1) as Group
            }
        };
        self.by_address.insert(address, group);
        group
    }

    /// One of its connections has ended.
    pub(crate) fn leave(&mut self, group: Group) {
        if group == NIL {
            return;
        }
        let account = self.account(group);
        account.connections -= 1;
        if account.is_over() {
            self.forget(group);
        }
    }

    /// What it takes.
    pub(crate) fn bytes(&self, group: Group) -> usize {
        self.accounts.get(group as usize).and_then(Option::as_ref).map_or(0, |account| account.bytes)
    }

    /// It takes more.
    #[inline]
    pub(crate) fn add(&mut self, group: Group, bytes: usize) {
        if group != NIL {
            self.account(group).bytes += bytes;
        }
    }

    /// It takes less.
    #[inline]
    pub(crate) fn take(&mut self, group: Group, bytes: usize) {
        if group != NIL {
            let account = self.account(group);
            account.bytes -= bytes;
            if account.is_over() {
                self.forget(group);
            }
        }
    }

    fn account(&mut self, group: Group) -> &mut Account {
        self.accounts[group as usize].as_mut().expect("whoever is counted here has not left")
    }

    #[cold]
    fn forget(&mut self, group: Group) {
        let address = self.account(group).address;
        self.by_address.remove(&address);
        self.accounts[group as usize] = None;
        self.free.push(group);
    }

    /// Addresses that are known.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.by_address.len()
    }
}
