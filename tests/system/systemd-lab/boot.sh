#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# boot.sh PIDFILE LOG: boots this machine's own systemd as process 1 of its own namespaces,
# over a throw-away copy of / (an overlay on a tmpfs), with a private network of only "lo".
#
# Runs until that system ends.  PIDFILE gets the number of its process 1, as seen from here;
# to kill that ends everything inside.  Exits with 77 where this cannot be done.
set -euo pipefail
[ $# = 2 ] || { echo "usage: $0 PIDFILE LOG" >&2; exit 64; }
pidfile=$1 log=$2
export SYSTEMD=/lib/systemd/systemd

can_not() { echo "$1"; exit 77; }

[ "$(id -u)" = 0 ] || can_not "not root"
[ -x $SYSTEMD ] || can_not "no systemd"
for tool in unshare nsenter setpriv pivot_root mount; do
	command -v $tool >/dev/null || can_not "no $tool"
done
unshare --mount --pid --uts --ipc --net --cgroup --fork true 2>/dev/null ||
	can_not "namespaces are not allowed"

# --- control groups ------------------------------------------------------------------
# One group of ours in every hierarchy that there is: what systemd does not find it would
# mount itself, and so leave its groups in the root of the host's.
name=penstock-lab.$$
joined='' homes=''
export CONTROLLERS='' UNIFIED=''
[ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ] || UNIFIED=yes

for leftover in $(awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts |
	xargs -r -I{} find {} -type d -name 'penstock-lab.*' 2>/dev/null); do
	[ -d "/proc/${leftover##*.}" ] || find "$leftover" -depth -type d -exec rmdir {} + || true
done

while IFS=: read -r _ controller path; do
	if [ -z "$controller" ]; then
		mounted=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	else
		mounted=$(awk -v c="/${controller#name=}" '$3 == "cgroup" &&
			substr($2, length($2) - length(c) + 1) == c { print $2; exit }' /proc/mounts)
	fi
	[ -n "$mounted" ] || continue
	home=$mounted${path%/}
	mkdir "$home/$name" || can_not "control groups are not writable"
	if [ "$controller" = cpuset ]; then
		for file in cpuset.cpus cpuset.mems; do
			cat "$home/$file" >"$home/$name/$file"
		done
	fi
	joined="$joined $home/$name"
	homes="$homes $home"
	CONTROLLERS="$CONTROLLERS ${controller:-unified}"
done </proc/self/cgroup

# --- the machine ---------------------------------------------------------------------
# Process 1 is at first this shell; it makes the machine, and becomes its systemd.
make_machine='
base=/run/penstock-lab
mkdir -p $base
mount -t tmpfs -o size=1g,mode=755 tmpfs $base
mkdir $base/upper $base/work $base/root
root=$base/root
mount -t overlay -o lowerdir=/,upperdir=$base/upper,workdir=$base/work overlay $root

# Nothing is enabled but what a test enables.
rm -rf $root/etc/systemd/system/*.wants $root/etc/machine-id $root/.dockerenv \
	$root/usr/sbin/policy-rc.d  # of a container, whose packages start no services
: >$root/etc/machine-id
for unit in console-getty getty@ systemd-timesyncd systemd-sysctl systemd-modules-load; do
	ln -sf /dev/null $root/etc/systemd/system/$unit.service
done
mkdir -p $root/proc $root/sys $root/dev $root/run $root/tmp $root/mnt
hostname penstock-lab
ip link set lo up

mount -t proc -o nosuid,nodev,noexec proc $root/proc
for path in sys sysrq-trigger irq bus; do
	[ -e $root/proc/$path ] || continue
	mount --bind $root/proc/$path $root/proc/$path
	mount -o remount,bind,ro,nosuid,nodev,noexec $root/proc/$path
done
mount -t sysfs -o nosuid,nodev,noexec sysfs $root/sys
mount -t tmpfs -o nosuid,mode=755,size=4m tmpfs $root/dev
for device in null zero full random urandom tty; do
	: >$root/dev/$device
	mount --bind /dev/$device $root/dev/$device
done
: >$root/dev/console
mount --bind /dev/null $root/dev/console
ln -s /proc/self/fd $root/dev/fd
ln -s fd/0 $root/dev/stdin
ln -s fd/1 $root/dev/stdout
ln -s fd/2 $root/dev/stderr
mkdir $root/dev/shm $root/dev/pts
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs $root/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts $root/dev/pts
ln -s pts/ptmx $root/dev/ptmx
mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs $root/run
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs $root/tmp

groups=$root/sys/fs/cgroup
safe=nosuid,nodev,noexec
if [ -n "$UNIFIED" ]; then
	mount -t cgroup2 -o $safe cgroup2 $groups
else
	mount -t tmpfs -o $safe,mode=755 tmpfs $groups
	for controller in $CONTROLLERS; do
		mkdir $groups/${controller#name=}
		case $controller in
		unified) mount -t cgroup2 -o $safe cgroup2 $groups/unified ;;
		name=*) mount -t cgroup -o $safe,none,$controller cgroup $groups/${controller#name=} ;;
		*) mount -t cgroup -o $safe,$controller cgroup $groups/$controller ;;
		esac
	done
fi
# With /sys read-only udev and the like stay away, as in any container.
mount -o remount,bind,ro,nosuid,nodev,noexec $root/sys

cd $root
pivot_root . mnt
umount -l /mnt
mount --make-rshared /  # services have mount namespaces of their own
exec env -i container=penstock-lab PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
	setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio -- \
	$SYSTEMD --system --unit=multi-user.target --show-status=no
'

(
	for group in $joined; do echo $BASHPID >"$group/cgroup.procs"; done
	exec setpriv --pdeathsig KILL unshare --mount --propagation private --pid --uts --ipc --net \
		--cgroup --fork --kill-child=SIGKILL bash -euc "$make_machine"
) </dev/null >>"$log" 2>&1 &
launcher=$!

first=''
for _ in $(seq 200); do
	first=$(pgrep -P $launcher) && break
	kill -0 $launcher 2>/dev/null || break
	sleep 0.05
done
# The launcher leaves the groups: inside, processes from outside have no number.
for home in $homes; do echo $launcher >"$home/cgroup.procs" 2>/dev/null || true; done
if [ -n "$first" ]; then
	echo "$first" >"$pidfile.new"
	mv "$pidfile.new" "$pidfile"
fi
wait $launcher || true

# The groups are empty once the kernel has buried what was in them.
for _ in $(seq 10); do
	left=''
	for group in $joined; do
		find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
		[ ! -d "$group" ] || left=yes
	done
	[ -n "$left" ] || break
	sleep 0.1
done
