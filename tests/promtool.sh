#!/bin/sh
# Put promtool into build/: it is part of Debian's package prometheus, which isn't installed, since that starts a server.
set -eu
cd "$(dirname "$0")/.."
mkdir -p build/promtool
cd build/promtool
apt-get download -qq prometheus
dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x --strip-components=3 ./usr/bin/promtool
rm prometheus_*.deb
./promtool --version | head -n 1
