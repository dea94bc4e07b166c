//! How connections are secured: what this server shows, whom it trusts, and which versions and ciphers it speaks.

use super::credentials::Credentials;
use super::trust::{OfClients, OfServers, Trust};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};
use std::sync::Arc;

/// Whether those who connect have to show a certificate (`ssl.clientAuth`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ClientAuth {
    /// Nobody is asked for one.
    None,
    /// Who shows one must be trusted; who shows none comes in without.
    Want,
    /// Who shows none does not come in. ZooKeeper's default.
    #[default]
    Need,
}

/// Why connections cannot be secured so.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PolicyError {
    /// A version that is not spoken.
    #[error("{0} is not supported: TLSv1.2 and TLSv1.3 are")]
    UnknownProtocol(String),
    /// A cipher that is not spoken.
    #[error("{suite} is not supported: {known}", suite = .0, known = supported_suites())]
    UnknownSuite(String),
    /// The ciphers that were chosen belong to none of the versions that were chosen.
    #[error("none of these ciphers belongs to a version that is enabled")]
    NoSuite,
    /// The key does not fit the certificate, or is of a kind that is not supported.
    #[error("the key cannot be used with its certificate: {0}")]
    Key(String),
}

fn supported_suites() -> String {
    let names = aws_lc_rs::ALL_CIPHER_SUITES.iter().map(|suite| java_name(*suite));
    format!("the suites are {}", names.collect::<Vec<_>>().join(", "))
}

/// The name of a suite as Java and the standards have it.
fn java_name(suite: SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replacen("TLS13_", "TLS_", 1)
}

/// Versions and ciphers.
#[derive(Clone, Debug)]
pub struct Policy {
    provider: Arc<CryptoProvider>,
    versions: Vec<&'static SupportedProtocolVersion>,
}

impl Policy {
    /// The versions by Java's names; none: 1.3 and 1.2. The ciphers by theirs; none: all, the strongest first.
    ///
    /// # Errors
    ///
    /// [`PolicyError::UnknownProtocol`], [`PolicyError::UnknownSuite`], [`PolicyError::NoSuite`].
    pub fn of<'a>(
        protocols: impl Iterator<Item = &'a str>,
        suites: impl Iterator<Item = &'a str>,
    ) -> Result<Policy, PolicyError> {
        let mut versions = vec![];
        for name in protocols {
            versions.push(match name {
                "TLSv1.3" => &rustls::version::TLS13,
                "TLSv1.2" => &rustls::version::TLS12,
                _ => return Err(PolicyError::UnknownProtocol(name.to_owned())),
            });
        }
        if versions.is_empty() {
            versions = rustls::ALL_VERSIONS.to_vec();
        }
        let mut provider = aws_lc_rs::default_provider();
        let all = std::mem::take(&mut provider.cipher_suites);
        for name in suites {
            let suite = all.iter().find(|suite| java_name(**suite) == name);
            provider.cipher_suites.push(*suite.ok_or_else(|| PolicyError::UnknownSuite(name.to_owned()))?);
        }
        if provider.cipher_suites.is_empty() {
            provider.cipher_suites = all;
        }
        let is_spoken = |suite: &SupportedCipherSuite| versions.iter().any(|version| suite.version() == *version);
        if !provider.cipher_suites.iter().any(is_spoken) {
            return Err(PolicyError::NoSuite);
        }
        Ok(Policy { provider: Arc::new(provider), versions })
    }

    /// By which signatures certificates may be made.
    pub fn algorithms(&self) -> WebPkiSupportedAlgorithms {
        self.provider.signature_verification_algorithms
    }

    /// For connections that are accepted. Without `trust` nobody is asked for a certificate.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Key`], [`PolicyError::NoSuite`].
    pub fn server(
        &self,
        credentials: &Credentials,
        trust: Option<Arc<Trust>>,
        auth: ClientAuth,
    ) -> Result<ServerConfig, PolicyError> {
        let builder = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&self.versions)
            .map_err(|_| PolicyError::NoSuite)?;
        let builder = match trust.filter(|_| auth != ClientAuth::None) {
            Some(trust) => {
                let is_needed = auth == ClientAuth::Need;
                builder.with_client_cert_verifier(Arc::new(OfClients { trust, is_needed }))
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(credentials.chain.clone(), credentials.key.clone_key())
            .map_err(|error| PolicyError::Key(error.to_string()))?;
        // Tickets, which clients keep, instead of a memory of sessions here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| PolicyError::Key(error.to_string()))?;
        Ok(config)
    }

    /// For connections that this server makes; it shows `credentials` where it is asked.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Key`], [`PolicyError::NoSuite`].
    pub fn client(&self, credentials: Option<&Credentials>, trust: Arc<Trust>) -> Result<ClientConfig, PolicyError> {
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&self.versions)
            .map_err(|_| PolicyError::NoSuite)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(OfServers(trust)));
        Ok(match credentials {
            Some(Credentials { chain, key }) => builder
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|error| PolicyError::Key(error.to_string()))?,
            None => builder.with_no_client_auth(),
        })
    }
}
