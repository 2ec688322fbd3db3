#!/bin/sh
# Copy the project's files as they are now, committed or not, into DIR. Needs git.
#
# Usage: copy_project.sh DIR
set -eu

target=$(realpath "$1")
names=$(mktemp)
trap 'rm "$names"' EXIT
cd "$(dirname "$0")/.."

# Git refuses the folder of somebody else, and root often runs what another user has checked out.
git -c safe.directory='*' ls-files -z --cached --others --exclude-standard >"$names"
# Those that are deleted, and not yet committed, can't be read.
tar -c --null --files-from="$names" --ignore-failed-read | tar -x --no-same-owner -C "$target"
