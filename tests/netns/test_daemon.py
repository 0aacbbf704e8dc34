#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The whole daemon in network namespaces: no systemd, no tunnel, everything else real."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "faults"))

import box as boxes  # noqa: E402
import netlink  # noqa: E402
import scenario  # noqa: E402
from scenario import need, same  # noqa: E402

OCN = ("2400:4050:48d:2900::", "2400:4050:48d:2900:99:f012:3400:2900", "153.240.18.52")
V6PLUS = ("240b:10:3f6c:d400::", "240b:10:3f6c:d400:6a:483f:6c00:d400", "106.72.63.108")
OCN_UP = "^STATUS=up: ocn 153.240.18.52, PSID 41, 1008 ports in 63 blocks; CE %s -> BR 2001:380:a120::9 on wan0" % OCN[1]



def put(box, prefix, interface="wan0", host="1", **named):
    box.router.netlink.put_address(box.index(interface), prefix + host, 64, **named)


def drop(box, prefix, interface="wan0", host="1"):
    box.router.netlink.delete_address(box.index(interface), prefix + host, 64)


def up(box, line=OCN, wan="wan0", timeout=5.0):
    waited = box.wait_ours(box.expected(line[1], line[2], wan), timeout)
    need(waited is not None, "not up with %s after %.0f s: %s", line[0], timeout, box.ours())
    return waited


def away(box, timeout=5.0):
    need(box.wait_ours(box.NOTHING, timeout) is not None, "not taken away: %s", box.ours())


def changes_by(events, pid):
    """Events that a process caused. IPv6 addresses do not tell who; ours carry our protocol number."""
    return [event for event in events if event.by(pid) or
            (event.kind in (netlink.NEWADDR, netlink.DELADDR) and
             netlink.parse_address(event.body).protocol == netlink.OURS)]


def calm_monitor(box):
    """A monitor from when the kernel has told everything that is still to be told (it tells of an IPv6 address late)."""
    monitor = box.router.monitor()
    monitor.quiet(0.15)
    return monitor


def heard(maped, since=0):
    """The kinds of what was said: READY, STATUS, …"""
    maped.notify.read()
    return [text.split("=")[0] for text in maped.notify.heard[since:]]


# ---- where a prefix comes from ----


@scenario.scenario
def prefix_from_address(box):
    put(box, OCN[0])
    maped = box.start()
    need(maped.ready(), "no READY: %s", maped.log())
    same(box.ours(), box.expected(OCN[1], OCN[2]), "at READY")
    same(heard(maped)[:2], ["STATUS", "READY"], "said first")
    need(maped.notify.wait(OCN_UP), "STATUS is %s", maped.notify.status())


@scenario.scenario
def prefix_from_announcement_alone(box):
    maped = box.start()
    need(maped.ready(), "no READY without a prefix")
    need(maped.notify.status().startswith("waiting: no IPv6 prefix on wan0"), "STATUS is %s", maped.notify.status())
    box.line.announce((OCN[0], 1800, 3600, False))  # no autonomous address: nothing but RTM_NEWPREFIX tells
    up(box)
    same(maped.json()["map"]["prefix_source"], "RA", "source")
    box.line.announce((OCN[0], 0, 0, False))
    need(maped.notify.wait("^STATUS=holding"), "an announcement that ends: %s", maped.notify.status())


@scenario.scenario
def prefix_before_duplicate_detection(box):
    # NTT's retransmit timer of 10 s keeps an address tentative for so long.
    with box.router.inside():
        for setting, value in (("dad_transmits", 1), ("accept_dad", 1)):
            with open("/proc/sys/net/ipv6/conf/wan0/" + setting, "w") as file:
                file.write(str(value))
        with open("/proc/sys/net/ipv6/neigh/wan0/retrans_time_ms", "w") as file:
            file.write("10000")
    box.start().ready()
    box.line.announce((OCN[0], 1800, 3600))
    up(box, timeout=1.0)
    states = {address.address: address.flags for address in box.router.netlink.addresses(socket.AF_INET6)
              if address.address.startswith(OCN[0][:-2])}
    need(not states.pop(OCN[1]) & netlink.TENTATIVE, "the CE address is tentative")
    need(states and all(flags & netlink.TENTATIVE for flags in states.values()), "detection was over: %s", states)


@scenario.scenario
def prefix_delegated(box):
    maped = box.start()
    maped.ready()
    box.router.netlink.add_route("2400:4050:48d:2900::", 56, kind=netlink.UNREACHABLE, protocol=netlink.DHCP, metric=1024)
    put(box, "2400:4050:48d:2901::", "lan0")
    up(box)
    need(maped.notify.wait("^STATUS=up"), "STATUS is %s", maped.notify.status())
    same(maped.json()["map"]["prefix_source"], "delegated prefix", "source")
    box.router.netlink.delete_route("2400:4050:48d:2900::", 56, kind=netlink.UNREACHABLE, metric=1024)
    drop(box, "2400:4050:48d:2901::", "lan0")
    need(maped.notify.wait("^STATUS=holding"), "not holding: %s", maped.notify.status())


@scenario.scenario
def prefix_written_in_the_file(box):
    maped = box.start('wan = { interface = "wan0"; prefix = "2400:4050:48d:2900::/56"; };\n'
                      'map = { tunnel = "tun0"; tunnel_mode = "existing"; };\n')
    need(maped.ready(), "no READY")
    up(box)
    put(box, V6PLUS[0])
    time.sleep(0.2)
    same(box.ours(), box.expected(OCN[1], OCN[2]), "another prefix on the WAN")


@scenario.scenario
def prefixes_that_are_none(box):
    maped = box.start()
    maped.ready()
    for prefix, flags, preferred in (("fd00:1:2:3::", netlink.NODAD, netlink.FOREVER),
                                     ("2400:4050:48d:2900::", netlink.NODAD, 0)):
        mark = maped.notify.mark()
        put(box, prefix, flags=flags, preferred=preferred)
        time.sleep(0.15)
        if preferred:
            same(box.ours(), box.NOTHING, "a prefix of a private network")
            need(not maped.notify.wait("^STATUS=up", mark, 0), "up with %s", prefix)
        drop(box, prefix)
    for prefix, word in (("2408:210:1:2::", "closed-network"), ("2409:10:1:2::", "ocn-without-mape"),
                         ("2a00:1:2:3::", "no-rule")):
        mark = maped.notify.mark()
        put(box, prefix)
        need(maped.notify.wait("^STATUS=%s: " % word, mark), "%s: %s", prefix, maped.notify.status())
        same(box.ours(), box.NOTHING, prefix)
        drop(box, prefix)


# ---- change ----


@scenario.scenario
def renumbering(box):
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    put(box, V6PLUS[0])
    up(box, V6PLUS)  # the newest counts, though the old one is still there
    drop(box, OCN[0])
    time.sleep(0.1)
    same(box.ours(), box.expected(V6PLUS[1], V6PLUS[2]), "after the old one went")
    need(maped.notify.wait("^STATUS=up: v6plus 106.72.63.108"), "STATUS is %s", maped.notify.status())


@scenario.scenario
def renewal_changes_nothing(box):
    monitor = box.router.monitor()
    maped = box.start()
    maped.ready()
    box.line.announce((OCN[0], 1800, 3600))
    up(box)
    box.router.netlink.add_route("2400:4050:48d:2900::", 56, kind=netlink.UNREACHABLE, protocol=netlink.DHCP, metric=1024)
    put(box, "2400:4050:48d:2901::", "lan0", valid=14400, preferred=12600)
    monitor.quiet(0.3)
    mark = maped.notify.mark()
    events = []
    for _ in range(10):
        box.line.announce((OCN[0], 1800, 3600))
        box.router.netlink.add_route("2400:4050:48d:2900::", 56, kind=netlink.UNREACHABLE, protocol=netlink.DHCP,
                                     metric=1024, flags=netlink.CREATE | netlink.REPLACE)
        put(box, "2400:4050:48d:2901::", "lan0", valid=14400, preferred=12600)
        events += monitor.quiet(0.06)
    need(len(events) >= 20, "the renewals were not seen: %d events", len(events))
    same([str(event) for event in changes_by(events, maped.pid)], [], "changes")
    same(heard(maped, mark), [], "said")


@scenario.scenario
def prefix_away_for_a_moment(box):
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    monitor = calm_monitor(box)
    drop(box, OCN[0])
    need(maped.notify.wait("^STATUS=holding: "), "not holding: %s", maped.notify.status())
    time.sleep(0.3)
    put(box, OCN[0])
    need(maped.notify.wait(OCN_UP, maped.notify.mark() - 1), "not up again: %s", maped.notify.status())
    same([str(event) for event in changes_by(monitor.quiet(0.1), maped.pid)], [], "changes meanwhile")


@scenario.scenario
def prefix_away_for_good(box):
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    before = time.monotonic()
    drop(box, OCN[0])
    need(box.wait_ours(box.NOTHING, 15) is not None, "never taken away")
    need(9.5 < time.monotonic() - before < 15, "taken away after %.1f s", time.monotonic() - before)
    need(maped.notify.wait("^STATUS=waiting: no IPv6 prefix"), "STATUS is %s", maped.notify.status())


# ---- the WAN ----


@scenario.scenario
def wan_that_comes_late(box):
    box.router.netlink.delete_link(box.index("wan0"))
    maped = box.start()
    need(maped.ready(), "no READY without a WAN")
    need("wan0 does not exist" in maped.notify.status(), "STATUS is %s", maped.notify.status())
    box.add_pair("wan0", "up0")
    put(box, OCN[0])
    up(box)
    need(maped.notify.wait(OCN_UP), "STATUS is %s", maped.notify.status())


@scenario.scenario
def wan_renamed_and_back(box):
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    index = box.index("wan0")
    box.router.netlink.change_link(index, up=False)
    box.router.netlink.change_link(index, name="other0")
    need(maped.notify.wait("wan0 does not exist"), "STATUS is %s", maped.notify.status())
    away(box)
    box.router.netlink.change_link(index, name="wan0")
    box.router.netlink.change_link(index, up=True)
    put(box, OCN[0])
    up(box)


@scenario.scenario
def wan_deleted_and_made_again(box):
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    for line in (OCN, V6PLUS, OCN):
        mark = maped.notify.mark()
        box.router.netlink.delete_link(box.index("wan0"))
        need(maped.notify.wait("wan0 does not exist", mark), "STATUS is %s", maped.notify.status())
        away(box)
        box.add_pair("wan0", "up0")
        put(box, line[0])
        up(box, line)


@scenario.scenario
def carrier_flaps(box):
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    far = box.isp.netlink.index("up0")
    for _ in range(3):
        mark = maped.notify.mark()
        box.isp.netlink.change_link(far, up=False)
        need(maped.notify.wait("^STATUS=waiting: no link on wan0", mark), "STATUS is %s", maped.notify.status())
        same(box.ours()[:2], box.expected(OCN[1], OCN[2])[:2], "addresses without a link")
        mark = maped.notify.mark()
        box.isp.netlink.change_link(far, up=True)
        need(maped.notify.wait(OCN_UP, mark), "STATUS is %s", maped.notify.status())
        same(box.ours(), box.expected(OCN[1], OCN[2]), "with a link again")


@scenario.scenario
def wan_set_down_and_up(box):
    """The kernel takes the addresses away and does not bring ours back."""
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    index = box.index("wan0")
    box.router.netlink.change_link(index, up=False)
    need(maped.notify.wait("^STATUS=(waiting|holding)"), "STATUS is %s", maped.notify.status())
    box.router.netlink.change_link(index, up=True)
    put(box, OCN[0])
    up(box)


WAN = 'wan = { interface = "wan0"; };\n'
AUTO = 'map = { tunnel = "tun0"; tunnel_mode = "existing"; };\n'


def default(box, verb, interface="wan0", metric=1024):
    box.router.run("ip", "-6", "route", verb, "default", "via", "fe80::1", "dev", interface, "metric", str(metric))


@scenario.scenario
def wan_outlives_its_default_route(box):
    """Network programs take it away when the line flaps or they are restarted."""
    put(box, OCN[0])
    default(box, "add")
    maped = box.start(AUTO)
    maped.ready()
    up(box)
    need(maped.notify.wait(OCN_UP), "STATUS is %s", maped.notify.status())
    monitor = calm_monitor(box)
    mark = maped.notify.mark()
    default(box, "del")
    time.sleep(0.2)
    default(box, "add")
    same([str(event) for event in changes_by(monitor.quiet(0.1), maped.pid)], [], "changes without a route")
    same(heard(maped, mark), [], "said without a route")
    default(box, "del")
    box.isp.netlink.change_link(box.isp.netlink.index("up0"), up=False)
    need(maped.notify.wait("^STATUS=waiting: no link on wan0", mark), "STATUS is %s", maped.notify.status())
    box.isp.netlink.change_link(box.isp.netlink.index("up0"), up=True)
    need(maped.notify.wait(OCN_UP, maped.notify.mark() - 1), "STATUS is %s", maped.notify.status())
    drop(box, OCN[0])
    need(maped.notify.wait("^STATUS=holding: the IPv6 prefix on wan0", mark), "STATUS is %s", maped.notify.status())
    put(box, OCN[0])
    same([str(event) for event in changes_by(monitor.quiet(0.1), maped.pid)], [], "changes meanwhile")
    # named, and found by itself again, while there is still no route
    for text in (WAN + AUTO, AUTO):
        mark = maped.notify.mark()
        maped.replace(text)
        need(maped.notify.wait("^READY=1", mark), "no READY")
        same(box.ours(), box.expected(OCN[1], OCN[2]), "after a reload")
    # another interface that has one takes over, and gives back
    default(box, "add", "lan0", 2048)
    up(box, OCN, "lan0")
    default(box, "add")
    up(box)
    default(box, "del", "lan0", 2048)
    default(box, "del")
    box.router.netlink.delete_link(box.index("wan0"))
    away(box)
    need(maped.notify.wait("no interface has an IPv6 default route"), "STATUS is %s", maped.notify.status())


@scenario.scenario
def wan_away_for_a_moment_beside_another_line(box):
    """The other one is there all the time, with a worse route and without MAP-E."""
    config = AUTO + 'lan = { interfaces = [ "lan1" ]; };\n'
    put(box, OCN[0])
    put(box, "2a00:1:2:3::", "lan0")
    default(box, "add")
    default(box, "add", "lan0", 2048)
    maped = box.start(config)
    maped.ready()
    up(box)
    monitor = calm_monitor(box)
    mark = maped.notify.mark()
    default(box, "del")
    drop(box, OCN[0])
    need(maped.notify.wait("^STATUS=holding: the IPv6 prefix on wan0", mark), "STATUS is %s", maped.notify.status())
    put(box, OCN[0])
    default(box, "add")
    need(maped.notify.wait(OCN_UP, maped.notify.mark() - 1), "STATUS is %s", maped.notify.status())
    same([str(event) for event in changes_by(monitor.quiet(0.1), maped.pid)], [], "changes meanwhile")
    default(box, "del")
    need(box.wait_ours(box.NOTHING, 20) is not None, "never taken away")
    need(maped.notify.wait("^STATUS=no-rule: .*2a00:1:2:3:"), "STATUS is %s", maped.notify.status())


# ---- kernel settings ----


def wait_setting(box, path, wanted):
    end = time.monotonic() + 5
    while box.router.get(path) != wanted and time.monotonic() < end:
        time.sleep(0.01)
    same(box.router.get(path), wanted, path)


@scenario.scenario
def settings_nobody_tells_of(box):
    """The kernel sends no event for one, and for another only that "all" no longer hides it."""
    box.add_pair("ppp0", "far0")
    box.router.netlink.put_address(box.index("ppp0"), "203.0.113.7", 32)
    box.router.set("ipv4/conf/all/rp_filter", 2)
    box.router.set("ipv4/conf/tun0/rp_filter", 1)
    put(box, OCN[0])
    maped = box.start(boxes.CONFIG + 'pppoe = { interface = "ppp0"; };\n', environment={"WATCHDOG_USEC": "400000"})
    need(maped.ready(), "no READY: %s", maped.log())
    same(box.router.get("ipv4/conf/tun0/rp_filter"), "1", "what \"all\" makes loose")
    monitor = calm_monitor(box)
    said = len(maped.log())
    box.router.set("ipv4/conf/all/rp_filter", 0)
    wait_setting(box, "ipv4/conf/tun0/rp_filter", "2")
    need(maped.wait_log("^repaired: kernel setting net/ipv4/conf/all/rp_filter changed to 0$", said), "the log says %s",
         maped.log())
    for interface in ("ppp0", "tun0"):
        monitor.quiet(0.15)  # no look is due that would find it by chance
        said = len(maped.log())
        box.router.set("ipv4/conf/%s/src_valid_mark" % interface, 0)
        wait_setting(box, "ipv4/conf/%s/src_valid_mark" % interface, "1")
        need(maped.wait_log("^repaired: kernel setting net/ipv4/conf/%s/src_valid_mark changed to 0$" % interface, said),
             "the log says %s", maped.log())


# ---- the file ----

METRIC = 'map = { tunnel = "tun0"; tunnel_mode = "existing"; route_metric = %d; };\n'


def metric(box):
    routes = box.ours()[2]
    return int(routes[0].split()[4]) if routes else None


def wait_metric(box, wanted):
    end = time.monotonic() + 5
    while metric(box) != wanted and time.monotonic() < end:
        time.sleep(0.01)
    same(metric(box), wanted, "metric")


@scenario.scenario
def file_edited(box):
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    for number, save in enumerate((maped.write, maped.replace, maped.write, maped.replace)):
        mark = maped.notify.mark()
        save(WAN + METRIC % (500 + number))
        wait_metric(box, 500 + number)
        need(maped.notify.wait("^READY=1", mark), "no READY after RELOADING")
        said = heard(maped, mark)
        same((said[0], said[-1], said.count("READY")), ("RELOADING", "READY", 1), "said")


@scenario.scenario
def file_with_mistakes(box):
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    monitor = calm_monitor(box)
    for save in (maped.write, maped.replace):
        mark = maped.notify.mark()
        save(WAN + 'map = {\n tunnel = "tun0";\n tunnel_mode = "existing";\n route_metrik = 7;\n};\nnta = 1;\n')
        need(maped.notify.wait("^READY=1", mark), "no READY after a broken file")
        same(heard(maped, mark), ["RELOADING", "STATUS", "READY"], "said")
        status = maped.notify.status()
        need("new configuration refused: %s:5: " % maped.config in status, "STATUS is %s", status)
        need(status.startswith("up: ocn") and "(and 1 more)" in status, "STATUS is %s", status)
        need("%s:7: " % maped.config in maped.log(), "the second mistake is not in the log")
        same([str(event) for event in changes_by(monitor.quiet(0.1), maped.pid)], [], "changes")
        mark = maped.notify.mark()
        save(boxes.CONFIG)
        need(maped.notify.wait("^READY=1", mark), "no READY after the mended file")
        need("refused" not in maped.notify.status(), "STATUS is %s", maped.notify.status())


def forwarding(prefix, port, metric=1024):
    return ('wan = { interface = "wan0"; prefix = "%s"; };\n' % prefix + METRIC % metric +
            'forward = ( { protocol = "tcp"; port = %d; to = "192.168.1.10:80"; } );\n' % port)


@scenario.scenario
def forwards_fit_the_line_of_their_file(box):
    first, second = "2400:4050:48d:2900::/56", "2400:4050:48d:2a00::/56"  # PSID 41 has port 1680, 42 has 1696
    maped = box.start(forwarding(first, 1680))
    maped.ready()
    for text, psid, refused in ((forwarding(second, 1696), 42, False), (forwarding(second, 1680), 42, True),
                                (forwarding(first, 1696), 42, True), (forwarding(first, 1680), 41, False)):
        mark = maped.notify.mark()
        maped.replace(text)
        need(maped.notify.wait("^READY=1", mark), "no READY")
        status = maped.notify.status()
        same("maped.conf:3: forward" in status, refused, status)
        need(" PSID %d," % psid in status, "STATUS is %s", status)
    # what the line alone made unfit keeps nothing else from being taken
    put(box, first[:-3])
    mark = maped.notify.mark()
    maped.replace(forwarding("auto", 1680))
    need(maped.notify.wait("^READY=1", mark), "no READY")
    drop(box, first[:-3])
    put(box, second[:-3])
    need(maped.notify.wait("PSID 42.*warning: .*maped.conf:3: forward"), "STATUS is %s", maped.notify.status())
    for number in (77, 78):
        mark = maped.notify.mark()
        maped.replace(forwarding("auto", 1680, number))
        need(maped.notify.wait("^READY=1", mark), "no READY")
        need("refused" not in maped.notify.status(), "STATUS is %s", maped.notify.status())
        same(metric(box), number, "metric")


@scenario.scenario
def file_that_others_could_write(box):
    """What the message asks for is done, and that is enough."""
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    with open(maped.config + ".new", "w") as file:
        file.write(WAN + METRIC % 78)
    os.chmod(maped.config + ".new", 0o666)
    os.rename(maped.config + ".new", maped.config)
    need(maped.notify.wait("refused: .*chmod go-w"), "STATUS is %s", maped.notify.status())
    mark = maped.notify.mark()
    os.chmod(maped.config, 0o644)
    wait_metric(box, 78)
    need(maped.notify.wait("^READY=1", mark), "no READY")
    time.sleep(0.5)
    same(heard(maped, mark).count("RELOADING"), 1, "read")


@scenario.scenario
def file_behind_a_link(box):
    """The target is saved, the link is made anew, and the new target is saved."""
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    for name in ("one", "two"):
        os.mkdir(os.path.join(box.directory, name))
        with open(os.path.join(box.directory, name, "file"), "w") as file:
            file.write(WAN + METRIC % (80 if name == "one" else 83))
    os.unlink(maped.config)
    os.symlink("../one/file", maped.config)
    wait_metric(box, 80)
    maped.write(WAN + METRIC % 81)
    wait_metric(box, 81)
    with open(os.path.join(box.directory, "one", "next"), "w") as file:
        file.write(WAN + METRIC % 82)
    os.rename(os.path.join(box.directory, "one", "next"), os.path.join(box.directory, "one", "file"))
    wait_metric(box, 82)
    os.unlink(maped.config)
    os.symlink(os.path.join(box.directory, "two", "file"), maped.config)
    wait_metric(box, 83)
    maped.write(WAN + METRIC % 84)
    wait_metric(box, 84)
    maped.end()
    maped = box.start(None)
    maped.ready()
    maped.write(WAN + METRIC % 85)
    wait_metric(box, 85)


@scenario.scenario
def file_that_is_still_written(box):
    """Not read before its writer is done."""
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    text = WAN + METRIC % 86
    os.unlink(maped.config)
    with open(maped.config, "w") as file:
        time.sleep(0.5)
        file.write(text)
    wait_metric(box, 86)
    same(maped.log().count("rules\n"), 1, "files that were taken: " + maped.log())


@scenario.scenario
def reload_without_a_change(box):
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    monitor = calm_monitor(box)
    mark = maped.notify.mark()
    maped.send(signal.SIGHUP)
    need(maped.notify.wait("^READY=1", mark), "no READY")
    maped.send(signal.SIGHUP)
    maped.send(signal.SIGHUP)
    time.sleep(0.3)
    said = heard(maped, mark)
    need(said.count("RELOADING") >= 2 and said.count("RELOADING") == said.count("READY"), "said %s", said)
    need(all(pair == ("RELOADING", "READY") for pair in zip(said[::2], said[1::2])), "said %s", said)
    same([str(event) for event in changes_by(monitor.quiet(0.1), maped.pid)], [], "changes")


@scenario.scenario
def file_deleted_and_back(box):
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    os.unlink(maped.config)
    need(maped.notify.wait("refused"), "STATUS is %s", maped.notify.status())
    same(box.ours(), box.expected(OCN[1], OCN[2]), "without the file")
    maped.write(WAN + METRIC % 77)
    wait_metric(box, 77)


@scenario.scenario
def rules_in_the_runtime_directory(box):
    """They are read where they are watched."""
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    rules = os.path.join(maped.runtime, "rules")
    maped.end()
    os.mkdir(rules)
    maped = box.start()
    maped.ready()
    with open(os.path.join(rules, "dhcp.conf"), "w") as file:
        file.write('rules = ( { ipv6_prefix = "2400:4050::/34"; ipv4_prefix = "153.240.0.0/16"; ea_length = 22; '
                   'psid_offset = 6; br = "2001:380:a120::77"; interface_id = "map-draft-03"; } );\n')
    need(maped.notify.wait("^STATUS=up.*2001:380:a120::77"), "STATUS is %s; %s", maped.notify.status(), maped.log())


@scenario.scenario
def start_with_mistakes(box):
    """An exit status of its own, with which systemd does not start it again; what a process before left stays."""
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    up(box)
    maped.end(signal.SIGKILL)
    picture = box.picture()
    maped = box.start("wan = { interfaze = 1; };\n")
    same(maped.process.wait(5), 78, "exit status")
    need("%s:1: " % maped.config in maped.log(), "said %s", maped.log())
    need("mend it" in maped.log(), "said %s", maped.log())
    done = maped.remove({"SERVICE_RESULT": "exit-code", "EXIT_CODE": "exited", "EXIT_STATUS": "78"})
    same((done.returncode, done.stdout), (0, ""), "maped --remove")
    same(boxes.differences(picture, box.picture()), "", "changed")
    with open(os.path.join(scenario.options.build, "systemd", "maped.service")) as file:
        need("\nRestartPreventExitStatus=78\n" in file.read(), "systemd is not told")


# ---- the end ----


@scenario.scenario
def stop_leaves_the_box_as_found(box):
    box.router.set("ipv4/conf/tun0/rp_filter", 1)
    box.router.set("ipv4/conf/lan0/forwarding", 0)
    put(box, OCN[0])
    before = box.picture()
    maped = box.start()
    maped.ready()
    up(box)
    need(boxes.differences(before, box.picture()), "nothing was done at all")
    put(box, V6PLUS[0])
    up(box, V6PLUS)
    drop(box, V6PLUS[0])
    up(box, OCN)
    mark = maped.notify.mark()
    same(maped.end(), 0, "exit status")
    same(heard(maped, mark)[-2:], ["STOPPING", "STATUS"], "said last")
    same(boxes.differences(before, box.picture()), "", "left behind")
    same(sorted(os.listdir(maped.runtime)), [], "files left")


@scenario.scenario
def addresses_taken_over(box):
    """`ip address change` makes ours somebody else's, as the kernel sees it."""
    put(box, OCN[0])
    before = box.picture()
    maped = box.start()
    need(maped.ready(), "no READY: %s", maped.log())
    up(box)
    for address, device in ((OCN[1] + "/128", "wan0"), (OCN[2] + "/32", "tun0")):
        said = len(maped.log())
        box.router.run("ip", "address", "change", address, "dev", device, "valid_lft", "3600", "preferred_lft", "1800")
        need(maped.wait_log("^repaired: address %s dev %s altered$" % (address, device), said), "the log says %s", maped.log())
        up(box)
        need("3600" not in box.router.run("ip", "address", "show", "dev", device), "%s keeps its lifetimes", address)
    # one that is not mended first: no sign of a prefix, and it goes with the mapping
    maped.send(signal.SIGSTOP)
    put(box, OCN[1], host="", flags=0)
    put(box, V6PLUS[0])
    drop(box, OCN[0])
    maped.send(signal.SIGCONT)
    up(box, V6PLUS)
    need(OCN[1] not in box.router.run("ip", "address"), "the old CE address stays")
    maped.send(signal.SIGSTOP)
    put(box, V6PLUS[1], host="", flags=0)
    maped.send(signal.SIGTERM)
    maped.send(signal.SIGCONT)
    same(maped.end(), 0, "exit status")
    drop(box, V6PLUS[0])
    put(box, OCN[0])
    same(boxes.differences(before, box.picture()), "", "left behind")


@scenario.scenario
def killed_and_adopted(box):
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    up(box)
    picture = box.picture()
    maped.end(signal.SIGKILL)
    monitor = box.router.monitor()
    same(boxes.differences(boxes.outliving(picture), box.picture()), "held: None -> ", "changed by the kill")
    maped = box.start()
    need(maped.ready(), "no READY")
    same([str(event) for event in changes_by(monitor.quiet(0.2), maped.pid)], [], "changes by the new process")
    same(boxes.differences(picture, box.picture()), "", "changed by the restart")
    need(maped.notify.wait(OCN_UP), "STATUS is %s", maped.notify.status())


@scenario.scenario
def killed_while_the_prefix_changes(box):
    put(box, OCN[0])
    box.start().ready()
    box.maped.end(signal.SIGKILL)
    drop(box, OCN[0])
    put(box, V6PLUS[0])
    maped = box.start()
    maped.ready()
    same(box.ours(), box.expected(V6PLUS[1], V6PLUS[2]), "after the restart")


def started_again(box, config=boxes.CONFIG):
    """After kill -9, what the new process changes, as texts."""
    box.maped.end(signal.SIGKILL)
    monitor = box.router.monitor()
    maped = box.start(config)
    need(maped.ready(), "no READY: %s", maped.log())
    return [str(event) for event in changes_by(monitor.quiet(0.1), maped.pid)]


@scenario.scenario
def killed_and_adopted_by_what_was_announced(box):
    """Routers announce every few minutes, and no dump tells what they said."""
    maped = box.start()
    maped.ready()
    box.line.announce((OCN[0], 1800, 3600, False))
    up(box)
    left = os.path.join(maped.runtime, "line")
    need(maped.notify.wait(OCN_UP), "STATUS is %s", maped.notify.status())
    number = os.stat(left).st_ino
    for _ in range(3):
        box.line.announce((OCN[0], 1800, 3600, False))
        time.sleep(0.05)
    same(os.stat(left).st_ino, number, "written again for nothing")
    same(started_again(box), [], "changes by the new process")
    need(box.maped.notify.wait(OCN_UP), "STATUS is %s", box.maped.notify.status())
    same(box.maped.json()["map"]["prefix_source"], "RA", "source")
    plan = box.router.run(box.program, "--print-plan", "--config", box.maped.config, env=box.maped.environment)
    need("address %s/128 dev wan0" % OCN[1] in plan, "--print-plan says %s", plan)
    # a link that was down in between has forgotten them
    box.isp.netlink.change_link(box.isp.netlink.index("up0"), up=False)
    need(box.maped.notify.wait("no link on wan0"), "STATUS is %s", box.maped.notify.status())
    same(started_again(box), [], "changes by a process that starts without a link")
    need(box.maped.notify.wait("no link on wan0"), "STATUS is %s", box.maped.notify.status())
    box.isp.netlink.change_link(box.isp.netlink.index("up0"), up=True)
    need(box.maped.notify.wait("^STATUS=holding"), "STATUS is %s", box.maped.notify.status())


@scenario.scenario
def killed_while_the_line_is_away(box):
    put(box, OCN[0])
    default(box, "add")
    box.start(AUTO).ready()
    up(box)
    default(box, "del")
    same(started_again(box, AUTO), [], "changes without a default route")
    need(box.maped.notify.wait(OCN_UP), "STATUS is %s", box.maped.notify.status())
    drop(box, OCN[0])
    need(box.maped.notify.wait("^STATUS=holding"), "STATUS is %s", box.maped.notify.status())
    same(started_again(box, AUTO), [], "changes without a prefix")
    need(box.maped.notify.wait("^STATUS=holding"), "STATUS is %s", box.maped.notify.status())
    put(box, OCN[0])
    need(box.maped.notify.wait(OCN_UP), "STATUS is %s", box.maped.notify.status())


@scenario.scenario
def what_was_left_is_not_believed_blindly(box):
    maped = box.start()
    maped.ready()
    left = os.path.join(maped.runtime, "line")

    def cut():
        os.truncate(left, 40)

    def fill():
        with open(left, "ab") as file:
            file.write(b"\0x" * 40000)

    def give_away():
        os.chown(left, 65534, 65534)

    def link():
        os.rename(left, left + ".old")
        os.symlink(left + ".old", left)

    for spoil in (cut, fill, give_away, link):
        box.line.announce((OCN[0], 1800, 3600, False))
        up(box)
        need(box.maped.notify.wait(OCN_UP), "STATUS is %s", box.maped.notify.status())
        spoil()
        started_again(box)
        need("is not used: read %s" % left in box.maped.log(), "%s: %s", spoil.__name__, box.maped.log())
        same(box.ours(), box.NOTHING, spoil.__name__)


@scenario.scenario
def killed_and_removed(box):
    box.router.set("ipv4/conf/tun0/rp_filter", 1)
    put(box, OCN[0])
    before = box.picture()
    maped = box.start()
    maped.ready()
    up(box)
    maped.end(signal.SIGKILL)
    done = maped.remove()
    same((done.returncode, done.stdout), (0, ""), "maped --remove")
    same(boxes.differences(before, box.picture()), "", "left behind")
    done = maped.remove()
    same((done.returncode, done.stdout), (0, ""), "maped --remove again")


@scenario.scenario
def remove_leaves_a_restart_alone(box):
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    picture = box.picture()
    maped.end(signal.SIGKILL)
    done = maped.remove({"SERVICE_RESULT": "signal"})
    same(done.returncode, 0, "maped --remove")
    same(boxes.differences(boxes.outliving(picture), box.picture()), "held: None -> ", "changed")


@scenario.scenario
def second_one_is_refused(box):
    """It says so and changes nothing, and neither does --remove."""
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    up(box)
    picture = box.picture()
    told = "maped runs already (process %d)" % maped.pid
    with box.router.inside():
        done = subprocess.run([box.program, "--config", maped.config], env={**maped.environment, "NOTIFY_SOCKET": ""},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=10)
    same((done.returncode, done.stdout), (1, told + "\n"), "the second one")
    done = maped.remove()
    same((done.returncode, done.stdout), (1, told + ": nothing is taken away\n"), "maped --remove")
    same(boxes.differences(picture, box.picture()), "", "changed")
    same(maped.json()["state"], "up", "state")
    same(maped.end(), 0, "exit status")
    same(box.ours(), box.NOTHING, "at the end")


@scenario.scenario
def failing_tells_when_it_goes_on(box):
    """By the clock: what is shown is true until then."""
    put(box, OCN[0])
    maped = box.start(WAN + 'map = { tunnel = "tun9"; tunnel_mode = "existing"; };\n')
    need(maped.notify.wait("^STATUS=failing"), "STATUS is %s", maped.notify.status())
    said = re.search(r"next try at (\d\d):(\d\d):(\d\d)", maped.notify.status())
    need(said, "STATUS is %s", maped.notify.status())
    now = time.localtime()
    ahead = sum((int(told) - known) * unit for told, known, unit in zip(
        said.groups(), (now.tm_hour, now.tm_min, now.tm_sec), (3600, 60, 1))) % 86400
    need(ahead <= 300 or ahead >= 86400 - 20, "%s seconds ahead: %s", ahead, said.group())


# ---- questions ----


def ask_as_nobody(maped):
    """What the status socket tells an unprivileged user, as two texts."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            asker = socket.socket(socket.AF_UNIX)
            asker.connect(os.path.join(maped.runtime, "status"))
            while True:
                data = asker.recv(65536)
                if not data:
                    break
                os.write(send, data)
        finally:
            os._exit(0)
    os.close(send)
    data = b""
    while True:
        part = os.read(receive, 65536)
        if not part:
            break
        data += part
    os.close(receive)
    os.waitpid(child, 0)
    plain, text, end = data.decode().split("\0")
    same(end, "", "behind the last NUL")
    return plain, text


@scenario.scenario
def status_for_people_and_programs(box):
    maped = box.start()
    maped.ready()
    same(maped.json()["state"], "waiting", "state without a prefix")
    metrics = os.path.join(maped.runtime, "metrics")
    same(metric_told(metrics, "up"), "0", "the metric without a prefix")
    put(box, OCN[0])
    up(box)
    need(maped.notify.wait(OCN_UP), "STATUS is %s", maped.notify.status())
    maped.json()  # answered after the file was written
    same(metric_told(metrics, "up"), "1", "the metric with one")
    plain = maped.ask(check=True).stdout
    for words in ("153.240.18.52", OCN[1], "2001:380:a120::9", "1680-1695", "41, 1008 ports in 63 blocks", "tun0"):
        need(words in plain, "%s is not in --status", words)
    need(all(len(line) <= 80 for line in plain.splitlines()), "lines are longer than 80 columns")
    told = maped.json()
    same((told["state"], told["map"]["ipv4_address"], told["map"]["psid"]), ("up", OCN[2], 41), "JSON")
    same(len(told["map"]["port_ranges"]), 63, "port ranges")
    maped.end()
    done = maped.ask()
    need(done.returncode != 0 and "not running" in done.stdout, "without a daemon: %s", done.stdout)
    need(not os.path.exists(metrics), "old numbers stay behind")


@scenario.scenario
def status_that_is_long(box):
    """It arrives whole although no socket buffer holds it; one that is cut is no answer."""
    ports = [16 * (64 * block + 41) + port for block in range(1, 64) for port in range(16)]
    forwards = ", ".join('{ protocol = "%s"; port = %d; to = "192.168.1.10:%d"; comment = "a name as long as it may be %s %d"; }' % (
        protocol, port, port, "x" * 10, port) for port in ports for protocol in ("tcp", "udp"))
    put(box, OCN[0])
    maped = box.start(boxes.CONFIG + "forward = ( %s );\n" % forwards)
    maped.ready(60)
    up(box)
    answer = maped.ask("--json").stdout
    scenario.note("%d octets" % len(answer))
    same(len(json.loads(answer)["forwards"]), len(ports) * 2, "forwards")
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(os.path.join(maped.runtime, "status"))
        time.sleep(0.3)
        data = b""
        while part := slow.recv(65536):
            data += part
        same((data.count(b"\0"), data[-1:]), (2, b"\0"), "a slow reader's answer")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(os.path.join(maped.runtime, "status"))
        same(maped.json()["state"], "up", "while another one does not read")
        time.sleep(11)
        data = b""
        while part := silent.recv(65536):
            data += part
        need(data[-1:] != b"\0", "the end came after all")


def metric_told(path, name):
    with open(path) as file:
        return re.search("^maped_%s (.*)$" % name, file.read(), re.M).group(1)


def watched(maped, rows, **environment):
    """What --status --watch writes on a terminal, until the second screen is whole."""
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))
    watcher = subprocess.Popen((maped.box.program, "--status", "--watch"), stdout=end, stdin=subprocess.DEVNULL,
                               env={**maped.environment, "TERM": "linux", "NO_COLOR": "", **environment})
    os.close(end)
    shown = ""
    while shown.count("\033[J") < 2 and select.select((terminal,), (), (), 20)[0]:
        shown += os.read(terminal, 65536).decode().replace("\r\n", "\n")
    watcher.kill()
    watcher.wait()
    os.close(terminal)
    return shown.split("\033[J")


@scenario.scenario
def status_on_a_terminal(box):
    """It fits the screen, and colours are where they are wanted."""
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    up(box)
    need("\033" not in maped.ask(check=True).stdout, "escapes in a pipe")
    for rows in (60, 24, 8):
        first, second, _ = watched(maped, rows)
        need(first.startswith("\033[2J\033[H") and second.startswith("\033[H"), "not written over: %r", second)
        need(re.search("^\033\\[H      state: \033\\[32mup\033\\[0m\033\\[K$", second, re.M), "no colour: %r", second)
        lines = re.sub("\033\\[[0-9;]*[A-Za-z]", "", second).splitlines()
        need(len(lines) < rows and max(len(line) for line in lines) <= 80, "%d rows: %s", rows, lines)
        same(any("ports: 1680-" in line for line in lines), rows == 60, "all ports with %d rows" % rows)
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        second = watched(maped, 24, **environment)[1]
        same(set(re.findall("\033\\[[0-9;]*[A-Za-z]", second)), {"\033[H", "\033[K"}, "escapes with %s" % environment)


@scenario.scenario
def status_watched_over_a_restart(box):
    maped = box.start()
    maped.ready()
    watcher = subprocess.Popen((box.program, "--status", "--watch"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env=maped.environment)
    shown = ""

    def wait(pattern):
        nonlocal shown
        end = time.monotonic() + 10
        while not re.search(pattern, shown) and time.monotonic() < end:
            if select.select((watcher.stdout,), (), (), 1)[0]:
                shown += os.read(watcher.stdout.fileno(), 65536).decode()
        need(re.search(pattern, shown), "%s is not in %s", pattern, shown)
        shown = ""
    try:
        wait("state: waiting")
        maped.end()
        wait("the daemon is not running")
        box.start().ready()
        wait("state: waiting")
    finally:
        watcher.kill()
        watcher.wait()


@scenario.scenario
def status_for_everybody(box):
    """Which LAN hosts talk to whom only root and the daemon's own user see."""
    put(box, OCN[0])
    maped = box.start()
    need(maped.ready(), "no READY: %s", maped.log())
    box.router.netlink.put_address(box.index("lan0"), "192.168.1.1", 24)
    host = box.isp.netlink.index("host0")
    box.isp.netlink.put_address(host, "192.168.1.10", 24)
    box.isp.run("ip", "route", "add", "198.51.100.0/24", "via", "192.168.1.1", "dev", "host0")
    # a veth has neighbours, a tunnel has none
    mac = box.isp.run("ip", "-br", "link", "show", "br0").split()[2]
    box.router.run("ip", "neigh", "replace", "198.51.100.7", "lladdr", mac, "dev", "tun0")
    with box.isp.inside():
        talker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        talker.bind(("192.168.1.10", 40000))
    for _ in range(3):
        talker.sendto(b"x", ("198.51.100.7", 5000))
    told = maped.json()
    if "usage" not in told:
        raise scenario.Skip("this maped does not count the use of ports")
    need("192.168.1.10" in json.dumps(told["usage"]), "root does not see the LAN host: %s", told["usage"])
    plain, text = ask_as_nobody(maped)
    same(json.loads(text)["map"]["ipv4_address"], OCN[2], "shared address")
    for words in ("192.168.1.10", "198.51.100.7"):
        need(words not in plain + text, "an unprivileged user sees %s", words)


@scenario.scenario
def status_is_only_told(box):
    """Whatever is sent to the socket, and askers that do not read, change nothing."""
    put(box, OCN[0])
    maped = box.start()
    maped.ready()
    kept = []
    for _ in range(200):
        asker = socket.socket(socket.AF_UNIX)
        asker.setblocking(False)
        try:
            asker.connect(os.path.join(maped.runtime, "status"))
            asker.send(b"reload\nstop\n" * 100)
        except OSError:
            pass
        kept.append(asker)
    put(box, V6PLUS[0])
    up(box, V6PLUS)
    for asker in kept:
        asker.close()
    same(maped.json()["state"], "up", "state")


if __name__ == "__main__":
    scenario.parse("The whole daemon in network namespaces.")
    sys.exit(scenario.main("daemon"))
