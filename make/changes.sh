#!/bin/sh
# changes.sh [ARGUMENT…]: `make changes`: what requests notice of ten changes of the ring a second, into plots/. Fails where
# it is too much; arguments go to `ringtest changes` (such as --pairs 3).
set -eu
cd "$(dirname "$0")/.."
make/binaries.sh
make/binaries.sh tools
exec dist/ringtest changes --assert 'p99_ratio<=1.1' "$@"
