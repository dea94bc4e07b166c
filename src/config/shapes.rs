//! Values that are no plain numbers or switches: directories, hosts, names of things, digests.

use super::profile::Profile;
use super::value::{Expected, number};
use crate::acl::DigestAlgorithm;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

/// Where clients are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAddress {
    /// On every address of the machine: `[::]` for both families, or 0.0.0.0 where the kernel has no IPv6.
    Any,
    /// On this one.
    Ip(IpAddr),
    /// On the address this name resolves to when the server binds.
    Name(String),
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientAddress::Any => f.write_str("*"),
            ClientAddress::Ip(address) => write!(f, "{address}"),
            ClientAddress::Name(name) => f.write_str(name),
        }
    }
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        })
    }
}

pub(super) fn path(text: &str) -> Result<PathBuf, Expected> {
    if text.is_empty() || text.contains('\0') { Err("expected a directory".into()) } else { Ok(text.into()) }
}

pub(super) fn host(text: &str) -> Result<ClientAddress, Expected> {
    let unbracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = unbracketed.parse::<IpAddr>() {
        return Ok(if address.is_unspecified() { ClientAddress::Any } else { ClientAddress::Ip(address) });
    }
    // An address of one link has the link's name behind it: which number that has is known when the server binds.
    let zoned = unbracketed.split_once('%').filter(|(address, zone)| {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        address.parse::<Ipv6Addr>().is_ok() && !zone.is_empty() && zone.bytes().all(is_name)
    });
    if zoned.is_some() {
        return Ok(ClientAddress::Name(unbracketed.to_owned()));
    }
    // A name is resolved when the server binds; here only its shape is looked at.
    let numbers_only = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let shaped = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    if text.is_empty() || text.len() > 253 || numbers_only || !shaped {
        return Err("expected an IP address or a host name".into());
    }
    Ok(ClientAddress::Name(text.to_owned()))
}

/// A greatest session timeout.
pub(super) fn timeout(text: &str) -> Result<Option<i32>, Expected> {
    match number(text, -1..=i32::MAX)? {
        -1 => Ok(None),
        0 => Err("expected a number of milliseconds from 1 on, or -1".into()),
        ms => Ok(Some(ms)),
    }
}

pub(super) fn profile_named(text: &str) -> Result<Profile, Expected> {
    Profile::named(text).ok_or_else(|| "expected latency, balanced, throughput or small".into())
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, Expected> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("expected text or json".into()),
    }
}

pub(super) fn digest_algorithm(text: &str) -> Result<DigestAlgorithm, Expected> {
    DigestAlgorithm::from_name(text).ok_or_else(|| "expected SHA1, SHA-256 or SHA-512".into())
}

/// `user:` and the base64 form of 20, 32 or 64 bytes.
pub(super) fn is_digest_id(text: &str) -> bool {
    let Some((user, digest)) = text.split_once(':') else { return false };
    let digits = digest.trim_end_matches('=');
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let lengths = (digits.len(), digest.len());
    !user.is_empty() && matches!(lengths, (27, 28) | (43, 44) | (86, 88)) && digits.bytes().all(base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        assert_eq!(host("0.0.0.0"), Ok(ClientAddress::Any));
        assert_eq!(host("[::]"), Ok(ClientAddress::Any));
        assert_eq!(host("::1"), Ok(ClientAddress::Ip("::1".parse().unwrap())));
        assert_eq!(host("zk-1.example"), Ok(ClientAddress::Name("zk-1.example".into())));
        assert_eq!(host("[fe80::1%eth0]"), Ok(ClientAddress::Name("fe80::1%eth0".into())));
        for wrong in ["", "1.2.3", "300.1.1.1", "a b", "host:2181", "::1%", "::1%a b", "1.2.3.4%lo"] {
            assert!(host(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn digests() {
        assert!(is_digest_id("super:GJJ8GzXnHf0G1WSSz1SdtsFxJSg="));
        for wrong in ["super:secret", "GJJ8GzXnHf0G1WSSz1SdtsFxJSg=", ":GJJ8GzXnHf0G1WSSz1SdtsFxJSg=", "super:"] {
            assert!(!is_digest_id(wrong), "{wrong:?}");
        }
    }
}
