#!/bin/sh
# Make a Debian tree with Asterisk in it: what asterisk/Dockerfile makes, without Docker. Needs root.
#
# Usage: make_root.sh DIR
set -eu

here=$(dirname "$0")
exec xargs -a "$here/../../asterisk/packages" sh "$here/../debian_tree.sh" "$1" forky
