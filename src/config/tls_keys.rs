//! The keys of TLS on the port for clients, and the settings they make (ZooKeeper 3.9, `ClientX509Util`). Files are read when
//! the server starts.

use super::key::{Shape, keys, shown_or};
use super::secret::{Secret, said_of_secret};
use super::shapes::path;
use super::value::{self, boolean, positive, show_list};
use crate::tls::ClientAuth;
use std::path::PathBuf;

/// A file that has to be named.
const FILE: Shape<Option<PathBuf>> =
    Shape::new(file, |path| path.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string()));

const PASSWORD: Shape<Option<Secret<String>>> =
    Shape::new(|text| Ok(Some(Secret::new(text.to_owned()))), said_of_secret);

const NAMES: Shape<Vec<String>> =
    Shape::new(|text| Ok(value::list(text)), |list| show_list(list, "those that are safe"));

const KIND: Shape<String> = Shape::new(
    |text| match text.to_ascii_uppercase().as_str() {
        "" | "JKS" | "PEM" | "PKCS12" => Ok(text.to_ascii_uppercase()),
        _ => Err("expected JKS, PEM or PKCS12; Java's other formats need Java: convert the store with keytool".into()),
    },
    |kind| if kind.is_empty() { "by the ending of the file's name".into() } else { kind.clone() },
);

keys! {
    /// What TLS on a port is to be like.
    struct TlsSettings() {}

    /// The settings; nothing of them depends on other keys.
    struct TlsDraft;

    /// Every key of TLS, in the order of the documentation.
    const TLS_KEYS;

    "ssl.keyStore.location" {
        value key_store: Option<PathBuf> = None, FILE;
        example: "/etc/corral/server.p12", nonsense: Refused,
        meaning: "the file with this server's private key and its certificates: `.p12`, `.jks` or `.pem`",
        difference: "of several keys in a store the first is used",
    }
    "ssl.keyStore.password" {
        value key_store_password: Option<Secret<String>> = None, PASSWORD;
        example: "changeit", nonsense: Refused,
        meaning: "the password of that file, and of the key in it",
        difference: "`passwordPath` is better: whoever may read the configuration reads this, too",
    }
    "ssl.keyStore.passwordPath" {
        value key_store_password_path: Option<PathBuf> = None, FILE;
        example: "/run/secrets/key-store", nonsense: Refused,
        meaning: "a file whose first line is the password; it counts before `password`",
        difference: "",
    }
    "ssl.keyStore.type" {
        value key_store_type: String = String::new(), KIND;
        example: "PKCS12", nonsense: Refused,
        meaning: "JKS, PEM or PKCS12, where the ending of the file's name does not say it",
        difference: "no BCFKS",
    }
    "ssl.trustStore.location" {
        value trust_store: Option<PathBuf> = None, FILE;
        example: "/etc/corral/trust.p12", nonsense: Refused,
        meaning: "the file with the authorities that vouch for clients, or with the clients' certificates themselves",
        difference: "a certificate that does not say that it is an authority is trusted where exactly it is shown, and \
                     vouches for no other, unless it is of version 1; it is not looked for in revocation lists",
    }
    "ssl.trustStore.password" {
        value trust_store_password: Option<Secret<String>> = None, PASSWORD;
        example: "changeit", nonsense: Refused,
        meaning: "the password of that file",
        difference: "",
    }
    "ssl.trustStore.passwordPath" {
        value trust_store_password_path: Option<PathBuf> = None, FILE;
        example: "/run/secrets/trust-store", nonsense: Refused,
        meaning: "a file whose first line is the password; it counts before `password`",
        difference: "",
    }
    "ssl.trustStore.type" {
        value trust_store_type: String = String::new(), KIND;
        example: "JKS", nonsense: Refused,
        meaning: "JKS, PEM or PKCS12, where the ending of the file's name does not say it",
        difference: "no BCFKS",
    }
    "ssl.clientAuth" {
        value client_auth: ClientAuth = ClientAuth::Need, Shape::new(client_auth, |auth| format!("{auth:?}").to_ascii_lowercase());
        example: "want", nonsense: Refused,
        meaning: "need: a client without a trusted certificate does not come in; want: it may have none; none: nobody is asked",
        difference: "",
    }
    "ssl.protocol" {
        value protocol: Option<String> = None, Shape::new(|text| Ok(Some(text.to_owned())), |name| shown_or(name, "TLSv1.3 and TLSv1.2"));
        example: "TLSv1.3", nonsense: Refused,
        meaning: "the version of TLS, where `ssl.enabledProtocols` is not given",
        difference: "TLSv1.3 or TLSv1.2",
    }
    "ssl.enabledProtocols" {
        value enabled_protocols: Vec<String> = Vec::new(), Shape::new(|text| Ok(value::list(text)), |list| show_list(list, "`ssl.protocol`"));
        example: "TLSv1.3,TLSv1.2", nonsense: Refused,
        meaning: "the versions of TLS, between commas",
        difference: "TLSv1.3 and TLSv1.2; older ones are refused at the start",
    }
    "ssl.ciphersuites" {
        value cipher_suites: Vec<String> = Vec::new(), NAMES;
        example: "TLS_AES_256_GCM_SHA384", nonsense: Refused,
        meaning: "the cipher suites, between commas, by their standard names",
        difference: "AES-GCM and ChaCha20 with forward secrecy; suites with CBC, which ZooKeeper has by default, are refused at \
                     the start",
    }
    "ssl.handshakeDetectionTimeoutMillis" {
        value handshake_ms: u32 = 5000, Shape::of(positive);
        example: "10000", nonsense: Refused,
        meaning: "milliseconds that a handshake may take as a whole",
        difference: "in ZooKeeper only the first bytes of one",
    }
    "corral.ssl.crlPath" {
        value crl: Option<PathBuf> = None, FILE;
        example: "/etc/corral/revoked.crl", nonsense: Refused,
        meaning: "a file with revocation lists (PEM, or one in DER); each authority that vouches for a client must have its list \
                  there",
        difference: "Corral's own; lists are not fetched from the network",
    }
    "ssl.crl" {
        value wants_crl: bool = false, Shape::of(boolean);
        example: "", nonsense: Refused,
        meaning: "clients' certificates are looked for in revocation lists",
        difference: "needs `corral.ssl.crlPath`",
    }
}

fn file(text: &str) -> Result<Option<PathBuf>, String> {
    if text.is_empty() { Ok(None) } else { path(text).map(Some).map_err(|_| "expected a file".into()) }
}

fn client_auth(text: &str) -> Result<ClientAuth, String> {
    match text.to_ascii_lowercase().as_str() {
        "need" | "" => Ok(ClientAuth::Need),
        "want" => Ok(ClientAuth::Want),
        "none" => Ok(ClientAuth::None),
        _ => Err("expected need, want or none".into()),
    }
}

impl Default for TlsSettings {
    /// Nothing is set.
    fn default() -> Self {
        TlsSettings::usual()
    }
}

impl TlsSettings {
    /// The versions that are spoken, by name; empty: those that are safe.
    pub(crate) fn protocols(&self) -> Vec<&str> {
        match (&self.enabled_protocols[..], &self.protocol) {
            ([], protocol) => protocol.iter().map(String::as_str).collect(),
            (named, _) => named.iter().map(String::as_str).collect(),
        }
    }
}
