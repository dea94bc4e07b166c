//! The program: arguments in, exit status out.
//!
//! Uses `unsafe` once, to set an option of the allocator before there is a second thread.

use std::process::ExitCode;

/// A million znodes are a million small blocks: an allocator that packs them and keeps threads apart.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Milliseconds that freed memory is kept for the next use. The allocator's own 10 ms give back what the next turn takes
/// again, and with it what was faulted in ahead of a growing tree.
const KEEP_FREED_MS: i64 = 1000;
/// `mi_option_purge_delay`, for which the binding has no name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    // SAFETY: stores a number.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, KEEP_FREED_MS) };
    corral::cli::main()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_one_with_the_default_of_10_ms() {
        // SAFETY: reads a number.
        assert_eq!(unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) }, 10);
    }
}
