# Makes the folder $1: Debian 12 with the packages that follow, from the place that this machine has
# its own from. Runs in mount and process namespaces of its own, which end with its owner.
set -eu
root=$1; shift
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

debootstrap --variant=minbase bookworm "$root"

# The machine's way to packages (a proxy, for one) is the hosts' too, while they are made.
apt-config dump Acquire >"$root/etc/apt/apt.conf.d/90machine"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
# Nothing is started while it is installed.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
on() { chroot "$root" "$@"; }
on apt-get update --quiet
# What is half made after a power cut is made again.
on apt-get install --yes --quiet --no-install-recommends -o Dpkg::Options::=--force-unsafe-io "$@"
on apt-get clean
on localedef -i de_DE -f UTF-8 de_DE.UTF-8
umount "$root/dev" "$root/proc"
rm "$root/usr/sbin/policy-rc.d" "$root/etc/apt/apt.conf.d/90machine"

# Stories start what they need; a host by itself is quiet.
for unit in corosync heartbeat keepalived logd pacemaker pcsd pcsd-ruby; do
    on systemctl disable "$unit.service" 2>/dev/null || true
done
on systemctl mask --quiet console-getty.service apt-daily.timer apt-daily-upgrade.timer \
    dpkg-db-backup.timer e2scrub_all.timer fstrim.timer man-db.timer systemd-firstboot.service
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id" "$root/etc/hostname" "$root/etc/resolv.conf"
# All that is logged also goes to the console, which a power cut takes nothing from.
mkdir -p "$root/var/log/journal" "$root/etc/systemd/journald.conf.d"
cat >"$root/etc/systemd/journald.conf.d/lab.conf" <<'CONF'
[Journal]
ForwardToConsole=yes
MaxLevelConsole=info
RateLimitIntervalSec=0
CONF
