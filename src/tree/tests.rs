//! Scenarios of prepare, multi, apply and reaping, each with ZooKeeper's bytes or codes. Properties of whole scripts
//! are in the integration test `tree_model`.

mod acl;
mod costs;
mod quota;

use super::apply::{ApplyError, DigestCheck, SessionEvent};
use super::change::Changes;
use super::owner::ttl_owner;
use super::*;
use crate::acl::{AclId, Identities};
use crate::config::Config;
use crate::ids::{SessionId, Zxid};
use crate::jute::txn::{Txn, read_entry};
use crate::jute::wire::{Reader, put_bool, put_bytes, put_int};
use crate::jute::{AclEntry, AclList, Create, ErrorCode, OpCode, Reconfig, Request, Stat, StatPersisted};
use crate::limits;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

const OPEN: &[u8] = b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone";

/// A state and a client of it.
struct Client {
    state: State,
    identities: Identities,
    zxid: i64,
    time_ms: i64,
    session: SessionId,
    out: Outcome,
}

impl Client {
    fn new(options: impl Into<StateOptions>) -> Client {
        let mut client = Client {
            state: State::new(options.into()),
            identities: Identities::of(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            zxid: 0,
            time_ms: 1000,
            session: SessionId(0x0100_001d_52e5_0000),
            out: Outcome::default(),
        };
        client.with(|state, context, out| state.create_session(context, 10_000, out));
        client
    }

    fn with(&mut self, run: impl FnOnce(&mut State, &Context<'_>, &mut Outcome)) {
        self.zxid += 1;
        self.out = Outcome::default();
        let Client { zxid, time_ms, session, ref identities, .. } = *self;
        let context = Context { zxid: Zxid(zxid), time_ms, session, cxid: 7, identities, is_local: false };
        run(&mut self.state, &context, &mut self.out);
    }

    fn ask(&mut self, op: OpCode, request: Request<'_>) -> ErrorCode {
        self.with(|state, context, out| state.prepare(context, op, &request, out));
        self.out.error
    }

    fn create(&mut self, op: OpCode, path: &str, flags: i32) -> ErrorCode {
        self.create_ttl(op, path, flags, None)
    }

    fn create_ttl(&mut self, op: OpCode, path: &str, flags: i32, ttl: Option<i64>) -> ErrorCode {
        let acl = AclList::read(&mut Reader::new(OPEN)).unwrap();
        self.ask(op, Request::Create(Create { op, path: path.as_bytes(), data: Some(b"x"), acl, flags, ttl }))
    }

    fn delete(&mut self, path: &str) -> ErrorCode {
        self.ask(OpCode::Delete, Request::Delete { path: path.as_bytes(), version: -1 })
    }

    fn set(&mut self, path: &str, data: &str) -> ErrorCode {
        self.ask(OpCode::SetData, Request::SetData { path: path.as_bytes(), data: Some(data.as_bytes()), version: -1 })
    }

    fn data(&self, path: &str) -> String {
        String::from_utf8(self.state.find(path.as_bytes()).unwrap().data().unwrap().to_vec()).unwrap()
    }

    fn stat(&self, path: &str) -> Stat {
        let znode = self.state.find(path.as_bytes()).unwrap();
        self.state.owners().shown(znode.owner(), znode.stat())
    }

    /// The path in the reply to a create.
    fn created(&self) -> String {
        let mut reader = Reader::new(&self.out.reply[20..]);
        String::from_utf8(reader.string().unwrap().to_vec()).unwrap()
    }

    fn multi(&mut self, body: &[u8]) -> ErrorCode {
        let request = Request::decode(OpCode::Multi, body).unwrap();
        self.ask(OpCode::Multi, request)
    }
}

fn member(out: &mut Vec<u8>, op: i32, record: impl FnOnce(&mut Vec<u8>)) {
    put_int(out, op);
    put_bool(out, op == -1);
    put_int(out, -1);
    record(out);
}

fn plain_create(out: &mut Vec<u8>, path: &str) {
    put_bytes(out, path.as_bytes());
    put_bytes(out, b"x");
    out.extend_from_slice(OPEN);
    put_int(out, 0);
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.bytes().filter(|b| *b != b' ').map(|b| (b as char).to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn a_fresh_tree_and_its_first_transactions_are_the_observed_bytes() {
    let mut client = Client::new(StateOptions::default());
    assert_eq!(client.state.digest(), 0x51c6_d660);
    assert_eq!(client.stat("/zookeeper/config").aversion, -1);
    client.time_ms = 0x1a1_fe03_eecd;
    client.session = SessionId(0x0100_001d_52e5_0000);
    client.with(|state, context, out| state.create_session(context, 10_000, out));
    let first =
        "0100001d52e50000 00000000 0000000000000001 000001a1fe03eecd fffffff6 00002710 00000002 0000000051c6d660";
    let mut expected = hex(first);
    expected[11] = 7; // cxid
    expected[19] = 2; // zxid
    assert_eq!(client.out.txn, expected);
    assert!(client.out.reply.is_empty());

    client.create(OpCode::Create, "/a", 0);
    assert_eq!(client.out.txn.len(), 87);
    assert_eq!(client.out.txn[28..32], 1i32.to_be_bytes());
    let record = hex(
        "00000002 2f61 00000001 78 00000001 0000001f 00000005 776f726c64 00000006 616e796f6e65 00 00000001 00000002",
    );
    assert_eq!(client.out.txn[32..79], record[..47]);
    assert_eq!(client.created(), "/a");
    assert_eq!(client.out.reply.len(), 4 + 16 + 6, "opcode 1 answers the path only");
}

#[test]
fn paths_are_checked_in_zookeepers_order() {
    use ErrorCode::*;
    let mut client = Client::new(StateOptions::default());
    for (path, error) in [
        ("/a/../b", NoNode),
        ("/", NodeExists),
        ("abc", BadArguments),
        ("", BadArguments),
        ("/a\0", BadArguments),
        ("/a//b", NoNode),
        ("//x", BadArguments),
        ("/a", Ok),
        ("/a/..", BadArguments),
        ("/a/", BadArguments),
    ] {
        assert_eq!(client.create(OpCode::Create, path, 0), error, "{path:?}");
    }
    assert_eq!(client.delete("/a/"), NoNode);
    assert_eq!(client.set("/a/", ""), BadArguments);
    for path in ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "a", ""] {
        assert_eq!(client.delete(path), BadArguments, "{path}");
    }
    assert_eq!(client.delete("//"), NoNode);
    // Each request has used a zxid, and all transactions but errors carry a digest.
    assert_eq!(client.state.head(), Zxid(client.zxid));
    assert_eq!(client.out.txn.len(), 36);
}

#[test]
fn the_counter_of_sequential_names() {
    let mut client = Client::new(StateOptions::default());
    client.create(OpCode::Create, "/s", 0);
    client.create(OpCode::Create, "/s/n-", 2);
    assert_eq!(client.created(), "/s/n-0000000000");
    client.create(OpCode::Create, "/s/other", 0);
    client.delete("/s/other");
    client.create(OpCode::Create, "/s/", 2);
    assert_eq!(client.created(), "/s/0000000002");
    assert_eq!(client.stat("/s").cversion, 4, "three created, one deleted");

    let mut overflow = Client::new(StateOptions::default());
    let (path, hash) = (&b"/zookeeper"[..], path::hash(b"/zookeeper"));
    overflow.state.store.begin(Zxid(1));
    overflow.state.store.set_child_stat(path, hash, i32::MAX, 0);
    assert_eq!(overflow.create(OpCode::Create, "/zookeeper/n", 2), ErrorCode::Ok);
    assert_eq!(overflow.created(), "/zookeeper/n2147483647");
    assert_eq!(overflow.state.find(path).unwrap().stored_cversion(), i32::MAX, "the tree does not go back");
    assert_eq!(overflow.create(OpCode::Create, "/zookeeper/n", 2), ErrorCode::NodeExists);
}

#[test]
fn the_operation_decides_the_kind() {
    use ErrorCode::*;
    let mut client = Client::new(Config { extended_types: true, ..Config::default() });
    let owner = |client: &Client, path: &str| client.state.find(path.as_bytes()).unwrap().owner();
    for (op, path, flags, expected) in [
        (OpCode::Create, "/plain", 4, 0),
        (OpCode::CreateContainer, "/container", 0, i64::MIN),
        (OpCode::Create2, "/mine", 1, 0x0100_001d_52e5_0000),
    ] {
        assert_eq!(client.create(op, path, flags), Ok);
        assert_eq!(owner(&client, path), expected, "{path}");
    }
    assert_eq!(client.create(OpCode::Create, "/mine/child", 0), NoChildrenForEphemerals);
    assert_eq!(client.create(OpCode::Create, "/container/child", 0), Ok);
    for (flags, ttl, error) in
        [(5, Some(100), Ok), (5, Some(0), BadArguments), (0, Some(100), BadArguments), (0, Some(-1), BadArguments)]
    {
        assert_eq!(client.create_ttl(OpCode::CreateTtl, "/ttl", flags, ttl), error, "{flags} {ttl:?}");
    }
    assert_eq!(owner(&client, "/ttl"), ttl_owner(100).unwrap());
    assert_eq!(client.create(OpCode::Create, "/t", 5), BadArguments, "no time to live");
    assert_eq!(client.create(OpCode::Create, "/t", 7), BadArguments);
    assert_eq!(client.create(OpCode::Create, "/t", -1), BadArguments);
    assert_eq!(Client::new(StateOptions::default()).create_ttl(OpCode::CreateTtl, "/t", 5, Some(1)), Unimplemented);
}

#[test]
fn a_multi_is_the_observed_bytes() {
    let mut client = Client::new(StateOptions::default());
    let mut body = vec![];
    member(&mut body, 1, |out| plain_create(out, "/m1"));
    member(&mut body, 13, |out| {
        put_bytes(out, b"/m1");
        put_int(out, 0);
    });
    member(&mut body, 2, |out| {
        put_bytes(out, b"/m1");
        put_int(out, 0);
    });
    member(&mut body, -1, |_| {});
    let digest = client.state.digest();
    assert_eq!(client.multi(&body), ErrorCode::Ok);
    let results =
        hex("00000001 00 00000000 00000003 2f6d31 0000000d 00 00000000 00000002 00 00000000 ffffffff 01 ffffffff");
    assert_eq!(client.out.reply[20..], results);
    assert_eq!(client.out.changes.len(), 2);
    assert_ne!(client.state.digest(), digest, "the root's counters have moved");
}

#[test]
fn a_failed_multi_is_the_observed_bytes_and_changes_nothing() {
    let mut client = Client::new(StateOptions::default());
    client.create(OpCode::Create, "/e", 1);
    client.create(OpCode::Create, "/s", 0);
    let before = (client.state.digest(), client.stat("/"), client.stat("/s"));
    let mut body = vec![];
    member(&mut body, 1, |out| plain_create(out, "/s/m"));
    member(&mut body, 2, |out| {
        put_bytes(out, b"/e");
        put_int(out, 5);
    });
    member(&mut body, 1, |out| plain_create(out, "/never"));
    member(&mut body, -1, |_| {});
    assert_eq!(client.multi(&body), ErrorCode::BadVersion);
    let results = "ffffffff 00 00000000 00000000 ffffffff 00 ffffff99 ffffff99 ffffffff 00 fffffffe fffffffe ffffffff 01 ffffffff";
    assert_eq!(client.out.reply[20..], hex(results));
    assert_eq!(client.out.reply[16..20], [0; 4], "the header says Ok");
    assert!(client.out.changes.is_empty());
    assert_eq!((client.state.digest(), client.stat("/"), client.stat("/s")), before);
    assert_eq!(client.state.ephemeral_count(), 1);
    let (header, txn, digest) = read_entry(&client.out.txn).unwrap();
    assert_eq!((header.op, digest.unwrap().tree_digest as u64), (OpCode::Multi, before.0));
    let Txn::Multi(members) = txn else { panic!("{txn:?}") };
    let codes: Vec<_> = members.iter().map(|(op, txn)| (op, format!("{txn:?}"))).collect();
    assert_eq!(codes.len(), 3);
    for ((op, txn), code) in codes.iter().zip([0, -103, -2]) {
        assert_eq!((*op, txn.as_str()), (OpCode::Error, format!("Error {{ code: {code} }}").as_str()));
    }
    // The next zxid is used as if nothing had happened, and an empty multi is fine.
    let mut empty = vec![];
    member(&mut empty, -1, |_| {});
    assert_eq!(client.multi(&empty), ErrorCode::Ok);
    assert_eq!(client.out.reply[20..], hex("ffffffff 01 ffffffff"));
}

#[test]
fn quotas_count_and_refuse() {
    let mut client = Client::new(Config { enforce_quota: true, ..Config::default() });
    for path in ["/q", "/q/a", "/zookeeper/quota/q"] {
        client.create(OpCode::Create, path, 0);
    }
    client.create(OpCode::Create, "/zookeeper/quota/q/zookeeper_limits", 0);
    client.set("/zookeeper/quota/q/zookeeper_limits", "count=-1,bytes=-1=;byteHardLimit=8;countHardLimit=3");
    client.create(OpCode::Create, "/zookeeper/quota/q/zookeeper_stats", 0);
    let stats = "/zookeeper/quota/q/zookeeper_stats";
    assert_eq!(client.data(stats), "count=2,bytes=2");
    let before = Stat { data_length: 0, ..client.stat(stats) };
    assert_eq!(client.create(OpCode::Create, "/q/b", 0), ErrorCode::Ok);
    assert_eq!(client.create(OpCode::Create, "/q/c", 0), ErrorCode::QuotaExceeded);
    assert_eq!(client.set("/q/b", "12345678"), ErrorCode::QuotaExceeded);
    assert_eq!(client.set("/q/b", "123456"), ErrorCode::Ok);
    assert_eq!(client.data(stats), "count=3,bytes=8");
    assert_eq!(client.delete("/q/a"), ErrorCode::Ok);
    assert_eq!(client.data(stats), "count=2,bytes=7");
    assert_eq!(Stat { data_length: 0, ..client.stat(stats) }, before, "counting is no change");
    assert_eq!(client.delete("/zookeeper/quota/q/zookeeper_limits"), ErrorCode::Ok);
    assert_eq!(client.create(OpCode::Create, "/q/c", 0), ErrorCode::Ok);
    assert_eq!(client.data(stats), "count=2,bytes=7");
}

#[test]
fn containers_and_ttl_znodes_have_their_time() {
    let mut client = Client::new(Config { extended_types: true, ..Config::default() });
    client.create(OpCode::CreateContainer, "/unused", 4);
    client.create(OpCode::CreateContainer, "/used", 4);
    client.create(OpCode::CreateContainer, "/busy", 4);
    client.create(OpCode::Create, "/used/x", 0);
    client.delete("/used/x");
    client.create(OpCode::Create, "/busy/x", 0);
    client.create_ttl(OpCode::CreateTtl, "/short", 5, Some(50));
    client.create_ttl(OpCode::CreateTtl, "/long", 5, Some(50_000));
    let reap = |client: &mut Client, now_ms, limit| {
        let mut paths = vec![];
        let mut calls = 0;
        while !client.state.reap(now_ms, limit, &mut paths) {
            calls += 1;
            assert!(calls < 10);
        }
        paths.into_iter().map(|path| String::from_utf8(path).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(reap(&mut client, 1050, 100), ["/used"], "a TTL is outlived only after it");
    assert_eq!(reap(&mut client, 1051, 1), ["/used", "/short"], "a slice at a time");
    Arc::make_mut(&mut client.state.options.config).container_max_never_used_ms = 500;
    assert_eq!(reap(&mut client, 1501, 100), ["/unused", "/used", "/short"]);

    let request = Request::DeleteContainer { path: b"/busy" };
    assert_eq!(client.ask(OpCode::DeleteContainer, request), ErrorCode::BadArguments, "no client's business");
    client.session = SessionId::NONE;
    assert_eq!(client.ask(OpCode::DeleteContainer, request), ErrorCode::NotEmpty);
    assert_eq!(client.ask(OpCode::DeleteContainer, Request::DeleteContainer { path: b"/used" }), ErrorCode::Ok);
    assert_eq!(client.ask(OpCode::DeleteContainer, Request::DeleteContainer { path: b"/used" }), ErrorCode::NoNode);
}

#[test]
fn reconfig_by_settings() {
    let mut client = Client::new(StateOptions::default());
    let request = Request::Reconfig(Reconfig { current_config: -1, ..Reconfig::default() });
    assert_eq!(client.ask(OpCode::Reconfig, request), ErrorCode::ReconfigDisabled);
    let enabled = Config { reconfig_enabled: true, ..Config::default() };
    let mut client = Client::new(enabled.clone());
    assert_eq!(client.ask(OpCode::Reconfig, request), ErrorCode::Unimplemented);
    client.with(|state, context, out| state.reconfigure(context, Ok(b"version=5"), out));
    assert_eq!(client.out.error, ErrorCode::NoAuth, "the configuration is read-only to all but super");
    let mut client = Client::new(Config { skip_acl: true, ..enabled.clone() });
    let digest = client.state.digest();
    client.with(|state, context, out| state.reconfigure(context, Ok(b"version=5"), out));
    assert_eq!((client.out.error, client.data("/zookeeper/config").as_str()), (ErrorCode::Ok, "version=5"));
    assert_eq!((client.stat("/zookeeper/config").version, client.state.digest()), (-1, digest));
    let mut follower = State::new(enabled.into());
    follower.put_session(Zxid(0), client.session, 1);
    let mut reply = vec![];
    let mut changes = Changes::default();
    let applied = follower.apply(&client.out.txn, Mode::Strict, &mut changes, Some(&mut reply)).unwrap();
    assert_eq!((applied.digest, reply, changes.len()), (DigestCheck::Same, client.out.reply, 1));
}

#[test]
fn a_session_with_too_many_ephemerals_is_closed_without_a_list() {
    let mut client = Client::new(StateOptions::default());
    let mut follower = State::new(StateOptions::default());
    let apply = |client: &Client, follower: &mut State| {
        follower.apply(&client.out.txn, Mode::Strict, &mut Changes::default(), None).unwrap()
    };
    follower.put_session(Zxid(0), client.session, 10_000);
    follower.begin(Zxid(1));
    let name = "n".repeat(60_000);
    let count = limits::CLOSE_SESSION_PATHS / name.len() + 2;
    for n in 0..count {
        assert_eq!(client.create(OpCode::Create, &format!("/{name}{n}"), 1), ErrorCode::Ok);
        apply(&client, &mut follower);
    }
    let other = client.session;
    client.with(|state, context, out| state.close_session(context, out));
    assert!(client.out.txn.len() < 100);
    assert_eq!(client.out.changes.len(), count);
    let applied = apply(&client, &mut follower);
    assert_eq!((applied.session, applied.digest), (Some(SessionEvent::Closed), DigestCheck::Same));
    assert_eq!((follower.ephemeral_count(), follower.session_timeout_ms(other)), (0, None));
    // Until the end is committed the session counts as expired, after that it is unknown.
    assert_eq!(client.set("/", ""), ErrorCode::SessionExpired);
    client.state.publish(Zxid(client.zxid));
    assert_eq!(client.set("/", ""), ErrorCode::UnknownSession);
    assert_eq!(client.create(OpCode::Create, "/e", 1), ErrorCode::SessionExpired);
}

#[test]
fn what_does_not_fit_the_tree_is_an_error() {
    let mut client = Client::new(StateOptions::default());
    client.create(OpCode::Create, "/a", 0);
    let entry = client.out.txn.clone();
    let mut changes = Changes::default();
    let again = client.state.apply(&entry, Mode::Strict, &mut changes, None);
    assert_eq!(again, Err(ApplyError::Order { zxid: Zxid(2), head: Zxid(2) }));
    let mut later = entry.clone();
    later[19] = 9;
    assert!(matches!(client.state.apply(&later, Mode::Strict, &mut changes, None), Err(ApplyError::Conflict { .. })));
    for end in 0..entry.len() {
        // An entry without its digest is complete, and so is one of the older form, without the parent's counter.
        let whole = end == entry.len() - 12 || end == entry.len() - 16;
        let mut state = State::new(StateOptions::default());
        assert_eq!(state.apply(&entry[..end], Mode::Strict, &mut changes, None).is_ok(), whole, "{end}");
    }
    // An error may repeat the last zxid: ZooKeeper logs requests that it cannot decode so.
    client.zxid = 9;
    client.delete("/nothing");
    let error = client.out.txn.clone();
    assert_eq!(client.state.apply(&error, Mode::Strict, &mut changes, None).unwrap().error, -101);
}

#[test]
fn loading_checks_what_it_is_given() {
    use super::state::LoadError;
    use super::store::NewZnode;
    use super::store::tests::znode;
    let mut state = State::empty(StateOptions::default());
    state.begin_load(Zxid(5));
    let plain = znode(1, None);
    let znode = NewZnode { stat: StatPersisted { cversion: 3, pzxid: 4, ..plain.stat }, ..plain };
    assert_eq!(state.load(b"/a", &znode), Err(LoadError::NoParent));
    assert_eq!(state.load(b"", &znode), Ok(()));
    assert_eq!(state.load(b"/", &znode), Err(LoadError::Twice));
    assert_eq!(state.load(b"a", &znode), Err(LoadError::BadPath));
    assert_eq!(state.load(b"/zookeeper", &znode), Ok(()));
    assert_eq!(state.load(b"/e", &NewZnode { stat: StatPersisted { owner: 77, ..znode.stat }, ..znode }), Ok(()));
    state.finish_load();
    state.publish(Zxid(5));
    assert!(state.find(b"/zookeeper/config").is_some(), "older snapshots have none");
    assert_eq!(state.orphaned_sessions(), [SessionId(77)]);
    assert_eq!(state.ephemerals(SessionId(77), b"/").collect::<Vec<_>>(), [b"/e"]);
    assert_eq!(state.ephemerals(SessionId(77), b"/f").count(), 0);
    assert_eq!(state.find(b"/").unwrap().stored_cversion(), 3);
}

#[test]
fn acls_are_kept_and_asked() {
    let mut client = Client::new(StateOptions::default());
    let mut read_only = vec![];
    put_int(&mut read_only, 1);
    AclEntry { perms: 1, scheme: b"world", id: b"anyone" }.put(&mut read_only);
    let acl = AclList::read(&mut Reader::new(&read_only)).unwrap();
    client.create(OpCode::Create, "/a", 0);
    let before = client.stat("/a");
    assert_eq!(client.ask(OpCode::SetAcl, Request::SetAcl { path: b"/a", acl, version: 5 }), ErrorCode::BadVersion);
    assert_eq!(
        client.ask(OpCode::SetAcl, Request::SetAcl { path: b"/a", acl: None, version: 0 }),
        ErrorCode::InvalidAcl
    );
    assert_eq!(client.ask(OpCode::SetAcl, Request::SetAcl { path: b"/a", acl, version: 0 }), ErrorCode::Ok);
    assert!(client.out.changes.is_empty(), "no watch fires");
    assert_eq!(client.stat("/a"), Stat { aversion: 1, ..before });
    assert_eq!(client.set("/a", ""), ErrorCode::NoAuth);
    assert_eq!(client.create(OpCode::Create, "/a/b", 0), ErrorCode::NoAuth);
    assert_eq!(client.delete("/a"), ErrorCode::Ok, "the parent decides");
}
