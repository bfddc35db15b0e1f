#!/bin/sh
# `make test`: everything that has to pass before a change lands. Ends with what the tests end with.
set -eu
cd "$(dirname "$0")/.."
. make/machine.sh
command -v cargo >/dev/null || fail "there is no cargo: install Rust (rustup.rs)"
for part in fmt clippy; do
    cargo "$part" --version >/dev/null 2>&1 || rustup component add "$(echo $part | sed s/fmt/rustfmt/)"
done
# What `make` was given is no setting of the tests, which start balancers and replicas of their own.
for name in $(env | sed -n 's/^\(RINGKEEPER_[A-Z_]*\)=.*/\1/p') \
    DEPLOYMENT BIND PORT ADMIN_PORT ADMIN_TOKEN ADOPT N PRESET HASH FAULT IMAGE_TAG MAKEFLAGS MFLAGS; do
    unset "$name"
done
cargo_settings

cargo fmt --all --check
# The binaries beside the tests: much of either is done by one processor.
log=$(mktemp)
make/binaries.sh >"$log" 2>&1 &
beside=$!
trap 'kill $beside 2>/dev/null || true; rm -f "$log"' EXIT
trap 'exit 130' INT TERM HUP
# shellcheck disable=SC2086 # flags are words
cargo test $cargo_flags --workspace --no-run
wait $beside || { cat "$log" >&2; exit 1; }
for tool in ringctl ringtest; do # built for their own tests just now
    cp "$target_dir/$triple/debug/$tool" dist/
done

# The lints beside the tests, which leave the processors to others most of the time; where they are built, cargo is alone.
# shellcheck disable=SC2086
nice -n 19 cargo clippy ${cargo_flags% --target-dir *} --target-dir "$target_dir/lints" --workspace --all-targets \
    -- -D warnings >"$log" 2>&1 &
beside=$!

# More than a plain `cargo test` runs of the simulation.
export RINGKEEPER_SCHEDULES=10000
# Most tests wait most of the time.
export RUST_TEST_THREADS=4

docker=''
origin=''
if docker_answers; then
    docker=yes
    # A tag and a label of this run alone: what runs beside it keeps its images when these go.
    tag=test-$$
    images="ringkeeper:$tag ringkeeper-server:$tag ringkeeper-origin:$tag"
    trap 'docker rmi -f $images >/dev/null 2>&1 || true; kill $beside 2>/dev/null || true; rm -f "$log"' EXIT
    make/images.sh "$tag" --label "ringkeeper.test=$tag"
    if [ -z "$(not_for_engine)" ]; then
        origin=ringkeeper-origin:$tag
        make/origin.sh "$tag" --label "ringkeeper.test=$tag"
    fi
    export RINGKEEPER_TEST_DOCKER=1 RINGKEEPER_TEST_IMAGE="ringkeeper-server:$tag" RINGKEEPER_TEST_BALANCER="ringkeeper:$tag"
fi

status=0
results=$(mktemp)
# shellcheck disable=SC2086
{ cargo test $cargo_flags --workspace && echo 'every suite ran'; } 2>&1 | tee "$results"
grep -q '^every suite ran$' "$results" || status=1
tests/make.sh ${docker:+"$tag"} || status=$?
wait $beside || { cat "$log" >&2; status=1; } # what follows measures times
if [ -n "$origin" ]; then
    dist/ringtest chaos --short --no-files --engine docker --image "$origin" || status=1
else
    dist/ringtest chaos --short --no-files --engine process || status=1
fi

if [ -z "$docker" ]; then
    say ""
    say "***********************************************************************"
    say "*** THE DOCKER SUITE WAS SKIPPED: no Docker engine answers.         ***"
    say "*** What is green says nothing about replicas in Docker.            ***"
    say "***********************************************************************"
    say "($docker_says)"
fi
for program in curl h2load; do
    command -v "$program" >/dev/null || say "*** HTTP/2 WAS NOT TESTED WITH $program, which is not on this machine. ***"
done
awk '/^test result:/ { passed += $4; failed += $6 } END { printf "%d passed, %d failed\n", passed, failed }' "$results"
rm -f "$results"
exit $status
