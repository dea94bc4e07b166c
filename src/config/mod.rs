//! The configuration of a server: zoo.cfg, arguments and profiles made into one typed value.
//!
//! [`resolve`] is a pure function of the file's bytes, the arguments, the number of cores, and what it is handed
//! of the files beside it. It reports every mistake at once, or answers with a [`Config`] and what the operator
//! should be told. Which keys there are stands in [`server_keys`], [`ensemble_keys`] and [`tls_keys`] (those acted on) and in
//! [`unsupported`] (what is said to the others); who belongs to an ensemble is read by [`membership`].
//!
//! Each file uses those before it: values and their shapes, what a key is, the three tables, all keys, the draft, the
//! assembly of an ensemble, and [`resolve`].

mod assembly;
mod draft;
pub(crate) mod dynamic;
mod ensemble;
pub mod ensemble_keys;
pub mod key;
pub mod keys;
pub mod member;
pub(crate) mod membership;
mod mistake;
pub mod profile;
pub(crate) mod properties;
mod render;
mod resolve;
mod secret;
pub mod server_keys;
mod shapes;
#[cfg(test)]
mod tests;
pub mod tls_keys;
pub(crate) mod unsupported;
mod value;

pub(crate) use ensemble::Ensemble;
pub(crate) use ensemble::Present;
pub(crate) use ensemble_keys::Settings;
pub(crate) use mistake::{Mistake, Notice, Origin};
pub use profile::Profile;
pub use resolve::{Overrides, Source, resolve};
pub(crate) use secret::Secret;
pub use server_keys::{Config, Edge};
pub(crate) use shapes::{ClientAddress, LogFormat};
pub(crate) use tls_keys::TlsSettings;
