//! ZooKeeper's tree, as slowly and plainly as it can be written: the rules of the protocol and nothing of
//! how the server does it. Children are found by looking at every path; a multi works on a copy.

use crate::script::{Acl, Answer, BOB, Op, open};
use corral::jute::{OpCode, Stat, StatPersisted};
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    pub data: Option<Vec<u8>>,
    pub acl: Acl,
    pub stat: StatPersisted,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Persistent,
    Container,
    Ttl,
    Ephemeral,
}

/// What a watch may hear of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    Created(Vec<u8>),
    Deleted(Vec<u8>),
    Set(Vec<u8>),
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub zxid: i64,
    pub time: i64,
    pub session: i64,
    /// 0 nobody in particular, 1 bob, 2 super.
    pub who: usize,
}

#[derive(Clone, Debug)]
pub struct Model {
    /// The root is the empty path.
    pub nodes: BTreeMap<Vec<u8>, Node>,
    /// Znodes and bytes in the subtrees that have a quota and a znode that says what they use.
    used: BTreeMap<Vec<u8>, (i64, i64)>,
    pub sessions: BTreeMap<i64, i32>,
    /// Closed, at which zxid.
    pub closed: BTreeMap<i64, i64>,
    /// Committed up to there: a session closed before is not known any more.
    pub committed: i64,
    pub extended: bool,
    pub enforce: bool,
}

const CONTAINER: i64 = i64::MIN;
const SPECIAL: [&[u8]; 4] = [b"/", b"/zookeeper", b"/zookeeper/quota", b"/zookeeper/config"];

fn cut(path: &[u8]) -> Option<usize> {
    path.iter().rposition(|b| *b == b'/')
}

fn valid(path: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(path) else { return false };
    if text == "/" {
        return true;
    }
    let Some(rest) = text.strip_prefix('/') else { return false };
    rest.split('/').all(|name| !name.is_empty() && name != "." && name != "..")
        && text.chars().all(|c| {
            let c = c as u32;
            c > 0x1f && !(0x7f..=0x9f).contains(&c) && !(0xd800..=0xf8ff).contains(&c) && c < 0xfff0
        })
}

/// The hard limits in a text: znodes, bytes.
fn hard_limits(text: &[u8]) -> (i64, i64) {
    let text = String::from_utf8_lossy(text).to_string();
    let find = |key: &str| {
        let mut found = -1;
        for pair in text.split([',', ';']) {
            let parts: Vec<&str> = pair.split('=').collect();
            if parts[0] == key && parts.len() > 1 {
                found = parts[1].parse().unwrap_or(-1);
            }
        }
        found
    };
    (find("countHardLimit"), find("byteHardLimit"))
}

impl Model {
    pub fn new(extended: bool, enforce: bool) -> Model {
        let node = Node { data: Some(vec![]), acl: open(), stat: StatPersisted::default() };
        let mut nodes = BTreeMap::new();
        for path in [&b""[..], b"/zookeeper", b"/zookeeper/quota"] {
            nodes.insert(path.to_vec(), node.clone());
        }
        let stat = StatPersisted { aversion: -1, ..StatPersisted::default() };
        let config = Node { acl: vec![(1, "world".into(), "anyone".into())], stat, ..node };
        nodes.insert(b"/zookeeper/config".to_vec(), config);
        Model {
            nodes,
            used: BTreeMap::new(),
            sessions: BTreeMap::new(),
            closed: BTreeMap::new(),
            committed: 0,
            extended,
            enforce,
        }
    }

    fn get(&self, path: &[u8]) -> Option<&Node> {
        self.nodes.get(if path == b"/" { &b""[..] } else { path })
    }

    fn get_mut(&mut self, path: &[u8]) -> &mut Node {
        self.nodes.get_mut(if path == b"/" { &b""[..] } else { path }).unwrap()
    }

    pub fn children(&self, path: &[u8]) -> usize {
        self.nodes.keys().filter(|other| !other.is_empty() && other[..cut(other).unwrap()] == *path).count()
    }

    pub fn kind(&self, owner: i64) -> Kind {
        match owner {
            0 => Kind::Persistent,
            CONTAINER => Kind::Container,
            owner if self.extended && (owner as u64) >> 40 == 0xff_0000 => Kind::Ttl,
            _ => Kind::Ephemeral,
        }
    }

    pub fn stat(&self, path: &[u8]) -> Option<Stat> {
        let node = self.get(path)?;
        let children = self.children(if path == b"/" { b"" } else { path }) as i32;
        Some(Stat {
            czxid: node.stat.czxid,
            mzxid: node.stat.mzxid,
            ctime: node.stat.ctime,
            mtime: node.stat.mtime,
            version: node.stat.version,
            cversion: node.stat.cversion * 2 - children,
            aversion: node.stat.aversion,
            ephemeral_owner: if self.kind(node.stat.owner) == Kind::Ephemeral { node.stat.owner } else { 0 },
            data_length: node.data.as_ref().map_or(0, |data| data.len() as i32),
            num_children: children,
            pzxid: node.stat.pzxid,
        })
    }

    /// The digest, summed up from nothing, with a CRC computed bit by bit.
    pub fn digest(&self) -> u64 {
        let mut sum = 0u64;
        for (path, node) in self.nodes.iter().filter(|(path, _)| !path.starts_with(b"/zookeeper/")) {
            let mut bytes = path.clone();
            bytes.extend(node.data.iter().flatten());
            for long in [node.stat.czxid, node.stat.mzxid, node.stat.pzxid, node.stat.ctime, node.stat.mtime] {
                bytes.extend(long.to_be_bytes());
            }
            for int in [node.stat.version, node.stat.cversion, node.stat.aversion] {
                bytes.extend(int.to_be_bytes());
            }
            bytes.extend(node.stat.owner.to_be_bytes());
            let mut crc = u32::MAX;
            for byte in bytes {
                crc ^= u32::from(byte);
                for _ in 0..8 {
                    crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
                }
            }
            sum = sum.wrapping_add(u64::from(!crc));
        }
        sum
    }

    /// The longest prefix with a limits znode.
    fn quota(&self, path: &[u8]) -> Option<Vec<u8>> {
        let has =
            |prefix: &[u8]| self.nodes.contains_key(&[b"/zookeeper/quota", prefix, b"/zookeeper_limits"].concat());
        let ends = (1..=path.len()).rev().filter(|end| *end == path.len() || path[*end] == b'/');
        ends.map(|end| path[..end].to_vec()).find(|prefix| has(prefix))
    }

    fn charge(&mut self, path: &[u8], count: i64, bytes: i64) {
        let Some(prefix) = self.quota(path) else { return };
        let Some(used) = self.used.get_mut(&prefix) else { return };
        *used = (used.0 + count, used.1 + bytes);
        let text = format!("count={},bytes={}", used.0, used.1);
        self.get_mut(&[b"/zookeeper/quota", &prefix[..], b"/zookeeper_stats"].concat()).data = Some(text.into_bytes());
    }

    fn room(&self, path: &[u8], count: i64, bytes: i64) -> bool {
        let Some(prefix) = self.quota(path).filter(|_| self.enforce) else { return true };
        let Some(used) = self.used.get(&prefix) else { return true };
        let limits = &self.nodes[&[b"/zookeeper/quota", &prefix[..], b"/zookeeper_limits"].concat()];
        let hard = hard_limits(limits.data.as_deref().unwrap_or_default());
        let count_full = count != 0 && hard.0 > -1 && used.0 + count > hard.0;
        let bytes_full = bytes != 0 && hard.1 > -1 && used.1 + bytes > hard.1;
        !count_full && !bytes_full
    }

    fn session(&self, caller: Caller, ephemeral: bool) -> Result<(), i32> {
        let closing = self.closed.get(&caller.session).is_some_and(|zxid| *zxid > self.committed);
        match self.sessions.contains_key(&caller.session) {
            true => Ok(()),
            false if ephemeral || closing => Err(-112),
            false => Err(-12),
        }
    }

    fn may(&self, caller: Caller, acl: &Acl, perm: i32) -> Result<(), i32> {
        let matches = |(perms, scheme, id): &(i32, String, String)| {
            perms & perm != 0 && (scheme == "world" || (caller.who == 1 && scheme == "digest" && id == BOB))
        };
        if caller.who == 2 || acl.iter().any(matches) { Ok(()) } else { Err(-102) }
    }

    fn fix(&self, caller: Caller, acl: &Option<Acl>) -> Result<Acl, i32> {
        let mut fixed: Acl = vec![];
        let mut seen = vec![];
        for entry in acl.iter().flatten() {
            if seen.contains(entry) {
                continue;
            }
            seen.push(entry.clone());
            match (entry.1.as_str(), entry.2.as_str()) {
                ("world", "anyone") => fixed.push(entry.clone()),
                ("auth", _) if caller.who == 1 => fixed.push((entry.0, "digest".into(), BOB.into())),
                ("digest", id) if id.split(':').count() == 2 => fixed.push(entry.clone()),
                _ => return Err(-114),
            }
        }
        if fixed.is_empty() { Err(-114) } else { Ok(fixed) }
    }

    /// Carries out one operation; `events` hears of what changed.
    pub fn run(&mut self, caller: Caller, op: &Op, events: &mut Vec<Event>) -> Answer {
        match op {
            Op::OpenSession => {
                self.sessions.insert(caller.session, 4000);
                Answer::Nothing
            }
            Op::CloseSession => {
                let of =
                    |node: &Node| self.kind(node.stat.owner) == Kind::Ephemeral && node.stat.owner == caller.session;
                let paths: Vec<_> =
                    self.nodes.iter().filter(|(_, node)| of(node)).map(|(path, _)| path.clone()).collect();
                for path in paths {
                    self.remove(caller, &path, events);
                }
                self.sessions.remove(&caller.session);
                self.closed.insert(caller.session, caller.zxid);
                Answer::Nothing
            }
            Op::Multi(ops) => {
                let mut copy = self.clone();
                let mut heard = vec![];
                let mut results = vec![];
                for (at, op) in ops.iter().enumerate() {
                    match copy.one(caller, op, true, &mut heard) {
                        Ok((kind, answer)) => results.push((kind, answer)),
                        Err(code) => {
                            let codes = (0..ops.len()).map(|n| {
                                if n < at {
                                    0
                                } else if n == at {
                                    code
                                } else {
                                    -2
                                }
                            });
                            return Answer::Results(codes.map(|code| (-1, Answer::Error(code))).collect());
                        }
                    }
                }
                *self = copy;
                events.append(&mut heard);
                Answer::Results(results)
            }
            op => self.one(caller, op, false, events).map_or_else(Answer::Error, |(_, answer)| answer),
        }
    }

    fn one(&mut self, caller: Caller, op: &Op, inside: bool, events: &mut Vec<Event>) -> Result<(i32, Answer), i32> {
        match op {
            Op::Create { op, path, data, acl, flags, ttl } => {
                let mut op = *op;
                let ttl_mode = *flags == 5 || *flags == 6;
                let mut ttl = if op == OpCode::CreateTtl { *ttl } else { -1 };
                if inside {
                    op = match flags {
                        4 => OpCode::CreateContainer,
                        5 | 6 => OpCode::CreateTtl,
                        _ if op == OpCode::CreateTtl => OpCode::Create,
                        _ => op,
                    };
                    if !ttl_mode {
                        ttl = -1;
                    }
                }
                let (path, stat) = self.create(caller, (op, path), data, acl, *flags, ttl, events)?;
                let shown = (op != OpCode::Create).then_some(stat);
                let kind = if op == OpCode::Create { 1 } else { 15 };
                Ok((kind, Answer::Created { path, stat: shown }))
            }
            Op::Delete { path, version } => {
                self.session(caller, false)?;
                let slash = cut(path).filter(|_| !path.contains(&0) && !SPECIAL.contains(&&path[..])).ok_or(-8)?;
                let parent = self.get(&path[..slash]).ok_or(-101)?;
                self.may(caller, &parent.acl, 8)?;
                let node = self.get(path).ok_or(-101)?;
                if *version != -1 && *version != node.stat.version {
                    return Err(-103);
                }
                if self.children(path) > 0 {
                    return Err(-111);
                }
                self.remove(caller, path, events);
                Ok((2, Answer::Nothing))
            }
            Op::DeleteContainer { path } => {
                let slash = cut(path).filter(|_| !path.contains(&0) && !SPECIAL.contains(&&path[..]));
                if caller.session != 0 || slash.is_none() {
                    return Err(-8);
                }
                let node = self.get(path).ok_or(-101)?;
                if self.children(path) > 0 {
                    return Err(-111);
                }
                if self.kind(node.stat.owner) == Kind::Ephemeral {
                    return Err(-103);
                }
                self.remove(caller, path, events);
                Ok((2, Answer::Nothing))
            }
            Op::SetData { path, data, version } => {
                self.session(caller, false)?;
                if !valid(path) {
                    return Err(-8);
                }
                let node = self.get(path).ok_or(-101)?;
                self.may(caller, &node.acl, 2)?;
                let length = |data: &Option<Vec<u8>>| data.as_ref().map_or(0, |data| data.len() as i64);
                let grows = length(data) - length(&node.data);
                if !self.room(path, 0, grows) {
                    return Err(-125);
                }
                if *version != -1 && *version != node.stat.version {
                    return Err(-103);
                }
                let node = self.get_mut(path);
                node.data = data.clone();
                node.stat.version += 1;
                node.stat.mzxid = caller.zxid;
                node.stat.mtime = caller.time;
                let stat = self.stat(path).unwrap();
                self.charge(path, 0, grows);
                events.push(Event::Set(path.clone()));
                Ok((5, Answer::Stat(stat)))
            }
            Op::SetAcl { path, acl, version } => {
                self.session(caller, false)?;
                if !valid(path) {
                    return Err(-8);
                }
                let acl = self.fix(caller, acl)?;
                let node = self.get(path).ok_or(-101)?;
                self.may(caller, &node.acl, 16)?;
                if *version != -1 && *version != node.stat.aversion {
                    return Err(-103);
                }
                let node = self.get_mut(path);
                node.acl = acl;
                node.stat.aversion += 1;
                Ok((7, Answer::Stat(self.stat(path).unwrap())))
            }
            Op::Check { path, version } => {
                self.session(caller, false)?;
                if !valid(path) {
                    return Err(-8);
                }
                let node = self.get(path).ok_or(-101)?;
                self.may(caller, &node.acl, 1)?;
                if *version != -1 && *version != node.stat.version {
                    return Err(-103);
                }
                Ok((13, Answer::Nothing))
            }
            Op::Multi(_) | Op::OpenSession | Op::CloseSession => unreachable!("not a single operation"),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of the request")]
    fn create(
        &mut self,
        caller: Caller,
        (op, path): (OpCode, &[u8]),
        data: &Option<Vec<u8>>,
        acl: &Option<Acl>,
        flags: i32,
        ttl: i64,
        events: &mut Vec<Event>,
    ) -> Result<(Vec<u8>, Stat), i32> {
        if !(0..=6).contains(&flags) {
            return Err(-8);
        }
        let ttl_mode = flags >= 5;
        if ttl_mode && !self.extended {
            return Err(-6);
        }
        let ttl_valid = (1..=0xff_ffff_ffff).contains(&ttl);
        if ttl_mode && !ttl_valid || !ttl_mode && (ttl >= 0 || op == OpCode::CreateTtl) {
            return Err(-8);
        }
        let ephemeral = flags == 1 || flags == 3;
        self.session(caller, ephemeral)?;
        let slash = cut(path).filter(|_| !path.contains(&0)).ok_or(-8)?;
        let acl = self.fix(caller, acl)?;
        let parent = self.get(&path[..slash]).ok_or(-101)?.clone();
        self.may(caller, &parent.acl, 4)?;
        let mut path = path.to_vec();
        if matches!(flags, 2 | 3 | 6) {
            path.extend(format!("{:010}", parent.stat.cversion).bytes());
        }
        if !valid(&path) {
            return Err(-8);
        }
        if self.get(&path).is_some() {
            return Err(-110);
        }
        if self.kind(parent.stat.owner) == Kind::Ephemeral {
            return Err(-108);
        }
        let bytes = data.as_ref().map_or(0, |data| data.len() as i64);
        if !self.room(&path, 1, bytes) {
            return Err(-125);
        }
        let owner = match op {
            OpCode::CreateContainer => CONTAINER,
            OpCode::CreateTtl => (0xffu64 << 56) as i64 | ttl,
            _ if ephemeral => caller.session,
            _ => 0,
        };
        let Caller { zxid, time, .. } = caller;
        let node = Node { data: data.clone(), acl, stat: StatPersisted::new(zxid, time, owner) };
        self.nodes.insert(path.clone(), node);
        let parent = self.get_mut(&path[..slash]);
        parent.stat.cversion += 1;
        parent.stat.pzxid = zxid;
        let stat = self.stat(&path).unwrap();
        for name in [&b"/zookeeper_limits"[..], b"/zookeeper_stats"] {
            let subtree = path.strip_prefix(b"/zookeeper/quota").and_then(|rest| rest.strip_suffix(name));
            if let Some(subtree) = subtree.filter(|subtree| !subtree.is_empty()).map(<[u8]>::to_vec) {
                self.recount(&subtree);
            }
        }
        self.charge(&path, 1, bytes);
        events.push(Event::Created(path.clone()));
        Ok((path, stat))
    }

    fn recount(&mut self, subtree: &[u8]) {
        let (mut count, mut bytes) = (0, 0);
        for (path, node) in &self.nodes {
            if path == subtree || path.starts_with(&[subtree, b"/"].concat()) {
                count += 1;
                bytes += node.data.as_ref().map_or(0, Vec::len);
            }
        }
        if let Some(stats) = self.nodes.get_mut(&[b"/zookeeper/quota", subtree, b"/zookeeper_stats"].concat()) {
            stats.data = Some(format!("count={count},bytes={bytes}").into_bytes());
            if self.quota(subtree).as_deref() == Some(subtree) {
                self.used.insert(subtree.to_vec(), (count, bytes as i64));
            }
        }
    }

    fn remove(&mut self, caller: Caller, path: &[u8], events: &mut Vec<Event>) {
        let node = self.nodes.remove(path).unwrap();
        self.get_mut(&path[..cut(path).unwrap()]).stat.pzxid = caller.zxid;
        for name in [&b"/zookeeper_limits"[..], b"/zookeeper_stats"] {
            if let Some(rest) = path.strip_prefix(b"/zookeeper/quota").and_then(|rest| rest.strip_suffix(name)) {
                self.used.remove(rest);
            }
        }
        self.charge(path, -1, -(node.data.map_or(0, |data| data.len() as i64)));
        events.push(Event::Deleted(path.to_vec()));
    }
}
