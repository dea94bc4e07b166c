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
        self.begin_budget();
        self.zxid = shown;
        self.committed = shown;
        Ok(())
    }

    /// This member begins to serve in an epoch: its first zxid is shown, all before that is committed, and what else is
    /// known to be committed by now.
    pub(super) fn begin_epoch(&mut self, ensemble: &mut Ensemble, epoch: i64) {
        self.use_agreed(ensemble);
        ensemble.passwords_said = true;
        let first = first_zxid(epoch);
        self.show_config(ensemble, first);
        self.zxid = self.zxid.max(first);
        self.commit(first);
        self.show_committed(first);
    }

    /// Nobody is served yet: everything that is committed and on disk is shown, `first` at least. No batch tells of what was
    /// found in the log at the start, or was left of a role before; and one that ends with what is not committed yet waits
    /// for that as a whole. Nobody watches what such a batch tells of and is shown here: whoever comes sees it.
    fn show_committed(&mut self, first: Zxid) {
        let shown = self.committed.min(self.log.durable()).max(first);
        if self.state.store().published() >= shown {
            return;
        }
        let is_due = |element: &Element| element.zxid > shown || element.answer.is_some();
        let held = self.held.as_mut().map(|(batch, ..)| batch);
        let batches = self.waiting.iter_mut().chain(&mut self.in_flight).chain(held).map(|batch| &mut batch.elements);
        for elements in batches.chain([&mut self.elements]) {
            elements.retain(is_due);
            for element in elements.iter_mut().filter(|element| element.zxid <= shown) {
                (element.zxid, element.changes) = (shown, 0..0);
            }
        }
        self.publish(Batch { last_zxid: shown, ..Batch::default() });
    }

    /// Everything up to `zxid` is committed.
    pub(super) fn commit(&mut self, zxid: Zxid) {
        self.committed = self.committed.max(zxid);
        self.uncommitted.commit(zxid);
        self.publish_committed();
    }

    /// The last transaction that is known to be committed. What is shown may be the beginning of an epoch, and is none.
    pub(super) fn committed_in(&self, history: &History) -> Zxid {
        let shown = self.state.store().published();
        history.at_or_before(shown).unwrap_or(shown).min(history.last())
    }
}
