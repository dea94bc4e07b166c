//! The four-letter words: one table of what each is, needs and says; and which an operator allows.

use super::facts::{self, DirectorySizes, connections, watches};
use super::sources::Sources;
use super::{machine, mntr, words};
use crate::runtime::clock::Clocks;
use crate::server::facts::{Facts, Question};
use Allowed::{Always, ByName, ByNameOrReadOnly};
use Question::{Connections, Digests, ResetConnections, ResetShards, Sessions, Watches};
use std::sync::atomic::Ordering::Relaxed;

/// A word.
pub struct Word {
    /// As whitelists and messages have it.
    pub name: &'static str,
    /// The first four bytes of a connection.
    pub bytes: [u8; 4],
    allowed: Allowed,
    /// What the server's parts are asked first.
    pub needs: &'static [Question],
    /// What a member of an ensemble says that has no place in it, if that is not what it says otherwise (ZooKeeper 3.9: most
    /// words alike, some their own way).
    pub without_place: Option<&'static str>,
    /// A sentence for who has not met the word.
    pub help: &'static str,
    /// Appends the answer.
    pub answer: fn(&WordContext<'_>, &mut Vec<u8>),
}

/// What the answer to a word is made from.
pub struct WordContext<'a> {
    /// What is known without a request to the server's threads.
    pub sources: &'a Sources,
    /// The bytes sent right behind the word.
    pub argument: &'a [u8],
    /// What the server's parts have told; empty if the word needs nothing of them.
    pub facts: &'a Facts,
}

/// When a word is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Allowed {
    /// Whatever the whitelist says.
    Always,
    /// If the whitelist has it.
    ByName,
    /// If the whitelist has it, or the server may serve reads without a quorum.
    ByNameOrReadOnly,
}

const NOT_SERVING: Option<&str> = Some("This ZooKeeper instance is not currently serving requests\n");
/// The same without the end of its line.
const NOT_SERVING_BARE: Option<&str> = Some("This ZooKeeper instance is not currently serving requests");

/// Every word.
#[rustfmt::skip]
pub(crate) const WORDS: &[Word] = &[
    Word {
        name: "ruok", bytes: *b"ruok", allowed: ByName,
        needs: &[], without_place: None,
        help: "Whether the process runs.",
        answer: |_, out| out.extend_from_slice(words::RUOK),
    },
    Word {
        name: "srvr", bytes: *b"srvr", allowed: Always,
        needs: &[], without_place: NOT_SERVING,
        help: "What the server is and what it has done.",
        answer: |asked, out| words::srvr(out, &asked.sources.server_facts()),
    },
    Word {
        name: "stat", bytes: *b"stat", allowed: ByName,
        needs: &[Connections], without_place: NOT_SERVING,
        help: "The same, with a line for each connection.",
        answer: |asked, out| words::stat(out, &asked.sources.server_facts(), connections(asked.facts)),
    },
    Word {
        name: "mntr", bytes: *b"mntr", allowed: ByName,
        needs: &[], without_place: NOT_SERVING,
        help: "All metrics, one a line.",
        answer: |asked, out| mntr::mntr(out, &asked.sources.scrape()),
    },
    Word {
        name: "isro", bytes: *b"isro", allowed: ByNameOrReadOnly,
        needs: &[], without_place: Some("null"),
        help: "Whether the server takes writes: rw, or ro for reads alone.",
        answer: |asked, out| out.extend_from_slice(words::isro(asked.sources.stats.quorum.mode())),
    },
    Word {
        name: "conf", bytes: *b"conf", allowed: ByName,
        needs: &[], without_place: NOT_SERVING,
        help: "The configuration as it is now.",
        answer: |asked, out| {
            let DirectorySizes { data, log } = asked.sources.directory_sizes();
            out.extend_from_slice(asked.sources.current_config().render(data, log).as_bytes());
        },
    },
    Word {
        name: "cons", bytes: *b"cons", allowed: ByName,
        needs: &[Connections], without_place: NOT_SERVING,
        help: "What each connection has done.",
        answer: |asked, out| words::cons(out, connections(asked.facts)),
    },
    Word {
        name: "crst", bytes: *b"crst", allowed: ByName,
        needs: &[ResetConnections], without_place: NOT_SERVING,
        help: "Forgets what connections have counted.",
        answer: |_, out| out.extend_from_slice(words::CRST),
    },
    Word {
        name: "srst", bytes: *b"srst", allowed: ByName,
        needs: &[ResetShards], without_place: NOT_SERVING,
        help: "Forgets packets and latencies of the server.",
        answer: |_, out| out.extend_from_slice(words::SRST),
    },
    Word {
        name: "dirs", bytes: *b"dirs", allowed: ByName,
        needs: &[], without_place: NOT_SERVING,
        help: "Bytes in the directories of data and log.",
        answer: |asked, out| words::dirs(out, asked.sources.directory_sizes()),
    },
    Word {
        name: "dump", bytes: *b"dump", allowed: ByName,
        needs: &[Sessions, Connections], without_place: NOT_SERVING,
        help: "Sessions, when they expire, and their ephemeral znodes.",
        answer: |asked, out| {
            let setup_ms = i64::from(asked.sources.config.connect_timeout_ms);
            words::dump(out, &facts::dump(asked.facts, Clocks::start().now().wall_ms, setup_ms));
        },
    },
    Word {
        name: "envi", bytes: *b"envi", allowed: ByName,
        needs: &[], without_place: None,
        help: "What the process runs on.",
        answer: |_, out| words::envi(out, &machine::environment()),
    },
    Word {
        name: "wchs", bytes: *b"wchs", allowed: ByName,
        needs: &[Watches], without_place: NOT_SERVING,
        help: "How many watches there are.",
        answer: |asked, out| words::wchs(out, &watches(asked.facts)),
    },
    Word {
        name: "wchc", bytes: *b"wchc", allowed: ByName,
        needs: &[Watches], without_place: NOT_SERVING,
        help: "The paths that each session watches.",
        answer: |asked, out| words::wchc(out, &watches(asked.facts)),
    },
    Word {
        name: "wchp", bytes: *b"wchp", allowed: ByName,
        needs: &[Watches], without_place: NOT_SERVING,
        help: "The sessions that watch each path.",
        answer: |asked, out| words::wchp(out, &watches(asked.facts)),
    },
    Word {
        name: "hash", bytes: *b"hash", allowed: ByName,
        needs: &[Digests], without_place: NOT_SERVING_BARE,
        help: "The digests of past states.",
        answer: |asked, out| words::hash(out, &asked.facts.core.digests),
    },
    Word {
        name: "gtmk", bytes: *b"gtmk", allowed: ByName,
        needs: &[], without_place: None,
        help: "The trace mask.",
        answer: |asked, out| words::mask(out, asked.sources.trace_mask.load(Relaxed)),
    },
    Word {
        name: "stmk", bytes: *b"stmk", allowed: ByName,
        needs: &[], without_place: None,
        help: "Sets the trace mask to the eight bytes behind it.",
        answer: |asked, out| {
            // Without its eight bytes it is closed without an answer, as in ZooKeeper.
            if let Some(Ok(bytes)) = asked.argument.get(..8).map(<[u8; 8]>::try_from) {
                let mask = i64::from_be_bytes(bytes);
                asked.sources.trace_mask.store(mask, Relaxed);
                words::mask(out, mask);
            }
        },
    },
    // What telnet sends when it is told to close.
    Word {
        name: "telnet close", bytes: [0xff, 0xf4, 0xff, 0xfd], allowed: Always,
        needs: &[], without_place: None,
        help: "Closes the connection without a word.",
        answer: |_, _| {},
    },
];

/// The word in the first four bytes of a connection. Anything else is the length of a frame.
pub fn find(bytes: [u8; 4]) -> Option<&'static Word> {
    WORDS.iter().find(|word| word.bytes == bytes)
}

/// Whether the first four bytes of a connection are a word.
pub(crate) fn is_word(bytes: &[u8; 4]) -> bool {
    find(*bytes).is_some()
}

/// The words that are answered (`4lw.commands.whitelist`).
#[derive(Clone, Debug)]
pub(crate) struct Whitelist {
    names: Vec<&'static str>,
}

impl Whitelist {
    /// From the configuration: names, or `*` for all. Names of no word are left out, as in ZooKeeper; `srvr` is always allowed,
    /// since scripts find out by it whether a server is up.
    pub(crate) fn new(names: &[String], serves_read_only: bool) -> Whitelist {
        let all = names.iter().any(|name| name == "*");
        let is_allowed = |word: &&Word| {
            let always = match word.allowed {
                Always => true,
                ByName => false,
                ByNameOrReadOnly => serves_read_only,
            };
            all || always || names.iter().any(|name| name == word.name)
        };
        Whitelist { names: WORDS.iter().filter(is_allowed).map(|word| word.name).collect() }
    }

    /// Whether the word is answered.
    pub(crate) fn allows(&self, word: &Word) -> bool {
        self.names.contains(&word.name)
    }

    /// What a word that is not allowed is answered.
    pub(crate) fn refusal(word: &Word) -> String {
        format!("{} is not executed because it is not in the whitelist.\n", word.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn whitelist(names: &[&str], serves_read_only: bool) -> Whitelist {
        Whitelist::new(&names.iter().map(|name| name.to_string()).collect::<Vec<_>>(), serves_read_only)
    }

    fn allowed(whitelist: &Whitelist) -> Vec<&'static str> {
        WORDS.iter().filter(|word| whitelist.allows(word)).map(|word| word.name).collect()
    }

    #[test]
    fn bytes_lead_back() {
        for word in WORDS {
            assert_eq!(find(word.bytes).map(|found| found.name), Some(word.name));
            assert!(word.name == "telnet close" || word.name.as_bytes() == word.bytes);
        }
        assert_eq!(WORDS.iter().map(|word| word.bytes).collect::<BTreeSet<_>>().len(), WORDS.len());
        assert!(!is_word(b"RUOK") && !is_word(&[0, 0, 0, 45]) && is_word(&[0xff, 0xf4, 0xff, 0xfd]));
    }

    #[test]
    fn every_word_says_what_it_is_for() {
        assert!(WORDS.iter().all(|word| word.help.ends_with('.') && word.help.len() < 80));
    }

    #[test]
    fn srvr_alone_by_default() {
        assert_eq!(allowed(&whitelist(&[], false)), ["srvr", "telnet close"]);
        assert_eq!(allowed(&whitelist(&[], true)), ["srvr", "isro", "telnet close"]);
    }

    #[test]
    fn names_and_star() {
        let some = whitelist(&["ruok", "nope", "mntr"], false);
        assert_eq!(allowed(&some), ["ruok", "srvr", "mntr", "telnet close"]);
        assert_eq!(allowed(&whitelist(&["nope", "*"], false)).len(), WORDS.len());
    }

    #[test]
    fn refusals() {
        let wchc = find(*b"wchc").unwrap();
        assert_eq!(Whitelist::refusal(wchc), "wchc is not executed because it is not in the whitelist.\n");
    }
}
