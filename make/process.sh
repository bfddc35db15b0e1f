#!/bin/sh
# process.sh up|stop|logs: the deployment as processes of this machine. .state/DEPLOYMENT holds the balancer's state, its
# log, the settings it runs with, and its process id with the start time, by which a reused id is told from it.
set -eu
cd "$(dirname "$0")/.."
. make/machine.sh
[ -r /proc/self/stat ] || fail "without Docker this needs Linux: start Docker, then run make again"
home=.state/$DEPLOYMENT
umask 077 # the settings may hold a token

# Field 22 of /proc/PID/stat, counted from behind the command's name, which may hold spaces.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }

# Sets $pid to the balancer's; fails where it is not running.
running() {
    [ -r "$home/pid" ] && read -r pid started <"$home/pid" && [ "$(start_time "$pid")" = "$started" ]
}

# Tells it to end, and kills it if it has not after the time that compose would give it.
end() {
    running || return 0
    kill -TERM "$pid"
    tries=400
    while running; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || kill -KILL "$pid"
        sleep 0.1
    done
}

status() { dist/ringkeeper status --admin-listen "$BIND:$ADMIN_PORT" "$@"; }

up() {
    make/binaries.sh
    set -- serve --engine process --deployment "$DEPLOYMENT" --listen "$BIND:$PORT" \
        --admin-listen "$BIND:$ADMIN_PORT" --state-dir "$home/state"
    export RINGKEEPER_UNKNOWN_PATH=assignment
    settings=$(echo "$*" && env | grep '^RINGKEEPER_' | sort)
    mkdir -p "$home"
    if ! running || [ "$settings" != "$(cat "$home/settings")" ] || ! cmp -s dist/ringkeeper "/proc/$pid/exe"; then
        end
        # In a session of its own: it outlives this terminal. The replicas get a port of their own.
        env -u PORT -u BIND setsid dist/ringkeeper "$@" </dev/null >>"$home/log" 2>&1 &
        pid=$!
        echo "$pid $(start_time "$pid")" >"$home/pid"
        printf '%s\n' "$settings" >"$home/settings"
        echo "$BIND:$ADMIN_PORT" >"$home/admin"
    fi
    tries=30
    until status --wait-ready --timeout 2s >/dev/null 2>&1; do
        tries=$((tries - 1))
        if [ "$tries" = 0 ] || ! running; then
            tail -n 20 "$home/log" >&2
            fail "the balancer does not get ready; its last words are above (if a port is taken: make PORT=5050 ADMIN_PORT=5051)"
        fi
        sleep 0.2
    done
    status
    make/welcome.sh
}

stop() {
    [ -e "$home" ] || { say "nothing runs as '$DEPLOYMENT'"; return; }
    if [ -x dist/ringkeeper ]; then
        dist/ringkeeper down --engine process --deployment "$DEPLOYMENT" --state-dir "$home/state" \
            --admin-listen "$(cat "$home/admin")" || say "so it is told by signal"
    fi
    end
    rm -rf "$home"
    rmdir .state 2>/dev/null || true
}

logs() {
    [ -e "$home/log" ] || fail "nothing runs as '$DEPLOYMENT'; run make first"
    tail -n 100 -F "$home/log"
}

"$1"
