#!/bin/sh
# What to do with a deployment that has just become ready.
case $BIND in 0.0.0.0) host=127.0.0.1 ;; *) host=$BIND ;; esac
given=''
[ "$DEPLOYMENT" = ringkeeper ] || given=" DEPLOYMENT=$DEPLOYMENT"
cat <<END

Ringkeeper is ready. Now try:
  curl http://$host:$PORT/home        a replica's answer
  curl http://$host:$PORT/rep         who the replicas are
  curl http://$host:$ADMIN_PORT/v1/pools/default
  make logs$given
  make stop$given
END
