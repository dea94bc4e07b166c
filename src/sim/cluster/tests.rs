//! Scenes of whole ensembles, each with an end that is known.

mod elsewhere;
mod local_sessions;
mod reconfig;
mod reconfig_faults;
mod roles;
mod scenes;
mod writers;
