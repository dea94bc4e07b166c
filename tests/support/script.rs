//! A seeded stream of random requests over a small set of paths, so that nearly every request meets the traces of an
//! earlier one: the wrong version, the missing parent, the node that is already there, the list that forbids it.

use super::fields::{self, Value};
use super::random::bytes;
use super::wire::{self, Acl, Request, flag, op};
use fastrand::Rng;

/// One request of the script and what its sender must mind.
#[derive(Clone, Debug)]
pub struct Planned {
    pub request: Request,
    /// A body that may not decode: the servers are free to count it as a transaction or not, so a plain failing write
    /// follows it before anything can see the difference.
    pub mangled: bool,
    /// A write under a quota, or of a list: ZooKeeper checks both against what is applied, not against what is
    /// prepared, so nothing else may be in flight.
    pub alone: bool,
}

/// Paths that mostly work.
const PATHS: &[&str] = &[
    "/a",
    "/b",
    "/c",
    "/a/x",
    "/a/y",
    "/a/z",
    "/b/x",
    "/b/y",
    "/a/x/k",
    "/a/x/l",
    "/b/x/k",
    "/a/x/k/m",
    "/d",
    "/a",
    "/b",
    "/a/x",
    "/\u{e9}t\u{e9}",
    "/c/x",
];

/// Paths under the quota.
const QUOTA_PATHS: &[&str] = &["/q", "/q/x", "/q/y", "/q/x/k", "/q/x/l"];

/// Nodes that are there from the beginning.
const FIXED_PATHS: &[&str] = &[
    "/",
    "/zookeeper",
    "/zookeeper/quota",
    "/zookeeper/config",
    "/zookeeper/quota/q",
    "/zookeeper/quota/q/zookeeper_limits",
    "/zookeeper/quota/q/zookeeper_stats",
];

/// Paths a write must refuse, each for its own reason, and some that merely look so.
const ODD_PATHS: &[&str] = &[
    "",
    "a",
    "a/b",
    "/a/",
    "//",
    "/a//x",
    "/a/../b",
    "/a/./x",
    "/..",
    "/.",
    "/a/..",
    "/a\u{0}",
    "/\u{1}",
    "/\u{1f}",
    "/a/\u{7f}",
    "/\u{9f}",
    "/\u{a0}",
    "/\u{e000}",
    "/\u{f8ff}",
    "/\u{f900}",
    "/\u{fff0}",
    "/\u{ffff}",
    "/\u{10000}",
    "/a b",
    "/...",
    "/a/.x",
    "/zookeeper/x",
    "/q/",
    "/\u{2028}",
];

/// The credentials sessions may add; the last belongs to the super user.
pub const CREDENTIALS: [&str; 3] = ["ann:one", "bob:two", "super:secret"];

/// The super user as the servers' configuration names it.
const SUPER_DIGEST: &str = "DigestAuthenticationProvider.superDigest=super:lK75jTNcA+U9vtVEw5vB51mj/w4=";

/// The configuration of servers that are compared, and of those whose bytes were captured.
pub const SETTINGS: &[&str] = &[
    "tickTime=2000",
    "minSessionTimeout=4000",
    "maxSessionTimeout=40000",
    "maxClientCnxns=0",
    "extendedTypesEnabled=true",
    "enforceQuota=true",
    "znode.container.checkIntervalMs=3600000",
    "4lw.commands.whitelist=*",
    SUPER_DIGEST,
];

/// The digest identities of `ann:one` and `bob:two`.
pub const DIGESTS: [&str; 2] = ["ann:grDcJ7OS1jCu/cG2TyJHw/I9L8o=", "bob:yqVrLFrvoaI9z9fohteaNPJvRu8="];

/// How many names made by sequential creates are remembered.
const RECENT: usize = 48;

/// The generator.
pub struct Script {
    pub random: Rng,
    recent: Vec<String>,
}

impl Script {
    pub fn new(seed: u64) -> Script {
        Script { random: Rng::with_seed(seed), recent: Vec::new() }
    }

    /// A name a server gave, to be used again.
    pub fn remember(&mut self, path: &str) {
        if self.recent.len() < RECENT {
            self.recent.push(path.to_string());
        } else {
            let place = self.random.usize(..RECENT);
            self.recent[place] = path.to_string();
        }
    }

    pub fn forget(&mut self) {
        self.recent.clear();
    }

    /// A path for a read or a watch.
    pub fn any_path(&mut self) -> String {
        match self.random.u64(..100) {
            0..=59 => self.random.choice(PATHS).unwrap().to_string(),
            60..=74 if !self.recent.is_empty() => self.random.choice(&self.recent).unwrap().clone(),
            75..=82 => self.random.choice(FIXED_PATHS).unwrap().to_string(),
            83..=90 => self.random.choice(QUOTA_PATHS).unwrap().to_string(),
            91..=95 => match *self.random.choice(ODD_PATHS).unwrap() {
                // Echoed by ZooKeeper as a pair of surrogates, each encoded by itself.
                "/\u{10000}" => "/\u{ffff}",
                other => other,
            }
            .to_string(),
            _ => self.random.choice(PATHS).unwrap().to_string(),
        }
    }

    /// A path for a write that may be pipelined: nothing under a quota.
    fn write_path(&mut self) -> String {
        match self.random.u64(..100) {
            0..=69 => self.random.choice(PATHS).unwrap().to_string(),
            70..=84 if !self.recent.is_empty() => self.random.choice(&self.recent).unwrap().clone(),
            85..=91 => {
                let odd = *self.random.choice(ODD_PATHS).unwrap();
                if odd.starts_with("/q") { "/a/" } else { odd }.to_string()
            }
            92..=93 => self.random.choice(&FIXED_PATHS[..4]).unwrap().to_string(),
            _ => self.random.choice(PATHS).unwrap().to_string(),
        }
    }

    fn data(&mut self) -> Option<Vec<u8>> {
        let length = match self.random.u64(..100) {
            0..=7 => return None,
            8..=15 => 0,
            16..=89 => self.random.u64(1..=12),
            90..=97 => self.random.u64(13..=600),
            _ => self.random.u64(601..=9_000),
        };
        Some(bytes(&mut self.random, length as usize))
    }

    fn version(&mut self) -> i32 {
        match self.random.u64(..10) {
            0..=4 => -1,
            5..=8 => self.random.i32(0..4),
            _ => self.random.choice([-2, i32::MIN, i32::MAX, 77]).unwrap(),
        }
    }

    fn acls(&mut self) -> Option<Vec<Acl>> {
        let perms = match self.random.u64(..10) {
            0..=5 => 31,
            6 => 1,
            _ => self.random.i32(0..40),
        };
        Some(match self.random.u64(..100) {
            0..=71 => Acl::open(),
            72..=75 => vec![Acl::new(1, "world", "anyone")],
            76..=79 => vec![Acl::new(perms, "auth", "")],
            80..=83 => vec![Acl::new(perms, "digest", self.random.choice(&DIGESTS).unwrap())],
            84..=85 => vec![
                Acl::new(perms, "digest", DIGESTS[0]),
                Acl::new(1, "world", "anyone"),
                Acl::new(perms, "digest", DIGESTS[1]),
                Acl::new(1, "world", "anyone"),
            ],
            86..=87 => vec![
                Acl::new(perms, "ip", self.random.choice(["127.0.0.1", "10.0.0.1", "127.0.0.0/8", "::1"]).unwrap()),
                Acl::new(16, "world", "anyone"),
            ],
            88 => vec![Acl::new(
                perms,
                "ip",
                self.random.choice(["127.0.0.1/33", "nohost", "127.0.0.1/", "1.2.3", "127.0.0.1/-1", ""]).unwrap(),
            )],
            89 => vec![Acl::new(perms, "world", self.random.choice(["anybody", "", "Anyone"]).unwrap())],
            90 => {
                vec![Acl::new(perms, "digest", self.random.choice(["noparts", "a:b:c", "", ":", "a:", ":b"]).unwrap())]
            }
            91 => vec![Acl::new(perms, self.random.choice(["nosuch", "", "super", "x509", "sasl"]).unwrap(), "id")],
            92 => Vec::new(),
            93 => return None,
            94 => vec![Acl::new(perms, "auth", "ignored"), Acl::new(1, "world", "anyone")],
            _ => vec![Acl::new(0, "world", "anyone"), Acl::new(31, "world", "anyone")],
        })
    }

    fn flags(&mut self) -> i32 {
        match self.random.u64(..100) {
            0..=44 => flag::PERSISTENT,
            45..=64 => flag::EPHEMERAL,
            65..=77 => flag::SEQUENTIAL,
            78..=85 => flag::EPHEMERAL_SEQUENTIAL,
            86..=90 => flag::CONTAINER,
            91..=93 => flag::TTL,
            94..=95 => flag::TTL_SEQUENTIAL,
            _ => self.random.choice([7, -1, 8, i32::MAX, i32::MIN]).unwrap(),
        }
    }

    fn ttl(&mut self) -> i64 {
        match self.random.u64(..10) {
            0..=6 => self.random.i64(1_000_000..=2_000_000),
            _ => self.random.choice([0, -1, 0xff_ffff_ffff, 0x100_0000_0000, i64::MAX, i64::MIN]).unwrap(),
        }
    }

    fn create(&mut self, path: &str) -> Request {
        let data = self.data();
        let data = data.as_deref();
        let acls = self.acls();
        let acls = acls.as_deref();
        let mut flags = self.flags();
        match self.random.u64(..100) {
            0..=44 => wire::create_as(op::CREATE, path, data, acls, flags),
            45..=79 => wire::create_as(op::CREATE2, path, data, acls, flags),
            80..=88 => {
                // Ephemeral flags would make ZooKeeper treat the node as an ephemeral until it is applied, as a
                // container afterwards.
                if self.random.u8(..100) < 85 || flags & 1 == 1 {
                    flags = flag::CONTAINER;
                }
                wire::create_as(op::CREATE_CONTAINER, path, data, acls, flags)
            }
            _ => {
                if self.random.u8(..100) < 85 {
                    flags = self.random.choice([flag::TTL, flag::TTL, flag::TTL_SEQUENTIAL]).unwrap();
                }
                let mut ttl = self.ttl();
                if flags != flag::TTL && flags != flag::TTL_SEQUENTIAL {
                    // With a mode that takes no TTL a negative one passes ZooKeeper's checks, and applying it ends the
                    // server.
                    ttl = ttl.max(0);
                }
                wire::create_ttl(path, data, acls, flags, ttl)
            }
        }
    }

    /// A write of one of the kinds a multi can hold.
    fn simple_write(&mut self, path: &str) -> Request {
        match self.random.u64(..100) {
            0..=44 => self.create(path),
            45..=71 => wire::delete(path, self.version()),
            _ => {
                let data = self.data();
                wire::set_data(path, data.as_deref(), self.version())
            }
        }
    }

    fn multi(&mut self) -> Request {
        let count = match self.random.u64(..10) {
            0 => 0,
            1..=8 => self.random.u64(1..=4),
            _ => self.random.u64(5..=20),
        };
        let mut parts = Vec::new();
        for _ in 0..count {
            let path = self.write_path();
            parts.push(if self.random.u8(..100) < 20 {
                wire::check(&path, self.version())
            } else {
                // What makes a whole multi undecodable is another matter, see `odd_multi`.
                loop {
                    let part = self.simple_write(&path);
                    if fits_into_a_multi(&part) {
                        break part;
                    }
                }
            });
        }
        wire::multi(&parts)
    }

    fn multi_read(&mut self) -> Request {
        let mut parts = Vec::new();
        for _ in 0..self.random.u64(..6) {
            let path = self.any_path();
            let opcode = self.random.choice([op::GET_DATA, op::GET_CHILDREN]).unwrap();
            parts.push(wire::read_as(opcode, &path, self.random.u8(..100) < 30));
        }
        wire::multi_read(&parts)
    }

    fn paths(&mut self, most: u64) -> Vec<String> {
        (0..self.random.u64(..most + 1)).map(|_| self.any_path()).collect()
    }

    /// The five lists of a setWatches2.
    pub fn watch_lists(&mut self) -> [Vec<String>; 5] {
        [self.paths(4), self.paths(4), self.paths(4), self.paths(3), self.paths(2)]
    }

    /// A read, or a watch request; never a change of the tree.
    pub fn read(&mut self) -> Request {
        let path = self.any_path();
        let watch = self.random.u8(..100) < 35;
        match self.random.u64(..100) {
            0..=19 => wire::exists(&path, watch),
            20..=42 => wire::get_data(&path, watch),
            43..=49 => wire::get_acl(&path),
            50..=59 => wire::get_children(&path, watch),
            60..=71 => wire::get_children2(&path, watch),
            72..=75 => wire::watch_as(op::CHECK_WATCHES, &path, self.random.i32(0..7)),
            76..=80 => wire::watch_as(op::REMOVE_WATCHES, &path, self.random.i32(0..7)),
            81..=86 => {
                let mode = match self.random.u64(..10) {
                    0..=4 => 0,
                    5..=8 => 1,
                    _ => self.random.choice([2, -1, i32::MAX]).unwrap(),
                };
                wire::add_watch(&path, mode)
            }
            87..=89 => {
                let prefix = self.random.choice(["/", "", " ", "/a", "/a/x", "a", "/nothing"]).unwrap();
                if self.random.u8(..100) < 10 {
                    wire::path_only(op::GET_EPHEMERALS, None)
                } else {
                    wire::get_ephemerals(prefix)
                }
            }
            90..=92 => wire::get_all_children_number(&path),
            93 => wire::who_am_i(),
            94 => wire::ping(),
            95 => wire::path_only(
                self.random.choice([op::EXISTS, op::GET_DATA, op::GET_ACL, op::GET_CHILDREN]).unwrap(),
                None,
            ),
            _ => self.multi_read(),
        }
    }

    /// The next request of a session.
    pub fn next(&mut self) -> Planned {
        let plain = |request| Planned { request, mangled: false, alone: false };
        match self.random.u64(..1_000) {
            0..=409 => {
                let path = self.write_path();
                plain(self.simple_write(&path))
            }
            410..=429 => {
                let path = self.write_path();
                let acls = self.acls();
                Planned { request: wire::set_acl(&path, acls.as_deref(), self.version()), mangled: false, alone: true }
            }
            430..=499 => plain(self.multi()),
            500..=529 => {
                let path = self.any_path();
                plain(wire::sync(&path))
            }
            530..=533 => plain(wire::reconfig(Some("server.9=a:1:2;3"), None, None, -1)),
            534..=543 => self.quota_write(),
            544..=564 => self.mangled(),
            _ => plain(self.read()),
        }
    }

    fn quota_write(&mut self) -> Planned {
        let request = match self.random.u64(..10) {
            0 => {
                let count = self.random.i64(0..=6) - 1;
                let bytes = self.random.i64(0..=60) - 1;
                let text = format!(
                    "count={},bytes={}=;byteHardLimit={bytes};countHardLimit={count}",
                    self.random.u64(..5),
                    self.random.u64(..50)
                );
                wire::set_data("/zookeeper/quota/q/zookeeper_limits", Some(text.as_bytes()), -1)
            }
            1 => {
                let count = self.random.u64(1..=3);
                let mut parts = Vec::new();
                for _ in 0..count {
                    let path = *self.random.choice(QUOTA_PATHS).unwrap();
                    let data = self.data();
                    parts.push(match self.random.u64(..3) {
                        0 => wire::create(path, data.as_deref().unwrap_or_default(), flag::PERSISTENT),
                        1 => wire::set_data(path, data.as_deref(), -1),
                        _ => wire::delete(path, -1),
                    });
                }
                wire::multi(&parts)
            }
            _ => {
                let path = *self.random.choice(QUOTA_PATHS).unwrap();
                self.simple_write(path)
            }
        };
        Planned { request, mangled: false, alone: true }
    }

    /// A request with a damaged body.
    fn mangled(&mut self) -> Planned {
        let mut request = match self.random.u64(..10) {
            0..=4 => {
                let path = self.random.choice(PATHS).unwrap().to_string();
                self.simple_write(&path)
            }
            5 => {
                // Whether the damage leaves it whole or not: its second half is cut off.
                let acls = self.acls();
                let mut request = wire::set_acl("/a", acls.as_deref(), -1);
                request.body.truncate(6);
                request
            }
            6 => self.multi(),
            7 => return self.odd_multi(),
            _ => self.read(),
        };
        let body = &mut request.body;
        match self.random.u64(..3) {
            0 if !body.is_empty() => {
                let keep = self.random.usize(..body.len());
                body.truncate(keep);
            }
            1 if body.len() >= 4 => {
                // The first length word: of the path, mostly.
                let length = self.random.choice([-1, -2, i32::MIN, i32::MAX, 0x10_0000, 0x20_0000, 9_999]).unwrap();
                body[..4].copy_from_slice(&length.to_be_bytes());
            }
            _ => {
                let more = bytes(&mut self.random, 5);
                body.extend_from_slice(&more);
            }
        }
        Planned { request, mangled: true, alone: false }
    }

    /// Multis of kinds that do not go together.
    fn odd_multi(&mut self) -> Planned {
        let read = wire::get_data("/a", false);
        let write = wire::set_data("/b", Some(b"odd"), -1);
        let parts = match self.random.u64(..8) {
            0 => vec![read, write],
            1 => vec![write, read],
            2 => vec![write, wire::raw(99, Vec::new())],
            3 => vec![wire::set_acl("/a", Some(&Acl::open()), -1)],
            4 => vec![wire::create_as(op::CREATE, "/a", None, Some(&Acl::open()), 7)],
            5 => vec![write, wire::create_as(op::CREATE, "/a", None, None, 0)],
            6 => vec![write, wire::create_as(op::CREATE2, "/a", None, Some(&Acl::open()), flag::TTL)],
            _ => vec![write.clone(), wire::exists("/a", false)],
        };
        let opcode = self.random.choice([op::MULTI, op::MULTI, op::MULTI_READ]).unwrap();
        Planned { request: wire::multi_as(opcode, &parts), mangled: true, alone: false }
    }
}

/// Whether ZooKeeper decodes a multi with this in it: not with unknown flags, not with TTL flags on a record without a
/// TTL, not with a null list.
fn fits_into_a_multi(request: &Request) -> bool {
    let highest = match request.opcode {
        op::CREATE | op::CREATE2 | op::CREATE_CONTAINER => flag::CONTAINER,
        op::CREATE_TTL => flag::TTL_SEQUENTIAL,
        _ => return true,
    };
    let decoded = fields::of_request(request.opcode, &request.body).expect("a request made here");
    decoded.iter().all(|field| match (field.name, &field.value) {
        ("flags", Value::Int(flags)) => (0..=highest).contains(flags),
        ("acl", list) => *list != Value::Acls(None),
        _ => true,
    })
}
