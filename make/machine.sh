# Sourced by its neighbours: what this machine has. Needs nothing beyond POSIX sh.

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

# Sets $platform to OS/ARCH of the Docker engine; fails, with the reason in $docker_says, where none answers.
docker_answers() {
    command -v docker >/dev/null || { docker_says="there is no docker command"; return 1; }
    platform=$(docker version --format '{{.Server.Os}}/{{.Server.Arch}}' 2>&1) || {
        docker_says=$(printf '%s\n' "$platform" | tail -n 1)
        return 1
    }
}

rust_triple() { rustc -vV | sed -n 's/^host: //p'; }

# Why this machine can't build a static binary for Linux; prints nothing where it can.
not_static() {
    command -v cargo >/dev/null || { echo "there is no cargo"; return; }
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    has=$(rustc --version | cut -d ' ' -f 2)
    oldest=$(printf '%s\n%s\n' "$wanted" "$has" | sort -V | head -n 1)
    [ "$oldest" = "$wanted" ] || { echo "Rust is $has and has to be $wanted"; return; }
    case $(rust_triple) in
        *-linux-musl*) ;;
        *-linux-gnu*) [ -f "$(cc -print-file-name=libc.a 2>/dev/null)" ] || echo "the static libc (libc.a) is missing" ;;
        *) echo "this is not Linux" ;;
    esac
}

# Why static binaries of this machine can't be put in images for the engine that answered; prints nothing where they can.
not_for_engine() {
    why_not=$(not_static)
    [ -z "$why_not" ] || { echo "$why_not"; return; }
    case $platform:$(rust_triple) in
        linux/amd64:x86_64-* | linux/arm64:aarch64-*) ;;
        *) echo "the engine is $platform" ;;
    esac
}

# Sets what every cargo call shares, so that dependencies are compiled once for images and tests alike.
# A target that is named keeps the flags away from build scripts and macros.
cargo_settings() {
    triple=$(rust_triple)
    target_dir=${CARGO_TARGET_DIR:-target}
    case ${RUSTFLAGS:-} in
        *+crt-static*) ;; # a caller's; said twice they would be other flags, and everything compiled again
        *) [ -n "$(not_static)" ] || export RUSTFLAGS="-C target-feature=+crt-static ${RUSTFLAGS:-}" ;;
    esac
    cargo_flags="--locked --target $triple --target-dir $target_dir"
}
