#!/bin/sh
# What takes longer than `make test` may: fifty thousand more simulated schedules, and the images built without Rust on the host.
set -eu
cd "$(dirname "$0")/.."
. make/machine.sh
cargo_settings
# shellcheck disable=SC2086 # flags are words
RINGKEEPER_SCHEDULES=10000..60000 cargo test $cargo_flags -p ringkeeper --lib simulation
tests/builder-image.sh
