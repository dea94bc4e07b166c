//! Reads whose work grows with the tree or with the request: listings, counts of a subtree, multiReads,
//! a session's ephemerals, setWatches.
//!
//! Each of these reads is a small state machine: it runs for a budget ([`Cost`]), and can be stopped and continued.
//! Nearly all end within the first budget, in the step in which they began. The others continue with one slice in each
//! turn, while other clients are served. They read at one pinned zxid, so that the reply is the state at exactly that
//! zxid, however long the read takes. setWatches needs no pin: each watch is compared with the state at the moment it
//! is set, so that no change is missed.

use super::scope::Scope;
use crate::cost::Cost;
use crate::ids::{SessionId, Zxid};
use crate::jute::codes::perms;
use crate::jute::reply::{open_frame, put_bare, put_event, put_multi_end, put_multi_error, put_multi_ok};
use crate::jute::request::{MultiOps, Request, SetWatches};
use crate::jute::wire::{Reader, close_frame, put_bytes, put_int};
use crate::jute::{ErrorCode, EventType, OpCode};
use crate::tree::owner::Kind;
use crate::tree::path;
use crate::tree::store::Cursor;
use crate::tree::walk::Walk;
use crate::watch::WatchMode;

/// A list in a reply: the number of names, which is known only at the end, and then the names.
#[derive(Debug, Default)]
struct Listing {
    cursor: Cursor,
    count: i32,
    /// The place of the number, counted from the reply's begin.
    count_at: usize,
}

/// The progress of a read, by its kind.
#[derive(Debug)]
enum Progress {
    Children { list: Listing, with_stat: bool },
    Descendants { walk: Walk, count: i32 },
    Multi { at: usize, list: Option<Listing> },
    Ephemerals { list: Listing, session: SessionId },
    SetWatches { at: usize, vector: usize, left: usize },
}

/// The result of a slice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// The budget is used up, the read is not done.
    More,
    Done,
    /// The request is answered, and the connection must be closed: a setWatches was refused, and clients ignore its
    /// answer. A client that continues would rely on watches that do not exist; a closed connection tells it.
    Over,
}

/// A read under way. The caller keeps the request's body and the reply so far, and passes the same ones in every call.
#[derive(Debug)]
pub(crate) struct WideRead {
    xid: i32,
    progress: Progress,
}

impl WideRead {
    /// Begins a read whose [`Work`](crate::jute::Work) may be more than a slice, with the checks that come first. `None` for
    /// any other request.
    pub(crate) fn begin(scope: &Scope<'_>, xid: i32, request: &Request<'_>) -> Result<Option<WideRead>, ErrorCode> {
        let progress = match *request {
            Request::GetChildren { path, .. } => {
                scope.permitted(OpCode::GetChildren, path)?;
                Progress::Children { list: Listing::default(), with_stat: false }
            }
            Request::GetChildren2 { path, .. } => {
                scope.permitted(OpCode::GetChildren2, path)?;
                Progress::Children { list: Listing::default(), with_stat: true }
            }
            Request::GetAllChildrenNumber { path } => {
                scope.permitted(OpCode::GetAllChildrenNumber, path)?;
                // Under the path "/" the root counts itself, too: ZooKeeper counts the keys that begin with "/".
                Progress::Descendants { walk: Walk::below(path::stored(path)), count: i32::from(path.is_empty()) }
            }
            Request::MultiRead(_) => Progress::Multi { at: 0, list: None },
            Request::SetWatches(_) => Progress::SetWatches { at: SetWatches::VECTORS_AT, vector: 0, left: 0 },
            _ => return Ok(None),
        };
        Ok(Some(WideRead { xid, progress }))
    }

    /// Begins the list of a session's ephemerals, which looks at every znode. The prefix is given as the body; an empty
    /// one means all.
    pub(crate) fn ephemerals(xid: i32, session: SessionId) -> WideRead {
        WideRead { xid, progress: Progress::Ephemerals { list: Listing::default(), session } }
    }

    /// Whether the whole read must be at one zxid.
    pub(crate) fn needs_pin(&self) -> bool {
        !matches!(self.progress, Progress::SetWatches { .. })
    }

    /// Continues until the read is done or the scope's budget is used up. `out` has the reply so far from `start` on;
    /// setWatches puts events of missed changes before that.
    ///
    /// # Errors
    ///
    /// The error to answer instead. A reply longer than the scope's [`Scope::longest_answer`] is refused as
    /// throttled, because there is no memory for it.
    pub(crate) fn advance(
        &mut self,
        scope: &mut Scope<'_>,
        body: &[u8],
        out: &mut Vec<u8>,
        start: usize,
    ) -> Result<Step, ErrorCode> {
        let is_new = out.len() == start && !matches!(self.progress, Progress::SetWatches { .. });
        if is_new {
            open_frame(out, self.xid, scope.zxid, ErrorCode::Ok);
        }
        let is_done = match &mut self.progress {
            Progress::Children { list, with_stat } => {
                let path = Reader::new(body).string().map_err(|_| ErrorCode::MarshallingError)?;
                let is_done = scope.list_children(path, list, is_new, out, start);
                if is_done && *with_stat {
                    let znode = scope.find(path).ok_or(ErrorCode::NoNode)?;
                    scope.put_stat(out, &znode);
                }
                is_done
            }
            Progress::Descendants { walk, count } => {
                let more = walk.slice(&scope.view, scope.cost_left(), &mut |_| *count += 1);
                if !more {
                    put_int(out, *count);
                }
                !more
            }
            Progress::Multi { at, list } => scope.multi_read(MultiOps::of_checked(body), at, list, out, start)?,
            Progress::Ephemerals { list, session } => scope.list_ephemerals(*session, body, list, is_new, out, start),
            Progress::SetWatches { at, vector, left } => {
                let (code, step) = match scope.set_watches(body, at, vector, left, out) {
                    Ok(false) => return Ok(Step::More),
                    Ok(true) => (ErrorCode::Ok, Step::Done),
                    Err(error) => (error, Step::Over),
                };
                put_bare(out, self.xid, scope.zxid, code);
                return Ok(step);
            }
        };
        if scope.is_too_long(out.len() - start) {
            return Err(ErrorCode::ThrottledOp);
        }
        if is_done {
            close_frame(out, start);
        }
        Ok(if is_done { Step::Done } else { Step::More })
    }
}

impl Listing {
    fn begin(&mut self, out: &mut Vec<u8>, start: usize) {
        self.count_at = out.len() - start;
        put_int(out, 0);
    }

    fn end(&self, out: &mut [u8], start: usize) {
        let at = start + self.count_at;
        out[at..at + 4].copy_from_slice(&self.count.to_be_bytes());
    }
}

impl Scope<'_> {
    /// Continues to list the names of a znode's children.
    fn list_children(
        &mut self,
        path: &[u8],
        list: &mut Listing,
        is_new: bool,
        out: &mut Vec<u8>,
        start: usize,
    ) -> bool {
        if is_new {
            list.begin(out, start);
        }
        let path = path::stored(path);
        let (meter, limit) = (self.view.meter(), start + self.longest_answer());
        let mut is_cut = false;
        self.view.list_children(path, path::hash(path), &mut list.cursor, self.znodes_left(), &mut |name| {
            meter.charge(Cost::bytes(name.len()));
            // Names can be as long as requests: a list that will be refused is not gathered.
            if out.len() <= limit {
                put_bytes(out, name);
            } else {
                is_cut = true;
            }
            list.count += 1;
        });
        self.is_cut |= is_cut;
        if list.cursor.is_done() {
            list.end(out, start);
        }
        list.cursor.is_done()
    }

    /// Continues to search for the ephemerals of a session.
    fn list_ephemerals(
        &mut self,
        session: SessionId,
        prefix: &[u8],
        list: &mut Listing,
        is_new: bool,
        out: &mut Vec<u8>,
        start: usize,
    ) -> bool {
        if is_new {
            list.begin(out, start);
        }
        let (owners, limit, meter) = (self.owners, start + self.longest_answer(), self.view.meter());
        let mut is_cut = false;
        self.view.scan(&mut list.cursor, self.znodes_left(), &mut |znode| {
            let is_own = znode.owner() != 0 && owners.kind(znode.owner()) == Kind::Ephemeral(session);
            if is_own && znode.path().starts_with(prefix) {
                if out.len() > limit {
                    is_cut = true;
                    return;
                }
                meter.charge(Cost::bytes(prefix.len() + znode.path().len()));
                put_bytes(out, znode.path());
                list.count += 1;
            }
        });
        self.is_cut |= is_cut;
        if list.cursor.is_done() {
            list.end(out, start);
        }
        list.cursor.is_done()
    }

    /// Continues with the operations of a multiRead, the next of which begins at `at`. A frame of a megabyte can name
    /// sixty thousand znodes of a megabyte each: results beyond the available memory are not even gathered.
    fn multi_read(
        &mut self,
        ops: MultiOps<'_>,
        at: &mut usize,
        list: &mut Option<Listing>,
        out: &mut Vec<u8>,
        start: usize,
    ) -> Result<bool, ErrorCode> {
        loop {
            let mut next = *at;
            let Some(op) = ops.next_at(&mut next) else {
                put_multi_end(out);
                return Ok(true);
            };
            if self.cost_left() == Cost::NONE {
                return Ok(false);
            }
            let (Request::GetData { path, .. } | Request::GetChildren { path, .. }) = op else {
                unreachable!("the decoder let only these two through");
            };
            match (self.permitted(op.op(), path), op) {
                (Err(error), _) => put_multi_error(out, error),
                (Ok(znode), Request::GetData { .. }) => {
                    self.has_memory_for(out.len() - start + znode.data().map_or(0, <[u8]>::len))?;
                    put_multi_ok(out, OpCode::GetData);
                    let before = out.len();
                    self.put_data(out, &znode);
                    self.charge(Cost::bytes(out.len() - before));
                }
                (Ok(_), _) => {
                    let is_new = list.is_none();
                    if is_new {
                        put_multi_ok(out, OpCode::GetChildren);
                    }
                    if !self.list_children(path, list.get_or_insert_default(), is_new, out, start) {
                        return if self.is_too_long(out.len() - start) {
                            Err(ErrorCode::ThrottledOp)
                        } else {
                            Ok(false)
                        };
                    }
                    *list = None;
                }
            }
            *at = next;
            if self.is_too_long(out.len() - start) {
                return Err(ErrorCode::ThrottledOp);
            }
        }
    }

    /// Continues to set watches again, or to send the events that were missed while the client was away; these events
    /// carry zxid -1. `vector` is the list of the request that is being read, `left` the number of paths left in it,
    /// `at` the place in the body.
    fn set_watches(
        &mut self,
        body: &[u8],
        at: &mut usize,
        vector: &mut usize,
        left: &mut usize,
        out: &mut Vec<u8>,
    ) -> Result<bool, ErrorCode> {
        let malformed = |_| ErrorCode::MarshallingError;
        let relative_zxid = Reader::new(body).long().map_err(malformed)?;
        let mut reader = Reader::new(body.get(*at..).unwrap_or_default());
        while self.cost_left() > Cost::NONE {
            if *left == 0 {
                // The older form of the request ends after three vectors.
                if *vector == SetWatches::VECTORS || reader.rest().is_empty() {
                    return Ok(true);
                }
                *left = reader.count().map_err(malformed)?.unwrap_or(0);
                *vector += 1;
            } else {
                let path = reader.string().map_err(malformed)?;
                *left -= 1;
                self.charge(Cost::ZNODE + Cost::bytes(2 * path.len()));
                self.set_watch_again(*vector - 1, path, relative_zxid, out)?;
            }
            *at = body.len() - reader.rest().len();
        }
        Ok(false)
    }

    /// Only a client that may read the znode is told of a missed change. ZooKeeper tells every client: a client that
    /// names a path learns whether the znode changed since a zxid of its choice, and so the znode's mzxid. Here the
    /// answer for an unreadable znode never depends on its changes: the watch is set without an event, and READ is
    /// checked again when the watch fires.
    fn set_watch_again(&mut self, vector: usize, path: &[u8], seen: i64, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        use EventType::{NodeChildrenChanged, NodeCreated, NodeDataChanged, NodeDeleted};
        let znode = self.find(path);
        let (missed, mode) = match (vector, znode) {
            (SetWatches::DATA, None) => (Some(NodeDeleted), WatchMode::Data),
            (SetWatches::DATA, Some(znode)) => ((znode.mzxid() > seen).then_some(NodeDataChanged), WatchMode::Data),
            (SetWatches::EXIST, znode) => (znode.map(|_| NodeCreated), WatchMode::Data),
            (SetWatches::CHILD, None) => (Some(NodeDeleted), WatchMode::Child),
            (SetWatches::CHILD, Some(znode)) => {
                ((znode.pzxid() > seen).then_some(NodeChildrenChanged), WatchMode::Child)
            }
            (SetWatches::PERSISTENT, _) => (None, WatchMode::Persistent),
            _ => (None, WatchMode::PersistentRecursive),
        };
        match missed {
            Some(event) if znode.is_none_or(|znode| self.allows(&znode, perms::READ)) => {
                put_event(out, event, Zxid(-1), path);
                Ok(())
            }
            _ => self.watch(true, path, mode),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::Identities;
    use crate::limits;
    use crate::server::memory::{Charge, Pot};
    use crate::sim::bodies::create;
    use crate::sim::server::SimServer;
    use crate::watch::{WatchLimits, Watches};

    /// All shards share the memory for answers: there may be more of it when a list is checked than when it was
    /// gathered.
    #[test]
    fn a_list_that_was_cut_is_refused_whatever_memory_there_is_by_then() {
        let mut server = SimServer::new(1 << 20);
        let (conn, _) = server.connect(SessionId::NONE, 2000);
        server.request(conn, 1, OpCode::Create, &create(b"/wide", b"", 0));
        let count = 200;
        for n in 0..count {
            server.request(conn, 2, OpCode::Create, &create(format!("/wide/{n:0>200}").as_bytes(), b"", 1));
        }
        server.settle();
        let state = server.quorum.state();
        let mut reader = state.reader().unwrap();
        let zxid = reader.resume();
        let acls = state.acls();
        let (identities, mut watches) = (Identities::default(), Watches::new(WatchLimits::default()));
        let pot = Pot::new(1 << 20);
        let mut others = Charge::on(&pot);
        others.follow(1 << 20);
        let session = state.sessions().next().unwrap().0;
        for lists_children in [true, false] {
            let mut scope = Scope {
                view: reader.view(zxid),
                acls: &acls,
                identities: &identities,
                watches: &mut watches,
                slot: 0,
                zxid,
                skip_acl: true,
                owners: state.owners(),
                replies: &pot,
                is_cut: false,
                is_throttled: false,
                begun: Cost::NONE,
                budget: Cost::ENDLESS,
                is_bound: false,
            };
            let (mut list, mut out) = (Listing::default(), vec![]);
            let is_done = match lists_children {
                true => scope.list_children(b"/wide", &mut list, true, &mut out, 0),
                false => scope.list_ephemerals(session, b"", &mut list, true, &mut out, 0),
            };
            assert!(is_done && out.len() < limits::SHORT_ANSWER + 300, "{}", out.len());
            others.follow(0);
            assert!(out.len() < scope.longest_answer(), "there is memory again");
            assert!(scope.is_too_long(out.len()));
            others.follow(1 << 20);
        }
    }
}
