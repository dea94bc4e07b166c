//! The program: arguments in, exit status out.

use std::process::ExitCode;

/// A million znodes are a million small blocks: an allocator that packs them and keeps threads apart.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    corral::cli::main()
}
