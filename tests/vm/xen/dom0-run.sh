#!/bin/bash
# What dom0 does, from its first process to power-off. Runs from the 9p share, so that a change to it
# needs no new dom0 disk. Talks to the test by files in /share:
#   in:  guest.cfg, vmlinuz, initrd.img (the guest), stop (end now)
#   out: dom0.log, console.log (the guest's hvc0), xenstore.txt, failed (why it gave up)
exec >>/share/dom0.log 2>&1
set -u
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
say() { echo "[$(cut -d' ' -f1 /proc/uptime)] $*"; }
give_up() { say "gave up: $*"; echo "$*" >/share/failed; sync; busybox poweroff -f; exit 1; }

say "dom0 up"
mountpoint -q /run || mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/xen /var/run /var/log/xen/console /run/xenstored
mount -t tmpfs tmpfs /tmp
mountpoint -q /sys || mount -t sysfs sys /sys
for module in xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xenfs xen-blkback xen-netback virtio_net bridge; do
  modprobe "$module" || say "no module $module"
done
mount -t xenfs xenfs /proc/xen || give_up "xenfs cannot be mounted: this is not dom0"
/usr/lib/xen-4.17/bin/xenstored --pid-file /run/xenstored.pid || give_up "xenstored did not start"
/usr/lib/xen-4.17/bin/xen-init-dom0 || give_up "xen-init-dom0 failed"
/usr/lib/xen-4.17/bin/xenconsoled --pid-file=/run/xenconsoled.pid --log=guest --log-dir=/share || give_up "xenconsoled did not start"

# QEMU's user network goes straight to the guest: it takes its address from QEMU's own DHCP server.
ip link set lo up
ip link add xenbr0 type bridge
for nic in /sys/class/net/*/device/driver; do
  [ "$(basename "$(readlink "$nic")")" = virtio_net ] || continue
  uplink=${nic#/sys/class/net/}; uplink=${uplink%%/*}
  ip link set "$uplink" up master xenbr0
done
ip link set xenbr0 up

# xl maps these files page by page, which over 9p takes half a minute.
cp /share/vmlinuz /share/initrd.img /tmp/ || give_up "kernel and initrd cannot be read"
say "creating the guest"
xl create /share/guest.cfg >/share/xl.log 2>&1 || give_up "xl create failed, see xl.log"
domid=$(xl domid guest)
say "guest is domain $domid"
# Not often: each process here takes the only processor from the guest.
while [ ! -e /share/stop ]; do
  xenstore-ls -f "/local/domain/$domid" >/share/xenstore.tmp 2>/dev/null || give_up "the guest is gone"
  mv /share/xenstore.tmp /share/xenstore.txt
  # For debugging: a script put there runs once, its output in dom0.log.
  if [ -e /share/command ]; then mv /share/command /tmp/command; bash /tmp/command; fi
  sleep 10
done
say "asked to stop"
sync
busybox poweroff -f
