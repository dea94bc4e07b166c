//! The authentication schemes, and which of them are switched on.

/// A scheme a server can have switched on. `world` and `auth` are not among them: they have no provider,
/// the evaluation and the fix-up know them by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scheme {
    /// By address prefix; every connection has this identity.
    Ip,
    /// User and password.
    Digest,
    /// A SASL authorisation id.
    Sasl,
    /// The subject of a client certificate.
    X509,
    /// Not an identity: a client says which ensemble it means to talk to.
    Ensemble,
}

impl Scheme {
    /// The scheme of that name.
    pub(crate) fn from_name(name: &[u8]) -> Option<Scheme> {
        Some(match name {
            b"ip" => Scheme::Ip,
            b"digest" => Scheme::Digest,
            b"sasl" => Scheme::Sasl,
            b"x509" => Scheme::X509,
            b"ensemble" => Scheme::Ensemble,
            _ => return None,
        })
    }

    /// What `auth` in an ACL expands to: an address alone does not count as authenticated.
    pub(crate) fn is_authenticated(self) -> bool {
        matches!(self, Scheme::Digest | Scheme::Sasl | Scheme::X509)
    }
}

/// The schemes that are switched on. ZooKeeper has `ip` and `digest` unless told otherwise; the others
/// come with `authProvider.N` lines or with TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Schemes(u8);

impl Schemes {
    /// None at all.
    pub(crate) const NONE: Schemes = Schemes(0);
    /// Every scheme known here.
    #[cfg(test)]
    pub(crate) const ALL: Schemes = Schemes::NONE
        .with(Scheme::Ip)
        .with(Scheme::Digest)
        .with(Scheme::Sasl)
        .with(Scheme::X509)
        .with(Scheme::Ensemble);

    /// These and one more.
    pub(crate) const fn with(self, scheme: Scheme) -> Schemes {
        Schemes(self.0 | 1 << scheme as u8)
    }

    /// These but for one.
    pub(crate) const fn without(self, scheme: Scheme) -> Schemes {
        Schemes(self.0 & !(1 << scheme as u8))
    }

    /// Whether the scheme is switched on.
    pub(crate) const fn has(self, scheme: Scheme) -> bool {
        self.0 & 1 << scheme as u8 != 0
    }

    /// The scheme of that name, if it is switched on.
    pub(crate) fn find(self, name: &[u8]) -> Option<Scheme> {
        Scheme::from_name(name).filter(|&scheme| self.has(scheme))
    }
}

impl Default for Schemes {
    /// What a server without any authentication settings has: `ip` and `digest`.
    fn default() -> Self {
        Schemes::NONE.with(Scheme::Ip).with(Scheme::Digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_a_set() {
        let schemes = Schemes::default();
        assert_eq!(schemes.find(b"digest"), Some(Scheme::Digest));
        assert_eq!(schemes.find(b"sasl"), None);
        assert_eq!(schemes.with(Scheme::Sasl).find(b"sasl"), Some(Scheme::Sasl));
        assert_eq!(schemes.without(Scheme::Digest).find(b"digest"), None);
        for name in [&b"world"[..], b"auth", b"super", b"", b"DIGEST"] {
            assert_eq!(Schemes::ALL.find(name), None);
        }
    }
}
