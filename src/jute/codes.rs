//! Every number of the protocol by name: operations, errors, create modes, events, watch kinds. Of an operation everything
//! that can be said in a word stands in one table with its number.

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $value:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(i32)]
        pub enum $name { $($(#[$vdoc])* $variant = $value),+ }

        impl $name {
            /// The variant with this number on the wire, if there is one.
            pub fn from_wire(value: i32) -> Option<Self> {
                match value { $($value => Some(Self::$variant),)+ _ => None }
            }

            /// The number on the wire.
            pub fn wire(self) -> i32 {
                self as i32
            }
        }
    };
}

/// One row for each operation, and in each row every column: a row that lacks one does not compile.
macro_rules! operations {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$vdoc:meta])* $variant:ident = $value:literal:
            $short:literal, $by:ident, [$($needs:tt)*], $work:ident, $part_of:ident, $effect:ident;)+
    }) => {
        codes! {
            $(#[$doc])*
            $name { $($(#[$vdoc])* $variant = $value),+ }
        }

        impl $name {
            /// The name by which `cons` shows the operation: four letters, mostly.
            pub const fn short_name(self) -> &'static str {
                match self { $($name::$variant => $short,)+ }
            }

            /// Who answers a client that asks for the operation.
            pub const fn answered_by(self) -> AnsweredBy {
                match self { $($name::$variant => AnsweredBy::$by,)+ }
            }

            /// The permission the operation needs; `None` where no ACL is asked (ZooKeeper 3.9,
            /// `PrepRequestProcessor` and `FinalRequestProcessor`).
            pub const fn needs(self) -> Option<Needed> {
                match self { $($name::$variant => needed!($($needs)*),)+ }
            }

            /// With what the work for an answer grows.
            pub const fn work(self) -> Work {
                match self { $($name::$variant => Work::$work,)+ }
            }

            /// Which request of several operations may have this one among them.
            pub const fn part_of(self) -> PartOf {
                match self { $($name::$variant => PartOf::$part_of,)+ }
            }

            /// What the operation may do to the tree or the list of sessions.
            pub const fn effect(self) -> Effect {
                match self { $($name::$variant => Effect::$effect,)+ }
            }
        }
    };
}

macro_rules! needed {
    () => { None };
    ($($perm:ident)|+ of $whose:ident) => { Some(Needed { whose: Whose::$whose, perms: $(perms::$perm)|+ }) };
}

operations! {
    /// What a request asks for, or a transaction does (ZooKeeper 3.9, `ZooDefs.OpCode`).
    OpCode {
        // number                     cons      answered by  needs                 work      part of    effect
        Create = 1:                  "CREA",   Core,        [CREATE of Parent],     Bounded,  Multi,     Grows;
        Delete = 2:                  "DELE",   Core,        [DELETE of Parent],     Bounded,  Multi,     Changes;
        Exists = 3:                  "EXIS",   Shard,       [READ of Node],         Bounded,  Nothing,   Nothing;
        GetData = 4:                 "GETD",   Shard,       [READ of Node],         Data,     MultiRead, Nothing;
        SetData = 5:                 "SETD",   Core,        [WRITE of Node],        Bounded,  Multi,     Grows;
        GetAcl = 6:                  "GETA",   Shard,       [READ | ADMIN of Node], Acl,      Nothing,   Nothing;
        SetAcl = 7:                  "SETA",   Core,        [ADMIN of Node],        Bounded,  Nothing,   Changes;
        GetChildren = 8:             "GETC",   Shard,       [READ of Node],         Children, MultiRead, Nothing;
        Sync = 9:                    "SYNC",   Core,        [],                     Bounded,  Nothing,   Nothing;
        Ping = 11:                   "PING",   Shard,       [],                     Bounded,  Nothing,   Nothing;
        GetChildren2 = 12:           "GETC",   Shard,       [READ of Node],         Children, Nothing,   Nothing;
        Check = 13:                  "CHEC",   MultiOnly,   [READ of Node],         Bounded,  Multi,     Nothing;
        Multi = 14:                  "MULT",   Core,        [],                     Request,  Nothing,   Changes;
        Create2 = 15:                "CREA",   Core,        [CREATE of Parent],     Bounded,  Multi,     Grows;
        Reconfig = 16:               "RECO",   Core,        [WRITE of Config],      Bounded,  Nothing,   Changes;
        CheckWatches = 17:           "CHKW",   Shard,       [],                     Bounded,  Nothing,   Nothing;
        RemoveWatches = 18:          "REMW",   Shard,       [],                     Bounded,  Nothing,   Nothing;
        CreateContainer = 19:        "CREA",   Core,        [CREATE of Parent],     Bounded,  Multi,     Grows;
        /// Needs no permission in ZooKeeper either: the server's own reaper sends it. That a client may not is decided
        /// where it is carried out.
        DeleteContainer = 20:        "DELE",   Core,        [],                     Bounded,  Nothing,   Changes;
        CreateTtl = 21:              "CREA",   Core,        [CREATE of Parent],     Bounded,  Multi,     Grows;
        MultiRead = 22:              "MLTR",   Shard,       [],                     Request,  Nothing,   Nothing;
        Auth = 100:                  "NA",     Shard,       [],                     Bounded,  Nothing,   Nothing;
        SetWatches = 101:            "SETW",   Shard,       [],                     Request,  Nothing,   Nothing;
        Sasl = 102:                  "NA",     Shard,       [],                     Bounded,  Nothing,   Nothing;
        /// In order with the writes before it; the shard lists what is too much for the core.
        GetEphemerals = 103:         "GETE",   Core,        [],                     Subtree,  Nothing,   Nothing;
        GetAllChildrenNumber = 104:  "GETACN", Shard,       [READ of Node],         Subtree,  Nothing,   Nothing;
        SetWatches2 = 105:           "STW2",   Shard,       [],                     Request,  Nothing,   Nothing;
        AddWatch = 106:              "ADDW",   Shard,       [],                     Bounded,  Nothing,   Nothing;
        WhoAmI = 107:                "HOMI",   Shard,       [],                     Bounded,  Nothing,   Nothing;
        CreateSession = -10:         "SESS",   Nobody,      [],                     Bounded,  Nothing,   Changes;
        CloseSession = -11:          "CLOS",   Core,        [],                     Bounded,  Nothing,   Changes;
        /// A request that failed: it has a zxid and changes nothing.
        Error = -1:                  "NA",     Nobody,      [],                     Bounded,  Nothing,   Nothing;
    }
}

impl OpCode {
    /// Whether the operation may become a transaction that changes something.
    pub(crate) const fn is_write(self) -> bool {
        !matches!(self.effect(), Effect::Nothing)
    }
}

/// Who answers a client that asks for an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnsweredBy {
    /// The shard of the connection, from the tree as the shard shows it.
    Shard,
    /// The quorum core: a write, or what must be in order with writes.
    Core,
    /// The core, as one operation of a multi; alone it is refused as unimplemented.
    MultiOnly,
    /// It stands in logs and between servers; from a client it is refused as unimplemented.
    Nobody,
}

/// What an operation needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Needed {
    pub(crate) whose: Whose,
    /// One of these permission bits is enough.
    pub(crate) perms: i32,
}

/// Whose ACL decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Whose {
    /// The znode's the request names.
    Node,
    /// Its parent's.
    Parent,
    /// That of `/zookeeper/config`.
    Config,
}

/// With what the work for an answer grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// With nothing: some znodes are looked at, and some ACLs.
    Bounded,
    /// With the data of one znode.
    Data,
    /// With the ACL of one znode, which is shown.
    Acl,
    /// With the children of one znode.
    Children,
    /// With the tree.
    Subtree,
    /// With the length of the request.
    Request,
}

impl Work {
    /// Whether it may come to more than one slice.
    pub(crate) const fn is_wide(self) -> bool {
        matches!(self, Work::Children | Work::Subtree | Work::Request)
    }
}

/// Which request of several operations may have an operation among them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PartOf {
    Nothing,
    Multi,
    MultiRead,
}

/// What an operation may do to the tree or the list of sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    Nothing,
    Changes,
    /// It may make the tree larger, so it is refused when the tree is as large as it may be. Of a multi its members say so.
    Grows,
}

codes! {
    /// What a reply header says of its request (ZooKeeper 3.9, `KeeperException.Code`).
    ErrorCode {
        Ok = 0,
        SystemError = -1,
        RuntimeInconsistency = -2,
        MarshallingError = -5,
        Unimplemented = -6,
        BadArguments = -8,
        UnknownSession = -12,
        NewConfigNoQuorum = -13,
        ReconfigInProgress = -14,
        NoNode = -101,
        NoAuth = -102,
        BadVersion = -103,
        NoChildrenForEphemerals = -108,
        NodeExists = -110,
        NotEmpty = -111,
        SessionExpired = -112,
        InvalidAcl = -114,
        AuthFailed = -115,
        /// Never sent: the connection is closed instead.
        SessionMoved = -118,
        NotReadOnly = -119,
        EphemeralOnLocalSession = -120,
        NoWatcher = -121,
        ReconfigDisabled = -123,
        SessionClosedRequireSaslAuth = -124,
        QuotaExceeded = -125,
        ThrottledOp = -127,
    }
}

codes! {
    /// The flags of a create request.
    CreateMode {
        Persistent = 0,
        Ephemeral = 1,
        PersistentSequential = 2,
        EphemeralSequential = 3,
        Container = 4,
        PersistentWithTtl = 5,
        PersistentSequentialWithTtl = 6,
    }
}

impl CreateMode {
    /// The name gets the parent's counter appended.
    pub(crate) fn is_sequential(self) -> bool {
        matches!(
            self,
            CreateMode::PersistentSequential
                | CreateMode::EphemeralSequential
                | CreateMode::PersistentSequentialWithTtl
        )
    }

    /// The znode goes with its session.
    pub(crate) fn is_ephemeral(self) -> bool {
        matches!(self, CreateMode::Ephemeral | CreateMode::EphemeralSequential)
    }

    /// The znode goes when it has been childless and unchanged for its time to live.
    pub(crate) fn is_ttl(self) -> bool {
        matches!(self, CreateMode::PersistentWithTtl | CreateMode::PersistentSequentialWithTtl)
    }
}

codes! {
    /// What happened to a watched znode.
    EventType {
        NodeCreated = 1,
        NodeDeleted = 2,
        NodeDataChanged = 3,
        NodeChildrenChanged = 4,
    }
}

codes! {
    /// The mode of an addWatch request.
    AddWatchMode {
        Persistent = 0,
        PersistentRecursive = 1,
    }
}

codes! {
    /// Which of a client's watches checkWatches and removeWatches speak of.
    WatcherType {
        Children = 1,
        Data = 2,
        Any = 3,
        Persistent = 4,
        PersistentRecursive = 5,
    }
}

/// Permission bits of an ACL entry.
pub mod perms {
    pub const READ: i32 = 1;
    pub const WRITE: i32 = 2;
    pub const CREATE: i32 = 4;
    pub const DELETE: i32 = 8;
    pub const ADMIN: i32 = 16;
    pub const ALL: i32 = 31;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_the_protocol_says() {
        let needs = |op: OpCode, whose, perms| assert_eq!(op.needs(), Some(Needed { whose, perms }), "{op:?}");
        for op in [OpCode::Create, OpCode::Create2, OpCode::CreateContainer, OpCode::CreateTtl] {
            needs(op, Whose::Parent, 4);
        }
        needs(OpCode::Delete, Whose::Parent, 8);
        needs(OpCode::SetData, Whose::Node, 2);
        needs(OpCode::SetAcl, Whose::Node, 16);
        needs(OpCode::Reconfig, Whose::Config, 2);
        needs(OpCode::GetAcl, Whose::Node, 17);
        for op in [OpCode::Check, OpCode::Exists, OpCode::GetData, OpCode::GetChildren, OpCode::GetAllChildrenNumber] {
            needs(op, Whose::Node, 1);
        }
        for op in [OpCode::AddWatch, OpCode::SetWatches, OpCode::GetEphemerals, OpCode::Sync, OpCode::WhoAmI] {
            assert_eq!(op.needs(), None);
        }
    }

    /// A write that the core does not see would never get into the log, and a read in a multi is none of ZooKeeper's.
    #[test]
    fn columns_agree() {
        let all: Vec<OpCode> = (-20..200).filter_map(OpCode::from_wire).collect();
        assert!(all.len() >= 32, "the operations are found");
        for op in all {
            assert!(!op.is_write() || matches!(op.answered_by(), AnsweredBy::Core | AnsweredBy::Nobody), "{op:?}");
            match op.part_of() {
                PartOf::Multi => assert_ne!(op.answered_by(), AnsweredBy::Shard, "{op:?}"),
                PartOf::MultiRead => assert_eq!(op.answered_by(), AnsweredBy::Shard, "{op:?}"),
                PartOf::Nothing => assert_ne!(op.answered_by(), AnsweredBy::MultiOnly, "{op:?}"),
            }
        }
    }
}
