//! What the simulator's clients ask: its bytes, and what must come of it in a given state.

use super::bodies::{create, multi, path_alone, path_and};
use super::model::{Model, Znode, parent};
use crate::ids::{SessionId, Zxid};
use crate::jute::wire::{DecodeError, Reader, put_bytes, put_int};
use crate::jute::{ErrorCode, OpCode, Stat};
use std::collections::{BTreeMap, BTreeSet};

/// Version that fits every znode.
pub const ANY: i32 = -1;

/// A flag of create.
pub const EPHEMERAL: i32 = 1;
/// A flag of create.
pub const SEQUENTIAL: i32 = 2;

/// A write, alone or in a multi.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Write {
    /// A new znode; without a flag it is persistent. Its ACL is open.
    Create {
        /// Where; with [`SEQUENTIAL`] what the name begins with.
        path: Vec<u8>,
        /// Its data; never null.
        data: Vec<u8>,
        /// [`EPHEMERAL`], [`SEQUENTIAL`], both or none.
        flags: i32,
        /// As create2, which answers with a Stat.
        stat: bool,
    },
    /// A znode without children goes.
    Delete {
        /// Which znode.
        path: Vec<u8>,
        /// The version it must have; [`ANY`]: no matter which.
        version: i32,
    },
    /// A znode gets other data.
    SetData {
        /// Which znode.
        path: Vec<u8>,
        /// All of the new data.
        data: Vec<u8>,
        /// The version it must have before; [`ANY`]: no matter which.
        version: i32,
    },
    /// In a multi only.
    Check {
        /// Which znode; nothing is done to it.
        path: Vec<u8>,
        /// The version it must have; [`ANY`]: it must only be there.
        version: i32,
    },
}

/// A request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// A write on its own: create, create2, delete or setData.
    Write(Write),
    /// Writes of which all happen or none.
    Multi(Vec<Write>),
    /// Data and Stat of a znode (getData).
    Get {
        /// Which znode.
        path: Vec<u8>,
        /// Whether to tell when its data next changes, or it goes.
        watch: bool,
    },
    /// The Stat of a znode, or that there is none (exists).
    Exists {
        /// Which znode.
        path: Vec<u8>,
        /// Whether to tell when it comes or goes, or its data next changes.
        watch: bool,
    },
    /// The names of a znode's children (getChildren).
    Children {
        /// Which znode.
        path: Vec<u8>,
        /// Whether to tell when a child next comes or goes, or the znode itself goes.
        watch: bool,
        /// As getChildren2, which answers with the znode's Stat as well.
        stat: bool,
    },
    /// The ephemerals of its own session, from the root down (getEphemerals).
    Ephemerals,
    /// An answer when the server has seen what the leader had committed (sync, of the root).
    Sync,
    /// A watch that stays (addWatch).
    AddWatch {
        /// Which znode, there or not.
        path: Vec<u8>,
        /// Whether everything below is watched as well.
        recursive: bool,
    },
    /// A sign of life, which keeps the session from expiring.
    Ping,
    /// The session ends, with its ephemerals.
    Close,
}

impl Write {
    fn op(&self) -> OpCode {
        match self {
            Write::Create { stat: true, .. } => OpCode::Create2,
            Write::Create { .. } => OpCode::Create,
            Write::Delete { .. } => OpCode::Delete,
            Write::SetData { .. } => OpCode::SetData,
            Write::Check { .. } => OpCode::Check,
        }
    }

    fn body(&self) -> Vec<u8> {
        let mut body = vec![];
        match self {
            Write::Create { path, data, flags, .. } => return create(path, data, *flags),
            Write::Delete { path, version } | Write::Check { path, version } => {
                put_bytes(&mut body, path);
                put_int(&mut body, *version);
            }
            Write::SetData { path, data, version } => {
                put_bytes(&mut body, path);
                put_bytes(&mut body, data);
                put_int(&mut body, *version);
            }
        }
        body
    }

    fn name(&self) -> &'static str {
        match self {
            Write::Create { flags: 0, .. } => "create",
            Write::Create { flags: EPHEMERAL, .. } => "create ephemeral",
            Write::Create { flags: SEQUENTIAL, .. } => "create sequential",
            Write::Create { .. } => "create ephemeral sequential",
            Write::Delete { .. } => "delete",
            Write::SetData { version: ANY, .. } => "setData",
            Write::SetData { .. } => "setData with version",
            Write::Check { .. } => "check",
        }
    }
}

impl Request {
    /// Its operation and body on the wire.
    pub fn encode(&self) -> (OpCode, Vec<u8>) {
        let mut body = vec![];
        let op = match self {
            Request::Write(write) => return (write.op(), write.body()),
            Request::Multi(writes) => {
                let ops: Vec<_> = writes.iter().map(|write| (write.op(), write.body())).collect();
                return (OpCode::Multi, multi(&ops));
            }
            Request::Get { path, watch } => return (OpCode::GetData, path_and(path, *watch)),
            Request::Exists { path, watch } => return (OpCode::Exists, path_and(path, *watch)),
            Request::Children { path, watch, stat } => {
                let op = if *stat { OpCode::GetChildren2 } else { OpCode::GetChildren };
                return (op, path_and(path, *watch));
            }
            Request::Ephemerals => return (OpCode::GetEphemerals, path_alone(b"/")),
            Request::Sync => return (OpCode::Sync, path_alone(b"/")),
            Request::AddWatch { path, recursive } => {
                put_bytes(&mut body, path);
                put_int(&mut body, i32::from(*recursive));
                OpCode::AddWatch
            }
            Request::Ping => OpCode::Ping,
            Request::Close => OpCode::CloseSession,
        };
        (op, body)
    }

    /// What it is counted as.
    pub fn name(&self) -> &'static str {
        match self {
            Request::Write(write) => write.name(),
            Request::Multi(_) => "multi",
            Request::Get { .. } => "getData",
            Request::Exists { .. } => "exists",
            Request::Children { .. } => "getChildren",
            Request::Ephemerals => "getEphemerals",
            Request::Sync => "sync",
            Request::AddWatch { recursive: true, .. } => "addWatch recursive",
            Request::AddWatch { .. } => "addWatch",
            Request::Ping => "ping",
            Request::Close => "close",
        }
    }

    /// The first of its writes that creates an ephemeral.
    pub fn first_ephemeral(&self) -> Option<usize> {
        let writes = match self {
            Request::Write(write) => std::slice::from_ref(write),
            Request::Multi(writes) => writes,
            _ => &[],
        };
        let is_one = |write: &Write| matches!(write, Write::Create { flags, .. } if flags & EPHEMERAL != 0);
        writes.iter().position(is_one)
    }

    /// Whether it becomes a transaction, where it is not one for a single server.
    pub fn is_write(&self) -> bool {
        matches!(self, Request::Write(_) | Request::Multi(_) | Request::Close)
    }
}

/// What a write answers when it succeeds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Done {
    /// A create: what it made.
    Created {
        /// The whole path, with the number of a sequential one.
        path: Vec<u8>,
        /// What create2 answers besides; `None` of create.
        stat: Option<Stat>,
    },
    /// A delete, which answers nothing.
    Deleted,
    /// A setData: the Stat behind it.
    Set(Stat),
    /// A check that held, which answers nothing.
    Checked,
}

/// A state that requests are tried on: that of a zxid, with what the ones before have done.
pub struct Draft<'a> {
    model: &'a Model,
    zxid: Zxid,
    changed: BTreeMap<Vec<u8>, Option<Znode>>,
}

impl<'a> Draft<'a> {
    /// The state at a zxid.
    pub fn at(model: &'a Model, zxid: Zxid) -> Draft<'a> {
        Draft { model, zxid, changed: BTreeMap::new() }
    }

    fn find(&self, path: &[u8]) -> Option<&Znode> {
        match self.changed.get(path) {
            Some(znode) => znode.as_ref(),
            None => self.model.at(path, self.zxid),
        }
    }

    /// What comes of a write of a session: carried out at `zxid` and that moment.
    pub fn execute(
        &mut self,
        session: SessionId,
        write: &Write,
        (zxid, time_ms): (Zxid, i64),
    ) -> Result<Done, ErrorCode> {
        if !self.model.may_write(session, self.zxid) {
            return Err(ErrorCode::SessionExpired);
        }
        match write {
            Write::Create { path, data, flags, stat } => {
                let above = parent(path).expect("nobody creates the root");
                let up = self.find(above).ok_or(ErrorCode::NoNode)?;
                let mut path = path.clone();
                if flags & SEQUENTIAL != 0 {
                    path.extend(format!("{:010}", up.created).bytes());
                }
                if self.find(&path).is_some() {
                    return Err(ErrorCode::NodeExists);
                }
                if up.stat.ephemeral_owner != 0 {
                    return Err(ErrorCode::NoChildrenForEphemerals);
                }
                let mut up = up.clone();
                up.created += 1;
                up.stat.num_children += 1;
                up.stat.pzxid = zxid.0;
                let owner = if flags & EPHEMERAL != 0 { session.0 } else { 0 };
                let znode = Znode {
                    data: Some(data.clone()),
                    stat: Stat {
                        czxid: zxid.0,
                        mzxid: zxid.0,
                        pzxid: zxid.0,
                        ctime: time_ms,
                        mtime: time_ms,
                        ephemeral_owner: owner,
                        data_length: data.len() as i32,
                        ..Stat::default()
                    },
                    created: 0,
                };
                let stat = stat.then(|| znode.stat());
                self.changed.insert(above.to_vec(), Some(up));
                self.changed.insert(path.clone(), Some(znode));
                Ok(Done::Created { path, stat })
            }
            Write::Delete { path, version } => {
                let above = parent(path).expect("nobody deletes the root");
                let mut up = self.find(above).ok_or(ErrorCode::NoNode)?.clone();
                let znode = self.fitting(path, *version)?;
                if znode.stat.num_children > 0 {
                    return Err(ErrorCode::NotEmpty);
                }
                up.stat.num_children -= 1;
                up.stat.pzxid = zxid.0;
                self.changed.insert(above.to_vec(), Some(up));
                self.changed.insert(path.clone(), None);
                Ok(Done::Deleted)
            }
            Write::SetData { path, data, version } => {
                let mut znode = self.fitting(path, *version)?.clone();
                znode.data = Some(data.clone());
                znode.stat.version += 1;
                znode.stat.mzxid = zxid.0;
                znode.stat.mtime = time_ms;
                znode.stat.data_length = data.len() as i32;
                let stat = znode.stat();
                self.changed.insert(path.clone(), Some(znode));
                Ok(Done::Set(stat))
            }
            Write::Check { path, version } => self.fitting(path, *version).map(|_| Done::Checked),
        }
    }

    fn fitting(&self, path: &[u8], version: i32) -> Result<&Znode, ErrorCode> {
        let znode = self.find(path).ok_or(ErrorCode::NoNode)?;
        let fits = version == ANY || version == znode.stat.version;
        if fits { Ok(znode) } else { Err(ErrorCode::BadVersion) }
    }
}

impl Done {
    /// Reads what a reply says of a write like `write`.
    pub fn read(write: &Write, reply: &mut Reader<'_>) -> Result<Done, DecodeError> {
        Ok(match write {
            Write::Create { stat, .. } => {
                let path = reply.string()?.to_vec();
                Done::Created { path, stat: if *stat { Some(Stat::read(reply)?) } else { None } }
            }
            Write::Delete { .. } => Done::Deleted,
            Write::SetData { .. } => Done::Set(Stat::read(reply)?),
            Write::Check { .. } => Done::Checked,
        })
    }

    /// Reads a multi's results: what each write came to, or its error.
    pub fn read_multi(writes: &[Write], reply: &mut Reader<'_>) -> Result<Vec<Result<Done, i32>>, DecodeError> {
        let mut results = vec![];
        for write in writes {
            let (op, end, error) = (reply.int()?, reply.bool()?, reply.int()?);
            assert!(!end, "a result for every write");
            results.push(if op == OpCode::Error.wire() {
                assert_eq!(reply.int()?, error, "one error, not two");
                Err(error)
            } else {
                assert_eq!(op, write.op().wire(), "the result of another write");
                Ok(Done::read(write, reply)?)
            });
        }
        assert_eq!((reply.int()?, reply.bool()?, reply.int()?), (-1, true, -1), "the end of the results");
        Ok(results)
    }
}

/// Reads a list of names, none of them twice.
pub fn names(reply: &mut Reader<'_>) -> BTreeSet<Vec<u8>> {
    let list: Vec<Vec<u8>> = reply.strings().expect("a list").iter().map(<[u8]>::to_vec).collect();
    let names: BTreeSet<Vec<u8>> = list.iter().cloned().collect();
    assert_eq!(names.len(), list.len(), "every name once");
    names
}
