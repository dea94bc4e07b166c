//! Answers four-letter words for a running server, by the table of [`super::word`]: from its counters at once, or from what its
//! shards and its quorum core tell of themselves.

use super::sources::{Sources, TreeSize};
use super::word::{self, Whitelist, WordContext};
use crate::config::Config;
use crate::runtime::Server;
use crate::server::facts::{AdminPlane, Facts, WordAnswer};
use crate::server::stats::{Mode, Stats};
use std::sync::Arc;
use std::time::Instant;

/// Whoever answers the words of one server.
pub(crate) struct Plane {
    sources: Sources,
    whitelist: Whitelist,
}

/// Makes the plane of a server that is being started.
pub fn for_server(server: &Server) -> Arc<dyn AdminPlane> {
    let store = server.store.clone();
    let tree = move || TreeSize { znodes: store.znodes(), data_bytes: store.data_bytes() };
    Arc::new(Plane::new(server.config.clone(), server.stats.clone(), server.started, Box::new(tree)))
}

impl Plane {
    /// A plane over a server's configuration and counters.
    pub(crate) fn new(
        config: Arc<Config>,
        stats: Arc<Stats>,
        started: Instant,
        tree: Box<dyn Fn() -> TreeSize + Send + Sync>,
    ) -> Plane {
        let whitelist = Whitelist::new(&config.four_letter_words, config.read_only_mode);
        Plane { sources: Sources::new(config, stats, started, tree), whitelist }
    }
}

impl AdminPlane for Plane {
    fn answer(&self, word: [u8; 4], argument: &[u8], facts: Option<&Facts>) -> WordAnswer {
        let Some(word) = word::find(word) else { return WordAnswer::Text(Vec::new()) };
        if !self.whitelist.allows(word) {
            return WordAnswer::Text(Whitelist::refusal(word).into_bytes());
        }
        if let Some(answer) = word.without_place
            && self.sources.stats.quorum.mode() == Mode::NotServing
        {
            return WordAnswer::Text(answer.into());
        }
        if facts.is_none() && !word.needs.is_empty() {
            return WordAnswer::Needs(word.needs);
        }
        let (nothing, mut out) = (Facts::default(), Vec::new());
        let facts = facts.unwrap_or(&nothing);
        (word.answer)(&WordContext { sources: &self.sources, argument, facts }, &mut out);
        WordAnswer::Text(out)
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::facts;
    use super::super::word::WORDS;
    use super::*;
    use crate::config::{self, Overrides, Present, Profile, Source};
    use std::path::Path;
    use std::sync::atomic::Ordering::Relaxed;

    fn plane(words: &[&str]) -> Plane {
        let mut config = Config::defaults(Profile::Small, 1);
        config.four_letter_words = words.iter().map(|word| word.to_string()).collect();
        let stats = Stats::new(2);
        stats.shards[0].received.add(3);
        stats.shards[1].received.add(4);
        stats.shards[0].latency.record(2);
        stats.shards[1].latency.record(5);
        stats.shards[1].responded(16);
        stats.core.zxid.store(0x2a, Relaxed);
        let tree = || TreeSize { znodes: 4, data_bytes: 44 };
        Plane::new(Arc::new(config), Arc::new(stats), Instant::now(), Box::new(tree))
    }

    fn text(answer: WordAnswer) -> String {
        match answer {
            WordAnswer::Text(text) => String::from_utf8(text).unwrap(),
            WordAnswer::Needs(_) => panic!("no text yet"),
        }
    }

    #[test]
    fn every_word_is_answered_at_once_or_after_asking() {
        let plane = plane(&["*"]);
        for word in WORDS {
            let answer = match plane.answer(word.bytes, &[0; 8], None) {
                WordAnswer::Needs(questions) => {
                    assert_eq!(questions, word.needs);
                    text(plane.answer(word.bytes, &[], Some(&facts())))
                }
                answer => text(answer),
            };
            assert_eq!(answer.is_empty(), word.name == "telnet close", "{}", word.name);
        }
    }

    #[test]
    fn a_member_without_its_place_says_so_and_no_more() {
        let plane = plane(&["*"]);
        let is = |mode: Mode| plane.sources.stats.quorum.mode.store(mode as u8, Relaxed);
        is(Mode::NotServing);
        for word in WORDS {
            let answer = text(plane.answer(word.bytes, &[0; 8], None));
            match word.name {
                "ruok" | "envi" | "gtmk" | "stmk" => assert!(!answer.contains("serving"), "{answer}"),
                "telnet close" => assert_eq!(answer, ""),
                "isro" => assert_eq!(answer, "null"),
                _ => assert_eq!(answer.trim_end(), "This ZooKeeper instance is not currently serving requests"),
            }
        }
        is(Mode::Leader);
        plane.sources.stats.quorum.voters.set(3);
        let mntr = text(plane.answer(*b"mntr", &[], None));
        assert!(mntr.contains("\nzk_quorum_size\t3\n") && mntr.contains("\nzk_synced_followers\t0\n"), "{mntr}");
        assert!(mntr.contains("\nzk_last_proposal_size\t-1\n"), "{mntr}");
        is(Mode::Follower);
        assert!(text(plane.answer(*b"srvr", &[], None)).contains("\nMode: follower\n"));
        assert_eq!(text(plane.answer(*b"isro", &[], None)), "rw");
    }

    #[test]
    fn the_whitelist_holds() {
        let plane = plane(&["ruok"]);
        assert_eq!(text(plane.answer(*b"ruok", &[], None)), "imok");
        for word in WORDS.iter().filter(|word| !matches!(word.name, "ruok" | "srvr" | "telnet close")) {
            assert_eq!(text(plane.answer(word.bytes, &[0; 8], Some(&facts()))), Whitelist::refusal(word));
        }
    }

    #[test]
    fn counters_of_all_shards_are_added() {
        let plane = plane(&["*"]);
        let srvr = text(plane.answer(*b"srvr", &[], None));
        assert!(srvr.contains("\nLatency min/avg/max: 2/3.5/5\nReceived: 7\n"), "{srvr}");
        assert!(srvr.ends_with("\nZxid: 0x2a\nMode: standalone\nNode count: 5\n"), "{srvr}");
        let mntr = text(plane.answer(*b"mntr", &[], None));
        assert!(mntr.contains("\nzk_min_client_response_size\t16\n"), "{mntr}");
        assert!(mntr.contains("\nzk_approximate_data_size\t44\n"), "{mntr}");
    }

    #[test]
    fn the_trace_mask_is_kept() {
        let plane = plane(&["*"]);
        assert_eq!(text(plane.answer(*b"gtmk", &[], None)), "306");
        assert_eq!(text(plane.answer(*b"stmk", &[0, 0, 0, 0, 0, 0, 1, 0], None)), "256");
        assert_eq!(text(plane.answer(*b"stmk", &[1, 2, 3], None)), "");
        assert_eq!(text(plane.answer(*b"gtmk", &[], None)), "256");
    }

    /// It used to be that of the start: whoever changed a port by a reconfiguration was shown the old one.
    #[test]
    fn conf_is_the_configuration_of_now() {
        let resolve = |lines: &str| {
            let text = format!(
                "{lines}dataDir=/d\nclientPort=2181\ninitLimit=9\nsyncLimit=5\ncorral.insecureQuorum=true\n4lw.commands.whitelist=*\n"
            );
            let source = Source { name: "/c/zoo.cfg", bytes: text.as_bytes() };
            let my_id = |path: &Path| Ok((path == Path::new("/d/myid")).then(|| b"2".to_vec()));
            config::resolve(Some(&source), &Overrides::default(), 2, &my_id).unwrap().0
        };
        let start = resolve("server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\n");
        let stats = Stats::new(1);
        let plane = Plane::new(Arc::new(start), Arc::new(stats), Instant::now(), Box::new(TreeSize::default));
        let conf = || text(plane.answer(*b"conf", &[], None));
        assert!(conf().starts_with("clientPort=2181\n") && conf().contains("\nelectionPort=2\nquorumPort=1\n"));
        let now =
            resolve("server.2=b:11:12|d:21:22;2181\nserver.3=c:1:2\nmultiAddress.enabled=true\n").ensemble.unwrap();
        plane.sources.stats.client_port.store(2281, Relaxed);
        *plane.sources.stats.quorum.present.lock().unwrap() =
            Some(Present { own: now.own, membership: now.membership });
        let conf = conf();
        assert!(conf.starts_with("clientPort=2281\n"), "{conf}");
        assert!(
            conf.contains(
                "\nserverId=2\ninitLimit=9\nsyncLimit=5\nelectionAlg=3\nelectionPort=12|22\nquorumPort=11|21\n"
            )
        );
        let members = "\nmembership: \nserver.2=b:11:12|d:21:22:participant;0.0.0.0:2181\nserver.3=c:1:2:participant\n";
        assert!(conf.contains(members), "{conf}");
    }

    #[test]
    fn mntr_says_whether_session_passwords_are_secrets() {
        let plane = plane(&["*"]);
        let said = |plane: &Plane| {
            let answer = text(plane.answer(*b"mntr", &[], None));
            let line = answer.lines().find_map(|line| line.strip_prefix("zk_corral_session_passwords\t"));
            line.unwrap_or_default().to_owned()
        };
        assert_eq!(said(&plane), "secret", "a server on its own has one");
        plane.sources.stats.quorum.public_passwords.store(true, Relaxed);
        assert_eq!(said(&plane), "zookeeper");
    }

    #[test]
    fn lists_come_from_all_shards() {
        let plane = plane(&["*"]);
        let cons = text(plane.answer(*b"cons", &[], Some(&facts())));
        assert_eq!(
            cons,
            " /127.0.0.1:1[1](queued=0,recved=0,sent=0,sid=0x7,lop=NA,est=1000,to=4000,lzxid=0xffffffffffffffff,\
             lresp=0,llat=0,minlat=0,avglat=0,maxlat=0)\n /127.0.0.1:2[1](queued=0,recved=0,sent=0)\n\n"
        );
        assert_eq!(text(plane.answer(*b"wchc", &[], Some(&facts()))), "0x7\n\t/a\n\n");
        assert_eq!(text(plane.answer(*b"hash", &[], Some(&facts()))), "80: 5\n");
    }
}
