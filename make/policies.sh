#!/bin/sh
# policies.sh [ARGUMENT…]: `make policies`: the policies side by side, beside HAProxy's and nginx's, into plots/. Fails where
# the bounded ring is not bounded; arguments go to `ringtest policies` (such as --rounds 1).
set -eu
cd "$(dirname "$0")/.."
make/binaries.sh
make/binaries.sh tools
exec dist/ringtest policies --assert 'bounded_ring_worst<=1.30' "$@"
