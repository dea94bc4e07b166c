//! Reconfigurations that were interrupted: all servers went down when some had the proposal, and not all come back.
//!
//! A scene is what each server was, what it is to be, who has the proposal in its files and who stays down. What has to come of
//! it follows from that: nobody leads without a quorum of the old configuration; a quorum of the old voters that all have the
//! proposal completes it with a quorum of the new ones, and does nothing without. (ZooKeeper 3.9, `ReconfigRecoveryTest`.)

use super::super::*;
use super::reconfig::*;
use super::writers::{Client, work};
use crate::zab::voters::{Config, ServerId, Voters};
use std::collections::BTreeSet;

/// Versions of the configuration of before and of the proposed one.
const OLD: i64 = 1 << 32;
const NEXT: i64 = 2 << 32;

/// However a server has to go about it, this is enough.
const LIMIT_MS: i64 = 60_000;

/// By then a leader that could be there would be.
const NOBODY_MS: i64 = 20_000;

/// What has to come of a scene.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// What was proposed is what all act by.
    Completed,
    /// It comes to nothing.
    Dropped,
    /// One or the other, and the same for all.
    Either,
    /// Nobody may lead.
    Nobody,
    /// Nobody need lead; who does acts by the old one.
    Perhaps,
}

/// A server's part for each character: `V`otes, `O`bserves, `-` does not belong to it.
#[derive(Clone, Copy, Debug)]
struct Scene<'a> {
    old: &'a str,
    next: &'a str,
    /// Ids of those with the proposal, and of those who stay down.
    holders: &'a [usize],
    down: &'a [usize],
}

fn lines(roles: &str) -> String {
    let role = |role| match role {
        'V' => Some("participant"),
        'O' => Some("observer"),
        _ => None,
    };
    let listed = roles.chars().enumerate().filter_map(|(at, part)| Some(line(at + 1, role(part)?) + "\n"));
    listed.collect()
}

fn voters(roles: &str, version: i64) -> Voters {
    Voters::parse(lines(roles).as_bytes()).expect("a configuration").with_version(version)
}

impl Scene<'_> {
    fn has(roles: &str, id: usize) -> bool {
        roles.as_bytes()[id - 1] != b'-'
    }

    fn ids(&self) -> impl Iterator<Item = usize> {
        1..=self.old.len()
    }

    /// Whoever is in neither is nobody.
    fn is_up(&self, id: usize) -> bool {
        (Self::has(self.old, id) || Self::has(self.next, id)) && !self.down.contains(&id)
    }

    fn expected(&self) -> End {
        let old = voters(self.old, OLD);
        let quorum = |voters: &Voters, count: &dyn Fn(usize) -> bool| {
            voters.is_quorum_by(|id| self.is_up(id.0 as usize) && count(id.0 as usize))
        };
        let holds = |id: usize| self.holders.contains(&id);
        let someone_holds = self.ids().any(|id| self.is_up(id) && holds(id));
        let without = quorum(&old, &|id| !holds(id));
        if !quorum(&old, &|_| true) {
            return End::Nobody;
        }
        let next_is_up = quorum(&voters(self.next, NEXT), &|_| true);
        let all_hold = self.ids().all(|id| !old.is_voter(ServerId(id as i64)) || !self.is_up(id) || holds(id));
        match (someone_holds, next_is_up) {
            (false, _) => End::Dropped,
            (true, true) if all_hold => End::Completed,
            (true, true) => End::Either,
            (true, false) if all_hold => End::Nobody,
            (true, false) if without => End::Dropped,
            (true, false) => End::Perhaps,
        }
    }

    /// The servers as they come back. `ran`: those of the old configuration have been a while, and have written.
    fn set(&self, ran: bool, seed: u64) -> (Cluster, Vec<Client>) {
        let mut cluster = Cluster::new(0, seed);
        cluster.settings.standalone_enabled = false;
        (cluster.config.reconfig_enabled, cluster.config.skip_acl) = (true, true);
        let (old, next) = (voters(self.old, OLD), voters(self.next, NEXT));
        for id in self.ids() {
            // Who joins has been told of the others and of itself.
            let text = lines(self.old) + &line(id, "participant");
            let place = if Self::has(self.old, id) { cluster.add(&lines(self.old)) } else { cluster.add(&text) };
            if Self::has(self.old, id) {
                cluster.members[place].config = Config::new(old.clone(), None);
            }
        }
        let mut clients: Vec<Client> = (0..2).map(Client::new).collect();
        if ran {
            let members: Vec<Place> = self.ids().filter(|id| Self::has(self.old, *id)).map(|id| id - 1).collect();
            members.iter().for_each(|place| cluster.start(*place));
            let serve = |cluster: &mut Cluster| members.iter().all(|place| cluster.serves(*place));
            assert!(cluster.run(10_000, serve), "{self:?}: {:?}", cluster.server_states());
            work(&mut cluster, &mut clients, 300);
            members.iter().for_each(|place| cluster.crash(*place));
        }
        for id in self.holders {
            let current = cluster.members[id - 1].config.current().clone();
            cluster.members[id - 1].config = Config::new(current, Some(next.clone()));
        }
        for id in self.ids().filter(|id| self.is_up(*id)) {
            cluster.start(id - 1);
        }
        (cluster, clients)
    }

    fn play(&self, expected: End, ran: bool, seed: u64) {
        let what = format!("{self:?}, ran: {ran}, seed {seed}");
        let (mut cluster, mut clients) = self.set(ran, seed);
        let mut up: Vec<Place> = self.ids().filter(|id| self.is_up(*id)).map(|id| id - 1).collect();
        if matches!(expected, End::Nobody | End::Perhaps) {
            let served = cluster.run(NOBODY_MS, |cluster| up.iter().any(|place| cluster.serves(*place)));
            assert!(!served || expected == End::Perhaps, "{what}: {:?}", cluster.server_states());
            for id in self.down.iter().filter(|id| Self::has(self.old, **id) || Self::has(self.next, **id)) {
                cluster.start(id - 1);
                up.push(id - 1);
            }
        }
        let versions = |cluster: &Cluster| -> BTreeSet<Option<i64>> {
            up.iter().map(|place| cluster.shown(*place).map(|shown| shown.version())).collect()
        };
        let serve = |cluster: &mut Cluster| {
            cluster.leader().is_some() && up.iter().all(|place| cluster.serves(*place)) && versions(cluster).len() == 1
        };
        let came = cluster.run(LIMIT_MS, serve);
        assert!(came, "{what}: {:?} {:x?}", cluster.server_states(), versions(&cluster));
        let shown = versions(&cluster).into_iter().flatten().next();
        let allowed: &[i64] = match expected {
            End::Completed => &[NEXT],
            End::Dropped => &[OLD],
            _ => &[OLD, NEXT],
        };
        assert!(shown.is_some_and(|shown| allowed.contains(&shown)), "{what}: {shown:x?}");
        work(&mut cluster, &mut clients, 300);
        agree(&mut cluster, &up, &clients);
    }
}

/// The scenes of ZooKeeper's own test, and those it leaves out where one server observes.
#[test]
fn what_was_interrupted_is_finished() {
    let scene = |old, next, holders, down| Scene { old, next, holders, down };
    for (scene, expected) in [
        // One votes, the other observes; both are to vote.
        (scene("VO", "VV", &[1, 2], &[]), End::Completed),
        (scene("OV", "VV", &[1, 2], &[]), End::Completed),
        (scene("VO", "VV", &[1], &[]), End::Completed),
        (scene("VO", "VV", &[2], &[]), End::Either),
        (scene("VO", "VV", &[1, 2], &[2]), End::Nobody),
        (scene("VV", "VO", &[1, 2], &[]), End::Completed),
        (scene("VV", "OV", &[1], &[]), End::Either),
        (scene("VO", "OV", &[1, 2], &[]), End::Completed),
        // A third joins; who has not heard of the proposal starts with itself and the others.
        (scene("VV-", "VVV", &[1, 2], &[3]), End::Completed),
        (scene("VV-", "VVV", &[1, 2], &[]), End::Completed),
        (scene("VV---", "OOVVV", &[1, 2], &[]), End::Completed),
        (scene("VV---", "OOVVV", &[1, 2], &[5]), End::Completed),
        (scene("VV---", "VVVVV", &[1, 2], &[3, 4, 5]), End::Nobody),
        (scene("VVO-", "--VV", &[1, 2, 3], &[]), End::Completed),
        (scene("VVO-", "--VV", &[1, 2], &[]), End::Completed),
        (scene("VVO-", "--VV", &[1, 2, 3], &[1]), End::Nobody),
        // Nobody who is there has heard of it.
        (scene("VVV", "VV-", &[3], &[3]), End::Dropped),
        (scene("VVVO", "VVVV", &[2], &[2]), End::Dropped),
        // One has, and cannot complete it.
        (scene("VVV--", "--VVV", &[3], &[4, 5]), End::Dropped),
        (scene("VVV--", "V--VV", &[1], &[4, 5]), End::Dropped),
    ] {
        assert_eq!(scene.expected(), expected, "{scene:?}");
        for ran in [false, true] {
            (0..2).for_each(|seed| scene.play(expected, ran, seed));
        }
    }
}

/// Scenes drawn from all there are of up to five servers.
#[test]
fn whatever_was_interrupted_ends_as_it_must() {
    let seeds = std::env::var("CORRAL_SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(40);
    let mut ends = BTreeSet::new();
    for seed in 0..seeds {
        let mut draw = Cluster::new(0, 7_000 + seed);
        let servers = 2 + draw.pick(4);
        let mut roles = |least: usize| loop {
            let drawn: String = (0..servers).map(|_| ['V', 'V', 'O', '-'][draw.pick(4)]).collect();
            if drawn.matches('V').count() >= least {
                return drawn;
            }
        };
        let (old, next) = (roles(1), roles(1));
        let mut ids = |of_four: usize, among: &dyn Fn(usize) -> bool| -> Vec<usize> {
            (1..=servers).filter(|id| draw.pick(4) < of_four && among(*id)).collect()
        };
        let holders = ids(3, &|id| Scene::has(&old, id));
        let down = ids(1, &|_| true);
        let scene = Scene { old: &old, next: &next, holders: &holders, down: &down };
        let expected = scene.expected();
        ends.insert(format!("{expected:?}"));
        scene.play(expected, seed % 2 == 0, seed);
    }
    assert!(ends.len() >= 4 || seeds < 40, "{ends:?}");
}

/// A server that has the transaction of a reconfiguration in its log and not in its files yet was the one to tell the others
/// about it: with the quorum of the old configuration alone it may not go on.
#[test]
fn a_reconfiguration_that_is_only_in_the_log_is_known_after_a_restart() {
    let mut cluster = started(3, 77);
    agree(&mut cluster, &[0, 1, 2], &[]);
    let before = cluster.file(0).clone();
    let (fourth, fifth) = (join(&mut cluster, "participant"), join(&mut cluster, "participant"));
    let joining = [line(4, "participant"), line(5, "participant")].join(",");
    reconfigure(&mut cluster, &Change { joining: Some(&joining), leaving: Some("1,2"), ..NOTHING });
    agree(&mut cluster, &[2, fourth, fifth], &[]);
    let agreed = cluster.file(2).clone();
    (0..5).for_each(|place| cluster.crash(place));
    // The two that left hold a quorum of the configuration of before.
    cluster.members[0].config = Config::new(before.current().clone(), Some(agreed.current().clone()));
    cluster.members[1].config = before;
    cluster.start(0);
    cluster.start(1);
    let served = cluster.run(NOBODY_MS, |cluster| cluster.serves(0) || cluster.serves(1));
    assert!(!served, "{:?}", cluster.server_states());
    for place in [2, fourth, fifth] {
        cluster.start(place);
    }
    agree(&mut cluster, &[0, 1, 2, fourth, fifth], &[]);
    assert_eq!(cluster.file(0).current(), agreed.current());
}
