//! Transactions that take longer than a turn: continues the one at the head.
//!
//! The end of a session deletes all its ephemerals, however many, in one transaction, which is done in slices. The
//! changes of each slice are at the head under the transaction's zxid, where readers do not look. Nothing else is
//! prepared or applied before the transaction is complete, so all servers get the same tree. An undo takes it back like
//! any other transaction, and drops the rest of its work.

use super::applied::Applied;
use super::change::Changes;
use super::index::after;
use super::prepare::put_txn_header;
use super::state::{Context, Outcome, State};
use super::work::{Ending, List, Work};
use crate::cost::Cost;
use crate::jute::txn::read_entry;
use crate::jute::wire::{Strings, put_int};
use crate::jute::{ErrorCode, OpCode, Txn};

/// How a transaction was completed.
#[derive(Debug)]
pub(crate) enum Completed {
    /// It was prepared; its entry is in [`Outcome::txn`].
    Prepared,
    Applied(Applied),
}

impl State {
    /// Whether the transaction at the head is incomplete: then [`State::resume`] must be called until it is complete,
    /// and nothing else may be prepared, applied or published at its zxid.
    pub(crate) fn is_under_way(&self) -> bool {
        self.work.is_some()
    }

    /// Ends the context's session and deletes its ephemerals, in the order of their paths. Never fails, and has no
    /// reply frame: an expired session has no client to answer.
    pub fn close_session(&mut self, context: &Context<'_>, out: &mut Outcome) {
        self.begin_close_session(context, out);
        self.resume(Cost::ENDLESS, out);
    }

    /// Begins to do the same; see [`State::resume`].
    pub(crate) fn begin_close_session(&mut self, context: &Context<'_>, out: &mut Outcome) {
        self.begin(context.zxid);
        put_txn_header(context, OpCode::CloseSession, &mut out.txn);
        let list = List { at: out.txn.len(), count: 0, is_given_up: false };
        put_int(&mut out.txn, 0);
        out.error = ErrorCode::Ok;
        self.work = Some(Work::Close { ending: Ending::new(context.zxid, context.session), list });
    }

    /// Continues the transaction at the head until it is complete or this call has cost `budget`; every call makes some
    /// progress. `out` must be the outcome with which the transaction began: its entry and changes grow there.
    pub(crate) fn resume(&mut self, budget: Cost, out: &mut Outcome) -> Option<Completed> {
        match self.work.take()? {
            Work::Close { mut ending, mut list } => {
                let until = self.meter().reading() + budget;
                let Outcome { txn, changes, .. } = out;
                if !self.delete_owned(&mut ending, until, changes, &mut |path| list.add(path, txn)) {
                    self.work = Some(Work::Close { ending, list });
                    return None;
                }
                txn[list.at..list.at + 4].copy_from_slice(&list.count.to_be_bytes());
                self.remove_session(ending.zxid, ending.session);
                self.finish(ending.zxid, OpCode::CloseSession, out);
                Some(Completed::Prepared)
            }
            Work::Apply { mut ending, entry } => {
                self.charge(Cost::bytes(entry.len()));
                let (header, txn, carried) = read_entry(&entry).expect("it was read when it began");
                let Txn::CloseSession { paths } = txn else { unreachable!("nothing else is applied in slices") };
                // Reading the entry again is no progress, and the longest entry may cost more than a slice: so the
                // budget begins here.
                let until = self.meter().reading() + budget;
                if !self.apply_close(&mut ending, paths, until, &mut out.changes) {
                    self.work = Some(Work::Apply { ending, entry });
                    return None;
                }
                Some(Completed::Applied(self.closed(header, &ending, carried)))
            }
            Work::Count { mut counting, applied } => {
                let until = self.meter().reading() + budget;
                if !self.count(&mut counting, until) {
                    self.work = Some(Work::Count { counting, applied });
                    return None;
                }
                Some(applied.map_or(Completed::Prepared, Completed::Applied))
            }
        }
    }

    /// Deletes the paths that the entry of a session's end lists, and then the others that the session owns. False if
    /// the budget was used up before the end.
    pub(super) fn apply_close(
        &mut self,
        ending: &mut Ending,
        paths: Option<Strings<'_>>,
        until: Cost,
        changes: &mut Changes,
    ) -> bool {
        let done = ending.listed;
        for path in paths.into_iter().flat_map(|paths| paths.behind(done).iter()) {
            if !self.delete_if_there(ending.zxid, path, changes) {
                ending.passed_over += 1;
            }
            ending.listed += 4 + path.len();
            if self.meter().reading() >= until {
                return false;
            }
        }
        self.delete_owned(ending, until, changes, &mut |_| {})
    }

    /// Deletes what a session still owns. A znode with children stays, as they would have no parent: a changed setting
    /// can make a znode with a time to live an ephemeral.
    fn delete_owned(
        &mut self,
        ending: &mut Ending,
        until: Cost,
        changes: &mut Changes,
        deleted: &mut impl FnMut(&[u8]),
    ) -> bool {
        // A deletion takes the path out of the set; paths that stay are skipped.
        loop {
            let Some(paths) = self.index.ephemerals(ending.session) else { return true };
            let Some(path) = after(paths, ending.last.as_deref()).next() else { return true };
            let path: Box<[u8]> = path.into();
            if self.delete_if_there(ending.zxid, &path, changes) {
                deleted(&path);
            }
            ending.last = Some(path);
            if self.meter().reading() >= until {
                return false;
            }
        }
    }
}
