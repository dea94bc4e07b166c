//! Auth packets: what a client says of itself, and the identities it gets for it.
//!
//! ZooKeeper 3.9, the built-in authentication providers. SASL and client certificates speak elsewhere: a
//! packet of theirs is refused, as in ZooKeeper.

use super::identity::Identity;
use super::scheme::{Scheme, Schemes};
use crate::limits;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};
use std::fmt;
use subtle::ConstantTimeEq;

/// How the `digest` scheme hashes `user:password` (`DigestAuthenticationProvider.digestAlg`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DigestAlgorithm {
    /// What every ZooKeeper uses unless told otherwise, and what all existing digest ACLs hold.
    #[default]
    Sha1,
    Sha256,
    Sha512,
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DigestAlgorithm::Sha1 => "SHA1",
            DigestAlgorithm::Sha256 => "SHA-256",
            DigestAlgorithm::Sha512 => "SHA-512",
        })
    }
}

impl DigestAlgorithm {
    /// By the name Java gives it, in any case.
    pub(crate) fn from_name(name: &str) -> Option<DigestAlgorithm> {
        Some(match name.to_ascii_uppercase().as_str() {
            "SHA1" | "SHA-1" | "SHA" => DigestAlgorithm::Sha1,
            "SHA-256" => DigestAlgorithm::Sha256,
            "SHA-512" => DigestAlgorithm::Sha512,
            _ => return None,
        })
    }
}

/// What the server's configuration says of authentication.
#[derive(Clone, Copy, Default)]
pub(crate) struct AuthConfig<'a> {
    /// The schemes that are switched on.
    pub schemes: Schemes,
    /// Who has this digest (`user:base64`) is super (`DigestAuthenticationProvider.superDigest`).
    pub super_digest: Option<&'a str>,
    /// How digests are made.
    pub digest_algorithm: DigestAlgorithm,
    /// The names this ensemble answers to (`ensembleAuthName`); `None` answers to any.
    pub ensemble_names: Option<&'a [&'a str]>,
}

impl fmt::Debug for AuthConfig<'_> {
    /// Without the super digest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthConfig")
            .field("schemes", &self.schemes)
            .field("super_digest", &self.super_digest.as_ref().map(|_| "set"))
            .field("digest_algorithm", &self.digest_algorithm)
            .field("ensemble_names", &self.ensemble_names)
            .finish()
    }
}

/// The packet was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AuthFailed {
    /// Unknown scheme, or not what the scheme accepts: reply AuthFailed, then close.
    Refused,
    /// The client means another ensemble: close without a reply, so that it tries another server.
    OtherEnsemble,
}

impl fmt::Display for AuthFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AuthFailed::Refused => "authentication refused",
            AuthFailed::OtherEnsemble => "the client means another ensemble",
        })
    }
}

impl std::error::Error for AuthFailed {}

/// The identities an auth packet brings: for `ip` and `ensemble` none that the connection does not have.
pub(crate) fn authenticate(scheme: &[u8], auth: &[u8], config: &AuthConfig<'_>) -> Result<Vec<Identity>, AuthFailed> {
    if auth.len() > limits::CREDENTIAL_BYTES {
        return Err(AuthFailed::Refused);
    }
    match config.schemes.find(scheme).ok_or(AuthFailed::Refused)? {
        Scheme::Digest => {
            let digest = make_digest(auth, config.digest_algorithm);
            let is_super =
                config.super_digest.is_some_and(|expected| expected.as_bytes().ct_eq(digest.as_bytes()).into());
            let identity = Identity::new(b"digest", digest.as_bytes());
            Ok(if is_super { vec![Identity::superuser(), identity] } else { vec![identity] })
        }
        Scheme::Ip => Ok(vec![]),
        Scheme::Ensemble => match config.ensemble_names {
            Some(names) if !auth.is_empty() && !names.iter().any(|name| name.as_bytes() == auth) => {
                Err(AuthFailed::OtherEnsemble)
            }
            _ => Ok(vec![]),
        },
        Scheme::Sasl | Scheme::X509 => Err(AuthFailed::Refused),
    }
}

/// `user:password` to `user:base64(hash(user:password))`; without a colon all of it is the user. Bytes that
/// are no UTF-8 count as the replacement character, as they do in Java.
fn make_digest(auth: &[u8], algorithm: DigestAlgorithm) -> String {
    let text = String::from_utf8_lossy(auth);
    let user = text.split(':').next().unwrap_or("");
    let hash = match algorithm {
        DigestAlgorithm::Sha1 => STANDARD.encode(Sha1::digest(text.as_bytes())),
        DigestAlgorithm::Sha256 => STANDARD.encode(Sha256::digest(text.as_bytes())),
        DigestAlgorithm::Sha512 => STANDARD.encode(Sha512::digest(text.as_bytes())),
    };
    format!("{user}:{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_zookeeper_s() {
        // The digest that ZooKeeper's documentation gives for super:admin.
        let config = AuthConfig { super_digest: Some("super:xQJmxLMiHGwaqBvst5y6rkB6HQs="), ..AuthConfig::default() };
        let identities = authenticate(b"digest", b"super:admin", &config).unwrap();
        assert_eq!(
            identities,
            [Identity::superuser(), Identity::new(b"digest", b"super:xQJmxLMiHGwaqBvst5y6rkB6HQs=")]
        );
        let identities = authenticate(b"digest", b"super:admin1", &config).unwrap();
        assert_eq!(identities.len(), 1);
        assert_eq!(identities[0].user(), b"super");
        assert!(authenticate(b"digest", b"super:admin", &AuthConfig::default()).unwrap().len() == 1);
    }

    #[test]
    fn any_text_is_a_digest() {
        let config = AuthConfig::default();
        // SHA-1 of nothing, of "user" and of one replacement character.
        for (auth, id) in [
            (&b""[..], ":2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
            (b"user", "user:Et6pb+wgWTVmq3VpLJlJWWgzrck="),
            (b"a:b:c", "a:"),
            (b"\xff", "\u{fffd}:"),
        ] {
            let identities = authenticate(b"digest", auth, &config).unwrap();
            let got = String::from_utf8(identities[0].id.to_vec()).unwrap();
            assert!(got.starts_with(id), "{got} {id}");
            assert_eq!(got.len() - got.rfind(':').unwrap(), 29);
        }
    }

    #[test]
    fn other_schemes() {
        let config = AuthConfig { schemes: Schemes::ALL, ..AuthConfig::default() };
        assert_eq!(authenticate(b"ip", b"whatever", &config), Ok(vec![]));
        for scheme in [&b"world"[..], b"auth", b"super", b"sasl", b"x509", b"", b"nonsense"] {
            assert_eq!(authenticate(scheme, b"anyone", &config), Err(AuthFailed::Refused));
        }
        assert!(authenticate(b"digest", &[b'a'; limits::CREDENTIAL_BYTES], &config).is_ok());
        assert_eq!(authenticate(b"digest", &[b'a'; limits::CREDENTIAL_BYTES + 1], &config), Err(AuthFailed::Refused));
        let off = AuthConfig { schemes: Schemes::default().without(Scheme::Digest), ..AuthConfig::default() };
        assert_eq!(authenticate(b"digest", b"a:b", &off), Err(AuthFailed::Refused));
    }

    #[test]
    fn an_ensemble_answers_to_its_names() {
        let any = AuthConfig { schemes: Schemes::ALL, ..AuthConfig::default() };
        assert_eq!(authenticate(b"ensemble", b"east", &any), Ok(vec![]));
        let east = AuthConfig { ensemble_names: Some(&["east", "e"]), ..any };
        assert_eq!(authenticate(b"ensemble", b"e", &east), Ok(vec![]));
        assert_eq!(authenticate(b"ensemble", b"", &east), Ok(vec![]));
        assert_eq!(authenticate(b"ensemble", b"west", &east), Err(AuthFailed::OtherEnsemble));
        assert_eq!(authenticate(b"ensemble", b"e", &AuthConfig::default()), Err(AuthFailed::Refused));
    }

    #[test]
    fn algorithms_by_name_and_length() {
        for (name, length) in [("sha1", 28), ("SHA-256", 44), ("sha-512", 88)] {
            let algorithm = DigestAlgorithm::from_name(name).unwrap();
            assert_eq!(make_digest(b"u:p", algorithm).len(), 2 + length);
        }
        assert_eq!(DigestAlgorithm::from_name("md5"), None);
    }

    #[test]
    fn a_config_does_not_print_its_secret() {
        let config = AuthConfig { super_digest: Some("super:hash"), ..AuthConfig::default() };
        assert!(!format!("{config:?}").contains("hash"));
    }
}
