//! Whether a certificate is trusted: by an authority of the trust store, or because it stands there itself.

use super::credentials::StoreError;
use super::names::Certificate;
use super::pem;
use super::store::{StoreKind, trusted};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use webpki::{CertRevocationList, EndEntityCert, KeyUsage, OwnedCertRevocationList, RevocationOptionsBuilder};

/// Whom a trust store trusts.
///
/// Java's trust stores are often full of certificates that servers and clients have signed themselves. Such a one is
/// trusted where exactly it is shown. Only what says that it is an authority can vouch for others, or is of version 1,
/// which cannot say so.
pub struct Trust {
    authorities: Vec<TrustAnchor<'static>>,
    subjects: Vec<DistinguishedName>,
    exactly: HashSet<Vec<u8>>,
    /// If there are any: an authority does not vouch for whoever stands here, nor for anybody if its own list is missing. What
    /// stands in the trust store itself is not looked for here.
    revocations: Vec<CertRevocationList<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Trust { authorities, exactly, revocations, .. } = self;
        let (authorities, exactly, revocations) = (authorities.len(), exactly.len(), revocations.len());
        write!(f, "Trust({authorities} authorities, {exactly} certificates, {revocations} revocation lists)")
    }
}

impl Trust {
    /// The certificates of a trust store.
    ///
    /// # Errors
    ///
    /// The store's, or that a certificate in it is malformed.
    pub fn read(
        kind: StoreKind,
        bytes: &[u8],
        password: &str,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Trust, StoreError> {
        let mut trust =
            Trust { authorities: vec![], subjects: vec![], exactly: HashSet::new(), revocations: vec![], algorithms };
        let malformed = || StoreError::Malformed("trust", "a certificate in it cannot be read");
        for der in trusted(kind, bytes, password)? {
            let certificate = Certificate::read(&der).ok_or_else(malformed)?;
            if certificate.is_authority {
                let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|_| malformed())?.to_owned();
                trust.subjects.push(DistinguishedName::in_sequence(&anchor.subject));
                trust.authorities.push(anchor);
            }
            trust.exactly.insert(der.to_vec());
        }
        Ok(trust)
    }

    /// Adds the revocation lists of a file: PEM or DER.
    ///
    /// # Errors
    ///
    /// [`StoreError::Malformed`].
    pub fn add_revocations(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        for list in pem::revocations(bytes)? {
            let list = OwnedCertRevocationList::from_der(&list);
            let list = list.map_err(|_| StoreError::Malformed("CRL", "a revocation list cannot be read"))?;
            self.revocations.push(list.into());
        }
        Ok(())
    }

    /// Whether the certificate is trusted now, for this usage; `chain` is what came with it.
    fn verify(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), Error> {
        if self.exactly.contains(own.as_ref()) {
            let certificate = Certificate::read(own).ok_or(CertificateError::BadEncoding)?;
            return if certificate.is_current(now) { Ok(()) } else { Err(CertificateError::Expired.into()) };
        }
        let lists: Vec<&CertRevocationList<'_>> = self.revocations.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(RevocationOptionsBuilder::build);
        let certificate = EndEntityCert::try_from(own).map_err(refusal)?;
        certificate
            .verify_for_usage(self.algorithms.all, &self.authorities, chain, now, usage, revocation, None)
            .map(|_| ())
            .map_err(refusal)
    }
}

/// What the log says of a certificate that is not trusted, and what the other side is told.
fn refusal(error: webpki::Error) -> Error {
    match error {
        webpki::Error::CertExpired { .. } => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::CertRevoked => CertificateError::Revoked,
        webpki::Error::UnknownRevocationStatus => CertificateError::UnknownRevocationStatus,
        webpki::Error::BadDer => CertificateError::BadEncoding,
        webpki::Error::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        error => CertificateError::Other(OtherError(Arc::new(error))),
    }
    .into()
}

/// The check of those who connect.
#[derive(Debug)]
pub(super) struct OfClients {
    pub trust: Arc<Trust>,
    /// Who shows no certificate does not come in.
    pub is_needed: bool,
}

/// The check of a server that this one connects to. Whether it has the right name is looked at when the handshake is over:
/// what the name should be is not known to TLS.
#[derive(Debug)]
pub(super) struct OfServers(pub Arc<Trust>);

macro_rules! signatures {
    ($($trust:tt)+) => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, certificate, signed, &self.$($trust)+.algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signed, &self.$($trust)+.algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.$($trust)+.algorithms.supported_schemes()
        }
    };
}

impl ClientCertVerifier for OfClients {
    fn client_auth_mandatory(&self) -> bool {
        self.is_needed
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // A client with a certificate that stands in the store itself would find nobody here who has signed it, and show none.
        &[]
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.trust.verify(own, chain, now, KeyUsage::client_auth())?;
        Ok(ClientCertVerified::assertion())
    }

    signatures!(trust);
}

impl ServerCertVerifier for OfServers {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.verify(own, chain, now, KeyUsage::server_auth())?;
        Ok(ServerCertVerified::assertion())
    }

    signatures!(0);
}
