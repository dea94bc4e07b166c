//! Every bound that a client could otherwise push: one place, each with its reason.
//!
//! Those an operator may want to move are keys of the configuration; these are not.

use crate::cost::Cost;

/// Unsent bytes of one connection above which no more of its requests are taken: a client that pipelines
/// large reads is slowed to the pace at which it reads, before the hard limit ends it.
pub const OUTPUT_PAUSE: usize = 1 << 20;

/// Bytes of requests of one connection that wait behind its own writes; above it the connection is not
/// read. Twice the default frame limit, so that the largest request always fits.
pub const WAITING_BYTES: usize = 2 << 20;

/// Bytes taken from one socket before the next one has its turn.
pub const READ_CHUNK: usize = 64 << 10;

/// Bytes given to one socket before everybody else has a turn: a client that reads as fast as it is sent to would
/// have the loop for itself while it is given sixteen megabytes.
pub const SEND_PER_TURN: usize = 1 << 20;

/// The same when this turn has cost [`TURN_COST`] already: many who read at once would stand in everybody's way otherwise.
/// What clients ask for at an easy pace is shorter.
pub const SEND_IN_FULL_TURN: usize = 16 << 10;

/// Znodes that one read looks at in one go (a listing, a subtree's count, a multiRead), or what else it does for
/// [`SLICE_COST`]; what takes more goes on in slices of as many, one slice a turn of the shard. A slice takes about half a
/// millisecond, which is what a neighbour may lose by it.
pub const SLICE: usize = 2048;

/// What a slice costs.
pub const SLICE_COST: Cost = Cost::ZNODE.times(SLICE);

/// What a shard does for its clients in one turn before everybody else has one: some four milliseconds, and nobody whose
/// request has come meanwhile waits longer than for two of them. What is beyond it waits for the next turn.
pub const TURN_COST: Cost = SLICE_COST.times(8);

/// What of a turn those may use who have asked for more than [`LIGHT_COST`] in each: the rest is kept for the others, however
/// many connections are opened to ask for much.
pub const HEAVY_COST: Cost = SLICE_COST.times(4);

/// What a connection may ask in every turn, taken together, and not count among those who ask for much: some thirty znodes.
pub const LIGHT_COST: Cost = Cost::ZNODE.times(32);

/// What the reads of a shard may be expected to cost, taken together, that stand between two writes of their connections: they
/// must be carried out when the first of these is answered, whatever the turn has cost by then. A connection that would exceed
/// it is not read until its reads are answered, which costs it one way to the disk.
pub const CROSSING_COST: Cost = SLICE_COST.times(2);

/// What such reads may cost in one turn beyond what was expected of them, when their znodes have grown meanwhile. Beyond
/// it they are refused as throttled.
pub const OVERRUN_COST: Cost = SLICE_COST.times(2);

/// Reads in slices that one shard has under way; each may hold a pin of the tree, and a reply as long as
/// `corral.outputLimit`. More of them wait.
pub const READS_IN_SLICES: usize = 4;

/// Watches of ended connections that are removed in one turn: half a millisecond's work.
pub const WATCHES_REMOVED_PER_TURN: usize = 1024;

/// What a watch takes in memory: its record, and its entry in the table of keys at the fill that table has.
pub const WATCH_BYTES: usize = 40;

/// What a watched path takes beside its bytes: its record, its entry in the table of paths, the allocation.
pub const WATCHED_PATH_BYTES: usize = 72;

/// Of the memory for watches one address may have a half, so that one who takes all he gets leaves something.
pub const WATCHES_OF_ONE_ADDRESS: usize = 2;

/// Bytes of requests that the shards together may have in the quorum core; above it sockets are left alone until
/// some are answered. As many as a slow disk writes in half a second; the number of requests is limited by
/// `globalOutstandingLimit`, which allows a thousand of the longest.
pub const CORE_BYTES: usize = 64 << 20;

/// Milliseconds for which batches may wait for a shard that takes in none before the process ends. Its clients
/// get no answer and no session of any shard expires meanwhile: longer than a machine that swaps or is moved
/// stands still, shorter than the longest session timeouts.
pub const SHARD_STALL_MS: i64 = 20_000;

/// Bytes of replies gathered before they are published or written: what one group of the quorum core's
/// answers may take.
pub const BATCH_REPLIES: usize = 8 << 20;

/// Descriptors kept for the log, snapshots and the rings when connections are limited by what the process
/// may open; each shard needs a few more.
pub const RESERVED_DESCRIPTORS: usize = 64;

/// Descriptors kept back for the log's next segment and whatever else must be opened while the server runs: a segment takes
/// two at a time, its directory one, a snapshot as many.
pub const KEPT_DESCRIPTORS: usize = 8;

/// Connections that others may have made to the ports for servers: an ensemble has a few dozen servers, with two connections
/// each and some that are being replaced.
pub const PEER_SOCKETS: usize = 256;

/// Connections to those ports that have not said a word; when there is one more, the oldest goes. A server speaks at once.
pub const PEER_UNKNOWN: usize = 64;

/// Sockets of other servers looked at in one turn, and connections accepted at one of their ports.
pub const PEER_EVENTS: usize = 256;
pub const PEER_ACCEPTS: usize = 32;

/// Bytes read from another server's socket before the next one has its turn.
pub const PEER_READ: usize = 256 << 10;

/// Bytes given to another server's socket before everybody else has a turn: a snapshot that goes out holds nobody up.
pub const PEER_SEND_PER_TURN: usize = 256 << 10;

/// Bytes that wait for a learner that does not read; above it the connection ends, and the learner comes again.
pub const PEER_UNSENT: usize = 256 << 20;

/// Bytes of a snapshot that wait in a socket's buffer before its file is read on.
pub const PEER_FEED: usize = 1 << 20;

/// Pieces of a snapshot, of about a mebibyte, that are read ahead for a learner.
pub const PEER_PIECES_AHEAD: usize = 2;

/// Milliseconds that a connection to another server may take to send what it was given before it was closed.
pub const PEER_LINGER_MS: i64 = 5_000;

/// Sockets of clients looked at in one turn, and connections accepted.
pub const CLIENT_EVENTS: usize = 1024;
pub const CLIENT_ACCEPTS: usize = 256;

/// Send-buffer capacity an idle connection may keep.
pub const IDLE_BUFFER: usize = 16 << 10;

/// Identities one connection may collect by auth packets; every write is checked against all of them.
pub const IDENTITIES: usize = 64;

/// Bytes of a four-letter word's argument (`stmk`).
pub const WORD_ARGUMENT: usize = 8;

/// Bytes of ephemeral paths listed in a closeSession transaction. A session with more is closed by a
/// transaction that lists none: applying it deletes whatever the session still owns.
pub const CLOSE_SESSION_PATHS: usize = 512 << 10;

/// Milliseconds for which a leader that goes waits until what it has proposed is agreed on and a follower has all of it:
/// an ensemble in order needs some round trips and disk writes, and whoever stops a server waits ten seconds and kills it.
pub const HAND_OVER_MS: i64 = 5_000;

/// Bytes of the log that are read at a time for a learner that lacks more than is in memory. They are held until they
/// have left for it, for each such learner; so many take a disk some milliseconds.
pub const LOG_PART: usize = 4 << 20;

/// Transactions a leader has proposed and not committed; beyond it nothing more is prepared. A quorum that is slow
/// keeps clients waiting, not memory growing.
pub const UNCOMMITTED_TXNS: i64 = 50_000;

/// Bytes from its leader that a follower takes in while its log has no room; above it the connection is not read.
pub const LEADER_INBOX: usize = 4 << 20;

/// Learners that wait for a server to lead: more than an ensemble has.
pub const EARLY_LEARNERS: usize = 256;

/// Bytes each of them may have said: an introduction is shorter than a hundred.
pub const EARLY_BYTES: usize = 4096;

/// Bytes of a configuration's text that a reconfiguration may make: every notification of an election carries it, in a
/// frame of half a megabyte at most.
pub const CONFIG_TEXT: usize = 64 << 10;

/// Bytes of a configuration file: it is text of a few kilobytes, a longer one is some other file.
pub const CONFIG_FILE: usize = 1 << 20;

/// Requests that learners have forwarded and a leader has not proposed: as many as a hundred servers let their clients have
/// under way. Who forwards more is sent away, and comes again.
pub const FORWARDED_REQUESTS: usize = 100_000;

/// Bytes by which what one holder has of the memory may differ from what the ledger knows: small buffers are filled and emptied
/// with every request, and ten thousand connections are out by forty megabytes at most.
pub const CHARGE_STEP: usize = 4 << 10;

/// Bytes of an answer that is given however little memory is left for answers: a status, a stat, a short list.
pub const SHORT_ANSWER: usize = 16 << 10;

/// Bytes of the longest answer: its length is a signed word of the protocol's.
pub const LONGEST_ANSWER: usize = i32::MAX as usize - 1024;

/// Bytes that a connection has to move in half a tick, in either direction, while memory is short and it holds more than
/// [`SHORT_ANSWER`] of it: one that does less, twice in a row, may be ended to make room.
pub const MOVED_PER_HALF_TICK: usize = 64 << 10;

/// Most bytes of a memory ceiling that are set aside for answers under way, whatever the ceiling: with more of them a
/// machine has been out of bandwidth for long.
pub const REPLIES_SHARE: usize = 4 << 30;

/// Most bytes of it for requests that have come and wait.
pub const REQUESTS_SHARE: usize = 2 << 30;

/// Most bytes of it for watches, unless `corral.maxWatchBytes` says otherwise.
pub const WATCHES_SHARE: usize = 1 << 30;

/// Bytes that are read at once from a connection without a session, whose connect request is shorter than a hundred, and from
/// any that begins a request while memory is short.
pub const GREETING_BYTES: usize = 4 << 10;

/// Most bytes of it for what no client asks for: buffers of the log, pieces of snapshots, code.
pub const OTHERS_SHARE: usize = 1 << 30;

/// What a znode takes in memory beside its path and data, at most: its header, its entries in the table and in its
/// parent's set of children, numbers about children of its own.
pub const ZNODE_BYTES: usize = 250;
