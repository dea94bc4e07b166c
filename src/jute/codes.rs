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
            #[inline]
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
            #[inline]
            pub(crate) const fn short_name(self) -> &'static str {
                match self { $($name::$variant => $short,)+ }
            }

            /// Who answers a client that asks for the operation.
            #[inline]
            pub(crate) const fn answered_by(self) -> AnsweredBy {
                match self { $($name::$variant => AnsweredBy::$by,)+ }
            }

            /// The permission the operation needs; `None` where no ACL is asked (ZooKeeper 3.9,
            /// `PrepRequestProcessor` and `FinalRequestProcessor`).
            #[inline]
            pub(crate) const fn needs(self) -> Option<Needed> {
                match self { $($name::$variant => needed!($($needs)*),)+ }
            }

            /// With what the work for an answer grows.
            #[inline]
            pub(crate) const fn work(self) -> Work {
                match self { $($name::$variant => Work::$work,)+ }
            }

            /// Which request of several operations may have this one among them.
            #[inline]
            pub(crate) const fn part_of(self) -> PartOf {
                match self { $($name::$variant => PartOf::$part_of,)+ }
            }

            /// What the operation may do to the tree or the list of sessions.
            #[inline]
            pub(crate) const fn effect(self) -> Effect {
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
        /// A new znode; the answer is its path.
        Create = 1:                  "CREA",   Core,        [CREATE of Parent],     Bounded,  Multi,     Grows;
        /// The end of a znode without children.
        Delete = 2:                  "DELE",   Core,        [DELETE of Parent],     Bounded,  Multi,     Changes;
        /// The Stat of a znode; its watch may wait for a znode that is not there.
        Exists = 3:                  "EXIS",   Shard,       [READ of Node],         Bounded,  Nothing,   Nothing;
        /// Data and Stat of a znode.
        GetData = 4:                 "GETD",   Shard,       [READ of Node],         Data,     MultiRead, Nothing;
        /// New data for a znode; the answer is its Stat.
        SetData = 5:                 "SETD",   Core,        [WRITE of Node],        Bounded,  Multi,     Grows;
        /// ACL and Stat of a znode; without ADMIN passwords in it are hidden.
        GetAcl = 6:                  "GETA",   Shard,       [READ | ADMIN of Node], Acl,      Nothing,   Nothing;
        /// A new ACL for a znode; the answer is its Stat.
        SetAcl = 7:                  "SETA",   Core,        [ADMIN of Node],        Bounded,  Nothing,   Changes;
        /// The names of a znode's children.
        GetChildren = 8:             "GETC",   Shard,       [READ of Node],         Children, MultiRead, Nothing;
        /// An answer when all that the leader had committed is visible here.
        Sync = 9:                    "SYNC",   Core,        [],                     Bounded,  Nothing,   Nothing;
        /// A sign of life of the session.
        Ping = 11:                   "PING",   Shard,       [],                     Bounded,  Nothing,   Nothing;
        /// The names of a znode's children, and its Stat.
        GetChildren2 = 12:           "GETC",   Shard,       [READ of Node],         Children, Nothing,   Nothing;
        /// Whether a znode has a version.
        Check = 13:                  "CHEC",   MultiOnly,   [READ of Node],         Bounded,  Multi,     Nothing;
        /// Writes of which all happen or none, under one zxid.
        Multi = 14:                  "MULT",   Core,        [],                     Request,  Nothing,   Changes;
        /// A new znode; the answer is its path and Stat.
        Create2 = 15:                "CREA",   Core,        [CREATE of Parent],     Bounded,  Multi,     Grows;
        /// Other members for the ensemble; the answer is data and Stat of `/zookeeper/config`.
        Reconfig = 16:               "RECO",   Core,        [WRITE of Config],      Bounded,  Nothing,   Changes;
        /// Whether the connection has a watch of a kind on a path.
        CheckWatches = 17:           "CHKW",   Shard,       [],                     Bounded,  Nothing,   Nothing;
        /// The end of the connection's watches of a kind on a path.
        RemoveWatches = 18:          "REMW",   Shard,       [],                     Bounded,  Nothing,   Nothing;
        /// A new znode that goes some time after its last child; the answer is its path and Stat.
        CreateContainer = 19:        "CREA",   Core,        [CREATE of Parent],     Bounded,  Multi,     Grows;
        /// The end of an empty container, or of a TTL znode whose time is over. Needs no permission in ZooKeeper either:
        /// the server's own reaper sends it. That a client may not is decided where it is carried out.
        DeleteContainer = 20:        "DELE",   Core,        [],                     Bounded,  Nothing,   Changes;
        /// A new znode that goes when it has been childless and unchanged for a time; the answer is its path and Stat.
        CreateTtl = 21:              "CREA",   Core,        [CREATE of Parent],     Bounded,  Multi,     Grows;
        /// Several reads, each with its own result.
        MultiRead = 22:              "MLTR",   Shard,       [],                     Request,  Nothing,   Nothing;
        /// One more identity for the connection.
        Auth = 100:                  "NA",     Shard,       [],                     Bounded,  Nothing,   Nothing;
        /// A reconnected client's watches, those of addWatch left out.
        SetWatches = 101:            "SETW",   Shard,       [],                     Request,  Nothing,   Nothing;
        /// A token of SASL; the answer is always that this is not configured.
        Sasl = 102:                  "NA",     Shard,       [],                     Bounded,  Nothing,   Nothing;
        /// The paths of the session's ephemerals. In order with the writes before it; the shard lists what is too much for
        /// the core.
        GetEphemerals = 103:         "GETE",   Core,        [],                     Subtree,  Nothing,   Nothing;
        /// How many znodes there are below a znode.
        GetAllChildrenNumber = 104:  "GETACN", Shard,       [READ of Node],         Subtree,  Nothing,   Nothing;
        /// A reconnected client's watches, those of addWatch as well.
        SetWatches2 = 105:           "STW2",   Shard,       [],                     Request,  Nothing,   Nothing;
        /// A watch that stays when it has fired.
        AddWatch = 106:              "ADDW",   Shard,       [],                     Bounded,  Nothing,   Nothing;
        /// The identities of the connection.
        WhoAmI = 107:                "HOMI",   Shard,       [],                     Bounded,  Nothing,   Nothing;
        /// The begin of a session that the whole ensemble knows.
        CreateSession = -10:         "SESS",   Nobody,      [],                     Bounded,  Nothing,   Changes;
        /// The end of a session and of its ephemerals.
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
pub(crate) enum AnsweredBy {
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
pub(crate) struct Needed {
    pub whose: Whose,
    /// One of these permission bits is enough.
    pub perms: i32,
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
pub(crate) enum Work {
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
    /// Whether it may come to more than one slice: what tests hold the shard's code against.
    #[cfg(test)]
    pub(crate) const fn is_wide(self) -> bool {
        matches!(self, Work::Children | Work::Subtree | Work::Request)
    }
}

/// Which request of several operations may have an operation among them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PartOf {
    Nothing,
    Multi,
    MultiRead,
}

/// What an operation may do to the tree or the list of sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Effect {
    Nothing,
    Changes,
    /// It may make the tree larger, so it is refused when the tree is as large as it may be. Of a multi its members say so.
    Grows,
}

codes! {
    /// What a reply header says of its request (ZooKeeper 3.9, `KeeperException.Code`).
    ErrorCode {
        /// It was carried out.
        Ok = 0,
        /// It failed with a code that is none of these.
        SystemError = -1,
        /// Of a multi's member behind the one that failed: it was not tried.
        RuntimeInconsistency = -2,
        /// Its body does not decode.
        MarshallingError = -5,
        /// There is no such operation, or not here.
        Unimplemented = -6,
        /// A path or a value that cannot be.
        BadArguments = -8,
        /// A server on its own does not know its session.
        UnknownSession = -12,
        /// Too few members of the new configuration are connected and up to date.
        NewConfigNoQuorum = -13,
        /// Another reconfiguration is under way.
        ReconfigInProgress = -14,
        /// The znode, or the parent of a new one, does not exist.
        NoNode = -101,
        /// The ACL does not give this client the permission.
        NoAuth = -102,
        /// The znode, or the configuration, has another version.
        BadVersion = -103,
        /// The parent is an ephemeral.
        NoChildrenForEphemerals = -108,
        /// The znode to be created exists.
        NodeExists = -110,
        /// The znode to be deleted has children.
        NotEmpty = -111,
        /// Its session is over, or not known.
        SessionExpired = -112,
        /// The new ACL is empty, too long, or has an entry of a scheme or form that does not exist.
        InvalidAcl = -114,
        /// The identity was not proven; the connection is closed behind the answer.
        AuthFailed = -115,
        /// Never sent: the connection is closed instead.
        SessionMoved = -118,
        /// The server has no quorum and serves reads alone.
        NotReadOnly = -119,
        /// A local session that cannot become a global one asked for an ephemeral.
        EphemeralOnLocalSession = -120,
        /// The connection has no such watch.
        NoWatcher = -121,
        /// Reconfiguration is not enabled (`reconfigEnabled`).
        ReconfigDisabled = -123,
        /// The client has not authenticated by an enforced scheme; the connection is closed behind the answer.
        SessionClosedRequireSaslAuth = -124,
        /// A hard limit of a quota would be passed.
        QuotaExceeded = -125,
        /// Refused for want of memory or budget, and not executed.
        ThrottledOp = -127,
    }
}

codes! {
    /// The flags of a create request.
    CreateMode {
        /// Stays until it is deleted.
        Persistent = 0,
        /// Goes with the session that created it.
        Ephemeral = 1,
        /// Stays; its name ends in the parent's counter.
        PersistentSequential = 2,
        /// Goes with its session; its name ends in the parent's counter.
        EphemeralSequential = 3,
        /// Goes some time after its last child.
        Container = 4,
        /// Goes when it has been childless and unchanged for its time to live.
        PersistentWithTtl = 5,
        /// The same; its name ends in the parent's counter.
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
        /// It exists now.
        NodeCreated = 1,
        /// It exists no more.
        NodeDeleted = 2,
        /// Its data was set, perhaps to the same bytes.
        NodeDataChanged = 3,
        /// A child was created or deleted.
        NodeChildrenChanged = 4,
    }
}

codes! {
    /// The mode of an addWatch request.
    AddWatchMode {
        /// Data and children of the path itself.
        Persistent = 0,
        /// The path and everything below it; no [`EventType::NodeChildrenChanged`].
        PersistentRecursive = 1,
    }
}

codes! {
    /// Which of a client's watches checkWatches and removeWatches speak of.
    WatcherType {
        /// Those of getChildren.
        Children = 1,
        /// Those of exists and getData.
        Data = 2,
        /// All of them.
        Any = 3,
        /// Those of addWatch for the path itself.
        Persistent = 4,
        /// Those of addWatch for everything below as well.
        PersistentRecursive = 5,
    }
}

/// Permission bits of an ACL entry.
pub mod perms {
    /// Data, Stat, children and ACL may be read.
    pub const READ: i32 = 1;
    /// Data may be set.
    pub const WRITE: i32 = 2;
    /// Children may be created.
    pub const CREATE: i32 = 4;
    /// Children may be deleted.
    pub const DELETE: i32 = 8;
    /// The ACL may be set.
    pub const ADMIN: i32 = 16;
    /// All of them.
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
