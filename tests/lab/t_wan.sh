#!/bin/bash
# The WAN interface goes away in every way, and IPv4 comes back by itself.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

back() { # NAME SECONDS
  check "$1-up" up "$2" 153.240.18.52
  check "$1-works" soon 15 lan udp $SERVER
}

ip link del wan0
with_defaults maped_start
check no-wan-active systemctl -q is-active maped
like no-wan-status "wan0" "$(status_text)"
check no-wan-no-tunnel [ ! -e /sys/class/net/map0 ]
wan_link
check no-prefix-says-so soon 15 status_is "^waiting.*(prefix|router)"
note "without a prefix: $(status_text)"
wan_ra $OCN_A
back wan-late 20

ip link set wan0 down
check wan-down-says-so soon 15 eval '! status_is "^up"'
like wan-down-says-why "^waiting.*wan0" "$(status_text)"
note "WAN down: $(status_text)"
ip link set wan0 up
# the kernel has dropped everything of wan0; the next RA brings it back
ip addr replace $WAN_LINK_LOCAL/64 dev wan0 nodad
back wan-down-up 20

ip -n ngn link set ngn0 down
sleep 2
ip -n ngn link set ngn0 up
ip -n ngn addr replace fe80::1/64 dev ngn0 nodad
wan_ra $OCN_A
ip -n ngn -6 route replace 2001:db8:1a4::/48 via $WAN_LINK_LOCAL dev ngn0
back carrier-lost-and-back 20

job_end ra
ip link del wan0
check wan-deleted-says-so soon 15 eval '! status_is "^up"'
note "WAN deleted: $(status_text)"
sleep 1
wan_link
wan_ra $OCN_A
back wan-recreated 20
same wan-recreated-tunnel-parent "map0@wan0" "$(ip -br link show map0 | cut -d' ' -f1 | sed 's/@NONE/@wan0/')"

ip link set wan0 down
ip link set wan0 name wan9
check wan-renamed-says-so soon 15 status_is "wan0"
ip link set wan9 name wan0
ip link set wan0 up
ip addr replace $WAN_LINK_LOCAL/64 dev wan0 nodad
back wan-renamed-back 20

# Which interface is the WAN can be found: the IPv6 default route tells
write_config <<'CONF'
lan = { interfaces = [ "br0" ]; };
CONF
maped_start
back auto-interface 20
like auto-interface-name "wan0" "$(status_text)"
no_violations wan-br
maped_stop

# An empty file works on an OCN or v6plus line
write_config </dev/null
maped_start
check empty-file up 20 153.240.18.52
check empty-file-udp lan udp $SERVER
maped_stop
wan_reset
