//! Reads, answered by a shard from the tree as it was at one zxid.
//!
//! The permission check, the answer and the setting of the watch are one step at one zxid. Orders of checks and shapes
//! of replies are ZooKeeper 3.9's (`FinalRequestProcessor`).

use super::scope::Scope;
use super::wide::{Step, WideRead};
use crate::acl::mask_digests;
use crate::cost::Cost;
use crate::jute::codes::perms;
use crate::jute::reply::{put_bare, put_reply};
use crate::jute::request::Request;
use crate::jute::wire::{put_bytes, put_int};
use crate::jute::{AddWatchMode, ErrorCode, OpCode, WatcherType};
use crate::watch::WatchMode;

/// The result of answering a request.
pub(crate) enum Answered {
    /// The reply frame is written.
    Done,
    /// The reply frame is written, and the connection must be closed after it; see [`Step::Over`].
    Over,
    /// The budget is used up. The reply so far is in the output, and the read's watch is not set yet.
    Unfinished(WideRead),
}

/// Appends the reply frame to `request`, after any events that the request causes. Its whole cost is charged to the
/// view's meter.
pub(crate) fn answer(
    scope: &mut Scope<'_>,
    xid: i32,
    request: &Request<'_>,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Answered {
    let start = out.len();
    let answered = match WideRead::begin(scope, xid, request) {
        Ok(None) => {
            #[cfg(test)]
            assert!(!request.op().work().is_wide(), "{request:?} goes in slices");
            let answered = try_answer(scope, xid, request, out);
            scope.charge(Cost::bytes(out.len() - start));
            answered
        }
        Ok(Some(mut read)) => match read.advance(scope, body, out, start) {
            Ok(Step::Done) => scope.watch_of(request),
            Ok(Step::Over) => return Answered::Over,
            // The read can be refused as not executed: its watch is not set yet.
            Ok(Step::More) if scope.is_bound => Err(ErrorCode::ThrottledOp),
            Ok(Step::More) => return Answered::Unfinished(read),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    if let Err(error) = answered {
        scope.is_throttled = error == ErrorCode::ThrottledOp;
        out.truncate(start);
        put_bare(out, xid, scope.zxid, error);
    }
    Answered::Done
}

fn try_answer(scope: &mut Scope<'_>, xid: i32, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
    let zxid = scope.zxid;
    match *request {
        Request::Exists { path, watch } => {
            if path.contains(&0) {
                return Err(ErrorCode::BadArguments);
            }
            match scope.permitted(OpCode::Exists, path) {
                Ok(znode) => {
                    scope.watch(watch, path, WatchMode::Data)?;
                    put_reply(out, xid, zxid, |out| scope.put_stat(out, &znode));
                }
                Err(ErrorCode::NoNode) => {
                    // Only this watch may be set on a znode that does not exist.
                    scope.watch(watch, path, WatchMode::Data)?;
                    return Err(ErrorCode::NoNode);
                }
                Err(error) => return Err(error),
            }
        }
        Request::GetData { path, watch } => {
            let znode = scope.permitted(OpCode::GetData, path)?;
            scope.has_memory_for(znode.data().map_or(0, <[u8]>::len))?;
            if scope.is_bound && Cost::bytes(znode.data().map_or(0, <[u8]>::len)) > scope.cost_left() {
                return Err(ErrorCode::ThrottledOp);
            }
            scope.watch(watch, path, WatchMode::Data)?;
            put_reply(out, xid, zxid, |out| scope.put_data(out, &znode));
        }
        Request::GetAcl { path } => scope.acl(xid, path, out)?,
        Request::AddWatch { path, mode } => {
            let mode = match AddWatchMode::from_wire(mode) {
                Some(AddWatchMode::Persistent) => WatchMode::Persistent,
                Some(AddWatchMode::PersistentRecursive) => WatchMode::PersistentRecursive,
                None => return Err(ErrorCode::MarshallingError),
            };
            scope.watch(true, path, mode)?;
            put_reply(out, xid, zxid, |out| put_int(out, 0));
        }
        Request::CheckWatches { path, kind } => {
            let kind = WatcherType::from_wire(kind).ok_or(ErrorCode::MarshallingError)?;
            if !scope.watches.check(scope.slot, path, kind) {
                return Err(ErrorCode::NoWatcher);
            }
            put_bare(out, xid, zxid, ErrorCode::Ok);
        }
        Request::RemoveWatches { path, kind } => {
            let kind = WatcherType::from_wire(kind).ok_or(ErrorCode::MarshallingError)?;
            if !scope.watches.remove(scope.slot, path, kind) {
                return Err(ErrorCode::NoWatcher);
            }
            put_bare(out, xid, zxid, ErrorCode::Ok);
        }
        Request::WhoAmI => put_reply(out, xid, zxid, |out| scope.put_identities(out)),
        _ => unreachable!("writes go to the quorum core, pings are answered before"),
    }
    Ok(())
}

impl Scope<'_> {
    /// getACL needs READ or ADMIN; a client without ADMIN does not see the hashes of digest identities.
    fn acl(&self, xid: i32, path: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let znode = self.permitted(OpCode::GetAcl, path)?;
        let is_admin = self.allows(&znode, perms::ADMIN);
        let list = self.acls.list(znode.acl());
        put_reply(out, xid, self.zxid, |out| {
            if is_admin {
                list.put(out);
            } else {
                mask_digests(list, out);
            }
            self.put_stat(out, &znode);
        });
        Ok(())
    }

    /// The identities of the connection, one entry each; of a digest identity only the user's name.
    fn put_identities(&self, out: &mut Vec<u8>) {
        put_int(out, self.identities.iter().count() as i32);
        for identity in self.identities.iter() {
            put_bytes(out, &identity.scheme);
            put_bytes(out, identity.user());
        }
    }
}
