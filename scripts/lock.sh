#!/bin/sh
# Renew requirements/*.txt: the newest versions that pyproject.toml admits, with the hashes of all their files.
#
# One file serves every Python from 3.11 on and every platform, by markers. Needs uv, and the package index.
set -eu
cd "$(dirname "$0")/.."
: "${UV:=uv}" "${PYTHON:=python3}"

compile() {
    "$UV" pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
        --no-config --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' "$@"
}

compile pyproject.toml --extra dev --output-file requirements/development.txt
# The same versions as the tests run with.
compile pyproject.toml --constraint requirements/development.txt --output-file requirements/runtime.txt
# What builds the package: pip fetches it unseen, and without a hash, unless it is there.
"$PYTHON" -c 'import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' |
    compile - --output-file requirements/build.txt
# What `make fuzz` needs beside: no package for every Python and platform, so it isn't among the development tools.
"$PYTHON" -c 'import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["fuzz"], sep="\n")' |
    compile - --output-file requirements/fuzz.txt

# Nothing has to be compiled where it is installed: the images' platforms, and the tests'.
nowhere=$(mktemp -d)
trap 'rm -r "$nowhere"' EXIT

try() {
    echo "Python $1 on $2: $3"
    "$UV" pip install --quiet --no-config --dry-run --target "$nowhere" --require-hashes --only-binary :all: \
        --python-version "$1" --python-platform "$2-manylinux_2_28" -r requirements/build.txt -r "$3"
}

for version in 3.11 3.12 3.13 3.14 3.15; do
    try "$version" x86_64 requirements/development.txt
    try "$version" x86_64 requirements/runtime.txt
    try "$version" aarch64 requirements/runtime.txt
done
