//! What a certificate says: whose it is, for which hosts, and until when.

use rustls::pki_types::{CertificateDer, UnixTime};
use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;
use x509_parser::asn1_rs::Any;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The parts of a certificate that decisions and ACLs are made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// The distinguished name of the subject as Java spells it: RFC 2253, the last part first.
    pub subject: String,
    /// The host names of the subject's alternative names, as written.
    pub dns_names: Vec<String>,
    /// The addresses of the subject's alternative names.
    pub addresses: Vec<IpAddr>,
    /// Whether it may vouch for others: an authority by its basic constraints, or from before there were any.
    pub is_authority: bool,
    not_before: UnixTime,
    not_after: UnixTime,
}

impl Certificate {
    /// Reads a certificate in DER; `None` if it is none.
    pub fn read(der: &[u8]) -> Option<Certificate> {
        let (rest, read) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut certificate = Certificate {
            subject: java_name(read.subject())?,
            dns_names: vec![],
            addresses: vec![],
            is_authority: match read.basic_constraints().ok()? {
                Some(constraints) => constraints.value.ca,
                None => read.version() == X509Version::V1,
            },
            not_before: moment(read.validity().not_before.timestamp()),
            not_after: moment(read.validity().not_after.timestamp()),
        };
        let names = read.subject_alternative_name().ok()?;
        for name in names.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(name) => certificate.dns_names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => certificate.addresses.extend(address(bytes)),
                _ => {}
            }
        }
        Some(certificate)
    }

    /// Whether these bytes are a certificate.
    pub(super) fn is_readable(der: &CertificateDer<'_>) -> bool {
        Certificate::read(der).is_some()
    }

    /// Whether it is valid at that time.
    pub fn is_current(&self, now: UnixTime) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    /// Whether one of the alternative names is this host: an address, or a name, of which the certificate may have the first
    /// label as `*` (RFC 6125). The common name does not count, and no name is looked up.
    pub fn names(&self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            Ok(address) => self.addresses.contains(&address),
            Err(_) => self.dns_names.iter().any(|name| matches_host(name, bare)),
        }
    }
}

fn moment(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds.max(0).cast_unsigned()))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(bytes.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

fn matches_host(pattern: &str, host: &str) -> bool {
    let (pattern, host) = (pattern.strip_suffix('.').unwrap_or(pattern), host.strip_suffix('.').unwrap_or(host));
    match pattern.strip_prefix("*.") {
        // A star stands for one label, and not above all names of a top-level domain.
        Some(domain) => match host.split_once('.') {
            Some((label, rest)) => !label.is_empty() && domain.contains('.') && rest.eq_ignore_ascii_case(domain),
            None => false,
        },
        None => !pattern.contains('*') && !pattern.is_empty() && pattern.eq_ignore_ascii_case(host),
    }
}

/// The attributes that RFC 2253 has names for, as Java has them.
const KEYWORDS: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// A distinguished name as Java's `X500Principal.getName()` spells it; `None` if a text in it cannot be read.
fn java_name(name: &X509Name<'_>) -> Option<String> {
    let mut parts = vec![];
    for part in name.iter_rdn() {
        let attributes = part.iter().map(java_attribute).collect::<Option<Vec<_>>>()?;
        parts.push(attributes.join("+"));
    }
    parts.reverse();
    Some(parts.join(","))
}

fn java_attribute(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let oid = attribute.attr_type().to_id_string();
    let value = attribute.attr_value();
    let keyword = KEYWORDS.iter().find(|(number, _)| *number == oid);
    match (keyword, text(value)) {
        (Some((_, keyword)), Some(text)) => Some(format!("{keyword}={}", escaped(&text?))),
        (keyword, _) => {
            let mut shown = format!("{}=#", keyword.map_or(oid.as_str(), |(_, keyword)| keyword));
            for byte in encoded(value)? {
                write!(shown, "{byte:02x}").expect("a String takes everything");
            }
            Some(shown)
        }
    }
}

/// The text of a value, if its type is one of text; within that, `None` where the bytes are none.
fn text(value: &Any<'_>) -> Option<Option<String>> {
    const UTF8: u32 = 12;
    const PRINTABLE: u32 = 19;
    const T61: u32 = 20;
    const IA5: u32 = 22;
    const GENERAL: u32 = 27;
    const BMP: u32 = 30;
    let latin = |bytes: &[u8]| Some(bytes.iter().map(|byte| char::from(*byte)).collect());
    match value.tag().0 {
        UTF8 => Some(String::from_utf8(value.data.to_vec()).ok()),
        PRINTABLE | IA5 => Some(value.data.is_ascii().then(|| latin(value.data)).flatten()),
        T61 | GENERAL => Some(latin(value.data)),
        BMP if value.data.len().is_multiple_of(2) => {
            let words = value.data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            Some(String::from_utf16(&words.collect::<Vec<_>>()).ok())
        }
        BMP => Some(None),
        _ => None,
    }
}

/// The value in DER.
fn encoded(value: &Any<'_>) -> Option<Vec<u8>> {
    let tag = u8::try_from(value.tag().0).ok().filter(|tag| *tag < 31)?;
    let class = value.class() as u8;
    let mut der = vec![class << 6 | u8::from(value.header.is_constructed()) << 5 | tag];
    match value.data.len() {
        length @ 0..=127 => der.push(length as u8),
        length @ 128..=255 => der.extend([0x81, length as u8]),
        length => der.extend([0x82, u8::try_from(length >> 8).ok()?, length as u8]),
    }
    der.extend_from_slice(value.data);
    Some(der)
}

fn escaped(text: &str) -> String {
    let is_blank = |c: char| matches!(c, ' ' | '\r');
    let leading = text.chars().take_while(|c| is_blank(*c)).count();
    let trailing = text.chars().rev().take_while(|c| is_blank(*c)).count();
    let length = text.chars().count();
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        match c {
            '\0' => out.push_str("\\00"),
            ',' | '=' | '+' | '<' | '>' | '#' | ';' | '"' | '\\' => out.extend(['\\', c]),
            c if is_blank(c) && (at < leading || at + trailing >= length) => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_label() {
        for (pattern, host, is_it) in [
            ("zk1.example.org", "ZK1.example.org", true),
            ("zk1.example.org", "zk1.example.org.", true),
            ("*.example.org", "zk1.example.org", true),
            ("*.example.org", "a.zk1.example.org", false),
            ("*.example.org", "example.org", false),
            ("*.example.org", ".example.org", false),
            ("*.org", "example.org", false),
            ("*", "zk1", false),
            ("zk*.example.org", "zk1.example.org", false),
            ("", "", false),
        ] {
            assert_eq!(matches_host(pattern, host), is_it, "{pattern} {host}");
        }
    }

    #[test]
    fn what_has_a_meaning_in_a_name_is_escaped() {
        for (text, shown) in [
            ("Duke, Inc.", "Duke\\, Inc."),
            (" a b ", "\\ a b\\ "),
            ("  ", "\\ \\ "),
            ("a\0#b", "a\\00\\#b"),
            ("Zürich", "Zürich"),
            ("a\"=+<>;\\", "a\\\"\\=\\+\\<\\>\\;\\\\"),
        ] {
            assert_eq!(escaped(text), shown);
        }
    }
}
