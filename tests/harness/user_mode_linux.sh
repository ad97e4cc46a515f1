#!/bin/sh
# The first process of a user-mode Linux: mounts the cgroups that CGROUPS names, runs pytest with TESTS, and ends.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /var/tmp
version_1() {
    mkdir "/sys/fs/cgroup/$1" && mount -t cgroup -o "$1" "$1" "/sys/fs/cgroup/$1"
}
version_2() {
    mount -t cgroup2 cgroup2 "$1" && for name in $2; do echo "+$name" >"$1/cgroup.subtree_control"; done
}
case $CGROUPS in
v1)
    mount -t tmpfs tmpfs /sys/fs/cgroup
    for name in memory pids cpuacct; do version_1 "$name"; done
    # As on most machines: a process in the root has no limits, and nothing is counted of it.
    mkdir /sys/fs/cgroup/memory/program && echo $$ >/sys/fs/cgroup/memory/program/cgroup.procs
    ;;
v2)
    version_2 /sys/fs/cgroup "memory pids cpu"
    ;;
both)
    mount -t tmpfs tmpfs /sys/fs/cgroup
    version_1 memory
    mkdir /sys/fs/cgroup/unified
    version_2 /sys/fs/cgroup/unified pids
    ;;
esac
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/var/tmp TMPDIR=/var/tmp PYTHONDONTWRITEBYTECODE=1
cd "$ROOT" || exit
# shellcheck disable=SC2086 # words
"$PYTHON" -m pytest -q -rs -p no:cacheprovider --color=no $(echo "$TESTS" | tr , ' ')
echo "pytest: $?"
"$PYTHON" -c 'import ctypes; ctypes.CDLL(None).reboot(0x4321FEDC)' # LINUX_REBOOT_CMD_POWER_OFF
