# SPDX-License-Identifier: LGPL-2.1-or-later
"""A router between a LAN and the Internet, made of three network namespaces, for tests of the NAT.

The LAN and the Internet have no hosts: packets are written to the wires and read from them, so that
a test says what is on the wire and nothing else happens. The tunnel is a veth (tunnel_mode
"existing"). A packet put on a wire has mostly been forwarded when the call returns.
"""

import contextlib
import ctypes
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys

CLONE_NEWNET = 0x40000000
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ICMP, TCP, UDP, GRE = 1, 6, 17, 47

libc = ctypes.CDLL(None, use_errno=True)


class CannotRun(Exception):
    """This machine lacks something the test needs."""


def run(*words, check=True, timeout=None):
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def address(text):
    return socket.inet_aton(text)


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip_packet(source, destination, protocol, payload, ident=0, flags=0x4000, ttl=64):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident, flags, ttl, protocol, 0,
                       address(source), address(destination))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def l4_checksum(source, destination, protocol, segment):
    pseudo = address(source) + address(destination) + struct.pack("!BBH", 0, protocol, len(segment))
    return checksum(pseudo + segment)


def udp(source, sport, destination, dport, data=b"x" * 12, no_checksum=False, **kw):
    segment = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
    if not no_checksum:
        value = l4_checksum(source, destination, UDP, segment) or 0xFFFF
        segment = segment[:6] + struct.pack("!H", value) + segment[8:]
    return ip_packet(source, destination, UDP, segment, **kw)


def tcp(source, sport, destination, dport, flags=SYN, seq=None, ack=0, mss=None, data=b"",
        bad_checksum=False, **kw):
    options = struct.pack("!BBH", 2, 4, mss) if mss else b""
    seq = random.getrandbits(31) if seq is None else seq
    segment = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, (5 + len(options) // 4) << 4, flags,
                          65535, 0, 0) + options + data
    value = l4_checksum(source, destination, TCP, segment)
    if bad_checksum:
        value ^= 0x5555
    segment = segment[:16] + struct.pack("!H", value) + segment[18:]
    return ip_packet(source, destination, TCP, segment, **kw)


def icmp(source, destination, kind, code, rest, data=b"", **kw):
    body = struct.pack("!BBH", kind, code, 0) + rest + data
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    return ip_packet(source, destination, ICMP, body, **kw)


def echo(source, ident, destination, kind=8, seq=1, **kw):
    return icmp(source, destination, kind, 0, struct.pack("!HH", ident, seq), b"ping" * 4, **kw)


def crc32c(data):
    crc = 0xFFFFFFFF
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def sctp(source, sport, destination, dport):
    """An INIT; conntrack looks at its checksum."""
    init = struct.pack("!BBHIIHHI", 1, 0, 20, random.getrandbits(31) + 1, 65535, 1, 1, 1)
    head = struct.pack("!HHI", sport, dport, 0)
    check = struct.pack("<I", crc32c(head + b"\0" * 4 + init))
    return ip_packet(source, destination, 132, head + check + init)


class Packet:
    """An IPv4 packet as it was read from a wire."""

    def __init__(self, raw):
        length = struct.unpack("!H", raw[2:4])[0]
        self.raw = raw[:length]
        head = (raw[0] & 15) * 4
        self.protocol = raw[9]
        self.source = socket.inet_ntoa(raw[12:16])
        self.destination = socket.inet_ntoa(raw[16:20])
        self.offset = struct.unpack("!H", raw[6:8])[0] & 0x1FFF
        self.more = bool(raw[6] & 0x20)
        self.body = self.raw[head:]
        self.sport = self.dport = self.flags = self.mss = None
        if self.offset == 0 and self.protocol in (TCP, UDP) and len(self.body) >= 8:
            self.sport, self.dport = struct.unpack("!HH", self.body[:4])
        if self.protocol == TCP and self.offset == 0 and len(self.body) >= 20:  # not all of it inside an ICMP error
            self.flags = self.body[13]
            if self.body[12] >> 4 > 5 and self.body[20] == 2:
                self.mss = struct.unpack("!H", self.body[22:24])[0]
        if self.protocol == ICMP and self.offset == 0:
            self.kind, self.code = self.body[0], self.body[1]
            self.sport = self.dport = struct.unpack("!H", self.body[4:6])[0]
            self.inner = None
            if self.kind in (3, 4, 5, 11, 12):
                self.inner = Packet(self.body[8:])

    def __repr__(self):
        return (f"{self.source}:{self.sport} -> {self.destination}:{self.dport} "
                f"protocol {self.protocol} flags {self.flags}")


@contextlib.contextmanager
def in_namespace(name):
    """What is opened meanwhile belongs to that namespace."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        if libc.setns(there, CLONE_NEWNET) < 0:
            raise CannotRun("setns: " + os.strerror(ctypes.get_errno()))
        yield
    finally:
        libc.setns(own, CLONE_NEWNET)
        os.close(own)
        os.close(there)


SOFTIRQ_MS = 3


class Wire:
    """One end of a veth: writes and reads packets, as all the hosts behind it."""

    def __init__(self, namespace, interface, router_mac):
        with in_namespace(namespace):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
            self.socket.bind((interface, 3))
            self.mac = self.socket.getsockname()[4]
        self.ready = select.poll()
        self.ready.register(self.socket, select.POLLIN)
        self.router_mac = router_mac

    def put(self, packet, ethertype=0x0800):
        """Waits for room: on a busy machine the kernel may have some hundred packets yet to forward."""
        self.socket.send(self.router_mac + self.mac + struct.pack("!H", ethertype) + packet)

    def frames(self):
        """What has come so far."""
        found = []
        while True:
            try:
                frame, where = self.socket.recvfrom(65535, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return found
            if where[2] != socket.PACKET_OUTGOING:
                found.append(frame)

    def settled(self):
        """A packet is forwarded while it is being sent; but on a busy machine the kernel leaves that to a thread of its own
        (kernel/softirq.c: ksoftirqd), which runs as soon as we wait."""
        found = self.frames()
        if not found:
            self.ready.poll(SOFTIRQ_MS)
            found = self.frames()
        return found

    def get(self):
        return [Packet(f[14:]) for f in self.settled() if f[12:14] == b"\x08\x00"]

    def get_ipv6(self):
        return [f[14:] for f in self.settled() if f[12:14] == b"\x86\xdd"]


class Lab:
    ADDRESS = "198.51.100.52"
    LAN = "192.168.2."
    NAME = "natlab"
    SHAPES = {1008: "6/6/41", 240: "4/8/41"}  # OCN, v6plus
    hops_inwards = 0  # routers between the Internet's wire and ours

    def __init__(self, driver, ports=1008):
        if os.geteuid() != 0:
            raise CannotRun("needs root")
        self.driver = os.path.abspath(driver)
        self.name = f"{self.NAME}{os.getpid()}"
        self.names = [f"{self.name}{part}" for part in ("lan", "rtr", "wan")]
        self.lan_ns, self.ns, self.wan_ns = self.names
        self.ports = ports
        self.made = False
        # Nothing is left behind by one that is told to end, either.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            self.make()
        except BaseException:
            self.remove()
            raise

    def make(self):
        try:
            for name in self.names:
                run("ip", "netns", "add", name)
        except (RuntimeError, OSError) as error:
            self.remove()
            raise CannotRun(f"no network namespaces: {error}")
        self.made = True
        for end, device in ((self.lan_ns, "lan0"), (self.wan_ns, "map0")):
            run("ip", "-n", end, "link", "add", "wire", "type", "veth", "peer", "name", device,
                "netns", self.ns)
            run("ip", "netns", "exec", end, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
            run("ip", "-n", end, "link", "set", "wire", "up")
            # What is sent on such an interface needs no neighbour.
            run("ip", "-n", self.ns, "link", "set", device, "arp", "off")
        router = ("ip", "-n", self.ns)
        run(*router, "link", "set", "lo", "up")
        run(*router, "addr", "add", self.LAN + "1/24", "dev", "lan0")
        run(*router, "addr", "add", self.ADDRESS + "/32", "dev", "map0")
        run(*router, "link", "set", "lan0", "up")
        run(*router, "link", "set", "map0", "mtu", "1460", "up")
        run(*router, "route", "add", "default", "dev", "map0")
        for word in ("net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0",
                     "net.ipv4.conf.lan0.rp_filter=0", "net.ipv4.conf.map0.rp_filter=0",
                     "net.ipv4.icmp_ratelimit=0", "net.ipv4.icmp_msgs_per_sec=100000",
                     "net.ipv4.icmp_msgs_burst=100000"):
            self.sysctl(word)
        self.lan = Wire(self.lan_ns, "wire", self.mac("lan0"))
        self.wan = Wire(self.wan_ns, "wire", self.mac("map0"))

    def remove(self):
        for name in self.names:
            run("ip", "netns", "del", name, check=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    def mac(self, device):
        text = run("ip", "netns", "exec", self.ns, "cat", f"/sys/class/net/{device}/address")
        return bytes.fromhex(text.strip().replace(":", ""))

    def inside(self, *words, check=True):
        return run("ip", "netns", "exec", self.ns, *words, check=check)

    def process(self, *words):
        """One that is talked to, a line each way."""
        return subprocess.Popen(("ip", "netns", "exec", self.ns) + words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def on_lan(self, *words, timeout=None):
        return run("ip", "netns", "exec", self.lan_ns, *words, check=False, timeout=timeout)

    def on_wan(self, *words, timeout=None):
        return run("ip", "netns", "exec", self.wan_ns, *words, check=False, timeout=timeout)

    def inhabit(self, hosts, servers):
        """Real hosts at both ends, for programs of others; no packets by hand any more."""
        for device in ("lan0", "map0"):
            run("ip", "-n", self.ns, "link", "set", device, "arp", "on")
        for end, addresses in ((self.lan_ns, hosts), (self.wan_ns, servers)):
            run("ip", "-n", end, "link", "set", "lo", "up")
            for one in addresses:
                run("ip", "-n", end, "addr", "add", f"{one}/24", "dev", "wire")
        run("ip", "-n", self.lan_ns, "route", "add", "default", "via", self.LAN + "1")
        run("ip", "-n", self.wan_ns, "route", "add", f"{self.ADDRESS}/32", "dev", "wire")

    def sysctl(self, word):
        self.inside("sysctl", "-qw", word, check=False)

    def sync(self, *words, address=None, shape=None):
        base = [f"address={address or self.ADDRESS}", f"psid={shape or self.SHAPES[self.ports]}"]
        return self.inside(self.driver, "sync", *base, *words).split()

    def fresh(self, *words, ports=None, **kw):
        """An empty conntrack table and an nft table without memory."""
        if ports:
            self.ports = ports
        self.inside("nft", "flush", "ruleset")
        self.inside("conntrack", "-F", check=False)
        self.sync(*words, **kw)
        self.lan.frames()
        self.wan.frames()

    def counts(self):
        lines = self.inside(self.driver, "counts").splitlines()
        return {line.split()[0]: int(line.split()[1]) for line in lines}

    def in_set(self, port):
        a, k, psid = map(int, self.SHAPES[self.ports].split("/"))
        m = 16 - a - k
        return port >> (16 - a) > 0 and (port >> m) & ((1 << k) - 1) == psid

    def set_ports(self):
        return [p for p in range(65536) if self.in_set(p)]

    def out(self, packet):
        """From the LAN: what arrives in the Internet."""
        self.lan.put(packet)
        return self.wan.get()

    def back(self, packet):
        """From the Internet: what arrives in the LAN."""
        self.wan.put(packet)
        return self.lan.get()
