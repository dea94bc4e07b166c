//! Which learners a leader tells the secret of session passwords, and whether new passwords are made under it.
//!
//! Every member must be able to check a client's password, for a client goes where it likes. So new sessions get secret ones
//! when all members are known to know of them: each has announced it, to this leader or, as what is agreed on says, to one
//! before. A member that was replaced by an older version or a ZooKeeper shows this when it connects; from then on new
//! sessions get ZooKeeper's passwords. The same holds while a learner that is no member and does not support secrets is
//! connected.

use super::peer::{Peer, PeerId, Stage};
use super::{Leader, Output};
use crate::ids::Zxid;
use crate::jute::quorum::{Packet, PacketType};
use crate::zab::agreed::Agreed;
use crate::zab::message::Message;
use crate::zab::voters::ServerId;
use std::collections::BTreeSet;

impl Leader {
    /// A learner has announced what it supports. Less support takes effect at once; more support is announced with the next
    /// tick, so that a learner that connects and leaves again and again cannot make all members write each time.
    pub(super) fn announced(&mut self, server: ServerId, knows_secrets: bool, out: &mut Vec<Output>) {
        if !knows_secrets {
            self.secrets.knowing.remove(&server);
            self.judge_secrets(out);
        }
    }

    /// Whether every member knows of secrets, as far as this leader has heard. Says so to them when that changes.
    pub(super) fn judge_secrets(&mut self, out: &mut Vec<Output>) {
        self.take_used(out);
        let me = self.options.id;
        let members: BTreeSet<ServerId> =
            self.config.all().flat_map(|voters| voters.members()).map(|member| member.id).collect();
        let said = self.peers.values().filter(|peer| peer.stage != Stage::Silent);
        let knowing = &mut self.secrets.knowing;
        // Before a secret is used for the first time, each has to have been told it, and to have had its say.
        let is_used = self.secrets.agreed.is_some_and(|agreed| agreed.used);
        let knows = |peer: &&Peer| peer.knows_secrets && (is_used || peer.is_synced());
        knowing.extend(said.clone().filter(knows).map(|peer| peer.server));
        knowing.retain(|server| members.contains(server));
        let members_know = members.iter().all(|member| *member == me || knowing.contains(member));
        let others_know = said.clone().all(|peer| peer.knows_secrets);
        let everywhere = members_know && others_know && !self.options.zookeeper_passwords;
        let Some(agreed) = self.secrets.agreed.filter(|agreed| self.leads() && agreed.everywhere != everywhere) else {
            return;
        };
        self.agree(Agreed { everywhere, used: agreed.used || everywhere, ..agreed }, out);
    }

    /// A learner has a secret that sessions have been under, and was told one that none has.
    pub(super) fn told_agreed(&mut self, id: PeerId, packet: &Packet<'_>, out: &mut Vec<Output>) {
        if let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.knows_secrets) {
            peer.has_used = packet.data.and_then(Agreed::decode).filter(|said| said.used);
        }
        self.take_used(out);
    }

    /// Adopts a used secret of a member, if the agreed secret was never used. A joining server reports its secret before it
    /// is a member.
    fn take_used(&mut self, out: &mut Vec<Output>) {
        if self.secrets.agreed.is_some_and(|agreed| !agreed.used) {
            let mut members = self.peers.values().filter(|peer| self.config.member(peer.server).is_some());
            if let Some(said) = members.find_map(|peer| peer.has_used) {
                self.agree(Agreed { everywhere: false, ..said }, out);
            }
        }
    }

    fn agree(&mut self, agreed: Agreed, out: &mut Vec<Output>) {
        self.secrets.agreed = Some(agreed);
        // Learners that are not live yet are told before NEWLEADER.
        let live: Vec<PeerId> = self.peers.iter().filter(|(_, peer)| peer.is_live()).map(|(id, _)| *id).collect();
        out.push(Output::Agreed(agreed));
        live.into_iter().for_each(|id| self.send_agreed(id, out));
    }

    /// Tells a learner what is agreed on, if it knows of that.
    pub(super) fn send_agreed(&self, id: PeerId, out: &mut Vec<Output>) {
        if let Some(agreed) = self.secrets.agreed.filter(|_| self.peers.get(&id).is_some_and(|peer| peer.knows_secrets))
        {
            let mut data = vec![];
            agreed.put(&mut data);
            self.send(id, Message::with(PacketType::Agreed, Zxid(-1), data), out);
        }
    }

    /// Members, and others who follow, that are not known to know of secrets.
    pub(crate) fn without_secrets(&self) -> BTreeSet<ServerId> {
        let members = self.config.all().flat_map(|voters| voters.members()).map(|member| member.id);
        let members = members.filter(|id| *id != self.options.id && !self.secrets.knowing.contains(id));
        let others = self.peers.values().filter(|peer| peer.stage != Stage::Silent && !peer.knows_secrets);
        members.chain(others.map(|peer| peer.server)).collect()
    }
}
