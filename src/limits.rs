//! Every bound that a client could otherwise push: one place, each with its reason.
//!
//! Those an operator may want to move are keys of the configuration; these are not.

/// Unsent bytes of one connection above which no more of its requests are taken: a client that pipelines
/// large reads is slowed to the pace at which it reads, before the hard limit ends it.
pub const OUTPUT_PAUSE: usize = 1 << 20;

/// Bytes of requests of one connection that wait behind its own writes; above it the connection is not
/// read. Twice the default frame limit, so that the largest request always fits.
pub const WAITING_BYTES: usize = 2 << 20;

/// Bytes taken from one socket before the next one has its turn.
pub const READ_CHUNK: usize = 64 << 10;

/// Znodes that the reads of one turn may walk over (large listings, subtree counts) before everybody else
/// has a turn; the read that passes it is finished.
pub const WALK_PER_TURN: usize = 100_000;

/// Bytes of replies gathered before they are published or written: what one group of the quorum core's
/// answers may take.
pub const BATCH_REPLIES: usize = 8 << 20;

/// Descriptors kept for the log, snapshots and the rings when connections are limited by what the process
/// may open; each shard needs a few more.
pub const RESERVED_DESCRIPTORS: usize = 64;

/// Send-buffer capacity an idle connection may keep.
pub const IDLE_BUFFER: usize = 16 << 10;

/// Identities one connection may collect by auth packets; every write is checked against all of them.
pub const IDENTITIES: usize = 64;

/// Bytes of a four-letter word's argument (`stmk`).
pub const WORD_ARGUMENT: usize = 8;

/// Bytes of ephemeral paths listed in a closeSession transaction. A session with more is closed by a
/// transaction that lists none: applying it deletes whatever the session still owns.
pub const CLOSE_SESSION_PATHS: usize = 512 << 10;

/// Unprocessed bytes of the published sequence after which an idle shard is woken to let go of them.
pub const SEQUENCE_BACKLOG: usize = 1 << 20;
