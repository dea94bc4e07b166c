//! Stores as PEM text: certificates, and a private key that may be encrypted (PKCS#8), in any order.

use super::credentials::{Credentials, StoreError};
use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer};

const NAME: &str = "PEM";
const ENCRYPTED: (&[u8], &[u8]) = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"-----END ENCRYPTED PRIVATE KEY-----");

/// The first private key and all certificates, of which the key's own stands first.
pub(super) fn credentials(bytes: &[u8], password: &str) -> Result<Credentials, StoreError> {
    let key = match encrypted(bytes) {
        Some(section) => decrypt(section, password)?,
        None => PrivateKeyDer::from_pem_slice(bytes).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => StoreError::NoKey,
            _ => StoreError::Malformed(NAME, "a private key cannot be read"),
        })?,
    };
    Ok(Credentials { chain: certificates(bytes)?, key })
}

/// All certificates, in their order.
pub(super) fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let certificates = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>();
    certificates.map_err(|_| StoreError::Malformed(NAME, "a certificate cannot be read"))
}

/// The revocation lists of a file: as PEM text, or one in DER.
pub(super) fn revocations(bytes: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, StoreError> {
    let lists = CertificateRevocationListDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>();
    let lists = lists.map_err(|_| StoreError::Malformed(NAME, "a revocation list cannot be read"))?;
    Ok(if lists.is_empty() { vec![CertificateRevocationListDer::from(bytes.to_vec())] } else { lists })
}

/// The section of an encrypted key, with its first and last line.
fn encrypted(bytes: &[u8]) -> Option<&[u8]> {
    let find = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).position(|window| window == text);
    let rest = &bytes[find(bytes, ENCRYPTED.0)?..];
    Some(&rest[..find(rest, ENCRYPTED.1)? + ENCRYPTED.1.len()])
}

fn decrypt(section: &[u8], password: &str) -> Result<PrivateKeyDer<'static>, StoreError> {
    let malformed = StoreError::Malformed(NAME, "the encrypted private key cannot be read");
    let text = std::str::from_utf8(section).map_err(|_| malformed.clone())?;
    let (_, document) = pkcs8::SecretDocument::from_pem(text).map_err(|_| malformed.clone())?;
    let info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| malformed)?;
    let key = info.decrypt(password).map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::UnsupportedAlgorithm { oid }) => {
            StoreError::UnsupportedProtection(format!("the cipher {oid}"))
        }
        _ => StoreError::WrongPassword,
    })?;
    Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec())))
}
