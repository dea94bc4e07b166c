//! A member that follows: transactions come from the leader, clients' writes go to it.
//!
//! A client's write is answered by the transaction that comes back with its session and xid.

use super::asked::Plain;
use super::forwarded::{UnderWay, request_bytes};
use super::joining::Joining;
use super::{Effect, Ensemble, Record, Role};
use crate::fatal::Reason;
use crate::ids::{ConnId, SessionId, Zxid};
use crate::jute::OpCode;
use crate::jute::quorum::{ForwardedRequest, Packet, put_identity};
use crate::jute::wire::put_int;
use crate::limits;
use crate::server::message::{Ask, Item, ShardId, Tell};
use crate::server::quorum::{Live, Quorum, SnapshotJob};
use crate::server::rebuild::Rebuild;
use crate::storage::java::stream::{Received, StreamReceiver};
use crate::storage::replay::Replay;
use crate::storage::snapshot::format::SnapshotHeader;
use crate::tree::state::State;
use crate::tree::store::StoreFull;
use crate::zab::epochs::Epochs;
use crate::zab::history::History;
use crate::zab::leader::LearnerKind;
use crate::zab::learner::{Input, Learner, Options, Output};
use crate::zab::message::{Auth, Gate};
use crate::zab::voters::ServerId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The role.
pub(super) struct Following {
    learner: Learner,
    gate: Gate<Output>,
    kind: LearnerKind,
    /// From the leader, not decoded yet.
    inbox: Vec<u8>,
    /// Bytes of it at which the connection is not read.
    inbox_limit: usize,
    /// May be carried out, and wait until the log has room or is cut.
    outputs: VecDeque<Output>,
    leader: ServerId,
    /// Whose connection this is: the leader's, or that of somebody who stands in for it.
    master: ServerId,
    /// The log is being cut.
    cutting: bool,
    /// A configuration that was proposed is being written down.
    recording: bool,
    serves: bool,
    /// Sessions heard of since the last PING, with their timeouts.
    touched: BTreeMap<SessionId, i32>,
    /// Clients that want a session of before: the newest one of each.
    resumes: BTreeMap<SessionId, (i32, Live)>,
    /// Sessions that clients asked for, who are told when they are open.
    pub opening: BTreeSet<SessionId>,
    /// A snapshot is coming: what takes it in.
    receiving: Option<Box<StreamReceiver>>,
    /// The state that is made of it, until it is this server's own.
    staged: Option<Box<Rebuild>>,
    /// That state, while it is being written down.
    installing: Option<Box<State>>,
    /// What requests of clients have led to.
    fresh: Vec<Output>,
    pub under_way: UnderWay,
}

impl Following {
    pub(super) fn is_observer(&self) -> bool {
        self.kind == LearnerKind::Observer
    }

    pub(super) fn leader(&self) -> ServerId {
        self.leader
    }

    pub(super) fn master(&self) -> ServerId {
        self.master
    }

    /// Whether somebody who stands in for the leader has not brought this server up to date.
    pub(super) fn fails_behind_a_master(&self) -> bool {
        self.master != self.leader && !self.serves
    }

    /// What the leader says next is taken in when the files say what it said before.
    pub(super) fn wait_for_record(&mut self) {
        self.recording = true;
    }

    pub(super) fn go_on_recorded(&mut self) {
        self.recording = false;
    }

    pub(super) fn serves(&self) -> bool {
        self.serves
    }

    /// Ends the role: the log's end, and the connections that still wait for a session of before.
    pub(super) fn into_parts(self) -> (History, Vec<(ShardId, ConnId)>) {
        let waiting = self.resumes.into_values().map(|(_, live)| (live.shard, live.conn)).collect();
        (self.learner.into_history(), waiting)
    }

    /// Passes a write on; `None` if nobody takes it, or the bytes that are under way until it comes back.
    pub(super) fn forward(
        &mut self,
        session: SessionId,
        cxid: i32,
        op: OpCode,
        body: &[u8],
        auth: Auth,
    ) -> Option<usize> {
        let request = ForwardedRequest { session, cxid, op: op.wire(), body };
        let bytes = request_bytes(body, &auth);
        self.learner.forward(request, auth, &mut self.fresh).ok()?;
        self.under_way.begun(bytes);
        Some(bytes)
    }

    /// Asks for a session; false if nobody takes that.
    pub(super) fn create_session(&mut self, session: SessionId, timeout_ms: i32, auth: Auth) -> bool {
        let mut body = vec![];
        put_int(&mut body, timeout_ms);
        let Some(bytes) = self.forward(session, 0, OpCode::CreateSession, &body, auth) else { return false };
        self.under_way.creates(session, bytes);
        true
    }

    /// Passes a sync on; `None` if nobody takes it, or the bytes that are under way until it is answered.
    pub(super) fn sync(&mut self, tag: u64, session: SessionId, cxid: i32, body: &[u8], auth: Auth) -> Option<usize> {
        let request = ForwardedRequest { session, cxid, op: OpCode::Sync.wire(), body };
        let bytes = request_bytes(body, &auth);
        self.learner.sync(tag, request, auth, &mut self.fresh).ok()?;
        self.under_way.begun(bytes);
        Some(bytes)
    }
}

impl Quorum {
    /// The connection to the leader stands.
    pub(super) fn leader_connected(&mut self, ensemble: &mut Ensemble) {
        let Role::Joining(Joining { leader, master, observer, .. }) = ensemble.role else {
            return ensemble.effects.push(Effect::CloseLeader);
        };
        let kind = if observer { LearnerKind::Observer } else { LearnerKind::Follower };
        let given = &ensemble.options;
        let mut options = Options::new(given.id, kind, given.tick_ms, given.init_limit, given.sync_limit);
        options.protocol = given.protocol;
        let held = given.secrets.held.at(ensemble.epochs.current);
        options.used_secret = held.used.then_some(held.secret);
        options.config_version = ensemble.election.config().current().version();
        options.max_pending_bytes = limits::learner_pending(given.max_packet);
        let history = ensemble.history.take().expect("no role has it");
        let committed = self.committed_in(&history);
        let gate = Gate::new(history.last(), ensemble.epochs);
        let mut out = vec![];
        let learner = Learner::new(options, ensemble.epochs, history, committed, self.clock.mono_ms, &mut out);
        ensemble.role = Role::Following(Box::new(Following {
            learner,
            gate,
            kind,
            inbox: vec![],
            inbox_limit: limits::leader_inbox(ensemble.options.max_packet),
            outputs: VecDeque::new(),
            leader,
            master,
            cutting: false,
            recording: false,
            serves: false,
            touched: BTreeMap::new(),
            resumes: BTreeMap::new(),
            opening: BTreeSet::new(),
            receiving: None,
            staged: None,
            installing: None,
            fresh: vec![],
            under_way: UnderWay::default(),
        }));
        self.follow(ensemble, out);
    }

    /// Whether more of what the leader sends may be taken in: what is here and waits for the log is within its limit.
    pub fn takes_from_leader(&self) -> bool {
        match self.ensemble.as_ref().map(|ensemble| &ensemble.role) {
            Some(Role::Following(following)) => following.inbox.len() < following.inbox_limit,
            _ => true,
        }
    }

    /// The leader has sent these bytes.
    pub(super) fn leader_sent(&mut self, ensemble: &mut Ensemble, bytes: &[u8]) {
        if let Role::Following(following) = &mut ensemble.role {
            following.inbox.extend_from_slice(bytes);
        }
        self.read_leader(ensemble);
        if let Role::Following(following) = &mut ensemble.role
            && !following.inbox.is_empty()
        {
            // Of a long packet a part has come: who sends that is not silent.
            self.step_learner(ensemble, Input::Progress);
        }
    }

    /// Decodes and carries out what the leader has sent, as far as the log has room.
    pub(super) fn read_leader(&mut self, ensemble: &mut Ensemble) {
        let max = ensemble.options.max_packet;
        let now = self.clock.mono_ms;
        let mut inbox = match &mut ensemble.role {
            Role::Following(following) => std::mem::take(&mut following.inbox),
            _ => return,
        };
        let mut done = 0;
        self.go_on(ensemble);
        while self.held.is_none()
            && self.under_way.is_none()
            && let Role::Following(following) = &mut ensemble.role
            && following.outputs.is_empty()
            && !following.cutting
            && !following.recording
            && done < inbox.len()
            && !self.is_spent()
        {
            let mut out = vec![];
            if let (Some(receiver), Some(staged)) = (&mut following.receiving, &mut following.staged) {
                let input = match receiver.push(&inbox[done..], &mut **staged) {
                    Ok(Received { taken, done: false }) => {
                        done += taken;
                        following.learner.step(Input::Progress, now, &mut out);
                        self.follow(ensemble, out);
                        break;
                    }
                    Ok(Received { taken, done: true }) => {
                        done += taken;
                        following.receiving = None;
                        Input::SnapshotReceived
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the leader's snapshot cannot be taken in");
                        Input::SnapshotFailed
                    }
                };
                following.learner.step(input, now, &mut out);
                self.follow(ensemble, out);
                continue;
            }
            match Packet::decode(&inbox[done..], max) {
                Ok(Some((packet, length))) => {
                    following.learner.step(Input::Packet(packet), now, &mut out);
                    done += length;
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(?error, "the leader sent what is no packet");
                    following.learner.step(Input::Closed, now, &mut out);
                }
            }
            self.follow(ensemble, out);
        }
        if let Role::Following(following) = &mut ensemble.role {
            inbox.drain(..done);
            following.inbox = inbox;
        }
    }

    pub(super) fn leader_gone(&mut self, ensemble: &mut Ensemble) {
        self.step_learner(ensemble, Input::Closed);
        self.no_leader(ensemble);
    }

    pub(super) fn tick_following(&mut self, ensemble: &mut Ensemble) {
        self.step_learner(ensemble, Input::Tick);
    }

    pub(super) fn log_cut(&mut self, ensemble: &mut Ensemble, zxid: Zxid) {
        self.plan.release();
        let Role::Following(following) = &mut ensemble.role else { return };
        following.cutting = false;
        // Only now: a snapshot of the state before may have been under way.
        // What is shown may be the beginning of an epoch, which no transaction has: it may lie behind the cut.
        let end = zxid.max(self.state.store().published());
        self.state.undo(end);
        self.zxid = end;
        // Who was sent away meanwhile learns nothing of what is gone.
        self.elements.iter_mut().for_each(|element| element.zxid = element.zxid.min(end));
        self.log_durable_following(ensemble, zxid);
        self.read_leader(ensemble);
    }

    /// The snapshot of the leader's state is on disk, and the log goes on behind it: it is this server's state now.
    pub(super) fn snapshot_installed(&mut self, ensemble: &mut Ensemble, zxid: Zxid) {
        self.plan.release();
        let Role::Following(following) = &mut ensemble.role else { return };
        let Some(state) = following.installing.take() else { return };
        following.cutting = false;
        if let Err(error) = self.adopt(*state, zxid) {
            return ensemble.fail(Reason::System, error.to_string());
        }
        self.log_durable_following(ensemble, zxid);
        self.read_leader(ensemble);
    }

    /// What the leader wants taken back stays on disk, so that every leader would be told of it, and no other way leads
    /// from here to what they have.
    pub(super) fn log_cut_failed(&mut self, ensemble: &mut Ensemble, to: Zxid) {
        let what = format!("the leader has nothing behind {to}, and no snapshot and log end there");
        ensemble.fail(Reason::CannotTruncate, what);
    }

    pub(super) fn step_learner(&mut self, ensemble: &mut Ensemble, input: Input<'_>) {
        let Role::Following(following) = &mut ensemble.role else { return };
        let mut out = vec![];
        following.learner.step(input, self.clock.mono_ms, &mut out);
        self.follow(ensemble, out);
    }

    pub(super) fn log_durable_following(&mut self, ensemble: &mut Ensemble, zxid: Zxid) {
        let Role::Following(following) = &mut ensemble.role else { return };
        following.gate.log_durable(zxid);
        self.open_gate(ensemble);
    }

    pub(super) fn epochs_durable_following(&mut self, ensemble: &mut Ensemble, epochs: Epochs) {
        let Role::Following(following) = &mut ensemble.role else { return };
        following.gate.epochs_durable(epochs);
        self.open_gate(ensemble);
    }

    fn open_gate(&mut self, ensemble: &mut Ensemble) {
        while let Role::Following(following) = &mut ensemble.role
            && let Some(output) = following.gate.next()
        {
            following.outputs.push_back(output);
        }
        self.go_on(ensemble);
    }

    /// Puts new outputs through the gate, and carries out those that may be.
    fn follow(&mut self, ensemble: &mut Ensemble, out: Vec<Output>) {
        let Role::Following(following) = &mut ensemble.role else { return };
        for output in out {
            if let Some(output) = following.gate.pass(output) {
                following.outputs.push_back(output);
            }
        }
        self.go_on(ensemble);
    }

    /// Carries out what may be carried out now.
    fn go_on(&mut self, ensemble: &mut Ensemble) {
        while self.held.is_none()
            && self.under_way.is_none()
            && let Role::Following(following) = &mut ensemble.role
            && !following.cutting
            && !following.recording
            && !following.outputs.is_empty()
            && !self.is_spent()
            && let Some(output) = following.outputs.pop_front()
        {
            self.carry_out(ensemble, output);
        }
    }

    /// Sends on what clients asked for in this turn.
    pub(super) fn forward_fresh(&mut self, ensemble: &mut Ensemble) {
        if let Role::Following(following) = &mut ensemble.role {
            let fresh = std::mem::take(&mut following.fresh);
            self.follow(ensemble, fresh);
        }
    }

    fn carry_out(&mut self, ensemble: &mut Ensemble, output: Output) {
        let Role::Following(following) = &mut ensemble.role else { return };
        match output {
            Output::Send { message, .. } => message.put(&mut ensemble.to_leader),
            Output::WriteEpochs { epochs, .. } => ensemble.write_epochs(epochs),
            Output::Agreed(agreed) => {
                let epoch = following.learner.leader_epoch();
                self.agreed(ensemble, epoch, agreed);
            }
            Output::Append(txn) => self.append(ensemble, &txn),
            Output::Truncate { to } => {
                following.cutting = true;
                self.plan.hold();
                ensemble.effects.push(Effect::CutLog(to));
            }
            Output::Commit { upto } => {
                if !following.serves {
                    self.show_config(ensemble, Zxid::ZERO);
                }
                self.commit(upto);
            }
            Output::Serve { epoch, .. } if following.serves => self.followed_over(ensemble, epoch),
            Output::Serve { epoch, .. } => {
                following.serves = true;
                ensemble.masters_failed = 0;
                let through = following.master.0;
                if !std::mem::replace(&mut ensemble.has_database, true) {
                    ensemble.effects.push(Effect::Record(Record::Complete));
                }
                self.begin_epoch(ensemble, epoch);
                tracing::info!(epoch, zxid = %self.zxid, through, "following");
                self.tell_place(ensemble);
                ensemble.announce_epoch(epoch, self.clock.mono_ms);
            }
            Output::CollectTouches { ping } => {
                let touched = std::mem::take(&mut following.touched);
                let mut out = vec![];
                following.learner.touched(ping, touched, &mut out);
                self.follow(ensemble, out);
            }
            Output::Revalidated { session, valid } => {
                if let Some((timeout_ms, live)) = following.resumes.remove(&session) {
                    self.take_over(session, timeout_ms, live, valid);
                }
            }
            Output::Synced { tag } => self.synced(ensemble, tag),
            Output::Activate { config, designated } => self.config_agreed(ensemble, config, designated),
            Output::ConfigSeen(config) => self.config_seen(ensemble, config),
            Output::ReceiveSnapshot { zxid } => {
                tracing::info!(%zxid, "the leader sends a snapshot");
                let header = SnapshotHeader { zxid, ..SnapshotHeader::default() };
                following.receiving = Some(Box::new(StreamReceiver::new(header, ensemble.options.max_packet)));
                let rebuild = Rebuild::for_learner(self.state.options(), ensemble.options.roles.history);
                following.staged = Some(Box::new(rebuild));
            }
            Output::Stage(txn) => {
                let staged = following.staged.as_mut().expect("a snapshot was received");
                if let Err(error) = staged.txn(txn.zxid, &txn.bytes) {
                    tracing::warn!(%error, "a transaction does not fit the leader's snapshot");
                    self.step_learner(ensemble, Input::SnapshotFailed);
                }
            }
            Output::PersistSnapshot { zxid } => {
                let staged = following.staged.take().expect("a snapshot was received");
                let (mut state, _, mismatches) = staged.finish_member();
                self.stats.core.digest_mismatches.add(mismatches);
                state.publish(zxid);
                following.cutting = true;
                self.plan.hold();
                let job = installation(&mut state, zxid);
                following.installing = Some(Box::new(state));
                match job {
                    Ok(job) => ensemble.effects.push(Effect::InstallSnapshot(Box::new(job))),
                    Err(error) => ensemble.fail(Reason::System, error.to_string()),
                }
            }
            Output::Leave(reason) => {
                tracing::warn!(%reason, "no longer following");
                self.leave_role(ensemble);
            }
        }
    }

    /// One item from a shard of a follower that serves.
    pub(super) fn following_item(&mut self, ensemble: &mut Ensemble, shard: ShardId, item: &Item, bytes: &[u8]) {
        let body = &bytes[item.body.start as usize..item.body.end as usize];
        if self.local_item(shard, item) {
            return;
        }
        let Role::Following(following) = &mut ensemble.role else { return };
        match &item.what {
            Ask::NewSession { timeout_ms, identities, .. } => {
                let session = self.new_session();
                let live = Live { shard, conn: item.conn, identities: identities.clone() };
                self.live.insert(session, live);
                let auth = self.auth_of(session);
                if !following.create_session(session, *timeout_ms, auth) {
                    self.live.remove(&session);
                    self.tell(shard, item.conn, Tell::Close);
                } else {
                    following.opening.insert(session);
                }
            }
            Ask::Resume { timeout_ms, identities, .. } => {
                let live = Live { shard, conn: item.conn, identities: identities.clone() };
                if following.learner.revalidate(item.session, *timeout_ms, &mut following.fresh).is_err() {
                    return self.tell(shard, item.conn, Tell::Close);
                }
                if let Some((_, older)) = following.resumes.insert(item.session, (*timeout_ms, live)) {
                    self.tell(older.shard, older.conn, Tell::Close);
                }
            }
            what => match Plain::of(what) {
                Some(what) if self.owner(shard, item).is_some() => self.ask(ensemble, shard, item, what, body),
                _ => self.tell(shard, item.conn, Tell::Close),
            },
        }
    }

    /// The identities of a session's connection, as they go with its requests.
    pub(super) fn auth_of(&self, session: SessionId) -> Auth {
        let mut auth = Auth::default();
        for identity in self.live.get(&session).into_iter().flat_map(|live| live.identities.iter()) {
            auth.count += 1;
            put_identity(&mut auth.bytes, &identity.scheme, &identity.id);
        }
        auth
    }

    /// Shards have heard of these sessions.
    pub(super) fn touched_here(&mut self, ensemble: &mut Ensemble, sessions: &[SessionId]) {
        if let Role::Following(following) = &mut ensemble.role {
            for session in sessions {
                if let Some(timeout_ms) = self.state.session_timeout_ms(*session) {
                    following.touched.insert(*session, timeout_ms);
                }
            }
        }
    }
}

/// What it takes to write the state down as a snapshot.
fn installation(state: &mut State, zxid: Zxid) -> Result<SnapshotJob, StoreFull> {
    let mut reader = state.reader()?;
    reader.resume();
    let pin = reader.pin(zxid)?;
    reader.park(false);
    let digest = state.options().digest_enabled.then(|| state.digest());
    let sessions = state.sessions().collect();
    Ok(SnapshotJob { zxid, sessions, digest, acls: Some(state.all_acls()), reader, pin, log_from: None })
}
