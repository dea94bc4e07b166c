//! Seeds of random runs, and bytes by chance.

use fastrand::Rng;

/// A seed nobody chose, for runs that want a new path each time. It is printed by its user.
pub fn fresh_seed() -> u64 {
    // Short enough to be typed again, and never 0, which asks for a fresh one.
    Rng::new().u64(1..1 << 48)
}

/// `length` random bytes.
pub fn bytes(random: &mut Rng, length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}
