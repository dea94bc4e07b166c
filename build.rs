//! Tells the program when it was built: SOURCE_DATE_EPOCH where that is set (reproducible builds), else now.

use jiff::Timestamp;

fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rerun-if-changed=Cargo.toml");
    let seconds = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    let built = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or_else(Timestamp::now);
    println!("cargo::rustc-env=CORRAL_BUILT={}", built.strftime("%Y-%m-%d %H:%M"));
}
