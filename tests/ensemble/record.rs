//! What the clients did and what they were told: the history that [`super::checker`] judges. Times are nanoseconds
//! since the history began. A request is as early as just before it was written and answered as late as just after its
//! reply was read, so what two times say about an order is certain.

/// What a client asked for. Values are never used twice in a history; 0 is what every register begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A register is given a value, if it has the expected version.
    Set {
        register: usize,
        value: u64,
        expected: Option<i32>,
    },
    Get {
        register: usize,
    },
    /// sync, and a read behind it.
    SyncedGet {
        register: usize,
    },
    /// A node of its own name, never asked for before.
    Create {
        node: u64,
    },
    /// A node this client has created and was told so.
    Delete {
        node: u64,
    },
    /// A node under a shared parent, numbered by the server.
    Sequential {
        node: u64,
    },
    /// A node that lasts as long as the session.
    Ephemeral {
        node: u64,
    },
    /// Two registers and a node, all or nothing.
    Multi {
        sets: [(usize, u64); 2],
        node: u64,
    },
    /// A register and a check that cannot hold.
    FailingMulti {
        register: usize,
        value: u64,
    },
}

/// A register as a reply showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub register: usize,
    pub version: i32,
    pub value: u64,
    pub mzxid: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done {
        /// Of the reply's header.
        zxid: i64,
        seen: Vec<Seen>,
        /// The number of a sequential node.
        number: Option<u32>,
    },
    /// The server said why not.
    Refused { zxid: i64, code: i32 },
    /// The connection ended before the answer.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub client: usize,
    pub session: i64,
    pub action: Action,
    pub invoked: u64,
    /// Without a meaning when the outcome is unknown.
    pub returned: u64,
    pub outcome: Outcome,
}

/// A session that a server said is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostSession {
    pub session: i64,
    pub last_contact: u64,
    pub told: u64,
    pub timeout_ms: i32,
}

/// Everything, in the order of each client; clients one after the other.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub operations: Vec<Operation>,
    pub lost: Vec<LostSession>,
    /// The sessions that were alive at the end.
    pub alive: Vec<i64>,
    /// What a client saw that no server may do, and why it gave up, if it did.
    pub problems: Vec<String>,
    pub registers: usize,
    /// A read behind a sync sees everything known before. ZooKeeper's sync is answered by whoever takes itself for the
    /// leader, also one that was replaced while it was paused.
    pub sync_is_barrier: bool,
}

/// A register's path.
pub fn register_path(register: usize) -> String {
    format!("/r/{register}")
}

/// The parent of numbered nodes.
pub const SEQUENTIAL_PREFIX: &str = "/q/n-";

/// The path of a client's own node; ephemeral ones have a parent of their own.
pub fn node_path(client: usize, node: u64) -> String {
    format!("/c/{client}-{node}")
}

pub fn ephemeral_path(client: usize, node: u64) -> String {
    format!("/e/{client}-{node}")
}

/// A value as data: 16 digits, and more bytes the larger its last digits.
pub fn data_of(value: u64) -> Vec<u8> {
    let mut data = format!("{value:016x}").into_bytes();
    data.resize(16 + (value % 97) as usize, b'.');
    data
}

/// The value of such data; None when it is not all there.
pub fn value_of(data: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(data.get(..16)?).ok()?;
    let value = u64::from_str_radix(digits, 16).ok()?;
    (data == data_of(value)).then_some(value)
}

impl History {
    /// How many requests nobody knows the outcome of.
    pub fn unknown(&self) -> usize {
        self.operations.iter().filter(|operation| operation.outcome == Outcome::Unknown).count()
    }
}
