//! The identities of a client as its learner states them, and which of them a leader accepts.
//!
//! Only the learner has seen the client, so the leader accepts the address and the digest that the learner states.
//! `super` is different, because no ACL restricts it: the request must carry the digest that this server's own
//! configuration has (`superDigest`). The name alone is refused, no matter which program is connected to the quorum
//! port.

use crate::acl::{Identities, Identity};
use crate::config::Secret;
use crate::ids::SessionId;
use crate::jute::quorum::{Identities as WireIdentities, put_identity};
use crate::server::quorum::core::Sessions;
use crate::zab::message::Auth;
use subtle::ConstantTimeEq;

/// The identities of a session's connection, as they go with its requests.
pub(crate) fn auth_of(sessions: &Sessions, session: SessionId) -> Auth {
    let mut auth = Auth::default();
    for identity in sessions.identities(session).iter() {
        auth.count += 1;
        put_identity(&mut auth.bytes, &identity.scheme, &identity.id);
    }
    auth
}

/// The identities that come with a request.
pub(crate) fn identities(auth: &Auth, super_digest: Option<&Secret<String>>) -> Identities {
    let mut identities = Identities::default();
    let Ok(list) = WireIdentities::parse(auth.count, &auth.bytes) else { return identities };
    let is_super = super_digest.is_some_and(|known| {
        let known = known.reveal().as_bytes();
        list.iter().any(|(scheme, id)| scheme == b"digest" && bool::from(id.ct_eq(known)))
    });
    for (scheme, id) in list.iter().filter(|(scheme, _)| *scheme != b"super" || is_super) {
        identities.add(Identity::new(scheme, id));
    }
    identities
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `super` counts only together with the digest that this server knows; the other identities always count.
    #[test]
    fn super_is_who_has_the_digest() {
        let known = Secret::new("super:hash".to_owned());
        for (sent, told, expected, names) in [
            (&[("super", "")][..], Some(&known), false, 0),
            (&[("super", ""), ("digest", "super:other"), ("ip", "10.0.0.1")], Some(&known), false, 2),
            (&[("super", ""), ("digest", "super:hash")], None, false, 1),
            (&[("super", ""), ("ip", "super:hash")], Some(&known), false, 1),
            (&[("digest", "super:hash")], Some(&known), false, 1),
            (&[("super", ""), ("digest", "super:hash")], Some(&known), true, 2),
            (&[("ip", "10.0.0.1"), ("digest", "super:hash"), ("super", "")], Some(&known), true, 3),
        ] {
            let mut auth = Auth::default();
            for (scheme, id) in sent {
                auth.count += 1;
                put_identity(&mut auth.bytes, scheme.as_bytes(), id.as_bytes());
            }
            let found = identities(&auth, told);
            assert_eq!((found.is_super(), found.iter().count()), (expected, names), "{sent:?}");
        }
    }
}
