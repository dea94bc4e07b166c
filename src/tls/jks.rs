//! Java's own store format, JKS, versions 1 and 2: read only.
//!
//! A header, entries, and a SHA-1 over the password and everything before it. A key is encrypted with a key stream of
//! SHA-1s of the password and a salt (`sun.security.provider.JavaKeyStore` and `KeyProtector`). Both are weak, which is
//! why the file's permissions matter; Java has written PKCS#12 by default since version 9.

use super::credentials::{Credentials, StoreError};
use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::{AnyRef, Decode, Reader as _, SliceReader};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

const NAME: &str = "JKS";
const MAGIC: u32 = 0xfeed_feed;
/// What the checksum of every store has between the password and the bytes.
const WHITENER: &[u8] = b"Mighty Aphrodite";
const DIGEST: usize = 20;
/// The algorithm by which keys are protected.
const PROTECTOR: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.42.2.17.1.1");

fn malformed(what: &'static str) -> StoreError {
    StoreError::Malformed(NAME, what)
}

/// The first private key and its chain. The key has the same password as the store.
pub(super) fn credentials(bytes: &[u8], password: &str) -> Result<Credentials, StoreError> {
    let entries = entries(bytes, password)?;
    let key = entries.into_iter().find_map(|entry| match entry {
        Entry::Key { protected, chain } => Some((protected, chain)),
        Entry::Certificate(_) => None,
    });
    let (protected, chain) = key.ok_or(StoreError::NoKey)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(unprotect(protected, password)?));
    Ok(Credentials { chain: chain.into_iter().map(owned).collect(), key })
}

/// The certificates that stand for themselves.
pub(super) fn certificates(bytes: &[u8], password: &str) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let certificates = entries(bytes, password)?.into_iter().filter_map(|entry| match entry {
        Entry::Certificate(certificate) => Some(owned(certificate)),
        Entry::Key { .. } => None,
    });
    Ok(certificates.collect())
}

fn owned(certificate: &[u8]) -> CertificateDer<'static> {
    CertificateDer::from(certificate.to_vec())
}

enum Entry<'a> {
    Key { protected: &'a [u8], chain: Vec<&'a [u8]> },
    Certificate(&'a [u8]),
}

/// Big-endian numbers and counted bytes.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], StoreError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(|| malformed("it ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let mut number = [0; N];
        number.copy_from_slice(self.take(N)?);
        Ok(number)
    }

    fn word(&mut self) -> Result<u32, StoreError> {
        self.number().map(u32::from_be_bytes)
    }

    /// Bytes behind a length of four bytes.
    fn counted(&mut self) -> Result<&'a [u8], StoreError> {
        let length = self.word()?;
        self.take(length as usize)
    }

    /// Text behind a length of two bytes; what it says does not matter here.
    fn text(&mut self) -> Result<&'a [u8], StoreError> {
        let length = u16::from_be_bytes(self.number()?);
        self.take(length.into())
    }

    fn certificate(&mut self, version: u32) -> Result<&'a [u8], StoreError> {
        if version == 2 && self.text()? != b"X.509" {
            return Err(malformed("a certificate is not X.509"));
        }
        self.counted()
    }
}

/// The entries of a store whose checksum is right.
fn entries<'a>(bytes: &'a [u8], password: &str) -> Result<Vec<Entry<'a>>, StoreError> {
    let mut header = Bytes(bytes);
    if header.word()? != MAGIC {
        return Err(malformed("it begins otherwise"));
    }
    let version = header.word()?;
    if !(1..=2).contains(&version) {
        return Err(malformed("its version is not known"));
    }
    let body = bytes.len().checked_sub(DIGEST).ok_or_else(|| malformed("it ends early"))?;
    let (body, checksum) = bytes.split_at(body);
    let right = Sha1::new().chain_update(java_chars(password)).chain_update(WHITENER).chain_update(body).finalize();
    if !bool::from(right.as_slice().ct_eq(checksum)) {
        return Err(StoreError::WrongPassword);
    }
    let mut rest = Bytes(body.get(8..).ok_or_else(|| malformed("it ends early"))?);
    let count = rest.word()?;
    let mut entries = vec![];
    for _ in 0..count {
        let tag = rest.word()?;
        rest.text()?; // its alias
        rest.number::<8>()?; // when it was made
        entries.push(match tag {
            1 => {
                let protected = rest.counted()?;
                let length = rest.word()?;
                let mut chain = vec![];
                for _ in 0..length {
                    chain.push(rest.certificate(version)?);
                }
                Entry::Key { protected, chain }
            }
            2 => Entry::Certificate(rest.certificate(version)?),
            _ => return Err(malformed("an entry is neither a key nor a certificate")),
        });
    }
    Ok(entries)
}

/// A password as Java's characters: UTF-16, big-endian.
fn java_chars(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// Decrypts a key: a salt, the key XORed with the key stream, and a checksum over password and key.
fn unprotect(protected: &[u8], password: &str) -> Result<Vec<u8>, StoreError> {
    let (algorithm, data) = encrypted_key(protected).map_err(|_| malformed("a private key cannot be read"))?;
    if algorithm != PROTECTOR {
        return Err(StoreError::UnsupportedProtection(format!("the cipher {algorithm}")));
    }
    let length = data.len().checked_sub(2 * DIGEST).ok_or_else(|| malformed("a private key ends early"))?;
    let (salt, rest) = data.split_at(DIGEST);
    let (encrypted, checksum) = rest.split_at(length);
    let password = java_chars(password);
    let mut key = Vec::with_capacity(length);
    let mut stream = salt.to_vec();
    for chunk in encrypted.chunks(DIGEST) {
        stream = Sha1::new().chain_update(&password).chain_update(&stream).finalize().to_vec();
        key.extend(chunk.iter().zip(&stream).map(|(byte, mask)| byte ^ mask));
    }
    let right = Sha1::new().chain_update(&password).chain_update(&key).finalize();
    if bool::from(right.as_slice().ct_eq(checksum)) { Ok(key) } else { Err(StoreError::WrongPassword) }
}

/// The algorithm and the bytes of an `EncryptedPrivateKeyInfo`.
fn encrypted_key(der: &[u8]) -> der::Result<(ObjectIdentifier, &[u8])> {
    let mut reader = SliceReader::new(der)?;
    let found = reader.sequence(|reader| {
        let algorithm = reader.sequence(|reader| {
            let algorithm = ObjectIdentifier::decode(reader)?;
            // Parameters, of which this algorithm has none.
            if !reader.is_finished() {
                AnyRef::decode(reader)?;
            }
            Ok::<_, der::Error>(algorithm)
        })?;
        let data: &OctetStringRef = Decode::decode(reader)?;
        Ok::<_, der::Error>((algorithm, data.as_bytes()))
    })?;
    reader.finish()?;
    Ok(found)
}
