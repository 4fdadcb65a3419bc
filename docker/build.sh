#!/bin/sh
# The images without a running engine and without a registry of images: a root made by debootstrap, and on it the
# Dockerfile, by buildah. As root, with Debian's buildah and debootstrap:
#   sh docker/build.sh cpu        # or gpu: localhost/rhas:cpu, with the Python of Debian bookworm
# WHEELS takes the place of package indexes. It is a folder made where there are some, of the same Python:
#   pip wheel --wheel-dir wheels --constraint constraints.txt . 'setuptools>=77'
# MIRROR is Debian's, or a copy of it.
set -eu

target=${1:?"usage: sh docker/build.sh cpu, or gpu"}
mirror=${MIRROR:-http://deb.debian.org/debian}
base=localhost/rhas-base:bookworm
root=$(cd "$(dirname "$0")/.." && pwd)

if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bookworm "$folder/root" "$mirror"
    for suite in "$mirror bookworm" "$mirror bookworm-updates" "$mirror-security bookworm-security"; do
        echo "deb $suite main"
    done >"$folder/root/etc/apt/sources.list"
    rm -rf "$folder/root/var/cache/apt" "$folder/root/var/lib/apt/lists" "$folder/root/var/log"
    mkdir -p "$folder/root/var/cache/apt/archives/partial" "$folder/root/var/lib/apt/lists/partial" "$folder/root/var/log"
    tar --create --file "$folder/root.tar" --directory "$folder/root" --exclude './dev/*' --exclude './proc/*' .
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$folder/root.tar" / >/dev/null
    buildah run --isolation chroot "$container" -- sh -c \
        'export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && apt-get -qq upgrade && apt-get clean'
    buildah commit --quiet --rm "$container" "$base" >/dev/null
fi

set --
if [ -n "${WHEELS:-}" ]; then
    set -- --volume "$(realpath "$WHEELS"):/wheels:ro" --build-arg PIP_FIND_LINKS=/wheels \
        --build-arg PIP_NO_INDEX=1 --build-arg PIP_EXTRA_INDEX_URL=
fi
# A build in a chroot needs no runtime of containers, and no rights that one needs.
buildah build --isolation chroot --file "$root/docker/Dockerfile" --ignorefile "$root/.dockerignore" \
    --target "$target" --build-arg BASE="$base" "$@" --tag "localhost/rhas:$target" "$root"
buildah images "localhost/rhas:$target"
