#!/usr/bin/python3 -B
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What STUN clients find out (tests/netns/test_stun.py) through the whole daemon, a real tunnel and the strict BR.

usage: stun_tunnel.py PATH-OF-nat_driver

Runs in the lab's router. The clients are in lan1, which gets a second address; the servers are the two hosts of inet.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns"))

import test_stun  # noqa: E402
from daemon_lab import Daemon, DaemonVerbs  # noqa: E402
from nat_lab import Lab, run  # noqa: E402

test_stun.HOST, test_stun.OPEN_HOST = "192.168.1.10", "192.168.1.11"
test_stun.SERVER, test_stun.SERVER2 = "203.0.113.10", "203.0.113.11"


class Unread:
    """Nobody reads from the wires here."""

    @staticmethod
    def frames():
        return []


class TunnelLab(DaemonVerbs, Lab):
    LINES = {"ocn": ("2400:4050:48d:2900::/56", "153.240.18.52", "6/6/41")}
    ADDRESS = LINES["ocn"][1]
    SHAPES = {1008: LINES["ocn"][2]}
    LAN_DEVICES = '"br0"'

    def __init__(self, driver):
        self.driver, self.line, self.words, self.ports = driver, "ocn", (), 1008
        self.lan_ns, self.wan_ns = "lan1", "inet"
        self.lan = self.wan = Unread
        run("ip", "-n", self.lan_ns, "addr", "add", f"{test_stun.OPEN_HOST}/24", "dev", "eth0")
        self.daemon = Daemon("maped", log=os.path.join(os.environ.get("LAB_RESULTS", "/lab"), "log.stun"))
        self.write_config()
        self.daemon.start()

    def inside(self, *words, check=True):
        return run(*words, check=check)

    def remove(self):
        self.daemon.stop()
        run("ip", "-n", self.lan_ns, "addr", "del", f"{test_stun.OPEN_HOST}/24", "dev", "eth0")


def main():
    lab = TunnelLab(sys.argv[1])
    try:
        with test_stun.Servers(lab):
            failed = test_stun.run_tests(lab, [
                test_stun.by_default, test_stun.filtering_endpoint_independent,
                test_stun.filtering_address_and_port_dependent, test_stun.filtering_of_one_host])
    finally:
        lab.remove()
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
