//! Who may do what: identities of connections, ACL lists, and the rules that bring the two together.
//!
//! `identity` holds what a connection has proved of itself and decides whether an ACL lets it act; `ip`
//! is the one scheme that compares by prefix; `scheme` names the schemes; `authenticate` answers auth packets; `fix_up` turns the ACL
//! of a create or setACL request into the one that is stored; `table` gives each stored list a number
//! that znodes carry; `mask` is what getACL hides. Which operation needs which permission stands in the table of
//! operations (`jute::codes`).
//!
//! The rules are those of ZooKeeper 3.9 (`ZooKeeperServer.checkACL`, `PrepRequestProcessor.fixupACL` and
//! the built-in authentication providers). Nothing here knows of the tree.

mod authenticate;
mod fix_up;
mod identity;
mod ip;
mod mask;
mod scheme;
mod table;

pub(crate) use authenticate::{AuthConfig, DigestAlgorithm, authenticate};
pub(crate) use fix_up::fix_up;
pub(crate) use identity::check_cost;
pub use identity::{Identities, Identity};
pub(crate) use mask::mask_digests;
pub(crate) use scheme::{Scheme, Schemes};
pub use table::AclId;
pub(crate) use table::{AclTable, AllAcls, Interner, StoredAcl};
