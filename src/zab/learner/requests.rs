//! What goes to the leader for this server's clients, and what comes back.

use super::{Learner, LeaveReason, NotActive, Output, Stage};
use crate::ids::{SessionId, Zxid};
use crate::jute::quorum::{ForwardedRequest, Packet, PacketType, Touch, put_touch, revalidate_answer};
use crate::zab::message::{After, Auth, Data, Message};

impl Learner {
    /// Forwards a client's request; it comes back as a commit with its session and cxid. Only what decodes
    /// may be forwarded: a Java leader stumbles over the rest.
    pub(crate) fn forward(
        &mut self,
        request: ForwardedRequest<'_>,
        auth: Auth,
        out: &mut Vec<Output>,
    ) -> Result<(), NotActive> {
        if !self.may_ask() {
            return Err(NotActive);
        }
        let mut data = vec![];
        request.put(&mut data);
        let message = Message { kind: PacketType::Request, zxid: Zxid(-1), data: Data::Bytes(data), auth: Some(auth) };
        self.send(message, After::Nothing, out);
        Ok(())
    }

    /// Forwards a sync; [`Output::Synced`] names `tag` when it is answered.
    pub(crate) fn sync(
        &mut self,
        tag: u64,
        request: ForwardedRequest<'_>,
        auth: Auth,
        out: &mut Vec<Output>,
    ) -> Result<(), NotActive> {
        if self.syncs.len() >= self.options.max_syncs {
            return Err(NotActive);
        }
        self.forward(request, auth, out)?;
        self.syncs.push_back(tag);
        Ok(())
    }

    /// Asks whether a session lives; [`Output::Revalidated`] says it.
    pub(crate) fn revalidate(
        &mut self,
        session: SessionId,
        timeout_ms: i32,
        out: &mut Vec<Output>,
    ) -> Result<(), NotActive> {
        if !self.may_ask() {
            return Err(NotActive);
        }
        let mut data = vec![];
        put_touch(&mut data, (session, timeout_ms));
        self.send(Message::with(PacketType::Revalidate, Zxid(-1), data), After::Nothing, out);
        Ok(())
    }

    /// The sessions heard of since the last PING: its answer, which is never without data.
    pub(crate) fn touched(&mut self, ping: Zxid, touches: impl IntoIterator<Item = Touch>, out: &mut Vec<Output>) {
        if !self.may_ask() {
            return;
        }
        let mut data = vec![];
        for touch in touches {
            put_touch(&mut data, touch);
        }
        self.send(Message::with(PacketType::Ping, ping, data), After::Nothing, out);
    }

    /// PING, REVALIDATE and SYNC. A PING before the first UPTODATE is a sign of life and no more.
    pub(super) fn answered(&mut self, packet: &Packet<'_>, out: &mut Vec<Output>) -> Result<(), LeaveReason> {
        match packet.kind {
            PacketType::Ping if !self.serves => {}
            PacketType::Ping => out.push(Output::CollectTouches { ping: packet.zxid }),
            PacketType::Revalidate => {
                let (session, valid) = revalidate_answer(packet.data.unwrap_or_default())
                    .map_err(|_| LeaveReason::Malformed(packet.kind))?;
                out.push(Output::Revalidated { session, valid });
            }
            // What was committed before it is shown when this server is up to date.
            kind if self.stage != Stage::Active => return Err(LeaveReason::Unexpected(kind)),
            _ => {
                let tag = self.syncs.pop_front().ok_or(LeaveReason::Unexpected(packet.kind))?;
                out.push(Output::Synced { tag });
            }
        }
        Ok(())
    }
}
