//! The tree's store and the hash of its paths.

#[path = "../../../../src/tree/path.rs"]
pub mod path;
#[path = "../../../../src/tree/store/mod.rs"]
pub mod store;
