//! A simulated machine for tests: what the server asks of the world, under the test's control.

pub mod cluster;
pub mod disk;
pub mod server;
