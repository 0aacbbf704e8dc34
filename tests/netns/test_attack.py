#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an attacker at the far end of the tunnel, in the LAN or at the far end of PPPoE can do to the router: nothing
leaks, nothing enters, and who is not attacked does not notice. Every case counts what really came out at the other side,
and ends with what must come out, so that a dead wire is no success.

usage: test_attack.py PATH-OF-nat_driver PATH-OF-maped [WORD...]

Prints TAP. WORDs choose the tests whose names contain one of them. Exit 77: cannot run here.
"""

import contextlib
import functools
import itertools
import os
import random
import re
import select
import socket
import struct
import sys
import time

from nat_lab import (ACK, FIN, GRE, ICMP, PSH, RST, SYN, TCP, UDP, CannotRun, Lab, Packet, Wire, checksum, echo, icmp,
                     in_namespace, ip_packet, run, tcp, udp)
from daemon_lab import DaemonLab

if __name__ == "__main__":
    Lab.ADDRESS = DaemonLab.ADDRESS  # before the tests of the table take it as theirs

import test_nat  # noqa: E402
from test_nat import HOST, OTHER, SECOND, SERVER, require  # noqa: E402

A = Lab.ADDRESS
ROUTER = "192.168.2.1"
ELSEWHERE = "8.8.8.8"
MARTIANS = ["0.1.2.3", "10.1.2.3", "127.0.0.1", "169.254.1.1", "172.16.0.9", "192.168.2.11", "192.168.77.7", "224.0.0.1",
            "240.0.0.1", "255.255.255.255", ROUTER, A]
LEARNT_MAX, LIVING_MAX = 65536, 1 << 20  # lib/kernel/nat_map.h


def nothing(wire, what):
    came = wire.get()
    require(came == [], f"{what}: {len(came)} packets came, {came[:3]}")


# ---- flows that must not notice -------------------------------------------------------------------


class Bystander:
    """A host with a UDP flow and a TCP connection to SERVER. Every number that goes one way must come."""

    def __init__(self, lab, host=OTHER, port=40000):
        self.lab, self.host, self.port = lab, host, port
        self.seq, self.ack, self.lost = 1000, 9001, 0
        self.udp = lab.out(udp(host, port, SERVER, 3478))[0].sport
        self.tcp = lab.out(tcp(host, port, SERVER, 80, seq=999))[0].sport
        lab.back(tcp(SERVER, 80, A, self.tcp, SYN | ACK, seq=9000, ack=1000))
        lab.out(tcp(host, port, SERVER, 80, ACK, seq=self.seq, ack=self.ack))
        lab.back(udp(SERVER, 3478, A, self.udp))

    def comes(self, found, sport, dport, data):
        return any((p.sport, p.dport) == (sport, dport) and p.body.endswith(data) for p in found)

    def exchange(self):
        """One packet of each flow each way."""
        mark = struct.pack("!Q", random.getrandbits(64))
        lab = self.lab
        came = [
            self.comes(lab.out(udp(self.host, self.port, SERVER, 3478, mark)), self.udp, 3478, mark),
            self.comes(lab.back(udp(SERVER, 3478, A, self.udp, mark)), 3478, self.port, mark),
            self.comes(lab.out(tcp(self.host, self.port, SERVER, 80, PSH | ACK, self.seq, self.ack, data=mark)),
                       self.tcp, 80, mark),
            self.comes(lab.back(tcp(SERVER, 80, A, self.tcp, PSH | ACK, self.ack, self.seq + 8, data=mark)),
                       80, self.port, mark)]
        self.seq, self.ack = self.seq + 8, self.ack + 8
        self.lost += came.count(False)
        return came

    def unharmed(self, what):
        came = self.exchange()
        require(all(came), f"{what}: UDP out, in, TCP out, in: {came}")


def with_number(packet, at, number, check=None):
    """Another port or identifier at an offset, where 0 is now; check: where the checksum is."""
    packet = packet[:at] + struct.pack("!H", number) + packet[at + 2:]
    if check is None:
        return packet
    total = (~struct.unpack_from("!H", packet, check)[0] & 0xFFFF) + number
    total = (total & 0xFFFF) + (total >> 16)
    return packet[:check] + struct.pack("!H", ~total & 0xFFFF) + packet[check + 2:]


def every_port(source, sport, protocol):
    """One packet to each of the 65536 ports of the shared address."""
    first = udp(source, sport, A, 0, b"", no_checksum=True) if protocol == UDP else tcp(source, sport, A, 0, SYN, seq=7)
    return (with_number(first, 22, port, None if protocol == UDP else 36) for port in range(65536))


# ---- from the tunnel: ports -----------------------------------------------------------------------


def knock(lab, source, sport, protocol):
    for packet in every_port(source, sport, protocol):
        lab.wan.put(packet)
    nothing(lab.wan, "the router answered")
    return lab.lan.get()


def every_port_of(mode, of_stranger, of_server):
    """New flows to all ports while a host has a mapping on one. Who gets through to it, and nobody to another."""
    def test(lab):
        lab.fresh(f"filtering={mode}")
        host = Bystander(lab)
        for source, wanted in ((SECOND, of_stranger), (SERVER, of_server)):
            got = knock(lab, source, 81, UDP)
            require(len(got) == wanted, f"UDP of {source}: {len(got)} came, {got[:3]}")
            require(all((p.destination, p.dport) == (OTHER, 40000) for p in got), f"{got}")
            got = knock(lab, source, 81, TCP)
            require(got == [], f"TCP of {source} came: {len(got)}, {got[:3]}")
            host.unharmed(source)
        inbound = lab.counts()["inbound"]
        require(inbound == 4 * 65536 - of_stranger - of_server, f"{inbound} counted")
    test.__name__ = f"from_the_tunnel_to_every_port_{mode}"
    return test


def out_of_state(lab):
    """TCP of the live peer's address and port that fits no window, and of strangers in the middle of nothing."""
    lab.fresh()
    host = Bystander(lab)
    far = 1 << 30
    strange = {
        "data beyond the window": tcp(SERVER, 80, A, host.tcp, PSH | ACK, host.ack + far, host.seq, data=b"evil"),
        "RST beyond the window": tcp(SERVER, 80, A, host.tcp, RST, host.ack + far),
        "RST of another port": tcp(SERVER, 81, A, host.tcp, RST, host.ack),
        "RST of a stranger": tcp(SECOND, 80, A, host.tcp, RST, host.ack),
        "data of a stranger": tcp(SECOND, 80, A, host.tcp, PSH | ACK, host.ack, host.seq, data=b"evil"),
        "no flags": tcp(SERVER, 80, A, host.tcp, 0, host.ack),
        "all flags": tcp(SERVER, 80, A, host.tcp, 63, host.ack, host.seq),
        "SYN and FIN": tcp(SECOND, 80, A, host.tcp, SYN | FIN),
        "a wrong checksum": tcp(SERVER, 80, A, host.tcp, PSH | ACK, host.ack, host.seq, data=b"evil", bad_checksum=True),
    }
    for name, packet in strange.items():
        require(lab.back(packet) == [], f"{name}: came")
        nothing(lab.wan, f"{name}, answer")
        host.unharmed(name)


def kinds_of_packets(source, destination, port, **kw):
    """First packets, late ones and false ones of every kind."""
    yield "UDP", udp(source, 53, destination, port, **kw)
    yield "SYN", tcp(source, 53, destination, port, **kw)
    yield "ACK", tcp(source, 53, destination, port, ACK, **kw)
    yield "SYN+ACK", tcp(source, 53, destination, port, SYN | ACK, **kw)
    yield "RST", tcp(source, 53, destination, port, RST, **kw)
    yield "false TCP", tcp(source, 53, destination, port, bad_checksum=True, **kw)
    yield "echo", echo(source, port, destination, **kw)
    yield "echo reply", echo(source, port, destination, kind=0, **kw)
    yield "GRE", ip_packet(source, destination, GRE, b"\0\0\x08\0" + b"x" * 20, **kw)
    yield "ICMP error", icmp(source, destination, 3, 3, b"\0" * 4, udp(destination, port, source, 53)[:28], **kw)


LISTEN = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", %d))
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("224.0.0.251") + socket.inet_aton("%s"))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(100)
    s.sendto(data, peer)
    print(data.decode(), flush=True)
"""


def other_destinations(lab):
    """A packet in the tunnel is for the shared address or for nobody: not for the LAN or an address of the router there,
    and it does not come back out as one of ours. All is open here that can be opened."""
    port, forwarded = lab.set_ports()[3:5]
    lab.fresh("inbound=accept", "filtering=eif", f"open=tcp+udp:{port}", f"forward=tcp+udp:{forwarded}:{HOST}:80")
    host = Bystander(lab)
    service = lab.process("python3", "-c", LISTEN % (port, A))
    try:
        service.stdout.readline()
        for destination in (HOST, OTHER, ROUTER, "192.168.2.255", "192.168.2.77", ELSEWHERE, "10.9.9.9", "127.0.0.1",
                            "224.0.0.251", "255.255.255.255", "0.0.0.0"):
            for number in (port, forwarded, host.udp, host.port, 80):
                for ttl in (64, 2, 1):
                    for name, packet in kinds_of_packets(SERVER, destination, number, ttl=ttl):
                        require(lab.back(packet) == [], f"{name} to {destination}:{number} came")
                        nothing(lab.wan, f"{name} to {destination}:{number} left again")
        host.unharmed("after all that")
        require(len(lab.back(udp(SERVER, 53, A, forwarded))) == 1, "the forward is dead")
        lab.wan.put(udp(SERVER, 53, A, port, b"ours"))
        told = service.stdout.readline().strip()
        answers = lab.wan.get()
    finally:
        service.kill()
        service.communicate()
    require(told == "ours", f"a service of the router heard {told!r} of what was not for the shared address")
    require([p.source for p in answers] == [A], f"the opened service: {answers}")


def sources(lab):
    """Sources that nothing from the Internet has, to a forward and to a port that is open to everybody."""
    forwarded = lab.set_ports()[4]
    lab.fresh("filtering=eif", f"forward=tcp+udp:{forwarded}:{HOST}:80")
    host = Bystander(lab)
    lab.sysctl("net.ipv4.conf.map0.accept_local=1")  # the kernel's own check of our addresses
    try:
        for source in MARTIANS:
            for number in (forwarded, host.udp, host.tcp):
                for name, packet in kinds_of_packets(source, A, number):
                    require(lab.back(packet) == [], f"{name} of {source} to {number} came")
                    nothing(lab.wan, f"{name} of {source} to {number}, answer")
    finally:
        lab.sysctl("net.ipv4.conf.map0.accept_local=0")
    for source in (SECOND, "100.64.1.1"):  # providers answer from the latter
        for packet in (tcp(source, 53, A, forwarded), udp(source, 53, A, forwarded), udp(source, 53, A, host.udp)):
            require(len(lab.back(packet)) == 1, f"{source} does not come through")
    host.unharmed("after all that")


# ---- IPv6 with the address of one of the tunnel's ends --------------------------------------------

CE, BR = "2400:4050:48d:2900:99:f012:3400:2900", "2001:380:a120::9"
HOST6, ROUTER6, SERVER6, LISTENING = "2001:db8:2::10", "2001:db8:2::1", "2001:db8:beef::10", 7777


def ipv6(source, destination, kind, payload):
    return (struct.pack("!IHBB", 0x60000000, len(payload), kind, 64)
            + socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination) + payload)


def udp6(source, destination, body):
    segment = struct.pack("!HHHH", 5000, LISTENING, 8 + len(body), 0) + body
    ends = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination)
    check = checksum(ends + struct.pack("!IHBB", len(segment), 0, 0, UDP) + segment) or 0xFFFF
    return ipv6(source, destination, UDP, segment[:6] + struct.pack("!H", check) + segment[8:])


def in_parts(packet, ident):
    """Two fragments: 40 octets, and the rest."""
    head, body = packet[:40], packet[40:]
    for offset, part, more in ((0, body[:40], 1), (40, body[40:], 0)):
        yield (head[:4] + struct.pack("!HB", 8 + len(part), 44) + head[7:]
               + struct.pack("!BBHI", packet[6], 0, offset | more, ident) + part)


class IPv6Of:
    """The router's IPv6 as long as the test lasts. The CE stands on the interface that is named, and hears at a port."""

    def __init__(self, lab, interface):
        self.lab, self.marks = lab, 0
        router = ("ip", "-n", lab.ns)
        lab.sysctl("net.ipv6.conf.all.forwarding=1")
        for word, device in ((f"{ROUTER6}/64", "lan0"), (f"{CE}/128", interface)):
            run(*router, "addr", "add", word, "dev", device, "nodad")
        run(*router, "-6", "route", "add", "default", "dev", "map0")
        with in_namespace(lab.ns):
            self.ear = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.ear.bind((CE, LISTENING))
        self.ear.setblocking(False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ear.close()
        run("ip", "-n", self.lab.ns, "-6", "route", "del", "default", "dev", "map0", check=False)
        for word, device in ((f"{ROUTER6}/64", "lan0"), (f"{CE}/128", "lo"), (f"{CE}/128", "map0")):
            run("ip", "-n", self.lab.ns, "addr", "del", word, "dev", device, check=False)

    def mark(self):
        self.marks += 1
        return b"mark %8d" % self.marks * 5

    def heard(self):
        found, waiting = [], select.poll()
        waiting.register(self.ear, select.POLLIN)
        waiting.poll(100)  # ms: it has come by now, but for a busy machine
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self.ear.recv(2048))
        return found

    def to_us(self, wire, source, parts=False):
        """Whether a datagram to the CE is heard."""
        mark = self.mark()
        packet = udp6(source, CE, mark)
        for part in in_parts(packet, self.marks) if parts else [packet]:
            wire.put(part, 0x86DD)
        return self.heard() == [mark]

    def passes(self, wire, other, packet, parts=False):
        """Whether anything of it comes out at the other wire."""
        other.frames()
        for part in in_parts(packet, self.marks) if parts else [packet]:
            wire.put(part, 0x86DD)
        return any(found[8:40] == packet[8:40] for found in other.get_ipv6())


def ends_of_the_tunnel(lab):
    """The BR is beyond the WAN (here the tunnel's veth is that as well), and nobody but the router sends as the CE."""
    for place in ("map0", "lo"):
        lab.fresh(f"outer={CE},{BR},map0")
        host = Bystander(lab)
        with IPv6Of(lab, place) as six:
            for parts in (False, True):
                before = lab.counts()
                require(six.to_us(lab.wan, BR, parts), f"not even the BR is heard by the WAN, in parts: {parts}")
                require(six.to_us(lab.lan, HOST6, parts), f"a host of the LAN is not heard, in parts: {parts}")
                require(not six.to_us(lab.lan, BR, parts), f"the LAN has spoken as the BR, in parts: {parts}")
                require(six.to_us(lab.wan, CE, parts), f"another device with our address cannot say so, in parts: {parts}")
                require(lab.counts()["inbound"] > before["inbound"], f"not counted: {lab.counts()}")
                for destination in (BR, SERVER6, "2400:4050:48d:2a00:99:f012:3400:2a00"):
                    for make in (lambda *ends: udp6(*ends, b"x" * 60),
                                 lambda *ends: ipv6(*ends, 4, udp(A, host.udp, SERVER, 3478, b"x" * 60)),
                                 lambda *ends: ipv6(*ends, 6, tcp(A, 1, SERVER, 80, SYN)[20:] + b"x" * 60),
                                 lambda *ends: ipv6(*ends, 58, b"\2\0\0\0\0\0\5\0" + bytes(60))):
                        what = make(HOST6, destination)
                        require(six.passes(lab.lan, lab.wan, what, parts), f"the LAN has no IPv6 to {destination}")
                        what = make(CE, destination)
                        require(not six.passes(lab.lan, lab.wan, what, parts), f"the CE from the LAN to {destination}")
                require(lab.counts()["leaks"] >= before["leaks"] + 12, f"not counted: {lab.counts()}")
                require(not six.passes(lab.wan, lab.lan, udp6(CE, HOST6, b"x" * 60), parts), "the CE from the WAN")
                require(six.passes(lab.wan, lab.lan, udp6(SERVER6, HOST6, b"x" * 60), parts), "nothing from the WAN")
            with in_namespace(lab.ns):
                own = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            with own:
                own.bind((CE, 0))
                for destination, packets in (CE, six.heard), (SERVER6, lab.wan.get_ipv6):
                    mark = six.mark()
                    own.sendto(mark, (destination, LISTENING))
                    require(any(mark in found for found in packets()), f"the router itself does not reach {destination}")
        host.unharmed("after all that")


# ---- fragments ------------------------------------------------------------------------------------


def fragment(packet, first, last, more, ident, data=None):
    """Octets first to last of the payload of packet."""
    source, destination = (".".join(map(str, packet[at:at + 4])) for at in (12, 16))
    body = packet[20 + first:20 + last] if data is None else data
    return ip_packet(source, destination, packet[9], body, ident=ident, flags=(0x2000 if more else 0) | first // 8)


def renumbered(part, ident):
    head = part[:4] + struct.pack("!H", ident) + part[6:10] + b"\0\0" + part[12:20]
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + part[20:]


def false_fragments(whole, other, ident):
    """Ways in which parts can be laid on each other. whole: what should arrive; other: the same length, forbidden."""
    end, middle = len(whole) - 20, 24

    def part(first, last, more=None, of=whole):
        return fragment(of, first, last, last < end if more is None else more, ident)

    yield "overlap by eight octets", [part(0, middle + 8), part(middle, end)]
    yield "overlap, last first", [part(middle, end), part(0, middle + 8)]
    yield "the head twice, forbidden second", [part(0, middle), part(0, middle, of=other), part(middle, end)]
    yield "the head twice, forbidden first", [part(0, middle, of=other), part(0, middle), part(middle, end)]
    yield "a second head inside the first", [part(0, middle), part(0, 8, of=other), part(middle, end)]
    yield "the ports again at offset 8", [part(0, 16), part(8, middle, of=other), part(middle, end)]
    yield "an end before the end", [part(0, middle), part(middle, end - 8, more=False), part(middle, end)]
    yield "something behind the end", [part(0, middle), part(middle, end), fragment(whole, 64, 72, False, ident, b"evil" * 2)]
    yield "no first", [part(middle, end)]
    yield "no first, twice", [part(middle, end), part(middle, end)]
    yield "a hole", [part(0, 16), part(middle, end)]
    yield "no last", [part(0, middle)]
    yield "length of no eight octets", [fragment(whole, 0, 20, True, ident), part(middle, end)]
    yield "beyond 65535", [part(0, middle), fragment(whole, 65528, 65528, False, ident, b"x" * 100)]
    yield "of no length", [part(0, middle), fragment(whole, middle, middle, True, ident)]


def joined(parts):
    """What a host makes of them: one packet; None of nothing."""
    parts = sorted(parts, key=lambda p: p.offset)
    at = 0
    for part in parts:
        require(part.offset * 8 == at and part.more == (part is not parts[-1]), f"do not fit together: {parts}")
        at += len(part.body)
    return Packet(parts[0].raw[:2] + struct.pack("!HHH", 20 + at, 0, 0) + parts[0].raw[8:20]
                  + b"".join(p.body for p in parts)) if parts else None


def lay(put, get, whole, other, ident, right):
    """What arrives of them is nothing, or what is right. Returns the next free identifier, and how many arrived."""
    arrived = 0
    for step, (name, parts) in enumerate(false_fragments(whole, other, ident)):
        for part in parts:
            put(renumbered(part, ident + step))
        came = joined(get())
        require(came is None or right(came), f"{name}: {came}")
        arrived += came is not None
    return ident + step + 1, arrived


def fragments_from_the_tunnel(lab):
    lab.fresh()
    lab.sysctl("net.ipv4.ipfrag_time=1")
    host, put = Bystander(lab), lab.wan.put
    foreign = next(p for p in range(4000, 65536) if not lab.in_set(p))
    ident, data = 100, b"0123456789" * 5 + b"123456"
    allowed = udp(SERVER, 3478, A, host.udp, data, no_checksum=True)
    for other in (udp(SERVER, 3478, A, foreign, data, no_checksum=True),
                  udp(SECOND, 3478, A, host.udp, data, no_checksum=True)):
        ident, arrived = lay(put, lab.lan.get, allowed, other, ident,
                             lambda p: (p.source, p.destination, p.dport, p.body[8:]) == (SERVER, OTHER, 40000, data))
        require(arrived > 0, "not even what repeats itself arrived")
    for destination, number in ((OTHER, 40000), (A, foreign), (A, lab.set_ports()[9]), (ROUTER, 53)):
        whole = udp(SERVER, 3478, destination, number, data, no_checksum=True)
        ident, _ = lay(put, lab.lan.get, whole, other, ident, lambda _: False)
        for at in range(0, 64, 8):  # nothing false with it, but tiny parts, in any order
            put(fragment(whole, 56 - at, 64 - at, at > 0, ident))
        nothing(lab.lan, f"tiny parts to {destination}:{number}")
    whole = tcp(SERVER, 81, A, host.tcp, data=b"x" * 8)  # a SYN whose flags are in the second part
    for part in (fragment(whole, 0, 8, True, 7000), fragment(whole, 8, 28, False, 7000)):
        put(part)
    nothing(lab.lan, "a SYN in two parts")
    time.sleep(2.5)  # the router may tell of the ends it has waited for, as far as they were for ports of ours
    for packet in lab.wan.get():
        require(packet.kind == 11 and packet.source == A and packet.inner.destination == A
                and lab.in_set(packet.inner.dport), f"about parts: {packet}, {packet.inner}")
    for order in (1, -1):
        parts = [fragment(allowed, at, at + 8, at < 56, 8000 + order) for at in range(0, 64, 8)]
        for part in parts[::order]:
            put(part)
        came = joined(lab.lan.get())
        require(came and (came.destination, came.body[8:]) == (OTHER, data), f"tiny parts that are right: {came}")
    host.unharmed("after all that")


def fragments_from_the_lan(lab):
    lab.fresh()
    lab.sysctl("net.ipv4.ipfrag_time=1")
    host, put, data = Bystander(lab), lab.lan.put, b"0123456789" * 5 + b"123456"
    whole, other = (udp(OTHER, port, SERVER, 3478, data, no_checksum=True) for port in (40000, 656))
    ident, _ = lay(put, lab.wan.get, whole, other, 100,
                   lambda p: ours(lab, p) and (p.dport, p.body[8:]) == (3478, data))
    for protocol in (TCP, ICMP, GRE):
        whole = ip_packet(HOST, SERVER, protocol, bytes(64))
        ident, _ = lay(put, lab.wan.get, whole, whole, ident, lambda p: False)
    time.sleep(2.5)
    nothing(lab.wan, "when the waiting is over")
    for part in (fragment(udp(OTHER, 40000, SERVER, 3478, data), 32, 64, False, 9000),
                 fragment(udp(OTHER, 40000, SERVER, 3478, data), 0, 32, True, 9000)):
        put(part)
    out = joined(lab.wan.get())
    require(out and (out.source, out.sport, out.body[8:]) == (A, host.udp, data), f"right ones, last first: {out}")
    host.unharmed("after all that")


# ---- ICMP errors ----------------------------------------------------------------------------------


def with_options(packet, options, **kw):
    """The same packet with options in its header, a multiple of 4 octets."""
    head = bytes([packet[0] + len(options) // 4]) + packet[1:2] + struct.pack("!H", len(packet) + len(options))
    head += packet[4:10] + b"\0\0" + packet[12:20] + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + packet[20:]


NOP = b"\x01\x01\x01\x00"
ERRORS = [(3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (4, 0), (5, 1), (11, 0), (12, 0)]


def icmp_errors_from_the_tunnel(lab):
    """About flows that are not there, or of a packet that nobody sent."""
    lab.fresh()
    host = Bystander(lab)
    idle = next(p for p in lab.set_ports() if p not in (host.udp, host.tcp))
    foreign = next(p for p in range(4000, 65536) if not lab.in_set(p))
    sent = udp(A, host.udp, SERVER, 3478)
    embedded = {
        "another destination": udp(A, host.udp, SECOND, 3478),
        "another port there": udp(A, host.udp, SERVER, 3479),
        "another port of ours": udp(A, idle, SERVER, 3478),
        "a foreign port": udp(A, foreign, SERVER, 3478),
        "the LAN's side": udp(OTHER, 40000, SERVER, 3478),
        "the LAN's side, as answered": udp(SERVER, 3478, OTHER, 40000),
        "the answer": udp(SERVER, 3478, A, host.udp),
        "another address": udp(SECOND, host.udp, SERVER, 3478),
        "another protocol": ip_packet(A, SERVER, 136, sent[20:]),
        "TCP of nobody": tcp(A, idle, SERVER, 80),
        "an echo of nobody": echo(A, idle, SERVER),
        "options, of nobody": with_options(udp(A, idle, SERVER, 3478), NOP),
        "options that hide the ports": with_options(udp(A, foreign, SERVER, 3478), sent[20:24] + sent[20:24]),
        "a later part": udp(A, host.udp, SERVER, 3478, flags=5),
        "a header and nothing": sent[:20],
        "half a header": sent[:10],
        "seven octets": sent[:27],
        "nothing": b"",
        "no IPv4": b"\x60" + sent[1:],
        "a header too long": b"\x4f" + sent[1:28],
        "an error": icmp(A, SERVER, 3, 3, b"\0" * 4, udp(SERVER, 3478, A, host.udp)),
    }
    for name, inner in embedded.items():
        for kind, code in ERRORS:
            for source, destination in ((SECOND, A), (SERVER, A), (SECOND, OTHER), (SERVER, OTHER), (SERVER, ROUTER)):
                require(lab.back(icmp(source, destination, kind, code, b"\0" * 4, inner)) == [],
                        f"{kind}/{code} to {destination} about {name} came")
                nothing(lab.wan, f"answer to {kind}/{code} about {name}")
    right = icmp(SECOND, A, 3, 3, b"\0" * 4, sent[:28])
    for name, packet in {
            "a wrong checksum": right[:22] + b"\0\0" + right[24:],
            "a redirect of NAT's": icmp(SECOND, A, 5, 1, address_of(SECOND), sent[:28]),
            "to the LAN": icmp(SECOND, OTHER, 3, 3, b"\0" * 4, sent[:28]),
            "to the router in the LAN": icmp(SECOND, ROUTER, 3, 3, b"\0" * 4, sent[:28]),
            "cut short": ip_packet(SECOND, A, ICMP, right[20:26])}.items():
        require(lab.back(packet) == [], f"{name}: came")
    host.unharmed("after all that")
    stream = tcp(A, host.tcp, SERVER, 80, ACK, host.seq, host.ack)
    for inner in (sent, sent[:28], stream, stream[:28], with_options(sent, NOP)):
        for kind, code in ((3, 1), (3, 4), (11, 0), (12, 0)):
            came = lab.back(icmp(SECOND, A, kind, code, struct.pack("!HH", 0, 1400), inner))
            require(len(came) == 1 and came[0].destination == OTHER and came[0].kind == kind, f"a right one: {came}")
            shown = came[0].inner.raw
            require(shown[12:16] == address_of(OTHER), f"a right one shows {came[0].inner}")
    host.unharmed("after the right ones")


def address_of(text):
    return bytes(map(int, text.split(".")))


def icmp_errors_from_the_lan(lab):
    """What leaves is about a packet that came to a port of ours, and says so."""
    lab.fresh()
    host = Bystander(lab)
    foreign = next(p for p in range(4000, 65536) if not lab.in_set(p))
    idle = next(p for p in lab.set_ports() if p not in (host.udp, host.tcp))
    came = udp(SERVER, 3478, OTHER, 40000)
    embedded = {
        "another port": udp(SERVER, 3479, OTHER, 40000),
        "another host": udp(SERVER, 3478, HOST, 40000),
        "a port without a flow": udp(SERVER, 3478, OTHER, 40001),
        "the outer side, foreign port": udp(SERVER, 3478, A, foreign),
        "the outer side, idle port": udp(SERVER, 3478, A, idle),
        "the outer side": udp(SERVER, 3478, A, host.udp),
        "its own packet": udp(OTHER, 40000, SERVER, 3478),
        "another protocol": ip_packet(SERVER, OTHER, GRE, came[20:]),
        "options, without a flow": with_options(udp(SERVER, 9, OTHER, 9), NOP),
        "an error": icmp(SERVER, OTHER, 3, 3, b"\0" * 4, udp(OTHER, 40000, SERVER, 3478)),
        "a header and nothing": came[:20],
        "seven octets": came[:27],
        "nothing": b"",
        "no IPv4": b"\x60" + came[1:],
        "a header too long": b"\x4f" + came[1:28],
    }
    for name, inner in embedded.items():
        for kind, code in ERRORS:
            for source, destination in ((OTHER, SERVER), (HOST, SERVER), (OTHER, SECOND), (A, SERVER), (ELSEWHERE, SERVER)):
                out = lab.out(icmp(source, destination, kind, code, b"\0" * 4, inner))
                require(out == [], f"{kind}/{code} of {source} about {name} left: {out}")
    for inner in (came, came[:28]):
        for kind, code in ((3, 3), (3, 4), (11, 1), (12, 0)):
            out = lab.out(icmp(OTHER, SERVER, kind, code, struct.pack("!HH", 0, 1400), inner))
            require(len(out) == 1 and out[0].source == A and out[0].kind == kind, f"a right one: {out}")
            shown = out[0].inner
            require((shown.destination, shown.dport) == (A, host.udp), f"a right one shows {shown}")
    host.unharmed("after all that")


# ---- from the LAN ---------------------------------------------------------------------------------


def ours(lab, packet):
    """Of our address and our port; an error is about what came there."""
    inner = packet.inner if packet.protocol == ICMP else None
    if inner:
        return (packet.source, inner.destination) == (A, A) and lab.in_set(inner.dport)
    return packet.source == A and packet.sport is not None and lab.in_set(packet.sport)


def only_ours(lab, packet, what):
    out = lab.out(packet)
    require(all(ours(lab, p) for p in out), f"{what} left as {out}")
    return out


def spoofed_sources(lab):
    """A source that is not the LAN's is translated or dropped; what answers it goes nowhere."""
    lab.fresh()
    host = Bystander(lab)
    for source in MARTIANS + [ELSEWHERE, SERVER, "153.240.18.53", "100.64.9.9"]:
        for name, packet in kinds_of_packets(source, SECOND, 53):
            for out in only_ours(lab, packet, f"{name} of {source}"):
                if out.protocol == ICMP and out.inner:
                    continue
                answer = {UDP: lambda: udp(SECOND, 53, A, out.sport), ICMP: lambda: echo(SECOND, out.sport, A, kind=0),
                          TCP: lambda: tcp(SECOND, 53, A, out.sport, SYN | ACK)}[out.protocol]()
                lab.back(answer)
                nothing(lab.wan, f"the answer to {name} of {source}")
    require(lab.out(udp(A, host.udp, SERVER, 3478)) == [], "the shared address from inside")
    require(len(lab.out(udp(HOST, 53, SECOND, 53))) == 1, "a true source does not leave")
    host.unharmed("after all that")


def states_from_the_lan(lab):
    """What conntrack cannot place is not translated, and so must not leave."""
    lab.fresh()
    host = Bystander(lab)
    far = 1 << 30
    for name, packet in {
            "data beyond the window": tcp(OTHER, 40000, SERVER, 80, PSH | ACK, host.seq + far, host.ack, data=b"x" * 9),
            "an ACK of what was not sent": tcp(OTHER, 40000, SERVER, 80, ACK, host.seq, host.ack + far),
            "RST beyond the window": tcp(OTHER, 40000, SERVER, 80, RST, host.seq + far),
            "RST without a flow": tcp(HOST, 9, SERVER, 80, RST),
            "RST+ACK without a flow": tcp(HOST, 9, SERVER, 80, RST | ACK),
            "no flags": tcp(HOST, 9, SERVER, 80, 0),
            "all flags": tcp(HOST, 9, SERVER, 80, 63),
            "SYN and FIN": tcp(HOST, 9, SERVER, 80, SYN | FIN),
            "a wrong checksum": tcp(HOST, 9, SERVER, 80, bad_checksum=True),
            "UDP too short": ip_packet(HOST, SERVER, UDP, struct.pack("!HHHH", 9, 9, 8, 0)[:6]),
            "UDP longer than its packet": ip_packet(HOST, SERVER, UDP, struct.pack("!HHHH", 9, 9, 99, 0)),
            "TCP too short": ip_packet(HOST, SERVER, TCP, b"\0\x09\0\x09" + b"\0" * 8),
            "an echo reply": echo(HOST, 9, SERVER, kind=0),
            "ICMP too short": ip_packet(HOST, SERVER, ICMP, b"\x08\0"),
            "ICMP of no kind": icmp(HOST, SERVER, 99, 0, b"\0" * 4)}.items():
        require(lab.out(packet) == [], f"{name} left")
        host.unharmed(name)
    for name, packet in {"ACK without a flow": tcp(HOST, 10, SERVER, 80, ACK), "FIN": tcp(HOST, 11, SERVER, 80, FIN | ACK),
                         "SYN+ACK": tcp(HOST, 12, SERVER, 80, SYN | ACK), "data": tcp(HOST, 13, SERVER, 80, ACK, data=b"x"),
                         "timestamp request": icmp(HOST, SERVER, 13, 0, struct.pack("!HHIII", 7, 1, 0, 0, 0)),
                         "address mask request": icmp(HOST, SERVER, 17, 0, struct.pack("!HHI", 7, 1, 0)),
                         "router solicitation": icmp(HOST, SERVER, 10, 0, b"\0" * 4),
                         "UDP of port 0": udp(HOST, 0, SERVER, 53), "TCP of port 0": tcp(HOST, 0, SERVER, 53),
                         "UDP to port 0": udp(HOST, 9, SERVER, 0)}.items():
        only_ours(lab, packet, name)
    require(len(lab.out(tcp(HOST, 14, SERVER, 80))) == 1, "a SYN does not leave")
    require(lab.counts()["leaks"] > 0, "nothing was kept from leaving")


def protocols_from_the_lan(lab):
    """All that have no ports, or none that MAP-E knows."""
    lab.fresh()
    for protocol in set(range(256)) - {ICMP, TCP, UDP}:
        for body in (bytes(40), struct.pack("!HHHH", 40000, 53, 40, 0) + bytes(32)):
            out = lab.out(ip_packet(HOST, SERVER, protocol, body))
            require(out == [], f"protocol {protocol} left: {out}")
    lab.lan.get()  # what the senders were told
    for protocol in set(range(256)) - {ICMP, TCP, UDP}:
        require(lab.back(ip_packet(SERVER, A, protocol, bytes(40))) == [], f"protocol {protocol} came")
        nothing(lab.wan, f"protocol {protocol}, answer")
    require(len(lab.out(udp(HOST, 40000, SERVER, 53))) == 1, "UDP does not leave")


def route_option(kind, *hops):
    """Loose (131) or strict (137) source routing, or recording (7); its pointer at the first."""
    return (bytes([1, kind, 3 + 4 * len(hops), 4]) + b"".join(map(address_of, hops))).ljust(4 + 4 * len(hops), b"\0")


def options_in_the_header(lab):
    """Options move the ports, ask to be written to, and name other ways."""
    lab.fresh()
    host = Bystander(lab)
    for word in ("all", "lan0", "map0"):
        lab.sysctl(f"net.ipv4.conf.{word}.accept_source_route=1")
    options = {
        "nothing": NOP, "forty octets of nothing": b"\x01" * 40, "router alert": b"\x94\x04\0\0",
        "record route": route_option(7, "0.0.0.0", "0.0.0.0"), "timestamp": b"\x44\x0c\x05\0" + bytes(8),
        "loose route": route_option(131, SECOND), "strict route": route_option(137, SECOND),
        "loose route to the LAN": route_option(131, HOST), "loose route by the router": route_option(131, ROUTER, SECOND),
        "of no kind": b"\x9e\x04\0\0", "too long": b"\x07\x28\x04\0", "of length 1": b"\x07\x01\x04\0",
        "of length 0": b"\x83\0\x04\0", "a pointer beyond": b"\x07\x07\xff" + bytes(5), "ports": struct.pack("!HH", 53, 53)}
    left = {}
    for name, words in options.items():
        for destination in (SERVER, ROUTER, A):
            for packet in (udp(HOST, 40000, destination, 53), tcp(HOST, 40000, destination, 53), echo(HOST, 7, destination),
                           tcp(HOST, 40000, destination, 53, RST)):
                for out in only_ours(lab, with_options(packet, words), f"{name}, to {destination}"):
                    left.setdefault(name, []).append(out)
    require({"nothing", "router alert"} <= set(left), f"what is harmless does not leave: {set(left)}")
    for word in ("all", "lan0", "map0"):
        lab.sysctl(f"net.ipv4.conf.{word}.accept_source_route=0")
    lab.lan.get()
    for name, words in options.items():
        for packet in (udp(SECOND, 53, A, host.udp), tcp(SECOND, 53, A, host.tcp), udp(SECOND, 53, A, 656),
                       udp(SERVER, 3479, ROUTER, 53), tcp(SERVER, 80, HOST, 80), echo(SERVER, 5, A)):
            require(lab.back(with_options(packet, words)) == [], f"{name}: came from the tunnel")
            nothing(lab.wan, f"{name}: came back out")
    require(len(lab.back(with_options(udp(SERVER, 3478, A, host.udp), NOP))) == 1, "an answer with options does not come")
    host.unharmed("after all that")

# ---- floods ---------------------------------------------------------------------------------------

FLOODER, LATER = "192.168.2.66", "192.168.2.12"
VISITS_MAX = 4096  # lib/kernel/nat_map.h
FLOOD_PORT = 7000


def attributes(data):
    at = 0
    while at < len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        yield kind & 0x3FFF, data[at + 4:at + length]
        at += length + 3 & ~3


def listed(lab, name):
    """Elements of a set: (how many, the longest time that one has left in seconds). nft takes seconds for a full one.
    uapi/linux/netfilter/nf_tables.h: NFT_MSG_GETSETELEM, NFTA_SET_ELEM_LIST_*, NFTA_SET_ELEM_EXPIRATION."""
    words = b"".join(struct.pack("=HH", 5 + len(text), kind) + (text.encode() + b"\0").ljust(len(text) + 4 & ~3, b"\0")
                     for kind, text in ((1, "maped"), (2, name)))
    count = longest = 0
    with in_namespace(lab.ns), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as asking:
        asking.send(struct.pack("=IHHIIBBH", 20 + len(words), 10 << 8 | 13, 0x301, 1, 0, socket.AF_INET, 0, 0) + words)
        while True:
            data = asking.recv(1 << 18)
            while data:
                length, kind = struct.unpack_from("=IH", data)
                if kind in (2, 3):  # NLMSG_ERROR, NLMSG_DONE
                    require(kind == 3, f"{name}: {data[16:20].hex()}")
                    return count, longest // 1000
                for _, elements in (pair for pair in attributes(data[20:length]) if pair[0] == 3):
                    for _, element in attributes(elements):
                        count += 1
                        longest = max(longest, int.from_bytes(dict(attributes(element)).get(5, b""), "big"))
                data = data[length + 3 & ~3:]


def bounded(lab, *names):
    """What is learnt fits what it may fit; how much it is. What lives as long as a connection is bounded by conntrack."""
    sizes = {name: listed(lab, name)[0] for name in names}
    for name, size in sizes.items():
        most = LIVING_MAX if "_busy" in name or "_host_" in name else LEARNT_MAX
        require(size <= most, f"{name} is beyond {most}: {size}")
    return sizes


def first_of_many(make, at, check, hosts, ports, places):
    """A first packet from every port of every host, to one place after the other."""
    for host in hosts:
        patterns = [make(host, place) for place in places[:len(ports)]]
        for number, port in enumerate(ports):
            yield with_number(patterns[number % len(patterns)], at, port, check)


datagrams = functools.partial(
    first_of_many, lambda host, place: udp(host, 0, place, FLOOD_PORT, b"", no_checksum=True), 20, None)
connections = functools.partial(first_of_many, lambda host, place: tcp(host, 0, place, FLOOD_PORT, seq=7), 20, 36)
echoes = functools.partial(first_of_many, lambda host, place: echo(host, 0, place), 24, 22)


PLACES = [f"203.0.113.{n}" for n in range(20, 220)]
BYSTANDING = "203.0.113.250"


def conntrack_holds(lab, flows):
    """None, or why a test that needs so many is not run."""
    most = int(lab.inside("cat", "/proc/sys/net/netfilter/nf_conntrack_max"))
    return None if most >= flows else f"SKIP nf_conntrack_max is {most} here: conntrack is full before the sets are"


class Patient:
    """Flows end when the test says so, not while it still goes on: a slow machine sees the same."""

    WORDS = {"udp_timeout": 30, "icmp_timeout": 30, "tcp_timeout_syn_sent": 120, "udp_timeout_stream": 120}

    def __init__(self, lab):
        self.lab = lab

    def __enter__(self):
        for word in self.WORDS:
            self.lab.sysctl(f"net.netfilter.nf_conntrack_{word}=3600")

    def __exit__(self, *_):
        self.lab.inside("conntrack", "-F", check=False)
        for word, seconds in self.WORDS.items():
            self.lab.sysctl(f"net.netfilter.nf_conntrack_{word}={seconds}")


def settled(lab):
    """A bystander whose flows have gone both ways for long enough to be known as streams."""
    host = Bystander(lab)
    host.exchange()
    time.sleep(2.2)  # nf_conntrack_proto_udp.c
    host.exchange()
    return host


def gets_out(lab, packet):
    out = lab.out(packet)
    require(all(ours(lab, p) for p in out), f"{out}")
    require(len(out) == 1, "a new flow of another host does not get out at once")


def flood(lab, wire, packets, host):
    """Puts them all on wire, with everyday life in between: flows that are there lose nothing, and hosts that come new get
    out at once. Returns what of the flood came out at the other side."""
    other, arrived, fresh = lab.wan if wire is lab.lan else lab.lan, [], 0
    for number, packet in enumerate(packets):
        wire.put(packet)
        if number % 4096 == 0:
            arrived += other.get()
            wire.frames()
            host.exchange()
            for make in (udp, tcp):
                gets_out(lab, make(f"192.168.2.{70 + fresh % 100}", 20000 + fresh, BYSTANDING, 9))
            fresh += 1
    require(host.lost == 0, f"{host.lost} packets of flows that were there are lost")
    return arrived + other.get()


def new_flows_work(lab, host, count=500):
    """Endpoints of a host to one place: each has a port, and keeps it towards others."""
    before = lab.counts()["refused"]
    for make in (udp, tcp):
        first = [lab.out(make(host, 30000 + n, BYSTANDING, 99)) for n in range(count)]
        require(all(len(out) == 1 for out in first), f"{sum(not out for out in first)} of {count} new flows are lost")
        require(len({out[0].sport for out in first}) == count, "two flows to one place with the same port")
        same = [lab.out(make(host, 30000 + n, "203.0.113.251", 99)) for n in range(0, count, 10)]
        kept = sum(bool(b) and a[0].sport == b[0].sport for a, b in zip(first[::10], same))
    require(lab.counts()["refused"] == before, f"refused: {before} before, now {lab.counts()['refused']}")
    return kept == len(same)


def flood_under_a_limit(lab):
    """One host tries every port of every protocol. It has those of its limit, and the others have theirs."""
    limit = 50
    lab.fresh(f"host_limit={limit}")
    with Patient(lab):
        host, held, sent = settled(lab), set(), 0
        for make in (datagrams, connections, echoes):
            for packet in flood(lab, lab.lan, make([FLOODER], range(1, 65536), PLACES), host):
                if packet.destination in PLACES:
                    require(ours(lab, packet), f"{packet}")
                    held.add((packet.protocol, packet.sport))
        require(len(held) == limit, f"a host limited to {limit} ports has had {len(held)}")
        require(lab.counts()["refused"] == 3 * 65535 - limit, f"refused: {lab.counts()['refused']}")
        sizes = bounded(lab, "map_host_live", "map_host_limit_50", "map_host_place_50", "map_udp_owner", "map_tcp_owner", "map_udp_busy")
        require(sizes["map_host_live"] < 2000, f"what was refused is still there: {sizes}")
        require(lab.out(udp(FLOODER, 1000, BYSTANDING, 9)) == [], "beyond its limit, the host has yet another port")
        lab.inside("conntrack", "-D", "-s", FLOODER, check=False)
        require(len(lab.out(udp(FLOODER, 1000, BYSTANDING, 9))) == 1, "a host has no port after its flows have ended")


def limit_and_a_trick(lab):
    """What an endpoint counts by is its first connection: a host ends all of these, and goes on with others, to one place.
    There it has the ports of its limit all the same, and the others have the rest."""
    limit = 50
    lab.fresh(f"host_limit={limit}")
    with Patient(lab):
        for make in (udp, tcp):
            held = set()
            for start in range(10000, 10400, 40):
                for port in range(start, start + 40):
                    lab.out(make(FLOODER, port, SECOND, 9))
                    held |= {p.sport for p in lab.out(make(FLOODER, port, BYSTANDING, 9))}
                lab.inside("conntrack", "-D", "-d", SECOND, check=False)
            require(len(held) == limit, f"a host limited to {limit} ports has had {len(held)} to one place")
            rest = sum(len(lab.out(make(f"192.168.2.{100 + n % 100}", 20000 + n, BYSTANDING, 9))) for n in range(900))
            require(rest == 900, f"the others have {rest} ports of 900")
            lab.inside("conntrack", "-F", check=False)
            time.sleep(1.5)  # until the sets have been swept


def flood_of_spoofed_hosts(lab):
    """The limit counts addresses, and the flooder takes 70000 of them. When that is over, all is as before."""
    if reason := conntrack_holds(lab, 200000):
        return reason
    lab.fresh("host_limit=600")
    with Patient(lab):
        host = settled(lab)
        spoofed = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(70000)]
        packets = (udp(source, 5000, PLACES[n % 200], FLOOD_PORT, b"", no_checksum=True) for n, source in enumerate(spoofed))
        for packet in flood(lab, lab.lan, packets, host):
            require(ours(lab, packet), f"{packet}")
        host.unharmed("at its end")
        sizes = bounded(lab, "map_host_live", "map_host_limit_600", "map_host_place_600", "map_udp_owner", "map_udp_busy", "map_contacted")
        require(sizes["map_udp_owner"] == LEARNT_MAX, f"this is not all that can be kept: {sizes}")
        lab.inside("conntrack", "-F", check=False)
        time.sleep(3)  # until the sets have been swept
        require(new_flows_work(lab, LATER, 200), "endpoints lose their ports")
    return None


def flood_of_connections(lab):
    """More living flows of one host than endpoints and peers can be kept: each is noted all the same, so that a new flow of
    another meets no port that is taken."""
    if reason := conntrack_holds(lab, 200000):
        return reason
    lab.fresh()
    with Patient(lab):
        host = settled(lab)
        for make in (datagrams, connections):
            for ports, places in ((range(1000, 61000), PLACES), (range(1000, 13000), PLACES[100:])):
                for packet in flood(lab, lab.lan, make([FLOODER], ports, places), host):
                    require(ours(lab, packet), f"{packet}")
        sizes = bounded(lab, "map_udp_busy", "map_udp_owner", "map_contacted", "map_tcp_busy", "map_tcp_owner")
        require(min(sizes["map_udp_busy"], sizes["map_tcp_busy"]) > LEARNT_MAX, f"flows are not noted: {sizes}")
        host.unharmed("behind it")
        lab.inside("conntrack", "-F", check=False)
        time.sleep(3)  # until the set of living connections has been swept
        require(new_flows_work(lab, LATER), "endpoints lose their ports")
    return " ".join(f"{name}: {size}" for name, size in sizes.items())


def flood_of_endpoints(lab):
    """All endpoints that can be kept are the flooder's. The others get ports all the same, if not the same to every place,
    and what nobody ever answered is not kept for long."""
    if reason := conntrack_holds(lab, 200000):
        return reason
    lab.fresh()
    names = {"map_udp_owner": datagrams, "map_tcp_owner": connections}
    with Patient(lab):
        for name, make in names.items():
            for flooder in (f"192.168.2.{n}" for n in range(200, 206)):
                host = Bystander(lab)
                flood(lab, lab.lan, make([flooder], range(1, 33000), PLACES), host)
                host.unharmed("behind it")
                lab.inside("conntrack", "-F", check=False)
                time.sleep(1.5)  # until the set of living connections has been swept
                if bounded(lab, name)[name] == LEARNT_MAX:
                    break
        sizes = bounded(lab, *names)
        require(set(sizes.values()) == {LEARNT_MAX}, f"this is not all that can be kept: {sizes}")
        new_flows_work(lab, LATER)
        lab.inside("nft", "flush map ip maped map_udp_owner; flush map ip maped map_tcp_owner")
        lab.out(udp(HOST, 4000, SERVER, 53))
        lab.out(tcp(HOST, 4000, SERVER, 53))
        for name in names:
            size, left = listed(lab, name)
            require(size == 1 and left <= 300, f"{name}: {size} endpoints, never answered, kept for {left} s more")
        Bystander(lab, LATER, 45000).exchange()
        for name in names:
            require(listed(lab, name)[1] > 3000, f"{name}: an answered endpoint is kept for {listed(lab, name)[1]} s only")
    return None


def flood_of_a_peer(lab):
    """A peer that a host has written to may answer from any port; it does from all. The others do not notice."""
    lab.fresh()
    with Patient(lab):
        host = settled(lab)
        lab.out(udp(OTHER, 40000, SECOND, 1))
        packets = (udp(source, port, A, host.udp, b"", no_checksum=True) for source in (SERVER, SECOND)
                   for port in range(1, 65536) if (source, port) != (SERVER, 3478))
        came = flood(lab, lab.wan, packets, host)
        require(len(came) == VISITS_MAX + 1, f"{len(came)} have come, one of them in a flow that was there")
        require(all((p.destination, p.dport) == (OTHER, 40000) for p in came), "not all to the host")
        bounded(lab, "map_udp_busy", "map_contacted", "map_answered", "map_visited")
        require(new_flows_work(lab, LATER), "endpoints lose their ports")
        for source in (SERVER, SECOND):
            lab.inside("conntrack", "-D", "-s", source, check=False)
        require(len(lab.back(udp(SECOND, 77, A, host.udp))) == 1, "the peer is kept out when its flood is over")


# ---- from PPPoE -----------------------------------------------------------------------------------


class PppoeLab(DaemonLab):
    """The whole daemon, with a veth in the role of ppp0 beside the tunnel."""

    NAME = "ppplab"
    PPP, PEER, CHOSEN = "100.64.7.1", "100.64.0.1", "198.51.100.9"
    MORE = '''pppoe = { interface = "ppp0"; destinations = [ "198.51.100.0/24" ];
  forward = ( { protocol = "tcp+udp"; port = 8080; to = "%s:80"; } ); };
''' % HOST

    def start(self):
        self.names.append(f"{self.name}ppp")
        router, far = ("ip", "-n", self.ns), self.names[-1]
        run("ip", "netns", "add", far)
        run("ip", "-n", far, "link", "add", "wire", "type", "veth", "peer", "name", "ppp0", "netns", self.ns)
        run("ip", "netns", "exec", far, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        run("ip", "-n", far, "link", "set", "wire", "up")
        run(*router, "addr", "add", self.PPP, "peer", self.PEER, "dev", "ppp0")
        self.sysctl("net.ipv4.conf.ppp0.rp_filter=1")  # maped makes it loose
        run(*router, "link", "set", "ppp0", "arp", "off", "mtu", "1454", "up")
        super().start()
        self.daemon.wait_status("PPPoE up on ppp0")
        self.ppp = Wire(far, "wire", self.mac("ppp0"))

    def fresh(self, *words):
        super().fresh(*words)
        self.ppp.frames()


def pppoe_to_the_shared_address(lab):
    """Of the other line's address nothing is reached by PPPoE: no forward, no port that a host uses, no service."""
    opened, forwarded = lab.set_ports()[3:5]
    lab.fresh("filtering=eif", f"open=tcp+udp:{opened}", f"forward=tcp+udp:{forwarded}:{HOST}:80")
    host = Bystander(lab)
    for source in (SERVER, SECOND, HOST, A, lab.PPP, lab.PEER, "10.1.2.3"):
        for number in (forwarded, host.udp, host.tcp, opened, 22):
            for name, packet in kinds_of_packets(source, A, number):
                lab.ppp.put(packet)
                nothing(lab.ppp, f"{name} of {source} to {number}, answer")
                for came in lab.lan.get() + lab.wan.get():  # the router itself resets what it cannot place
                    require(came.flags == RST and came.source == A and name == "SYN+ACK",
                            f"{name} of {source} to {number}: {came}")
    require(len(lab.back(udp(SECOND, 53, A, forwarded))) == 1, "the forward is dead")
    host.unharmed("after all that")


def pppoe_sources(lab):
    """To a forward of PPPoE with a source that cannot be there."""
    lab.fresh()
    host = Bystander(lab)
    for source in (OTHER, HOST, ROUTER, "192.168.2.200", A, lab.PPP, "127.0.0.1", "224.0.0.1", "255.255.255.255"):
        for name, packet in kinds_of_packets(source, lab.PPP, 8080):
            lab.ppp.put(packet)
            for came in lab.lan.get() + lab.wan.get() + lab.ppp.get():  # the router itself resets what it cannot place
                require(came.flags == RST and came.source == lab.PPP and name == "SYN+ACK", f"{name} of {source}: {came}")
    for source in (SERVER, lab.CHOSEN, lab.PEER, "10.1.2.3"):  # there are private networks behind PPPoE
        for make in (udp, tcp):
            lab.ppp.put(make(source, 53, lab.PPP, 8080))
            came = lab.lan.get()
            require([(p.source, p.destination, p.dport) for p in came] == [(source, HOST, 80)], f"of {source}: {came}")
        lab.lan.put(tcp(HOST, 80, source, 53, SYN | ACK))
        out = lab.ppp.get()
        require([(p.source, p.sport) for p in out] == [(lab.PPP, 8080)], f"the answer to {source}: {out}")
        nothing(lab.wan, f"the answer to {source}")
    host.unharmed("after all that")


def firewall_of_the_readme():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "README.md")) as file:
        text = re.search(r"^```\n(table inet filter\n.*?)^```", file.read(), re.M | re.S).group(1)
    return text.replace("enp1s0", "wan0").replace("enp2s0", "lan0")


def pppoe_behind_a_firewall(lab):
    """maped does not guard what arrives on ppp0; what its README advises for that does."""
    lab.fresh()
    host = Bystander(lab)
    lab.inside("nft", firewall_of_the_readme())
    try:
        for destination in (HOST, OTHER, ROUTER, lab.PPP, A, ELSEWHERE, lab.CHOSEN, "192.168.2.255", "224.0.0.1"):
            for number in (22, 80, host.port, host.udp):
                for name, packet in kinds_of_packets(SERVER, destination, number):
                    if name != "echo" or destination not in (lab.PPP, ROUTER):  # pings are let in
                        lab.ppp.put(packet)
                        for wire in (lab.lan, lab.wan, lab.ppp):
                            nothing(wire, f"{name} to {destination}:{number}")
        lab.ppp.put(tcp(SERVER, 53, lab.PPP, 8080))
        require(len(lab.lan.get()) == 1, "the forward is dead")
        host.unharmed("after all that")
    finally:
        lab.inside("nft", "delete table inet filter")


def pppoe_leaks(lab):
    """Whatever the LAN sends there: it leaves with the address of the session or not at all."""
    lab.fresh()
    host = Bystander(lab)

    def sent(packet, what):
        lab.lan.put(packet)
        out = lab.ppp.get()
        require(all(p.source == lab.PPP for p in out), f"{what} left as {out}")
        nothing(lab.wan, f"{what} took the tunnel")
        return out

    for source in MARTIANS + [lab.PPP, lab.PEER, ELSEWHERE, HOST]:
        for name, packet in kinds_of_packets(source, lab.CHOSEN, 53):
            for out in sent(packet, f"{name} of {source}"):
                if out.protocol == ICMP and out.inner:
                    require(out.inner.destination == lab.PPP, f"{name} of {source} shows {out.inner}")
    require(len(sent(udp(HOST, 40000, lab.CHOSEN, 53), "UDP")) == 1, "UDP does not leave")
    host.unharmed("after all that")



def pppoe_as_the_relay(lab):
    """IPv6 may come by PPPoE as well, but not from the BR."""
    lab.fresh()
    host = Bystander(lab)
    lab.sysctl("net.ipv6.conf.ppp0.disable_ipv6=0")
    with in_namespace(lab.ns), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as ear:
        ear.bind((CE, LISTENING))
        ear.settimeout(0.2)
        for source, heard in ((SERVER6, True), (BR, False)):
            before = lab.counts()["inbound"]
            mark = b"mark of " + source.encode()
            lab.ppp.put(udp6(source, CE, mark), 0x86DD)
            try:
                require(ear.recv(2048) == mark and heard, f"{source} is heard by PPPoE")
            except TimeoutError:
                require(not heard, f"{source} is not heard by PPPoE")
            require((lab.counts()["inbound"] > before) != heard, f"{source}: {lab.counts()}")
    host.unharmed("after all that")


TESTS = [
    every_port_of("adf", 0, 1), every_port_of("eif", 1, 1), every_port_of("apdf", 0, 0), out_of_state, other_destinations,
    sources, ends_of_the_tunnel, fragments_from_the_tunnel, icmp_errors_from_the_tunnel, spoofed_sources, states_from_the_lan,
    icmp_errors_from_the_lan, protocols_from_the_lan, options_in_the_header, fragments_from_the_lan,
    flood_under_a_limit, limit_and_a_trick, flood_of_spoofed_hosts, flood_of_connections, flood_of_endpoints, flood_of_a_peer,
]
PPPOE_TESTS = [pppoe_to_the_shared_address, pppoe_sources, pppoe_behind_a_firewall, pppoe_leaks, pppoe_as_the_relay]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    words = sys.argv[3:]

    def named(tests):
        return [t for t in tests if not words or any(w in t.__name__ for w in words)]

    with contextlib.ExitStack() as stack:
        @functools.cache
        def pppoe():  # not before it is needed
            return stack.enter_context(PppoeLab(*sys.argv[1:3]))

        def on_pppoe(test):
            return functools.wraps(test)(lambda _: test(pppoe()))

        try:
            lab = stack.enter_context(Lab(sys.argv[1]))
        except CannotRun as reason:
            print(f"1..0 # SKIP {reason}")
            sys.exit(77)
        failed = test_nat.run_tests(lab, named(TESTS) + [on_pppoe(test) for test in named(PPPOE_TESTS)])
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
