//! From files to a state.
//!
//! Recovery fills a [`Rebuild`] with a snapshot's records and then the log's transactions, strictly applied. A learner
//! fills one with its leader's snapshot and transactions; a ZooKeeper's snapshot may already contain effects of the
//! transactions after it.

use crate::acl::AclId;
use crate::ids::{SessionId, Zxid};
use crate::storage::replay::{Replay, ReplayError, ZnodeRecord};
use crate::storage::snapshot::format::SnapshotHeader;
use crate::tree::apply::{DigestCheck, Mode};
use crate::tree::change::Changes;
use crate::tree::state::{State, StateOptions};
use crate::tree::store::NewZnode;
use crate::zab::history::{History, HistoryLimits, Txn};
use std::collections::BTreeMap;

/// A state that is being recovered.
pub struct Rebuild {
    state: State,
    /// From the snapshot's numbers of ACL lists to this state's.
    acls: BTreeMap<u32, AclId>,
    changes: Changes,
    /// How many transactions left another digest than the one they carried.
    digest_mismatches: u64,
    /// How transactions are applied; fuzzy after another server's snapshot.
    mode: Mode,
    /// After another server's snapshot: the last transaction, the digest that it carried and this state's, if they
    /// differ.
    differs: Option<(Zxid, u64, u64)>,
    replayed: u64,
    /// In an ensemble the transactions of the log may have to be taken back: replayed ones are not published, and the
    /// log's end is kept for learners that lack it.
    history: Option<History>,
}

impl Rebuild {
    /// Begins with an empty state.
    pub fn new(options: StateOptions) -> Self {
        Rebuild {
            state: State::new(options),
            acls: BTreeMap::new(),
            changes: Changes::default(),
            digest_mismatches: 0,
            mode: Mode::Strict,
            differs: None,
            replayed: 0,
            history: None,
        }
    }

    /// The same for a member of an ensemble; `limits`: how much of its log's end it keeps in memory.
    pub(crate) fn for_member(options: StateOptions, limits: HistoryLimits) -> Self {
        Rebuild { history: Some(History::new(limits, Zxid::ZERO)), ..Rebuild::new(options) }
    }

    /// The same for a leader's snapshot and the transactions that the leader commits until this server follows. The
    /// snapshot may already contain some of these transactions; after the last of them the state is exact.
    pub fn for_learner(options: StateOptions, limits: HistoryLimits) -> Self {
        Rebuild { mode: Mode::Fuzzy, ..Rebuild::for_member(options, limits) }
    }

    /// The address of the memory that was last taken for znodes; see `Writer::fresh_memory`.
    #[inline]
    pub(crate) fn fresh_memory(&self) -> usize {
        self.state.store().fresh_memory()
    }

    /// Returns the state, and how many transactions left another digest than the one they carried.
    pub fn finish(self) -> (State, u64) {
        (self.state, self.digest_mismatches)
    }

    /// The same for a member, with the end of its log.
    ///
    /// After another server's snapshot only the last transaction's digest counts.
    pub fn finish_member(mut self) -> (State, History, u64) {
        let history = self.history.take().expect("rebuilt for a member");
        if let Some((zxid, carried, ours)) = self.differs {
            self.mismatch(zxid, carried, ours);
        }
        (self.state, history, self.digest_mismatches)
    }

    fn mismatch(&mut self, zxid: Zxid, carried: u64, ours: u64) {
        self.digest_mismatches += 1;
        tracing::error!(%zxid, carried = %format!("{carried:#x}"), ours = %format!("{ours:#x}"), "tree digest differs");
    }
}

impl Replay for Rebuild {
    fn restart(&mut self) {
        let history = self.history.take();
        *self = Rebuild { history, mode: self.mode, ..Rebuild::new(self.state.options().clone()) };
        if let Some(history) = &mut self.history {
            history.reset(Zxid::ZERO);
        }
    }

    fn snapshot(&mut self, header: &SnapshotHeader) -> Result<(), ReplayError> {
        self.state = State::empty(self.state.options().clone());
        self.state.begin_load(header.zxid);
        Ok(())
    }

    fn session(&mut self, id: SessionId, timeout_ms: i32) -> Result<(), ReplayError> {
        self.state.load_session(id, timeout_ms);
        Ok(())
    }

    fn acl(&mut self, id: u32, list: &[u8]) -> Result<(), ReplayError> {
        self.acls.insert(id, self.state.intern(list));
        Ok(())
    }

    #[inline]
    fn soon(&mut self, path: &[u8]) {
        self.state.prefetch(path);
    }

    fn znode(&mut self, record: &ZnodeRecord<'_>) -> Result<(), ReplayError> {
        let acl = match record.acl {
            0 => AclId::OPEN,
            id => *self.acls.get(&id).ok_or(ReplayError::UnknownAcl(id))?,
        };
        let znode = NewZnode { data: record.data, acl, stat: record.stat };
        let named = |error| ReplayError::Znode { path: record.path.to_vec(), error };
        self.state.load(record.path, &znode).map_err(named)
    }

    fn snapshot_done(&mut self, header: &SnapshotHeader) -> Result<(), ReplayError> {
        self.state.finish_load();
        self.state.publish(header.zxid);
        if let Some(history) = &mut self.history {
            history.reset(header.zxid);
        }
        match header.digest {
            Some(digest) if self.state.options().config.digest_enabled && digest as u64 != self.state.digest() => {
                let ours = self.state.digest();
                Err(ReplayError::Digest { ours, theirs: digest as u64 })
            }
            _ => Ok(()),
        }
    }

    fn txn(&mut self, zxid: Zxid, txn: &[u8]) -> Result<(), ReplayError> {
        self.changes.truncate(0);
        let applied = self.state.apply(txn, self.mode, &mut self.changes, None)?;
        match applied.digest {
            DigestCheck::Differs { carried, ours } if self.mode == Mode::Strict => self.mismatch(zxid, carried, ours),
            DigestCheck::Differs { carried, ours } => self.differs = Some((zxid, carried, ours)),
            DigestCheck::None | DigestCheck::Same => self.differs = None,
        }
        self.replayed += 1;
        if let Some(history) = &mut self.history {
            history.push(Txn { zxid, bytes: txn.into() });
            return Ok(());
        }
        if self.replayed.is_multiple_of(PUBLISH_EVERY) {
            // Forgets how to undo transactions and frees superseded versions: replay needs neither.
            self.state.publish(zxid);
            while self.state.reclaim() {}
        }
        Ok(())
    }
}

/// After so many replayed transactions the state is published, which frees memory.
const PUBLISH_EVERY: u64 = 1024;
