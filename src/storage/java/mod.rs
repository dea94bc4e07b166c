//! ZooKeeper's own forms of a state.

pub mod stream;
