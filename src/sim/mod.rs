//! A simulated machine for tests: what the server asks of the world, under the test's control; and an ensemble of such
//! machines with clients, faults and a judge.

pub mod bodies;
pub mod client;
pub mod cluster;
pub mod coverage;
pub mod disk;
pub mod faults;
pub mod lies;
pub mod model;
pub mod request;
pub mod server;
pub mod shrink;
pub mod story;
pub mod watching;
pub mod witness;
