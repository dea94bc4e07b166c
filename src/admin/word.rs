//! The four-letter words: which there are, and which an operator allows.

/// A word, as the first four bytes of a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Word {
    Ruok,
    Srvr,
    Stat,
    Mntr,
    Isro,
    Conf,
    Cons,
    Crst,
    Srst,
    Dirs,
    Dump,
    Envi,
    Wchs,
    Wchc,
    Wchp,
    Hash,
    Gtmk,
    Stmk,
    /// What telnet sends when it is told to close: the connection is closed without a word, whatever the
    /// whitelist says.
    TelnetClose,
}

impl Word {
    /// Every word, in no order that means anything.
    pub const ALL: [Word; 19] = [
        Word::Ruok,
        Word::Srvr,
        Word::Stat,
        Word::Mntr,
        Word::Isro,
        Word::Conf,
        Word::Cons,
        Word::Crst,
        Word::Srst,
        Word::Dirs,
        Word::Dump,
        Word::Envi,
        Word::Wchs,
        Word::Wchc,
        Word::Wchp,
        Word::Hash,
        Word::Gtmk,
        Word::Stmk,
        Word::TelnetClose,
    ];

    /// The word in the first four bytes of a connection. Anything else is the length of a frame.
    pub fn parse(bytes: [u8; 4]) -> Option<Word> {
        Word::ALL.into_iter().find(|word| word.bytes() == bytes)
    }

    /// Its four bytes.
    pub fn bytes(self) -> [u8; 4] {
        match self {
            Word::Ruok => *b"ruok",
            Word::Srvr => *b"srvr",
            Word::Stat => *b"stat",
            Word::Mntr => *b"mntr",
            Word::Isro => *b"isro",
            Word::Conf => *b"conf",
            Word::Cons => *b"cons",
            Word::Crst => *b"crst",
            Word::Srst => *b"srst",
            Word::Dirs => *b"dirs",
            Word::Dump => *b"dump",
            Word::Envi => *b"envi",
            Word::Wchs => *b"wchs",
            Word::Wchc => *b"wchc",
            Word::Wchp => *b"wchp",
            Word::Hash => *b"hash",
            Word::Gtmk => *b"gtmk",
            Word::Stmk => *b"stmk",
            Word::TelnetClose => [0xff, 0xf4, 0xff, 0xfd],
        }
    }

    /// Its name, as whitelists and messages have it.
    pub fn name(self) -> String {
        match self {
            Word::TelnetClose => "telnet close".into(),
            word => word.bytes().map(char::from).iter().collect(),
        }
    }

    /// How many bytes behind the word belong to it.
    pub fn argument_length(self) -> usize {
        if self == Word::Stmk { 8 } else { 0 }
    }
}

/// Whether the first four bytes of a connection are a word.
pub fn is_word(bytes: &[u8; 4]) -> bool {
    Word::parse(*bytes).is_some()
}

/// The words that are answered (`4lw.commands.whitelist`).
#[derive(Clone, Debug)]
pub struct Whitelist {
    allowed: Vec<Word>,
}

impl Whitelist {
    /// From the configuration: names, or `*` for all. Names of no word are left out, as in ZooKeeper; `srvr`
    /// is always allowed, since scripts find out by it whether a server is up.
    pub fn new(names: &[String], always_isro: bool) -> Whitelist {
        let all = names.iter().any(|name| name == "*");
        let is_allowed = |word: &Word| {
            let always = *word == Word::Srvr || *word == Word::TelnetClose || (*word == Word::Isro && always_isro);
            all || always || names.contains(&word.name())
        };
        Whitelist { allowed: Word::ALL.into_iter().filter(is_allowed).collect() }
    }

    /// Whether the word is answered.
    pub fn allows(&self, word: Word) -> bool {
        self.allowed.contains(&word)
    }

    /// What a word that is not allowed is answered.
    pub fn refusal(word: Word) -> String {
        format!("{} is not executed because it is not in the whitelist.\n", word.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whitelist(names: &[&str], always_isro: bool) -> Whitelist {
        Whitelist::new(&names.iter().map(|name| name.to_string()).collect::<Vec<_>>(), always_isro)
    }

    #[test]
    fn bytes_lead_back() {
        for word in Word::ALL {
            assert_eq!(Word::parse(word.bytes()), Some(word));
        }
        assert_eq!(Word::parse(*b"RUOK"), None);
        assert_eq!(Word::parse([0, 0, 0, 45]), None);
        assert_eq!(Word::parse([0xff, 0xf4, 0xff, 0xfd]), Some(Word::TelnetClose));
    }

    #[test]
    fn srvr_alone_by_default() {
        let default = whitelist(&[], false);
        let allowed: Vec<_> = Word::ALL.into_iter().filter(|word| default.allows(*word)).collect();
        assert_eq!(allowed, [Word::Srvr, Word::TelnetClose]);
        assert!(whitelist(&[], true).allows(Word::Isro));
    }

    #[test]
    fn names_and_star() {
        let some = whitelist(&["ruok", "nope", "mntr"], false);
        assert!(some.allows(Word::Ruok) && some.allows(Word::Mntr) && some.allows(Word::Srvr));
        assert!(!some.allows(Word::Stat) && !some.allows(Word::Isro));
        let all = whitelist(&["nope", "*"], false);
        assert!(Word::ALL.into_iter().all(|word| all.allows(word)));
    }

    #[test]
    fn refusals() {
        assert_eq!(Whitelist::refusal(Word::Wchc), "wchc is not executed because it is not in the whitelist.\n");
    }
}
