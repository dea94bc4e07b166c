//! PKCS#12 stores, as `keytool` and `openssl pkcs12` write them, old encryption included.

use super::credentials::{Credentials, StoreError};
use super::names::Certificate;
use p12_keystore::{Pkcs12Archive, error::Error};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

const NAME: &str = "PKCS#12";

fn archive(bytes: &[u8], password: &str) -> Result<Pkcs12Archive, StoreError> {
    Pkcs12Archive::from_pkcs12(bytes, password).map_err(|error| match error {
        Error::MacError(_) | Error::UnpadError => StoreError::WrongPassword,
        Error::UnsupportedEncryptionScheme => StoreError::UnsupportedProtection("an unknown cipher".to_owned()),
        Error::UnsupportedMacAlgorithm => StoreError::UnsupportedProtection("an unknown checksum".to_owned()),
        Error::Pkcs5Error(text) => StoreError::UnsupportedProtection(text),
        Error::InvalidPrivateKey => StoreError::Malformed(NAME, "a private key cannot be read"),
        _ => StoreError::Malformed(NAME, "its structure is broken"),
    })
}

/// The first private key with its certificate, and the chain above it as far as the store has it.
pub(super) fn credentials(bytes: &[u8], password: &str) -> Result<Credentials, StoreError> {
    let archive = archive(bytes, password)?;
    let key = archive.keys.into_iter().next().ok_or(StoreError::NoKey)?;
    let id = key.local_key_id.as_ref().map(AsRef::as_ref);
    let of_key = |bag: &&p12_keystore::CertificateBag| id.is_some() && bag.local_key_id.as_deref() == id;
    let own = archive.certs.iter().find(of_key).or(archive.certs.first()).ok_or(StoreError::NoCertificate)?;
    let mut chain = vec![&own.cert];
    // As many steps as there are certificates: a circle of issuers ends, too.
    for _ in 0..archive.certs.len() {
        let issuer = chain[chain.len() - 1].issuer();
        let next = archive.certs.iter().map(|bag| &bag.cert).find(|cert| cert.subject() == issuer);
        match next {
            Some(next) if !chain.contains(&next) => chain.push(next),
            _ => break,
        }
    }
    let chain = chain.into_iter().map(|cert| CertificateDer::from(cert.as_der().to_vec())).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.key.as_der().to_vec()));
    Ok(Credentials { chain, key })
}

/// All certificates that belong to no key.
pub(super) fn certificates(bytes: &[u8], password: &str) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let archive = archive(bytes, password)?;
    let is_alone = |bag: &&p12_keystore::CertificateBag| {
        let of_key = |key: &p12_keystore::PrivateKeyBag| {
            let id = key.local_key_id.as_ref().map(AsRef::as_ref);
            id.is_some() && id == bag.local_key_id.as_deref()
        };
        !archive.keys.iter().any(of_key)
    };
    let alone = archive.certs.iter().filter(is_alone);
    Ok(alone.map(|bag| CertificateDer::from(bag.cert.as_der().to_vec())).filter(Certificate::is_readable).collect())
}
