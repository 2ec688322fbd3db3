#!/bin/sh
# Run `make coverage` on Debian forky, whose Pythons are newer than those of a stable Debian. Needs root, Debian and git.
#
# Usage: on_forky.sh [ARGUMENT OF MAKE ...]
#
# What runs is a copy of the project's files as they are now, committed or not.
set -eu

tree=${AUDIOSOCKET_GW_CACHE:-${HOME:-/root}/.cache/audiosocket-gw}/python-forky
tests=$(realpath "$(dirname "$0")")

# What .ci/run installs; and a Python that isn't the suite's own yet, for PYTHON=python3.15.
sh "$tests/debian_tree.sh" "$tree" forky ca-certificates make python3 python3-venv python3.15 python3.15-venv \
    gcc libc6-dev openssl libssl-dev espeak-ng

copy=$(mktemp -d)
trap 'rm -rf --one-file-system "$copy"' EXIT
sh "$tests/copy_project.sh" "$copy"

# The mounts are seen by this process and its children alone, and go with them. Names, authorities and the
# environment (pip's settings, CI) are the machine's.
# shellcheck disable=SC2016  # expanded by the inner shell
unshare --mount --propagation private sh -euc '
    tree=$1 copy=$2
    shift 2
    mkdir -p "$tree/src"
    touch "$tree/etc/hosts" "$tree/etc/resolv.conf"
    for file in /etc/hosts /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt; do
        if test -e "$file"; then mount --bind "$file" "$tree$file"; fi
    done
    mount --bind "$copy" "$tree/src"
    mount --rbind /dev "$tree/dev"
    mount --rbind /proc "$tree/proc"
    mount -t tmpfs tmpfs "$tree/tmp"
    exec chroot "$tree" env -C /src -u VIRTUAL_ENV -u TMPDIR HOME=/root LANG=C.UTF-8 \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin PIP_CERT=/etc/ssl/certs/ca-certificates.crt make coverage "$@"
' sh "$tree" "$copy" "$@"
