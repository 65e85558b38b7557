#!/bin/sh
# Runs inside the guest under test: says by xenstore what the test wants to know. Not on the console:
# whatever draws there hangs up on others.
say() { xenstore-write "data/test/${1%%=*}" "${1#*=}"; }
waited=0
until ss -Hltn 'sport = :514' | grep -q . || [ "$waited" -ge 600 ]; do
    sleep 3
    waited=$((waited + 3))
done
say "listening=$(ss -Hltn 'sport = :514' | grep -c .)"
waited=0
while [ -n "$(systemctl list-jobs --no-legend)" ] && [ "$waited" -lt 120 ]; do
    sleep 5
    waited=$((waited + 5))
done
say "failed=$(systemctl --failed --no-legend --plain | awk '{ print $1 }' | xargs)"
say "guest_type=$(cat /sys/hypervisor/guest_type)"
root=$(findmnt -no SOURCE /)
say "root=$root"
disk=${root%[0-9]*}
say "driver=$(basename "$(readlink "/sys/block/${disk#/dev/}/device/driver")")"
say "network=$(basename "$(readlink /sys/class/net/enX0/device/driver)")"
say "address=$(ip -4 -brief address show dev enX0 | awk '{ print $3 }')"
say "protocol=$(ip -4 route show default | grep -o 'proto [a-z]*')"
say "reporter_pss=$(awk '/^Pss:/ { print $2 }' "/proc/$(systemctl show -P MainPID appliance-xen-guest)/smaps_rollup")"
say "uptime=$(cut -d' ' -f1 /proc/uptime)"
say "done=1"
