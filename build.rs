//! How the linker makes the balancer smaller.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_so = |name, value| env::var(name).is_ok_and(|found| found == value);
    if is_so("CARGO_CFG_TARGET_OS", "linux") && is_so("CARGO_CFG_TARGET_ENV", "gnu") {
        // half a megabyte of relocations as a few kilobytes; a linker that cannot do it says so and leaves them as they are
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
