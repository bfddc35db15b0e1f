#!/bin/bash
# make.sh [IMAGE_TAG]: what `make`, a second `make` and `make stop` do in this checkout: as processes, and with a tag
# also in Docker, with images that are there. Deployments and ports are drawn; they go again whatever happens.
set -euo pipefail
cd "$(dirname "$0")/.."
. make/machine.sh
tag=${1:-}

deployment=make-test-$$
make_it() { make --no-print-directory DEPLOYMENT="$deployment" PORT="$port" ADMIN_PORT=$((port + 1)) N=2 "$@"; }
trap 'code=$?; [ $code = 0 ] || make_it IMAGE_TAG="${tag:-latest}" stop >&2 || true; exit $code' EXIT
trap 'exit 130' INT TERM HUP

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
get() {
    exec 3<>"/dev/tcp/127.0.0.1/$port"
    printf 'GET %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' "$1" >&3
    timeout 10 cat <&3
    exec 3<&-
}
expect() { case $2 in *"$3"*) ;; *) fail "$1: wanted '$3', got '$2'" ;; esac; }

# check IDENTITY: IDENTITY prints what has to be the same after a second `make`.
check() {
    port=$((20000 + RANDOM % 10000))
    while answers "$port" || answers $((port + 1)); do port=$((20000 + RANDOM % 10000)); done
    make_it up >&2
    expect /rep "$(get /rep)" '{"message":{"N":2,"replicas":["Server-1","Server-2"]},"status":"successful"}'
    expect /home "$(get /home)" '"Hello from Server: '
    expect /other "$(get /other)" "<Error> '/other' endpoint does not exist in server replicas"
    before=$($1)
    [ -n "$before" ] || fail "nothing runs"
    make_it up >&2
    [ "$($1)" = "$before" ] || fail "a second make changed what runs: $before, then $($1)"
    make_it stop >&2
    ! answers "$port" || fail "port $port still answers after make stop"
    [ ! -e ".state/$deployment" ] || fail "make stop left .state/$deployment"
    make_it stop >&2
}

containers() { docker ps -aq --no-trunc --filter "network=$deployment" | sort; }
process() { cat ".state/$deployment/pid"; }

if [ -n "$tag" ]; then
    export IMAGE_TAG="$tag"
    for image in ringkeeper ringkeeper-server; do
        read -r size user <<<"$(docker image inspect --format '{{.Size}} {{.Config.User}}' "$image:$tag")"
        [ "$size" -le 12000000 ] || fail "$image has $size bytes, more than 12 MB"
        [ "$user" = 65532:65532 ] || fail "$image runs as '$user'"
    done
    check containers
    left=$(docker ps -aq --filter "label=ringkeeper.deployment=$deployment"
        docker network ls -q --filter "name=$deployment"
        docker volume ls -q --filter "name=$deployment")
    [ -z "$left" ] || fail "make stop left on the engine: $left"
fi
DOCKER_HOST=unix:///nonexistent check process
say "make, make again, make stop: as promised"
