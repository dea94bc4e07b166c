//! What a client must show to take its session up again.
//!
//! ZooKeeper makes the password from the session id by a fixed rule, and session ids can be read in
//! `ephemeralOwner`: there it proves nothing. It stays for ensembles with ZooKeeper servers in them; else
//! the password is a keyed hash of the id.

use crate::ids::SessionId;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq;

/// Bytes of a session password.
pub const PASSWORD_LEN: usize = 16;

/// How passwords are made: the same way on every server that a client may turn to.
#[derive(Clone)]
pub enum Passwords {
    /// HMAC-SHA-256 of the id under a secret, cut to 16 bytes.
    Secret([u8; 32]),
    /// ZooKeeper's rule (`ZooKeeperServer.generatePasswd`).
    ZooKeeper,
}

impl fmt::Debug for Passwords {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Passwords::Secret(_) => "Secret",
            Passwords::ZooKeeper => "ZooKeeper",
        })
    }
}

impl Passwords {
    /// The session's password.
    pub fn password(&self, session: SessionId) -> [u8; PASSWORD_LEN] {
        match self {
            Passwords::Secret(secret) => {
                let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length will do");
                mac.update(&session.0.to_be_bytes());
                let tag = mac.finalize().into_bytes();
                std::array::from_fn(|at| tag[at])
            }
            Passwords::ZooKeeper => java_random_bytes(session.0 ^ 0xb341_5c00),
        }
    }

    /// Whether it is. Takes as long for a wrong one as for the right one; never true of
    /// [`SessionId::NONE`].
    pub fn verify(&self, session: SessionId, shown: &[u8]) -> bool {
        let equal: bool = self.password(session).ct_eq(shown).into();
        equal && session != SessionId::NONE
    }
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
            assert_eq!(Passwords::ZooKeeper.password(SessionId(session)), password.to_be_bytes(), "{session:x}");
        }
    }

    #[test]
    fn secret_passwords_are_hmac_sha_256() {
        // openssl dgst -sha256 -mac HMAC -macopt hexkey:0b…0b over the eight bytes of the id.
        let passwords = Passwords::Secret([0x0b; 32]);
        let expected = 0x5b0c_3154_a956_6102_f39c_e0bb_52ce_900e_u128;
        assert_eq!(passwords.password(SessionId(0x0100_001d_52e5_0000)), expected.to_be_bytes());
        let other = Passwords::Secret([0x0c; 32]);
        assert_ne!(other.password(SessionId(1)), passwords.password(SessionId(1)));
        assert_ne!(passwords.password(SessionId(2)), passwords.password(SessionId(1)));
        assert_eq!(format!("{passwords:?}"), "Secret");
    }

    #[test]
    fn only_the_whole_password_opens() {
        for passwords in [Passwords::ZooKeeper, Passwords::Secret([7; 32])] {
            let right = passwords.password(SessionId(5));
            assert!(passwords.verify(SessionId(5), &right));
            assert!(!passwords.verify(SessionId(6), &right));
            assert!(!passwords.verify(SessionId(5), &right[..15]));
            assert!(!passwords.verify(SessionId(5), &[]));
            assert!(!passwords.verify(SessionId(5), &[0; 16]));
            assert!(!passwords.verify(SessionId(5), &[&right[..], &[0]].concat()));
            for bit in 0..128 {
                let mut wrong = right;
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert!(!passwords.verify(SessionId(5), &wrong));
            }
            assert!(!passwords.verify(SessionId::NONE, &passwords.password(SessionId::NONE)));
        }
    }
}
