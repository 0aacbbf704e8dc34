#!/bin/bash
# Every kind of line ends in working IPv4, with exactly the objects that it needs, and a stop leaves the box as it was.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# line NAME PREFIX: the line has just got PREFIX (or will at once) and maped runs; what must be true then
line() {
  local name=$1 ipv4 psid ce relay ports link seen
  read -r ipv4 psid ce relay ports <<<"$(map_of "$2")"
  check "$name-up" up 20 "$ipv4"
  like "$name-status" "PSID ${psid}[, ].*$ports ports.*$ce.*$relay.*wan0" "$(status_text)"
  link=$(ip -d link show map0 2>&1)
  like "$name-tunnel" "mtu 1460 .*ip6tnl ipip6 remote $relay local $ce .*encaplimit none" "$(tr '\n' ' ' <<<"$link")"
  seen=$(ip -6 addr show dev wan0 to "$ce")
  like "$name-ce-address" "$ce/128 scope global .*nodad.*noprefixroute.*preferred_lft 0sec" "$(tr '\n' ' ' <<<"$seen" | sed 's/deprecated//')"
  like "$name-ipv4-address" "inet $ipv4/32 " "$(ip -4 addr show dev map0)"
  like "$name-default-route" "default dev map0 .*metric 1024" "$(ip -4 route show default)"
  same "$name-rp-filter" 2 "$(sysctl -n net.ipv4.conf.map0.rp_filter)"
  same "$name-forwarding" 1 "$(sysctl -n net.ipv4.ip_forward)"
  check "$name-udp" lan udp $SERVER
  check "$name-tcp" lan get "http://$SERVER/whoami"
  check "$name-ping" on lan2 ping -q -c 2 -i 0.2 -W 2 $SERVER
  same "$name-source" "$ipv4" "$(lan whoami $SERVER | cut -d' ' -f1)"
  no_violations "$name-br"
}

# around NAME PREFIX: start, look, stop; IPv6 and the box are the same
around() {
  box "$state/before"
  box6 >"$state/before6"
  maped_start
  line "$1" "$2"
  box6 >"$state/during6"
  same_box "$1-ipv6-during" "$state/before6" "$state/during6"
  check "$1-ipv6-lan" lan udp $SERVER6
  maped_stop
  box "$state/after"
  same_box "$1-stop-leaves-nothing" "$state/before" "$state/after"
  box6 >"$state/after6"
  same_box "$1-ipv6-after" "$state/before6" "$state/after6"
}

wan_ra $OCN_A
soon 20 wan_address_ready
with_defaults around ra-ocn $OCN_A
wan_reset

# The others with a short retransmit timer: less waiting for duplicate address detection
RETRANSMIT=1000
wan_ra $V6PLUS
soon 20 wan_address_ready
with_defaults around ra-v6plus $V6PLUS
wan_reset

wan_pd $OCN_B
soon 20 eval 'ip -6 route show table all | grep -q "^unreachable .*proto dhcp"'
soon 10 eval "ip -6 addr show dev br0 -tentative | grep -q 'inet6 $OCN_B'" || note "no delegated address on br0"
with_defaults around pd-ocn $OCN_B
wan_reset

wan_static $OCN_A
soon 20 eval 'ip -6 route show default | grep -q wan0'
default_config | sed "s|prefix = \"auto\"|prefix = \"$OCN_A::/56\"|" | write_config
around static-ocn $OCN_A
wan_reset

# A rule of one's own, with the identifier of RFC 7597 (its appendix A, example 1)
wan_ra 2001:db8:12:3400
soon 20 wan_address_ready
write_config <<'CONF'
wan = { interface = "wan0"; };
map = { rules = ( { ipv6_prefix = "2001:db8::/40"; ipv4_prefix = "192.0.2.0/24"; ea_length = 16;
                    psid_offset = 6; br = "2001:db8:ffff::1"; interface_id = "rfc7597"; } ); };
lan = { interfaces = [ "br0" ]; };
CONF
around own-rule 2001:db8:12:3400
wan_reset

# Sharing ratio 1: the whole address, every port
wan_ra 2001:db8:4000:2100
soon 20 wan_address_ready
write_config <<'CONF'
wan = { interface = "wan0"; };
map = { rules = ( { ipv6_prefix = "2001:db8:4000::/48"; ipv4_prefix = "198.51.100.0/24"; ea_length = 8;
                    psid_offset = 6; br = "2001:db8:ffff::1"; interface_id = "rfc7597"; } ); };
CONF
maped_start
check whole-address-up up 20 198.51.100.33
check whole-address-udp lan udp $SERVER
same whole-address-source 198.51.100.33 "$(lan whoami $SERVER | cut -d' ' -f1)"
no_violations whole-address-br
maped_stop
wan_reset
