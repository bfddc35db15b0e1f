#!/bin/sh
# What takes longer than `make test` may: fifty thousand more simulated schedules, ten million PROXY headers, how long others
# wait beside clients that take nothing, the control API beside its document, and the images built without Rust on the host.
set -eu
cd "$(dirname "$0")/.."
. make/machine.sh
cargo_settings
# shellcheck disable=SC2086 # flags are words
RINGKEEPER_SCHEDULES=10000..60000 cargo test $cargo_flags -p ringkeeper --lib simulation
# shellcheck disable=SC2086
cargo test $cargo_flags -p ringkeeper --lib -- --ignored ten_million
# shellcheck disable=SC2086
cargo test $cargo_flags -p ringkeeper --test wire -- --ignored --nocapture bounds::
tests/openapi.sh
tests/builder-image.sh

# Outage after outage, five hundred kills, and long tasks that compose scales, in Docker.
docker_answers || fail "no Docker engine answers ($docker_says): the rest needs one"
tag=test-long-$$
trap 'docker rmi -f "ringkeeper:$tag" "ringkeeper-server:$tag" "ringkeeper-example:$tag" >/dev/null 2>&1 || true' EXIT
trap 'exit 130' INT TERM HUP
make/images.sh "$tag" --label "ringkeeper.test=$tag"
make/examples.sh "$tag" --label "ringkeeper.test=$tag"
export RINGKEEPER_TEST_EXAMPLE="ringkeeper-example:$tag"
export RINGKEEPER_TEST_DOCKER=1 RINGKEEPER_TEST_IMAGE="ringkeeper-server:$tag" RINGKEEPER_TEST_BALANCER="ringkeeper:$tag"
# shellcheck disable=SC2086
cargo test $cargo_flags -p ringkeeper --test docker -- --ignored
