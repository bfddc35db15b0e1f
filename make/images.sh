#!/bin/sh
# images.sh [TAG]: builds the images ringkeeper and ringkeeper-server; more words go to `docker build`.
# From binaries of this machine where they fit the engine (Linux, its architecture, cargo), else inside Docker.
set -eu
cd "$(dirname "$0")/.."
. make/machine.sh
tag=${1:-latest}
[ $# = 0 ] || shift

docker_answers || fail "no Docker engine answers ($docker_says): images need one"
why=$(not_for_engine)
if [ -z "$why" ]; then
    make/binaries.sh
else
    say "building inside Docker, since $why; the first time takes minutes"
    # the legacy builder builds the stages that copy these too, though nobody asks for them
    mkdir -p dist/state
    for name in ringkeeper ringkeeper-server; do [ -e "dist/$name" ] || : >"dist/$name"; done
fi
build() { docker build "$@" -t "$image:$tag" .; }
for image in ringkeeper ringkeeper-server; do
    if [ -z "$why" ]; then
        said=$(build --target "$image-host" "$@" 2>&1) || fail "$said"
    else
        build --target "$image" "$@" >&2
    fi
done
