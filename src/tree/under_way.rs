//! Transactions that take longer than a turn: what is left to do of the one at the head.
//!
//! The end of a session deletes all that it owns, however much that is, in one transaction. It goes in slices: what a slice has
//! changed stands at the head under the transaction's zxid, where no reader looks, and as nothing else is prepared or applied
//! before it is complete, everybody comes to the same tree. Undoing takes it back like any other transaction, and then there is
//! nothing left of it to do.

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
pub enum Completed {
    /// Its entry is in [`Outcome::txn`].
    Prepared,
    Applied(Applied),
}

impl State {
    /// Whether the transaction at the head is not complete: [`State::resume`] is to be called until it is, and nothing else is to
    /// be prepared, applied or published at its zxid.
    pub(crate) fn is_under_way(&self) -> bool {
        self.work.is_some()
    }

    /// Ends the context's session and deletes its ephemerals, in the order of their paths. Never fails, and has
    /// no reply frame: an expired session has nobody to tell.
    pub fn close_session(&mut self, context: &Context<'_>, out: &mut Outcome) {
        self.begin_close_session(context, out);
        self.resume(Cost::ENDLESS, out);
    }

    /// Begins to; see [`State::resume`].
    pub(crate) fn begin_close_session(&mut self, context: &Context<'_>, out: &mut Outcome) {
        self.begin(context.zxid);
        put_txn_header(context, OpCode::CloseSession, &mut out.txn);
        let list = List { at: out.txn.len(), count: 0, is_given_up: false };
        put_int(&mut out.txn, 0);
        out.error = ErrorCode::Ok;
        self.work = Some(Work::Close { ending: Ending::new(context.zxid, context.session), list });
    }

    /// Goes on with the transaction at the head until it is complete or this has cost so much; at least something is done.
    /// `out` is the one that it began with: its entry and changes grow there.
    pub fn resume(&mut self, budget: Cost, out: &mut Outcome) -> Option<Completed> {
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
                // Reading it again is not what gets it on: the longest entry may cost more than a slice.
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

    /// Deletes what the entry of a session's end lists, and then what the session still owns. False if it has cost too much
    /// before that was all.
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

    /// Deletes what a session still owns. A znode that has children all the same (one with a time to live that
    /// a changed setting has made an ephemeral) stays, as its children would have no parent.
    fn delete_owned(
        &mut self,
        ending: &mut Ending,
        until: Cost,
        changes: &mut Changes,
        deleted: &mut impl FnMut(&[u8]),
    ) -> bool {
        // Deleting takes each path out of the set; those that stay are stepped over.
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
