#!/bin/bash
# The NAT packet by packet, through the daemon, a real tunnel and the strict BR as the judge.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

tests=/dist/tests/tests/netns
if [ ! -x $tests/nat_driver ]; then
  skip nat "tests/lab/dist has not built the tests for this guest"
  exit 0
fi

# Three lines at once on the NTT side; maped is told by its file which one is its own.
other_psid=2400:4050:48d:2a00
wan_static $OCN_A
assign "$OCN_A::/56" "$other_psid::/56" "$V6PLUS::/56"
for prefix in $other_psid $V6PLUS; do
  ip -n ngn -6 route replace "$prefix::/56" via $WAN_LINK_LOCAL dev ngn0 proto 77
done
for line in ocn v6plus; do
  tap "nat-tunnel-$line" python3 -B "$lab/nat_tunnel.py" $line $tests/nat_driver
done
no_violations nat-br
for protocol in tcp udp icmp; do
  count=$(br_count "ports.$protocol")
  note "$protocol: the BR has seen $count ports, 1248 are in the sets of the two lines"
  check "nat-all-ports-$protocol" [ "$count" -ge 1248 ]
done
wan_reset
