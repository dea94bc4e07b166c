//! What this member shows its clients: a state that takes the place of its own, the beginning of an epoch, and what is
//! committed.

use super::Ensemble;
use crate::ids::{ConnId, Zxid};
use crate::server::message::{Adopted, Adoption, Answer, Batch, Element, ShardId, Tell};
use crate::server::quorum::Quorum;
use crate::tree::state::State;
use crate::tree::store::StoreFull;
use crate::zab::epochs::first_zxid;
use crate::zab::history::History;

impl Quorum {
    /// Another state takes the place of this server's: shards read it from here on. Nobody is connected. Fails where not
    /// all of them can.
    pub(super) fn adopt(&mut self, mut state: State, zxid: Zxid) -> Result<(), StoreFull> {
        let last_zxid = self.state.store().published();
        // What is shown may be the beginning of an epoch, which no transaction has: it may lie behind the new state's end.
        let shown = zxid.max(last_zxid);
        state.publish(shown);
        let mut elements = vec![];
        for shard in 0..self.options.shards {
            let reader = state.reader()?;
            let adopted = Adopted { reader, store: state.store().store(), acls: state.acls() };
            let what = Tell::Adopt(Adoption::new(adopted));
            let conn = ConnId { slot: u32::MAX, generation: 0 };
            elements.push(Element {
                zxid: last_zxid,
                changes: 0..0,
                answer: Some(Answer { shard: shard as ShardId, conn, what }),
            });
        }
        self.has_published = true;
        self.publisher.publish(Batch { elements, last_zxid, ..Batch::default() });
        self.plan.begin_anew(state.reader()?, zxid);
        self.state = state;
        self.zxid = shown;
        self.committed = shown;
        Ok(())
    }

    /// A new epoch begins, its first zxid is shown. All before it is committed.
    pub(super) fn begin_epoch(&mut self, ensemble: &Ensemble, epoch: i64) {
        let first = first_zxid(epoch);
        self.show_config(ensemble, first);
        self.zxid = self.zxid.max(first);
        self.commit(first);
        if self.state.store().published() < first {
            self.publish(Batch { last_zxid: first, ..Batch::default() });
        }
    }

    /// Everything up to `zxid` is committed.
    pub(super) fn commit(&mut self, zxid: Zxid) {
        self.committed = self.committed.max(zxid);
        self.publish_committed();
    }

    /// The last transaction that is known to be committed. What is shown may be the beginning of an epoch, and is none.
    pub(super) fn committed_in(&self, history: &History) -> Zxid {
        let shown = self.state.store().published();
        history.at_or_before(shown).unwrap_or(shown).min(history.last())
    }
}
