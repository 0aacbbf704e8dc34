#!/bin/bash
# The process is replaced in every way that happens: no packet is lost, and what the NAT has learnt stays.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

program=$(command -v maped)
pid() { systemctl show -p MainPID --value maped; }
new_pid() { [ "$(pid)" != 0 ] && [ "$(pid)" != "$1" ] && systemctl -q is-active maped; }
stands() { echo "$(cat /sys/class/net/map0/ifindex) $({ nft -s -t -a list table ip maped; nft -s -t -a list table ip6 maped; } | sha256sum) $(ip -4 route show dev map0)"; }

# hitless NAME COMMAND...: COMMAND replaces the process while packets flow
hitless() {
  local name=$1 old standing
  shift
  flows_begin
  old=$(pid)
  standing=$(stands)
  check "$name" "$@" "$old"
  check "$name-new-process" soon 90 new_pid "$old"
  check "$name-up" up 30 153.240.18.52
  flows_end "$name"
  same "$name-nothing-lost" "" "$(grep -v -e ' 0 lost$' -e '^ports' "$state/lossless")"
  same "$name-mapping-stays" "ports 1" "$(grep '^ports' "$state/lossless")"
  same "$name-all-stays" "$standing" "$(stands)"
}

restart() { systemctl restart maped; }
upgrade() {
  cp "$program" "$program.new"
  mv "$program.new" "$program"
  systemctl daemon-reload
  systemctl restart maped
}
killed() { kill -KILL "$1"; }
# Nothing tells the watchdog any more; after WatchdogSec= the service manager sends SIGABRT
hangs() { kill -STOP "$1"; }
out_of_memory() {
  echo 1000 >"/proc/$1/oom_score_adj"
  echo f >/proc/sysrq-trigger
}

wan_ra $OCN_A
with_defaults maped_start
check hitless-start up 20 153.240.18.52
hitless restart restart
hitless upgrade upgrade
same upgrade-runs-the-new-file "$program" "$(readlink "/proc/$(pid)/exe")"
hitless kill killed
like kill-result signal "$(journalctl -u maped --no-pager -o cat | grep "Failed with result" | tail -n 1)"
hitless watchdog hangs
like watchdog-result watchdog "$(journalctl -u maped --no-pager -o cat | grep "Failed with result" | tail -n 1)"
hitless oom out_of_memory
like oom-result oom-kill "$(journalctl -u maped --no-pager -o cat | grep "Failed with result" | tail -n 1)"

# --- reload: counted by those who listen to the kernel ---
forwards() { default_config; echo "forward = ( { protocol = \"tcp\"; port = 1680; to = \"$1:80\"; }, { protocol = \"udp\"; port = 1681; to = \"192.168.1.20:53\"; } );"; }
listen() {
  nft monitor >"$state/monitor.nft" 2>/dev/null &
  nft_monitor=$!
  ip monitor link address route rule >"$state/monitor.ip" 2>/dev/null &
  ip_monitor=$!
  sleep 2
}
listen_end() {
  sleep 2
  kill "$nft_monitor" "$ip_monitor"
  wait "$nft_monitor" "$ip_monitor" 2>/dev/null || true
}
# what was told, without learnt elements (packets teach them, and a new process prolongs or teaches them at its first tick)
# and what the lines do by themselves
told() { grep -v '^# new generation' "$state/monitor.nft" | grep -vE 'element ip maped map_(answered|contacted|open|(udp|tcp|echo)_)' || true; grep -E 'map0|maped|proto 77' "$state/monitor.ip" || true; }
reload_done() { journalctl -u maped --no-pager -o cat --since "@$1" | grep -q 'rules$'; }
reload() {
  local since
  since=$(date +%s)
  systemctl reload maped
  soon 20 reload_done "$since"
}

forwards 192.168.1.10 | write_config
check reload-with-forwards soon 20 eval "nft list map ip maped map_forward | grep -q 192.168.1.10"
sleep 2
job_end ra
listen
check reload-without-change reload
listen_end
same reload-without-change-sends-nothing "" "$(told)"

listen
forwards 192.168.1.11 | write_config
check reload-one-forward soon 20 eval "nft list map ip maped map_forward | grep -q 192.168.1.11"
listen_end
note "one forward changed: $(told | tr '\n' ';')"
same reload-one-forward-changes-two-elements 2 "$(told | wc -l)"
same reload-one-forward-only-the-forward 2 "$(told | grep -c 'element ip maped map_forward { tcp . 1680 ')"
no_violations hitless-br
maped_stop
job_end lossless
wan_reset
