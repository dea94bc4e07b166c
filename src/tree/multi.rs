//! A multi: several operations, all or none, under one zxid (ZooKeeper 3.9, `PrepRequestProcessor.pRequest`,
//! `MultiOperationRecord`).
//!
//! The operations are executed one after another at the head, and each sees the changes of those before it. When one
//! fails, the tree is taken back to before the first. A failed multi is a transaction nevertheless: its members are
//! errors, 0 before the failing one, then the error code, and "runtime inconsistency" after it. The results are the
//! same; the reply's header says Ok. A multi is refused as a whole if it is malformed (a null id in an ACL), if its
//! transaction would be longer than the log takes (`auth` entries are replaced by the client's identities), if its
//! quotas are too much to count, or if it costs more than one client may make all others wait for.

use super::prepare::put_txn_header;
use super::state::{Context, Outcome, State};
use super::work::Countings;
use crate::cost::Cost;
use crate::ids::Zxid;
use crate::jute::reply::{open_frame, put_multi_end, put_multi_error, put_multi_ok};
use crate::jute::txn::{put_error, put_member};
use crate::jute::wire::{close_frame, put_int};
use crate::jute::{Create, CreateMode, ErrorCode, MultiOps, OpCode, PartOf, Request};
use crate::limits;

impl State {
    pub(super) fn prepare_multi(&mut self, context: &Context<'_>, ops: &MultiOps<'_>, out: &mut Outcome) {
        self.begin(context.zxid);
        let entry = out.txn.len();
        let changes = out.changes.len();
        let frame = out.reply.len();
        put_txn_header(context, OpCode::Multi, &mut out.txn);
        let list = out.txn.len();
        put_int(&mut out.txn, 0);
        open_frame(&mut out.reply, context.cxid, context.zxid, ErrorCode::Ok);
        let results = out.reply.len();
        let begun = self.meter().reading();

        self.countings = Countings::AtOnce(limits::COUNTED_IN_MULTI);
        let mut done = 0;
        let mut failed = None;
        for op in ops.iter() {
            if let Err(error) = self.member(context, op, out) {
                failed = Some(error);
                break;
            }
            if out.txn.len() - entry > out.txn_limit {
                failed = Some(ErrorCode::MarshallingError);
                break;
            }
            if self.countings.are_too_many() || self.meter().reading().less(begun) > out.cost_limit {
                failed = Some(ErrorCode::ThrottledOp);
                break;
            }
            done += 1;
        }
        self.countings = Countings::AtOnce(Cost::ENDLESS);
        out.error = failed.unwrap_or(ErrorCode::Ok);
        if let Some(error) = failed {
            self.undo_tree(Zxid(context.zxid.0 - 1));
            out.changes.truncate(changes);
            if matches!(error, ErrorCode::MarshallingError | ErrorCode::ThrottledOp) {
                out.txn.truncate(entry);
                out.reply.truncate(frame);
                return self.fail(context, error, out);
            }
            out.txn.truncate(list + 4);
            out.reply.truncate(results);
            let total = ops.iter().count();
            self.charge(Cost::COMPARISON * (2 * total));
            for at in 0..total {
                let code = match at.cmp(&done) {
                    std::cmp::Ordering::Less => ErrorCode::Ok,
                    std::cmp::Ordering::Equal => error,
                    std::cmp::Ordering::Greater => ErrorCode::RuntimeInconsistency,
                };
                put_member(&mut out.txn, OpCode::Error, |txn| put_error(txn, code));
                put_multi_error(&mut out.reply, code);
            }
            done = total;
        }
        out.txn[list..list + 4].copy_from_slice(&(done as i32).to_be_bytes());
        if failed == Some(ErrorCode::SessionMoved) {
            out.reply.truncate(frame);
        } else {
            put_multi_end(&mut out.reply);
            close_frame(&mut out.reply, frame);
        }
        self.finish(context.zxid, OpCode::Multi, out);
    }

    /// Executes one operation and appends it as a member and as a result.
    fn member(&mut self, context: &Context<'_>, request: Request<'_>, out: &mut Outcome) -> Result<(), ErrorCode> {
        let request = match request {
            Request::Create(create) => Request::Create(as_member(create)),
            other => other,
        };
        let op = request.op();
        if op.part_of() != PartOf::Multi {
            return Err(ErrorCode::Unimplemented);
        }
        put_int(&mut out.txn, op.wire());
        let record = out.txn.len();
        put_int(&mut out.txn, 0);
        put_multi_ok(&mut out.reply, result_op(op));
        self.perform(context, &request, out)?;
        close_frame(&mut out.txn, record);
        Ok(())
    }
}

/// The operation in a result: all creates that answer with a Stat are create2.
pub(super) fn result_op(op: OpCode) -> OpCode {
    match op {
        OpCode::CreateContainer | OpCode::CreateTtl => OpCode::Create2,
        OpCode::DeleteContainer => OpCode::Delete,
        op => op,
    }
}

/// Inside a multi a createTTL whose mode has no time to live is a create of that mode, and its time to live is ignored
/// (ZooKeeper 3.9, `Op.create`).
fn as_member(create: Create<'_>) -> Create<'_> {
    let lives = CreateMode::from_wire(create.flags).is_some_and(CreateMode::is_ttl);
    let op = if create.op == OpCode::CreateTtl && !lives { OpCode::Create } else { create.op };
    Create { op, ttl: create.ttl.filter(|_| lives), ..create }
}
