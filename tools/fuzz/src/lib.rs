//! What the targets share: servers in virtual time, small enough to be made anew for every input.

use corral::config::Config;
use corral::ids::{SessionId, Zxid};
use corral::limits::{
    BETWEEN_COST, BETWEEN_PRICE, CORE_TURN, CROSSING_COST, OVERRUN_COST, SLICE_COST, TURN_COST, txn_cost,
};
use corral::server::message::Clock;
use corral::server::quorum::{EnsembleOptions, Input, PeerInput};
use corral::sim::disk::SimDisk;
use corral::sim::server::{DIR, SimOptions, SimServer, config, member_options};
use corral::storage::log::writer::LogOptions;
use std::path::Path;

/// Of a server under test: segments that are made in no time.
pub const LOG: LogOptions = LogOptions { max_txn: 64 << 10, buffer_bytes: 64 << 10, segment_bytes: 256 << 10 };

/// The longest packet its peers may send it.
pub const MAX_PACKET: usize = 64 << 10;

/// How an input's server is set up.
pub fn options() -> SimOptions {
    SimOptions { log: LOG, ..Config { output_limit: 1 << 20, ..config() }.into() }
}

/// A server of its own on a disk.
pub fn lone(disk: &SimDisk) -> SimServer {
    SimServer::start(disk, Clock::default(), options(), None)
}

/// Server 1 of these members, before its first turn.
pub fn member(disk: &SimDisk, members: &str) -> SimServer {
    let ensemble = EnsembleOptions { max_packet: MAX_PACKET, ..member_options(members) };
    SimServer::start(disk, Clock::default(), options(), Some(ensemble))
}

/// Goes on until the server has nothing to do, its disk included: what it writes is on it.
pub fn settle(server: &mut SimServer) {
    for _ in 0..10_000 {
        let mut worked = !server.quorum.may_sleep();
        server.at(server.now_ms);
        worked |= server.hand_over_requests();
        server.prepare_real_segment();
        let (write, published) = server.take_work(true);
        worked |= published;
        if let Some(write) = write {
            let bytes = server.quorum.log().bytes(&write).to_vec();
            let path = Path::new(DIR).join(write.segment.file_name());
            server.disk.write_synced(&path, write.offset, &bytes).expect("the disk is well");
            server.quorum.step(Input::Written);
            worked = true;
        }
        worked |= server.take_work(false).1;
        server.shard.take_in();
        let mut ids = vec![];
        server.shard.take_interest(&mut ids);
        server.shard.take_ended(&mut server.ended);
        server.shard.take_dirty(&mut ids);
        // A turn, what was begun before it was over, and what reads between two writes may cost.
        let most = TURN_COST
            + SLICE_COST * 4
            + CROSSING_COST
            + OVERRUN_COST
            + BETWEEN_COST * CROSSING_COST.over(BETWEEN_PRICE);
        assert!(server.shard.spent() <= most, "a turn that costs {:?}", server.shard.spent());
        // And a turn of the core, a multi that comes to nothing in it, and what is let go of.
        let most = CORE_TURN + txn_cost(LOG.max_txn) * 2 + SLICE_COST;
        assert!(server.quorum.spent() <= most, "a turn of the core that costs {:?}", server.quorum.spent());
        if !worked && server.shard.may_sleep() && server.quorum.may_sleep() {
            return;
        }
    }
    panic!("the server never comes to rest");
}

/// The same for a member, whose records are written, too. What else it wants done (to dial, to send) is left undone.
pub fn settle_member(server: &mut SimServer) {
    for _ in 0..1_000 {
        settle(server);
        let mut worked = false;
        for effect in server.take_effects() {
            if let corral::server::quorum::Effect::Write { link, .. } = &effect {
                server.quorum.step(Input::Peer(PeerInput::Written { link: *link }));
                worked = true;
            }
            if let corral::server::quorum::Effect::Record(record) = effect {
                if let corral::server::quorum::Record::Epochs(epochs) = &record {
                    server.write_epochs(*epochs);
                }
                if let Some(written) = record.written() {
                    server.quorum.step(Input::Peer(written));
                }
                worked = true;
            }
        }
        if !worked {
            return;
        }
    }
    panic!("the member never comes to rest");
}

/// Lets so much time pass, in half ticks.
pub fn elapse(server: &mut SimServer, half_ticks: usize) {
    for _ in 0..half_ticks {
        server.at(server.now_ms + 50);
        server.shard.tick();
        server.quorum.step(Input::Tick);
        server.quorum.step(Input::Deadline);
        settle_member(server);
    }
}

/// What must be the same after a restart: the last transaction, the tree, the sessions.
pub fn state(server: &SimServer) -> (Zxid, u64, Vec<(SessionId, i32)>) {
    let state = server.quorum.state();
    (state.head(), state.digest(), state.sessions().collect())
}
