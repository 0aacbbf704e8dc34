#!/bin/bash
# The set-ups of README.md as a reader follows them: the files and the commands are taken from the README itself (tests/lab/readme),
# on interfaces that have its names. Behind enp2s0 stands a house: a PC that knows nothing, a web server and a console.
# It takes the lab apart: nothing can come after it in a session.
# Packages that the image does not hold lie in the results directory, extras/*.deb (tests/lab/extras RELEASE ndppd dnsmasq dhcpcd).
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

readme=$lab/readme
wanted=${SETUPS:-ra dhcpcd pppoe} # the others: t_setups_more.sh, t_setup_firewalld.sh
# Option 94 with one rule of OCN
OCN_RULE=0059000d00161099f00000222400405000005a001020010380a12000000000000000000009
run=(python3 -B "$lab/pppoe_lab.py")
inet() { on inet "${run[@]}" "$@"; }
sudo() { "$@"; }

# --- the reader ------------------------------------------------------------------------------------------------------------------

have_extras() { # NAME PACKAGE...: or tells that they are missing
  local package
  for package in "${@:2}"; do
    compgen -G "$results/extras/${package}_*.deb" >/dev/null || { skip "$1" "the package $package is not in $results/extras"; return 1; }
  done
}
apt_install() {
  local packages=() name
  for name in "$@"; do packages+=("$results/extras/${name}_"*.deb); done
  DEBIAN_FRONTEND=noninteractive dpkg -i --force-confold "${packages[@]}" >>"$results/log.dpkg" 2>&1
}
reads() { # SECTION PATH...: writes the files that this section shows
  "$readme" "$1" write "${@:2}"
}
types() { # SECTION BLOCK: the commands of this section
  eval "$("$readme" "$1" type "$2")"
}
no_files() {
  systemctl stop maped systemd-networkd.socket systemd-networkd 2>/dev/null || true
  rm -f /etc/systemd/network/10-wan.network /etc/systemd/network/20-lan.network /etc/systemd/system/pppoe-isp.service \
    /etc/ppp/peers/isp /etc/ndppd.conf /etc/dnsmasq.d/lan.conf /etc/nftables.conf \
    /usr/lib/dhcpcd/dhcpcd-hooks/70-maped /run/maped/rules/dhcp.conf
  : >"$config"
}

# --- the machine and the house -----------------------------------------------------------------------------------------------------

bare() { # a machine with two interfaces that nobody has configured, and a line without anything
  [ -e /etc/resolv.conf ] || echo "nameserver 192.168.1.1" >/etc/resolv.conf # which every installed Debian has
  local n
  job_end ra
  job_end dhcp6pd
  for n in lan1 lan2 lan3; do job_end "dhcp-$n"; done
  wan_routes_flush
  ip link del enp1s0 2>/dev/null || true
  ip link del enp2s0 2>/dev/null || true
  ip netns del house 2>/dev/null || true
  wan_link
  ip link set wan0 down
  ip addr flush dev wan0
  ip link set wan0 name enp1s0
  sysctl -qw net.ipv6.conf.enp1s0.accept_ra=1
  ip netns add house
  ip link add enp2s0 type veth peer name up0 netns house
  ip -n house link add floor type bridge
  ip -n house link set floor up
  ip -n house link set up0 master floor up
  for n in 1 2 3; do
    ip -n "lan$n" link del eth0 2>/dev/null || true
    ip -n house link add "to$n" type veth peer name eth0 netns "lan$n"
    ip -n house link set "to$n" master floor up
    on "lan$n" sysctl -qw net.ipv6.conf.eth0.accept_ra=1
    ip -n "lan$n" link set eth0 up
  done
  "$lab/spaces" plain lan1:eth0 lan2:eth0 lan3:eth0 enp1s0 enp2s0 house:up0
}

leave_house() { # the lab as the other tests know it
  ip link del enp1s0 2>/dev/null || true
  ip link del enp2s0 2>/dev/null || true
  ip netns del house 2>/dev/null || true
}

cat >"$state/dhcp" <<'SH'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr replace "$ip/$mask" dev "$interface"
ip route replace default via "${router%% *}"
echo "$ip $router $dns" >"/run/lab/lease-$interface"
SH
chmod 755 "$state/dhcp"
pc_asks() { rm -f "$state/lease-eth0"; on lan1 busybox udhcpc -i eth0 -n -q -t 10 -T 2 -s "$state/dhcp" >>"$results/log.udhcpc" 2>&1; }
fixed() { # NS ADDRESS
  ip -n "$1" addr replace "$2/24" dev eth0
  ip -n "$1" route replace default via 192.168.1.1
}
pc6() { on lan1 python3 -B "$lab/probe" udp $SERVER6; }
seen_from() { [ "$(on "$1" python3 -B "$lab/probe" whoami "$2" | cut -d' ' -f1)" = "$3" ]; }

# works NAME IPV4: what everyone expects of a router
works() {
  check "$1-up" up 60 "$2"
  check "$1-pc-gets-address" soon 60 pc_asks
  like "$1-pc-lease" '^192\.168\.1\.[0-9]+ 192\.168\.1\.1' "$(cat "$state/lease-eth0" 2>/dev/null || true)"
  check "$1-pc-ipv4" soon 20 seen_from lan1 $SERVER "$2"
  check "$1-pc-tcp" lan tcp $SERVER
  check "$1-pc-ipv6" soon 60 pc6
  same "$1-doctor" "" "$(maped --doctor | grep -E '^(problem|warning) ' || true)"
  no_violations "$1-br"
  note "$1: $(status_text)"
}

# line_blinks NAME IPV4: the cable is out for two seconds, and the network program is restarted. Nobody has told maped which
# interface the WAN is, and the default route is away meanwhile. What runs goes on, with the same port.
line_blinks() {
  flows_begin
  ip -n ngn link set ngn0 down
  check "$1-seen" soon 20 in_status "no link on enp1s0"
  ip -n ngn link set ngn0 up
  ip -n ngn addr replace fe80::1/64 dev ngn0 nodad
  wan_ra $OCN_A
  ip -n ngn -6 route replace 2001:db8:1a4::/48 via $WAN_LINK_LOCAL dev ngn0
  check "$1-back" up 60 "$2"
  systemctl restart systemd-networkd
  sleep 3
  check "$1-up" up 60 "$2"
  flows_end "$1"
  same "$1-mapping-stays" "ports 1" "$(grep '^ports' "$state/lossless")"
  like "$1-tcp-goes-on" ' 0 lost$' "$(grep -i '^tcp' "$state/lossless")"
}
in_status() { status_text | grep -qF "$1"; }

reads_configure() {
  types Configure 2 >/dev/null
  systemctl -q enable --now systemd-networkd
}

# --- 1: OCN, one /64 ---------------------------------------------------------------------------------------------------------------

line_of_setup_1() {
  check setup-ra-ndppd apt_install ndppd
  reads 1. /etc/systemd/network/10-wan.network /etc/systemd/network/20-lan.network /etc/ndppd.conf
  types 1. 1
}

setup_ra() {
  have_extras setup-ra ndppd || return 0
  no_files
  bare
  wan_ra $OCN_A
  reads_configure
  line_of_setup_1
  systemctl start maped
  works setup-ra 153.240.18.52
  line_blinks setup-ra-blinks 153.240.18.52
}

# --- 2: v6plus, a delegated /56 ----------------------------------------------------------------------------------------------------

line_pd() {
  wan_routes_flush
  wan_pd_say $V6PLUS
  job ra ngn "$lab/ra" ngn0 --managed --other
  job dhcp6pd ngn "$lab/dhcp6pd" ngn0 "$state/pd"
}
v6plus_address() { map_of $V6PLUS | cut -d' ' -f1; }

setup_pd() {
  no_files
  bare
  line_pd
  reads_configure
  reads 2. /etc/systemd/network/10-wan.network /etc/systemd/network/20-lan.network
  types 2. 1
  systemctl start maped
  works setup-pd "$(v6plus_address)"
}

setup_dhcpcd() {
  have_extras setup-dhcpcd runit-helper dhcpcd-base dhcpcd dnsmasq-base dnsmasq || return 0
  no_files
  bare
  line_pd
  # Hours, as on a line: dhcpcd 9.4 (Debian 12) forgets a SIGTERM that comes while its hooks run, and with 5 s they often do.
  sed -i 's/^times .*/times 7200 12600/' "$state/pd"
  types Configure 2 >/dev/null
  check setup-dhcpcd-packages apt_install runit-helper dhcpcd-base dhcpcd dnsmasq-base dnsmasq
  reads 2. /etc/dhcpcd.conf /etc/dnsmasq.d/lan.conf
  types 2. 2
  systemctl start maped
  works setup-dhcpcd "$(v6plus_address)"
  dhcpcd_hook
  systemctl stop dhcpcd dnsmasq
  rm -f /usr/lib/dhcpcd/dhcpcd-hooks/70-maped
  ip addr flush dev enp2s0
}

# The ISP sends its rules (option 94): the hook, as its head tells.
dhcpcd_hook() {
  local hook=/usr/libexec/maped/dhcpcd-maped rules=/run/maped/rules/dhcp.conf
  check setup-dhcpcd-hook-link bash -euc "$(sed -n 's/^# *\(ln -s .*\)/\1/p' $hook)"
  { sed -n '/^# *define6/,/^# *embed/s/^# *//p' $hook; cat /etc/dhcpcd.conf; } >/etc/dhcpcd.conf.new
  mv /etc/dhcpcd.conf.new /etc/dhcpcd.conf
  echo "option 94 $OCN_RULE" >>"$state/pd"
  systemctl restart dhcpcd
  check setup-dhcpcd-hook-rules soon 30 grep -q '"2400:4050::/34"' $rules
  check setup-dhcpcd-hook-read soon 10 eval 'journalctl -u maped -o cat --no-pager | grep -q "445 rules"'
  check setup-dhcpcd-hook-still-up up 20 "$(v6plus_address)"
  systemctl stop dhcpcd
  check setup-dhcpcd-hook-ends [ ! -e $rules ]
  # Killed, it leaves the addresses, and the rules with them; the next lease decides.
  systemctl start dhcpcd
  check setup-dhcpcd-hook-rules-again soon 30 [ -e $rules ]
  sed -i '/^option 94/d' "$state/pd"
  systemctl kill --signal=KILL dhcpcd
  soon 10 eval '! systemctl -q is-active dhcpcd' || true
  check setup-dhcpcd-hook-killed-keeps [ -e $rules ]
  systemctl start dhcpcd
  check setup-dhcpcd-hook-next-lease-decides soon 30 [ ! -e $rules ]
}

# --- 3: MAP-E and PPPoE --------------------------------------------------------------------------------------------------------------

house_with_servers() { # NAME
  local address
  address=$(ppp_address)
  check "$1-others-on-mape" soon 10 seen_from lan1 $SERVER 153.240.18.52
  check "$1-console-on-pppoe" soon 10 seen_from lan3 $SERVER "$address"
  check "$1-web-on-pppoe" inet ask tcp "$address" 8080
  check "$1-web-on-mape" inet ask tcp 153.240.18.52 1680
  check "$1-console-port" inet ask udp "$address" 30000
  check "$1-web-from-lan" on lan1 "${run[@]}" ask tcp "$address" 8080
  check "$1-pc-ipv6" soon 20 pc6
}

setup_pppoe() {
  if ! pppoe_known; then skip setup-pppoe "this kernel has no PPPoE"; return 0; fi
  have_extras setup-pppoe ndppd || return 0
  no_files
  bare
  wan_ra $OCN_A
  reads_configure
  line_of_setup_1
  printf 'require-chap\nlocal\nnodefaultroute\nnoproxyarp\nnoccp\nnovj\nmtu 1454\nmru 1454\n' >"$state/ac-options"
  job ac ngn pppoe-server -F -I ngn0 -L 198.18.64.1 -R 198.18.64.10 -N 40 -O "$state/ac-options"
  reads 3. /etc/ppp/peers/isp /etc/systemd/system/pppoe-isp.service /etc/maped.conf
  # the fourth word is for the concentrator, which reads this file too
  grep -q '^"name@isp"' /etc/ppp/chap-secrets || echo '"name@isp" * "password" *' >>/etc/ppp/chap-secrets
  chmod 600 /etc/ppp/chap-secrets
  types 3. 1
  check setup-pppoe-config maped --check-config
  systemctl start maped
  if ! soon 60 status_is '^up.*PPPoE up on ppp0'; then
    not_ok setup-pppoe-both "$(status_text); $(journalctl -u pppoe-isp -o cat --no-pager | tail -n 4 | tr '\n' ' ')"
    return 0
  fi
  ok setup-pppoe-both
  fixed lan2 192.168.1.20
  fixed lan3 192.168.1.55
  job web lan2 "${run[@]}" listen 192.168.1.20 80
  job game lan3 "${run[@]}" listen 192.168.1.55 30000
  works setup-pppoe 153.240.18.52
  house_with_servers setup-pppoe
  # --- and a firewall for the rest ---
  reads "A firewall" /etc/nftables.conf
  check setup-firewall-loads nft -f /etc/nftables.conf
  house_with_servers setup-firewall
  on inet ping -6 -c 1 -W 2 "$(on lan1 ip -6 -o addr show dev eth0 scope global -deprecated | sed -nE 's/.* inet6 ([0-9a-f:]+).*/\1/p' | head -n 1)" >/dev/null &&
    ok setup-firewall-pings-in || not_ok setup-firewall-pings-in "ICMPv6 should pass"
  python3 -B "$lab/pppoe_lab.py" listen 0.0.0.0 8022 </dev/null >/dev/null 2>&1 &
  local shell=$!
  sleep 1
  check setup-firewall-guards-ppp eval "! inet ask tcp $(ppp_address) 8022"
  kill "$shell"
  same setup-firewall-doctor "" "$(maped --doctor | grep -E '^(problem|warning) ' || true)"
  no_violations setup-firewall-br
  nft delete table inet filter
  systemctl -q disable --now pppoe-isp
  for name in ac web game; do job_end "$name"; done
}

# --- 4: firewalld ------------------------------------------------------------------------------------------------------------------------

setup_firewalld() {
  if ! command -v firewall-cmd >/dev/null; then skip setup-firewalld "firewalld is not in this image"; return 0; fi
  no_files
  bare
  line_pd
  reads_configure
  reads 2. /etc/systemd/network/10-wan.network /etc/systemd/network/20-lan.network
  types 2. 1
  reads 4. /etc/maped.conf
  systemctl start firewalld
  systemctl start maped
  # As it stands, but that firewall-cmd gives up after 25 s, which a reload may take in an emulated machine.
  firewall_reload() { busctl call --timeout=180 org.fedoraproject.FirewallD1 /org/fedoraproject/FirewallD1 org.fedoraproject.FirewallD1 reload; }
  eval "$("$readme" 4. type 1 | sed 's/^sudo firewall-cmd --reload$/firewall_reload/')" >>"$results/log.firewall-cmd" 2>&1 ||
    not_ok setup-firewalld-commands "$(tail -n 1 "$results/log.firewall-cmd")"
  check setup-firewalld-zone soon 60 eval '[ "$(firewall-cmd --get-zone-of-interface=map0)" = external ]'
  works setup-firewalld "$(v6plus_address)"
  systemctl stop maped firewalld
  rm -f /etc/firewalld/policies/lan2wan.xml /etc/firewalld/zones/*.xml
}

before=$(cat /proc/sys/net/ipv6/conf/all/forwarding)
ip link del br0
ip link del lan3r 2>/dev/null || true
for setup in $wanted; do
  start=$(now | cut -d. -f1)
  set +e
  (set -e; "setup_$setup")
  code=$?
  set -e
  [ "$code" = 0 ] || not_ok "setup-$setup" "ended early with code $code"
  note "set-up $setup: $(($(now | cut -d. -f1) - start)) s"
done
no_files
leave_house
sysctl -qw "net.ipv6.conf.all.forwarding=$before"
