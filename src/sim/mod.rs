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
pub mod oracle;
pub mod request;
pub mod scenario;
pub mod server;
pub mod shrink;
pub mod watching;
