//! A member that follows: transactions come from the leader, clients' writes go to it.
//!
//! A client's write is answered by the transaction that comes back with its session and xid.

use super::forwarded::UnderWay;
use super::forwarded_identities::auth_of;
use super::roles::{Following, Joining, Role};
use super::session_queue::Plain;
use super::{Effect, Member, Record};
use crate::fatal::Reason;
use crate::ids::{SessionId, Zxid};
use crate::jute::quorum::Packet;
use crate::limits;
use crate::server::message::{Command, Item, Response, ShardId};
use crate::server::quorum::core::Live;
use crate::server::rebuild::Rebuild;
use crate::server::snapshot::SnapshotJob;
use crate::storage::java::stream::{Received, StreamReceiver};
use crate::storage::replay::Replay;
use crate::storage::snapshot::format::SnapshotHeader;
use crate::tree::state::State;
use crate::tree::store::StoreFull;
use crate::zab::epochs::Epochs;
use crate::zab::leader::LearnerKind;
use crate::zab::learner::{Input, Learner, Options, Output};
use crate::zab::message::Gate;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

impl Member {
    /// The connection to the leader is open.
    pub(super) fn leader_connected(&mut self) {
        let Role::Joining(Joining { leader, master, observer, .. }) = self.role else {
            return self.outbox.push(Effect::CloseLeader);
        };
        let kind = if observer { LearnerKind::Observer } else { LearnerKind::Follower };
        let given = &self.options;
        let (settings, tick_ms) = (&given.settings, self.core.config().tick_ms());
        let (init_limit, sync_limit) = (settings.init_limit.into(), settings.sync_limit.into());
        let mut options = Options::new(given.id, kind, tick_ms, init_limit, sync_limit);
        options.protocol = given.protocol;
        let held = given.secrets.held.at(self.epochs.current);
        options.used_secret = held.used.then_some(held.secret);
        options.config_version = self.election.config().current().version();
        options.max_pending_bytes = limits::learner_pending(given.max_packet);
        let history = self.history.take().expect("no role has it");
        let committed = self.committed_in(&history);
        let gate = Gate::new(history.last(), self.epochs);
        let mut out = vec![];
        let learner = Learner::new(options, self.epochs, history, committed, self.core.now_ms(), &mut out);
        self.role = Role::Following(Box::new(Following {
            learner,
            gate,
            kind,
            inbox: vec![],
            inbox_limit: limits::leader_inbox(self.options.max_packet),
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
        self.follow(out);
    }

    /// The leader has sent these bytes.
    pub(super) fn leader_sent(&mut self, bytes: &[u8]) {
        if let Role::Following(following) = &mut self.role {
            following.inbox.extend_from_slice(bytes);
        }
        self.read_leader();
        if let Role::Following(following) = &mut self.role
            && !following.inbox.is_empty()
        {
            // Part of a long packet has come: the leader is not silent.
            self.step_learner(Input::Progress);
        }
    }

    /// Decodes and executes what the leader has sent, as far as there is room.
    pub(super) fn read_leader(&mut self) {
        let max = self.options.max_packet;
        let now = self.core.now_ms();
        let mut inbox = match &mut self.role {
            Role::Following(following) => std::mem::take(&mut following.inbox),
            _ => return,
        };
        let mut done = 0;
        self.perform_ready();
        while !self.core.is_busy()
            && let Role::Following(following) = &mut self.role
            && following.outputs.is_empty()
            && !following.cutting
            && !following.recording
            && done < inbox.len()
            && !self.core.is_spent()
        {
            let mut out = vec![];
            if let (Some(receiver), Some(staged)) = (&mut following.receiving, &mut following.staged) {
                let input = match receiver.push(&inbox[done..], &mut **staged) {
                    Ok(Received { taken, done: false }) => {
                        done += taken;
                        following.learner.step(Input::Progress, now, &mut out);
                        self.follow(out);
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
                self.follow(out);
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
            self.follow(out);
        }
        if let Role::Following(following) = &mut self.role {
            inbox.drain(..done);
            following.inbox = inbox;
        }
    }

    pub(super) fn leader_gone(&mut self) {
        self.step_learner(Input::Closed);
        self.no_leader();
    }

    pub(super) fn tick_following(&mut self) {
        self.step_learner(Input::Tick);
    }

    pub(super) fn log_cut(&mut self, zxid: Zxid) {
        self.core.release_snapshots();
        let Role::Following(following) = &mut self.role else { return };
        following.cutting = false;
        self.core.take_back(zxid);
        self.log_durable_following(zxid);
        self.read_leader();
    }

    /// The snapshot of the leader's state is on disk, and the log continues after it: it becomes this server's state.
    pub(super) fn snapshot_installed(&mut self, zxid: Zxid) {
        self.core.release_snapshots();
        let Role::Following(following) = &mut self.role else { return };
        let Some(state) = following.installing.take() else { return };
        following.cutting = false;
        if let Err(error) = self.core.adopt(*state, zxid) {
            return self.fail(Reason::System, error.to_string());
        }
        self.log_durable_following(zxid);
        self.read_leader();
    }

    /// The transactions that the leader wants removed stay on disk. Every later leader would see them, and no other way
    /// leads from this log to the leader's.
    pub(super) fn log_cut_failed(&mut self, to: Zxid) {
        let what = format!("the leader has nothing behind {to}, and no snapshot and log end there");
        self.fail(Reason::CannotTruncate, what);
    }

    pub(super) fn step_learner(&mut self, input: Input<'_>) {
        let Role::Following(following) = &mut self.role else { return };
        let mut out = vec![];
        following.learner.step(input, self.core.now_ms(), &mut out);
        self.follow(out);
    }

    pub(super) fn log_durable_following(&mut self, zxid: Zxid) {
        let Role::Following(following) = &mut self.role else { return };
        following.gate.log_durable(zxid);
        self.open_gate();
    }

    pub(super) fn epochs_durable_following(&mut self, epochs: Epochs) {
        let Role::Following(following) = &mut self.role else { return };
        following.gate.epochs_durable(epochs);
        self.open_gate();
    }

    fn open_gate(&mut self) {
        while let Role::Following(following) = &mut self.role
            && let Some(output) = following.gate.next()
        {
            following.outputs.push_back(output);
        }
        self.perform_ready();
    }

    /// Passes new outputs through the gate, and executes those that it lets through.
    fn follow(&mut self, out: Vec<Output>) {
        let Role::Following(following) = &mut self.role else { return };
        for output in out {
            if let Some(output) = following.gate.pass(output) {
                following.outputs.push_back(output);
            }
        }
        self.perform_ready();
    }

    /// Executes outputs as far as that is possible now.
    fn perform_ready(&mut self) {
        while !self.core.is_busy()
            && let Role::Following(following) = &mut self.role
            && !following.cutting
            && !following.recording
            && !following.outputs.is_empty()
            && !self.core.is_spent()
            && let Some(output) = following.outputs.pop_front()
        {
            self.perform(output);
        }
    }

    /// Forwards what clients requested in this turn.
    pub(super) fn forward_fresh(&mut self) {
        if let Role::Following(following) = &mut self.role {
            let fresh = std::mem::take(&mut following.fresh);
            self.follow(fresh);
        }
    }

    fn perform(&mut self, output: Output) {
        let Role::Following(following) = &mut self.role else { return };
        match output {
            Output::Send { message, .. } => message.put(&mut self.outbox.to_leader),
            Output::WriteEpochs { epochs, .. } => self.write_epochs(epochs),
            Output::Agreed(agreed) => {
                let epoch = following.learner.leader_epoch();
                self.agreed(epoch, agreed);
            }
            Output::Append(txn) => self.append(txn),
            Output::Truncate { to } => {
                following.cutting = true;
                self.core.hold_snapshots();
                self.outbox.push(Effect::CutLog(to));
            }
            Output::Commit { upto } => {
                if !following.serves {
                    self.show_config(Zxid::ZERO);
                }
                self.core.commit(upto);
            }
            Output::Serve { epoch, .. } if following.serves => self.followed_over(epoch),
            Output::Serve { epoch, .. } => {
                following.serves = true;
                self.search.masters_failed = 0;
                let through = following.master.0;
                if !std::mem::replace(&mut self.has_database, true) {
                    self.outbox.push(Effect::Record(Record::Complete));
                }
                self.begin_epoch(epoch);
                tracing::info!(epoch, zxid = %self.core.head(), through, "following");
                self.publish_role();
                self.announce_epoch(epoch);
            }
            Output::CollectTouches { ping } => {
                let touched = std::mem::take(&mut following.touched);
                let mut out = vec![];
                following.learner.touched(ping, touched, &mut out);
                self.follow(out);
            }
            Output::Revalidated { session, valid } => {
                if let Some((timeout_ms, live)) = following.resumes.remove(&session) {
                    self.core.take_over(session, timeout_ms, live, valid);
                }
            }
            Output::Synced { tag } => self.synced(tag),
            Output::Activate { config, designated } => self.config_agreed(config, designated),
            Output::ConfigSeen(config) => self.config_seen(config),
            Output::ReceiveSnapshot { zxid } => {
                tracing::info!(%zxid, "the leader sends a snapshot");
                let header = SnapshotHeader { zxid, ..SnapshotHeader::default() };
                following.receiving = Some(Box::new(StreamReceiver::new(header, self.options.max_packet)));
                let rebuild = Rebuild::for_learner(self.core.state().options().clone(), self.options.history_limits);
                following.staged = Some(Box::new(rebuild));
            }
            Output::Stage(txn) => {
                let staged = following.staged.as_mut().expect("a snapshot was received");
                if let Err(error) = staged.txn(txn.zxid, &txn.bytes) {
                    tracing::warn!(%error, "a transaction does not fit the leader's snapshot");
                    self.step_learner(Input::SnapshotFailed);
                }
            }
            Output::PersistSnapshot { zxid } => {
                let staged = following.staged.take().expect("a snapshot was received");
                let (mut state, _, mismatches) = staged.finish_member();
                self.core.stats().core.digest_mismatches.add(mismatches);
                state.publish(zxid);
                following.cutting = true;
                self.core.hold_snapshots();
                let job = installation(&mut state, zxid);
                following.installing = Some(Box::new(state));
                match job {
                    Ok(job) => self.outbox.push(Effect::InstallSnapshot(Box::new(job))),
                    Err(error) => self.fail(Reason::System, error.to_string()),
                }
            }
            Output::Leave(reason) => {
                tracing::warn!(%reason, "no longer following");
                self.leave_role();
            }
        }
    }

    /// One item from a shard of a follower that serves.
    pub(super) fn following_item(&mut self, shard: ShardId, item: &Item, bytes: &[u8]) {
        let body = &bytes[item.body.start as usize..item.body.end as usize];
        if self.core.local_item(shard, item) {
            return;
        }
        let Role::Following(following) = &mut self.role else { return };
        match &item.what {
            Command::NewSession { timeout_ms, identities, .. } => {
                let session = self.core.new_session();
                let live = Live::of(shard, item.conn, identities);
                self.core.sessions.live.insert(session, live);
                let auth = auth_of(&self.core.sessions, session);
                if !following.create_session(session, *timeout_ms, auth) {
                    self.core.sessions.live.remove(&session);
                    self.core.respond(shard, item.conn, Response::Close);
                } else {
                    following.opening.insert(session);
                }
            }
            Command::Resume { timeout_ms, identities, .. } => {
                let live = Live::of(shard, item.conn, identities);
                if following.learner.revalidate(item.session, *timeout_ms, &mut following.fresh).is_err() {
                    return self.core.respond(shard, item.conn, Response::Close);
                }
                if let Some((_, older)) = following.resumes.insert(item.session, (*timeout_ms, live)) {
                    self.core.respond(older.shard, older.conn, Response::Close);
                }
            }
            what => match Plain::of(what) {
                Some(what) if self.core.sessions.owner(shard, item).is_some() => self.submit(shard, item, what, body),
                _ => self.core.respond(shard, item.conn, Response::Close),
            },
        }
    }

    /// Shards have heard of these sessions.
    pub(super) fn touched_here(&mut self, sessions: &[SessionId]) {
        if let Role::Following(following) = &mut self.role {
            for session in sessions {
                if let Some(timeout_ms) = self.core.state().session_timeout_ms(*session) {
                    following.touched.insert(*session, timeout_ms);
                }
            }
        }
    }
}

/// The job that writes the state as a snapshot.
fn installation(state: &mut State, zxid: Zxid) -> Result<SnapshotJob, StoreFull> {
    let mut reader = state.reader()?;
    reader.resume();
    let pin = reader.pin(zxid)?;
    reader.park(false);
    let digest = state.options().config.digest_enabled.then(|| state.digest());
    let sessions = state.sessions().collect();
    Ok(SnapshotJob { zxid, sessions, digest, acls: Some(state.all_acls()), reader, pin, log_from: None })
}
