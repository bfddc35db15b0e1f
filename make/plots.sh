#!/bin/sh
# `make plots`: the analysis live (in Docker where an engine answers) and of the ring alone, into plots/.
set -eu
cd "$(dirname "$0")/.."
. make/machine.sh
make/binaries.sh
make/binaries.sh tools
if docker_answers; then
    tag=plots-$$
    trap 'docker rmi -f "ringkeeper:$tag" "ringkeeper-server:$tag" >/dev/null 2>&1 || true' EXIT
    trap 'exit 130' INT TERM HUP
    make/images.sh "$tag"
    dist/ringtest analyze --engine docker --image "ringkeeper-server:$tag"
else
    say "no Docker engine answers ($docker_says): the replicas are processes"
    dist/ringtest analyze --engine process
fi
dist/ringtest ring --keys 100M
