//! What servers show, cut away and lead with, held against what all of them have shown and what is on their disks.

use super::member::Member;
use super::{Cluster, Place};
use crate::ids::Zxid;
use crate::server::quorum::ServerState;
use crate::zab::voters::{Config, ServerId};

impl Cluster {
    /// Holds what a server shows against what all have shown. While it serves nobody, only what all have shown counts.
    pub(super) fn observe(&mut self, place: Place) {
        let Member { server, log, started_from, due, .. } = &self.members[place];
        let Some(server) = server else { return };
        let shown = server.quorum.state().store().published();
        // Whoever tells it to serve has all that was committed when it came, and has told it so. But for what was of later
        // epochs: a leader may learn late that it was one.
        let is_current = !server.quorum.serves() || shown >= *due || shown.epoch() < due.epoch();
        assert!(is_current, "server {} serves and shows {shown}, {due} was shown when it came", place + 1);
        if !server.quorum.serves() {
            // What it has taken over from a leader, or found in its own snapshot, may be committed only now.
            let most = self.oracle.last().max(log.floor()).max(*started_from);
            // Or it led, and comes to know of what the others had acknowledged when it is on its own disk too.
            if shown <= most || shown.counter() == 0 {
                return;
            }
        }
        if !self.members[place].seen.shows(shown) {
            return;
        }
        let floor = self.members[place].log.floor();
        if floor > self.oracle.last() {
            // It has taken over a state that nobody has shown yet: another one's log tells what it is made of.
            let last = self.oracle.last();
            let has_it = |member: &&Member| member.log.floor() <= last && member.log.last() >= floor;
            if let Some(Member { log, seen, .. }) = self.members.iter().find(has_it) {
                let fresh = self.oracle.shown(log, &mut seen.clone(), floor);
                self.check_durable(place, &fresh);
            }
        }
        let Member { log, seen, .. } = &mut self.members[place];
        let fresh = self.oracle.shown(log, seen, shown);
        self.check_durable(place, &fresh);
    }

    /// What a server shows for the first time is on the disks of a quorum (I9, I11): of a configuration that this server
    /// knows.
    fn check_durable(&self, place: Place, fresh: &[Zxid]) {
        for zxid in fresh {
            let disks =
                || self.members.iter().map(|member| (member.log.floor(), member.log.last())).collect::<Vec<_>>();
            let is_durable = self.is_durable(&self.members[place].config, *zxid, None);
            assert!(is_durable, "server {} shows {zxid}, and disks hold {:?}", place + 1, disks());
        }
    }

    /// Whether what was shown at `zxid` is on the disks of a quorum, that of `without` not counted.
    fn is_durable(&self, config: &Config, zxid: Zxid, without: Option<Place>) -> bool {
        let txn = self.oracle.txn(zxid).expect("it was shown");
        let holds = |id: ServerId| {
            let place = id.0 as usize - 1;
            let member = &self.members[place];
            // One with a new disk had it once, for all we know: its acknowledgement counts.
            let has = || member.log.floor() >= zxid || member.log.after(Zxid(zxid.0 - 1)).next() == Some(txn);
            Some(place) != without && (member.is_empty || has())
        };
        config.all().any(|voters| voters.is_quorum_by(holds))
    }

    /// A server has cut its log behind `zxid`: nothing of what goes is committed (I6). But the leader of its very epoch may
    /// take it back from one that has come anew, and commit it meanwhile with others: what this one had acknowledged
    /// counted for nothing then, it was never told, and it is sent all of it again.
    pub(super) fn check_cut(&self, place: Place, zxid: Zxid) {
        let Member { log, seen, epochs, .. } = &self.members[place];
        for lost in self.oracle.lost(log, zxid) {
            let leader = self.leaders.get(&lost.epoch()).filter(|_| epochs.accepted == lost.epoch());
            let by_others =
                leader.is_some_and(|leader| self.is_durable(&self.members[*leader].config, lost, Some(place)));
            assert!(by_others && !seen.has_shown(lost), "{lost} is committed, and server {} cuts it away", place + 1);
        }
    }

    pub(super) fn note_leader(&mut self, place: Place) {
        let Some(server) = &self.members[place].server else { return };
        let roll_overs = server.stats.quorum.roll_overs.value();
        if self.server_state(place) != Some(ServerState::Leading) || !self.serves(place) {
            self.members[place].roll_overs = roll_overs;
            return;
        }
        let Some((zxid, _)) = self.digest(place) else { return };
        match self.leaders.insert(zxid.epoch(), place) {
            None => {
                self.oracle.leads(&self.members[place].log, zxid.epoch());
                if std::mem::replace(&mut self.members[place].roll_overs, roll_overs) < roll_overs {
                    assert_eq!(self.leaders.get(&(zxid.epoch() - 1)), Some(&place), "it led the epoch before");
                    self.roll_overs += 1;
                    self.coverage.count("roll-over");
                }
            }
            Some(before) => assert_eq!(before, place, "two leaders in epoch {}", zxid.epoch()),
        }
    }
}
