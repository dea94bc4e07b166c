//! The store's sources, without the rest of the server, so that loom's build is small.

#![cfg(loom)]
// What other rooms of the server use of these files.
#![allow(dead_code, unused_imports)]

#[path = "../../../src/cost.rs"]
pub mod cost;
#[path = "../../../src/ids.rs"]
pub mod ids;
#[path = "../../../src/jute/mod.rs"]
pub mod jute;
#[path = "../../../src/limits.rs"]
pub mod limits;

/// What the store knows of ACLs: their numbers.
pub mod acl {
    /// See the server's `acl::AclId`.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    pub struct AclId(pub u32);

    impl AclId {
        /// See the server's `acl::AclId::OPEN`.
        pub const OPEN: AclId = AclId(0);
    }
}

pub mod tree;
