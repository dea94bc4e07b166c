//! How servers of an ensemble start, stop and crash, and what is done to the disk of one that is down.

use super::event::{Event, LOG, Place};
use super::member::{Member, Worker};
use super::{Cluster, write_frame};
use crate::fatal::Fatal;
use crate::ids::Zxid;
use crate::limits;
use crate::server::quorum::{EnsembleOptions, Input, Listen, MemberSecrets};
use crate::sim::disk::SimDisk;
use crate::sim::server::{SimOptions, SimServer, TICK_MS, member_secrets};
use crate::storage::log::writer::LogOptions;
use crate::zab::epochs::Epochs;
use crate::zab::history::History;
use crate::zab::voters::{Config, ServerId, Voters};
use std::sync::Arc;

impl Cluster {
    /// One more server, not started, whose file has this text.
    pub fn add(&mut self, text: &str) -> Place {
        let voters = Voters::parse(text.as_bytes()).expect("a configuration");
        self.members.push(Member::new(Config::new(voters, None)));
        self.members.len() - 1
    }

    fn log_options(&self) -> LogOptions {
        let Some(max_txn) = self.max_frame.map(limits::max_txn) else { return LOG };
        LogOptions { max_txn, segment_bytes: limits::segment(0, max_txn), ..LogOptions::default() }
    }

    /// Starts a server on what its disk holds.
    pub fn start(&mut self, place: Place) {
        self.try_start(place).unwrap_or_else(|fatal| panic!("server {}: {fatal}", place + 1));
    }

    /// The same, or why it does not go on from what it finds.
    pub fn try_start(&mut self, place: Place) -> Result<(), Fatal> {
        let id = ServerId(place as i64 + 1);
        let log = self.log_options();
        let member = &mut self.members[place];
        assert!(member.server.is_none(), "it runs");
        // One that was taken away stays where it was.
        if let Some(own) = member.config.member(id) {
            member.listens = Listen { client: own.client.clone(), peers: Some(own.addresses.clone()) };
        }
        let addresses = member.listens.peers.iter().flatten();
        let options = EnsembleOptions {
            id,
            config: member.config.clone(),
            election_addresses: addresses.map(|address| (address.host.clone(), address.election_port)).collect(),
            settings: Arc::new(self.settings.clone()),
            history_limits: self.history_limits,
            // What it finds takes the place of these three.
            epochs: Epochs::default(),
            history: History::new(self.history_limits, Zxid::ZERO),
            has_database: true,
            max_packet: self.max_frame.map_or(1 << 20, limits::max_txn),
            secrets: MemberSecrets { zookeeper: self.settings.zookeeper_passwords, ..member_secrets(id.0 as u8) },
            protocol: member.protocol,
        };
        let clock = member.clocks.at(self.now_ms);
        let mut config = self.config.clone();
        config.create_database = member.incarnation == 0;
        if let Some(max_frame) = self.max_frame {
            config.max_buffer = max_frame as u32;
        }
        let sim = SimOptions { log, uncommitted_bytes: self.uncommitted_bytes, ..config.into() };
        let mut server = SimServer::try_start(&member.disk, clock, sim, Some(options))?;
        member.incarnation += 1;
        let found = server.recovered.take().expect("a member's");
        // One with an empty disk has lost its log and its promises, and says so.
        member.seen.restarted(&member.log, &found);
        assert!(member.is_empty || server.epochs().reach(member.epochs), "a promise of an epoch is lost");
        member.is_rotten = false;
        member.roll_overs = 0;
        member.due = Zxid::ZERO;
        // It may have been brought up to date and gone down before it knew that this is written.
        member.is_empty &= !server.is_complete();
        member.epochs = server.epochs();
        member.started_from = found.floor();
        // What it found may begin later than what is known of its log: a snapshot says no more what it is made of.
        if member.log.last() < found.floor() {
            member.log.reset(found.floor());
        }
        let known = member.log.last();
        found.after(known).for_each(|txn| member.log.push(txn.clone()));
        member.server = Some(server);
        member.disk.fold();
        let incarnation = member.incarnation;
        self.note(&[11, place as u64]);
        self.after(TICK_MS / 2, Event::Tick { place, incarnation });
        self.act(place);
        Ok(())
    }

    /// Ends a server as a loss of power does: what the disk was not told to keep may be gone, and of what it was being
    /// told any part may be there.
    pub fn crash(&mut self, place: Place) {
        let is_running = self.runs(place);
        let record = is_running.then(|| self.lose_records(place)).flatten();
        let member = &mut self.members[place];
        let kept = member.disk.changes();
        // What is under way may have come any way, down to a sector of it.
        if let (Some(server), Some(write)) = (&mut member.server, member.write.take()) {
            self.coverage.count("crash with a write under way");
            write_frame(&member.disk, server, &write);
        }
        if let Some(record) = record {
            member.begin_record(record);
        }
        let upto = kept + self.choices.pick(member.disk.changes() - kept + 1);
        member.server = None;
        member.reader = Worker::default();
        member.is_paused = false;
        member.waiting.clear();
        member.wanting.clear();
        member.deadline_at_ms = i64::MAX;
        member.disk = member.disk.crash(upto, &mut self.choices);
        self.note(&[12, place as u64]);
        self.disconnect(|ends| ends.contains(&place));
        self.silence(place);
    }

    /// Tells a server that its process is to end.
    pub fn stop(&mut self, place: Place) {
        let server = self.server(place).expect("it runs");
        server.shard.stop_taking();
        server.quorum.step(Input::Stop);
        self.act(place);
    }

    /// Lets a server's monotonic clock run fast by so many thousandths, or slow.
    pub fn drift(&mut self, place: Place, thousandths: i64) {
        let now_ms = self.now_ms;
        self.members[place].clocks.run_fast(thousandths, now_ms);
    }

    /// Sets a server's wall clock, this much ahead of where it would be.
    pub fn jump(&mut self, place: Place, ms: i64) {
        self.members[place].clocks.set_wall(ms);
    }

    /// What a server's disk takes for a write on top of the usual.
    pub fn slow_disk(&mut self, place: Place, ms: i64) {
        self.members[place].disk_delay_ms = ms;
    }

    /// The disk of a server that is down.
    pub fn disk(&mut self, place: Place) -> &SimDisk {
        assert!(!self.runs(place), "it runs");
        &self.members[place].disk
    }

    /// Voters that have lost what they had acknowledged, or will be found to have.
    pub fn damaged(&self) -> usize {
        (0..self.voter_count).filter(|place| self.is_damaged(*place)).count()
    }

    /// Whether a server is one of those.
    pub fn is_damaged(&self, place: Place) -> bool {
        self.members[place].is_empty || self.members[place].is_rotten
    }

    /// Whether a server's disk has been damaged, and it has not been started since.
    pub fn is_rotten(&self, place: Place) -> bool {
        self.members[place].is_rotten
    }

    /// The disk of a server that is down was damaged.
    pub fn note_rot(&mut self, place: Place) {
        self.members[place].is_rotten = true;
    }

    /// Gives a server that is down an empty disk.
    pub fn wipe(&mut self, place: Place) {
        let member = &mut self.members[place];
        assert!(member.server.is_none(), "it runs");
        member.is_empty = true;
        member.is_rotten = false;
        member.log.reset(Zxid::ZERO);
        member.disk = SimDisk::new();
    }
}
