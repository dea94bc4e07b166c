//! Stores that keytool and openssl have written (`tests/stores/make`), and handshakes between two sides in memory.

use super::*;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConnection, ServerConnection};
use std::sync::Arc;

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/stores/", $name)).as_slice()
    };
}

const PASSWORD: &str = "changeit";

/// The same key and certificates in every format.
const SERVERS: [(StoreKind, &[u8]); 5] = [
    (StoreKind::Pem, file!("server.pem")),
    (StoreKind::Pem, file!("server-encrypted.pem")),
    (StoreKind::Pkcs12, file!("server.p12")),
    (StoreKind::Pkcs12, file!("server-old.p12")),
    (StoreKind::Jks, file!("server.jks")),
];

fn server() -> Credentials {
    Credentials::read(StoreKind::Pem, file!("server.pem"), "").unwrap()
}

fn client() -> Credentials {
    Credentials::read(StoreKind::Pkcs12, file!("client.p12"), PASSWORD).unwrap()
}

fn policy() -> Policy {
    Policy::of([].into_iter(), [].into_iter()).unwrap()
}

fn trust(kind: StoreKind, bytes: &[u8]) -> Trust {
    Trust::read(kind, bytes, PASSWORD, policy().algorithms()).unwrap()
}

#[test]
fn every_format_gives_the_same_key_and_chain() {
    let chain = server().chain;
    assert_eq!(chain.len(), 2);
    for (kind, bytes) in SERVERS {
        let read = Credentials::read(kind, bytes, PASSWORD).unwrap();
        assert_eq!(read.chain, chain, "{kind:?}");
        assert_eq!(read.key.secret_der(), server().key.secret_der(), "{kind:?}");
        assert!(matches!(read.key, PrivateKeyDer::Pkcs8(_)));
        assert_eq!(format!("{read:?}"), "Credentials { certificates: 2, .. }", "nothing of the key");
    }
}

#[test]
fn a_wrong_password_is_said_to_be_one() {
    for (kind, bytes) in &SERVERS[1..] {
        for wrong in ["", "changeit ", "CHANGEIT"] {
            assert_eq!(
                Credentials::read(*kind, bytes, wrong).unwrap_err(),
                StoreError::WrongPassword,
                "{kind:?} {wrong}"
            );
        }
    }
    let trust = Trust::read(StoreKind::Jks, file!("trust.jks"), "", policy().algorithms());
    assert_eq!(trust.unwrap_err(), StoreError::WrongPassword);
}

#[test]
fn a_store_that_lacks_what_is_looked_for_says_what() {
    for (kind, bytes) in [(StoreKind::Jks, file!("trust.jks")), (StoreKind::Pkcs12, file!("trust.p12"))] {
        assert_eq!(Credentials::read(kind, bytes, PASSWORD).unwrap_err(), StoreError::NoKey);
    }
    assert_eq!(Credentials::read(StoreKind::Pem, file!("authority.pem"), "").unwrap_err(), StoreError::NoKey);
    let read = |kind, bytes| Trust::read(kind, bytes, PASSWORD, policy().algorithms()).unwrap_err();
    assert_eq!(read(StoreKind::Pem, b"nothing"), StoreError::NoCertificate);
    assert_eq!(
        read(StoreKind::Pkcs12, file!("client.p12")),
        StoreError::NoCertificate,
        "a key's own certificate vouches for none"
    );
    assert!(matches!(read(StoreKind::Jks, file!("trust.p12")), StoreError::Malformed("JKS", _)));
    assert!(matches!(read(StoreKind::Pkcs12, file!("trust.jks")), StoreError::Malformed("PKCS#12", _)));
}

/// Cut anywhere, and with any byte changed, a store is refused or read, and nothing else happens.
#[test]
fn a_damaged_store_is_an_error() {
    let jks = file!("server.jks");
    for end in 0..jks.len() {
        assert!(Credentials::read(StoreKind::Jks, &jks[..end], PASSWORD).is_err(), "{end}");
    }
    for at in 0..jks.len() {
        let mut damaged = jks.to_vec();
        damaged[at] ^= 0x55;
        assert!(Credentials::read(StoreKind::Jks, &damaged, PASSWORD).is_err(), "{at}");
    }
}

#[test]
fn a_subject_is_spelt_as_java_spells_it() {
    let certificate = Certificate::read(&server().chain[0]).unwrap();
    // What `X500Principal.getName()` of Java 17 gives for this certificate.
    let java = "CN=server,1.2.840.113549.1.9.1=#160e7a6b406578616d706c652e6f7267,OU=a\\+b,O=Corral\\, Tests,ST=Zürich \\#1,C=DE";
    assert_eq!(certificate.subject, java);
    assert!(!certificate.is_authority);
    for (host, is_its) in [
        ("localhost", true),
        ("127.0.0.1", true),
        ("[::1]", true),
        ("::1", true),
        ("zk1.example.org", true),
        ("127.0.0.2", false),
        ("server", false),
        ("example.org", false),
    ] {
        assert_eq!(certificate.names(host), is_its, "{host}");
    }
    let authority = Certificate::read(&server().chain[1]).unwrap();
    assert_eq!((authority.subject.as_str(), authority.is_authority), ("CN=authority,O=Corral\\, Tests", true));
    assert!(Certificate::read(b"").is_none() && Certificate::read(&server().chain[0][..400]).is_none());
}

/// A handshake, and what the server learns of the client: nothing, or its certificate; or why one of them gave up.
fn handshake(
    server: &rustls::ServerConfig,
    client: &rustls::ClientConfig,
) -> Result<Option<CertificateDer<'static>>, rustls::Error> {
    let mut server = ServerConnection::new(Arc::new(server.clone())).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(client.clone()), name).unwrap();
    for _ in 0..10 {
        let mut wire = vec![];
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
        if !server.is_handshaking() && !client.is_handshaking() {
            return Ok(server.peer_certificates().map(|chain| chain[0].clone().into_owned()));
        }
    }
    panic!("ten rounds were not enough");
}

/// A trust store of certificates that sign themselves, which webpki would refuse as authorities that are used as leaves.
#[test]
fn a_certificate_that_stands_in_the_trust_store_is_trusted_and_vouches_for_none() {
    let clients = Arc::new(trust(StoreKind::Jks, file!("clients.jks")));
    let authority = Arc::new(trust(StoreKind::Jks, file!("trust.jks")));
    for auth in [ClientAuth::Need, ClientAuth::Want] {
        let accepting = policy().server(&server(), Some(clients.clone()), auth).unwrap();
        let known = policy().client(Some(&client()), authority.clone()).unwrap();
        assert_eq!(handshake(&accepting, &known).unwrap().as_ref(), Some(&client().chain[0]), "{auth:?}");
        let stranger = policy().client(Some(&server()), authority.clone()).unwrap();
        assert!(handshake(&accepting, &stranger).is_err(), "{auth:?}: who is not trusted does not come in");
        let nobody = policy().client(None, authority.clone()).unwrap();
        assert_eq!(handshake(&accepting, &nobody).is_ok(), auth == ClientAuth::Want, "{auth:?}");
    }
    let asks_none = policy().server(&server(), Some(clients), ClientAuth::None).unwrap();
    let known = policy().client(Some(&client()), authority).unwrap();
    assert_eq!(handshake(&asks_none, &known), Ok(None));
}

#[test]
fn an_authority_vouches_for_others_in_every_format_and_version() {
    let clients = trust(StoreKind::Jks, file!("clients.jks"));
    for (kind, store) in [
        (StoreKind::Jks, file!("trust.jks")),
        (StoreKind::Pkcs12, file!("trust.p12")),
        (StoreKind::Pem, file!("authority.pem")),
    ] {
        for version in ["TLSv1.2", "TLSv1.3"] {
            let policy = Policy::of([version].into_iter(), [].into_iter()).unwrap();
            let authority = Arc::new(trust(kind, store));
            let accepting = policy.server(&server(), Some(authority.clone()), ClientAuth::Need).unwrap();
            let connecting = policy.client(Some(&server()), authority).unwrap();
            assert_eq!(handshake(&accepting, &connecting).unwrap().unwrap(), server().chain[0], "{kind:?} {version}");
        }
    }
    let accepting = policy().server(&server(), None, ClientAuth::Need).unwrap();
    let connecting = policy().client(None, Arc::new(clients)).unwrap();
    assert!(handshake(&accepting, &connecting).is_err(), "a server that nobody vouches for is refused");
}

#[test]
fn a_revoked_certificate_is_refused() {
    let revoked = Credentials::read(StoreKind::Pem, file!("revoked.pem"), "").unwrap();
    let mut authority = trust(StoreKind::Pem, file!("authority.pem"));
    let connecting = policy().client(Some(&revoked), Arc::new(trust(StoreKind::Pem, file!("authority.pem")))).unwrap();
    let good = policy().client(Some(&server()), Arc::new(trust(StoreKind::Pem, file!("authority.pem")))).unwrap();
    let before =
        policy().server(&server(), Some(Arc::new(trust(StoreKind::Pem, file!("authority.pem")))), ClientAuth::Need);
    assert!(handshake(&before.unwrap(), &connecting).is_ok(), "without a list it is as good as any");
    authority.add_revocations(file!("revoked.crl")).unwrap();
    assert!(authority.add_revocations(b"no list").is_err());
    let after = policy().server(&server(), Some(Arc::new(authority)), ClientAuth::Need).unwrap();
    let refused = handshake(&after, &connecting).unwrap_err();
    assert_eq!(refused, rustls::Error::InvalidCertificate(rustls::CertificateError::Revoked));
    assert!(handshake(&after, &good).is_ok());
}

#[test]
fn versions_and_ciphers_are_those_that_are_named() {
    let named = |protocols: &[&'static str], suites: &[&'static str]| {
        Policy::of(protocols.iter().copied(), suites.iter().copied())
    };
    let only_12 = named(&["TLSv1.2"], &["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]).unwrap();
    let only_13 = named(&["TLSv1.3"], &["TLS_AES_128_GCM_SHA256"]).unwrap();
    let authority = Arc::new(trust(StoreKind::Pem, file!("authority.pem")));
    let accepting = only_12.server(&server(), None, ClientAuth::None).unwrap();
    assert!(handshake(&accepting, &only_12.client(None, authority.clone()).unwrap()).is_ok());
    assert!(handshake(&accepting, &only_13.client(None, authority).unwrap()).is_err());
    assert_eq!(named(&["TLSv1.1"], &[]).unwrap_err(), PolicyError::UnknownProtocol("TLSv1.1".to_owned()));
    let block = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256";
    let said = named(&[], &[block]).unwrap_err().to_string();
    assert!(said.starts_with(block) && said.contains("TLS_AES_256_GCM_SHA384"), "{said}");
    assert_eq!(named(&["TLSv1.2"], &["TLS_AES_128_GCM_SHA256"]).unwrap_err(), PolicyError::NoSuite);
}

#[test]
fn a_key_that_does_not_fit_its_certificate_is_refused() {
    let mixed = Credentials { chain: client().chain, key: server().key };
    assert!(matches!(policy().server(&mixed, None, ClientAuth::None), Err(PolicyError::Key(_))));
}
