//! Keys and certificates, read from the files that the configuration names.

use crate::config::{Secret, TlsSettings};
use crate::fatal::{Fatal, Reason};
use crate::tls::{ClientAuth, Credentials, Policy, StoreError, StoreKind, Trust};
use rustls::ServerConfig;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

/// Why a file or a setting cannot be used: the key, its value, the reason.
fn unusable(key: &str, value: impl Display, why: impl Display) -> Fatal {
    Fatal::new(Reason::BadConfig, format!("{key}={value}: {why}"))
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>, Fatal> {
    std::fs::read(path).map_err(|error| unusable(key, path.display(), error))
}

/// A key store or a trust store, as the configuration names it.
struct Store<'a> {
    /// The key that names the file.
    key: &'static str,
    path: &'a Path,
    /// Its format; empty: by the ending of the file's name.
    kind: &'a str,
    /// The key that names a file with the password, and that file: it counts before the password itself.
    password_path: (&'static str, Option<&'a Path>),
    password: Option<&'a Secret<String>>,
}

impl<'a> Store<'a> {
    fn of_keys(settings: &'a TlsSettings) -> Option<Store<'a>> {
        Some(Store {
            key: "ssl.keyStore.location",
            path: settings.key_store.as_deref()?,
            kind: &settings.key_store_type,
            password_path: ("ssl.keyStore.passwordPath", settings.key_store_password_path.as_deref()),
            password: settings.key_store_password.as_ref(),
        })
    }

    fn of_trust(settings: &'a TlsSettings) -> Option<Store<'a>> {
        Some(Store {
            key: "ssl.trustStore.location",
            path: settings.trust_store.as_deref()?,
            kind: &settings.trust_store_type,
            password_path: ("ssl.trustStore.passwordPath", settings.trust_store_password_path.as_deref()),
            password: settings.trust_store_password.as_ref(),
        })
    }

    fn unusable(&self, why: impl Display) -> Fatal {
        unusable(self.key, self.path.display(), why)
    }

    /// The first line of a file, or what the configuration says.
    fn password(&self) -> Result<String, Fatal> {
        let (key, path) = self.password_path;
        let Some(path) = path else { return Ok(self.password.map(|said| said.reveal().clone()).unwrap_or_default()) };
        let text = String::from_utf8(read(key, path)?).map_err(|_| unusable(key, path.display(), "it is not UTF-8"))?;
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }

    /// What the store is read for: `parse` gets its format, its bytes and its password.
    fn read<T>(&self, parse: impl FnOnce(StoreKind, &[u8], &str) -> Result<T, StoreError>) -> Result<T, Fatal> {
        let password = self.password()?;
        let kind = StoreKind::find(self.kind, &self.path.to_string_lossy()).map_err(|error| self.unusable(error))?;
        parse(kind, &read(self.key, self.path)?, &password).map_err(|error| self.unusable(error))
    }
}

/// What connections are accepted with.
///
/// # Errors
///
/// [`Reason::BadConfig`], with the key, its value (never a password) and what is wrong.
pub(crate) fn accepting(settings: &TlsSettings) -> Result<ServerConfig, Fatal> {
    let protocols = settings.protocols();
    let policy = Policy::of(protocols.iter().copied(), settings.cipher_suites.iter().map(String::as_str));
    let policy = policy
        .map_err(|error| Fatal::new(Reason::BadConfig, format!("ssl.enabledProtocols, ssl.ciphersuites: {error}")))?;
    let keys = Store::of_keys(settings).ok_or_else(|| unusable("ssl.keyStore.location", "", "missing"))?;
    let credentials = keys.read(Credentials::read)?;
    let store = Store::of_trust(settings).filter(|_| settings.client_auth != ClientAuth::None);
    let trust = store.map(|store| trusted(settings, &store, &policy)).transpose()?;
    policy.server(&credentials, trust.map(Arc::new), settings.client_auth).map_err(|error| keys.unusable(error))
}

/// Whom the trust store trusts, but for those who stand in the revocation lists.
fn trusted(settings: &TlsSettings, store: &Store<'_>, policy: &Policy) -> Result<Trust, Fatal> {
    let mut trust = store.read(|kind, bytes, password| Trust::read(kind, bytes, password, policy.algorithms()))?;
    if let Some(path) = &settings.crl {
        let key = "corral.ssl.crlPath";
        trust.add_revocations(&read(key, path)?).map_err(|error| unusable(key, path.display(), error))?;
    }
    Ok(trust)
}
