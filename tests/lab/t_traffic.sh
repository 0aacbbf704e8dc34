#!/bin/bash
# What the LAN can do through the tunnel, judged by the strict BR.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

wan_ra $OCN_A
with_defaults maped_start
check traffic-up up 20 153.240.18.52

check ping on lan1 ping -q -c 3 -i 0.2 -W 2 $SERVER
check ping-1432 on lan1 ping -q -c 2 -i 0.2 -W 2 -M 'do' -s 1432 $SERVER
check ping-1472 on lan1 ping -q -c 2 -i 0.2 -W 2 -M dont -s 1472 $SERVER
check ping-3000 on lan1 ping -q -c 2 -i 0.2 -W 2 -s 3000 $SERVER
check udp lan udp $SERVER --count 20
check udp-1472 lan udp $SERVER --size 1472
check udp-8000 lan udp $SERVER --size 8000
check tcp lan tcp $SERVER --size 300000
check web-down lan get "http://$SERVER/bytes/200000" --size 200000
check web-up lan post "http://$SERVER/" 200000
check router-itself python3 -B "$lab/probe" udp $SERVER
check router-itself-tcp python3 -B "$lab/probe" get "http://$SERVER/whoami"
same router-itself-source 153.240.18.52 "$(python3 -B "$lab/probe" whoami $SERVER | cut -d' ' -f1)"

# The clamp: 1420, less the 12 octets of the timestamp option
mss=$(lan get "http://$SERVER/mss")
check mss-of-the-server [ "$mss" -le 1420 -a "$mss" -ge 1400 ]

check fragments lan fragments $SERVER
check fragments-first-last lan fragments $SERVER --first-last
check fragments-back-first-last lan fragments $SERVER --backwards
check fragments-router python3 -B "$lab/probe" fragments $SERVER

# Out: the tunnel's own MTU, then a narrow link beyond the BR. In: the BR's, then a narrow link in the LAN.
same pmtu-tunnel 1460 "$(lan pmtu $SERVER)"
same pmtu-beyond 1300 "$(lan pmtu $NARROW)"
same pmtu-in-tunnel 1460 "$(lan pmtu-down $SERVER 1472)"
same pmtu-in-lan 1400 "$(on lan3 python3 -B "$lab/probe" pmtu-down $SERVER 1432)"
check tcp-narrow lan tcp $NARROW --size 100000
check tcp-narrow-lan on lan3 python3 -B "$lab/probe" tcp $SERVER --size 100000

# 8 s for each: otherwise it waits ten times as long as the hop before took, which a busy machine exceeds
for how in "udp" "icmp -I" "tcp -T -p 80"; do
  read -r name options <<<"$how"
  # shellcheck disable=SC2086 # a list of options
  hops=$(on lan1 traceroute -n -q 1 -w 8,0,0 -m 6 $options $SERVER | awk 'NR > 1 { print $2 }' | tr '\n' ' ')
  like "traceroute-$name" "^192\\.168\\.1\\.1 198\\.18\\.[0-9.]+ $SERVER $" "$hops"
done
check port-unreachable on lan1 python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5); s.connect(("203.0.113.10", 9999)); s.send(b"x")
try:
    s.recv(10); sys.exit("an answer")
except ConnectionRefusedError:
    pass'

# Every port of the set is used, and no other: many flows from one host to several servers
read -r answered ports addresses <<<"$(lan many $SERVER 2400 $SERVER2 $NARROW)"
note "2400 UDP flows to 3 servers: $answered answered, from $ports external ports"
same all-flows-answered 2400 "$answered"
same all-ports-used 1008 "$ports"
same one-address 1 "$addresses"
read -r answered ports addresses <<<"$(on lan2 python3 -B "$lab/probe" many $SERVER2 900)"
note "900 UDP flows of another host to one server: $answered answered"

# What MAP-E cannot carry must not leave
before=$(br_count up)
on lan1 python3 -c '
import socket
for protocol in (47, 50, 132):
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
    for _ in range(3):
        s.sendto(bytes(20), ("203.0.113.10", 0))'
same unmappable-stays 0 "$(($(br_count up) - before))"
no_violations traffic-br
maped_stop
wan_reset
