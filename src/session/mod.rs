//! Sessions: when they end, how they prove who they are, what they are called, how long they last.
//!
//! `tracker` knows of every session of the ensemble when it expires unless it is heard of; `password`
//! makes and checks what a client must show to take its session up again; `ids` gives out session ids;
//! `timeouts` negotiates. Time comes in as an argument, from a clock that never goes back.

mod ids;
mod password;
pub(crate) mod timeouts;
mod tracker;

pub(crate) use ids::{SessionIds, has_secret};
#[cfg(test)]
pub(crate) use password::zookeeper_password;
pub(crate) use password::{Passwords, SessionSecret};
pub(crate) use tracker::Tracker;
