//! A member that leads: the transactions that it prepares are proposed, and published when they are committed.

use super::forwarded::{AllForwarded, Forwarded};
use super::forwarded_identities::identities;
use super::owners::Owners;
use super::roles::{Inbox, Leading, Role};
use super::session_queue::Plain;
use super::{Effect, Member};
use crate::ids::Zxid;
use crate::jute::overlong::Overlong;
use crate::jute::quorum::{PROTOCOL_SECRETS, Packet, PacketError, PacketType};
use crate::jute::request::Request;
use crate::jute::wire::Reader;
use crate::jute::{ErrorCode, OpCode};
use crate::limits;
use crate::server::message::{Command, Item, Response, ShardId};
use crate::server::quorum::core::Then;
use crate::storage::log::seek::Stretch;
use crate::tree::state::{Context, Outcome, State};
use crate::zab::epochs::Epochs;
use crate::zab::leader::{Input, Leader, LogPart, Options, Output, PeerId, Proposal, StepDown};
use crate::zab::message::Gate;
use std::collections::BTreeMap;

impl Member {
    /// This server was elected.
    pub(super) fn lead(&mut self) {
        let given = &self.options;
        let (settings, config) = (&given.settings, self.core.config());
        let knows_secrets = given.protocol >= PROTOCOL_SECRETS;
        let options = Options {
            reconfig_enabled: self.reconfig_enabled(),
            settings: settings.clone(),
            last_counter: config.last_counter,
            heard_epoch: self.heard_epoch,
            agreed: knows_secrets.then(|| given.secrets.held.at(self.epochs.current)),
            zookeeper_passwords: given.secrets.zookeeper,
            ..Options::new(given.id, config.tick_ms(), settings.init_limit.into(), settings.sync_limit.into())
        };
        let takes_clients = settings.leader_serves;
        let history = self.history.take().expect("no role has it");
        let committed = self.committed_in(&history);
        let gate = Gate::new(history.last(), self.epochs);
        let config = self.election.config().clone();
        let leader = Leader::new(options, config, self.epochs, history, committed, self.core.now_ms());
        self.role = Role::Leading(Box::new(Leading {
            leader,
            gate,
            inboxes: BTreeMap::new(),
            owners: Owners::default(),
            forwarded: AllForwarded::default(),
            syncs: vec![],
            learner_syncs: vec![],
            reconfig: None,
            serves: false,
            takes_clients,
            leads_since_ms: None,
            handing_over: None,
            stays_until_ms: i64::MAX,
        }));
        self.step_leader(Input::Tick);
        self.admit_early_learners();
    }

    /// A learner has connected, and this server does not lead: the learner waits, if this server may lead soon.
    fn add_early_learner(&mut self, peer: PeerId) {
        let may_lead = matches!(self.role, Role::Looking | Role::Leaving);
        if !may_lead || !self.early_learners.add(peer) {
            self.outbox.push(Effect::CloseLearner(peer));
        }
    }

    /// An early learner has sent bytes.
    fn buffer_early_learner(&mut self, peer: PeerId, bytes: &[u8]) {
        if !self.early_learners.receive(peer, bytes) {
            self.outbox.push(Effect::CloseLearner(peer));
        }
    }

    /// Another server leads: the early learners' connections are closed.
    pub(super) fn dismiss_early_learners(&mut self) {
        for peer in self.early_learners.take().into_keys() {
            self.outbox.push(Effect::CloseLearner(peer));
        }
    }

    /// This server leads now: the early learners are treated as if they had connected just now.
    fn admit_early_learners(&mut self) {
        for (peer, said) in self.early_learners.take() {
            self.learner_connected(peer);
            self.learner_sent(peer, &said);
        }
    }

    pub(super) fn learner_connected(&mut self, peer: PeerId) {
        let Role::Leading(leading) = &mut self.role else { return self.add_early_learner(peer) };
        leading.inboxes.insert(peer, Inbox::default());
        self.step_leader(Input::Connected(peer));
        self.publish_learners();
    }

    pub(super) fn learner_sent(&mut self, peer: PeerId, bytes: &[u8]) {
        let max = self.options.max_packet;
        let Role::Leading(leading) = &mut self.role else { return self.buffer_early_learner(peer, bytes) };
        // The learner is gone; these are its last bytes.
        let Some(inbox) = leading.inboxes.get_mut(&peer) else { return };
        let Inbox { bytes: mut inbox, mut overlong } = std::mem::take(inbox);
        inbox.extend_from_slice(bytes);
        let mut done = 0;
        loop {
            let more = match &mut overlong {
                Some(request) => request.skip(&inbox[done..]).map(|(length, over)| {
                    done += length;
                    if over && let Some(request) = overlong.take() {
                        // Without its body the request cannot be decoded, and the answer says so.
                        let data = Some(request.whose());
                        let packet = Packet { data, ..Packet::bare(PacketType::Request, Zxid(-1)) };
                        self.step_leader(Input::Packet(peer, packet));
                    }
                    over
                }),
                None => match Packet::decode(&inbox[done..], max) {
                    Ok(Some((packet, length))) => {
                        self.step_leader(Input::Packet(peer, packet));
                        done += length;
                        Ok(true)
                    }
                    Ok(None) => Ok(false),
                    Err(error @ PacketError::TooLong { .. }) => match Overlong::begin(&inbox[done..]) {
                        Ok(Some((request, length))) => {
                            tracing::warn!(peer = peer.0, %error, "a learner's client asks for more than is taken");
                            overlong = Some(request);
                            done += length;
                            Ok(true)
                        }
                        Ok(None) => Ok(false),
                        Err(_) => Err(error),
                    },
                    Err(error) => Err(error),
                },
            };
            match more {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(?error, "a learner sent what is no packet");
                    self.learner_gone(peer);
                    return self.outbox.close_learner(peer);
                }
            }
        }
        if let Role::Leading(leading) = &mut self.role
            && let Some(place) = leading.inboxes.get_mut(&peer)
        {
            inbox.drain(..done);
            *place = Inbox { bytes: inbox, overlong };
        }
    }

    pub(super) fn learner_gone(&mut self, peer: PeerId) {
        self.early_learners.remove(peer);
        if let Role::Leading(leading) = &mut self.role {
            leading.inboxes.remove(&peer);
            leading.forwarded.forget(peer);
        }
        self.step_leader(Input::Disconnected(peer));
        self.publish_learners();
    }

    pub(super) fn tick_leading(&mut self) {
        self.step_leader(Input::Tick);
        self.watch_disk();
        self.advance_hand_over();
    }

    pub(super) fn log_durable_leading(&mut self, zxid: Zxid) {
        let Role::Leading(leading) = &mut self.role else { return };
        leading.gate.log_durable(zxid);
        self.open_gate_leading();
        let mine = self.records.acknowledgeable(zxid);
        self.step_leader(Input::LogDurable(mine));
    }

    pub(super) fn epochs_durable_leading(&mut self, epochs: Epochs) {
        let Role::Leading(leading) = &mut self.role else { return };
        leading.gate.epochs_durable(epochs);
        self.open_gate_leading();
        self.step_leader(Input::EpochsDurable(epochs));
    }

    fn open_gate_leading(&mut self) {
        while let Role::Leading(leading) = &mut self.role
            && let Some(output) = leading.gate.next()
        {
            self.perform_leading(output);
        }
    }

    pub(super) fn step_leader(&mut self, input: Input<'_>) {
        let Role::Leading(leading) = &mut self.role else { return };
        let mut out = vec![];
        leading.leader.step(input, self.core.now_ms(), &mut out);
        self.led(out);
    }

    fn led(&mut self, out: Vec<Output>) {
        for output in out {
            let Role::Leading(leading) = &mut self.role else { return };
            if let Some(output) = leading.gate.pass(output) {
                self.perform_leading(output);
            }
        }
    }

    fn perform_leading(&mut self, output: Output) {
        let Role::Leading(leading) = &mut self.role else { return };
        match output {
            Output::Send { to, message, .. } => {
                if message.kind == PacketType::Sync {
                    leading.forwarded.synced(to);
                }
                if leading.inboxes.contains_key(&to) {
                    message.put(self.outbox.to_learners.entry(to).or_default());
                }
                if message.kind == PacketType::UpToDate {
                    self.publish_learners();
                }
            }
            Output::Drop { peer, reason } => {
                tracing::warn!(peer = peer.0, ?reason, "a learner is dropped");
                leading.inboxes.remove(&peer);
                leading.forwarded.forget(peer);
                self.outbox.close_learner(peer);
                self.publish_learners();
            }
            Output::WriteEpochs { epochs, .. } => self.write_epochs(epochs),
            Output::Agreed(agreed) => {
                let epoch = leading.leader.epoch().expect("it is chosen before anything is agreed on in it");
                self.agreed(epoch, Some(agreed));
            }
            // A transaction that is proposed here is in the log already.
            Output::Append(_) => {}
            Output::StreamSnapshot { to, .. } => {
                self.outbox.flush(to);
                self.outbox.push(Effect::SendSnapshot(to));
            }
            Output::ReadLog { peer, after, upto } => self.read_log(peer, after, upto),
            Output::Established { epoch } => self.established(epoch),
            Output::RolledOver { epoch } => self.rolled_over(epoch),
            Output::Commit { upto } => self.core.commit(upto),
            Output::Activate { config, designated, zxid } => {
                self.config_agreed_leading(config, designated, zxid);
            }
            Output::Request { .. } if !leading.serves => {}
            Output::Request { peer, session, cxid, op, body, auth } => {
                // Some learners send the session's next request at once.
                if OpCode::from_wire(op) == Some(OpCode::CreateSession) {
                    leading.owners.moved(session, peer);
                }
                let owner = leading.owners.of(session, peer);
                let request = Forwarded { peer, owner, session, cxid, op, body, auth, refused: false };
                if !leading.forwarded.push(request, limits::forwarded(self.options.max_packet)) {
                    tracing::warn!(peer = peer.0, "a learner forwards more than can be taken");
                    self.learner_gone(peer);
                    self.outbox.close_learner(peer);
                }
            }
            Output::Revalidate { peer, session, timeout_ms } => {
                let valid = self.core.sessions.take_up(session, timeout_ms, self.core.now_ms());
                if valid {
                    leading.owners.moved(session, peer);
                    self.core.close_connection_of(session);
                }
                self.step_leader(Input::Revalidated { peer, session, valid });
            }
            Output::Touched { touches, .. } => {
                for (session, _) in touches {
                    self.core.sessions.tracker.touch(session, self.core.now_ms());
                }
            }
            // Later requests of this client are for the next leader.
            Output::Synced { tag } if !leading.serves => self.sync_refused(tag),
            Output::Synced { tag } => self.synced(tag),
            Output::SyncRefused { tag } => self.sync_refused(tag),
            Output::StepDown(reason) => {
                tracing::warn!(%reason, "no longer leading");
                if let StepDown::VoterPromisedMore { accepted, .. } = reason {
                    self.heard_epoch = self.heard_epoch.max(accepted);
                }
                self.leave_role();
            }
        }
    }

    /// Has the log read for a learner. Only durable transactions can be read: if the learner needs later ones that are
    /// on their way to the disk, it gets a snapshot instead of waiting.
    fn read_log(&mut self, peer: PeerId, after: Zxid, upto: Zxid) {
        let durable = self.core.durable();
        if durable < upto && durable < self.core.logged() {
            return self.step_leader(Input::LogRead(peer, LogPart::default()));
        }
        self.outbox.flush(peer);
        let stretch = Stretch { after, upto: upto.min(durable), limit: limits::LOG_PART };
        self.outbox.push(Effect::ReadLog { peer, stretch });
    }

    /// A quorum follows: this server begins to serve as the leader.
    fn established(&mut self, epoch: i64) {
        let stays_ms = self.ticks_ms(self.options.settings.init_limit);
        let Role::Leading(leading) = &mut self.role else { return };
        leading.serves = true;
        leading.leads_since_ms = Some(self.core.now_ms());
        self.core.stats().quorum.begin_to_lead();
        leading.stays_until_ms = self.core.now_ms() + stays_ms;
        self.begin_epoch(epoch);
        tracing::info!(epoch, zxid = %self.core.head(), "leading");
        self.core.begin_to_lead();
        self.publish_learners();
        self.publish_role();
        self.announce_epoch(epoch);
    }

    /// One item from a shard of a leader that serves.
    pub(super) fn leading_item(&mut self, shard: ShardId, item: &Item, bytes: &[u8]) {
        if !matches!(&self.role, Role::Leading(leading) if leading.takes_clients) {
            return self.core.respond(shard, item.conn, Response::Close);
        }
        if self.core.local_item(shard, item) {
            return;
        }
        let body = &bytes[item.body.start as usize..item.body.end as usize];
        match Plain::of(&item.what) {
            Some(what) if self.core.sessions.owner(shard, item).is_some() => self.submit(shard, item, what, body),
            Some(_) => self.core.respond(shard, item.conn, Response::Close),
            None => {
                if let (Command::Resume { .. }, Role::Leading(leading)) = (&item.what, &mut self.role) {
                    leading.owners.remove(item.session);
                }
                self.core.execute(shard, item, bytes);
            }
        }
    }

    /// Prepares forwarded requests, as far as there is room.
    pub(super) fn work_forwarded(&mut self) {
        while matches!(&self.role, Role::Leading(leading) if !leading.forwarded.is_empty())
            && self.core.has_room()
            && !self.core.is_shared_out()
            && let Role::Leading(leading) = &mut self.role
            && let Some(request) = leading.forwarded.pop()
        {
            self.core.charge_request(request.body.len() + request.auth.bytes.len());
            let Forwarded { peer, owner, session, cxid, op, body, auth, refused } = request;
            match OpCode::from_wire(op) {
                Some(OpCode::CreateSession) => {
                    let timeout_ms = Reader::new(&body).int().unwrap_or_default();
                    self.core.create_session(session, cxid, timeout_ms);
                    self.core.step(0..0, None);
                }
                Some(OpCode::Sync) => {
                    leading.forwarded.wait(peer);
                    leading.learner_syncs.push(peer);
                }
                Some(OpCode::CloseSession) => {
                    leading.owners.remove(session);
                    self.core.end_session(session, cxid, None);
                }
                known => {
                    let speaks = owner.is_some() && leading.owners.of(session, peer) == owner;
                    let moved = !speaks && self.core.sessions.tracker.contains(session);
                    let identities = identities(&auth, self.core.config().super_digest.as_ref());
                    let request = known.map(|op| (op, Request::decode(op, &body)));
                    if let (false, Some((_, Ok(Request::Reconfig(asked))))) = (moved, &request) {
                        let (changes, _) = self.reconfigure((session, cxid), &identities, asked);
                        self.core.step(changes, None);
                        continue;
                    }
                    let prepare = |state: &mut State, context: &Context<'_>, out: &mut Outcome| match request {
                        _ if moved => state.refuse(context, ErrorCode::SessionMoved, out),
                        _ if refused => state.refuse(context, ErrorCode::ThrottledOp, out),
                        Some((op, Ok(request))) => state.begin_prepare(context, op, &request, out),
                        Some((_, Err(_))) => state.refuse(context, ErrorCode::MarshallingError, out),
                        None => state.refuse(context, ErrorCode::Unimplemented, out),
                    };
                    self.core.transact_then(session, cxid, &identities, prepare, Then::Answer(None));
                }
            }
        }
    }

    /// Proposes the transactions that were prepared since the last call, and begins the waiting syncs.
    pub(super) fn propose_all(&mut self) {
        let now = self.core.now_ms();
        let Role::Leading(leading) = &mut self.role else { return };
        if !leading.serves {
            return;
        }
        let mut out = vec![];
        let mut reconfig = None;
        let mut proposals = self.core.proposals.take();
        let mut proposed = 0;
        for (zxid, bytes) in &proposals {
            let config = leading.reconfig.take_if(|(at, _)| at == zxid).map(|(_, config)| config);
            reconfig = config.is_some().then_some(*zxid).or(reconfig);
            let proposal = Proposal { zxid: *zxid, bytes: bytes.clone(), config };
            if let Err(error) = leading.leader.propose(proposal, now, &mut out) {
                // The role is over, as `out` says; the log has the transaction.
                tracing::warn!(%zxid, %error, "a transaction was not proposed");
                break;
            }
            self.core.stats().quorum.proposed(bytes.len() as u64);
            proposed += 1;
        }
        proposals.drain(..proposed);
        self.core.proposals.give_back(proposals);
        if let Some(zxid) = reconfig {
            let config = leading.leader.config().clone();
            self.config_proposed(config, zxid);
        }
        self.led(out);
        let Role::Leading(leading) = &mut self.role else { return };
        let learners = std::mem::take(&mut leading.learner_syncs);
        for tag in std::mem::take(&mut leading.syncs) {
            self.step_leader(Input::Sync { tag });
        }
        let asked = !learners.is_empty();
        for peer in learners {
            self.step_leader(Input::LearnerSync(peer));
        }
        // A leader that is a quorum alone has answered at once: requests behind the sync continue now, one sync in each
        // round.
        if asked
            && matches!(&self.role, Role::Leading(leading) if !leading.forwarded.is_empty())
            && self.core.has_room()
        {
            self.work_forwarded();
            self.propose_all();
        }
    }
}
