//! Scenes of whole ensembles, each with an end that is known.

mod elsewhere;
mod forwarded;
mod local_sessions;
mod ports;
mod reconfig;
mod reconfig_faults;
mod rejoin;
mod roles;
mod rollover;
mod scenes;
mod sizes;
mod steps;
mod writers;
