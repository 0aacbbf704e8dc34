#!/bin/bash
# nat.offload: TCP takes the kernel's fast path, and everything that holds without it holds with it.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

A=153.240.18.52
with_offload() { default_config; echo 'nat = { offload = true; };'; echo 'forward = ( { protocol = "tcp"; port = 1680; to = "192.168.1.20:7"; } );'; }
pid() { systemctl show -p MainPID --value maped; }
new_pid() { [ "$(pid)" != 0 ] && [ "$(pid)" != "$1" ] && systemctl -q is-active maped; }
offloaded() { conntrack -L -p tcp 2>/dev/null | grep -F '[OFFLOAD]'; }
is_offloaded() { offloaded | grep -qE "$1"; }
devices() { nft list flowtables ip 2>/dev/null | sed -n '/map_flows/,/}/s/.*devices = { *\(.*[^ ]\) *}.*/\1/p' | tr -d ' ' | tr , '\n' | sort | tr '\n' ' '; }
devices_are() { [ "$(devices)" = "$1" ]; }
generation() { { nft -s -t -a list table ip maped; nft -s -t -a list table ip6 maped; } | sha256sum; }
# A counter of the test's own tells how many packets still meet the chains
seen_begin() {
  nft -f - <<'NFT'
table ip seen {
	chain post {
		type filter hook postrouting priority 300
		oifname "map0" meta l4proto tcp counter
	}
}
NFT
}
seen() { nft list table ip seen | sed -n 's/.*counter packets \([0-9]*\) .*/\1/p'; }
seen_end() { nft delete table ip seen; }

# The kernel loads its modules itself when they are first wanted.
if ! modinfo nft_flow_offload >/dev/null 2>&1; then
  skip offload "this kernel has no nf_flow_table"
  exit 0
fi

wan_ra $OCN_A
with_offload | write_config
maped_start
check offload-up up 20 $A
like offload-no-warning '^up' "$(status_text | grep -v warning)"
same offload-devices "br0 lan3r map0 " "$(devices)"

# --- packets pass by the chains, and arrive whole --------------------------------------------------------------------------------
seen_begin
check offload-tcp lan tcp $SERVER --size 400000
count=$(seen)
note "a connection of 400000 octets and back: $count packets met the chains on their way out"
check offload-passes-by [ "$count" -lt 100 ]
seen_end
flows_begin
check offload-a-flow soon 10 is_offloaded "src=192.168.1.10 dst=$SERVER"
# A connection that was forwarded to the LAN
job echo lan2 python3 -B "$lab/servers.py" 192.168.1.20
check echo-listens soon 20 on lan2 python3 -c "import socket; socket.create_connection(('192.168.1.20', 7), 1)"
job inward inet python3 -B -c "
import socket, time
s = socket.create_connection(('$A', 1680), 10)
while True:
    s.sendall(b'x'); assert s.recv(1) == b'x'; time.sleep(0.1)"
check offload-forward soon 10 is_offloaded "dst=$A .* src=192.168.1.20"
no_violations offload-br

# --- what does not end it ----------------------------------------------------------------------------------------------------------
standing=$(generation)
systemctl reload maped
sleep 2
same reload-changes-nothing "$standing" "$(generation)"
old=$(pid)
kill -KILL "$old"
check kill-new-process soon 20 new_pid "$old"
check kill-up up 20 $A
same kill-changes-nothing "$standing" "$(generation)"
check kill-held-again nft list table ip maped_hold
check kill-still-offloaded is_offloaded "src=192.168.1.10 dst=$SERVER"

# --- what is lost comes back ---------------------------------------------------------------------------------------------------------
# Until it is repaired new connections are not translated, offload or not: their violations do not count here.
nft flush ruleset
check flush-held nft list table ip maped_hold
check flush-repaired soon 10 devices_are "br0 lan3r map0 "
check flush-offloaded-again soon 10 is_offloaded "src=192.168.1.10 dst=$SERVER"
br_count violations >"$state/violations"
nft add flowtable ip maped map_flows '{ hook ingress priority 0; devices = { wan0 }; }'
check device-too-many-repaired soon 10 devices_are "br0 lan3r map0 "
ip link set lan3r down
ip link set lan3r name lan3x
check device-gone soon 10 devices_are "br0 map0 "
ip link set lan3x name lan3r
ip link set lan3r up
check device-back soon 10 devices_are "br0 lan3r map0 "
ip addr replace 192.168.3.1/24 dev lan3r
no_violations repair-br

# --- turned off and on: flows go on ------------------------------------------------------------------------------------------------
default_config | write_config
check off soon 10 devices_are ""
sleep 1
check off-nothing-offloaded soon 5 eval '! is_offloaded .'
with_offload | write_config
check on soon 10 devices_are "br0 lan3r map0 "
check on-offloaded-again soon 10 is_offloaded "src=192.168.1.10 dst=$SERVER"
sleep 1
flows_end flow
same tcp-never-broke 1 "$(grep -c '^tcp .* 0 lost$' "$state/lossless")"

# --- another prefix: nothing of the old mapping leaves, and its connections go ----------------------------------------------------
job bulk lan1 python3 -B -c "
import socket
s = socket.create_connection(('$SERVER', 7), 10)
s.settimeout(0.2)
while True:
    s.send(b'x' * 1000)
    try: s.recv(65536)
    except TimeoutError: pass"
check bulk-offloaded soon 10 is_offloaded "src=192.168.1.10 dst=$SERVER"
no_violations before-renumbering-br
B=$(map_of $OCN_B | cut -d' ' -f1)
assign "$OCN_B::/56"
ip -n ngn -6 route replace "$OCN_B::/64" dev ngn0 proto 77
wan_ra_say $OCN_A,0,0 $OCN_B
check renumbered up 20 "$B"
same old-connections-gone 0 "$(conntrack -L 2>/dev/null | grep -c "dst=$A " || true)"
note "$(journalctl -u maped --no-pager -o cat | grep 'took' | tail -n 1)"
check renumbered-tcp lan tcp $SERVER --size 100000
sleep 1
no_violations renumbering-br
job_end bulk
job_end inward
job_end echo

maped_stop
same stopped-nothing-left "" "$(nft list flowtables | grep map_flows || true)"
check stopped-nothing-offloaded soon 5 eval '! is_offloaded .'
wan_reset
