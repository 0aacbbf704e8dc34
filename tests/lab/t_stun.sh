#!/bin/bash
# What STUN clients of others (RFC 5780, RFC 3489) find out about the NAT: on this kernel in namespaces, and through the tunnel.
# The packages lie in the results directory, extras/*.deb (tests/lab/extras RELEASE coturn stun-client stun-server).
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

tests=/dist/tests/tests/netns
if [ ! -x $tests/nat_driver ]; then
  skip stun "tests/lab/dist has not built the tests for this guest"
  exit 0
fi
if ! compgen -G "$results/extras/coturn_*.deb" >/dev/null; then
  skip stun "the package coturn is not in $results/extras"
  exit 0
fi
# The tests start the servers themselves.
systemctl -q mask coturn stun
DEBIAN_FRONTEND=noninteractive dpkg -i "$results"/extras/*.deb >"$results/log.dpkg" 2>&1

tap stun-netns python3 -B "$lab/../netns/test_stun.py" $tests/nat_driver
wan_static $OCN_A
tap stun-tunnel python3 -B "$lab/stun_tunnel.py" $tests/nat_driver
no_violations stun-br
wan_reset
