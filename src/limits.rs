//! Every bound that a client could otherwise push: one place, each with its reason.
//!
//! Those an operator may want to move are keys of the configuration; these are not.

use crate::cost::Cost;

/// Unsent bytes of one connection above which no more of its requests are taken: a client that pipelines
/// large reads is slowed to the pace at which it reads, before the hard limit ends it.
pub(crate) const OUTPUT_PAUSE: usize = 1 << 20;

/// Bytes of requests of one connection that wait behind its own writes; above it the connection is not
/// read. One request is always taken when none waits, however long it may be.
pub(crate) const WAITING_BYTES: usize = 2 << 20;

/// Bytes that are reserved, at most, for a list that will probably become as long as the last one of its kind: a busy turn's
/// requests or answers. A longer list grows as it is filled, and one long list does not make all later ones large.
pub(crate) const MAX_RESERVED_BYTES: usize = 32 << 10;

/// Bytes taken from one socket before the next one has its turn.
pub(crate) const READ_CHUNK: usize = 64 << 10;

/// Bytes given to one socket before everybody else has a turn: a client that reads as fast as it is sent to would
/// have the loop for itself while it is given sixteen megabytes.
pub(crate) const SEND_PER_TURN: usize = 1 << 20;

/// The same when this turn has cost [`TURN_COST`] already: many who read at once would stand in everybody's way otherwise.
/// What clients ask for at an easy pace is shorter.
pub(crate) const SEND_IN_FULL_TURN: usize = 16 << 10;

/// Znodes that one read looks at in one go (a listing, a subtree's count, a multiRead), or what else it does for
/// [`SLICE_COST`]; what takes more goes on in slices of as many, one slice a turn of the shard. A slice takes about half a
/// millisecond, which is what a neighbour may lose by it.
pub(crate) const SLICE: usize = 2048;

/// What a slice costs.
pub const SLICE_COST: Cost = Cost::ZNODE.times(SLICE);

/// What a shard does for its clients in one turn before everybody else has one: some four milliseconds, and nobody whose
/// request has come meanwhile waits longer than for two of them. What is beyond it waits for the next turn.
pub const TURN_COST: Cost = SLICE_COST.times(8);

/// What the quorum core does in one turn, for clients, other servers and its own account: it stands in the way of a shard where
/// both have one thread, and then as long as that. What is beyond it waits for the next turn, in its order.
pub const CORE_TURN: Cost = SLICE_COST.times(8);

/// What of such a turn a leader gives to requests that its learners have forwarded while clients of its own wait.
pub(crate) const FORWARDED_TURN: Cost = SLICE_COST.times(4);

/// What of a turn those may use who have asked for more than [`LIGHT_COST`] in each: the rest is kept for the others, however
/// many connections are opened to ask for much.
pub(crate) const HEAVY_COST: Cost = SLICE_COST.times(4);

/// What a connection may ask in every turn, taken together, and not count among those who ask for much: some thirty znodes.
pub(crate) const LIGHT_COST: Cost = Cost::ZNODE.times(32);

/// What the reads of a shard may be expected to cost, taken together, that stand between two writes of their connections: they
/// must be carried out when the first of these is answered, whatever the turn has cost by then. A connection that would exceed
/// it is not read until its reads are answered, which costs it one way to the disk.
pub const CROSSING_COST: Cost = SLICE_COST.times(2);

/// What such reads may cost in one turn beyond what was expected of them, when their znodes have grown meanwhile. Beyond
/// it they are refused as throttled.
pub const OVERRUN_COST: Cost = SLICE_COST.times(2);

/// What a read is expected to cost at least that stands between two writes: the request, two look-ups, and some of the versions
/// that the writes ahead of it will have made by then. Some five hundred of them are taken in at a time.
pub const BETWEEN_PRICE: Cost = Cost::REQUEST.plus(Cost::ZNODE.times(2)).plus(Cost::VERSION.times(12));

/// What each of them may cost in any case, whatever the others have: the longest chain of versions of a znode and of its parent's
/// numbers, and what a connection may ask in every turn. A client that writes and reads by turns, and has many of both under
/// way, is refused nothing.
pub const BETWEEN_COST: Cost = Cost::VERSION.times(2 * VERSIONS_AHEAD).plus(LIGHT_COST);

/// Reads in slices that one shard has under way; each may hold a pin of the tree, and a reply as long as
/// `corral.outputLimit`. More of them wait.
pub(crate) const READS_IN_SLICES: usize = 4;

/// Changes of one transaction that are told to watchers in one go, whatever the turn has cost: a tenth of a millisecond's work
/// where few watch. Longer ones go on while the turn allows it, and in the next.
pub(crate) const CHANGES_TOLD: usize = 1024;

/// Watches of ended connections that are removed in one turn: half a millisecond's work.
pub(crate) const WATCHES_REMOVED_PER_TURN: usize = 1024;

/// What a watch takes in memory: its record, and its entry in the table of keys at the fill that table has.
pub(crate) const WATCH_BYTES: usize = 40;

/// What a watched path takes beside its bytes: its record, its entry in the table of paths, the allocation.
pub(crate) const WATCHED_PATH_BYTES: usize = 72;

/// Of the memory for watches one address may have a half, so that one who takes all he gets leaves something.
pub(crate) const WATCHES_OF_ONE_ADDRESS: usize = 2;

/// Bytes of requests that the shards together may have in the quorum core; above it sockets are left alone until
/// some are answered. As many as a slow disk writes in half a second; the number of requests is limited by
/// `globalOutstandingLimit`, which allows a thousand of the longest.
pub(crate) const CORE_BYTES: usize = 64 << 20;

/// Milliseconds for which batches may wait for a shard that takes in none before the process ends. Its clients
/// get no answer and no session of any shard expires meanwhile: longer than a machine that swaps or is moved
/// stands still, shorter than the longest session timeouts.
pub(crate) const SHARD_STALL_MS: i64 = 20_000;

/// Bytes of replies gathered before they are published or written: what one group of the quorum core's
/// answers may take.
pub(crate) const BATCH_REPLIES: usize = 8 << 20;

/// Descriptors kept for the log, snapshots and the rings when connections are limited by what the process
/// may open; each shard needs a few more.
pub(crate) const RESERVED_DESCRIPTORS: usize = 64;

/// Descriptors kept back for the log's next segment and whatever else must be opened while the server runs: a segment takes
/// two at a time, its directory one, a snapshot as many.
pub(crate) const KEPT_DESCRIPTORS: usize = 8;

/// Connections that others may have made to the ports for servers: an ensemble has a few dozen servers, with two connections
/// each and some that are being replaced.
pub(crate) const PEER_SOCKETS: usize = 256;

/// Connections to those ports that have not said a word; when there is one more, the oldest goes. A server speaks at once.
pub(crate) const PEER_UNKNOWN: usize = 64;

/// Sockets of other servers looked at in one turn, and connections accepted at one of their ports.
pub(crate) const PEER_EVENTS: usize = 256;
pub(crate) const PEER_ACCEPTS: usize = 32;

/// Bytes read from another server's socket before the next one has its turn.
pub(crate) const PEER_READ: usize = 256 << 10;

/// Bytes given to another server's socket before everybody else has a turn: a snapshot that goes out holds nobody up.
pub(crate) const PEER_SEND_PER_TURN: usize = 256 << 10;

/// Bytes that wait for a learner that does not read; above it the connection ends, and the learner comes again. Where
/// transactions may be longer it is more: see [`learner_unsent`].
const PEER_UNSENT: usize = 256 << 20;

/// Bytes of a snapshot that wait in a socket's buffer before its file is read on.
pub(crate) const PEER_FEED: usize = 1 << 20;

/// Pieces of a snapshot, of about a mebibyte, that are read ahead for a learner.
pub(crate) const PEER_PIECES_AHEAD: usize = 2;

/// Milliseconds that a connection to another server may take to send what it was given before it was closed.
pub(crate) const PEER_LINGER_MS: i64 = 5_000;

/// Sockets of clients looked at in one turn, and connections accepted.
pub(crate) const CLIENT_EVENTS: usize = 1024;
pub(crate) const CLIENT_ACCEPTS: usize = 256;

/// Milliseconds that a client's connection may take to send what its transport holds when it is over.
pub(crate) const CLIENT_LINGER_MS: u64 = 5_000;

/// TLS handshakes that one thread does at the same time. Of what a stranger sends each holds a message of the handshake
/// at most, which rustls bounds at 64 KiB. When there is one more, the oldest gives way.
pub(crate) const HANDSHAKES: usize = 1024;

/// Send-buffer capacity an idle connection may keep.
pub(crate) const IDLE_BUFFER: usize = 16 << 10;

/// Identities one connection may have; every write is checked against all of them.
pub(crate) const IDENTITIES: usize = 64;

/// Bytes of a connection's identities, their schemes included. They go with every write that a follower forwards, and an
/// `auth` entry of an ACL becomes a copy of them: twenty of the longest distinguished names in use fit.
pub(crate) const IDENTITY_BYTES: usize = 4 << 10;

/// Bytes of an auth packet's credentials: nobody has a name and password this long, and the name has to fit above.
pub(crate) const CREDENTIAL_BYTES: usize = 16 << 10;

/// Entries of an ACL as a client sends it and as it is stored, when `auth` has become whoever the client is. Every request
/// for the znode may have to compare them all, which takes a hundred microseconds; lists in use have a dozen. Older lists may
/// be longer, and stay.
pub(crate) const ACL_ENTRIES: usize = 1024;

/// Bytes of an ACL as it is stored: as many entries of sixty-four bytes. It is also what the transaction of a request may be
/// longer than the request.
pub(crate) const ACL_BYTES: usize = 64 << 10;

/// Identities of a forwarded request that a leader takes. A follower of this kind sends no more than [`IDENTITIES`], a
/// ZooKeeper any number: a request with more is refused.
pub(crate) const FORWARDED_IDENTITIES: usize = 4 * IDENTITIES;

/// Bytes of those, with their lengths.
pub(crate) const FORWARDED_IDENTITY_BYTES: usize = 4 * IDENTITY_BYTES;

/// Bytes of a four-letter word's argument (`stmk`).
pub(crate) const WORD_ARGUMENT: usize = 8;

/// Bytes of ephemeral paths listed in a closeSession transaction. A session with more is closed by a
/// transaction that lists none: applying it deletes whatever the session still owns.
pub(crate) const CLOSE_SESSION_PATHS: usize = 512 << 10;

/// Milliseconds for which a leader that goes waits until what it has proposed is agreed on and a follower has all of it:
/// an ensemble in order needs some round trips and disk writes, and whoever stops a server waits ten seconds and kills it.
pub(crate) const HAND_OVER_MS: i64 = 5_000;

/// Bytes of the log that are read at a time for a learner that lacks more than is in memory. They are held until they
/// have left for it, for each such learner; so many take a disk some milliseconds.
pub(crate) const LOG_PART: usize = 4 << 20;

/// Transactions a leader has proposed and not committed; beyond it nothing more is prepared. A quorum that is slow
/// keeps clients waiting, not memory growing.
pub(crate) const UNCOMMITTED_TXNS: i64 = 50_000;

/// Their bytes, and one transaction more: every follower holds all of them, too, see [`learner_pending`].
pub(crate) const UNCOMMITTED_BYTES: usize = 128 << 20;

/// Bytes of the text of a quota's limits that are read: what tools write has a hundred. A longer text limits nothing.
pub(crate) const QUOTA_TEXT: usize = 1024;

/// What the quotas that one multi makes may cost to be counted: some three thousand znodes, a millisecond, in which nothing else
/// is carried out. A multi that would count more is refused as throttled; a quota that is made by itself may be of any size,
/// and is counted in slices.
pub(crate) const COUNTED_IN_MULTI: Cost = SLICE_COST.times(4);

/// Versions of one znode that are prepared and nobody sees yet; beyond it nothing more is prepared until half of them are
/// published. Whoever reads the znode walks over them, which takes a few microseconds. A group of the log, gathered for as
/// long as a write of the disk takes, has some dozens where many clients change one znode or create below it.
pub(crate) const VERSIONS_AHEAD: usize = 256;

/// Bytes from its leader that a follower takes in while its log has no room; above it the connection is not read. Where
/// one packet may be longer it is as much as that: see [`leader_inbox`].
const LEADER_INBOX: usize = 4 << 20;

/// Early learners, which wait for this server to lead: more than an ensemble has.
pub(crate) const EARLY_LEARNERS: usize = 256;

/// Bytes kept from one early learner: its FOLLOWERINFO or OBSERVERINFO is shorter than a hundred.
pub(crate) const EARLY_LEARNER_BYTES: usize = 4096;

/// Bytes of a configuration's text that a reconfiguration may make: every notification of an election carries it, in a
/// frame of half a megabyte at most.
pub(crate) const CONFIG_TEXT: usize = 64 << 10;

/// Bytes of a configuration file: it is text of a few kilobytes, a longer one is some other file.
pub(crate) const CONFIG_FILE: usize = 1 << 20;

/// How far ahead of what a member knows an epoch may be that another one claims: a learner's promise, a vote, a leader's
/// proposal. Each election takes one, so a member that was away for a year of elections every half minute is still within
/// it; and whoever claims what is not so has to be at two thousand elections to use up all epochs there are.
pub(crate) const EPOCH_JUMP: i64 = 1 << 20;

/// Bytes that a request on its way from a follower to its leader counts for, beside its body and its client's identities: its
/// head, and where it stands on either side.
pub(crate) const FORWARDED_REQUEST: usize = 256;

/// Bytes of requests that a follower may have under way to its leader; above it none is passed on until some have come
/// back, and their clients wait. As many as its shards give away, see [`CORE_BYTES`].
pub(crate) const UNDER_WAY_BYTES: usize = CORE_BYTES;

/// A learner whose requests come to so many times [`forwarded`] is ended. No server with clients comes there: beyond the bound
/// only heads are kept, of which these are half a million.
pub(crate) const FORWARDED_TIMES: usize = 3;

/// Milliseconds between two searches for containers and TTL znodes that have had their time: the core may be busy with each
/// for one of them, where there are thousands (`znode.container.checkIntervalMs`).
pub(crate) const REAP_INTERVAL_MS: i64 = 10;

/// Bytes by which what one holder has of the memory may differ from what the ledger knows: small buffers are filled and emptied
/// with every request, and ten thousand connections are out by forty megabytes at most.
pub(crate) const CHARGE_STEP: usize = 4 << 10;

/// Bytes of an answer that is given however little memory is left for answers: a status, a stat, a short list.
pub(crate) const SHORT_ANSWER: usize = 16 << 10;

/// Bytes of the longest answer: its length is a signed word of the protocol's.
pub(crate) const LONGEST_ANSWER: usize = i32::MAX as usize - 1024;

/// Bytes that a connection has to move in half a tick, in either direction, while memory is short and it holds more than
/// [`SHORT_ANSWER`] of it: one that does less, twice in a row, may be ended to make room.
pub(crate) const MOVED_PER_HALF_TICK: usize = 64 << 10;

/// Most bytes of a memory ceiling that are set aside for answers under way, whatever the ceiling: with more of them a
/// machine has been out of bandwidth for long.
pub(crate) const REPLIES_SHARE: usize = 4 << 30;

/// Most bytes of it for requests that have come and wait.
pub(crate) const REQUESTS_SHARE: usize = 2 << 30;

/// Most bytes of it for watches, unless `corral.maxWatchBytes` says otherwise.
pub(crate) const WATCHES_SHARE: usize = 1 << 30;

/// Bytes that are read at once from a connection without a session, whose connect request is shorter than a hundred, and from
/// any that begins a request while memory is short.
pub(crate) const GREETING_BYTES: usize = 4 << 10;

/// Most bytes of it for what no client asks for: buffers of the log, what waits for other servers, pieces of snapshots, code.
pub(crate) const OTHERS_SHARE: usize = 1 << 30;

/// What a znode takes in memory beside its path and data, at most: its header, its entries in the table and in its
/// parent's set of children, numbers about children of its own.
pub(crate) const ZNODE_BYTES: usize = 250;

/// Bytes of a stranger's that are shown in a line of the log: enough to know a path or a name by.
pub(crate) const SHOWN_BYTES: usize = 128;

/// Bytes of a line of the log. The longest of our own, what is said of the machine at a start, has two thousand.
pub(crate) const LOG_LINE: usize = 8 << 10;

/// Lines of the log that one place in the source may cause at once: all that is of interest of most mishaps, and half a screen
/// more than anybody reads.
pub(crate) const LOG_BURST: i64 = 100;

/// Milliseconds to the next one after these. It says how many were left out.
pub(crate) const LOG_EVERY_MS: i64 = 1_000;

/// Bytes of the longest request an operator may allow (`jute.maxbuffer`): buffers of the log, and what servers hold for
/// each other, are a few times as much.
pub(crate) const LONGEST_FRAME: u32 = 64 << 20;

/// Bytes of the shortest: a connect request and the paths of this server's own znodes fit.
pub(crate) const SHORTEST_FRAME: u32 = 1024;

/// Bytes of transactions in memory from which a leader brings others up to date.
const HISTORY_BYTES: usize = 64 << 20;

/// Bytes of proposals a learner keeps until they are committed: as many as a leader has under way when its quorum is slow.
const LEARNER_PENDING: usize = 256 << 20;

/// Bytes that one write of the log carries. Larger writes gain no throughput.
pub(crate) const LOG_WRITE: usize = 1 << 20;

/// Bytes in which the log is written: its frames begin and end on it.
pub(crate) const LOG_BLOCK: usize = 4096;

/// Bytes of the longest transaction where requests have so many at most: an `auth` ACL that was written out may have
/// doubled it; or the end of a session with its paths, or a configuration. What would become longer is refused.
pub(crate) const fn max_txn(max_frame: usize) -> usize {
    let server_own = if CLOSE_SESSION_PATHS > CONFIG_TEXT { CLOSE_SESSION_PATHS } else { CONFIG_TEXT } + 4096;
    at_least(2 * max_frame + (64 << 10), server_own)
}

/// Bytes of the longest packet between servers that carry transactions of so many.
const fn packet(max_txn: usize) -> usize {
    // Its head, and the leader named in front of a reconfiguration.
    max_txn + 64
}

/// What the shortest operation that changes something costs, and its bytes in a multi: a delete of a znode with a name of three
/// letters and an open ACL, below a quota.
const SHORTEST_CHANGE: (Cost, usize) = (Cost::ZNODE.times(3).plus(Cost::CHANGE).plus(Cost::bytes(256)), 21);

/// What one transaction may cost: as much as the longest request with nothing but the shortest changes in it, so whatever is
/// not held against long ACLs passes. A multi that costs more is refused as throttled. It is sixty milliseconds with requests
/// of a megabyte, and with shorter ones: nobody may see a part of a transaction, so it is carried out in one go. Where
/// requests may be longer, so may that take.
pub const fn txn_cost(max_txn: usize) -> Cost {
    let (cost, bytes) = SHORTEST_CHANGE;
    cost.times(at_least(max_txn, self::max_txn(1 << 20)) / 2 / bytes)
}

/// Bytes from its leader that a follower takes in: a packet that could not come whole would never be carried out, and the
/// leader be taken for silent.
pub(crate) const fn leader_inbox(max_txn: usize) -> usize {
    at_least(packet(max_txn), LEADER_INBOX)
}

/// Bytes of proposals a learner keeps until they are committed: more than a leader may have under way, or one that has them
/// would be left by all.
pub(crate) const fn learner_pending(max_txn: usize) -> usize {
    at_least(UNCOMMITTED_BYTES + 2 * packet(max_txn), LEARNER_PENDING)
}

/// Bytes that may wait for a learner: what is in memory for it, and all that is under way behind.
pub(crate) const fn learner_unsent(max_txn: usize) -> usize {
    at_least(history(max_txn) + UNCOMMITTED_BYTES + 2 * packet(max_txn), PEER_UNSENT)
}

/// Bytes of requests that one learner has forwarded and its leader has not proposed, where transactions may have so many. A
/// follower of this kind has no more under way, see [`UNDER_WAY_BYTES`]: the last of them may be the longest there is. One of
/// ZooKeeper's may have a thousand of any length (`globalOutstandingLimit`); what is beyond is answered as throttled.
pub(crate) const fn forwarded(max_txn: usize) -> usize {
    UNDER_WAY_BYTES + FORWARDED_REQUEST + packet(max_txn)
}

/// Bytes of transactions in memory from which a leader brings others up to date: the last one is always among them.
pub(crate) const fn history(max_txn: usize) -> usize {
    at_least(max_txn, HISTORY_BYTES)
}

/// Bytes of the smallest segment of the log that any transaction fits into: its own header, and the longest frame, which is
/// one transaction with two headers or a whole write.
pub(crate) const fn least_segment(max_txn: usize) -> u64 {
    let frame = at_least(64 + 12 + max_txn, LOG_WRITE).next_multiple_of(LOG_BLOCK);
    (LOG_BLOCK + frame) as u64
}

/// Bytes of a segment of the log where `wanted` are asked for: twice the smallest at least, so that two long transactions
/// do not mean two files.
pub(crate) const fn segment(wanted: u64, max_txn: usize) -> u64 {
    let least = 2 * least_segment(max_txn);
    if wanted < least { least } else { wanted }
}

const fn at_least(bytes: usize, least: usize) -> usize {
    if bytes < least { least } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_derived_admits_the_longest_transaction() {
        for max_frame in [1 << 10, 1 << 20, 10 << 20, 50 << 20, LONGEST_FRAME as usize] {
            let txn = max_txn(max_frame);
            assert!(txn >= 2 * max_frame && txn > CLOSE_SESSION_PATHS && txn > CONFIG_TEXT, "{max_frame}");
            assert!(leader_inbox(txn) > txn && history(txn) >= txn, "{max_frame}");
            assert!(
                forwarded(txn) > UNDER_WAY_BYTES + FORWARDED_REQUEST + max_frame + 2 * IDENTITY_BYTES,
                "{max_frame}"
            );
            assert!(learner_pending(txn) > UNCOMMITTED_BYTES + txn, "{max_frame}");
            assert!(learner_unsent(txn) > forwarded(txn), "{max_frame}");
            assert!(learner_unsent(txn) > history(txn) + UNCOMMITTED_BYTES + txn, "{max_frame}");
            assert!(least_segment(txn) as usize > txn && segment(0, txn) >= 2 * least_segment(txn), "{max_frame}");
            // Offsets and lengths of frames, answers and messages are of four bytes.
            assert!(least_segment(txn) < u64::from(u32::MAX) / 4, "{max_frame}");
        }
        let defaults = max_txn(0xf_ffff);
        assert_eq!((leader_inbox(defaults), history(defaults)), (LEADER_INBOX, HISTORY_BYTES));
        assert_eq!((learner_pending(defaults), learner_unsent(defaults)), (LEARNER_PENDING, PEER_UNSENT));
        assert_eq!(segment(16 << 20, defaults), 16 << 20);
    }
}
