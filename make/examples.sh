#!/bin/sh
# examples.sh TAG: builds dist/ringkeeper-example and, where an engine answers that can run it, the image
# ringkeeper-example:TAG; more words go to `docker build`.
set -eu
cd "$(dirname "$0")/.."
. make/machine.sh
tag=$1
shift
make/binaries.sh examples
docker_answers || { say "no Docker engine answers ($docker_says), so there is no image of it"; exit 0; }
why=$(not_for_engine)
[ -z "$why" ] || { say "there is no image of it, since $why"; exit 0; }
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp dist/ringkeeper-example "$context"
cat >"$context/Dockerfile" <<'END'
FROM scratch
EXPOSE 5000
STOPSIGNAL SIGTERM
USER 65532:65532
ENTRYPOINT ["/ringkeeper-example"]
COPY ringkeeper-example /ringkeeper-example
END
said=$(docker build "$@" -t "ringkeeper-example:$tag" "$context" 2>&1) || fail "$said"
