//! Key stores and trust stores in the formats that Java's servers have: JKS, PKCS#12 and PEM.

use super::credentials::{Credentials, StoreError};
use super::{jks, pem, pkcs12};
use rustls::pki_types::CertificateDer;

/// The format of a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreKind {
    /// Java's own format.
    Jks,
    /// Certificates and a key as text.
    Pem,
    /// The format of RFC 7292, Java's default today.
    Pkcs12,
}

impl StoreKind {
    /// The format by its name, or by the ending of the file's name where `name` is empty (ZooKeeper 3.9,
    /// `KeyStoreFileType.fromPropertyValueOrFileName`).
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownKind`]; BCFKS is one of them, as it needs a provider for Java.
    pub fn find(name: &str, file: &str) -> Result<StoreKind, StoreError> {
        let by_name = match name.to_ascii_uppercase().as_str() {
            "JKS" => Some(StoreKind::Jks),
            "PEM" => Some(StoreKind::Pem),
            "PKCS12" => Some(StoreKind::Pkcs12),
            _ => None,
        };
        let endings = [(".jks", StoreKind::Jks), (".pem", StoreKind::Pem), (".p12", StoreKind::Pkcs12)];
        let by_ending = endings.iter().find(|(ending, _)| file.to_ascii_lowercase().ends_with(ending));
        match by_name {
            Some(kind) => Ok(kind),
            None if !name.is_empty() => Err(StoreError::UnknownKind(name.to_owned())),
            None => by_ending.map(|(_, kind)| *kind).ok_or_else(|| StoreError::UnknownKind(String::new())),
        }
    }
}

impl Credentials {
    /// The first private key of a key store, and its certificates.
    ///
    /// # Errors
    ///
    /// See [`StoreError`].
    pub fn read(kind: StoreKind, bytes: &[u8], password: &str) -> Result<Credentials, StoreError> {
        let credentials = match kind {
            StoreKind::Jks => jks::credentials(bytes, password)?,
            StoreKind::Pem => pem::credentials(bytes, password)?,
            StoreKind::Pkcs12 => pkcs12::credentials(bytes, password)?,
        };
        if credentials.chain.is_empty() { Err(StoreError::NoCertificate) } else { Ok(credentials) }
    }
}

/// The certificates of a trust store.
pub(super) fn trusted(
    kind: StoreKind,
    bytes: &[u8],
    password: &str,
) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let certificates = match kind {
        StoreKind::Jks => jks::certificates(bytes, password)?,
        StoreKind::Pem => pem::certificates(bytes)?,
        StoreKind::Pkcs12 => pkcs12::certificates(bytes, password)?,
    };
    if certificates.is_empty() { Err(StoreError::NoCertificate) } else { Ok(certificates) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_by_its_name_or_by_the_file_s() {
        assert_eq!(StoreKind::find("pkcs12", "a.jks"), Ok(StoreKind::Pkcs12));
        assert_eq!(StoreKind::find("", "/etc/A.JKS"), Ok(StoreKind::Jks));
        assert_eq!(StoreKind::find("", "keys.p12"), Ok(StoreKind::Pkcs12));
        assert_eq!(StoreKind::find("", "ca.pem"), Ok(StoreKind::Pem));
        for (name, file, said) in [("BCFKS", "a.bcfks", "type BCFKS is not known"), ("", "keys", "(.jks, .pem, .p12)")]
        {
            let error = StoreKind::find(name, file).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
