#!/bin/bash
# The namespaces' tests on this kernel: what is said by rtnetlink, and the NAT packet by packet.
set -eu
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

tests=/dist/tests/tests/netns
if [ ! -x $tests/nat_driver ]; then
  skip netns "tests/lab/dist has not built the tests for this guest"
  exit 0
fi
for test in address apply policy route sysctl tunnel watch; do
  test=$tests/test_netns_$test
  name=${test##*/test_}
  code=0
  "$test" >"$results/log.$name" 2>&1 </dev/null || code=$?
  case $code in
    0) ok "$name" ;;
    77) skip "$name" "$(tail -n 1 "$results/log.$name")" ;;
    *) not_ok "$name" "code $code: $(grep -m 1 -E '\[  (ERROR|FAILED)' "$results/log.$name")" ;;
  esac
done
tap netns_nat python3 -B "$lab/../netns/test_nat.py" $tests/nat_driver
tap netns_attack python3 -B "$lab/../netns/test_attack.py" $tests/nat_driver "$(command -v maped)"
tap netns_nat_daemon python3 -B "$lab/../netns/test_nat_daemon.py" $tests/nat_driver "$(command -v maped)"
