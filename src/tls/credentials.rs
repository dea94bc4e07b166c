//! What a key store is read for, and why it may not be readable.

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;

/// Why the bytes of a store cannot be used. The texts name no secret.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// No format has this name; empty: the file's name does not tell the format.
    #[error("{}", unknown_kind(.0))]
    UnknownKind(String),
    /// The bytes are not in the format; says where they leave it.
    #[error("it is no {0} store: {1}")]
    Malformed(&'static str, &'static str),
    /// The password is wrong, or somebody has changed the file.
    #[error("the password is wrong, or the file was changed")]
    WrongPassword,
    /// The store is protected in a way that is not supported.
    #[error("it is protected by {0}, which is not supported: write the store anew with a current keytool or openssl")]
    UnsupportedProtection(String),
    /// A key store without a private key.
    #[error("it has no private key")]
    NoKey,
    /// A key store whose private key has no certificate, or a trust store without any.
    #[error("it has no certificate")]
    NoCertificate,
}

fn unknown_kind(name: &str) -> String {
    let kinds = "JKS, PEM and PKCS12 are supported";
    match name {
        "" => {
            format!("the ending of its name tells no format: {kinds} (.jks, .pem, .p12), or name it by the key .type")
        }
        name => format!("the type {name} is not known: {kinds}"),
    }
}

/// What a server shows to prove who it is. Has no `Debug` that shows the key.
pub struct Credentials {
    /// Its own certificate first, then those that vouch for it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first certificate.
    pub key: PrivateKeyDer<'static>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}
