#!/usr/bin/python3 -B
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tunnelled packets that the BR did not send, or should not have: the line's side and the LAN's, packet by packet, through
the real tunnel. What cannot be told apart with namespaces alone; the rest is in tests/netns/test_attack.py.

usage: attack_tunnel.py PREFIX [WORD ...]        PREFIX: the line's, such as 2400:4050:48d:2900::/56

Runs in the lab's router, with maped up, the port FORWARDED forwarded to HOST and SERVICE open (t_attack.sh). Prints TAP.
"""

import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "netns"))

import mape  # noqa: E402
from nat_lab import ACK, GRE, Packet, Wire, echo, icmp, ip_packet, run, tcp, udp  # noqa: E402

RULE, A, PSID, CE = mape.params_of_prefix(sys.argv[1])
BR = socket.inet_ntop(socket.AF_INET6, RULE.br)
PORTS = mape.ports_of(RULE, PSID)
FORWARDED, SERVICE = PORTS[0], PORTS[1]
FOREIGN = next(port for port in range(4000, 65536) if RULE.psid(port) != PSID)
# addresses that no host answers for; the wire of lan1 hears for the first
HOST, OTHER, ROUTER, SERVER, SECOND = "192.168.1.77", "192.168.3.10", "192.168.1.1", "203.0.113.99", "203.0.113.98"
STRANGERS = ["2001:db8:beef::10", "2400:4050:48d:2a00:99:f012:3400:2a00", "2001:380:a120::a", "fe80::1", "::1", "ff02::1", CE]
MARTIANS = ["0.1.2.3", "10.1.2.3", "127.0.0.1", "169.254.1.1", "172.16.0.9", HOST, OTHER, ROUTER, "224.0.0.1",
            "255.255.255.255", A]
HOST6, SERVER6 = "2001:db8:1a4:1::77", "2001:db8:beef::10"
IPIP, IPV6, FRAGMENT, NO_NEXT = 4, 41, 44, 59


def require(condition, what):
    if not condition:
        raise AssertionError(what)


def tunnelled(source, inner, destination=CE, kind=IPIP, header=b""):
    """header: one of IPv6's, in front of the inner packet; its first octet names what follows."""
    return (struct.pack("!IHBB", 0x60000000, len(header) + len(inner), kind, 64) + socket.inet_pton(socket.AF_INET6, source)
            + socket.inet_pton(socket.AF_INET6, destination) + header + inner)


def in_parts(packet, ident):
    """Two fragments: 24 octets, and the rest."""
    head, body = packet[:40], packet[40:]
    for offset, part, more in ((0, body[:24], 1), (24, body[24:], 0)):
        yield (head[:4] + struct.pack("!HB", 8 + len(part), FRAGMENT) + head[7:]
               + struct.pack("!BBHI", packet[6], 0, offset | more, ident) + part)


def counted(name):
    return sum(int(run("nft", "list", "counter", family, "maped", name).rsplit("packets ", 1)[1].split()[0])
               for family in ("ip", "ip6"))


def first_packets(source, destination, port):
    yield "UDP", udp(source, 3478, destination, port)
    yield "SYN", tcp(source, 3478, destination, port)
    yield "ACK", tcp(source, 3478, destination, port, ACK)
    yield "echo", echo(source, port, destination)
    yield "GRE", ip_packet(source, destination, GRE, b"\0\0\x08\0" + bytes(20))
    yield "ICMP error", icmp(source, destination, 3, 3, b"\0" * 4, udp(destination, port, source, 3478)[:28])


class Attack:
    """The two wires, and a flow of HOST that lives all the time."""

    def __init__(self):
        os.sched_setaffinity(0, {0})  # packets of one processor keep their order
        self.lan = Wire("lan1", "eth0", self.mac("br0"))
        self.line = Wire("ngn", "ngn0", self.mac("wan0"))
        run("ip", "neigh", "replace", HOST, "lladdr", self.lan.mac.hex(":"), "dev", "br0")
        run("ip", "-6", "neigh", "replace", "fe80::1", "lladdr", self.line.mac.hex(":"), "dev", "wan0")
        self.number = 0
        self.lan.put(udp(HOST, 40000, SERVER, 3478, b"first"))
        out = self.wait(self.left, lambda p: p.dport == 3478)
        self.port = out[-1].sport

    @staticmethod
    def mac(device):
        with open(f"/sys/class/net/{device}/address") as file:
            return bytes.fromhex(file.read().strip().replace(":", ""))

    @staticmethod
    def wait(read, is_last):
        """All that comes, until that."""
        found, until = [], time.monotonic() + 20
        while time.monotonic() < until:
            for packet in read():
                found.append(packet)
                if is_last(packet):
                    return found
            time.sleep(0.001)
        raise AssertionError("what must come does not")

    def left(self):
        """The inner packets that the router has sent to the BR as the CE."""
        found = []
        for frame in self.line.frames():
            packet = frame[14:]
            if frame[12:14] == b"\x86\xdd" and packet[6] == IPIP:
                require(packet[8:40] == socket.inet_pton(socket.AF_INET6, CE) + RULE.br, f"outer addresses {packet[8:40].hex()}")
                found.append(Packet(packet[40:]))
        return found

    def came(self):
        """What HOST has got."""
        return [packet for packet in self.lan.get() if packet.destination == HOST]

    def mark(self):
        self.number += 1
        return b"mark %8d" % self.number

    def harvest(self):
        """What the packets so far have led to in the LAN and on the line. Two that must come through come behind them."""
        mark = self.mark()
        self.line.put(tunnelled(BR, udp(SERVER, 3478, A, self.port, mark)), 0x86DD)
        lan = self.wait(self.came, lambda p: p.body.endswith(mark))
        self.lan.put(udp(HOST, 40000, SERVER, 3478, mark))
        line = self.wait(self.left, lambda p: p.body.endswith(mark))
        require((line[-1].source, line[-1].sport) == (A, self.port), f"the living flow leaves as {line[-1]}")
        return lan[:-1], line[:-1]

    def nothing(self, what):
        lan, line = self.harvest()
        require((lan, line) == ([], []), f"{what}: in the LAN {lan[:3]}, on the line {line[:3]}")

    def from_the_line(self, *packets):
        for packet in packets:
            self.line.put(packet, 0x86DD)

    def from_the_lan(self, *packets):
        for packet in packets:
            self.lan.put(packet, 0x86DD)


def what_the_relay_may_say(it):
    """The control of all others: this comes through, and to the right port only."""
    it.from_the_line(tunnelled(BR, tcp(SECOND, 3478, A, FORWARDED)), tunnelled(BR, udp(SERVER, 9, A, it.port)),
                     tunnelled(BR, udp(SECOND, 9, A, it.port)), tunnelled(BR, udp(SERVER, 9, A, FOREIGN)))
    lan, _ = it.harvest()
    require([(p.source, p.dport) for p in lan] == [(SECOND, 80), (SERVER, 40000)], f"{lan}")


def other_outer_sources(it):
    """Only the BR's address is the other end of the tunnel."""
    for source in STRANGERS:
        for number in (it.port, FORWARDED, SERVICE):
            it.from_the_line(*(tunnelled(source, packet) for inner in (SERVER, SECOND)
                               for _, packet in first_packets(inner, A, number)))
        it.nothing(f"from {source}")


def other_outer_headers(it):
    """4in6 is told by the next header alone, without anything in between that hides it."""
    inner = udp(SERVER, 3478, A, it.port, b"evil")
    nested = tunnelled(BR, inner)
    it.from_the_line(
        tunnelled(BR, nested, kind=IPV6), tunnelled(BR, nested), tunnelled(BR, inner, kind=GRE),
        tunnelled(BR, struct.pack("!HH", 0, 0x800) + inner, kind=GRE),
        tunnelled(BR, inner[:20]), tunnelled(BR, inner[:10]), tunnelled(BR, b""), tunnelled(BR, b"\x65" + inner[1:]),
        tunnelled(BR, inner, kind=FRAGMENT, header=struct.pack("!BBHI", IPIP, 0, 1480 | 1, 7)),
        tunnelled(BR, inner, kind=FRAGMENT, header=struct.pack("!BBHI", IPIP, 0, 8, 8)))
    it.nothing("nested, cut or in parts")


def inner_destinations(it):
    """The BR's address is right, the inner destination is not ours."""
    for destination in (HOST, OTHER, ROUTER, "192.168.1.255", "192.168.3.1", "8.8.8.8", SECOND, "10.9.9.9", "224.0.0.251",
                        "255.255.255.255", "127.0.0.1", "0.0.0.0", "153.240.18.53"):
        for number in (it.port, 40000, FORWARDED, SERVICE, FOREIGN):
            it.from_the_line(*(tunnelled(BR, packet) for _, packet in first_packets(SERVER, destination, number)))
        it.nothing(f"to {destination}")


def inner_sources(it):
    for source in MARTIANS:
        for number in (it.port, FORWARDED, SERVICE):
            it.from_the_line(*(tunnelled(BR, packet) for _, packet in first_packets(source, A, number)))
        it.nothing(f"from {source}")


def from_the_lan_as_the_relay(it):
    """ip6_tunnel takes the BR's packets from everywhere; the table does not."""
    for source in [BR] + STRANGERS:
        packets = [tunnelled(source, packet) for inner in (SERVER, SECOND, A, HOST)
                   for destination, number in ((A, it.port), (A, FORWARDED), (A, SERVICE), (ROUTER, 22), (OTHER, 40000),
                                               ("8.8.8.8", 53), (A, FOREIGN))
                   for _, packet in first_packets(inner, destination, number)]
        for what, sent in (("whole", packets),
                           ("parts", [part for n, packet in enumerate(packets, 100) for part in in_parts(packet, n)])):
            before = counted("inbound")
            it.from_the_lan(*sent)
            it.nothing(f"as {source}, {what}")
            stopped = counted("inbound") - before
            if source == BR:
                require(stopped >= len(packets), f"as {source}, {what}: {stopped} of {len(packets)} counted")


def native(it, name, *packets):
    """What of these IPv6 packets of the LAN leaves by the WAN, as source and destination."""
    it.line.frames()
    it.from_the_lan(*packets, tunnelled(HOST6, name, SERVER6, NO_NEXT))
    found, until = [], time.monotonic() + 20
    while time.monotonic() < until:
        for frame in it.line.frames():
            packet = frame[14:]
            if frame[12:14] == b"\x86\xdd" and packet[40:] == name:
                return found
            if frame[12:14] == b"\x86\xdd" and packet[24:28] != b"\xff\x02\0\0" and packet[6] != 58:
                found.append((socket.inet_ntop(socket.AF_INET6, packet[8:24]), packet[6]))
    raise AssertionError("native IPv6 of the LAN does not leave")


def from_the_lan_as_the_edge(it):
    """The BR takes for ours what comes with our address; nobody else may send so, to whomever."""
    inner = udp(A, it.port, SERVER, 3478, b"past the NAT")
    for destination in (BR, SERVER6, "2400:4050:48d:2a00:99:f012:3400:2a00"):
        before = counted("leaks")
        forged = [tunnelled(CE, inner, destination), tunnelled(CE, inner, destination, NO_NEXT),
                  *in_parts(tunnelled(CE, inner, destination), 1)]
        out = native(it, b"edge " + destination.encode(), *forged)
        require(out == [], f"to {destination} have left {out}")
        require(counted("leaks") >= before + 3, f"to {destination}: {counted('leaks') - before} counted")
        if destination == BR:  # which would call it a violation
            continue
        own = tunnelled(HOST6, inner, destination)
        out = native(it, b"host " + destination.encode(), own, *in_parts(own, 2))
        require(len(out) >= 2 and {source for source, _ in out} == {HOST6}, f"a host's own to {destination}: {out}")
    it.nothing("as the CE")


def router_itself(it):
    """It reaches its own address, and others with it."""
    run("ping", "-6", "-n", "-c", "1", "-W", "5", CE)
    run("ping", "-6", "-n", "-c", "1", "-W", "5", "-I", CE, CE)
    run("ping", "-6", "-n", "-c", "1", "-W", "5", "-I", CE, SERVER6)
    it.nothing("from the router itself")


TESTS = [what_the_relay_may_say, other_outer_sources, other_outer_headers, inner_destinations, inner_sources,
         from_the_lan_as_the_relay, from_the_lan_as_the_edge, router_itself]


def main():
    chosen = [t for t in TESTS if not sys.argv[2:] or any(word in t.__name__ for word in sys.argv[2:])]
    it, failed = Attack(), 0
    print(f"1..{len(chosen)}")
    for number, test in enumerate(chosen, 1):
        try:
            test(it)
            print(f"ok {number} - {test.__name__}", flush=True)
        except (AssertionError, RuntimeError) as error:
            failed += 1
            print(f"not ok {number} - {test.__name__}\n# {type(error).__name__}: {error}", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
