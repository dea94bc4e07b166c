//! What a client must show to take its session up again.
//!
//! ZooKeeper makes the password from the session id by a fixed rule, and session ids can be read in
//! `ephemeralOwner`: there it proves nothing. Sessions whose ids say so ([`super::has_secret`]) have a keyed hash of the id
//! instead, under a secret that all servers have to which their clients may turn.

use super::ids::has_secret;
use crate::ids::{PASSWORD_LEN, SessionId};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use subtle::{Choice, ConstantTimeEq};

/// What passwords are made under.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionSecret(pub [u8; 32]);

impl fmt::Debug for SessionSecret {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl SessionSecret {
    /// HMAC-SHA-256 of the id, cut to 16 bytes.
    fn password(&self, session: SessionId) -> [u8; PASSWORD_LEN] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of any length will do");
        mac.update(&session.0.to_be_bytes());
        let tag = mac.finalize().into_bytes();
        std::array::from_fn(|at| tag[at])
    }
}

/// How a server makes passwords and checks them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Passwords {
    /// They are made under this.
    pub secret: SessionSecret,
    /// Those made under this are right, too.
    pub also: Vec<SessionSecret>,
    /// Sessions whose ids promise no secret have ZooKeeper's.
    pub zookeeper: bool,
}

impl Passwords {
    /// All under this secret, and none are right but those.
    pub(crate) fn secret(secret: SessionSecret) -> Passwords {
        Passwords { secret, also: vec![], zookeeper: false }
    }

    /// The session's password.
    pub(crate) fn password(&self, session: SessionId) -> [u8; PASSWORD_LEN] {
        if self.is_public(session) { zookeeper_password(session) } else { self.secret.password(session) }
    }

    /// Whether it is. Takes as long for a wrong one as for the right one; never true of
    /// [`SessionId::NONE`].
    pub(crate) fn verify(&self, session: SessionId, shown: &[u8]) -> bool {
        let mut right = self.secret.password(session).ct_eq(shown);
        for also in &self.also {
            right |= also.password(session).ct_eq(shown);
        }
        let public = Choice::from(u8::from(self.is_public(session)));
        right |= zookeeper_password(session).ct_eq(shown) & public;
        bool::from(right) && session != SessionId::NONE
    }

    fn is_public(&self, session: SessionId) -> bool {
        self.zookeeper && !has_secret(session)
    }
}

/// The password by ZooKeeper's rule, which anybody can compute (`ZooKeeperServer.generatePasswd`).
pub(crate) fn zookeeper_password(session: SessionId) -> [u8; PASSWORD_LEN] {
    java_random_bytes(session.0 ^ 0xb341_5c00)
}

/// The first bytes of `java.util.Random` with that seed: a 48-bit linear congruential generator, 32 bits a
/// step, least significant byte first.
fn java_random_bytes(seed: i64) -> [u8; PASSWORD_LEN] {
    const MULTIPLIER: u64 = 0x5_deec_e66d;
    const MASK: u64 = (1 << 48) - 1;
    let mut state = (seed as u64 ^ MULTIPLIER) & MASK;
    let mut bytes = [0; PASSWORD_LEN];
    for word in bytes.chunks_exact_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xb) & MASK;
        word.copy_from_slice(&((state >> 16) as u32).to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zookeeper_s_passwords() {
        for (session, password) in [
            (0x0100_0000_0000_0000, 0xf22a_cd4a_97e6_9d6d_20a4_9bb6_38ea_db38),
            (0x0100_0039_c046_0000, 0x5839_3303_05ac_095c_f687_4773_5630_069a),
            (0x2fff_ffff_ffff_fff1, 0x61ab_67b5_2499_0927_dda9_13d8_e02d_dceb),
            (0xff00_0000_0000_0001_u64 as i64, 0x054c_c74a_3732_7db2_15e7_02e2_0c73_f005),
            // From a ConnectResponse of a running server.
            (0x0100_001d_52e5_0000, 0xf1ab_05e0_2aed_a5c7_b782_72cb_835a_8849_u128),
        ] {
            assert_eq!(zookeeper_password(SessionId(session)), password.to_be_bytes(), "{session:x}");
        }
    }

    #[test]
    fn secret_passwords_are_hmac_sha_256() {
        // openssl dgst -sha256 -mac HMAC -macopt hexkey:0b…0b over the eight bytes of the id.
        let passwords = Passwords::secret(SessionSecret([0x0b; 32]));
        let expected = 0x5b0c_3154_a956_6102_f39c_e0bb_52ce_900e_u128;
        assert_eq!(passwords.password(SessionId(0x0100_001d_52e5_0000)), expected.to_be_bytes());
        let other = Passwords::secret(SessionSecret([0x0c; 32]));
        assert_ne!(other.password(SessionId(1)), passwords.password(SessionId(1)));
        assert_ne!(passwords.password(SessionId(2)), passwords.password(SessionId(1)));
        assert!(format!("{passwords:?}").contains("secret: (secret)"));
    }

    /// One whose id promises a secret, and one of a server that may know of none.
    const MARKED: SessionId = SessionId(0x0140_0000_0000_0005);
    const OTHER: SessionId = SessionId(0x0100_0000_0000_0005);

    #[test]
    fn only_the_whole_password_opens() {
        for (session, zookeeper) in [(MARKED, true), (OTHER, true), (OTHER, false)] {
            let passwords = Passwords { zookeeper, ..Passwords::secret(SessionSecret([7; 32])) };
            let right = passwords.password(session);
            assert!(passwords.verify(session, &right));
            assert!(!passwords.verify(SessionId(session.0 + 1), &right));
            assert!(!passwords.verify(session, &right[..15]));
            assert!(!passwords.verify(session, &[]));
            assert!(!passwords.verify(session, &[0; 16]));
            assert!(!passwords.verify(session, &[&right[..], &[0]].concat()));
            for bit in 0..128 {
                let mut wrong = right;
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert!(!passwords.verify(session, &wrong));
            }
            assert!(!passwords.verify(SessionId::NONE, &passwords.password(SessionId::NONE)));
        }
    }

    #[test]
    fn what_anybody_can_compute_opens_no_session_with_a_secret() {
        let (secret, other) = (SessionSecret([7; 32]), SessionSecret([8; 32]));
        let member = Passwords { zookeeper: true, ..Passwords::secret(secret) };
        assert!(!member.verify(MARKED, &zookeeper_password(MARKED)));
        assert!(member.verify(OTHER, &zookeeper_password(OTHER)), "it may have been given it by a ZooKeeper");
        assert_eq!(member.password(OTHER), zookeeper_password(OTHER));
        let alone = Passwords::secret(secret);
        assert!(!alone.verify(OTHER, &zookeeper_password(OTHER)));
        // What a server of before gave under its own secret goes on.
        assert!(member.verify(OTHER, &alone.password(OTHER)));
        let both = Passwords { also: vec![other], ..member };
        assert!(both.verify(MARKED, &Passwords::secret(other).password(MARKED)));
        assert!(both.verify(MARKED, &alone.password(MARKED)));
        assert_eq!(both.password(MARKED), alone.password(MARKED));
    }
}
