# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rtnetlink in a few lines, for tests that must be quick and see who did what.

A Netlink belongs to the network namespace in which it is made, wherever its user goes later. A
Monitor keeps every event with the time of its reading and the port of the socket that caused it:
what maped changed can be told from what a test did.
"""
import collections
import errno
import os
import select
import socket
import struct
import time

NEWLINK, DELLINK, GETLINK, SETLINK = 16, 17, 18, 19
NEWADDR, DELADDR, GETADDR = 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
NEWNEIGH, DELNEIGH = 28, 29
NEWRULE, DELRULE, GETRULE = 32, 33, 34
NEWPREFIX, NEWNETCONF = 52, 80
NAMES = {16: "newlink", 17: "dellink", 20: "newaddr", 21: "deladdr", 24: "newroute", 25: "delroute",
         32: "newrule", 33: "delrule", 52: "newprefix", 80: "newnetconf"}

REQUEST, ACK, ROOT_MATCH, REPLACE, EXCL, CREATE = 1, 4, 0x300, 0x100, 0x200, 0x400
FOREVER = 0xFFFFFFFF
OURS = 77  # PLAN_PROTOCOL

# Multicast groups: link, IPv4 and IPv6 addresses, routes, IPv4 rules, IPv4 and IPv6 netconf
GROUPS = (1, 5, 9, 7, 11, 8, 24, 25)

NODAD, DEPRECATED, TENTATIVE, NOPREFIXROUTE, TEMPORARY = 0x02, 0x20, 0x40, 0x200, 0x01
UNICAST, LOCAL, UNREACHABLE = 1, 2, 7
DHCP, STATIC, BOOT = 16, 4, 3


def attribute(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def attributes(data):
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[4:length]
        data = data[(length + 3) & ~3:]
    return found


def messages(data):
    while len(data) >= 16:
        length, kind, flags, sequence, port = struct.unpack_from("=IHHII", data)
        if length < 16 or length > len(data):
            break
        yield kind, flags, sequence, port, data[16:length]
        data = data[(length + 3) & ~3:]


def packed(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def printable(data):
    return socket.inet_ntop(socket.AF_INET6 if len(data) == 16 else socket.AF_INET, data)


Address = collections.namedtuple("Address", "index address length flags protocol preferred valid created")
Route = collections.namedtuple("Route", "family destination length table protocol kind index metric")
Rule = collections.namedtuple("Rule", "priority mark mask table protocol suppress")
Link = collections.namedtuple("Link", "index name flags mtu alias state")


def parse_address(body):
    family, length, flags, _, index = struct.unpack_from("=BBBBI", body)
    found = attributes(body[8:])
    own = found.get(2, found.get(1))
    preferred, valid, created, _ = struct.unpack("=IIII", found[6]) if 6 in found else (FOREVER, FOREVER, 0, 0)
    if 8 in found:
        flags, = struct.unpack("=I", found[8])
    return Address(index, printable(own), length, flags, found[11][0] if 11 in found else 0, preferred, valid, created)


def parse_route(body):
    family, length, _, _, table, protocol, _, kind, _ = struct.unpack_from("=BBBBBBBBI", body)
    found = attributes(body[12:])
    zero = "::" if family == socket.AF_INET6 else "0.0.0.0"

    def number(attribute_kind, otherwise=0):
        return struct.unpack("=I", found[attribute_kind])[0] if attribute_kind in found else otherwise

    return Route(family, printable(found[1]) if 1 in found else zero, length, number(15, table), protocol, kind,
                 number(4), number(6))


def parse_rule(body):
    found = attributes(body[12:])

    def number(kind, otherwise=0):
        return struct.unpack("=I", found[kind])[0] if kind in found else otherwise

    return Rule(number(6), number(10), number(16), number(15, body[4]), found[21][0] if 21 in found else 0,
                number(14, FOREVER))


def parse_link(body):
    _, _, index, flags, _ = struct.unpack_from("=BxHiII", body)
    found = attributes(body[16:])
    return Link(index, found.get(3, b"\0").split(b"\0")[0].decode(), flags,
                struct.unpack("=I", found[4])[0] if 4 in found else 0,
                found.get(20, b"\0").split(b"\0")[0].decode(), found[16][0] if 16 in found else 0)


class Netlink:
    """Requests, each answered before the next; errors of the kernel are OSError."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self.socket.bind((0, 0))
        self.sequence = 0

    def close(self):
        self.socket.close()

    def request(self, kind, flags, body):
        self.sequence += 1
        self.socket.send(struct.pack("=IHHII", 16 + len(body), kind, flags | REQUEST | ACK, self.sequence, 0) + body)
        answers = []
        while True:
            for kind_, _, sequence, _, answer in messages(self.socket.recv(1 << 17)):
                if sequence != self.sequence:
                    continue
                if kind_ in (2, 3):
                    code, = struct.unpack_from("=i", answer)
                    if code:
                        raise OSError(-code, os.strerror(-code))
                    return answers
                answers.append((kind_, answer))

    def dump(self, kind, family, size):
        return [body for _, body in self.request(kind, ROOT_MATCH, bytes([family]) + b"\0" * (size - 1))]

    # ---- links ----

    def links(self):
        return [parse_link(body) for body in self.dump(GETLINK, 0, 16)]

    def index(self, name):
        return next((link.index for link in self.links() if link.name == name), 0)

    def add_veth(self, name, peer, peer_space):
        """A pair: name here, peer in the namespace whose descriptor is peer_space."""
        other = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + attribute(3, peer.encode() + b"\0") + \
            attribute(28, struct.pack("=I", peer_space))
        info = attribute(1, b"veth\0") + attribute(2, attribute(1, other))
        self.request(NEWLINK, CREATE | EXCL, struct.pack("=BxHiII", 0, 0, 0, 0, 0) +
                     attribute(3, name.encode() + b"\0") + attribute(18, info))

    def change_link(self, index, up=None, name=None, mtu=None):
        body = struct.pack("=BxHiII", 0, 0, index, int(bool(up)), int(up is not None))
        if name is not None:
            body += attribute(3, name.encode() + b"\0")
        if mtu is not None:
            body += attribute(4, struct.pack("=I", mtu))
        self.request(NEWLINK, 0, body)

    def delete_link(self, index):
        self.request(DELLINK, 0, struct.pack("=BxHiII", 0, 0, index, 0, 0))

    # ---- addresses ----

    def addresses(self, family=0):
        return [parse_address(body) for body in self.dump(GETADDR, family, 8)]

    def put_address(self, index, address, length, preferred=FOREVER, valid=FOREVER, flags=NODAD, protocol=0):
        body = struct.pack("=BBBBI", family_of(address), length, 0, 0, index) + attribute(2, packed(address)) + \
            attribute(1, packed(address))
        if ":" in address:
            body += attribute(6, struct.pack("=IIII", preferred, valid, 0, 0)) + attribute(8, struct.pack("=I", flags))
        if protocol:
            body += attribute(11, bytes([protocol]))
        self.request(NEWADDR, CREATE | REPLACE, body)

    def delete_address(self, index, address, length):
        self.request(DELADDR, 0, struct.pack("=BBBBI", family_of(address), length, 0, 0, index) +
                     attribute(2, packed(address)))

    # ---- routes ----

    def routes(self, family=0):
        return [parse_route(body) for body in self.dump(GETROUTE, family, 12)]

    @staticmethod
    def _route(destination, length, kind, protocol, index, metric, table, scope):
        body = struct.pack("=BBBBBBBBI", family_of(destination), length, 0, 0, table if table < 256 else 252, protocol,
                           scope, kind, 0)
        if length:
            body += attribute(1, packed(destination))
        body += attribute(15, struct.pack("=I", table))
        if index:
            body += attribute(4, struct.pack("=I", index))
        if metric:
            body += attribute(6, struct.pack("=I", metric))
        return body

    def add_route(self, destination, length, kind=UNICAST, protocol=STATIC, index=0, metric=0, table=254,
                  flags=CREATE | EXCL):
        scope = 253 if index and family_of(destination) == socket.AF_INET else 0  # RT_SCOPE_LINK
        self.request(NEWROUTE, flags, self._route(destination, length, kind, protocol, index, metric, table, scope))

    def delete_route(self, destination, length, kind=0, protocol=0, index=0, metric=0, table=254):
        self.request(DELROUTE, 0, self._route(destination, length, kind, protocol, index, metric, table, 255))

    # ---- rules ----

    def rules(self):
        return [parse_rule(body) for body in self.dump(GETRULE, socket.AF_INET, 12)]

    def delete_rule(self, rule):
        body = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, rule.table if rule.table < 256 else 252, 0, 0, 1, 0) + \
            attribute(6, struct.pack("=I", rule.priority)) + attribute(15, struct.pack("=I", rule.table))
        if rule.mask:
            body += attribute(10, struct.pack("=I", rule.mark)) + attribute(16, struct.pack("=I", rule.mask))
        self.request(DELRULE, 0, body)


def gone_is_fine(call, *arguments, **named):
    """True when it was done, False when there was nothing to delete."""
    try:
        call(*arguments, **named)
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENOENT):
            return False
        raise
    return True


class Event(collections.namedtuple("Event", "at kind port body")):
    def by(self, pid):
        """Caused by a socket of this process: libnl makes ports out of the pid and a counter."""
        return self.port != 0 and self.port & 0x3FFFFF == pid

    def __str__(self):
        parse = {NEWADDR: parse_address, DELADDR: parse_address, NEWROUTE: parse_route, DELROUTE: parse_route,
                 NEWRULE: parse_rule, DELRULE: parse_rule, NEWLINK: parse_link, DELLINK: parse_link}.get(self.kind)
        return "%s %s" % (NAMES.get(self.kind, self.kind), parse(self.body) if parse else "")


class Monitor:
    def __init__(self, groups=GROUPS, size=32 << 20):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, 33, size)  # SO_RCVBUFFORCE
        self.socket.bind((0, 0))
        for group in groups:
            self.socket.setsockopt(270, 1, group)  # SOL_NETLINK, NETLINK_ADD_MEMBERSHIP
        self.poll = select.poll()
        self.poll.register(self.socket, select.POLLIN)

    def close(self):
        self.socket.close()

    def read(self, timeout=0):
        """Events that are there, or the first to come within timeout seconds."""
        events = []
        if timeout and not self.poll.poll(max(1, int(timeout * 1000))):
            return events
        while True:
            try:
                data = self.socket.recv(1 << 17)
            except BlockingIOError:
                return events
            now = time.monotonic()
            events += [Event(now, kind, port, body) for kind, _, _, port, body in messages(data)]

    def quiet(self, seconds, pid=None, limit=10.0):
        """All events until none (of this process) came for so long."""
        events, last, end = [], time.monotonic(), time.monotonic() + limit
        while time.monotonic() - last < seconds and time.monotonic() < end:
            new = self.read(0.005)
            if any(pid is None or event.by(pid) for event in new):
                last = time.monotonic()
            events += new
        return events
