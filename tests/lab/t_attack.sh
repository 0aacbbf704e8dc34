#!/bin/bash
# The tunnel's two ends are played by an attacker: other outer sources, other inner ones, the BR's address and our own from the LAN.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# Everything that can be open is: what nothing comes through then is closed.
wan_static $OCN_A
{
  default_config | sed "s|prefix = \"auto\"|prefix = \"$OCN_A::/56\"|"
  echo 'nat = { open = [ "tcp+udp/1681" ]; inbound = "accept"; };'
  echo 'forward = ( { protocol = "tcp+udp"; port = 1680; to = "192.168.1.77:80"; } );'
} | write_config
maped_start
check attack-up up 20 153.240.18.52
tap attack python3 -B "$lab/attack_tunnel.py" "$OCN_A::/56"
check attack-flows lan udp $SERVER --count 3
no_violations attack-br
maped_stop
wan_reset
