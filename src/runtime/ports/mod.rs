//! The ports a server listens on: how they are opened, and how they move while it runs.
//!
//! A reconfiguration may give a member another address for its clients, its learners or its votes. The new port is bound
//! first, then the old one is closed; connections stay with the loops that accepted them. `door` is a port for clients, which
//! all shards accept at; `mover` is the thread that opens ports anew, because names have to be looked up, and that blocks.
//! There may be several ports for clients: each has its own name in the log, its own kind of transport, and moves by itself.

mod door;
mod mover;
mod open;

pub(crate) use door::Door;
pub(crate) use mover::Mover;
pub(super) use mover::Plan;
pub(super) use open::{Open, Port};
