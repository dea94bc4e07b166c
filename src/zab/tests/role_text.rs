//! What a role asks for, in the words of the scripts.

use crate::ids::Zxid;
use crate::jute::quorum::{self, ForwardedRequest, LearnerInfo, PacketType};
use crate::session::SessionSecret;
use crate::zab::agreed::Agreed;
use crate::zab::epochs::{Epochs, first_zxid};
use crate::zab::leader;
use crate::zab::learner;
use crate::zab::message::{After, Data, Message};
use crate::zab::voters::Voters;

pub fn show(zxid: Zxid) -> String {
    if zxid.0 == -1 { "-".to_owned() } else { format!("{}.{}", zxid.epoch(), zxid.counter()) }
}

pub fn show_epochs(epochs: Epochs) -> String {
    format!("{}/{}", epochs.accepted, epochs.current)
}

pub fn show_after(after: After) -> String {
    match after {
        After::Nothing => String::new(),
        After::Log(zxid) => format!(", after log {}", show(zxid)),
        After::Epochs(epochs) => format!(", after epochs {}", show_epochs(epochs)),
    }
}

pub fn show_config(config: &Voters) -> String {
    let voters: Vec<String> = config.voters().map(|id| id.to_string()).collect();
    format!("voters {} of version {}", voters.join(","), show(Zxid(config.version())))
}

fn show_agreed(agreed: Agreed) -> String {
    let SessionSecret(secret) = agreed.secret;
    let place = match (agreed.everywhere, agreed.used) {
        (true, _) => "everywhere",
        (false, true) => "not everywhere now",
        (false, false) => "not everywhere",
    };
    format!("secret {}, {place}", secret[0])
}

pub fn show_message(message: &Message) -> String {
    let data = match &message.data {
        Data::Null => String::new(),
        Data::Txn(bytes) => format!(" txn {}", show(quorum::txn_head(bytes).unwrap().0)),
        Data::Designated(leader, bytes) => {
            format!(" leader {leader}, txn {}", show(quorum::txn_head(bytes).unwrap().0))
        }
        Data::Bytes(bytes) => match message.kind {
            PacketType::FollowerInfo | PacketType::ObserverInfo => {
                let info = LearnerInfo::decode(bytes).unwrap();
                let version = show(Zxid(info.config_version));
                format!(" server {}, protocol {:#x}, configuration {version}", info.server, info.protocol)
            }
            PacketType::AckEpoch => format!(" current {}", quorum::single_int(Some(bytes)).unwrap()),
            PacketType::LeaderInfo => format!(" protocol {:#x}", quorum::single_int(Some(bytes)).unwrap()),
            PacketType::NewLeader => format!(" {}", show_config(&Voters::parse(bytes).unwrap())),
            PacketType::CommitAndActivate => format!(" leader {}", quorum::designated(bytes).unwrap().0),
            PacketType::Ping => format!(" touched {:?}", quorum::touches(bytes).unwrap().collect::<Vec<_>>()),
            PacketType::Request => {
                let request = ForwardedRequest::decode(bytes).unwrap();
                format!(" session {}, cxid {}, op {}", request.session, request.cxid, request.op)
            }
            PacketType::Agreed => format!(" {}", show_agreed(Agreed::decode(bytes).unwrap())),
            PacketType::Revalidate => format!(" {bytes:?}"),
            _ => panic!("{message:?}"),
        },
    };
    format!("{} {}{data}", message.kind.name(), show(message.zxid))
}

pub fn leads(output: &leader::Output) -> String {
    use leader::Output;
    match output {
        Output::Send { to, message, after } => format!("to {}: {}{}", to.0, show_message(message), show_after(*after)),
        Output::Drop { peer, reason } => format!("drop {}: {reason:?}", peer.0),
        Output::WriteEpochs { epochs, after } => format!("write epochs {}{}", show_epochs(*epochs), show_after(*after)),
        Output::Agreed(agreed) => format!("agreed: {}", show_agreed(*agreed)),
        Output::Append(txn) => format!("append {}", show(txn.zxid)),
        Output::StreamSnapshot { to, at_least } => {
            format!("stream a snapshot to {}, at least {}", to.0, show(*at_least))
        }
        Output::ReadLog { peer, after, upto } => {
            format!("read the log for {}: {} to {}", peer.0, show(*after), show(*upto))
        }
        Output::Established { epoch } => format!("established in epoch {epoch}"),
        Output::RolledOver { epoch } => format!("rolled over into epoch {epoch}"),
        Output::Commit { upto } => format!("commit {}", show(*upto)),
        Output::Activate { config, designated, zxid } => {
            format!("activate {} by {}, leader {designated}", show_config(config), show(*zxid))
        }
        Output::Request { peer, session, cxid, op, body, .. } => {
            format!("request from {}: session {session}, cxid {cxid}, op {op}, {} bytes", peer.0, body.len())
        }
        Output::Revalidate { peer, session, .. } => format!("{} asks about session {session}", peer.0),
        Output::Touched { peer, touches } => format!("{} touched {touches:?}", peer.0),
        Output::Synced { tag } => format!("synced {tag}"),
        Output::SyncRefused { tag } => format!("sync {tag} is refused"),
        Output::StepDown(reason) => format!("step down: {reason}"),
    }
}

pub fn learns(output: &learner::Output) -> String {
    use learner::Output;
    match output {
        Output::Send { message, after } => format!("send {}{}", show_message(message), show_after(*after)),
        Output::WriteEpochs { epochs, after } => format!("write epochs {}{}", show_epochs(*epochs), show_after(*after)),
        Output::Agreed(Some(agreed)) => format!("agreed: {}", show_agreed(*agreed)),
        Output::Agreed(None) => "agreed: the leader knows of no secrets".to_owned(),
        Output::Truncate { to } => format!("truncate to {}", show(*to)),
        Output::Append(txn) => format!("append {}", show(txn.zxid)),
        Output::ReceiveSnapshot { zxid } => format!("receive a snapshot of {}", show(*zxid)),
        Output::Stage(txn) => format!("apply {} aside", show(txn.zxid)),
        Output::PersistSnapshot { zxid } => format!("persist the snapshot, of {} now", show(*zxid)),
        Output::Commit { upto } => format!("commit {}", show(*upto)),
        Output::ConfigSeen(config) => format!("seen: {}", show_config(config)),
        Output::Activate { config, designated } => {
            let leader = designated.map_or("unsaid".to_owned(), |leader| leader.to_string());
            format!("activate {}, leader {leader}", show_config(config))
        }
        Output::Serve { epoch, after } => format!("serve from {}{}", show(first_zxid(*epoch)), show_after(*after)),
        Output::CollectTouches { ping } => format!("collect touches for {}", show(*ping)),
        Output::Revalidated { session, valid } => format!("session {session} lives: {valid}"),
        Output::Synced { tag } => format!("synced {tag}"),
        Output::Leave(reason) => format!("leave: {reason}"),
    }
}
