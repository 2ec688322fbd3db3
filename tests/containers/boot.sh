#!/bin/sh
# Become a Docker engine: the first process of namespaces of its own (mount, network, PID), whose files are a
# Debian tree's. Nothing of it, neither mounts nor bridges nor processes, is seen outside or outlives it.
#
# Usage: unshare --mount --net --pid --fork boot.sh TREE DATA SHARED CGROUP
#
# DATA becomes /var/lib/docker and SHARED /shared. The network comes when slirp4netns has made tap0.
set -eu

tree=$1 data=$2 shared=$3 cgroup=$4

mount --make-rprivate /
mount --bind "$tree" "$tree"
mount -t proc proc "$tree/proc"
mount -t sysfs sysfs "$tree/sys"
mount --rbind /sys/fs/cgroup "$tree/sys/fs/cgroup"
mount --rbind /dev "$tree/dev"
mount -t tmpfs tmpfs "$tree/run"
mount -t tmpfs tmpfs "$tree/tmp"
mkdir -p "$tree/var/lib/docker" "$tree/shared" "$tree/outside"
mount --bind "$data" "$tree/var/lib/docker"
mount --bind "$shared" "$tree/shared"
# slirp4netns answers for the machine's resolver there.
echo nameserver 10.0.2.3 >"$tree/run/resolv.conf"
ln -sf /run/resolv.conf "$tree/etc/resolv.conf"
cd "$tree"
pivot_root . outside
umount -l /outside
ip link set lo up

until test -e /sys/class/net/tap0; do sleep 0.1; done
exec env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    dockerd --cgroup-parent="$cgroup" --exec-opt native.cgroupdriver=cgroupfs
