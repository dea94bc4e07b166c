//! Keys and certificates, read from the files that the configuration names.

use crate::config::TlsSettings;
use crate::fatal::{Fatal, Reason};
use crate::tls::{ClientAuth, Credentials, Policy, StoreKind, Trust};
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

/// The password of a store: the first line of a file, or what the configuration says.
fn password(key: &str, path: Option<&Path>, said: Option<&String>) -> Result<String, Fatal> {
    let Some(path) = path else { return Ok(said.cloned().unwrap_or_default()) };
    let text = String::from_utf8(read(key, path)?).map_err(|_| unusable(key, path.display(), "it is not UTF-8"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn kind(key: &str, name: &str, path: &Path) -> Result<StoreKind, Fatal> {
    StoreKind::find(name, &path.to_string_lossy()).map_err(|error| unusable(key, path.display(), error))
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
    let key = "ssl.keyStore.location";
    let path = settings.key_store.as_deref().ok_or_else(|| unusable(key, "", "missing"))?;
    let said = settings.key_store_password.as_ref().map(|secret| secret.reveal());
    let word = password("ssl.keyStore.passwordPath", settings.key_store_password_path.as_deref(), said)?;
    let credentials = Credentials::read(kind(key, &settings.key_store_type, path)?, &read(key, path)?, &word)
        .map_err(|error| unusable(key, path.display(), error))?;
    let trust = match &settings.trust_store {
        Some(_) if settings.client_auth == ClientAuth::None => None,
        Some(path) => Some(Arc::new(trust(settings, path, &policy)?)),
        None => None,
    };
    policy.server(&credentials, trust, settings.client_auth).map_err(|error| unusable(key, path.display(), error))
}

fn trust(settings: &TlsSettings, path: &Path, policy: &Policy) -> Result<Trust, Fatal> {
    let key = "ssl.trustStore.location";
    let said = settings.trust_store_password.as_ref().map(|secret| secret.reveal());
    let word = password("ssl.trustStore.passwordPath", settings.trust_store_password_path.as_deref(), said)?;
    let kind = kind(key, &settings.trust_store_type, path)?;
    let trust = Trust::read(kind, &read(key, path)?, &word, policy.algorithms());
    let mut trust = trust.map_err(|error| unusable(key, path.display(), error))?;
    if let Some(path) = &settings.crl {
        let key = "corral.ssl.crlPath";
        trust.add_revocations(&read(key, path)?).map_err(|error| unusable(key, path.display(), error))?;
    }
    Ok(trust)
}
