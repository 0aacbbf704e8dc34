# shellcheck shell=bash
# The lab inside the guest: the topology, the line, maped under systemd, and how a check is told. Sourced by the t_*.sh.
#
#   lan1, lan2 ── br0 ┐                                      ┌ inet    203.0.113.10, .11   2001:db8:beef::10
#   192.168.1.10, .20 ├ router (this namespace) ── wan0 ── ngn (NTT side and strict BR)
#   lan3 ───── lan3r ─┘                                      └ narrow  203.0.113.130 behind a link of MTU 1300
#   192.168.3.10, a link of MTU 1400

lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
results=${LAB_RESULTS:-/lab}
state=/run/lab
config=/etc/maped.conf
ulimit -n 16384

SERVER=203.0.113.10 SERVER2=203.0.113.11 NARROW=203.0.113.130 SERVER6=2001:db8:beef::10
WAN_LINK_LOCAL=fe80::ce
# shellcheck disable=SC2034 # for the tests
OCN_A=2400:4050:48d:2900 OCN_B=2400:4051:123:4500 V6PLUS=240b:10:1234:5600

# --- telling ---------------------------------------------------------------------------------------------------------------------

ok() { echo "ok $1"; }
not_ok() { echo "not ok $1: ${2:-}"; failures=$((${failures:-0} + 1)); }
skip() { echo "skip $1: $2"; }
note() { echo "# $*"; }

# check NAME COMMAND...: ok when it succeeds; its last line is the reason otherwise
check() {
  local name=$1 said
  shift
  if said=$("$@" 2>&1); then
    ok "$name"
  else
    said=$(tail -n 1 <<<"$said")
    not_ok "$name" "${said:-$* failed}"
  fi
}

# same NAME WANTED GOT
same() {
  if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "wanted '$2', got '$3'"; fi
}

# like NAME REGEX TEXT
like() {
  if [[ $3 =~ $2 ]]; then ok "$1"; else not_ok "$1" "wanted something like '$2', got '$3'"; fi
}

# tap NAME COMMAND...: the results of a test program that speaks TAP, as checks NAME/RESULT
tap() {
  local name=$1 log=$results/log.$1 code=0 line bad='' planned=0 told=0
  shift
  : >"$log"
  while read -r line; do
    printf '%s\n' "$line" >>"$log"
    if [ -n "$bad" ]; then # the line behind a failure tells why
      not_ok "$name/$bad" "${line#\# }"
      bad=''
    fi
    case $line in
      1..[1-9]*) planned=${line#1..} ;;
      "ok "* | "not ok "*) told=$((told + 1)) ;;
    esac
    case $line in
      "ok "*) line=${line#* - }; ok "$name/${line%% \#*}" ;;
      "not ok "*) line=${line#* - }; bad=${line%% \#*} ;;
      1..0*) skip "$name" "${line#*SKIP }" ;;
      code=*) code=${line#code=} ;;
    esac
  done < <(code=0; "$@" 2>&1 </dev/null || code=$?; echo "code=$code")
  [ "$told" -ge "$planned" ] || not_ok "$name" "only $told of $planned results: $(tail -n 2 "$log" | head -n 1 | cut -c1-300)"
  # 77: the program has said why it skips
  if [ "$code" -gt 1 ] && [ "$code" != 77 ]; then
    not_ok "$name" "ended with code $code: $(tail -n 2 "$log" | head -n 1 | cut -c1-300)"
  fi
  grep -qE '^(ok|not ok|1\.\.0)' "$log" || not_ok "$name" "no result: $(tail -n 2 "$log" | head -n 1 | cut -c1-300)"
}

# soon SECONDS COMMAND...: until it succeeds
soon() {
  local until=$((${EPOCHREALTIME/./} + $1 * 1000000))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "${EPOCHREALTIME/./}" -lt "$until" ] || return 1
    sleep 0.1
  done
}

now() { cut -d' ' -f1 /proc/uptime; }

# --- processes of the lab --------------------------------------------------------------------------------------------------------

# job NAME NS COMMAND...: in the background, one of that name at a time
job() {
  local name=$1 space=$2
  shift 2
  job_end "$name"
  nsenter --net="/run/netns/$space" "$@" >>"$results/log.$name" 2>&1 </dev/null &
  echo $! >"$state/$name.pid"
}

job_end() {
  local pid
  [ -e "$state/$1.pid" ] || return 0
  pid=$(cat "$state/$1.pid")
  rm -f "$state/$1.pid"
  kill "$pid" 2>/dev/null || return 0
  soon 3 eval "! kill -0 $pid" || kill -9 "$pid" 2>/dev/null || true
}

# Not "ip netns exec", which mounts a /sys of its own each time.
on() { nsenter --net="/run/netns/$1" "${@:2}"; }
lan() { on lan1 python3 -B "$lab/probe" "$@"; }

# --- topology --------------------------------------------------------------------------------------------------------------------

# The Internet; tunnelled packets go to map6, shared IPv4 addresses to map4, whose MTU is the tunnel's
internet_up() {
  {
    cat <<BATCH
link set lo up
link add net0 type veth peer name eth0 netns inet
link add net1 mtu 1300 type veth peer name eth0 mtu 1300 netns narrow
tuntap add map6 mode tun
tuntap add map4 mode tun
link set map6 up addrgenmode none
link set map4 up addrgenmode none mtu 1460
link set net0 up
link set net1 up
addr add 198.18.0.1/30 dev net0
addr add 198.18.0.5/30 dev net1
addr add 198.18.255.1/32 dev map4
addr add fe80::1/64 dev net0 nodad
route add 203.0.113.0/25 via 198.18.0.2
route add $NARROW/32 via 198.18.0.6
BATCH
    (cd "$lab" && python3 -B -c 'import mape
for rule in mape.RULES: print("route replace %s dev map4\nroute replace %s/128 dev map6" % (rule[1], rule[4]))')
  } | ip -n ngn -batch -
  ip -n inet -batch - <<BATCH
link set lo up
link set eth0 up
addr add 198.18.0.2/30 dev eth0
addr add fe80::2/64 dev eth0 nodad
addr add $SERVER/32 dev lo
addr add $SERVER2/32 dev lo
addr add $SERVER6/128 dev lo
route add default via 198.18.0.1
route add default via fe80::1 dev eth0
BATCH
  ip -n narrow -batch - <<BATCH
link set lo up
link set eth0 up
addr add 198.18.0.6/30 dev eth0
addr add $NARROW/32 dev lo
route add default via 198.18.0.5
BATCH
  ip -n ngn -6 route add 2001:db8:beef::/48 via fe80::2 dev net0
  : >"$state/assigned"
  job br ngn "$lab/br" "$state/br.json" "$state/assigned"
  job inet inet python3 -B "$lab/servers.py" $SERVER $SERVER2 $SERVER6
  job narrow narrow python3 -B "$lab/servers.py" $NARROW
}

# The LAN. The servers believe in 1500 towards lan3: only path MTU discovery tells them better.
lan_up() {
  local n
  ip -batch - <<BATCH
link add br0 type bridge
link add port1 master br0 type veth peer name eth0 netns lan1
link add port2 master br0 type veth peer name eth0 netns lan2
link add lan3r mtu 1400 type veth peer name eth0 mtu 1400 netns lan3
link set br0 up
link set port1 up
link set port2 up
link set lan3r up
addr add 192.168.1.1/24 dev br0
addr add 192.168.3.1/24 dev lan3r
addr add 2001:db8:1a4:1::1/64 dev br0 nodad
BATCH
  for n in 1 2; do
    ip -n "lan$n" -batch - <<BATCH
link set lo up
link set eth0 up
addr add 192.168.1.${n}0/24 dev eth0
addr add 2001:db8:1a4:1::${n}0/64 dev eth0 nodad
route add default via 192.168.1.1
route add default via 2001:db8:1a4:1::1
BATCH
  done
  ip -n lan3 -batch - <<BATCH
link set lo up
link set eth0 up
addr add 192.168.3.10/24 dev eth0
route add default via 192.168.3.1
BATCH
}

# together COMMAND ...: all at the same time; fails when one does
together() {
  local command pid pids=() code=0
  for command in "$@"; do
    $command &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || code=$?; done
  return "$code"
}

modules_up() {
  modprobe -a ip6_tunnel tun nf_tables nf_conntrack nf_conntrack_netlink nft_ct nft_nat nft_numgen nft_hash nft_connlimit nft_reject_inet \
    nft_fib_inet nft_limit 2>/dev/null || true
}

lab_up() {
  local spaces=(ngn inet narrow lan1 lan2 lan3)
  mkdir -p "$state"
  # Loaded before the first look, so that the objects which modules bring with them are in every look.
  modules_up &
  local modules=$!
  sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv4.ip_forward=0 net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1
  printf 'netns add %s\n' "${spaces[@]}" | ip -batch -
  "$lab/spaces" hosts "${spaces[@]}"
  on ngn sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  wait "$modules"
  together internet_up lan_up wan_link
  "$lab/spaces" plain ngn:net0 ngn:net1 inet:eth0 narrow:eth0 lan1:eth0 lan2:eth0 lan3:eth0 port1 port2 lan3r
  soon 10 on inet python3 -B "$lab/probe" udp $SERVER
}

# --- the line --------------------------------------------------------------------------------------------------------------------

# wan_link: wan0 anew, as after a change of the network card; the kernel takes RAs although it forwards
wan_link() {
  ip link del wan0 2>/dev/null || true
  ip link add wan0 address 02:00:00:00:0c:e0 type veth peer name ngn0 address 02:00:00:00:0b:10 netns ngn
  sysctl -qw net.ipv6.conf.wan0.accept_ra=2 net.ipv6.conf.wan0.addr_gen_mode=1 net.ipv6.conf.wan0.accept_dad=0
  on ngn sysctl -qw net.ipv6.conf.ngn0.addr_gen_mode=1
  ip -n ngn addr add fe80::1/64 dev ngn0 nodad
  ip -n ngn link set ngn0 up
  ip link set wan0 up
  "$lab/spaces" plain ngn:ngn0 wan0
  ip addr add $WAN_LINK_LOCAL/64 dev wan0 nodad
  sysctl -qw net.ipv6.conf.wan0.addr_gen_mode=0 net.ipv6.conf.wan0.accept_dad=1
  ip -n ngn -6 route add 2001:db8:1a4::/48 via $WAN_LINK_LOCAL dev ngn0
}

# assign PREFIX...: what the NTT side routes to this line now
assign() {
  printf '%s\n' "$@" >"$state/assigned.new"
  mv "$state/assigned.new" "$state/assigned"
}

wan_routes_flush() { on ngn ip -6 route flush dev ngn0 proto 77 2>/dev/null || true; }

# wan_ra PREFIX...: RA lines; each is the first 4 groups of a /64 (low 8 bits 00), options after a comma as in ra
wan_ra() {
  local prefix assigned=()
  wan_routes_flush
  for prefix in "$@"; do
    assigned+=("${prefix%%,*}::/56")
    ip -n ngn -6 route replace "${prefix%%,*}::/64" dev ngn0 proto 77
  done
  assign "${assigned[@]}"
  wan_ra_say "$@"
}

# wan_ra_say PREFIX...: only what the RA says
wan_ra_say() {
  local prefix pio=()
  for prefix in "$@"; do
    case $prefix in
      *,*) pio+=("${prefix%%,*}::/64,${prefix#*,}") ;;
      *) pio+=("$prefix::/64") ;;
    esac
  done
  job ra ngn "$lab/ra" ngn0 --other --retransmit "${RETRANSMIT:-10000}" "${pio[@]}"
}

# wan_static PREFIX: nothing announced; the /56 is routed here
wan_static() {
  wan_routes_flush
  assign "$1::/56"
  ip -n ngn -6 route replace "$1::/56" via $WAN_LINK_LOCAL dev ngn0 proto 77
  job ra ngn "$lab/ra" ngn0 --retransmit "${RETRANSMIT:-10000}"
}

# wan_pd PREFIX...: a phone line: RA without prefix, DHCPv6-PD, systemd-networkd as its client (br0 gets the subnet 1)
wan_pd() {
  mkdir -p /run/systemd/network
  cat >/run/systemd/network/10-wan0.network <<'NETWORK'
[Match]
Name=wan0
[Network]
IPv6AcceptRA=yes
LinkLocalAddressing=ipv6
DHCPPrefixDelegation=no
[IPv6AcceptRA]
DHCPv6Client=always
[DHCPv6]
DUIDType=link-layer
PrefixDelegationHint=::/56
NETWORK
  cat >/run/systemd/network/10-br0.network <<'NETWORK'
[Match]
Name=br0
[Network]
Address=192.168.1.1/24
Address=2001:db8:1a4:1::1/64
LinkLocalAddressing=ipv6
IPv6AcceptRA=no
IPv6DuplicateAddressDetection=0
DHCPPrefixDelegation=yes
[DHCPPrefixDelegation]
UplinkInterface=wan0
SubnetId=1
NETWORK
  wan_routes_flush
  wan_pd_say "$@"
  job ra ngn "$lab/ra" ngn0 --managed --other
  job dhcp6pd ngn "$lab/dhcp6pd" ngn0 "$state/pd"
  systemctl start systemd-networkd
}

# wan_pd_say PREFIX...: the first is given, the others are withdrawn (lifetimes 0)
wan_pd_say() {
  local prefix
  {
    echo 'times 5 8'
    echo "$1::/56 12600 14400"
    for prefix in "${@:2}"; do echo "$prefix::/56 0 0"; done
  } >"$state/pd.new"
  mv "$state/pd.new" "$state/pd"
  assign "$1::/56"
}

# wan_reset: no line, no prefix, no address: a new wan0
wan_reset() {
  job_end ra
  job_end dhcp6pd
  if systemctl -q is-active systemd-networkd; then
    systemctl stop systemd-networkd.socket systemd-networkd 2>/dev/null || true
    rm -f /run/systemd/network/10-*.network
    ip -6 route flush proto dhcp 2>/dev/null || true
    ip -6 addr flush dev br0 scope global dynamic 2>/dev/null || true
  fi
  wan_routes_flush
  wan_link
  ip addr replace 192.168.1.1/24 dev br0
  ip addr replace 2001:db8:1a4:1::1/64 dev br0 nodad
}

# --- the other line: pppd and the kernel's pppoe module against pppoe-server, both on the wire of wan0 ------------------------------------

pppoe_known() { modprobe -a ppp_generic pppoe ppp_async 2>/dev/null; }
ppp_address() { ip -4 -o addr show dev ppp0 2>/dev/null | sed -E 's/.* inet ([0-9.]+).*/\1/'; }

# Each session gets another address.
pppoe_concentrator() {
  cat >"$state/ac-options" <<'PPP'
noauth
local
nodefaultroute
noproxyarp
noccp
novj
mtu 1454
mru 1454
lcp-restart 1
lcp-echo-interval 0
PPP
  job ac ngn pppoe-server -F -I ngn0 -L 198.18.64.1 -R 198.18.64.10 -N 40 -O "$state/ac-options"
}

pppoe_dial() {
  cat >"$state/session-options" <<'PPP'
plugin pppoe.so
nic-wan0
ifname ppp0
user lab
noauth
nodefaultroute
noipdefault
noccp
novj
mtu 1454
mru 1454
persist
maxfail 0
holdoff 0
lcp-restart 1
lcp-echo-interval 5
lcp-echo-failure 3
nodetach
PPP
  pppd file "$state/session-options" >>"$results/log.pppd" 2>&1 </dev/null &
  echo $! >"$state/pppd.pid"
}

pppoe_hang_up() {
  kill "$(cat "$state/pppd.pid")" 2>/dev/null || true
  soon 5 eval '[ ! -e /sys/class/net/ppp0 ]'
}

# --- the judge -------------------------------------------------------------------------------------------------------------------

# br_count KEY: up down stale unmapped violations ports.udp …
br_count() {
  sleep 0.3
  python3 - "$state/br.json" "$1" <<'PY'
import json, sys
value = json.load(open(sys.argv[1]))
for key in sys.argv[2].split("."):
    value = value[key]
print(sum(value.values()) if sys.argv[2] == "violations" else value)
PY
}

# no_violations NAME: none since the last time this was asked
no_violations() {
  local count before=0
  count=$(br_count violations)
  [ ! -e "$state/violations" ] || before=$(cat "$state/violations")
  echo "$count" >"$state/violations"
  if [ "$count" = "$before" ]; then
    ok "$1"
  else
    not_ok "$1" "$(python3 -c 'import json,sys; c=json.load(open(sys.argv[1])); print(c["violations"], c["samples"][-2:])' "$state/br.json")"
  fi
}

# --- maped -----------------------------------------------------------------------------------------------------------------------

default_config() {
  cat <<'CONF'
wan = { interface = "wan0"; prefix = "auto"; };
map = { provider = "auto"; };
lan = { interfaces = [ "br0", "lan3r" ]; };
CONF
}

# write_config: standard input becomes the file, whole, as an editor saves it
write_config() {
  cat >"$config.new"
  chmod 644 "$config.new"
  mv "$config.new" "$config"
}

# flows_begin, flows_end NAME: one of UDP and one of TCP from lan1, and new ones; $state/lossless has what was lost of each and
# how many ports the LAN port had
flows_begin() {
  rm -f "$state/lossless"
  job lossless lan1 python3 -B "$lab/probe" lossless $SERVER "$state/lossless" $SERVER2
  sleep 2
}
flows_end() {
  sleep 2
  kill "$(cat "$state/lossless.pid")"
  check "$1-told" soon 20 [ -s "$state/lossless" ]
  note "$1: $(tr '\n' ';' <"$state/lossless")"
}

status_text() { systemctl show -p StatusText --value maped; }
status_is() { [[ $(status_text) =~ $1 ]]; }

# up SECONDS IPV4: maped says that it is up with this address
up() {
  if soon "$1" status_is "^up.*${2//./\\.}"; then return 0; fi
  echo "STATUS is '$(status_text)'"
  return 1
}

maped_start() { systemctl restart maped; }

# with_defaults COMMAND...: after the file is the one that most tests use
with_defaults() {
  default_config | write_config
  "$@"
}

maped_stop() { systemctl stop maped; }

# map_of PREFIX: "IPV4 PSID CE BR-TEXT PORTS" by the lab's own arithmetic
map_of() {
  (cd "$lab" && python3 -B -c '
import sys, socket, mape
rule, ipv4, psid, ce = mape.params_of_prefix(sys.argv[1] + "::/56")
print(ipv4, psid, ce, socket.inet_ntop(socket.AF_INET6, rule.br), len(mape.ports_of(rule, psid)))' "$1")
}

# box FILE: everything that maped must leave as it was. Running lifetimes and counters are not part of it.
box() {
  {
    echo "== links"; ip -d link show | sed -E 's/ (tx|rx)queues? [0-9]+//g; s/[a-z_]+_timer +[0-9.]+//g'
    echo "== addresses"; ip addr show | sed -E 's/valid_lft [0-9]+sec/valid_lft N/; s/preferred_lft [0-9]+sec/preferred_lft N/'
    echo "== routes"; { ip -4 route show table all; ip -6 route show table all; } | sed -E 's/ expires [0-9]+sec//; /^multicast ff00/d' | sort
    echo "== rules"; ip -4 rule show; ip -6 rule show
    echo "== nft"; nft -s list ruleset
    echo "== sysctl"; (cd /proc/sys && grep -rs . net | sort) |
      grep -vE 'nf_conntrack_count|conntrack_buckets|stat_refresh|^net/netfilter/nf_log|mtu_expires|hop_limit|base_reachable_time|gc_stale_time|retrans_time'
  } >"$1"
}

same_box() { # NAME BEFORE AFTER
  local difference
  if difference=$(diff -U0 "$2" "$3"); then
    ok "$1"
  else
    not_ok "$1" "$(grep -E '^[-+][^-+]' <<<"$difference" | head -n 6 | tr '\n' ';')"
  fi
}

# box6: the IPv6 life of the box and the LAN
box6() {
  ip -6 route get $SERVER6 | sed -E 's/ expires [0-9]+sec//; s/ hoplimit [0-9]+//; s/ pref [a-z]+//'
  ip -6 route show table main | sed -E 's/ expires [0-9]+sec//; s/ hoplimit [0-9]+//' | sort
  ip -6 rule show
  on lan1 ip -6 route get $SERVER6
}

wan_address_ready() { ip -6 addr show dev wan0 scope global -tentative -deprecated | grep -q inet6; }
