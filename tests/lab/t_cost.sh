#!/bin/bash
# What the service may do, and what it costs.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

pid() { systemctl show -p MainPID --value maped; }
# kilobytes KEY: from smaps_rollup
kilobytes() { awk -v key="$1:" '$1 == key { print $2 }' "/proc/$(pid)/smaps_rollup"; }
own() { awk '/^Private_(Clean|Dirty):/ { n += $2 } END { print n }' "/proc/$(pid)/smaps_rollup"; }
switches() { awk '/^voluntary_ctxt_switches/ { print $2 }' "/proc/$(pid)/status"; }
show() { systemctl show -p "$1" --value maped; }
capabilities() { awk -v key="$1:" '$1 == key { print $2 }' "/proc/$(pid)/status"; }

wan_ra $OCN_A
with_defaults maped_start
check cost-up up 20 153.240.18.52

# --- least privilege ---
exposure=$(systemd-analyze security --no-pager maped 2>/dev/null | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
note "systemd-analyze security: $exposure"
check exposure-at-most-1.3 awk -v e="${exposure:-99}" 'BEGIN { exit !(e <= 1.3) }'
same own-user maped "$(ps -o user= -p "$(pid)")"
for kind in CapPrm CapEff CapBnd CapAmb; do
  same "only-net-admin-$kind" 0000000000001000 "$(capabilities $kind)" # CAP_NET_ADMIN is number 12
done
same no-new-privileges 1 "$(capabilities NoNewPrivs)"
same seccomp-filter 2 "$(capabilities Seccomp)"
check metrics-there soon 40 [ -e /run/maped/metrics ]
same open-to-all "-rw-r--r-- srw-rw-rw-" "$(stat -c %A /run/maped/metrics /run/maped/status | tr '\n' ' ' | sed 's/ $//')"
check status-for-anybody setpriv --reuid 65534 --regid 65534 --clear-groups maped --status

# --- memory, with what the start needed given back ---
sleep 3
note "memory: RSS $(kilobytes Rss) kB, PSS $(kilobytes Pss) kB, own $(own) kB"
check rss-at-most-4-MB [ "$(kilobytes Rss)" -le 4096 ]

# --- start: from exec to READY, prefix and table already there ---
times=
for _ in 1 2 3 4 5; do
  systemctl restart maped
  times="$times $((($(show ActiveEnterTimestampMonotonic) - $(show ExecMainStartTimestampMonotonic)) / 1000))"
done
note "start to READY:$times ms"
check cost-up-again up 20 153.240.18.52
note "memory after taking over: RSS $(kilobytes Rss) kB, PSS $(kilobytes Pss) kB, own $(own) kB"

# --- idle: nothing but the watchdog wakes it. No router advertisement in that time. ---
job_end ra
sleep 3
before=$(switches)
sleep 60
note "wake-ups in a minute: $(($(switches) - before)), with WatchdogSec= of $(($(show WatchdogUSec | sed 's/min.*//; s/s$//'))) s"
check idle-minute [ "$(($(switches) - before))" -le 10 ]
no_violations cost-br
maped_stop
wan_reset
