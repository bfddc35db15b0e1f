#!/bin/sh
# `make chaos`: faults under load, in Docker where an engine answers and runs binaries of this machine, else with processes.
# Words go to `ringtest chaos`.
set -eu
cd "$(dirname "$0")/.."
. make/machine.sh
make/binaries.sh
make/binaries.sh tools
why="no Docker engine answers"
! docker_answers || why=$(not_for_engine)
if [ -n "$why" ]; then
    say "the replicas are processes, since $why"
    dist/ringtest chaos --engine process "$@"
else
    tag=chaos-$$
    trap 'docker rmi -f "ringkeeper-origin:$tag" >/dev/null 2>&1 || true' EXIT
    trap 'exit 130' INT TERM HUP
    make/origin.sh "$tag"
    dist/ringtest chaos --engine docker --image "ringkeeper-origin:$tag" "$@"
fi
