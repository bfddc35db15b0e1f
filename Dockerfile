# The images of Ringkeeper: one static binary each, from scratch, as a user without a name.
#
# Targets ringkeeper-host and ringkeeper-server-host copy what `make build` left in dist/. They come first because the
# legacy builder builds every stage above its target. Targets ringkeeper and ringkeeper-server need nothing but Docker:
#   docker build --target ringkeeper -t ringkeeper .
# (with the legacy builder, `make images`, which gives it what the stages above them copy)
ARG RUST_IMAGE=rust:1-bookworm

FROM scratch AS balancer
ENV RINGKEEPER_LISTEN=0.0.0.0:5000 \
    RINGKEEPER_ADMIN_LISTEN=0.0.0.0:5001 \
    RINGKEEPER_STATE_DIR=/var/lib/ringkeeper \
    RINGKEEPER_ENGINE=docker
EXPOSE 5000 5001
STOPSIGNAL SIGTERM
USER 65532:65532
ENTRYPOINT ["/ringkeeper"]

FROM scratch AS replica
EXPOSE 5000
STOPSIGNAL SIGTERM
USER 65532:65532
ENTRYPOINT ["/ringkeeper-server"]

FROM balancer AS ringkeeper-host
# An empty directory: a named volume mounted there starts with its owner.
COPY --chown=65532:65532 dist/state /var/lib/ringkeeper
COPY dist/ringkeeper /ringkeeper

FROM replica AS ringkeeper-server-host
COPY dist/ringkeeper-server /ringkeeper-server

FROM ${RUST_IMAGE} AS builder
WORKDIR /build
COPY . .
RUN make/binaries.sh

FROM balancer AS ringkeeper
COPY --from=builder --chown=65532:65532 /build/dist/state /var/lib/ringkeeper
COPY --from=builder /build/dist/ringkeeper /ringkeeper

FROM replica AS ringkeeper-server
COPY --from=builder /build/dist/ringkeeper-server /ringkeeper-server
