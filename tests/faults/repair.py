# SPDX-License-Identifier: LGPL-2.1-or-later
"""Somebody else deletes or alters what maped set up: put back at once, told once; and a fight is no busy loop."""
import re
import socket
import threading
import time

import box as boxes
import netlink
from netlink import gone_is_fine
from scenario import need, note, options, quantile, same, scenario

PREFIX, CE, IPV4 = "2400:4050:48d:2900::", "2400:4050:48d:2900:99:f012:3400:2900", "153.240.18.52"
CONFIG = boxes.CONFIG + 'pppoe = { interface = "ppp0"; };\n'
BOXES = 8
# maped calls six repairs within ten seconds a fight (daemon/pace.h): a box is given four in twelve
REPAIRS, WINDOW = 4, 12.0


class Fault:
    """do: alters; back: an event that shows the repair; told: the words in the log"""

    def __init__(self, name, do, back, told):
        self.name, self.do, self.back, self.told = name, do, back, told


def address_event(address, flag=0):
    def back(event):
        if event.kind != netlink.NEWADDR:
            return False
        got = netlink.parse_address(event.body)
        return got.address == address and got.flags & flag == flag
    return back


def route_event(table, kind=netlink.UNICAST):
    def back(event):
        if event.kind != netlink.NEWROUTE:
            return False
        got = netlink.parse_route(event.body)
        return got.protocol == netlink.OURS and got.table == table and got.kind == kind
    return back


def setting_event(kind, wanted):
    """RTM_NEWNETCONF: attribute kind of an interface has this value."""
    def back(event):
        if event.kind != netlink.NEWNETCONF or event.body[0] != socket.AF_INET:
            return False
        found = netlink.attributes(event.body[4:])
        return kind in found and int.from_bytes(found[kind], "little") == wanted
    return back


def delete_a_rule(box):
    rule = next(rule for rule in box.router.netlink.rules() if rule.protocol == netlink.OURS)
    box.router.netlink.delete_rule(rule)


def delete_all_rules(box):
    for rule in box.router.netlink.rules():
        if rule.priority:
            box.router.netlink.delete_rule(rule)


def delete_default(box, table=254):
    route = next(route for route in box.router.netlink.routes(socket.AF_INET)
                 if route.protocol == netlink.OURS and route.table == table and route.kind == netlink.UNICAST)
    box.router.netlink.delete_route("0.0.0.0", 0, index=route.index, metric=route.metric, table=table)


def replace_default(box):
    """`ip route replace default dev ppp0 table 10`, a line of many an ip-up script; and the script's end."""
    index = box.index("ppp0")
    box.router.netlink.add_route("0.0.0.0", 0, index=index, table=10, flags=netlink.CREATE | netlink.REPLACE)
    box.router.netlink.delete_route("0.0.0.0", 0, protocol=netlink.STATIC, index=index, table=10)


def delete_floor(box):
    route = next(route for route in box.router.netlink.routes(socket.AF_INET)
                 if route.protocol == netlink.OURS and route.kind == netlink.UNREACHABLE)
    box.router.netlink.delete_route("0.0.0.0", 0, kind=netlink.UNREACHABLE, metric=route.metric, table=route.table)


def delete_shared(box):
    box.router.netlink.delete_address(box.index("tun0"), IPV4, 32)


FAULTS = [
    Fault("CE address deleted", lambda box: box.router.netlink.delete_address(box.index("wan0"), CE, 128),
          address_event(CE), "address %s/128 dev wan0 deleted" % CE),
    Fault("CE address altered", lambda box: box.router.netlink.put_address(
        box.index("wan0"), CE, 128, preferred=5000, flags=netlink.NODAD, protocol=netlink.OURS),
        address_event(CE, netlink.NOPREFIXROUTE | netlink.DEPRECATED), "address %s/128 dev wan0" % CE),
    Fault("CE address taken and altered", lambda box: box.router.netlink.put_address(box.index("wan0"), CE, 128),
          address_event(CE, netlink.NOPREFIXROUTE | netlink.DEPRECATED), "address %s/128 dev wan0 altered" % CE),
    Fault("shared address deleted", delete_shared, route_event(254), "address %s/32 dev tun0 deleted" % IPV4),
    Fault("default route deleted", delete_default, route_event(254), "route default dev tun0 table 254 metric 1024 deleted"),
    Fault("PPPoE's default route deleted", lambda box: delete_default(box, 10), route_event(10),
          "route default dev ppp0 table 10 metric 0 deleted"),
    Fault("PPPoE's default route replaced", replace_default, route_event(10),
          "route default dev ppp0 table 10 metric 0 replaced"),
    Fault("unreachable route deleted", delete_floor, lambda event: event.kind == netlink.NEWROUTE and netlink.parse_route(
        event.body).kind == netlink.UNREACHABLE, "route unreachable default table"),
    Fault("a policy rule deleted", delete_a_rule, lambda event: event.kind == netlink.NEWRULE, "policy rule priority"),
    Fault("all policy rules deleted", delete_all_rules, lambda event: event.kind == netlink.NEWRULE, "policy rule priority"),
    Fault("rp_filter made strict", lambda box: box.router.set("ipv4/conf/tun0/rp_filter", 1), setting_event(3, 2),
          "kernel setting net/ipv4/conf/tun0/rp_filter changed to 1"),
    Fault("forwarding switched off", lambda box: box.router.set("ipv4/ip_forward", 0), setting_event(2, 1),
          "kernel setting net/ipv4/ip_forward changed to 0"),
]


def nft(*words):
    return lambda box: box.router.run("nft", *words)


def table_event(event):
    return event.kind & 0xFF00 == 0x0A00  # NFNL_SUBSYS_NFTABLES


NFT_FAULTS = [
    Fault("ruleset flushed", nft("flush", "ruleset"), table_event, "nftables table maped altered by nft"),
    Fault("our table deleted", nft("delete", "table", "ip", "maped"), table_event, "nftables table maped altered by nft"),
    Fault("our table emptied", nft("flush", "table", "ip", "maped"), table_event, "nftables table maped altered by nft"),
    Fault("our table replaced", nft("delete table ip maped; add table ip maped; add chain ip maped x"), table_event,
          "nftables table maped altered by nft"),
    Fault("a jump to a chain without a name", nft("add rule ip maped guard ip saddr 1.2.3.4 jump { accept; }"), table_event,
          "nftables table maped altered by nft"),
    Fault("a map to a chain with a long name", nft(
        "add chain ip maped %s; add map ip maped x { type ipv4_addr : verdict; elements = { 1.2.3.4 : jump %s }; }" % (
            2 * ("x" * 60,))), table_event, "nftables table maped altered by nft"),
    Fault("a set that our rules do not go with", nft(
        "flush table ip maped; delete set ip maped map_udp_busy; add set ip maped map_udp_busy { type ipv4_addr . "
        "inet_service . inet_service; flags dynamic; size 1048576; counter; }"), table_event,
        "nftables table maped altered by nft"),
    Fault("our IPv6 table deleted", nft("delete", "table", "ip6", "maped"), table_event, "nftables table maped altered by nft"),
    Fault("our IPv6 table emptied", nft("flush", "table", "ip6", "maped"), table_event, "nftables table maped altered by nft"),
]


def whole(box):
    """Everything that maped is responsible for, as comparable texts."""
    ours = box.ours()
    rules = sorted(rule for rule in box.router.netlink.rules() if rule.protocol == netlink.OURS)
    settings = (box.router.get("ipv4/ip_forward"), box.router.get("ipv4/conf/tun0/rp_filter"))
    altered = [address for address in box.router.netlink.addresses(socket.AF_INET6)
               if address.address == CE and not address.flags & netlink.NOPREFIXROUTE]
    table = "".join(box.router.run("nft", "list", "table", family, "maped", check=False) for family in ("ip", "ip6"))
    # the kernel never changes the comment of a table that stands, and counters count
    table = re.sub(r"packets \d+ bytes \d+|^\tcomment .*\n", "", table, flags=re.M)
    return ours, rules, settings, altered, table


class Patient:
    def __init__(self, box):
        self.box = box
        box.add_pair("ppp0", "far0")
        box.router.netlink.put_address(box.index("ppp0"), "203.0.113.7", 32)
        box.router.set("ipv4/conf/tun0/rp_filter", 1)
        box.router.netlink.put_address(box.index("wan0"), PREFIX + "1", 64)
        self.maped = box.start(CONFIG)
        self.times = []

    def ready(self):
        need(self.maped.ready(), "no READY: %s", self.maped.log())
        need(self.box.wait_ours(self.box.ours()) is not None and self.maped.notify.wait("^STATUS=up"), "not up: %s",
             self.maped.notify.status())
        self.monitor = self.box.router.monitor()
        with self.box.router.inside():
            self.nft_monitor = None
            try:
                self.nft_monitor = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 12)
                self.nft_monitor.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
                self.nft_monitor.bind((0, 0))
                self.nft_monitor.setsockopt(270, 1, 7)  # NFNLGRP_NFTABLES
            except OSError:
                self.nft_monitor = None
        self.monitor.quiet(0.2)
        self.whole = whole(self.box)

    def may(self):
        now = time.monotonic()
        self.times = [at for at in self.times if now - at < WINDOW]
        return len(self.times) < REPAIRS

    def nft_events(self, timeout):
        """(time, body) of each generation of the ruleset."""
        found = []
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            try:
                data = self.nft_monitor.recv(1 << 17)
            except BlockingIOError:
                time.sleep(0.0005)
                continue
            now = time.monotonic()
            found += [(now, body) for kind, _, _, _, body in netlink.messages(data) if kind == 0x0A0F]  # NEWGEN
            if len(found) >= 2:
                break
        return found

    def treat(self, fault):
        """Seconds from the alteration to the repair, and the same without what a busy machine added."""
        self.times.append(time.monotonic())
        self.monitor.read()
        said = len(self.maped.log())
        waited = self.maped.waited()
        start = time.monotonic()
        if fault in NFT_FAULTS:
            try:
                self.nft_monitor.recv(1 << 17)
            except BlockingIOError:
                pass
            # heard while it is done: nft takes longer to end than maped to mend
            other = threading.Thread(target=fault.do, args=(self.box,))
            other.start()
            events = self.nft_events(2.0)
            other.join()
            took = events[1][0] - events[0][0] if len(events) > 1 else None
        else:
            fault.do(self.box)
            took = self.wait(fault, start)
        need(took is not None, "%s: not repaired within 2 s; %s", fault.name, self.maped.notify.status())
        net = max(0, took - (self.maped.waited() - waited))
        self.monitor.quiet(0.05, limit=1)
        now = whole(self.box)
        need(now == self.whole, "%s: repaired into %s, not %s", fault.name, now, self.whole)
        lines = self.maped.wait_log("^repaired: .*" + re.escape(fault.told), said)
        need(lines, "%s: the log says %s", fault.name, self.maped.log()[said:])
        need(len(lines) == len(set(lines)), "%s: told more than once: %s", fault.name, lines)
        return took, net

    def wait(self, fault, start):
        seen = False
        while time.monotonic() - start < 2.0:
            for event in self.monitor.read(0.002):
                # the alteration itself may look like the repair: that one is the test's
                if not seen and fault.name.endswith("altered") and not fault.back(event):
                    continue
                if fault.back(event):
                    return event.at - start
        return None


@scenario
def repaired_within_100_ms(box):
    """p99 over all kinds of faults, several boxes in turn so that none of them takes it for a fight."""
    samples = 1000 if options.long else 120
    others = [boxes.Box(box.program, box.directory, str(number)) for number in range(BOXES - 1)]
    patients = [Patient(one) for one in [box] + others]
    try:
        for patient in patients:
            patient.ready()
        kinds = FAULTS + (NFT_FAULTS if patients[0].whole[-1].startswith("table") else [])
        taken = {kind.name: [] for kind in kinds}
        number = 0
        while number < samples:
            patient = next((one for one in patients if one.may()), None)
            if not patient:
                time.sleep(0.02)
                continue
            kind = kinds[number % len(kinds)]
            taken[kind.name].append(patient.treat(kind))
            number += 1
        for name, times in taken.items():
            times = [net for _, net in times]
            note("repair of %-30s p50 %5.1f ms, max %5.1f ms (%d times)" % (name + ":", quantile(times, 0.5) * 1e3,
                                                                          max(times) * 1e3, len(times)))
        every = [pair for times in taken.values() for pair in times]
        raw, net = ([pair[i] for pair in every] for i in (0, 1))
        p99 = quantile(net, 0.99)
        note("repair of anything: p50 %.1f ms, p99 %.1f ms of %d; with the waits of a busy machine %.1f ms, %.1f ms" % (
            quantile(net, 0.5) * 1e3, p99 * 1e3, len(every), quantile(raw, 0.5) * 1e3, quantile(raw, 0.99) * 1e3))
        # the figure is in the note; what fails here is a wait
        need(p99 <= 1, "p99 is %.0f ms", p99 * 1e3)
        for patient in patients:
            need("warning" not in patient.maped.notify.status(), "STATUS is %s", patient.maped.notify.status())
    finally:
        for one in others:
            one.close()


@scenario
def program_that_fights_back(box):
    """A loop deletes the default route every 5 ms: growing pauses, a STATUS that says so, little processor time."""
    seconds = 20 if options.long else 8
    box.router.netlink.put_address(box.index("wan0"), PREFIX + "1", 64)
    maped = box.start()
    need(maped.ready(), "no READY")
    monitor = box.router.monitor()
    index, used, start = box.index("tun0"), maped.processor_seconds(), time.monotonic()
    deleted = []
    while time.monotonic() - start < seconds:
        if gone_is_fine(box.router.netlink.delete_route, "0.0.0.0", 0, index=index, metric=1024):
            deleted.append(time.monotonic())
        time.sleep(0.005)
    used = maped.processor_seconds() - used
    pauses = [later - earlier for earlier, later in zip(deleted, deleted[1:])]
    note("a fight of %d s: repaired %d times, longest pause %.1f s, %.2f s of processor time" % (
        seconds, len(deleted), max(pauses), used))
    need(maped.notify.wait("^STATUS=.*warning: another program keeps altering"), "STATUS is %s", maped.notify.status())
    need(len(deleted) <= 8 + seconds / 2, "repaired %d times", len(deleted))
    need(max(pauses[-2:]) > max(pauses[:3]) * 2, "the pauses do not grow: %s", ["%.2f" % pause for pause in pauses])
    need(used <= 0.1 * seconds, "%.2f s of processor time in %d s", used, seconds)
    said = len(re.findall("another program keeps altering", maped.log()))
    need(said <= len(deleted), "the warning was logged %d times", said)
    monitor.close()
    waited = box.wait_ours(box.expected(CE, IPV4), 40)
    need(waited is not None, "never repaired after the fight")
    note("after the fight: repaired within %.1f s" % waited)


@scenario
def renumbering_during_a_fight(box):
    """What another program does to one route must not hold up a new prefix."""
    box.router.netlink.put_address(box.index("wan0"), PREFIX + "1", 64)
    maped = box.start()
    need(maped.ready(), "no READY")
    index = box.index("tun0")

    def fight(seconds, until=None):
        start = time.monotonic()
        while time.monotonic() - start < seconds:
            if until and until():
                return time.monotonic() - start
            gone_is_fine(box.router.netlink.delete_route, "0.0.0.0", 0, index=index, metric=1024)
            time.sleep(0.005)
        return None

    fight(5)
    need(maped.notify.wait("^STATUS=.*warning: another program"), "no fight: %s", maped.notify.status())
    box.router.netlink.put_address(box.index("wan0"), "240b:10:3f6c:d400::1", 64)
    took = fight(3, lambda: box.ours()[0] == ["240b:10:3f6c:d400:6a:483f:6c00:d400/128 dev wan0"])
    need(took is not None, "the new prefix waits for the pause of the fight")
    note("a new prefix during a fight: in use after %.0f ms" % (took * 1e3))


@scenario
def tunnel_set_down(box):
    """The kernel takes the routes away with the link and tells of no route (coexistence with network managers)."""
    box.router.netlink.put_address(box.index("wan0"), PREFIX + "1", 64)
    maped = box.start()
    need(maped.ready(), "no READY")
    index = box.index("tun0")
    box.router.netlink.change_link(index, up=False)
    time.sleep(0.3)
    box.router.netlink.change_link(index, up=True)
    waited = box.wait_ours(box.expected(CE, IPV4), 5)
    need(waited is not None, "not repaired: %s; %s", box.ours(), maped.notify.status())
    note("tunnel down and up: repaired %.0f ms after it was up" % (waited * 1e3))


@scenario
def fine_when_it_comes_back_by_itself(box):
    """Deleted and put back by the other program at once: nothing to repair, nothing told later."""
    box.router.netlink.put_address(box.index("wan0"), PREFIX + "1", 64)
    maped = box.start()
    need(maped.ready(), "no READY")
    time.sleep(0.3)
    index = box.index("tun0")
    box.router.netlink.delete_route("0.0.0.0", 0, index=index, metric=1024)
    box.router.netlink.add_route("0.0.0.0", 0, protocol=netlink.OURS, index=index, metric=1024)
    time.sleep(0.2)
    first = maped.log()
    box.router.netlink.delete_address(box.index("wan0"), CE, 128)
    time.sleep(0.2)
    told = maped.log()[len(first):]
    same(box.ours(), box.expected(CE, IPV4), "at the end")
    need("address %s/128" % CE in told, "the log says %s", told)
    need("route default" not in told, "the log tells of the route that was back: %s", told)
