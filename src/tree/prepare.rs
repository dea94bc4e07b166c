//! From a request to a transaction: the checks in ZooKeeper's order, the change at the head, the log
//! entry, the reply (ZooKeeper 3.9, `PrepRequestProcessor`, `FinalRequestProcessor`).
//!
//! Every request has a zxid of its own; one that fails becomes an error transaction. Each operation is one function
//! that either fails and has changed nothing, or has made the change and appended its record to `Outcome::txn` and its
//! answer to `Outcome::reply`; the caller adds the headers.

use super::mutate::{At, Creation, Facts, Target};
use super::owner::{CONTAINER, ttl_owner};
use super::path::{self, CONFIG};
use super::quota::parse_path;
use super::state::{Context, Outcome, State};
use super::work::Work;
use crate::acl::{AclId, check_cost, fix_up};
use crate::cost::Cost;
use crate::ids::{SessionId, Zxid};
use crate::jute::reply::{open_frame, put_bare};
use crate::jute::txn::{self, CreateTxn};
use crate::jute::wire::{Reader, close_frame, put_buffer, put_bytes, put_int};
use crate::jute::{AclList, Create, CreateMode, ErrorCode, OpCode, Request, Stat, TxnHeader};
use std::io::Write;
use std::mem;

/// The result of an operation, or the error with which it is refused.
pub(super) type Checked<T = ()> = Result<T, ErrorCode>;

impl State {
    /// Executes a write request at the head and appends the log entry, the changes and the reply frame.
    ///
    /// `request` has been decoded as `op`. Requests that are no writes become error transactions, as does a
    /// deleteContainer that is not the server's own: in ZooKeeper any client can send it, and so delete any childless
    /// znode in spite of its ACL.
    pub fn prepare(&mut self, context: &Context<'_>, op: OpCode, request: &Request<'_>, out: &mut Outcome) {
        self.begin_prepare(context, op, request, out);
        self.resume(Cost::ENDLESS, out);
    }

    /// The same, but a request that may take longer than a turn is only begun: then [`State::is_under_way`] is true,
    /// and [`State::resume`] does the rest.
    pub(crate) fn begin_prepare(
        &mut self,
        context: &Context<'_>,
        op: OpCode,
        request: &Request<'_>,
        out: &mut Outcome,
    ) {
        let carry_out = |state: &mut State, out: &mut Outcome| state.perform(context, request, out);
        match request {
            Request::Multi(ops) => self.prepare_multi(context, ops, out),
            Request::CloseSession => self.begin_close_session(context, out),
            Request::Reconfig(_) => self.reconfigure(context, Err(ErrorCode::Unimplemented), out),
            Request::Check { .. } => self.refuse(context, ErrorCode::Unimplemented, out), // in a multi only
            Request::Create(create) if parse_path(create.path).is_some() => {
                let ((), counting) = self.count_later(|state| state.transact(context, op, out, carry_out));
                self.work = counting.map(|counting| Work::Count { counting, applied: None });
            }
            _ => self.transact(context, op, out, carry_out),
        }
    }

    /// Makes an error transaction of a request that cannot be tried.
    pub fn refuse(&mut self, context: &Context<'_>, error: ErrorCode, out: &mut Outcome) {
        self.transact(context, OpCode::Error, out, |_, _| Err(error));
    }

    /// Sets the text of the ensemble's membership. `text` is the new text, or the error with which the ensemble refuses
    /// the reconfiguration: the ensemble's checks come after that of the session and before that of the permission.
    pub(crate) fn reconfigure(&mut self, context: &Context<'_>, text: Checked<&[u8]>, out: &mut Outcome) {
        self.transact(context, OpCode::Reconfig, out, |state, out| {
            if !state.options.config.reconfig_enabled {
                return Err(ErrorCode::ReconfigDisabled);
            }
            state.check_session(context, false)?;
            let text = text?;
            let place = Target::of(CONFIG);
            let znode = state.permitted(context, OpCode::Reconfig, place)?;
            let at = At { zxid: context.zxid, time_ms: context.time_ms };
            let stat = state.write_data(at, place, &znode, (Some(text), -1), &mut out.changes);
            txn::put_set_data(&mut out.txn, CONFIG, Some(text), -1);
            put_buffer(&mut out.reply, Some(text));
            stat.put(&mut out.reply);
            Ok(())
        });
    }

    /// Writes the text of the membership into its znode without a transaction: no transaction has written the first
    /// text. The change has the zxid `stamp`, which is the head or above it, and not published; the Stat gets `version`
    /// and `time_ms`. No watch fires, and neither digest nor quotas change.
    pub(crate) fn show_config(&mut self, stamp: Zxid, text: &[u8], version: i64, time_ms: i64) {
        let place = Target::of(CONFIG);
        if self.store.find(place.path, place.hash).is_none() {
            return;
        }
        if stamp > self.head() {
            self.begin(stamp);
        }
        self.store.set_data(place.path, place.hash, Some(text), -1, version, time_ms);
    }

    /// Opens the context's session. The transaction has no reply frame: the client's answer contains the password,
    /// which is not known here.
    pub fn create_session(&mut self, context: &Context<'_>, timeout_ms: i32, out: &mut Outcome) {
        self.begin(context.zxid);
        put_txn_header(context, OpCode::CreateSession, &mut out.txn);
        self.put_session(context.zxid, context.session, timeout_ms);
        put_int(&mut out.txn, timeout_ms);
        out.error = ErrorCode::Ok;
        self.finish(context.zxid, OpCode::CreateSession, out);
    }

    /// One transaction of one operation: the headers, and the error transaction if it fails.
    fn transact(
        &mut self,
        context: &Context<'_>,
        op: OpCode,
        out: &mut Outcome,
        carry_out: impl FnOnce(&mut State, &mut Outcome) -> Checked,
    ) {
        self.begin(context.zxid);
        let entry = out.txn.len();
        let frame = out.reply.len();
        put_txn_header(context, op, &mut out.txn);
        open_frame(&mut out.reply, context.cxid, context.zxid, ErrorCode::Ok);
        match carry_out(self, out) {
            Ok(()) => {
                out.error = ErrorCode::Ok;
                close_frame(&mut out.reply, frame);
                self.finish(context.zxid, op, out);
            }
            Err(error) => {
                out.reply.truncate(frame);
                out.txn.truncate(entry);
                self.fail(context, error, out);
            }
        }
    }

    /// The error transaction of a request that has changed nothing, and its answer.
    pub(super) fn fail(&mut self, context: &Context<'_>, error: ErrorCode, out: &mut Outcome) {
        out.error = error;
        if error != ErrorCode::SessionMoved {
            put_bare(&mut out.reply, context.cxid, context.zxid, error);
        }
        put_txn_header(context, OpCode::Error, &mut out.txn);
        txn::put_error(&mut out.txn, error);
        self.finish(context.zxid, OpCode::Error, out);
    }

    /// The end of every transaction: appends its digest, except to an error.
    pub(super) fn finish(&mut self, zxid: Zxid, op: OpCode, out: &mut Outcome) {
        if op != OpCode::Error && self.digest.is_enabled() {
            txn::put_digest(&mut out.txn, self.digest.sum());
        }
        self.digest.note(zxid);
    }

    /// One operation, alone or in a multi.
    pub(super) fn perform(&mut self, context: &Context<'_>, request: &Request<'_>, out: &mut Outcome) -> Checked {
        match *request {
            Request::Create(ref create) => {
                let mut acl = mem::take(&mut self.scratch.acl);
                let mut name = mem::take(&mut self.scratch.path);
                let done = self.create(context, create, (&mut acl, &mut name), out);
                self.scratch.acl = acl;
                self.scratch.path = name;
                done
            }
            Request::Delete { path, version } => self.delete(context, path, version, out),
            Request::SetData { path, data, version } => self.set_data(context, path, data, version, out),
            Request::SetAcl { path, acl, version } => {
                let mut list = mem::take(&mut self.scratch.acl);
                let done = self.set_acl(context, path, acl, version, &mut list, out);
                self.scratch.acl = list;
                done
            }
            Request::Check { path, version } => self.check(context, path, version, out),
            Request::DeleteContainer { path } => self.delete_container(context, path, out),
            _ => Err(ErrorCode::Unimplemented),
        }
    }

    /// `acl` and `name` are buffers.
    fn create(
        &mut self,
        context: &Context<'_>,
        create: &Create<'_>,
        (acl, name): (&mut Vec<u8>, &mut Vec<u8>),
        out: &mut Outcome,
    ) -> Checked {
        let mode = CreateMode::from_wire(create.flags).ok_or(ErrorCode::BadArguments)?;
        let mut place = Target::of(create.path);
        if !mode.is_sequential() {
            // It is looked up after the checks: by then the cache line has arrived.
            self.store.prefetch(place.hash);
        }
        let owner = self.owner_of(context.session, create, mode)?;
        self.check_session(context, mode.is_ephemeral())?;
        if !path::has_parent(create.path) {
            return Err(ErrorCode::BadArguments);
        }
        acl.clear();
        self.fix_up(context, create.acl, acl)?;
        let parent_place = Target::of(path::parent(create.path).ok_or(ErrorCode::BadArguments)?);
        let parent = self.store.find(parent_place.path, parent_place.hash).ok_or(ErrorCode::NoNode)?;
        self.check_acl(context, create.op, parent.acl())?;
        let path = if mode.is_sequential() {
            name.clear();
            name.extend_from_slice(create.path);
            write!(name, "{:010}", parent.stored_cversion()).expect("a Vec takes every write");
            name.as_slice()
        } else {
            create.path
        };
        if !path::is_valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        if mode.is_sequential() {
            place = Target::of(path);
        }
        if self.store.find(place.path, place.hash).is_some() {
            return Err(ErrorCode::NodeExists);
        }
        if self.owners.is_ephemeral(parent.owner()) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        self.check_quota(path, 1, create.data.map_or(0, <[u8]>::len) as i64)?;

        let parent = self.facts_of(&parent);
        let at = At { zxid: context.zxid, time_ms: context.time_ms };
        let parent_cversion = parent.stat.cversion.wrapping_add(1);
        let new = Creation {
            at: place,
            parent: parent_place,
            data: create.data,
            acl: self.interner.intern(acl),
            owner,
            parent_cversion,
        };
        let stat = self.create_znode(at, &new, &parent, &mut out.changes);
        let list = AclList::read(&mut Reader::new(acl)).expect("fix_up writes a list");
        let record = CreateTxn {
            path,
            data: create.data,
            acl: list,
            ephemeral: mode.is_ephemeral(),
            parent_cversion,
            ttl: create.ttl.unwrap_or_default(),
        };
        txn::put_create(&mut out.txn, create.op, &record);
        put_created(&mut out.reply, create.op, path, &stat);
        Ok(())
    }

    /// The owner to store. The mode decides the checks, but the operation decides the kind of znode (ZooKeeper 3.9,
    /// `EphemeralType.validateTTL`, `DataTree.processTxn`). A createTTL of another mode without a time to live is
    /// refused; ZooKeeper accepts it and crashes.
    fn owner_of(&self, session: SessionId, create: &Create<'_>, mode: CreateMode) -> Checked<i64> {
        let ttl = create.ttl.unwrap_or(-1);
        if mode.is_ttl() && !self.owners.extended_types {
            return Err(ErrorCode::Unimplemented);
        }
        let lives = if mode.is_ttl() { ttl_owner(ttl).ok_or(ErrorCode::BadArguments)? } else { 0 };
        if !mode.is_ttl() && (ttl >= 0 || create.op == OpCode::CreateTtl) {
            return Err(ErrorCode::BadArguments);
        }
        Ok(match create.op {
            OpCode::CreateContainer => CONTAINER,
            OpCode::CreateTtl => lives,
            _ if mode.is_ephemeral() => session.0,
            _ => 0,
        })
    }

    fn delete(&mut self, context: &Context<'_>, path: &[u8], version: i32, out: &mut Outcome) -> Checked {
        self.check_session(context, false)?;
        if !path::has_parent(path) || path::is_special(path) {
            return Err(ErrorCode::BadArguments);
        }
        let parent_place = Target::of(path::parent(path).ok_or(ErrorCode::BadArguments)?);
        let parent = self.permitted(context, OpCode::Delete, parent_place)?;
        let place = Target::of(path);
        let znode = self.facts(place).ok_or(ErrorCode::NoNode)?;
        next_version(znode.stat.version, version)?;
        if znode.num_children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        self.delete_znode(context.zxid, (place, &znode), (parent_place, &parent), &mut out.changes);
        txn::put_delete(&mut out.txn, path);
        Ok(())
    }

    fn delete_container(&mut self, context: &Context<'_>, path: &[u8], out: &mut Outcome) -> Checked {
        if context.session != SessionId::NONE || !path::has_parent(path) || path::is_special(path) {
            return Err(ErrorCode::BadArguments);
        }
        let place = Target::of(path);
        let znode = self.facts(place).ok_or(ErrorCode::NoNode)?;
        if znode.num_children > 0 {
            return Err(ErrorCode::NotEmpty);
        }
        if self.owners.is_ephemeral(znode.stat.owner) {
            return Err(ErrorCode::BadVersion);
        }
        let parent_place = Target::of(path::parent(path).ok_or(ErrorCode::BadArguments)?);
        let parent = self.facts(parent_place).ok_or(ErrorCode::NoNode)?;
        self.delete_znode(context.zxid, (place, &znode), (parent_place, &parent), &mut out.changes);
        txn::put_delete(&mut out.txn, path);
        Ok(())
    }

    fn set_data(
        &mut self,
        context: &Context<'_>,
        path: &[u8],
        data: Option<&[u8]>,
        version: i32,
        out: &mut Outcome,
    ) -> Checked {
        self.check_session(context, false)?;
        if !path::is_valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        let place = Target::of(path);
        let znode = self.permitted(context, OpCode::SetData, place)?;
        let grows = data.map_or(0, <[u8]>::len) as i64 - i64::from(znode.data_length);
        self.check_quota(path, 0, grows)?;
        let version = next_version(znode.stat.version, version)?;
        let at = At { zxid: context.zxid, time_ms: context.time_ms };
        let stat = self.write_data(at, place, &znode, (data, version), &mut out.changes);
        txn::put_set_data(&mut out.txn, path, data, version);
        stat.put(&mut out.reply);
        Ok(())
    }

    fn set_acl(
        &mut self,
        context: &Context<'_>,
        path: &[u8],
        acl: Option<AclList<'_>>,
        version: i32,
        list: &mut Vec<u8>,
        out: &mut Outcome,
    ) -> Checked {
        self.check_session(context, false)?;
        if !path::is_valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        list.clear();
        self.fix_up(context, acl, list)?;
        let place = Target::of(path);
        let znode = self.permitted(context, OpCode::SetAcl, place)?;
        let aversion = next_version(znode.stat.aversion, version)?;
        let acl = self.interner.intern(list);
        let stat = self.write_acl(context.zxid, place, &znode, acl, aversion);
        txn::put_set_acl(&mut out.txn, path, self.acls.list(acl), aversion);
        stat.put(&mut out.reply);
        Ok(())
    }

    fn check(&mut self, context: &Context<'_>, path: &[u8], version: i32, out: &mut Outcome) -> Checked {
        self.check_session(context, false)?;
        if !path::is_valid(path) {
            return Err(ErrorCode::BadArguments);
        }
        let place = Target::of(path);
        let znode = self.store.find(place.path, place.hash).ok_or(ErrorCode::NoNode)?;
        self.check_acl(context, OpCode::Check, znode.acl())?;
        let next = next_version(znode.stat().version, version)?;
        txn::put_check(&mut out.txn, path, next);
        Ok(())
    }

    /// The znode whose ACL decides about `op`, if it exists and permits the operation.
    fn permitted(&self, context: &Context<'_>, op: OpCode, place: Target<'_>) -> Checked<Facts> {
        let znode = self.store.find(place.path, place.hash).ok_or(ErrorCode::NoNode)?;
        self.check_acl(context, op, znode.acl())?;
        Ok(self.facts_of(&znode))
    }

    #[inline]
    fn check_acl(&self, context: &Context<'_>, op: OpCode, acl: AclId) -> Checked {
        let Some(needed) = op.needs() else { return Ok(()) };
        let allowed = acl == AclId::OPEN || self.options.config.skip_acl || self.is_allowed(context, needed.perms, acl);
        if allowed { Ok(()) } else { Err(ErrorCode::NoAuth) }
    }

    /// A multi may concern many znodes with the same ACL, which is checked once.
    fn is_allowed(&self, context: &Context<'_>, perms: i32, acl: AclId) -> bool {
        if let Some((judged, wanted, allowed)) = self.verdict.get()
            && (judged, wanted) == (acl, perms)
        {
            return allowed;
        }
        let list = self.acls.list(acl);
        self.charge(check_cost(list, context.identities));
        let allowed = context.identities.allows(list, perms);
        self.verdict.set(Some((acl, perms, allowed)));
        allowed
    }

    /// Makes the ACL list to store from the list that the client sent.
    fn fix_up(&self, context: &Context<'_>, acl: Option<AclList<'_>>, list: &mut Vec<u8>) -> Checked {
        let fixed = fix_up(acl, context.identities, self.options.config.schemes(), list);
        let (entries, bytes) = acl.map_or((0, 0), |acl| (acl.len(), acl.size()));
        self.charge(Cost::COMPARISON * (4 * entries) + Cost::bytes(bytes + 2 * list.len()));
        fixed
    }

    /// Whether the quota above `path` leaves room (ZooKeeper 3.9, `ZooKeeperServer.checkQuota`).
    fn check_quota(&self, path: &[u8], count: i64, bytes: i64) -> Checked {
        let allowed = !self.options.config.enforce_quota || self.index.quotas.allow(path, count, bytes);
        if allowed { Ok(()) } else { Err(ErrorCode::QuotaExceeded) }
    }
}

/// The version after `current`, if the expected version is `current` or any.
fn next_version(current: i32, expected: i32) -> Checked<i32> {
    if expected != -1 && expected != current {
        return Err(ErrorCode::BadVersion);
    }
    Ok(current.wrapping_add(1))
}

/// Appends the answer to a create by that operation.
pub(super) fn put_created(reply: &mut Vec<u8>, op: OpCode, path: &[u8], stat: &Stat) {
    put_bytes(reply, path);
    if op != OpCode::Create {
        stat.put(reply);
    }
}

pub(super) fn put_txn_header(context: &Context<'_>, op: OpCode, out: &mut Vec<u8>) {
    let Context { zxid, time_ms, session, cxid, .. } = *context;
    TxnHeader { session, cxid, zxid, time_ms, op }.put(out);
}
