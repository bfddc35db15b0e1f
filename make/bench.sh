#!/bin/sh
# bench.sh [ARGUMENT…]: `make bench`: the balancer beside HAProxy, nginx and a bare relay, into plots/. Fails where it costs
# more than it may; arguments go to `ringtest bench` (such as --rounds 1).
set -eu
cd "$(dirname "$0")/.."
make/binaries.sh
make/binaries.sh tools
exec dist/ringtest bench \
    --assert 'cpu_over_haproxy<=0.90' --assert 'cpu_over_haproxy_most<=1' --assert 'cpu_over_nginx_most<=1.05' \
    --assert 'cpu_over_relay<=1.25' --assert 'p99_over_haproxy_most<=1.1' --assert 'rss_over_haproxy_most<=1' "$@"
