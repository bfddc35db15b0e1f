#!/bin/bash
# Proves the Dockerfile's targets that need no Rust on the host. The image they start from is made here, from Debian
# and the host's toolchain, and the crates are vendored, so that no registry has to answer. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
. make/machine.sh
docker_answers || fail "no Docker engine answers ($docker_says): this proof needs one"
[ "$(id -u)" = 0 ] || fail "debootstrap needs root: sudo make test-long"

tag=builder-proof-$$
base=ringkeeper-base:$tag
work=$(mktemp -d)
clean() {
    docker rm -f "ringkeeper-$tag" >/dev/null 2>&1 || true
    docker rmi -f "ringkeeper:$tag" "ringkeeper-server:$tag" >/dev/null 2>&1 || true
    # The legacy builder keeps an image for every step of every stage: those of this run go, last ones first.
    awk '/^ ---> Using cache/ { cached = 1; next }
         /^ ---> [0-9a-f]+$/ && !cached { print $2 }
         /^Step / { cached = 0 }' "$work"/*.build 2>/dev/null | tac | xargs -r -n 1 docker rmi >/dev/null 2>&1 || true
    docker rmi -f "$base" >/dev/null 2>&1 || true
    rm -rf --one-file-system "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM HUP

command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq debootstrap; } ||
    fail "debootstrap can't be installed: apt-get install debootstrap"

say "a base image: Debian, a C compiler, the host's Rust"
debootstrap --variant=minbase --include=gcc,libc6-dev bookworm "$work/root" >"$work/debootstrap.log" ||
    { tail -n 20 "$work/debootstrap.log" >&2; fail "debootstrap failed"; }
rm -rf "$work/root/var/cache/apt" "$work/root/var/lib/apt/lists"
sysroot=$(rustc --print sysroot)
mkdir -p "$work/root/usr/local/bin" "$work/root/usr/local/lib"
cp "$sysroot/bin/rustc" "$sysroot/bin/cargo" "$work/root/usr/local/bin/"
(cd "$sysroot/lib" && cp -r --parents ./*.so* rustlib/"$(rust_triple)" "$work/root/usr/local/lib/")
tar -C "$work/root" -c . | docker import - "$base" >/dev/null
rm -rf --one-file-system "$work/root"

say "a build context with every crate in it"
mkdir -p "$work/context/.cargo"
git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do [ ! -e "$file" ] || cp --parents "$file" "$work/context/"; done
cargo vendor --quiet --locked "$work/context/vendor"
cat >"$work/context/.cargo/config.toml" <<'END'
[source.crates-io]
replace-with = "vendored"
[source.vendored]
directory = "vendor"
END

for image in ringkeeper ringkeeper-server; do
    say "the image $image, from the target that builds it"
    mkdir -p "$work/context/dist/state" # the legacy builder goes through the targets above this one too
    touch "$work/context/dist/ringkeeper" "$work/context/dist/ringkeeper-server"
    docker build --network none --force-rm --build-arg "RUST_IMAGE=$base" --target "$image" -t "$image:$tag" \
        "$work/context" 2>&1 | tee "$work/$image.build"
    size=$(docker image inspect --format '{{.Size}}' "$image:$tag")
    [ "$size" -le 12582912 ] || fail "$image is $size bytes, more than 12 MB"
done

docker run --rm --name "ringkeeper-$tag" "ringkeeper:$tag" --version
docker run -d --name "ringkeeper-$tag" "ringkeeper-server:$tag" >/dev/null
docker stop "ringkeeper-$tag" >/dev/null
code=$(docker inspect --format '{{.State.ExitCode}}' "ringkeeper-$tag")
[ "$code" = 0 ] || fail "the replica ended with $code after SIGTERM"
say "the images build without Rust on the host"
