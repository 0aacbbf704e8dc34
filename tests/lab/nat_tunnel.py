#!/usr/bin/python3 -B
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The promises of the NAT (tests/netns/test_nat.py) through the whole daemon, a real tunnel and the strict BR.

usage: nat_tunnel.py LINE PATH-OF-nat_driver [WORD ...]        LINE: ocn (1008 ports) or v6plus (240 ports)

Runs in the lab's router. It adds to the topology of lib.sh two wires without hosts, whose packets are made by hand: a LAN
192.168.2.0/24 at lan9, and 203.0.113.0/25 behind the BR. maped gets its configuration by its file and SIGHUP. Prints TAP.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns"))

import mape  # noqa: E402
import nat_lab  # noqa: E402
from daemon_lab import Daemon, DaemonVerbs  # noqa: E402
from nat_lab import Lab, Wire, run, udp  # noqa: E402

PREFIXES = {"ocn": "2400:4050:48d:2900::/56", "ocn_other_psid": "2400:4050:48d:2a00::/56", "v6plus": "240b:10:1234:5600::/56"}
LOG = os.path.join(os.environ.get("LAB_RESULTS", "/lab"), "log.nat")


def line_of(prefix):
    rule, address, psid, _ = mape.params_of_prefix(prefix)
    return prefix, address, f"{rule.offset}/{rule.k}/{psid}", len(mape.ports_of(rule, psid))


LINES = {name: line_of(prefix) for name, prefix in PREFIXES.items()}
_, Lab.ADDRESS, shape, ports = LINES[sys.argv[1]]  # before the tests take them as theirs
Lab.SHAPES = {ports: shape}

import test_nat  # noqa: E402
import test_nat_daemon  # noqa: E402

FENCE_HOST, FENCE_SERVER, FENCE_PORT = "192.168.2.250", "203.0.113.100", 9


class FencedWire:
    """What has been put on the other wire has come through, or never will, when the fence behind it has."""

    def __init__(self, wire, send_fence, is_fence):
        self.wire, self.send_fence, self.is_fence = wire, send_fence, is_fence
        self.put, self.fence = wire.put, None

    def collect(self, seconds):
        found, until = [], time.monotonic() + seconds
        while time.monotonic() < until:
            for frame in self.wire.frames():
                if frame[12:14] == b"\x08\x00":
                    packet = nat_lab.Packet(frame[14:])
                    if self.is_fence(packet):
                        self.fence = packet
                        return found
                    found.append(packet)
            time.sleep(0.0005)
        raise RuntimeError("a fence is lost")

    def get(self):
        self.send_fence()
        return self.collect(20)

    def frames(self):
        self.get()
        return []


class TunnelLab(DaemonVerbs, Lab):
    """The same verbs as those of the namespaces' router."""

    LINES = LINES
    LAN_DEVICES = '"br0", "lan9"'
    hops_inwards = 1

    def __init__(self, driver, line):
        self.driver, self.line, self.words, self.ports = driver, line, (), ports
        self.lan_ns, self.wan_ns = "natlan", "natwan"
        os.sched_setaffinity(0, {0})  # packets of one processor keep their order
        self.make()
        self.daemon = Daemon("maped", log=LOG)
        self.write_config()
        self.daemon.start()

    def make(self):
        for name, device, owner in ((self.lan_ns, "lan9", ()), (self.wan_ns, "nat0", ("-n", "ngn"))):
            run("ip", "netns", "add", name)
            run("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
            run("ip", *owner, "link", "add", device, "type", "veth", "peer", "name", "wire", "netns", name)
            run("ip", "-n", name, "link", "set", "wire", "up")
            run("ip", *owner, "link", "set", device, "arp", "off", "up")
        run("ip", "addr", "add", self.LAN + "1/24", "dev", "lan9")
        run("ip", "-n", "ngn", "route", "replace", "203.0.113.0/25", "dev", "nat0")
        for word in ("net.ipv4.icmp_ratelimit=0", "net.ipv4.icmp_msgs_per_sec=100000", "net.ipv4.icmp_msgs_burst=100000"):
            self.sysctl(word)
        lan = Wire(self.lan_ns, "wire", self.mac_of("lan9"))
        wan = Wire(self.wan_ns, "wire", self.mac_of("nat0", "ngn"))
        self.wan = FencedWire(wan, lambda: lan.put(udp(FENCE_HOST, FENCE_PORT, FENCE_SERVER, FENCE_PORT)),
                              lambda packet: packet.destination == FENCE_SERVER and packet.dport == FENCE_PORT)
        self.lan = FencedWire(lan, self.fence_inwards,
                              lambda packet: packet.destination == FENCE_HOST and packet.dport == FENCE_PORT)

    def sync(self, *words):
        super().sync(*words)
        self.wan.get()  # the fences' way may be another one now

    def fence_inwards(self):
        last = self.wan.fence
        self.wan.wire.put(udp(FENCE_SERVER, FENCE_PORT, last.source, last.sport))

    def remove(self):
        self.daemon.stop()
        run("ip", "-n", "ngn", "route", "replace", "203.0.113.0/25", "via", "198.18.0.2")
        for name in (self.lan_ns, self.wan_ns):
            run("ip", "netns", "del", name)

    @staticmethod
    def mac_of(device, namespace=None):
        words = ("ip", "netns", "exec", namespace) if namespace else ()
        return bytes.fromhex(run(*words, "cat", f"/sys/class/net/{device}/address").strip().replace(":", ""))

    def inside(self, *words, check=True):
        return run(*words, check=check)


OF_LINE = {
    "ocn": ["tcp_1008_flows_to_one_destination", "udp_1008_flows_to_one_destination", "icmp_1008_flows_to_one_destination",
            "udp_mapping_of_60_endpoints_on_1008_ports", "host_limit", "filtering_adf", "filtering_eif", "filtering_apdf",
            "filtering_of_hosts", "hairpin", "forward", "new_forward_ends_mapping", "unmappable", "leaks", "router_itself",
            "open_services", "icmp_errors", "pmtu_to_the_lan", "echo_of_many", "fragments", "udp_without_checksum", "mss",
            "simultaneous_open"],
    "v6plus": ["tcp_240_flows_to_one_destination", "udp_240_flows_to_one_destination", "icmp_240_flows_to_one_destination",
               "steady_state", "ports_of_tcp_closed_rest", "ports_of_tcp_reset_from_outside_rest",
               "udp_mapping_of_100_endpoints_on_240_ports", "tcp_mapping_of_100_endpoints_on_240_ports", "reserved_ports_are_not_given_out"],
}
OF_DAEMON = {
    "ocn": ["reload_keeps_flows", "changed_forward_keeps_flows", "changed_filtering_keeps_flows", "self_repair_keeps_flows",
            "killed_daemon_keeps_flows", "changed_address_drops_exactly_its_flows", "changed_ports_drop_exactly_their_flows",
            "forward_with_a_port_of_its_own"],
    "v6plus": [],
}


def main():
    named = {test.__name__: test for test in test_nat.TESTS + test_nat_daemon.TESTS}
    chosen = [named[name] for name in OF_LINE[sys.argv[1]] + OF_DAEMON[sys.argv[1]]]
    if sys.argv[3:]:
        chosen = [test for test in chosen if any(word in test.__name__ for word in sys.argv[3:])]
    lab = TunnelLab(sys.argv[2], sys.argv[1])
    try:
        failed = test_nat.run_tests(lab, chosen)
    finally:
        lab.remove()
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
