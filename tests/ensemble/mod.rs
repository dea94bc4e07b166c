//! Ensembles of real processes: the members, the network between them, their disks, clients that write down what they
//! see, the faults, and the judge.

pub mod changes;
pub mod checker;
mod checker_tests;
pub mod clients;
pub mod cluster;
pub mod comeback;
pub mod crossing;
pub mod disks;
pub mod growth;
pub mod links;
pub mod local;
pub mod masters;
pub mod nemesis;
pub mod ports;
pub mod record;
pub mod rollover;
pub mod secrets;
pub mod sizes;
pub mod takeover;
pub mod tree;

use super::support;
