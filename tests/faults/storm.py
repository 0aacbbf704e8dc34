# SPDX-License-Identifier: LGPL-2.1-or-later
"""A hundred thousand netlink events a second that are not about us, and lost messages: bounded cost, right state."""
import os
import re
import socket
import struct
import time

import box as boxes
import netlink
from scenario import need, note, options, sanitized, scenario

OCN = ("2400:4050:48d:2900", ("2400:4050:48d:2900:99:f012:3400:2900", "153.240.18.52"))
V6PLUS = ("240b:10:3f6c:d400", ("240b:10:3f6c:d400:6a:483f:6c00:d400", "106.72.63.108"))


class Storm:
    """A child that sends batches of requests, each of which the kernel tells everybody about."""

    def __init__(self, box, kind):
        self.box = box
        index = box.index("lan0")
        self.batches = getattr(self, kind)(index)
        self.child = os.fork()
        if self.child == 0:
            try:
                boxes.libc.prctl(boxes.PR_SET_PDEATHSIG, 9)
                self.blow()
            finally:
                os._exit(0)

    @staticmethod
    def message(kind, flags, body):
        return struct.pack("=IHHII", 16 + len(body), kind, flags | netlink.REQUEST, 0, 0) + body

    def neighbours(self, index):
        """Made and taken away: events of a group to which maped does not listen."""
        for_each = [struct.pack("=BxxxiHBB", socket.AF_INET, index, 0x80, 0, 0) +
                    netlink.attribute(1, socket.inet_aton("10.9.%d.%d" % (i // 250, i % 250 + 1))) +
                    netlink.attribute(2, bytes([2, 0, 0, 0, i // 250, i % 250])) for i in range(200)]
        return [b"".join(self.message(netlink.NEWNEIGH, netlink.CREATE | netlink.REPLACE, body) for body in for_each),
                b"".join(self.message(netlink.DELNEIGH, 0, body) for body in for_each)]

    def routes(self, index):
        """What a routing daemon does."""
        for_each = [netlink.Netlink._route("10.%d.%d.0" % (i // 250 + 20, i % 250), 24, netlink.UNICAST, netlink.STATIC, index,
                                           0, 254, 253) for i in range(200)]
        return [b"".join(self.message(netlink.NEWROUTE, netlink.CREATE | netlink.REPLACE, body) for body in for_each),
                b"".join(self.message(netlink.DELROUTE, 0, body) for body in for_each)]

    def addresses(self, index):
        """Events that maped cannot tell from its own before it has read them."""
        for_each = [struct.pack("=BBBBI", socket.AF_INET, 32, 0, 0, index) +
                    netlink.attribute(2, socket.inet_aton("10.200.%d.%d" % (i // 250, i % 250 + 1))) for i in range(100)]
        return [b"".join(self.message(netlink.NEWADDR, netlink.CREATE | netlink.REPLACE, body) for body in for_each),
                b"".join(self.message(netlink.DELADDR, 0, body) for body in for_each)]

    def blow(self):
        with self.box.router.inside():
            sender = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
            sender.bind((0, 0))
        while True:
            for batch in self.batches:
                sender.send(batch)  # only errors are answered, and nobody reads them

    def stop(self):
        os.kill(self.child, 9)
        os.waitpid(self.child, 0)


def weather(box, maped, kind, seconds):
    """(processor share of maped, its processor seconds for each event, most kB of its own)"""
    monitor_groups = {"neighbours": (3,), "routes": (7,), "addresses": (5,)}[kind]
    with box.router.inside():
        counter = netlink.Monitor(groups=monitor_groups, size=64 << 20)
    used, start, most = maped.processor_seconds(), time.monotonic(), 0
    storm = Storm(box, kind)
    count = 0
    try:
        while time.monotonic() - start < seconds:
            data = b"x"
            for _ in range(2000):
                try:
                    data = counter.socket.recv(65536)
                except BlockingIOError:
                    break
                except OSError:  # the counter itself has lost some: the figure is a lower bound
                    continue
                count += 1
            most = max(most, maped.kilobytes("RssAnon"))
        elapsed = time.monotonic() - start
        used = maped.processor_seconds() - used
        # in the middle of it: a new prefix
        line = V6PLUS if box.ours()[0][0].startswith(OCN[0]) else OCN
        old = OCN if line is V6PLUS else V6PLUS
        wan = box.index("wan0")
        began = time.monotonic()
        box.router.netlink.put_address(wan, line[0] + "::1", 64)
        waited = box.wait_ours(box.expected(*line[1]), 10)
        need(waited is not None, "storm of %s: a new prefix is not taken: %s", kind, maped.notify.status())
        box.router.netlink.delete_address(wan, old[0] + "::1", 64)
        waited = time.monotonic() - began
    finally:
        storm.stop()
        counter.close()
    note("storm of %-10s %6.0f events/s for %.0f s: maped used %.1f %% of a processor, %d kB of its own at most; a new prefix in %.0f ms" % (
        kind + ":", count / elapsed, elapsed, 100 * used / elapsed, most, waited * 1e3))
    return used / elapsed, used / max(count, 1), most


@scenario
def storms_of_events(box):
    seconds = 60 if options.long else 5
    box.router.netlink.put_address(box.index("wan0"), OCN[0] + "::1", 64)
    maped = box.start()
    need(maped.ready(), "no READY")
    need(box.wait_ours(box.expected(*OCN[1])) is not None, "not up")
    before = maped.kilobytes("RssAnon")
    for kind in ("neighbours", "routes", "addresses"):
        share, each, most = weather(box, maped, kind, seconds)
        need(most <= before + 1024 or sanitized(), "storm of %s: %d kB of its own, before %d kB", kind, most, before)
        # the kernel itself drops neighbours and routes for us; addresses have to be read
        need(share <= 0.25 or (kind == "addresses" and each <= 100e-6), "storm of %s: %.0f %% of a processor, %.1f us an event",
             kind, share * 100, each * 1e6)
    need(not re.search("failing", maped.log()), "failed: %s", maped.log()[-500:])


@scenario
def lost_messages(box):
    """maped sleeps while its socket overflows: what is true then is read anew."""
    box.router.netlink.put_address(box.index("wan0"), OCN[0] + "::1", 64)
    maped = box.start()
    need(maped.ready(), "no READY")
    need(box.wait_ours(box.expected(*OCN[1])) is not None, "not up")
    os.kill(maped.pid, 19)  # SIGSTOP
    wan, lan = box.index("wan0"), box.index("lan0")
    # 4 MB of events about addresses, and what matters is lost among them
    with box.router.inside():
        sender = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        sender.bind((0, 0))
    batches = Storm.__new__(Storm).addresses(lan)
    overflown = False
    for _ in range(400):
        for batch in batches:
            sender.send(batch)
        if drops(maped):
            overflown = True
            break
    need(overflown, "the socket of maped did not overflow")
    box.router.netlink.delete_address(wan, OCN[0] + "::1", 64)
    box.router.netlink.put_address(wan, V6PLUS[0] + "::1", 64)
    box.router.netlink.delete_address(box.index("tun0"), OCN[1][1], 32)
    os.kill(maped.pid, 18)  # SIGCONT
    waited = box.wait_ours(box.expected(*V6PLUS[1]), 5)
    need(waited is not None, "after lost messages: %s; %s", box.ours(), maped.notify.status())
    note("messages lost: right again %.0f ms after waking up" % (waited * 1e3))


def drops(maped):
    """Messages that the kernel could not put into a netlink socket of the process."""
    with open("/proc/%d/net/netlink" % maped.pid) as file:
        next(file)
        return sum(int(fields[8]) for fields in map(str.split, file) if int(fields[2]) & 0x3FFFFF == maped.pid)
