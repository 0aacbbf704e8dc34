#!/bin/bash
# The file is edited while maped runs.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

journal_of_maped() { journalctl -u maped --no-pager -o cat --since "-60s"; }
mtu_is() { [ "$(cat /sys/class/net/map0/mtu)" = "$1" ]; }
metric_is() { ip -4 route show default | grep -q "dev map0.*metric $1"; }

wan_ra $OCN_A
with_defaults maped_start
check reload-start up 20 153.240.18.52
pid=$(systemctl show -p MainPID --value maped)
job flow lan1 python3 -B "$lab/probe" flow $SERVER "$state/flow"
sleep 1

default_config | sed 's/provider = "auto";/provider = "auto"; mtu = 1400;/' >"$config"
check reload-systemctl systemctl reload maped
check reload-took-it soon 15 mtu_is 1400

# Saved by an editor that writes in place, and by one that renames: no signal at all
default_config | sed 's/provider = "auto";/provider = "auto"; mtu = 1380;/' >"$config"
check saved-in-place soon 15 mtu_is 1380
default_config | sed 's/provider = "auto";/provider = "auto"; route_metric = 77;/' | write_config
check saved-by-rename soon 15 metric_is 77
check saved-by-rename-mtu soon 15 mtu_is 1460
kill -HUP "$pid"
sleep 0.5
check sighup-alone systemctl -q is-active maped

# A broken file is refused whole
default_config | sed 's/provider = "auto";/provider = "auto"; mtu = 1300; mtuu = 5;/' | write_config
sleep 2
like broken-file-status "maped\\.conf" "$(status_text)"
note "a broken file: $(status_text)"
check broken-file-changes-nothing mtu_is 1460
check broken-file-still-works lan udp $SERVER
like broken-file-line "maped\\.conf:2:.*mtuu" "$(journal_of_maped | grep mtuu | tail -n 1)"
echo 'wan = { interface = ' | write_config
sleep 2
check broken-syntax-still-works lan udp $SERVER
systemctl reload maped || true
check broken-reload-still-active systemctl -q is-active maped
check broken-reload-still-works lan udp $SERVER
with_defaults sleep 2
check mended-file soon 15 status_is '^up[^;]*153\.240\.18\.52'
check mended-file-status eval "! status_is 'maped[.]conf'"
rm "$config"
sleep 2
check file-deleted-still-works lan udp $SERVER
with_defaults sleep 1

same reload-same-process "$pid" "$(systemctl show -p MainPID --value maped)"
lost=$(awk '$2 == "lasting" { if (last && $1 - last > 1.5) print $1 - last; last = $1 }' "$state/flow" | head -n 1)
same reload-lasting-flow-unhurt "" "$lost"
no_violations reload-br

# Moved to another tunnel name: the old tunnel goes
default_config | sed 's/provider = "auto";/provider = "auto"; tunnel = "mape9";/' | write_config
check tunnel-renamed soon 15 eval '[ -e /sys/class/net/mape9 ] && [ ! -e /sys/class/net/map0 ]'
check tunnel-renamed-works soon 15 lan udp $SERVER

# Started with a broken file, it ends once and for all, and IPv4 stays
echo 'maP = { };' | write_config
check broken-start-fails eval '! systemctl restart maped'
sleep 2
same broken-start-status 78 "$(systemctl show -p ExecMainStatus --value maped)"
same broken-start-once 0 "$(systemctl show -p NRestarts --value maped)"
check broken-start-still-works lan udp $SERVER
default_config | sed 's/provider = "auto";/provider = "auto"; tunnel = "mape9";/' | write_config
maped_start
check broken-start-mended up 20 153.240.18.52
maped_stop
job_end flow
wan_reset
