#!/bin/bash
# The lab itself, before maped: what the other tests rest on.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

wan_ra $OCN_A
check lab-ra-address soon 20 wan_address_ready
check lab-lan-ipv6 lan udp $SERVER6
check lab-internet on inet python3 -B "$lab/probe" udp $NARROW
if lan udp $SERVER >/dev/null; then not_ok lab-no-ipv4-yet "IPv4 works without maped"; else ok lab-no-ipv4-yet; fi
box "$state/box1"
sleep 2
box "$state/box2"
same_box lab-box-is-still "$state/box1" "$state/box2"
wan_reset
