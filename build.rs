//! How the linker makes the balancer smaller.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // where Rust brings its own linker along: functions that are the same kept once, relocations packed
    let is_so = |name, value| env::var(name).is_ok_and(|found| found == value);
    if is_so("CARGO_CFG_TARGET_ARCH", "x86_64")
        && is_so("CARGO_CFG_TARGET_OS", "linux")
        && is_so("CARGO_CFG_TARGET_ENV", "gnu")
    {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all,--pack-dyn-relocs=relr");
    }
}
