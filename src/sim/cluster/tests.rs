//! Scenes of whole ensembles, each with an end that is known.

mod elsewhere;
mod endings;
mod forwarded;
mod local_sessions;
mod outlived;
mod ports;
mod reconfig;
mod reconfig_faults;
mod reconfig_recovery;
mod rejoin;
mod roles;
mod rollover;
mod scenes;
mod secrets;
mod sizes;
mod steps;
mod strangers;
mod writers;
