#!/bin/sh
# Make a Debian tree, once. Needs root.
#
# Usage: debian_tree.sh DIR SUITE [PACKAGE...]
#
# DIR/.complete stands when the tree is whole, and holds the list of packages that it was made for.
set -eu

root=$1 suite=$2
shift 2

# One at a time: test runs share the tree.
mkdir -p "$(dirname "$root")"
exec 9>"$root.lock"
flock 9

packages=$(printf '%s\n' "$@")

if [ "$(cat "$root/.complete" 2>/dev/null || echo none)" = "$packages" ]; then
    exit 0
fi

if ! command -v debootstrap >/dev/null; then
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends debootstrap
fi

# The mirror that apt uses here and that has the suite. apt itself reads its configuration: both formats of
# its source lists, its proxies and certificates.
find_mirror() {
    probe=$(mktemp -d)
    # shellcheck disable=SC2016  # apt expands these, not the shell
    apt-get indextargets --format '$(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^main //p' | sort -u |
        while read -r uri; do
            if /usr/lib/apt/apt-helper download-file "${uri%/}/dists/$suite/InRelease" "$probe/InRelease" >/dev/null 2>&1; then
                echo "${uri%/}"
                break
            fi
        done
    rm -rf "$probe"
}

mirror=$(find_mirror)
if [ -z "$mirror" ]; then
    echo "debian_tree.sh: none of apt's sources has Debian's suite $suite" >&2
    exit 1
fi

# What an interrupted run left; debootstrap may have mounted these two.
for mounted in "$root/proc" "$root/sys"; do
    if mountpoint -q "$mounted"; then umount "$mounted"; fi
done
rm -rf --one-file-system "$root"
mkdir "$root"
# The last argument: Debian 12's debootstrap doesn't know the name forky.
include=$(echo "$packages" | paste -sd,)
debootstrap --variant=minbase ${include:+"--include=$include"} "$suite" "$root" "$mirror" \
    /usr/share/debootstrap/scripts/sid
echo "$packages" >"$root/.complete"
