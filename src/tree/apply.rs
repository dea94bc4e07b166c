//! Applies transactions that are already decided: from the log at a start, from the leader on a follower.
//!
//! The same changes as in `prepare`, by the same functions, so both come to the same tree and digest. In
//! [`Mode::Strict`] a transaction must fit the tree; [`Mode::Fuzzy`] is for replay over a snapshot that was
//! taken while transactions went on, which may contain effects of those that follow (ZooKeeper 3.9,
//! `DataTree.processTxn`).

pub use super::applied::DigestCheck;
pub(crate) use super::applied::{Applied, SessionEvent};

use super::change::Changes;
use super::multi::result_op;
use super::mutate::{At, Creation, Target};
use super::owner::{CONTAINER, ttl_owner};
use super::path;
use super::prepare::put_created;
use super::quota::parse_path;
use super::state::State;
use super::work::{Ending, Work};
use crate::acl::AclId;
use crate::cost::Cost;
use crate::escaped::Escaped;
use crate::ids::{SessionId, Zxid};
use crate::jute::reply::{put_bare, put_multi_end, put_multi_ok, put_reply};
use crate::jute::txn::{CreateTxn, DIGEST_VERSION, MultiTxn, TxnDigest, read_entry};
use crate::jute::wire::{put_bool, put_buffer, put_int};
use crate::jute::{AclList, DecodeError, ErrorCode, OpCode, Txn, TxnHeader};
use std::fmt;
use std::sync::Arc;

/// What to do with a transaction that does not fit the tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Fail: log and tree disagree.
    Strict,
    /// The tree may be ahead of the transaction: do the parts that still fit.
    Fuzzy,
}

/// Why a transaction could not be applied. The tree may hold parts of it, and must not be used any further.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ApplyError {
    /// The bytes are no transaction.
    Decode(DecodeError),
    /// The transaction's zxid is not above the last one's.
    Order {
        /// The transaction's.
        zxid: Zxid,
        /// The last one's.
        head: Zxid,
    },
    /// The transaction does not fit the tree.
    Conflict {
        /// The transaction's.
        zxid: Zxid,
        /// The znode that is missing, or in the way.
        path: Vec<u8>,
        /// What is wrong with it; the path completes the sentence.
        why: &'static str,
    },
}

impl From<DecodeError> for ApplyError {
    fn from(error: DecodeError) -> Self {
        ApplyError::Decode(error)
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApplyError::Decode(error) => write!(f, "a transaction cannot be read: {error}"),
            ApplyError::Order { zxid, head } => write!(f, "transaction {zxid} comes after {head}"),
            ApplyError::Conflict { zxid, path, why } => {
                write!(f, "transaction {zxid} does not fit the tree: {why} {}", Escaped(path))
            }
        }
    }
}

impl std::error::Error for ApplyError {}

/// The decoded parts of an entry.
type Entry<'a> = (TxnHeader, Txn<'a>, Option<TxnDigest>);

/// The values that the members of one transaction share.
struct Run<'a> {
    at: At,
    session: SessionId,
    mode: Mode,
    changes: &'a mut Changes,
    /// Where answers go, if they are wanted.
    reply: Option<&'a mut Vec<u8>>,
    passed_over: u32,
}

impl Run<'_> {
    fn answer(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        if let Some(reply) = self.reply.as_deref_mut() {
            put(reply);
        }
    }

    /// A part does not fit: an error, or skipped, by the mode.
    fn conflict(&mut self, path: &[u8], why: &'static str) -> Result<(), ApplyError> {
        match self.mode {
            Mode::Strict => Err(ApplyError::Conflict { zxid: self.at.zxid, path: path.to_vec(), why }),
            Mode::Fuzzy => {
                self.passed_over += 1;
                Ok(())
            }
        }
    }
}

impl State {
    /// Applies one log entry at the head. `reply` takes the reply frame for the request's client, the same as `prepare`
    /// would have made (createSession and closeSession have none; meant for [`Mode::Strict`]).
    ///
    /// An error transaction may repeat the last zxid, as ZooKeeper logs it for a request it cannot decode.
    pub fn apply(
        &mut self,
        entry: &[u8],
        mode: Mode,
        changes: &mut Changes,
        reply: Option<&mut Vec<u8>>,
    ) -> Result<Applied, ApplyError> {
        let (header, txn, carried) = self.begin_entry(entry)?;
        match txn {
            Txn::CloseSession { paths } => {
                let mut ending = Ending::new(header.zxid, header.session);
                self.apply_close(&mut ending, paths, Cost::ENDLESS, changes);
                Ok(self.closed(header, &ending, carried))
            }
            txn => self.apply_txn((header, txn, carried), mode, changes, reply),
        }
    }

    /// The same, but a transaction that may take longer than a turn is only begun: then `None` is returned, and
    /// [`State::resume`] does the rest.
    pub(crate) fn begin_apply(
        &mut self,
        entry: &Arc<[u8]>,
        mode: Mode,
        changes: &mut Changes,
        reply: Option<&mut Vec<u8>>,
    ) -> Result<Option<Applied>, ApplyError> {
        let (header, txn, carried) = self.begin_entry(entry)?;
        if let Txn::CloseSession { .. } = txn {
            let ending = Ending::new(header.zxid, header.session);
            self.work = Some(Work::Apply { ending, entry: entry.clone() });
            return Ok(None);
        }
        if !matches!(&txn, Txn::Create(create) if parse_path(create.path).is_some()) {
            return self.apply_txn((header, txn, carried), mode, changes, reply).map(Some);
        }
        let (applied, counting) =
            self.count_later(|state| state.apply_txn((header, txn, carried), mode, changes, reply));
        let applied = applied?;
        self.work = counting.map(|counting| Work::Count { counting, applied: Some(applied) });
        Ok(if self.is_under_way() { None } else { Some(applied) })
    }

    fn begin_entry<'a>(&mut self, entry: &'a [u8]) -> Result<Entry<'a>, ApplyError> {
        let (header, txn, carried) = read_entry(entry)?;
        let zxid = header.zxid;
        if zxid > self.head() {
            self.begin(zxid);
        } else if zxid != self.head() || !matches!(txn, Txn::Error { .. }) {
            return Err(ApplyError::Order { zxid, head: self.head() });
        }
        Ok((header, txn, carried))
    }

    fn apply_txn(
        &mut self,
        (header, txn, carried): Entry<'_>,
        mode: Mode,
        changes: &mut Changes,
        reply: Option<&mut Vec<u8>>,
    ) -> Result<Applied, ApplyError> {
        let TxnHeader { session, cxid, zxid, time_ms, op } = header;
        let (mut error, mut opened) = (0, None);
        let at = At { zxid, time_ms };
        let mut run = Run { at, session, mode, changes, reply: None, passed_over: 0 };
        match txn {
            Txn::CreateSession { timeout_ms } => {
                self.put_session(zxid, session, timeout_ms);
                opened = Some(SessionEvent::Opened { timeout_ms });
            }
            Txn::Error { code } => {
                error = code;
                if let Some(reply) = reply {
                    put_bare(reply, cxid, zxid, ErrorCode::from_wire(code).unwrap_or(ErrorCode::SystemError));
                }
            }
            Txn::Multi(members) => {
                let body = |run: &mut Run<'_>, state: &mut State| state.apply_multi(run, members);
                error = self.with_frame(&mut run, cxid, reply, body)?;
            }
            txn => {
                let body = |run: &mut Run<'_>, state: &mut State| state.apply_member(run, op, txn);
                self.with_frame(&mut run, cxid, reply, body)?;
            }
        }
        let passed_over = run.passed_over;
        Ok(Applied { error, session: opened, passed_over, ..self.applied(header, carried) })
    }

    /// The end of a session is complete.
    pub(super) fn closed(&mut self, header: TxnHeader, ending: &Ending, carried: Option<TxnDigest>) -> Applied {
        self.remove_session(header.zxid, header.session);
        let session = Some(SessionEvent::Closed);
        Applied { session, passed_over: ending.passed_over, ..self.applied(header, carried) }
    }

    /// The end of every transaction: compares the tree's digest with the one that it carried.
    fn applied(&mut self, header: TxnHeader, carried: Option<TxnDigest>) -> Applied {
        let mut applied = Applied { header, error: 0, session: None, digest: DigestCheck::None, passed_over: 0 };
        if let Some(carried) = carried.filter(|carried| carried.version == DIGEST_VERSION && self.digest.is_enabled()) {
            let (carried, ours) = (carried.tree_digest as u64, self.digest.sum());
            applied.digest = if carried == ours { DigestCheck::Same } else { DigestCheck::Differs { carried, ours } };
        }
        self.digest.note(header.zxid);
        applied
    }

    /// Runs `body` and puts a reply frame around its answer.
    fn with_frame<'r, T>(
        &mut self,
        run: &mut Run<'r>,
        cxid: i32,
        reply: Option<&'r mut Vec<u8>>,
        body: impl FnOnce(&mut Run<'_>, &mut State) -> Result<T, ApplyError>,
    ) -> Result<T, ApplyError> {
        let Some(reply) = reply else { return body(run, self) };
        let mut done = None;
        put_reply(reply, cxid, run.at.zxid, |reply| {
            let mut framed = Run {
                at: run.at,
                session: run.session,
                mode: run.mode,
                changes: &mut *run.changes,
                reply: Some(reply),
                passed_over: 0,
            };
            done = Some(body(&mut framed, self));
            run.passed_over += framed.passed_over;
        });
        done.expect("put_reply calls its body")
    }

    /// The members of a multi; returns the failing member's code if it is a failed one.
    fn apply_multi(&mut self, run: &mut Run<'_>, members: MultiTxn<'_>) -> Result<i32, ApplyError> {
        let failed = members.iter().any(|(op, _)| op == OpCode::Error);
        let mut error = 0;
        for (op, txn) in members.iter() {
            if !failed {
                run.answer(|reply| put_multi_ok(reply, result_op(op)));
                self.apply_member(run, op, txn)?;
                continue;
            }
            // ZooKeeper writes only errors into a failed multi, but reads other members as errors, too.
            let code = match txn {
                Txn::Error { code } => code,
                _ if error == 0 => 0,
                _ => ErrorCode::RuntimeInconsistency.wire(),
            };
            if error == 0 {
                error = code;
            }
            run.answer(|reply| {
                put_int(reply, -1);
                put_bool(reply, false);
                put_int(reply, code);
                put_int(reply, code);
            });
        }
        run.answer(put_multi_end);
        Ok(error)
    }

    fn apply_member(&mut self, run: &mut Run<'_>, op: OpCode, txn: Txn<'_>) -> Result<(), ApplyError> {
        match txn {
            Txn::Create(create) => self.apply_create(run, op, &create),
            Txn::Delete { path } => self.apply_delete(run, path),
            Txn::SetData { path, data, version } => {
                let place = Target::of(path);
                let Some(znode) = self.facts(place) else { return run.conflict(path, "no znode to set:") };
                let stat = self.write_data(run.at, place, &znode, (data, version), run.changes);
                run.answer(|reply| {
                    if op == OpCode::Reconfig {
                        put_buffer(reply, data);
                    }
                    stat.put(reply);
                });
                Ok(())
            }
            Txn::SetAcl { path, acl, version } => {
                let place = Target::of(path);
                let Some(znode) = self.facts(place) else { return run.conflict(path, "no znode to protect:") };
                let acl = self.intern_txn(acl);
                let stat = self.write_acl(run.at.zxid, place, &znode, acl, version);
                run.answer(|reply| stat.put(reply));
                Ok(())
            }
            Txn::Check => Ok(()),
            Txn::CreateSession { .. } | Txn::CloseSession { .. } | Txn::Error { .. } | Txn::Multi(_) => {
                run.conflict(b"", "no member of a multi")
            }
        }
    }

    fn apply_create(&mut self, run: &mut Run<'_>, op: OpCode, create: &CreateTxn<'_>) -> Result<(), ApplyError> {
        let Some(parent_path) = path::parent(create.path) else { return run.conflict(create.path, "no path:") };
        let (place, parent_place) = (Target::of(create.path), Target::of(parent_path));
        let Some(parent) = self.facts(parent_place) else { return run.conflict(create.path, "no parent of") };
        if self.store.find(place.path, place.hash).is_some() {
            // The znode may have been created, deleted and created again by transactions that the snapshot contains
            // already: the parent's counter counts all of them.
            if run.mode == Mode::Fuzzy {
                self.raise_parent(run.at.zxid, parent_place, &parent, create.parent_cversion);
            }
            return run.conflict(create.path, "there already is");
        }
        let owner = match op {
            OpCode::CreateContainer => CONTAINER,
            OpCode::CreateTtl => match ttl_owner(create.ttl) {
                Some(owner) => owner,
                None => return run.conflict(create.path, "no time to live for"),
            },
            _ if create.ephemeral => run.session.0,
            _ => 0,
        };
        let acl = self.intern_txn(create.acl);
        let parent_cversion = create.parent_cversion;
        let new = Creation { at: place, parent: parent_place, data: create.data, acl, owner, parent_cversion };
        let stat = self.create_znode(run.at, &new, &parent, run.changes);
        run.answer(|reply| put_created(reply, op, create.path, &stat));
        Ok(())
    }

    /// The number of a transaction's ACL; only old logs have none.
    fn intern_txn(&mut self, acl: Option<AclList<'_>>) -> AclId {
        let Some(list) = acl else { return AclId::OPEN };
        self.scratch.acl.clear();
        list.put(&mut self.scratch.acl);
        self.interner.intern(&self.scratch.acl)
    }

    fn apply_delete(&mut self, run: &mut Run<'_>, path: &[u8]) -> Result<(), ApplyError> {
        if run.mode == Mode::Fuzzy {
            // The znode had no children when it was deleted, so its present ones were created later: the transactions
            // that create them again are still to come.
            self.delete_below(run, path);
        }
        if self.delete_if_there(run.at.zxid, path, run.changes) {
            return Ok(());
        }
        run.conflict(path, "no childless znode to delete:")
    }

    fn delete_below(&mut self, run: &mut Run<'_>, path: &[u8]) {
        if path::is_special(path) {
            return;
        }
        let mut subtree = vec![path.to_vec()];
        let mut next = 0;
        while let Some(parent) = subtree.get(next).cloned() {
            next += 1;
            self.store.head().children(&parent, path::hash(&parent), &mut |name| {
                subtree.push([&parent, &b"/"[..], name].concat());
            });
        }
        for path in subtree.iter().skip(1).rev() {
            self.delete_if_there(run.at.zxid, path, run.changes);
        }
    }
}
