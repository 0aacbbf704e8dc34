#!/bin/bash
# MAP-E beside a real PPPoE session (pppd and the kernel's pppoe module against pppoe-server), both on wan0: the home router of the
# README. A judge sees every frame of wan0.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

CUTS=${CUTS:-20}
NO_RULE=2001:db8:77:7700
run=(python3 -B "$lab/pppoe_lab.py")
inet() { on inet "${run[@]}" "$@"; }
console() { on lan3 "${run[@]}" "$@"; }
pc() { on lan1 "${run[@]}" "$@"; }
own() { "${run[@]}" "$@"; }
judged() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$state/judge.json" "$1"; }
ppp_route() { ip route show table 10 2>/dev/null | grep -q '^default dev ppp0'; }
up_with() { status_is "^up.*PPPoE up on ppp0"; }

if ! pppoe_known; then
  skip pppoe "this kernel has no PPPoE"
  exit 0
fi

# --- the concentrator, and the session ---------------------------------------------------------------------------------------------

wan_ra $OCN_A
soon 20 wan_address_ready
job echo inet "${run[@]}" serve $SERVER
job echo2 inet "${run[@]}" listen $SERVER2 7001 8001
job judge ngn "${run[@]}" judge ngn0 "$state/judge.json"
soon 20 [ -e "$state/judge.json" ] # it must see how a session gets its address
pppoe_concentrator
pppoe_dial
if ! soon 20 eval '[ -n "$(ppp_address)" ]'; then
  not_ok pppoe-session "$(tail -n 3 "$results/log.pppd" | tr '\n' ' ')"
  exit 0
fi
ok pppoe-session

box "$state/before"
box6 >"$state/before6"
pppoe_config() { # MORE
  cat <<CONF | write_config
wan = { interface = "wan0"; };
lan = { interfaces = [ "br0", "lan3r" ]; };
forward = ( { protocol = "tcp"; port = 1680; to = "192.168.1.10:80"; } );
pppoe = { interface = "ppp0";
  hosts = [ "192.168.3.10" ]; destinations = [ "$SERVER2" ]; ports = [ "tcp/7025" ];
  forward = ( { protocol = "udp"; port = "10240-65535"; to = "192.168.3.10"; },
              { protocol = "tcp"; port = 8080; to = "192.168.1.20:80"; } );
  $1 };
CONF
}
pppoe_config ''
maped_start
check both-lines-up soon 15 up_with
note "both lines: $(status_text)"
check both-mape up 8 153.240.18.52

# --- the home router ----------------------------------------------------------------------------------------------------------------

job web1 lan1 "${run[@]}" listen 192.168.1.10 80
job web2 lan2 "${run[@]}" listen 192.168.1.20 80
job game lan3 "${run[@]}" listen 192.168.3.10 30000
"${run[@]}" listen 0.0.0.0 8022 </dev/null >/dev/null 2>&1 &
shell=$!
sleep 1

scene() { # NAME: everything that must work with both lines
  local address
  address=$(ppp_address)
  check "$1-others-on-mape" pc ask tcp $SERVER 8001
  check "$1-router-on-mape" own ask tcp $SERVER 8001
  check "$1-console-on-pppoe" console ask tcp $SERVER 7001
  check "$1-console-udp" console ask udp $SERVER 7001
  check "$1-destination-on-pppoe" pc ask tcp $SERVER2 7001
  check "$1-port-on-pppoe" pc ask tcp $SERVER 7025
  check "$1-router-port-on-pppoe" own ask tcp $SERVER 7025
  check "$1-web-of-lan-on-pppoe" inet ask tcp "$address" 8080 7701
  check "$1-service-of-router-on-pppoe" inet ask tcp "$address" 8022 7702
  check "$1-console-forward" inet ask udp "$address" 30000 7703
  check "$1-web-on-mape" inet ask tcp 153.240.18.52 1680 8701
  check "$1-web-from-lan" pc ask tcp "$address" 8080
  check "$1-web-from-console" console ask tcp "$address" 8080
  check "$1-web-from-router" own ask tcp "$address" 8080
}
scene home
own send 47 $SERVER || true
pc send 47 $SERVER2 || true
console send 50 $SERVER || true
sleep 0.5
same unmappable-on-pppoe 3 "$(judged unmappable)"
box6 >"$state/during6"
same_box pppoe-ipv6-during "$state/before6" "$state/during6"
check pppoe-ipv6-lan lan udp $SERVER6
same pppoe-rp-filter "2 2 1" "$(for name in ppp0 map0 br0; do sysctl -n "net.ipv4.conf.$name.rp_filter"; done | tr '\n' ' ' | sed 's/ $//')"

# --- cut in the middle of transfers -------------------------------------------------------------------------------------------------

job talk-map lan1 "${run[@]}" talk $SERVER 8001 "$state/talk-map.json" 20
job talk-ppp lan3 "${run[@]}" talk $SERVER 7001 "$state/talk-ppp.json"
ip -ts monitor link address route >"$results/monitor" 2>&1 &
monitor=$!
sleep 2
sessions=$(judged sessions)
failed=0
for ((cut = 1; cut <= CUTS; cut++)); do
  index=$(cat /sys/class/net/ppp0/ifindex)
  if ((cut % 2)); then
    kill -HUP "$(cat "$state/pppd.pid")" # our end
  else
    pkill -TERM -P "$(cat "$state/ac.pid")" # the concentrator's
  fi
  if ! soon 20 eval "[ -n \"\$(ppp_address)\" ] && [ \"\$(cat /sys/class/net/ppp0/ifindex)\" != $index ] && ppp_route"; then
    failed=$((failed + 1))
    note "cut $cut: $(status_text); $(tail -n 2 "$results/log.pppd" | tr '\n' ' ')"
  fi
  sleep 0.5
done
kill "$monitor"
same "cuts-all-came-back" 0 "$failed"
sleep 1
job_end talk-ppp
job_end talk-map
check cuts-sessions [ "$(judged sessions)" -ge $((sessions + CUTS)) ]
check cuts-in-the-middle-of-transfers [ "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["connections"])' "$state/talk-ppp.json")" -gt "$CUTS" ]
check cuts-addresses-change [ "$(judged addresses)" -ge 5 ]
same cuts-mape-connection-unhurt "1 0" "$(python3 -c 'import json, sys; t = json.load(open(sys.argv[1])); print(t["connections"], t["broken"])' "$state/talk-map.json")"
note "MAP-E while PPPoE was cut $CUTS times: $(cat "$state/talk-map.json"); PPPoE: $(cat "$state/talk-ppp.json")"
note "$(python3 - "$results/monitor" <<'PY'
import re, sys
# IPv6 may have brought the interface up before; what counts is the address.
ready, took = None, []
for line in open(sys.argv[1]):
    at = re.search(r"T(\d\d):(\d\d):([\d.]+)", line)
    if not at:
        continue
    when = int(at[1]) * 3600 + int(at[2]) * 60 + float(at[3])
    if "Deleted" in line:
        continue
    if re.search(r"\d+: ppp0 +inet ", line):
        ready = when
    elif "default dev ppp0 table 10" in line and ready is not None:
        took.append(when - ready)
        ready = None
took.sort()
print("table 10 after ppp0 has its address: %.0f ms (p50), %.0f ms (p99), %d sessions" % (
    took[len(took) // 2] * 1000, took[min(len(took) - 1, int(len(took) * 0.99))] * 1000, len(took)) if took else "no session was timed")
PY
)"
scene after-cuts

# --- failover -----------------------------------------------------------------------------------------------------------------------

pppoe_hang_up
check pppoe-down-status soon 5 status_is "^up.*PPPoE down on ppp0"
check pppoe-down-others pc ask tcp $SERVER 8001
check pppoe-down-console-waits eval "! console ask udp $SERVER 7001"
pppoe_dial
check pppoe-back soon 20 up_with
check pppoe-back-console soon 5 console ask tcp $SERVER 7001

# The line changes to a provider for which there is no rule, and back.
wan_ra $OCN_A,0,0 $NO_RULE
check mape-down-status soon 15 status_is "^no-rule.*PPPoE up on ppp0"
check mape-down-takes-pppoe soon 2 pc ask tcp $SERVER 9001
same mape-down-address "$(ppp_address)" "$(own ask tcp $SERVER 9001)"
wan_ra $NO_RULE,0,0 $OCN_A
check mape-back soon 20 up_with
check mape-back-others soon 3 pc ask tcp $SERVER 8001

# --- the judge, and the end ---------------------------------------------------------------------------------------------------------

sleep 1
job_end judge
same pppoe-not-one-wrong-packet 0 "$(judged wrong)"
same pppoe-judge-saw-everything 0 "$(judged missed)"
note "judged: $(python3 -c 'import json, sys; print(json.load(open(sys.argv[1])))' "$state/judge.json")"
no_violations pppoe-br
kill "$shell"
pppoe_hang_up
check pppoe-gone-status soon 5 status_is "PPPoE down on ppp0"
maped_stop
pppoe_dial
soon 20 eval '[ -n "$(ppp_address)" ]' || true
for address in $(ip -6 -o addr show dev wan0 scope global | grep -oE "${NO_RULE}[0-9a-f:]*/[0-9]+"); do ip addr del "$address" dev wan0; done
box "$state/after"
# another session, another address and index
for file in before after; do
  sed -E 's/198\.18\.64\.[0-9]+/ADDRESS/g; s/^[0-9]+: //; /fe80::.*ppp0|link\/ppp|inet6 fe80.*peer/d' "$state/$file" >"$state/$file.plain"
done
same_box pppoe-stop-leaves-nothing "$state/before.plain" "$state/after.plain"
pppoe_hang_up
for name in ac echo echo2 web1 web2 game; do job_end "$name"; done
wan_reset
