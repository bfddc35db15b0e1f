#!/bin/bash
# openapi.sh [BALANCER]: tries the whole control API of a running balancer (dist/ringkeeper) with calls that are made up
# from the document that it serves, good ones and bad ones: no answer may be a server's error, or another one than the
# document says. The calls are the same ones every time. schemathesis, from PyPI, goes into target/.
set -euo pipefail
cd "$(dirname "$0")/.."
. make/machine.sh
balancer=$(realpath "${1:-dist/ringkeeper}")
[ -x "$balancer" ] && [ -x "${balancer}-server" ] || fail "there is no $balancer with a ringkeeper-server beside it: make build"
command -v python3 >/dev/null || fail "there is no python3, which schemathesis needs"
here=$PWD/tests/openapi
work=$(mktemp -d)
pid=''
clean() {
    [ -z "$pid" ] || { kill "$pid" && wait "$pid"; } 2>/dev/null || true
    rm -rf "$work"
}
trap 'code=$?; [ $code = 0 ] || [ ! -f "$work/log" ] || tail -n 40 "$work/log" >&2; clean; exit $code' EXIT
trap 'exit 130' INT TERM HUP

tools=$PWD/target/openapi
if ! cmp -s "$here/requirements.txt" "$tools/installed"; then
    rm -rf "$tools"
    python3 -m venv "$tools" || fail "python3 makes no venv (Debian: apt-get install python3-venv)"
    "$tools/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$tools/installed"
fi

for name in $(env | sed -n 's/^\(RINGKEEPER_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done
cd "$work" # where there is no ringkeeper.toml, and schemathesis finds nothing of an earlier run
export TOKEN=token-of-a-test NO_COLOR=1 PYTHONDONTWRITEBYTECODE=1
"$balancer" serve --engine process --deployment "openapi-test-$$" --state-dir "$work/state" --admin-token "$TOKEN" \
    --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --replicas 2 --max-replicas 6 --add-timeout 10s 2>"$work/log" &
pid=$!
address() { sed -n "s/.*ready for $1 address=//p" "$work/log"; }
deadline=$((SECONDS + 30))
while [ -z "$(address requests)" ]; do
    kill -0 "$pid" 2>/dev/null || fail "the balancer ended"
    [ $SECONDS -lt $deadline ] || fail "the balancer is not ready after 30 seconds"
    sleep 0.1
done
url=http://$(address operators)/v1/openapi.json
UPSTREAM=$(address requests)
export UPSTREAM SCHEMATHESIS_HOOKS="$here/hooks.py"

"$tools/bin/python" - "$url" >"$work/openapi.json" <<'END'
import os, sys, urllib.request
call = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer " + os.environ["TOKEN"]})
sys.stdout.write(urllib.request.urlopen(call, timeout=10).read().decode())
END
"$tools/bin/openapi-spec-validator" --errors all "$work/openapi.json"
timeout 1800 "$tools/bin/schemathesis" --config-file "$here/schemathesis.toml" run "$work/openapi.json" --url "http://$(address operators)"
kill -0 "$pid" 2>/dev/null || fail "the balancer did not survive"
if grep -q panicked "$work/log"; then fail "the balancer panicked"; fi
say "the control API answers as its document says"
