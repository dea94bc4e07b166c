//! What is said when the goldens are captured: for each group of operations the requests that show its record, its
//! success, and its errors. Every conversation keeps to a subtree of its own and shows no list of more than one name,
//! since lists have no order.

use super::Scene;
use super::support::client::connect_record;
use super::support::wire::{self, Acl, flag, op, xid};

/// The conversations, one file each, in the order they are held.
pub const NAMES: &[&str] = &[
    "connect",
    "create",
    "create2",
    "container_and_ttl",
    "delete",
    "set_data",
    "exists_and_get_data",
    "acl",
    "children",
    "sync_and_ping",
    "multi",
    "multi_read",
    "watch_events",
    "persistent_watches",
    "set_watches",
    "check_and_remove_watches",
    "auth",
    "ephemerals",
    "quota",
    "reconfig",
    "close_session",
    "unimplemented",
    "malformed",
];

/// Holds one conversation.
pub fn speak(name: &str, scene: &mut Scene<'_>) {
    match name {
        "connect" => connect(scene),
        "create" => create(scene),
        "create2" => create2(scene),
        "container_and_ttl" => container_and_ttl(scene),
        "delete" => delete(scene),
        "set_data" => set_data(scene),
        "exists_and_get_data" => exists_and_get_data(scene),
        "acl" => acl(scene),
        "children" => children(scene),
        "sync_and_ping" => sync_and_ping(scene),
        "multi" => multi(scene),
        "multi_read" => multi_read(scene),
        "watch_events" => watch_events(scene),
        "persistent_watches" => persistent_watches(scene),
        "set_watches" => set_watches(scene),
        "check_and_remove_watches" => check_and_remove_watches(scene),
        "auth" => auth(scene),
        "ephemerals" => ephemerals(scene),
        "quota" => quota(scene),
        "reconfig" => reconfig(scene),
        "close_session" => close_session(scene),
        "unimplemented" => unimplemented(scene),
        "malformed" => malformed(scene),
        _ => panic!("no conversation {name}"),
    }
}

fn connect(scene: &mut Scene<'_>) {
    scene.about("a new session, with and without the readOnly byte");
    scene.open("A", None);
    scene.connect("A", &connect_record(0, 30_000, 0, &[0; 16], Some(false)));
    scene.open("B", None);
    scene.connect("B", &connect_record(0, 30_000, 0, &[0; 16], None));
    scene.open("C", None);
    scene.connect("C", &connect_record(0, 30_000, 0, &[0; 16], Some(true)));
    scene.about("timeouts are clamped to 2 and 20 ticks");
    scene.open("D", None);
    scene.connect("D", &connect_record(0, 1, 0, &[0; 16], Some(false)));
    scene.open("E", None);
    scene.connect("E", &connect_record(0, i32::MAX, 0, &[0; 16], Some(false)));
    scene.open("F", None);
    scene.connect("F", &connect_record(0, -5, 0, &[0; 16], Some(false)));
    scene.about("an empty password, and a protocol version nobody has");
    scene.open("G", None);
    scene.connect("G", &connect_record(0, 30_000, 0, &[], Some(false)));
    scene.open("H", None);
    let mut record = connect_record(0, 30_000, 0, &[0; 16], Some(false));
    record[3] = 7;
    scene.connect("H", &record);
    scene.about("a session taken up again");
    scene.hang_up("A");
    scene.open("Y", None);
    scene.connect("Y", &connect_record(0, 30_000, 0, &[0; 16], Some(false)));
    scene.resume("Z", "Y", |_| {}, true);
    scene.ended("Y");
    scene.hear("Z");
    scene.about("a wrong password");
    scene.hang_up("Y");
    scene.open("K", None);
    scene.connect("K", &connect_record(0, 30_000, 0, &[0; 16], Some(false)));
    let damage = |record: &mut Vec<u8>| record[28..44].fill(0x5a);
    scene.resume("L", "K", damage, false);
    scene.about("an unknown session");
    scene.open("M", None);
    scene.connect("M", &connect_record(0, 30_000, 0x7700_0000_0000_0001, &[1; 16], Some(false)));
    scene.about("a client that has seen a later state than the server");
    scene.open("N", None);
    scene.connect("N", &connect_record(i64::MAX, 30_000, 0, &[0; 16], Some(false)));
}

fn create(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.about("persistent, with data, empty and null data");
    scene.say("A", 1, &wire::create("/gc", b"data", 0));
    scene.say("A", 2, &wire::create("/gc/e", b"", 0));
    scene.say("A", 3, &wire::create_as(op::CREATE, "/gc/n", None, Some(&Acl::open()), 0));
    scene.say("A", 4, &wire::get_data("/gc/e", false));
    scene.say("A", 5, &wire::get_data("/gc/n", false));
    scene.about("sequential: the suffix is the parent's count of creations");
    scene.say("A", 6, &wire::create("/gc/s-", b"", flag::SEQUENTIAL));
    scene.say("A", 7, &wire::create("/gc/", b"", flag::SEQUENTIAL));
    scene.say("A", 8, &wire::create("/gc/es-", b"", flag::EPHEMERAL_SEQUENTIAL));
    scene.about("ephemeral, and a child of one");
    scene.say("A", 9, &wire::create("/gc/eph", b"", flag::EPHEMERAL));
    scene.say("A", 10, &wire::exists("/gc/eph", false));
    scene.say("A", 11, &wire::create("/gc/eph/k", b"", 0));
    scene.about("flags 4 at top level make a plain node; 5, 6 and unknown ones are bad arguments");
    scene.say("A", 12, &wire::create("/gc/f4", b"", flag::CONTAINER));
    scene.say("A", 13, &wire::create("/gc/f5", b"", flag::TTL));
    scene.say("A", 14, &wire::create("/gc/f6", b"", flag::TTL_SEQUENTIAL));
    scene.say("A", 15, &wire::create("/gc/f7", b"", 7));
    scene.say("A", 16, &wire::create("/gc/f-1", b"", -1));
    scene.about("errors and their order");
    scene.say("A", 17, &wire::create("/gc", b"", 0));
    scene.say("A", 18, &wire::create("/", b"", 0));
    scene.say("A", 19, &wire::create("gc", b"", 0));
    scene.say("A", 20, &wire::create("", b"", 0));
    scene.say("A", 21, &wire::create("/gc/no/k", b"", 0));
    scene.say("A", 22, &wire::create("/gc/../b", b"", 0));
    scene.say("A", 23, &wire::create("/gc/..", b"", 0));
    scene.say("A", 24, &wire::create("/gc/", b"", 0));
    scene.say("A", 25, &wire::create("/gc/a\u{0}b", b"", 0));
    scene.say("A", 26, &wire::create("/gc/a\u{1}b", b"", 0));
    scene.say("A", 27, &wire::create("/gc/a\u{f8ff}", b"", 0));
    scene.say("A", 28, &wire::create_as(op::CREATE, "/gc/l", None, None, 0));
    scene.say("A", 29, &wire::create_as(op::CREATE, "/gc/l", None, Some(&[]), 0));
    scene.say("A", 30, &wire::create_as(op::CREATE, "/gc/no/l", None, Some(&[]), 0));
    scene.say("A", 31, &wire::create_as(op::CREATE, "gc", None, Some(&[]), 9));
    scene.say("A", 32, &wire::create("/gc/\u{e9}\u{4e2d}", b"", 0));
}

fn create2(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.about("the same with a Stat");
    scene.say("A", 1, &wire::create2("/gd", b"data", 0));
    scene.say("A", 2, &wire::create2("/gd/s-", b"", flag::SEQUENTIAL));
    scene.say("A", 3, &wire::create2("/gd/e", b"12345", flag::EPHEMERAL));
    scene.say("A", 4, &wire::create2("/gd/e-", b"", flag::EPHEMERAL_SEQUENTIAL));
    scene.say("A", 5, &wire::create2("/gd/f4", b"", flag::CONTAINER));
    scene.say("A", 6, &wire::create2("/gd", b"", 0));
    scene.say("A", 7, &wire::create2("/gd/no/k", b"", 0));
    scene.about("the parent's Stat: cversion counts creations and deletions");
    scene.say("A", 8, &wire::delete("/gd/f4", -1));
    scene.say("A", 9, &wire::exists("/gd", false));
}

fn container_and_ttl(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.about("containers; the operation decides the kind, not the flags");
    scene.say("A", 1, &wire::create_container("/gk", b"c"));
    let with_flags = |path, flags| wire::create_as(op::CREATE_CONTAINER, path, Some(b""), Some(&Acl::open()), flags);
    scene.say("A", 2, &with_flags("/gk/c0", 0));
    scene.say("A", 3, &with_flags("/gk/c2-", 2));
    scene.say("A", 4, &with_flags("/gk/c7", 7));
    scene.say("A", 5, &wire::create_container("/gk", b"c"));
    scene.say("A", 6, &wire::create("/gk/k", b"", 0));
    scene.say("A", 7, &wire::exists("/gk", false));
    scene.about("TTL nodes");
    let open = Acl::open();
    let ttl = |path, flags, ttl| wire::create_ttl(path, Some(b"t"), Some(&open), flags, ttl);
    scene.say("A", 8, &ttl("/gk/t", flag::TTL, 3_600_000));
    scene.say("A", 9, &ttl("/gk/t-", flag::TTL_SEQUENTIAL, 3_600_000));
    scene.say("A", 10, &ttl("/gk/max", flag::TTL, 0xff_ffff_ffff));
    scene.say("A", 11, &ttl("/gk/over", flag::TTL, 0x100_0000_0000));
    scene.say("A", 12, &ttl("/gk/zero", flag::TTL, 0));
    scene.say("A", 13, &ttl("/gk/neg", flag::TTL, -1));
    scene.say("A", 14, &ttl("/gk/plain", flag::PERSISTENT, 5));
    scene.say("A", 15, &ttl("/gk/eph", flag::EPHEMERAL, 5));
    scene.say("A", 16, &wire::create("/gk/t/child", b"", 0));
    scene.say("A", 17, &wire::exists("/gk/t", false));
}

fn delete(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.say("A", 1, &wire::create("/ge", b"", 0));
    scene.say("A", 2, &wire::create("/ge/k", b"", 0));
    scene.about("errors");
    scene.say("A", 3, &wire::delete("/ge", -1));
    scene.say("A", 4, &wire::delete("/ge/k", 5));
    scene.say("A", 5, &wire::delete("/ge/none", -1));
    scene.say("A", 6, &wire::delete("/ge/none/k", -1));
    scene.say("A", 7, &wire::delete("/ge/", -1));
    for (number, path) in
        ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", "ge", "", "/ge\u{0}"].iter().enumerate()
    {
        scene.say("A", 8 + number as i32, &wire::delete(path, -1));
    }
    scene.about("successes");
    scene.say("A", 20, &wire::delete("/ge/k", 0));
    scene.say("A", 21, &wire::delete("/ge", -1));
    scene.say("A", 22, &wire::exists("/ge", false));
}

fn set_data(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.say("A", 1, &wire::create("/gf", b"one", 0));
    scene.say("A", 2, &wire::set_data("/gf", Some(b"twenty"), -1));
    scene.say("A", 3, &wire::set_data("/gf", Some(b""), 1));
    scene.say("A", 4, &wire::set_data("/gf", None, 2));
    scene.say("A", 5, &wire::get_data("/gf", false));
    scene.say("A", 6, &wire::set_data("/gf", Some(b"x"), 2));
    scene.say("A", 7, &wire::set_data("/gf", Some(b"x"), i32::MIN));
    scene.say("A", 8, &wire::set_data("/gf/none", Some(b"x"), -1));
    scene.say("A", 9, &wire::set_data("/gf/", Some(b"x"), -1));
    scene.say("A", 10, &wire::set_data("gf", Some(b"x"), -1));
    scene.say("A", 11, &wire::set_data("", Some(b"x"), -1));
    scene.say("A", 12, &wire::set_data("/zookeeper/config", Some(b"x"), -1));
}

fn exists_and_get_data(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.say("A", 1, &wire::create("/gg", b"bytes\x00\xff", 0));
    scene.say("A", 2, &wire::exists("/gg", false));
    scene.say("A", 3, &wire::exists("/gg/none", false));
    scene.say("A", 4, &wire::exists("gg", false));
    scene.say("A", 5, &wire::exists("/gg/", false));
    scene.say("A", 6, &wire::exists("/gg\u{0}", false));
    scene.say("A", 7, &wire::get_data("/gg", false));
    scene.say("A", 8, &wire::get_data("/gg/none", true));
    scene.say("A", 9, &wire::get_data("gg", false));
    scene.about("a null path");
    scene.say("A", 10, &wire::path_only(op::EXISTS, None));
    scene.say("A", 11, &wire::path_only(op::GET_DATA, None));
    scene.about("the nodes that are there from the beginning");
    scene.say("A", 12, &wire::get_data("/zookeeper/quota", false));
    scene.say("A", 13, &wire::get_data("/zookeeper/config", false));
    scene.say("A", 14, &wire::get_acl("/zookeeper/config"));
}

fn acl(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.join("B");
    scene.say("A", 1, &wire::create("/gh", b"", 0));
    scene.say("A", 2, &wire::get_acl("/gh"));
    scene.say("A", 3, &wire::get_acl("/gh/none"));
    scene.say("A", 4, &wire::set_acl("/gh/none", Some(&Acl::open()), -1));
    scene.say("A", 5, &wire::set_acl("/gh", Some(&Acl::open()), 3));
    scene.about("lists that are refused");
    let lists: &[&[Acl]] = &[
        &[],
        &[Acl::new(31, "world", "someone")],
        &[Acl::new(31, "auth", "")],
        &[Acl::new(31, "nosuch", "x")],
        &[Acl::new(31, "digest", "nocolon")],
        &[Acl::new(31, "ip", "300.1.1.1")],
    ];
    for (number, list) in lists.iter().enumerate() {
        scene.say("A", 6 + number as i32, &wire::set_acl("/gh", Some(list), -1));
    }
    scene.say("A", 12, &wire::set_acl("/gh", None, -1));
    scene.about("duplicates are dropped, auth becomes the caller's identity");
    scene.say("A", xid::AUTH, &wire::auth("digest", b"ann:one"));
    let list = [Acl::new(31, "auth", "whatever"), Acl::new(1, "world", "anyone"), Acl::new(1, "world", "anyone")];
    scene.say("A", 13, &wire::set_acl("/gh", Some(&list), 0));
    scene.say("A", 14, &wire::get_acl("/gh"));
    scene.about("another session may read the list, with the digest masked, and nothing more");
    scene.say("B", 1, &wire::get_acl("/gh"));
    scene.say("B", 2, &wire::get_data("/gh", false));
    scene.say("B", 3, &wire::set_data("/gh", Some(b"x"), -1));
    scene.say("B", 4, &wire::create("/gh/k", b"", 0));
    scene.say("B", 5, &wire::delete("/gh/k", -1));
    scene.say("B", 6, &wire::set_acl("/gh", Some(&Acl::open()), -1));
    scene.about("nothing at all is allowed");
    scene.say(
        "A",
        15,
        &wire::create_as(op::CREATE, "/gh/shut", Some(b"s"), Some(&[Acl::new(0, "world", "anyone")]), 0),
    );
    scene.say("A", 16, &wire::get_data("/gh/shut", false));
    scene.say("A", 17, &wire::exists("/gh/shut", false));
    scene.say("A", 18, &wire::get_children("/gh/shut", false));
    scene.say("A", 19, &wire::get_acl("/gh/shut"));
    scene.say("A", 20, &wire::set_data("/gh/shut", None, -1));
    scene.say("A", 21, &wire::get_all_children_number("/gh/shut"));
    scene.about("but by the super user");
    scene.say("B", xid::AUTH, &wire::auth("digest", b"super:secret"));
    scene.say("B", 7, &wire::get_data("/gh/shut", false));
    scene.say("B", 8, &wire::get_acl("/gh"));
    scene.about("addresses");
    let by_address = [Acl::new(31, "ip", "127.0.0.0/8")];
    scene.say("A", 22, &wire::create_as(op::CREATE, "/gh/near", None, Some(&by_address), 0));
    scene.say("A", 23, &wire::get_data("/gh/near", false));
    let elsewhere = [Acl::new(31, "ip", "10.0.0.0/8")];
    scene.say("A", 24, &wire::create_as(op::CREATE, "/gh/far", None, Some(&elsewhere), 0));
    scene.say("A", 25, &wire::get_data("/gh/far", false));
}

fn children(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.say("A", 1, &wire::create("/gi", b"", 0));
    scene.say("A", 2, &wire::get_children("/gi", false));
    scene.say("A", 3, &wire::create("/gi/only", b"", 0));
    scene.say("A", 4, &wire::create("/gi/only/deep", b"", 0));
    scene.say("A", 5, &wire::get_children("/gi", false));
    scene.say("A", 6, &wire::get_children2("/gi", false));
    scene.say("A", 7, &wire::get_children("/gi/none", false));
    scene.say("A", 8, &wire::get_children2("/gi/none", true));
    scene.say("A", 9, &wire::get_children("gi", false));
    scene.say("A", 10, &wire::path_only(op::GET_CHILDREN, None));
    scene.say("A", 11, &wire::get_all_children_number("/gi"));
    scene.say("A", 12, &wire::get_all_children_number("/gi/only/deep"));
    scene.say("A", 13, &wire::get_all_children_number("/gi/none"));
}

fn sync_and_ping(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.say("A", 1, &wire::sync("/"));
    scene.say("A", 2, &wire::sync("/no/such/node"));
    scene.say("A", 3, &wire::sync("no path at all"));
    scene.hear("A");
    scene.about("a ping's xid is echoed like any other");
    scene.say("A", 4, &wire::ping());
    scene.say("A", i32::MAX, &wire::exists("/zookeeper/none", false));
    scene.say("A", i32::MIN, &wire::exists("/zookeeper/none", false));
    scene.say("A", 0, &wire::exists("/zookeeper/none", false));
}

fn multi(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.say("A", 1, &wire::create("/gj", b"", 0));
    scene.about("each kind of result");
    let open = Acl::open();
    let parts = [
        wire::create("/gj/a", b"1", 0),
        wire::create2("/gj/b", b"2", 0),
        wire::create_container("/gj/c", b""),
        wire::create_ttl("/gj/t", None, Some(&open), flag::TTL, 3_600_000),
        wire::check("/gj/a", 0),
        wire::set_data("/gj/a", Some(b"3"), 0),
        wire::delete("/gj/b", 0),
        wire::create("/gj/e", b"", flag::EPHEMERAL),
        wire::create("/gj/s-", b"", flag::SEQUENTIAL),
        wire::create("/gj/f4", b"", flag::CONTAINER),
    ];
    scene.say("A", 2, &wire::multi(&parts));
    scene.say("A", 3, &wire::exists("/gj/a", false));
    scene.about("nothing in it");
    scene.say("A", 4, &wire::multi(&[]));
    scene.about("all or nothing");
    let parts = [wire::create("/gj/x", b"", 0), wire::check("/gj/a", 77), wire::delete("/gj/a", -1)];
    scene.say("A", 5, &wire::multi(&parts));
    scene.say("A", 6, &wire::exists("/gj/x", false));
    scene.about("each kind of failure, alone");
    let failing = [
        wire::create("/gj/a", b"", 0),
        wire::create2("/gj/none/k", b"", 0),
        wire::delete("/gj", -1),
        wire::set_data("/gj/", None, -1),
        wire::check("/gj/none", -1),
        wire::create("/gj/e/k", b"", 0),
        wire::create_as(op::CREATE, "/gj/l", None, Some(&[]), 0),
    ];
    for (number, part) in failing.into_iter().enumerate() {
        scene.say("A", 7 + number as i32, &wire::multi(&[part]));
    }
    scene.about("the same node twice");
    let parts = [
        wire::create("/gj/y", b"", 0),
        wire::set_data("/gj/y", Some(b"y"), 0),
        wire::delete("/gj/y", 1),
        wire::create2("/gj/y", b"again", 0),
        wire::create2("/gj/y/s-", b"", flag::SEQUENTIAL),
        wire::create2("/gj/y/s-", b"", flag::SEQUENTIAL),
    ];
    scene.say("A", 20, &wire::multi(&parts));
    scene.about("kinds that do not belong into one");
    scene.say("A", 21, &wire::multi(&[wire::get_data("/gj", false), wire::check("/gj", -1)]));
    scene.say("A", 22, &wire::multi(&[wire::set_acl("/gj", Some(&open), -1)]));
    scene.say("A", 23, &wire::multi(&[wire::raw(99, vec![])]));
    scene.say("A", 24, &wire::multi(&[wire::create("/gj/z", b"", 9)]));
}

fn multi_read(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.say("A", 1, &wire::create("/gm", b"data", 0));
    scene.say("A", 2, &wire::create("/gm/k", b"", 0));
    let parts = [
        wire::get_data("/gm", true),
        wire::get_data("/gm/none", false),
        wire::get_children("/gm", true),
        wire::get_children("/gm/none", false),
    ];
    scene.say("A", 3, &wire::multi_read(&parts));
    scene.say("A", 4, &wire::multi_read(&[]));
    scene.about("its watch flags mean nothing");
    scene.say("A", 5, &wire::set_data("/gm", None, -1));
    scene.about("writes do not belong there, nor other reads");
    scene.say("A", 6, &wire::multi_read(&[wire::check("/gm", -1)]));
    scene.say("A", 7, &wire::multi_read(&[wire::exists("/gm", false)]));
    scene.say("A", 8, &wire::multi_read(&[wire::get_children("/gm", false), wire::check("/gm", -1)]));
}

fn watch_events(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.join("W");
    scene.say("A", 1, &wire::create("/gn", b"", 0));
    scene.about("exists on a missing node: created");
    scene.say("W", 1, &wire::exists("/gn/k", true));
    scene.say("A", 2, &wire::create("/gn/k", b"", 0));
    scene.hear("W");
    scene.about("data, once");
    scene.say("W", 2, &wire::get_data("/gn/k", true));
    scene.say("A", 3, &wire::set_data("/gn/k", Some(b"1"), -1));
    scene.say("A", 4, &wire::set_data("/gn/k", Some(b"2"), -1));
    scene.hear("W");
    scene.about("children");
    scene.say("W", 3, &wire::get_children("/gn", true));
    scene.say("A", 5, &wire::create("/gn/l", b"", 0));
    scene.hear("W");
    scene.say("A", 50, &wire::delete("/gn/l", -1));
    scene.about("a deletion under three watches: the node's event once, then the parent's");
    scene.say("W", 4, &wire::get_data("/gn/k", true));
    scene.say("W", 5, &wire::get_children("/gn/k", true));
    scene.say("W", 6, &wire::get_children2("/gn", true));
    scene.say("A", 6, &wire::delete("/gn/k", -1));
    scene.hear("W");
    scene.about("setACL is no event; one's own write comes after its event");
    scene.say("A", 51, &wire::create("/gn/l", b"", 0));
    scene.say("A", 7, &wire::get_data("/gn/l", true));
    scene.say("A", 8, &wire::set_acl("/gn/l", Some(&Acl::open()), -1));
    scene.say("A", 9, &wire::set_data("/gn/l", Some(b"own"), -1));
    scene.about("the events of a multi, in its order");
    scene.say("W", 7, &wire::get_children("/gn", true));
    scene.say("W", 8, &wire::get_data("/gn/l", true));
    scene.say("W", 9, &wire::exists("/gn/m", true));
    let parts = [wire::set_data("/gn/l", None, -1), wire::create("/gn/m", b"", 0), wire::delete("/gn/l", -1)];
    scene.say("A", 10, &wire::multi(&parts));
    scene.hear("W");
    scene.about("an event of a node that may not be read is kept back");
    scene.say("W", 10, &wire::exists("/gn/shut", true));
    let shut = [Acl::new(30, "world", "anyone")];
    scene.say("A", 11, &wire::create_as(op::CREATE, "/gn/shut", None, Some(&shut), 0));
    scene.hear("W");
}

fn persistent_watches(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.join("W");
    scene.say("A", 1, &wire::create("/go", b"", 0));
    scene.about("persistent: data and children, again and again");
    scene.say("W", 1, &wire::add_watch("/go", 0));
    scene.say("A", 2, &wire::set_data("/go", Some(b"1"), -1));
    scene.say("A", 3, &wire::set_data("/go", Some(b"2"), -1));
    scene.say("A", 4, &wire::create("/go/k", b"", 0));
    scene.say("A", 5, &wire::set_data("/go/k", Some(b"1"), -1));
    scene.say("A", 6, &wire::delete("/go/k", -1));
    scene.hear("W");
    scene.about("recursive: every node below, never a list of children");
    scene.join("R");
    scene.say("R", 1, &wire::add_watch("/go", 1));
    scene.say("A", 7, &wire::create("/go/a", b"", 0));
    scene.say("A", 8, &wire::create("/go/a/b", b"", 0));
    scene.say("A", 9, &wire::set_data("/go/a/b", Some(b"1"), -1));
    scene.say("A", 10, &wire::delete("/go/a/b", -1));
    scene.hear("R");
    scene.about("modes nobody has");
    scene.say("R", 2, &wire::add_watch("/go", 2));
    scene.say("R", 3, &wire::add_watch("/go", -1));
    scene.about("a node that is not there");
    scene.say("R", 4, &wire::add_watch("/gone/none", 0));
}

fn set_watches(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.say("A", 1, &wire::create("/gp", b"", 0));
    scene.say("A", 2, &wire::create("/gp/k", b"", 0));
    let list = |path: &str| vec![path.to_string()];
    scene.about("everything has changed since zxid 0");
    let lists = [list("/gp"), list("/gp/k"), list("/gp")];
    scene.say("A", xid::SET_WATCHES, &wire::set_watches(0, &lists));
    scene.about("nodes that are missing");
    let lists = [list("/gp/no1"), list("/gp/no2"), list("/gp/no3")];
    scene.say("A", xid::SET_WATCHES, &wire::set_watches(0, &lists));
    scene.say("A", 3, &wire::create("/gp/no2", b"", 0));
    scene.about("nothing has changed: the watches stand");
    let lists = [list("/gp"), list("/gp/later"), list("/gp"), list("/gp/pers"), list("/gp/rec")];
    scene.say("A", xid::SET_WATCHES, &wire::set_watches2(i64::MAX, &lists));
    scene.say("A", 4, &wire::set_data("/gp", Some(b"x"), -1));
    scene.say("A", 5, &wire::create("/gp/later", b"", 0));
    scene.say("A", 6, &wire::create("/gp/pers", b"", 0));
    scene.say("A", 7, &wire::create("/gp/rec", b"", 0));
    scene.say("A", 8, &wire::create("/gp/rec/deep", b"", 0));
    scene.about("its xid is echoed, whatever it is; empty lists are welcome");
    scene.say("A", 77, &wire::set_watches(0, &[vec![], vec![], vec![]]));
}

fn check_and_remove_watches(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.say("A", 1, &wire::create("/gr", b"", 0));
    let mut number = 2;
    let mut ask = |scene: &mut Scene<'_>, opcode: i32, kind: i32| {
        scene.say("A", number, &wire::watch_as(opcode, "/gr", kind));
        number += 1;
    };
    scene.about("no watch: every type");
    for kind in 0..=6 {
        ask(scene, op::CHECK_WATCHES, kind);
        ask(scene, op::REMOVE_WATCHES, kind);
    }
    scene.about("a data watch");
    scene.say("A", 100, &wire::get_data("/gr", true));
    for kind in 1..=5 {
        ask(scene, op::CHECK_WATCHES, kind);
    }
    ask(scene, op::REMOVE_WATCHES, 1);
    ask(scene, op::REMOVE_WATCHES, 2);
    ask(scene, op::REMOVE_WATCHES, 2);
    scene.about("a child watch");
    scene.say("A", 101, &wire::get_children("/gr", true));
    for kind in 1..=5 {
        ask(scene, op::CHECK_WATCHES, kind);
    }
    ask(scene, op::REMOVE_WATCHES, 3);
    ask(scene, op::CHECK_WATCHES, 1);
    scene.about("persistent and recursive ones");
    for mode in 0..=1 {
        scene.say("A", 102 + mode, &wire::add_watch("/gr", mode));
        for kind in 1..=5 {
            ask(scene, op::CHECK_WATCHES, kind);
        }
        ask(scene, op::REMOVE_WATCHES, 4 + mode);
        ask(scene, op::CHECK_WATCHES, 3);
    }
    scene.about("what was removed is silent");
    scene.say("A", 104, &wire::set_data("/gr", Some(b"x"), -1));
}

fn auth(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.about("who am I, before and after");
    scene.say("A", 1, &wire::who_am_i());
    scene.say("A", xid::AUTH, &wire::auth("ip", b""));
    scene.say("A", 2, &wire::who_am_i());
    scene.join("B");
    scene.about("a digest credential");
    scene.say("B", xid::AUTH, &wire::auth("digest", b"ann:one"));
    scene.say("B", xid::AUTH, &wire::auth("digest", b"ann:one"));
    scene.about("text without a colon is taken too");
    scene.say("B", xid::AUTH, &wire::auth("digest", b"nocolon"));
    scene.about("SASL, which is not set up here");
    scene.say("B", 3, &wire::sasl(b"token"));
    scene.say("B", 4, &wire::sasl(b""));
    scene.about("an unknown scheme ends the connection");
    scene.say("B", xid::AUTH, &wire::auth("nosuch", b"x"));
    scene.ended("B");
    scene.join("C");
    scene.say("C", xid::AUTH, &wire::auth("world", b"anyone"));
    scene.ended("C");
}

fn ephemerals(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.join("B");
    scene.say("A", 1, &wire::create("/gs", b"", 0));
    scene.say("A", 2, &wire::get_ephemerals("/"));
    scene.say("A", 3, &wire::create("/gs/mine", b"", flag::EPHEMERAL));
    scene.say("B", 1, &wire::create("/gs/other", b"", flag::EPHEMERAL));
    for (number, prefix) in ["/", "", " ", "/gs", "/gs/mine", "/gs/other", "/none"].iter().enumerate() {
        scene.say("A", 4 + number as i32, &wire::get_ephemerals(prefix));
    }
    scene.say("A", 20, &wire::path_only(op::GET_EPHEMERALS, None));
    scene.about("the owner is shown");
    scene.say("A", 21, &wire::exists("/gs/other", true));
    scene.about("the end of a session deletes them");
    scene.say("B", 2, &wire::close_session());
    scene.hear("A");
    scene.say("A", 22, &wire::exists("/gs/other", false));
}

fn quota(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.say("A", 1, &wire::create("/gt", b"1234", 0));
    scene.say("A", 2, &wire::create("/zookeeper/quota/gt", b"", 0));
    let limits: &[u8] = b"count=1,bytes=4=;byteHardLimit=8;countHardLimit=2";
    scene.say("A", 3, &wire::create("/zookeeper/quota/gt/zookeeper_limits", limits, 0));
    scene.say("A", 4, &wire::create("/zookeeper/quota/gt/zookeeper_stats", b"count=0,bytes=0", 0));
    scene.about("the statistics are kept up without a transaction");
    scene.say("A", 5, &wire::get_data("/zookeeper/quota/gt/zookeeper_stats", false));
    scene.say("A", 6, &wire::create("/gt/k", b"56", 0));
    scene.say("A", 7, &wire::get_data("/zookeeper/quota/gt/zookeeper_stats", false));
    scene.about("over the hard limits");
    scene.say("A", 8, &wire::create("/gt/l", b"", 0));
    scene.say("A", 9, &wire::set_data("/gt/k", Some(b"12345"), -1));
    scene.say("A", 10, &wire::set_data("/gt/k", Some(b"1234"), -1));
    scene.say("A", 11, &wire::get_data("/zookeeper/quota/gt/zookeeper_stats", false));
    scene.say("A", 12, &wire::multi(&[wire::create("/gt/m", b"", 0)]));
    scene.say("A", 13, &wire::delete("/gt/k", -1));
    scene.say("A", 14, &wire::get_data("/zookeeper/quota/gt/zookeeper_stats", false));
}

fn reconfig(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.about("not enabled");
    scene.say("A", 1, &wire::reconfig(Some("server.2=a:1:2;3"), None, None, -1));
    scene.say("A", 2, &wire::reconfig(None, Some("1"), None, 5));
    scene.say("A", 3, &wire::reconfig(None, None, None, -1));
}

fn close_session(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.about("the reply, then the end; the session cannot be taken up again");
    scene.say("A", 9, &wire::close_session());
    scene.resume("B", "A", |_| {}, true);
}

fn unimplemented(scene: &mut Scene<'_>) {
    for (place, opcode) in [13, 0, 10, 23, 99, 108, 200, -2, i32::MAX].iter().enumerate() {
        let name = format!("A{place}");
        scene.about(&format!("operation {opcode} at top level"));
        scene.join(&name);
        scene.say(&name, 5, &wire::raw(*opcode, wire::check("/", -1).body));
        scene.ended(&name);
    }
}

fn malformed(scene: &mut Scene<'_>) {
    scene.join("A");
    scene.about("bodies that do not decode: reads");
    scene.say("A", 1, &wire::raw(op::GET_DATA, vec![]));
    scene.say("A", 2, &wire::raw(op::GET_DATA, vec![0, 0, 0, 9, b'/']));
    scene.say("A", 3, &wire::raw(op::EXISTS, vec![0xff, 0xff, 0xff, 0xfe, 0]));
    scene.say("A", 4, &wire::raw(op::GET_CHILDREN, vec![0x7f, 0xff, 0xff, 0xff, 0]));
    scene.about("a vector of 2^31-1 elements");
    let mut body = 0_i64.to_be_bytes().to_vec();
    body.extend_from_slice(&i32::MAX.to_be_bytes());
    scene.say("A", xid::SET_WATCHES, &wire::raw(op::SET_WATCHES, body));
    scene.about("bodies that do not decode: writes");
    scene.say("A", 5, &wire::raw(op::CREATE, vec![]));
    scene.say("A", 6, &wire::create("/zookeeper", b"", 0));
    let mut body = wire::create("/gu", b"data", 0).body;
    body.truncate(14);
    scene.say("A", 7, &wire::raw(op::CREATE2, body));
    scene.say("A", 8, &wire::create("/zookeeper", b"", 0));
    scene.say("A", 9, &wire::raw(op::MULTI, vec![0, 0, 0, 1, 0]));
    scene.about("bytes behind the record are nothing to anybody");
    let mut request = wire::create("/gu", b"", 0);
    request.body.extend_from_slice(b"more");
    scene.say("A", 10, &request);
    scene.about("a frame too short for a header ends the connection");
    scene.say_frame("A", &[0, 0, 0, 1]);
    scene.ended("A");
    scene.join("B");
    scene.say_frame("B", &[]);
    scene.ended("B");
}
