#!/bin/bash
# maped --doctor against what only a whole machine can provoke, the commands it prints, the probe over the real tunnel, and the
# journal with its explanations.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

PROBED=8080
doctor() { maped --doctor "$@" 2>&1 || true; }
names() { sed -nE 's/^(problem|warning) \[([a-z0-9-]+)\].*/\2/p' <<<"$1" | sort | tr '\n' ' ' | sed 's/ $//'; }
commands() { sed -n 's/^    //p' <<<"$1"; }
# finds NAME "FINDING ...": exactly these, in 80 columns; the text stays in $said
finds() {
  said=$(doctor)
  same "$1" "$2" "$(names "$said")"
  if grep -qE '.{81}' <<<"$said"; then not_ok "$1-width" "$(grep -E '.{81}' <<<"$said")"; fi
}
# mends NAME: what it printed, run as it stands
mends() { check "$1" bash -euc "$(commands "$said")"; }
field() { journalctl -u maped --no-pager -o json | python3 -c '
import json, sys
for line in sys.stdin:
    entry = json.loads(line)
    if entry.get("MESSAGE_ID", "").endswith(sys.argv[1]):
        print(" ".join(str(entry.get(name)) for name in sys.argv[2:]))
        break' "$@"; }

wan_ra $OCN_A
with_defaults maped_start
check doctor-up up 20 153.240.18.52
check doctor-traffic soon 10 lan udp $SERVER
finds doctor-healthy ""
like doctor-healthy-says '^nothing found' "$said"

# --- every port of the set, over the real tunnel, with the strict BR looking at each packet ---
on inet sysctl -qw net.core.somaxconn=4096
cat >"$state/accept.py" <<'PY'
import socket, sys, time
server = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=4096)
while True:
    time.sleep(60)
PY
job accept inet python3 -B "$state/accept.py" $SERVER $PROBED
sleep 1
said=$(doctor --probe $SERVER:$PROBED)
like probe-answered '1008 of 1008 connections answered' "$said"
like probe-blocks '1008 of 1008 ports used; 63 of 63 blocks answer on every port' "$said"
note "$(grep '^probe ' <<<"$said")"
no_violations probe-br
same probe-br-saw-every-port 1008 "$(br_count ports.tcp)"
# a provider that filters one block
on inet nft -f - <<'NFT'
table ip filtered { chain into { type filter hook input priority 0; tcp sport 1680-1695 drop; }; }
NFT
job accept inet python3 -B "$state/accept.py" $SERVER $((PROBED + 1))
sleep 1
said=$(doctor --probe $SERVER:$((PROBED + 1)))
like probe-filtered 'block 0 \(1680-1695\): 0 of 16 ports answer' "$said"
# an emulated relay under load may lose a connection or two for good; the exact count is tests/netns/test_doctor.py's
like probe-filtered-others '6[0-2] of 63 blocks answer on every port' "$said"
on inet nft delete table ip filtered
job_end accept

# --- conntrack nearly full ---
max=$(sysctl -n net.netfilter.nf_conntrack_max)
sysctl -qw net.netfilter.nf_conntrack_max="$(sysctl -n net.netfilter.nf_conntrack_count)"
finds doctor-conntrack-full conntrack-full
mends doctor-conntrack-full-command
finds doctor-conntrack-mended ""
sysctl -qw net.netfilter.nf_conntrack_max="$max"

# --- iptables as docker uses it: its MASQUERADE comes behind our NAT, whoever was first ---
iptables -t nat -A POSTROUTING -o map0 -j MASQUERADE
finds doctor-docker-nat ""
check doctor-docker-nat-later soon 5 lan udp $SERVER
systemctl stop maped
maped_start
check doctor-docker-nat-up up 10 153.240.18.52
check doctor-docker-nat-first soon 5 lan udp $SERVER
no_violations doctor-docker-nat-br
nft delete table ip nat
# one that comes before: what it takes is dropped, and leaks nowhere (it may use ports of the set; here, none of them)
nft 'table ip early { chain post { type nat hook postrouting priority 90; oifname map0 meta l4proto udp masquerade to :40000-40015; }; }'
finds doctor-foreign-nat foreign-nat
if lan udp $SERVER >/dev/null 2>&1; then not_ok doctor-foreign-nat-takes "the other NAT came first, and all is well"; else ok doctor-foreign-nat-takes; fi
no_violations doctor-foreign-nat-nothing-leaks
nft delete table ip early
check doctor-foreign-nat-gone soon 5 lan udp $SERVER

iptables -P FORWARD DROP
if lan udp $SERVER >/dev/null 2>&1; then not_ok doctor-forward-drop-drops "the LAN gets through"; else ok doctor-forward-drop-drops; fi
finds doctor-forward-drop forward-drop
mends doctor-forward-drop-command
check doctor-forward-drop-mended soon 15 lan udp $SERVER
nft delete table ip filter

# --- wrong border relay: packets go out, none comes back ---
{ default_config | sed 's/provider = "auto"/br = "2001:380:a120::dead"/'; } | write_config
systemctl stop maped
maped_start
up 10 153.240.18.52 >/dev/null || true
on lan1 ping -q -c 25 -i 0.05 -W 1 $SERVER >/dev/null 2>&1 || true
finds doctor-no-answer tunnel-no-answer
like doctor-no-answer-says 'sent through map0 and none came back' "$(tr -s '\n ' ' ' <<<"$said")"
job_end ra

# --- a tunnel made by hand, as blogs tell ---
systemctl stop maped
ce=2400:4050:48d:2900:99:f012:3400:2900 br=2001:380:a120::9
sysctl -qw net.ipv4.ip_forward=1
ip link add map0 type ip6tnl mode ipip6 local "$ce" remote "$br" encaplimit 4 dev wan0
ip link set map0 mtu 1500 up
default_config | write_config
finds doctor-by-hand "daemon-not-running rp-filter-strict tunnel-encap-limit tunnel-mtu"
check doctor-by-hand-commands bash -euc "$(commands "$said" | grep -v systemctl)"
finds doctor-by-hand-mended daemon-not-running
ip link del map0
sysctl -qw net.ipv4.ip_forward=0

# --- a kernel without ip6_tunnel ---
modprobe -r ip6_tunnel 2>/dev/null || true
if [ ! -e /sys/module/ip6_tunnel ]; then
  grep -v '/ip6_tunnel.ko' "/lib/modules/$(uname -r)/modules.dep" >"$state/modules.dep"
  mount --bind "$state/modules.dep" "/lib/modules/$(uname -r)/modules.dep"
  finds doctor-no-ip6-tunnel "daemon-not-running kernel-ip6-tunnel"
  umount "/lib/modules/$(uname -r)/modules.dep"
else
  skip doctor-no-ip6-tunnel "the module cannot be unloaded"
fi
modprobe ip6_tunnel

# --- systemd-networkd without our drop-in, and with a DUID that NTT does not answer ---
wan_link
mkdir -p /etc/systemd/networkd.conf.d
ln -sf /dev/null /etc/systemd/networkd.conf.d/90-maped.conf
wan_pd $OCN_A
sed -i 's/DUIDType=link-layer/DUIDType=vendor/' /run/systemd/network/10-wan0.network
systemctl restart systemd-networkd
maped_start
sleep 3
# the DHCPv6 server of the lab is as strict as NTT's
finds doctor-networkd "duid-type networkd-foreign wan-no-prefix"
check doctor-networkd-command bash -euc "$(commands "$said" | sed -n '/95-maped/,$p')"
sed -i 's/DUIDType=vendor/DUIDType=link-layer/' /run/systemd/network/10-wan0.network
systemctl restart systemd-networkd
check doctor-networkd-up up 30 153.240.18.52
finds doctor-networkd-mended ""
systemctl stop maped
rm -rf /etc/systemd/networkd.conf.d
wan_reset

# --- NetworkManager without our drop-in ---
if command -v nmcli >/dev/null; then
  wan_ra $OCN_A
  maped_start
  check doctor-nm-up up 20 153.240.18.52
  mkdir -p /etc/NetworkManager/conf.d
  : >/etc/NetworkManager/conf.d/90-maped.conf
  check doctor-nm-starts systemctl start NetworkManager
  soon 20 eval "nmcli -t -f DEVICE,STATE device | grep -q ^map0:" || true
  finds doctor-nm networkmanager-tunnel
  mends doctor-nm-command
  finds doctor-nm-mended ""
  rm -f /etc/NetworkManager/conf.d/90-maped.conf
  systemctl stop NetworkManager
  systemctl stop maped
  wan_reset
else
  skip doctor-nm "NetworkManager is not in this image"
fi

# --- the journal: fields, explanations, how long it took ---
journalctl --update-catalog >/dev/null 2>&1 || true
wan_ra $OCN_A
maped_start
check journal-up up 20 153.240.18.52
same journal-fields "starting waiting" "$(field 0001 MAPED_OLD_STATE MAPED_STATE | sed 's/starting up/starting waiting/')"
like journal-took-field '^[0-9]+$' "$(field 0001 MAPED_TOOK_USEC)"
check journal-line eval "journalctl -u maped --no-pager -o cat | grep -qE '^[a-z-]+ -> up: ocn .* \(took [0-9.]+ ms\)\$'"
check journal-explains eval "journalctl -x -u maped --no-pager | grep -q 'MAP-E changed its state to up'"
echo 'maP = { };' >>"$config"
check journal-refused soon 10 status_is 'refused'
check journal-refused-explains eval "journalctl -x -u maped --no-pager | grep -q 'The new configuration was refused'"
default_config | write_config
ip route add default dev br0 metric 3
check journal-foreign-route soon 10 status_is 'another route wins'
check journal-foreign-route-explains eval "journalctl -x -u maped --no-pager | grep -q 'another IPv4 default route wins'"
finds doctor-foreign-route foreign-default-route
mends doctor-foreign-route-command
finds doctor-foreign-route-mended ""
maped_stop
like journal-stop '\(took [0-9.]+ ms\)$' "$(journalctl -u maped --no-pager -o cat | grep -- '-> stopping' | tail -n 1)"
no_violations doctor-br
wan_reset
