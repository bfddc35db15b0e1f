#!/bin/sh
# engine.sh up|stop|logs: one deployment, in Docker where an engine answers, else as processes of this machine.
# Settings come from the Makefile.
set -eu
cd "$(dirname "$0")/.."
. make/machine.sh
case $DEPLOYMENT in
    '' | [!a-z0-9]* | *[!a-z0-9_-]*) fail "DEPLOYMENT is 1 to 63 of a-z, 0-9, - and _, and starts with a letter or a digit" ;;
esac

if [ "$1" = up ] && [ -z "$RINGKEEPER_ADMIN_TOKEN" ]; then
    case $BIND in
        127.* | '[::1]') ;;
        *) fail "BIND=$BIND lets others in: give the control API a token too, make BIND=$BIND ADMIN_TOKEN=..." ;;
    esac
fi

# What was started as processes stays so until `make stop`, also if an engine turned up since.
if [ -e ".state/$DEPLOYMENT" ]; then
    [ "$1" != up ] || ! docker_answers ||
        say "'$DEPLOYMENT' runs as processes of this machine; 'make stop' first to have it in Docker"
elif docker_answers; then
    exec make/docker.sh "$1"
elif [ "$1" = up ]; then
    say "*** No Docker engine answers ($docker_says): starting the replicas as PROCESSES of this machine instead. ***"
fi
exec make/process.sh "$1"
