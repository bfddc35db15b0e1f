#!/bin/sh
# origin.sh TAG: builds the image ringkeeper-origin:TAG, the replicas of `ringtest chaos`, from dist/ringtest, which has to be
# static; more words go to `docker build`.
set -eu
cd "$(dirname "$0")/.."
. make/machine.sh
tag=$1
shift
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp dist/ringtest "$context/ringtest"
cat >"$context/Dockerfile" <<'END'
FROM scratch
EXPOSE 5000
STOPSIGNAL SIGTERM
USER 65532:65532
ENTRYPOINT ["/ringtest", "origin"]
COPY ringtest /ringtest
END
said=$(docker build "$@" -t "ringkeeper-origin:$tag" "$context" 2>&1) || fail "$said"
