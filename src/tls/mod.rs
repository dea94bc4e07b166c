//! Keys and certificates: the stores they are kept in, whether a certificate is trusted, and who it says somebody is.
//!
//! Everything here is computed from bytes. `runtime` reads the files and carries the bytes of connections.

mod credentials;
mod jks;
mod names;
mod pem;
mod pkcs12;
mod policy;
mod store;
mod trust;

pub use credentials::{Credentials, StoreError};
pub use names::Certificate;
pub use policy::{ClientAuth, Policy, PolicyError};
pub use store::StoreKind;
pub use trust::Trust;

#[cfg(test)]
mod tests;
