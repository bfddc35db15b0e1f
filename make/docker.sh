#!/bin/sh
# docker.sh up|stop|logs: the deployment in Docker, through compose.
set -eu
cd "$(dirname "$0")/.."
. make/machine.sh

# The socket on the engine's side, where the client names one.
case ${DOCKER_HOST:-} in unix://*) DOCKER_SOCKET=${DOCKER_HOST#unix://} ;; esac
export DOCKER_SOCKET="${DOCKER_SOCKET:-/var/run/docker.sock}"

if docker compose version >/dev/null 2>&1; then
    compose() { docker compose -p "$DEPLOYMENT" "$@"; }
elif command -v docker-compose >/dev/null; then
    compose() { docker-compose -p "$DEPLOYMENT" "$@"; }
else
    fail "Docker answers, but has no compose: install docker-compose-plugin (or docker-compose), then run make again"
fi

# The group that may use the socket, as a container sees it.
find_socket_group() {
    DOCKER_GID=$(docker run --rm --network none --cap-drop ALL --security-opt no-new-privileges --read-only \
        -v "$DOCKER_SOCKET:/var/run/docker.sock" "ringkeeper:$IMAGE_TAG" socket-group) ||
        fail "the group of Docker's socket ($DOCKER_SOCKET) is not known; give it: make DOCKER_SOCKET=/path/of/docker.sock"
    export DOCKER_GID
}

status() { compose exec -T ringkeeper /ringkeeper status "$@"; }
restarts() { docker inspect --format '{{.RestartCount}}' "$(compose ps -aq ringkeeper)"; }

up() {
    make/images.sh "$IMAGE_TAG"
    find_socket_group
    compose up -d --no-build ||
        fail "compose did not start it; if a port is taken: make PORT=5050 ADMIN_PORT=5051"
    tries=30
    until status --wait-ready --timeout 2s >/dev/null 2>&1; do
        tries=$((tries - 1))
        if [ "$tries" = 0 ] || [ "$(restarts)" -gt 2 ]; then
            compose logs --tail 20 ringkeeper >&2
            fail "the balancer does not get ready; its last words are above ('make stop' removes it)"
        fi
        sleep 0.2
    done
    status
    make/welcome.sh
}

# Everything of the deployment that is on the engine, one a line.
remains() {
    docker ps -aq --filter "label=com.docker.compose.project=$DEPLOYMENT"
    docker ps -aq --filter "label=ringkeeper.deployment=$DEPLOYMENT"
    docker network ls -q --filter "name=^$DEPLOYMENT\$"
    docker volume ls -q --filter "name=^$DEPLOYMENT-state\$"
}

stop() {
    [ -n "$(remains)" ] || { say "nothing runs as '$DEPLOYMENT'"; return; }
    docker image inspect "ringkeeper:$IMAGE_TAG" >/dev/null 2>&1 || make/images.sh "$IMAGE_TAG"
    find_socket_group
    compose stop ringkeeper
    compose run --rm --no-deps -T ringkeeper down ||
        fail "the replicas were not removed, so their state is kept; the reason is above"
    compose down -v
    [ -z "$(remains)" ] || fail "something of '$DEPLOYMENT' is left: docker ps -a --filter label=ringkeeper.deployment=$DEPLOYMENT"
}

logs() { compose logs -f --tail 100 ringkeeper; }

"$1"
