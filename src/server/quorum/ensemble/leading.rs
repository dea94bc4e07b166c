//! A member that leads: what it prepares is proposed, and shown when it is committed.

use super::asked::Plain;
use super::claimed::identities;
use super::forwarded::{AllForwarded, Forwarded};
use super::handover::HandOver;
use super::owners::Owners;
use super::{Effect, Ensemble, Role};
use crate::cost::Cost;
use crate::ids::{SessionId, Zxid};
use crate::jute::overlong::Overlong;
use crate::jute::quorum::{PROTOCOL_SECRETS, Packet, PacketError, PacketType};
use crate::jute::request::Request;
use crate::jute::wire::Reader;
use crate::jute::{ErrorCode, OpCode};
use crate::limits;
use crate::server::message::{Ask, Item, ShardId, Tell};
use crate::server::quorum::Quorum;
use crate::server::quorum::under_way::Then;
use crate::session::Tracker;
use crate::storage::log::seek::Stretch;
use crate::tree::state::{Context, Outcome, State};
use crate::zab::epochs::Epochs;
use crate::zab::history::History;
use crate::zab::leader::{Input, Leader, LogPart, Options, Output, PeerId, Proposal, StepDown};
use crate::zab::message::Gate;
use crate::zab::voters::Voters;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The role.
pub(super) struct Leading {
    pub leader: Leader,
    gate: Gate<Output>,
    /// What each learner has sent and was not decoded yet.
    inboxes: BTreeMap<PeerId, Inbox>,
    /// Through whom each session speaks that is not connected here.
    owners: Owners,
    /// Clients' requests from learners.
    pub forwarded: AllForwarded,
    /// Syncs of this server's clients that are to be asked for.
    syncs: Vec<u64>,
    /// Learners whose sync is to be asked for, once what they asked for before is proposed.
    learner_syncs: Vec<PeerId>,
    /// A reconfiguration that was prepared and not proposed yet.
    reconfig: Option<(Zxid, Voters)>,
    serves: bool,
    /// Clients of its own are taken.
    takes_clients: bool,
    /// Since when it is established.
    pub leads_since_ms: Option<i64>,
    pub handing_over: Option<HandOver>,
    /// A slow disk is put up with until then.
    pub stays_until_ms: i64,
}

/// What a learner has sent and is not carried out yet.
#[derive(Default)]
struct Inbox {
    bytes: Vec<u8>,
    /// A request longer than is taken that is being passed over.
    overlong: Option<Overlong>,
}

impl Leading {
    /// How many sessions speak through learners.
    #[cfg(test)]
    pub(super) fn owned(&self) -> usize {
        self.owners.count()
    }

    pub(super) fn serves(&self) -> bool {
        self.serves
    }

    pub(super) fn leader(&self) -> &Leader {
        &self.leader
    }

    pub(super) fn is_reconfiguring(&self) -> bool {
        self.reconfig.is_some()
    }

    /// The transaction of this zxid makes this the configuration.
    pub(super) fn reconfigures(&mut self, zxid: Zxid, config: Voters) {
        self.reconfig = Some((zxid, config));
    }

    /// Another server is to lead: nothing new is taken, nor what waits behind a sync.
    pub(super) fn hand_over(&mut self) {
        self.serves = false;
        self.forwarded = AllForwarded::default();
    }

    pub(super) fn into_history(self) -> History {
        self.leader.into_history()
    }

    /// A client of this server wants a sync.
    pub(super) fn wants_sync(&mut self, tag: u64) {
        self.syncs.push(tag);
    }
}

impl Ensemble {
    /// A session has expired: nobody speaks for it any more.
    pub(in crate::server::quorum) fn disown(&mut self, session: SessionId) {
        if let Role::Leading(leading) = &mut self.role {
            leading.owners.remove(session);
        }
    }
}

impl Quorum {
    /// This server was elected.
    pub(super) fn lead(&mut self, ensemble: &mut Ensemble) {
        let given = &ensemble.options;
        let roles = &given.roles;
        let knows_secrets = given.protocol >= PROTOCOL_SECRETS;
        let options = Options {
            reconfig_enabled: self.reconfig_enabled(),
            settings: roles.settings.clone(),
            last_counter: self.options.last_counter,
            heard_epoch: ensemble.heard_epoch,
            agreed: knows_secrets.then(|| given.secrets.held.at(ensemble.epochs.current)),
            zookeeper_passwords: given.secrets.zookeeper,
            ..Options::new(given.id, given.tick_ms, given.init_limit, given.sync_limit)
        };
        let takes_clients = roles.settings.leader_serves;
        let history = ensemble.history.take().expect("no role has it");
        let committed = self.committed_in(&history);
        let gate = Gate::new(history.last(), ensemble.epochs);
        let config = ensemble.election.config().clone();
        let leader = Leader::new(options, config, ensemble.epochs, history, committed, self.clock.mono_ms);
        ensemble.role = Role::Leading(Box::new(Leading {
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
        self.step_leader(ensemble, Input::Tick);
        self.take_in_early(ensemble);
    }

    pub(super) fn learner_connected(&mut self, ensemble: &mut Ensemble, peer: PeerId) {
        let Role::Leading(leading) = &mut ensemble.role else { return ensemble.hold_early(peer) };
        leading.inboxes.insert(peer, Inbox::default());
        self.step_leader(ensemble, Input::Connected(peer));
        self.tell_learners(ensemble);
    }

    pub(super) fn learner_sent(&mut self, ensemble: &mut Ensemble, peer: PeerId, bytes: &[u8]) {
        let max = ensemble.options.max_packet;
        let Role::Leading(leading) = &mut ensemble.role else { return ensemble.keep_early(peer, bytes) };
        // Gone, and its last bytes were on their way.
        let Some(inbox) = leading.inboxes.get_mut(&peer) else { return };
        let Inbox { bytes: mut inbox, mut overlong } = std::mem::take(inbox);
        inbox.extend_from_slice(bytes);
        let mut done = 0;
        loop {
            let more = match &mut overlong {
                Some(request) => request.skip(&inbox[done..]).map(|(length, over)| {
                    done += length;
                    if over && let Some(request) = overlong.take() {
                        // Without its body it cannot be read, and is answered so.
                        let data = Some(request.whose());
                        let packet = Packet { data, ..Packet::bare(PacketType::Request, Zxid(-1)) };
                        self.step_leader(ensemble, Input::Packet(peer, packet));
                    }
                    over
                }),
                None => match Packet::decode(&inbox[done..], max) {
                    Ok(Some((packet, length))) => {
                        self.step_leader(ensemble, Input::Packet(peer, packet));
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
                    self.learner_gone(ensemble, peer);
                    return ensemble.close_learner(peer);
                }
            }
        }
        if let Role::Leading(leading) = &mut ensemble.role
            && let Some(place) = leading.inboxes.get_mut(&peer)
        {
            inbox.drain(..done);
            *place = Inbox { bytes: inbox, overlong };
        }
    }

    pub(super) fn learner_gone(&mut self, ensemble: &mut Ensemble, peer: PeerId) {
        ensemble.early.remove(peer);
        if let Role::Leading(leading) = &mut ensemble.role {
            leading.inboxes.remove(&peer);
            leading.forwarded.forget(peer);
        }
        self.step_leader(ensemble, Input::Disconnected(peer));
        self.tell_learners(ensemble);
    }

    pub(super) fn tick_leading(&mut self, ensemble: &mut Ensemble) {
        self.step_leader(ensemble, Input::Tick);
        self.watch_disk(ensemble);
        self.go_on_handing_over(ensemble);
    }

    pub(super) fn log_durable_leading(&mut self, ensemble: &mut Ensemble, zxid: Zxid) {
        let Role::Leading(leading) = &mut ensemble.role else { return };
        leading.gate.log_durable(zxid);
        self.open_gate_leading(ensemble);
        let mine = ensemble.records.acknowledgeable(zxid);
        self.step_leader(ensemble, Input::LogDurable(mine));
    }

    pub(super) fn epochs_durable_leading(&mut self, ensemble: &mut Ensemble, epochs: Epochs) {
        let Role::Leading(leading) = &mut ensemble.role else { return };
        leading.gate.epochs_durable(epochs);
        self.open_gate_leading(ensemble);
        self.step_leader(ensemble, Input::EpochsDurable(epochs));
    }

    fn open_gate_leading(&mut self, ensemble: &mut Ensemble) {
        while let Role::Leading(leading) = &mut ensemble.role
            && let Some(output) = leading.gate.next()
        {
            self.carry_out_leading(ensemble, output);
        }
    }

    pub(super) fn step_leader(&mut self, ensemble: &mut Ensemble, input: Input<'_>) {
        let Role::Leading(leading) = &mut ensemble.role else { return };
        let mut out = vec![];
        leading.leader.step(input, self.clock.mono_ms, &mut out);
        self.led(ensemble, out);
    }

    fn led(&mut self, ensemble: &mut Ensemble, out: Vec<Output>) {
        for output in out {
            let Role::Leading(leading) = &mut ensemble.role else { return };
            if let Some(output) = leading.gate.pass(output) {
                self.carry_out_leading(ensemble, output);
            }
        }
    }

    fn carry_out_leading(&mut self, ensemble: &mut Ensemble, output: Output) {
        let Role::Leading(leading) = &mut ensemble.role else { return };
        match output {
            Output::Send { to, message, .. } => {
                if message.kind == PacketType::Sync {
                    leading.forwarded.synced(to);
                }
                if leading.inboxes.contains_key(&to) {
                    message.put(ensemble.to_learners.entry(to).or_default());
                }
                if message.kind == PacketType::UpToDate {
                    self.tell_learners(ensemble);
                }
            }
            Output::Drop { peer, reason } => {
                tracing::warn!(peer = peer.0, ?reason, "a learner is dropped");
                leading.inboxes.remove(&peer);
                leading.forwarded.forget(peer);
                ensemble.close_learner(peer);
                self.tell_learners(ensemble);
            }
            Output::WriteEpochs { epochs, .. } => ensemble.write_epochs(epochs),
            Output::Agreed(agreed) => {
                let epoch = leading.leader.epoch().expect("it is chosen before anything is agreed on in it");
                self.agreed(ensemble, epoch, Some(agreed));
            }
            // What is proposed here is in the log already.
            Output::Append(_) => {}
            Output::StreamSnapshot { to, .. } => {
                if let Some(bytes) = ensemble.to_learners.remove(&to) {
                    ensemble.effects.push(Effect::ToLearner { peer: to, bytes });
                }
                ensemble.effects.push(Effect::SendSnapshot(to));
            }
            Output::ReadLog { peer, after, upto } => self.read_log(ensemble, peer, after, upto),
            Output::Established { epoch } => self.established(ensemble, epoch),
            Output::RolledOver { epoch } => self.rolled_over(ensemble, epoch),
            Output::Commit { upto } => self.commit(upto),
            Output::Activate { config, designated, zxid } => {
                self.config_agreed_leading(ensemble, config, designated, zxid);
            }
            Output::Request { .. } if !leading.serves => {}
            Output::Request { peer, session, cxid, op, body, auth } => {
                // Some learners send what comes behind it at once.
                if OpCode::from_wire(op) == Some(OpCode::CreateSession) {
                    leading.owners.moved(session, peer);
                }
                let owner = leading.owners.of(session, peer);
                let request = Forwarded { peer, owner, session, cxid, op, body, auth, refused: false };
                if !leading.forwarded.push(request, limits::forwarded(ensemble.options.max_packet)) {
                    tracing::warn!(peer = peer.0, "a learner forwards more than can be taken");
                    self.learner_gone(ensemble, peer);
                    ensemble.close_learner(peer);
                }
            }
            Output::Revalidate { peer, session, timeout_ms } => {
                let valid = self.tracker.contains(session);
                if valid {
                    self.tracker.remove(session);
                    self.tracker.add(session, timeout_ms, self.clock.mono_ms);
                    leading.owners.moved(session, peer);
                    if let Some(live) = self.live.remove(&session) {
                        self.tell(live.shard, live.conn, Tell::Close);
                    }
                }
                self.step_leader(ensemble, Input::Revalidated { peer, session, valid });
            }
            Output::Touched { touches, .. } => {
                for (session, _) in touches {
                    self.tracker.touch(session, self.clock.mono_ms);
                }
            }
            // What its client has sent behind it is for the next leader.
            Output::Synced { tag } if !leading.serves => self.sync_refused(ensemble, tag),
            Output::Synced { tag } => self.synced(ensemble, tag),
            Output::SyncRefused { tag } => self.sync_refused(ensemble, tag),
            Output::StepDown(reason) => {
                tracing::warn!(%reason, "no longer leading");
                if let StepDown::VoterPromisedMore { accepted, .. } = reason {
                    ensemble.heard_epoch = ensemble.heard_epoch.max(accepted);
                }
                self.leave_role(ensemble);
            }
        }
    }

    /// Has the log read for a learner. Only what is durable is read: where more is wanted than that, and the rest is on
    /// its way to the disk, the learner is better served with a snapshot than with waiting.
    fn read_log(&mut self, ensemble: &mut Ensemble, peer: PeerId, after: Zxid, upto: Zxid) {
        let durable = self.log.durable();
        if durable < upto && durable < self.log.appended() {
            return self.step_leader(ensemble, Input::LogRead(peer, LogPart::default()));
        }
        if let Some(bytes) = ensemble.to_learners.remove(&peer) {
            ensemble.effects.push(Effect::ToLearner { peer, bytes });
        }
        let stretch = Stretch { after, upto: upto.min(durable), limit: limits::LOG_PART };
        ensemble.effects.push(Effect::ReadLog { peer, stretch });
    }

    /// A quorum follows.
    fn established(&mut self, ensemble: &mut Ensemble, epoch: i64) {
        let Role::Leading(leading) = &mut ensemble.role else { return };
        leading.serves = true;
        leading.leads_since_ms = Some(self.clock.mono_ms);
        self.stats.quorum.begin_to_lead();
        leading.stays_until_ms = self.clock.mono_ms + ensemble.options.init_limit * ensemble.options.tick_ms;
        self.begin_epoch(ensemble, epoch);
        tracing::info!(epoch, zxid = %self.zxid, "leading");
        let now = self.clock.mono_ms;
        self.tracker = Tracker::new(self.options.tick_ms);
        for (session, timeout_ms) in self.state.sessions() {
            self.tracker.add(session, timeout_ms, now);
        }
        self.expired = self.state.orphaned_sessions();
        self.expiry_not_before_ms = now + self.options.tick_ms;
        self.proposing = true;
        self.uncommitted.clear();
        self.tell_learners(ensemble);
        self.tell_place(ensemble);
        ensemble.announce_epoch(epoch, now);
    }

    /// One item from a shard of a leader that serves.
    pub(super) fn leading_item(&mut self, ensemble: &mut Ensemble, shard: ShardId, item: &Item, bytes: &[u8]) {
        if !matches!(&ensemble.role, Role::Leading(leading) if leading.takes_clients) {
            return self.tell(shard, item.conn, Tell::Close);
        }
        if self.local_item(shard, item) {
            return;
        }
        let body = &bytes[item.body.start as usize..item.body.end as usize];
        match Plain::of(&item.what) {
            Some(what) if self.owner(shard, item).is_some() => self.ask(ensemble, shard, item, what, body),
            Some(_) => self.tell(shard, item.conn, Tell::Close),
            None => {
                if let (Ask::Resume { .. }, Role::Leading(leading)) = (&item.what, &mut ensemble.role) {
                    leading.owners.remove(item.session);
                }
                self.lone_item(shard, item, bytes);
            }
        }
    }

    /// Prepares what learners have passed on, as far as the log has room.
    pub(super) fn work_forwarded(&mut self, ensemble: &mut Ensemble) {
        while matches!(&ensemble.role, Role::Leading(leading) if !leading.forwarded.is_empty())
            && self.has_room()
            && !self.is_shared_out()
            && let Role::Leading(leading) = &mut ensemble.role
            && let Some(request) = leading.forwarded.pop()
        {
            self.state.meter().charge(Cost::REQUEST + Cost::bytes(request.body.len() + request.auth.bytes.len()));
            let Forwarded { peer, owner, session, cxid, op, body, auth, refused } = request;
            match OpCode::from_wire(op) {
                Some(OpCode::CreateSession) => {
                    let timeout_ms = Reader::new(&body).int().unwrap_or_default();
                    self.transact(session, cxid, |state, context, out| state.create_session(context, timeout_ms, out));
                    self.tracker.add(session, timeout_ms, self.clock.mono_ms);
                    self.step(0..0, None);
                }
                Some(OpCode::Sync) => {
                    leading.forwarded.wait(peer);
                    leading.learner_syncs.push(peer);
                }
                Some(OpCode::CloseSession) => {
                    leading.owners.remove(session);
                    self.end_session(session, cxid, None);
                }
                known => {
                    let speaks = owner.is_some() && leading.owners.of(session, peer) == owner;
                    let moved = !speaks && self.tracker.contains(session);
                    let identities = identities(&auth, ensemble.options.super_digest.as_ref());
                    let request = known.map(|op| (op, Request::decode(op, &body)));
                    if let (false, Some((_, Ok(Request::Reconfig(asked))))) = (moved, &request) {
                        let (changes, _) = self.reconfigure(ensemble, (session, cxid), &identities, asked);
                        self.step(changes, None);
                        continue;
                    }
                    let prepare = |state: &mut State, context: &Context<'_>, out: &mut Outcome| match request {
                        _ if moved => state.refuse(context, ErrorCode::SessionMoved, out),
                        _ if refused => state.refuse(context, ErrorCode::ThrottledOp, out),
                        Some((op, Ok(request))) => state.begin_prepare(context, op, &request, out),
                        Some((_, Err(_))) => state.refuse(context, ErrorCode::MarshallingError, out),
                        None => state.refuse(context, ErrorCode::Unimplemented, out),
                    };
                    self.transact_then(session, cxid, &identities, prepare, Then::Answer(None));
                }
            }
        }
    }

    /// Proposes what was prepared since the last call, and asks for syncs.
    pub(super) fn propose_all(&mut self, ensemble: &mut Ensemble) {
        let now = self.clock.mono_ms;
        let Role::Leading(leading) = &mut ensemble.role else { return };
        if !leading.serves {
            return;
        }
        let mut out = vec![];
        let mut proposed = 0;
        let mut reconfig = None;
        for (zxid, bytes) in &self.proposals {
            let config = leading.reconfig.take_if(|(at, _)| at == zxid).map(|(_, config)| config);
            reconfig = config.is_some().then_some(*zxid).or(reconfig);
            let proposal = Proposal { zxid: *zxid, bytes: Arc::from(bytes.as_slice()), config };
            if let Err(error) = leading.leader.propose(proposal, now, &mut out) {
                // The role is over, as `out` says; the log has the transaction.
                tracing::warn!(%zxid, %error, "a transaction was not proposed");
                break;
            }
            self.stats.quorum.proposed(bytes.len() as u64);
            proposed += 1;
        }
        self.proposals.drain(..proposed);
        if let Some(zxid) = reconfig {
            let config = leading.leader.config().clone();
            self.config_proposed(ensemble, config, zxid);
        }
        self.led(ensemble, out);
        let Role::Leading(leading) = &mut ensemble.role else { return };
        let learners = std::mem::take(&mut leading.learner_syncs);
        for tag in std::mem::take(&mut leading.syncs) {
            self.step_leader(ensemble, Input::Sync { tag });
        }
        let asked = !learners.is_empty();
        for peer in learners {
            self.step_leader(ensemble, Input::LearnerSync(peer));
        }
        // A leader that is a quorum alone has answered at once: what waited behind goes on now, one sync a round.
        if asked && matches!(&ensemble.role, Role::Leading(leading) if !leading.forwarded.is_empty()) && self.has_room()
        {
            self.work_forwarded(ensemble);
            self.propose_all(ensemble);
        }
    }
}
