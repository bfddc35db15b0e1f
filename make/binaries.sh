#!/bin/sh
# binaries.sh [tools|examples]: builds dist/ringkeeper and dist/ringkeeper-server, or the tools, dist/ringctl and
# dist/ringtest, or the services of the examples, dist/ringkeeper-example: static where the machine can, without symbols
# (target/ keeps them). Also what the Dockerfile's builder stage runs. What did not change keeps its file.
set -eu
cd "$(dirname "$0")/.."
. make/machine.sh
command -v cargo >/dev/null || fail "there is no cargo: install Rust (rustup.rs), or Docker, which builds without it"
command -v cc >/dev/null || fail "there is no C compiler, which Rust links with: install gcc (Debian: build-essential)"
cargo_settings

case ${1:-} in
    tools) packages='-p ringkeeper-tools' names='ringctl ringtest' profile=release ;;
    examples) packages='-p ringkeeper-example' names='ringkeeper-example' profile=release ;;
    *) packages='-p ringkeeper -p ringkeeper-server' names='ringkeeper ringkeeper-server' profile=dist ;;
esac
# shellcheck disable=SC2086 # flags are words
cargo build --profile $profile $cargo_flags $packages --bins
mkdir -p dist/state # stays empty: the images take it for the state directory
for name in $names; do
    built=$target_dir/$triple/$profile/$name
    strip -o "dist/$name.new" "$built" 2>/dev/null || cp "$built" "dist/$name.new"
    if cmp -s "dist/$name.new" "dist/$name"; then rm "dist/$name.new"; else mv "dist/$name.new" "dist/$name"; fi
done
