#!/bin/bash
# Lines that have no MAP-E, and what systemctl says in every state.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

waiting() { # NAME PREFIX REGEX
  wan_ra "$2"
  check "$1" soon 15 status_is "$3"
  note "$(status_text)"
  check "$1-no-tunnel" [ ! -e /sys/class/net/map0 ]
  check "$1-active" systemctl -q is-active maped
  job_end ra
}

with_defaults maped_start
waiting closed-network 2408:210:1234:5600 "2408.*(NTT|closed)"
wan_link
waiting ocn-without-map-e 2409:10:1234:5600 "2409.*OCN"
wan_link
waiting no-rule 2001:db8:9999:5600 "(no|No) rule"
wan_ra $OCN_A
check contract-starts up 20 153.240.18.52
check contract-starts-works soon 15 lan udp $SERVER
check status-shows-it eval 'systemctl status --no-pager maped | grep -qE "Status: \"up: ocn 153\.240\.18\.52, PSID 41"'
like status-line '^up: ocn 153\.240\.18\.52, PSID 41, 1008 ports in 63 blocks; CE 2400:4050:48d:2900:99:f012:3400:2900 -> BR 2001:380:a120::9 on wan0' "$(status_text)"
check nft-shows-the-table eval 'nft list table ip maped >"$state/table" && grep -q "a new endpoint gets the next port" "$state/table"'
check calc-agrees eval 'maped --calc 2400:4050:48d:2900::/56 | grep -q "^ce_address=2400:4050:48d:2900:99:f012:3400:2900$"'
same one-process 1 "$(pgrep -xc maped)"
note "memory of maped: $(awk '/VmRSS/ { print $2, $3 }' "/proc/$(systemctl show -p MainPID --value maped)/status")"

# --- the process is replaced, in good and in bad ways: what stands stays, and packets flow ---
pid() { systemctl show -p MainPID --value maped; }
new_pid() { [ "$(pid)" != 0 ] && [ "$(pid)" != "$1" ] && systemctl -q is-active maped; }
stands() { echo "$(cat /sys/class/net/map0/ifindex) $({ nft -s -t -a list table ip maped; nft -s -t -a list table ip6 maped; } | sha256sum)"; }
job flow lan1 python3 -B "$lab/probe" flow $SERVER "$state/flow"
sleep 1
standing=$(stands)
systemctl restart maped
check restart-up up 20 153.240.18.52
same restart-all-stays "$standing" "$(stands)"
like restart-says-so 'up -> stopping: restart: everything stays' "$(journalctl -u maped --no-pager -o cat | grep -- '-> stopping' | tail -n 1)"
old=$(pid)
kill -KILL "$old"
check kill-new-process soon 20 new_pid "$old"
check kill-up up 20 153.240.18.52
same kill-all-stays "$standing" "$(stands)"
sleep 1
lost=$(awk '$2 == "lasting" { if (last && $1 - last > 1.5) print $1 - last; last = $1 }' "$state/flow" | head -n 1)
same restart-lasting-flow-unhurt "" "$lost"
job_end flow
# stopped while it is between two processes
kill -KILL "$(pid)"
systemctl stop maped
check kill-stop-no-tunnel [ ! -e /sys/class/net/map0 ]
same kill-stop-no-table "" "$(nft list tables | grep maped || true)"
systemctl reset-failed maped 2>/dev/null || true
maped_start
check kill-stop-start up 20 153.240.18.52
maped_stop
same stopped-cleanly "success 0" "$(systemctl show -p Result -p ExecMainStatus --value maped | tr '\n' ' ' | sed 's/ $//')"
no_violations state-br
wan_reset
