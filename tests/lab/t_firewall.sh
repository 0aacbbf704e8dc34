#!/bin/bash
# The real firewalld beside maped: the tunnel's zone, its loss at reloads, the policy for the LAN, and whose NAT it is.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

if ! command -v firewall-cmd >/dev/null; then
  skip firewall "firewalld is not in this image"
  exit 0
fi

with_zone() { { default_config; printf 'firewalld = { zone = "%s"; };\n' "$1"; } | write_config; }
# firewalld INTERFACE METHOD [SIGNATURE ARGUMENT...]: over D-Bus, since each firewall-cmd takes seconds here
firewalld() { busctl call --timeout=120 org.fedoraproject.FirewallD1 /org/fedoraproject/FirewallD1 "org.fedoraproject.FirewallD1$1" "${@:2}"; }
zone_is() { [ "$(firewalld .zone getZoneOfInterface s map0 2>/dev/null)" = "s \"$1\"" ]; }
# what maped printed, as it stands; only that firewall-cmd --reload gives up after 25 s, which an emulated firewalld may take
printed() {
  echo "reload() { busctl call --timeout=180 org.fedoraproject.FirewallD1 /org/fedoraproject/FirewallD1 org.fedoraproject.FirewallD1 reload; }"
  sed -n 's/^    //p' <<<"$1" | sed 's/^firewall-cmd --reload$/reload/'
}
no_zone() { zone_is ""; }
said() { journalctl -u maped --no-pager -o cat --since "@$since" | grep -qE "$1"; }
on_bus() { busctl list --unique --no-pager --no-legend | awk -v pid="$(systemctl show -p MainPID --value maped)" '$2 == pid' | grep -q .; }
memory() { awk '/^VmRSS/ { print $2 }' "/proc/$(systemctl show -p MainPID --value maped)/status"; }
since=$(date +%s)

# --- nothing without the section ---
wan_ra $OCN_A
with_defaults maped_start
check firewall-up up 20 153.240.18.52
check firewall-lan-works soon 10 lan udp $SERVER
without=$(memory)
if on_bus; then not_ok firewall-no-bus-without-section "maped is connected to the bus"; else ok firewall-no-bus-without-section; fi

# --- firewalld is not there yet ---
with_zone external
check firewall-absent soon 10 status_is 'warning: firewalld is not running'
check firewall-absent-still-up status_is '^up: ocn'
like firewall-absent-doctor '\[firewalld-not-running\]' "$(maped --doctor || true)"
note "memory of maped: $without kB without the section, $(memory) kB with it"

# --- firewalld starts; the LAN is in a zone of its own, as users set it up ---
firewall-offline-cmd -q --zone=internal --add-interface=br0 --add-interface=lan3r
systemctl start firewalld
check firewall-zone soon 120 zone_is external
check firewall-no-warning soon 15 eval "! status_is warning"
check firewall-told said 'map0 is in zone external of firewalld'

# --- the zone alone is not enough; doctor says what is ---
if lan udp $SERVER >/dev/null 2>&1; then not_ok firewall-rejects "the LAN gets through without a policy"; else ok firewall-rejects; fi
findings=$(maped --doctor || true)
like firewall-doctor-policy '\[firewalld-policy\]' "$findings"
same firewall-doctor-only-that 1 "$(grep -cE '^(problem|warning) ' <<<"$findings")"
same firewall-doctor-80-columns "" "$(grep -E '.{81}' <<<"$findings" || true)"
note "$(head -n 1 <<<"$findings")"
check firewall-doctor-commands bash -euc "$(printed "$findings")"
check firewall-zone-after-reload soon 60 zone_is external
check firewall-policy-lets-pass soon 20 lan udp $SERVER
check firewall-policy-tcp lan tcp $SERVER
same firewall-doctor-content "" "$(maped --doctor | grep -E '^(problem|warning) ' || true)"

# --- a forward after a quiet time: the tunnelled packet comes by itself ---
{ default_config; echo 'firewalld = { zone = "external"; };'; echo 'forward = ( { protocol = "udp"; port = 1680; to = "192.168.1.10:7"; } );'; } | write_config
sleep 2
findings=$(maped --doctor || true)
same firewall-doctor-wan firewalld-wan "$(sed -nE 's/^(problem|warning) \[([a-z-]+)\].*/\2/p' <<<"$findings")"
check firewall-doctor-wan-commands bash -euc "$(printed "$findings")"
check firewall-wan-zone soon 60 zone_is external
same firewall-doctor-wan-mended "" "$(maped --doctor | grep -E '^(problem|warning) ' || true)"
with_zone external

# --- NAT is ours, although the zone masquerades ---
same firewall-masquerades "b true" "$(firewalld .zone queryMasquerade s external)"
check firewall-many-ports lan many $SERVER 100
no_violations firewall-ports-of-the-set

# --- firewalld forgets, maped does not ---
systemctl restart firewalld
check firewall-restart-zone soon 120 zone_is external
check firewall-restart-works soon 10 lan udp $SERVER
same firewall-restart-quiet 1 "$(journalctl -u maped --no-pager -o cat --since "@$since" | grep -c 'firewalld is not running')"

# --- maped restarts and stops ---
systemctl restart maped
check firewall-maped-restart up 20 153.240.18.52
check firewall-maped-restart-zone zone_is external
maped_stop
check firewall-stop-leaves-zone soon 10 no_zone
with_zone external
maped_start
check firewall-again soon 30 zone_is external
kill -KILL "$(systemctl show -p MainPID --value maped)"
check firewall-kill-up up 20 153.240.18.52
check firewall-kill-zone zone_is external
systemctl stop maped
check firewall-kill-stop-leaves-zone soon 10 no_zone

# --- a zone chosen by the owner before is put back ---
firewalld .zone changeZoneOfInterface ss work map0 >/dev/null
maped_start
check firewall-former-taken soon 30 zone_is external
default_config | write_config
check firewall-section-gone soon 20 zone_is work
check firewall-section-gone-no-bus soon 15 eval "! on_bus"
firewalld .zone removeInterface ss work map0 >/dev/null

# --- what can go wrong ---
with_zone nosuchzone
check firewall-no-such-zone soon 20 status_is 'firewalld has no zone nosuchzone'
rule=/usr/share/polkit-1/rules.d/50-maped.rules
mv $rule /run/50-maped.rules
sleep 3 # polkitd reads its rules again when the directory changes
with_zone external
check firewall-not-authorized soon 40 status_is 'firewalld does not let maped put map0 into zone external'
like firewall-not-authorized-doctor '\[firewalld-zone\]' "$(maped --doctor || true)"
mv /run/50-maped.rules $rule
check firewall-authorized-again soon 60 zone_is external
no_violations firewall-br

maped_stop
systemctl stop firewalld
rm -f /etc/firewalld/policies/lan2map.xml /etc/firewalld/zones/*.xml
wan_reset
