#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""MAP-E and PPPoE side by side, with a veth in the role of ppp0 and a judge on each line."""
import contextlib
import functools
import os
import re
import signal
import socket
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "faults"))

import box as boxes  # noqa: E402
import scenario  # noqa: E402
from pppoe_lines import (ANNEX, CHOSEN, CONSOLE, ESP, GRE, PC, PC2, PREFIX, ROUTER, ROUTER_ANNEX, SERVER, SHARED,  # noqa: E402
                         STATION, Lines, config)
from scenario import need, same  # noqa: E402

TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
EXISTING = 'tunnel = "tun0"; tunnel_mode = "existing";'

# Seconds: the figures are in the notes; what fails by time is what hangs.
PATIENCE = 4


def with_lines(function):
    """A scenario that gets both lines; at its end the judges speak."""
    def run(box):
        with Lines(box) as lines:
            function(lines)
            lines.judge()
    functools.update_wrapper(run, function)
    return scenario.scenario(run)


def picture(lines):
    """Without the clocks of the bridge."""
    found = lines.box.picture()
    found["addresses"] = re.sub(r"(?m)^ +bridge.*\n", "", found["addresses"])
    return found


def talks(connection, line, what):
    need(connection is not None and connection.line == line, "%s: on %s, not %s", what, connection and connection.line, line)
    need(connection.talk(), "%s: no data", what)
    return connection


# ---- which line ----


@with_lines
def chosen_traffic_takes_pppoe_from_its_first_packet(lines):
    lines.ppp_up()
    lines.start()
    for _ in range(3):
        for space, source, port, address in (
                (lines.lan, CONSOLE, 7001, None), (lines.lan, "192.168.1.70", 7002, None), (lines.station, STATION, 7003, None),
                (lines.lan, PC, 7004, CHOSEN), (lines.lan, PC, 7500, None), (lines.router, "0.0.0.0", 7004, CHOSEN),
                (lines.router, "0.0.0.0", 7501, None)):
            named = {"address": address} if address else {}
            same(lines.udp(source, port, space=space, **named), "ppp", "UDP of %s to %s:%d" % (source, address, port))
        same(lines.udp(PC, 8001), "map", "UDP of the others")
        same(lines.udp(ANNEX, 8002, space=lines.annex), "map", "UDP of the other LAN")
        same(lines.udp("0.0.0.0", 8003, space=lines.router), "map", "UDP of the router")
    for space, source, port, line in ((lines.lan, CONSOLE, 7001, "ppp"), (lines.station, STATION, 7003, "ppp"),
                                      (lines.lan, PC, 7025, "ppp"), (lines.router, "0.0.0.0", 7025, "ppp"),
                                      (lines.lan, PC, 8001, "map"), (lines.router, "0.0.0.0", 8001, "map")):
        connection = talks(lines.tcp(source, port, space=space), line, "TCP of %s to %d" % (source, port))
        need(connection.talk() and connection.talk(), "TCP of %s goes on", source)
    for protocol in (GRE, ESP):
        lines.raw(PC, protocol)
        lines.raw(CONSOLE, protocol, CHOSEN)  # without ports, one address has room for one flow to each destination
    time.sleep(0.1)
    for protocol in (GRE, ESP):
        same((lines.judges["ppp"].count(protocol=protocol), lines.judges["map"].count(protocol=protocol)), (2, 0),
             "protocol %d on PPPoE and MAP-E" % protocol)
    lines.raw("0.0.0.0", ESP, "198.51.100.8", lines.router)
    time.sleep(0.1)
    same((lines.judges["ppp"].count(protocol=ESP), lines.judges["map"].count(protocol=ESP)), (3, 0), "the router's own ESP")


@with_lines
def unmappable_may_stay_with_the_others(lines):
    """unmappable = false: refused, as without PPPoE, instead of diverted."""
    lines.ppp_up()
    lines.start(config(more="unmappable = false;"))
    lines.raw(PC, GRE)
    lines.raw(CONSOLE, GRE, CHOSEN)
    time.sleep(0.1)
    same((lines.judges["ppp"].count(protocol=GRE), lines.judges["map"].count(protocol=GRE)), (1, 0), "GRE on PPPoE and MAP-E")


@with_lines
def lan_and_router_are_never_diverted(lines):
    lines.ppp_up()
    lines.start()
    annex = lines.service(lines.annex, ANNEX, 7600, UDP)
    for source in (CONSOLE, PC):
        sender = lines.open(lines.lan, UDP, source)
        sender.sendto(b"?", (ANNEX, 7600))
        time.sleep(0.05)
        data, peer = annex.recvfrom(100)
        same(peer[0], source, "who asks a host of the other LAN")
        annex.sendto(data, peer)
        time.sleep(0.05)
        same(sender.recv(100), b"?", "answer of the other LAN")
    for address in (ROUTER, ROUTER_ANNEX, lines.ppp_address):
        service = lines.service(lines.router, address, 7025)  # a port that is chosen
        for source in (CONSOLE, PC):
            client = lines.open(lines.lan, TCP, source)
            client.settimeout(1)
            client.connect_ex((address, 7025))
            client.settimeout(1)
            service.settimeout(1)
            accepted, peer = service.accept()
            same(peer[0], source, "who asks the router at %s" % address)
            accepted.send(b"x")
            same(client.recv(10), b"x", "answer of the router")
    # a service of the router on a LAN address has the port of a PPPoE forward
    service = lines.service(lines.router, ROUTER_ANNEX, 8080)
    service.settimeout(1)
    client = lines.open(lines.lan, TCP, PC)
    client.settimeout(1)
    client.connect((ROUTER_ANNEX, 8080))
    same(service.accept()[1][0], PC, "the router's own port 8080 of a LAN")
    need(all(seen.protocol not in (6, 17) for judge in lines.judges.values() for seen in judge.read()), "packets on a line")


# ---- answers ----


def arrivals(lines):
    web, own = lines.service(lines.lan, PC2, 80), lines.service(lines.router, "0.0.0.0", 22)
    # the router's own service that is open to MAP-E
    reached = lines.service(lines.router, "0.0.0.0", 1681)
    console = lines.service(lines.lan, CONSOLE, 30000, UDP)
    talks(lines.call("ppp", (lines.ppp_address, 8080), web, 7700), "ppp", "forward of PPPoE")
    talks(lines.call("ppp", (lines.ppp_address, 22), own, 7701), "ppp", "the router on PPPoE")
    talks(lines.call("map", (SHARED, 1680), web, 8700), "map", "forward of MAP-E")
    talks(lines.call("map", (SHARED, 1681), reached, 8701), "map", "the router on MAP-E")
    need(lines.ask("ppp", (lines.ppp_address, 30000), console, 7702), "UDP forward of PPPoE: no answer")
    # a host that always uses PPPoE answers MAP-E's callers by MAP-E
    return web, own, reached, console


@with_lines
def answers_leave_by_the_line_the_question_came_in_on(lines):
    lines.ppp_up()
    lines.start()
    arrivals(lines)


@with_lines
def answers_when_pppoe_is_the_default(lines):
    lines.ppp_up()
    lines.ip(lines.router, "route add default dev ppp0")
    lines.start(config(tunnel=EXISTING + " default_route = false;"))
    arrivals(lines)
    same(lines.udp(PC, 7800), "ppp", "the others with PPPoE as default")


@with_lines
def answers_of_a_chosen_host_on_map(lines):
    lines.ppp_up()
    lines.start(config().replace('to = "192.168.1.20:80"; } );\npppoe', 'to = "%s:80"; } );\npppoe' % CONSOLE))
    web = lines.service(lines.lan, CONSOLE, 80)
    talks(lines.call("map", (SHARED, 1680), web, 8700), "map", "forward of MAP-E to a host of PPPoE")


@with_lines
def answers_without_any_default_route(lines):
    """MAP-E is down, failover is off: no default route is left, and rp_filter must not care."""
    lines.ppp_up()
    lines.router.netlink.delete_address(lines.box.index("wan0"), *PREFIX)
    lines.start(config(more="failover = false;"), up=False)
    same(lines.router.run("ip", "route", "show", "default"), "", "default route")
    web = lines.service(lines.lan, PC2, 80)
    console = lines.service(lines.lan, CONSOLE, 30000, UDP)
    talks(lines.call("ppp", (lines.ppp_address, 8080), web, 7700), "ppp", "forward of PPPoE")
    need(lines.ask("ppp", (lines.ppp_address, 30000), console, 7702), "UDP forward of PPPoE: no answer")
    talks(lines.tcp(CONSOLE, 7703), "ppp", "a chosen host")
    same(lines.udp(PC, 9001), None, "others")


@with_lines
def router_answers_without_any_default_route(lines):
    lines.ppp_up()
    lines.router.netlink.delete_address(lines.box.index("wan0"), *PREFIX)
    lines.start(config(more="failover = false;"), up=False)
    own = lines.service(lines.router, "0.0.0.0", 22)
    talks(lines.call("ppp", (lines.ppp_address, 22), own, 7701), "ppp", "the router on PPPoE")


@with_lines
def pppoe_address_from_inside(lines):
    """Hairpin: LAN hosts and the router itself reach the forward at the PPPoE address."""
    lines.ppp_up()
    lines.start()
    web = lines.service(lines.lan, PC2, 80)
    for space, source in ((lines.annex, ANNEX), (lines.lan, PC), (lines.lan, CONSOLE), (lines.station, STATION),
                          (lines.router, "0.0.0.0")):
        client = lines.open(space, TCP, source)
        client.connect_ex((lines.ppp_address, 8080))
        web.settimeout(1.5)
        try:
            accepted, _ = web.accept()
        except socket.timeout:
            raise scenario.Failure("%s is not answered" % source) from None
        accepted.setblocking(False)
        client.setblocking(False)
        lines.sockets.append(accepted)
        accepted.send(b"x")
        time.sleep(0.05)
        same(client.recv(10), b"x", "answer for %s" % source)


# ---- nothing changes line ----


@with_lines
def reload_moves_no_connection(lines):
    lines.ppp_up()
    lines.start()
    web = lines.service(lines.lan, PC2, 80)
    kept = [talks(lines.tcp(PC, 8001), "map", "pc"), talks(lines.tcp(CONSOLE, 7001), "ppp", "console"),
            talks(lines.tcp(PC, 7004, CHOSEN), "ppp", "destination"),
            talks(lines.call("ppp", (lines.ppp_address, 8080), web, 7700), "ppp", "forward"),
            talks(lines.call("map", (SHARED, 1680), web, 8700), "map", "forward of MAP-E"),
            talks(lines.tcp("0.0.0.0", 8005, space=lines.router), "map", "router")]
    pc, console = lines.open(lines.lan, UDP, PC), lines.open(lines.lan, UDP, CONSOLE)
    same((lines.udp(PC, 8006, sender=pc), lines.udp(CONSOLE, 7006, sender=console)), ("map", "ppp"), "UDP")
    swapped = config('hosts = [ "%s" ]; destinations = [ "198.51.100.0/24" ];' % PC)
    for text in (swapped, config(more="failover = false;"), config("", forwards=""), config(more="mss_clamp = false;"), config()):
        lines.reload(text)
        for connection in kept:
            need(connection.talk(), "lost after a reload: %s", connection.client.getsockname())
        same((lines.udp(PC, 8006, sender=pc), lines.udp(CONSOLE, 7006, sender=console)), ("map", "ppp"), "UDP after a reload")
    lines.reload(swapped)
    same(lines.udp(PC, 7008), "ppp", "a new flow of pc, chosen now")
    lines.box.maped.end(9)
    for connection in kept:
        need(connection.talk(), "lost while maped is dead")
    lines.start(swapped)
    for connection in kept:
        need(connection.talk(), "lost after a restart")


@with_lines
def udp_ends_with_its_forward(lines):
    """A peer of a forward of PPPoE that keeps sending."""
    lines.ppp_up()
    lines.start()
    console = lines.service(lines.lan, CONSOLE, 30000, UDP)
    for text in (config(), config(more="failover = false;")):
        lines.reload(text)
        need(lines.ask("ppp", (lines.ppp_address, 30000), console, 7702), "no answer")
    lines.reload(config(forwards=""))
    need(not lines.ask("ppp", (lines.ppp_address, 30000), console, 7702), "the forward is gone, and the host is reached")


@with_lines
def connections_of_before_stay(lines):
    """PPPoE is configured while MAP-E has been in use; MAP-E goes down: what is open neither moves nor leaks."""
    maped = lines.box.start(config().split("pppoe =")[0])
    need(maped.ready() and maped.notify.wait("^STATUS=up"), "not up: %s", maped.log())
    kept = talks(lines.tcp(PC, 8001), "map", "pc")
    own = talks(lines.tcp("0.0.0.0", 8002, space=lines.router), "map", "router")
    lines.ppp_up()
    lines.reload(config())
    need(kept.talk() and own.talk(), "lost by the reload")
    lines.router.netlink.delete_address(lines.box.index("wan0"), *PREFIX)
    need(maped.notify.wait("^STATUS=holding"), "STATUS is %s", maped.notify.status())
    same(lines.udp(PC, 9001), "ppp", "new flow")
    need(kept.talk() and own.talk(), "moved by the failover")


# ---- failover ----


def first_arrival(lines, source, line, since, timeout=3.0):
    """Seconds after since until a new flow of source goes by line."""
    while time.monotonic() - since < timeout:
        with contextlib.closing(lines.open(lines.lan, UDP, source)) as sender:  # while the other line answers, there are many
            if lines.udp(source, 9001, timeout=0.03, sender=sender) == line:
                return time.monotonic() - since
    return None


@with_lines
def failover_and_back_for_new_flows(lines):
    lines.ppp_up()
    maped = lines.start()
    kept, ours = talks(lines.tcp(PC, 8001), "map", "pc"), talks(lines.tcp("0.0.0.0", 8002, space=lines.router), "map", "router")
    pc = lines.open(lines.lan, UDP, PC)
    same(lines.udp(PC, 8006, sender=pc), "map", "UDP")
    away, back = [], []
    index, far = lines.box.index("wan0"), lines.inet["map"].netlink.index("up0")
    carrier = lines.inet["map"].netlink.change_link
    for number, (down, up) in enumerate((
            (lambda: carrier(far, up=False), lambda: carrier(far, up=True)),
            (lambda: lines.router.netlink.delete_address(index, *PREFIX), lambda: lines.router.netlink.put_address(index, *PREFIX)))):
        mark = maped.notify.mark()
        start = time.monotonic()
        down()
        waited = first_arrival(lines, PC, "ppp", start)
        need(waited is not None and waited < PATIENCE, "failover took %s", waited)
        away.append(waited)
        need(maped.notify.wait("^STATUS=(waiting|holding).*PPPoE up on ppp0", mark), "STATUS is %s", maped.notify.status())
        moved = talks(lines.tcp(PC, 7100 + number), "ppp", "new while MAP-E is down")
        own = talks(lines.tcp("0.0.0.0", 7110 + number, space=lines.router), "ppp", "the router's own")
        need(kept.talk() and ours.talk(), "MAP-E connections are moved or cut")
        same(lines.udp(PC, 8006, sender=pc), "map", "UDP of before")
        mark = maped.notify.mark()
        start = time.monotonic()
        up()
        waited = first_arrival(lines, PC, "map", start)
        need(waited is not None and waited < PATIENCE, "the way back took %s", waited)
        back.append(waited)
        need(maped.notify.wait("^STATUS=up: ocn .*PPPoE up", mark), "STATUS is %s", maped.notify.status())
        need(moved.talk() and own.talk() and kept.talk() and ours.talk(), "a connection was moved or cut by the way back")
        same(lines.udp(PC, 8006, sender=pc), "map", "UDP of before")
    need(min(away) < 1 and min(back) < 1, "both failovers took more than a second: %s, %s", away, back)
    scenario.note("pppoe: a new flow takes PPPoE %s ms after MAP-E went down, MAP-E %s ms after it came back" % (
        "/".join("%.0f" % (value * 1000) for value in away), "/".join("%.0f" % (value * 1000) for value in back)))


@with_lines
def failover_when_the_tunnel_cannot_be_built(lines):
    """Another program's interface has the tunnel's name."""
    lines.ppp_up()
    lines.ip(lines.router, "link add map0 type bridge")
    before = time.monotonic()
    maped = lines.start(config(tunnel='tunnel = "map0";'), up=False)
    waited = first_arrival(lines, PC, "ppp", before)
    need(waited is not None and waited < PATIENCE, "failover took %s: %s", waited, maped.notify.status())
    need(re.match("failing: .*map0.*PPPoE up on ppp0", maped.notify.status()), "STATUS is %s", maped.notify.status())
    talks(lines.tcp(CONSOLE, 7001), "ppp", "console")
    # the line comes and goes while that goes on, and is taken at once all the same
    worst = 0.0
    for _ in range(4):
        lines.ppp_down()
        time.sleep(0.15)
        lines.ppp_up()
        waited = lines.wait_route("ppp0 table 10 metric 0")
        need(waited is not None, "PPPoE is not used")
        worst = max(worst, waited)
        same(lines.udp(PC, 9002), "ppp", "others")
    need(worst < PATIENCE, "rebuilt after %.0f ms", worst * 1000)
    lines.ip(lines.router, "link del map0")
    lines.reload(config())
    need(maped.notify.wait("^STATUS=up"), "STATUS is %s", maped.notify.status())
    same(lines.udp(PC, 8003), "map", "after the mend")


@with_lines
def failover_off(lines):
    lines.ppp_up()
    lines.start(config(more="failover = false;"))
    lines.inet["map"].netlink.change_link(lines.inet["map"].netlink.index("up0"), up=False)
    time.sleep(0.3)
    same((lines.udp(CONSOLE, 7001), lines.judges["ppp"].count(destination_port=9005)), ("ppp", 0), "console")
    lines.udp(PC, 9005, timeout=0.1)
    same(lines.judges["ppp"].count(destination_port=9005), 0, "others on PPPoE")


@with_lines
def chosen_traffic_waits_for_pppoe(lines):
    lines.ppp_up()
    maped = lines.start()
    talks(lines.tcp(CONSOLE, 7001), "ppp", "console")
    lines.ppp_down()
    need(maped.notify.wait("^STATUS=up: ocn .*PPPoE down on ppp0"), "STATUS is %s", maped.notify.status())
    for source, port, address in ((CONSOLE, 7002, None), (PC, 7500, None), (PC, 7003, CHOSEN)):
        same(lines.udp(source, port, timeout=0.2, **({"address": address} if address else {})), None, "%s:%d" % (source, port))
    lines.raw(PC, GRE)
    same(lines.tcp(CONSOLE, 7004, timeout=0.2).line, None, "TCP of the console")
    same(lines.udp(PC, 8001), "map", "others")
    lines.ppp_up()
    need(maped.notify.wait("^STATUS=up: ocn .*PPPoE up on ppp0", maped.notify.mark() - 1), "STATUS is %s", maped.notify.status())
    same(lines.udp(CONSOLE, 7002), "ppp", "console again")
    lines.ip(lines.router, "link set ppp0 down")
    need(maped.notify.wait("PPPoE down", maped.notify.mark() - 1), "STATUS is %s", maped.notify.status())
    same(lines.udp(CONSOLE, 7002, timeout=0.2), None, "interface set down")


@with_lines
def chosen_traffic_may_fall_back(lines):
    lines.ppp_up()
    maped = lines.start(config(more="fallback = true;"))
    same(lines.udp(CONSOLE, 7001), "ppp", "console")
    lines.ppp_down()
    need(maped.notify.wait("PPPoE down on ppp0"), "STATUS is %s", maped.notify.status())
    fallen, console = talks(lines.tcp(CONSOLE, 8001), "map", "console without PPPoE"), lines.open(lines.lan, UDP, CONSOLE)
    same(lines.udp(CONSOLE, 8002, sender=console), "map", "UDP of the console")
    lines.ppp_up()
    need(lines.wait_route("ppp0 table 10 metric 0") is not None, "PPPoE is not used again")
    same(lines.udp(CONSOLE, 7003), "ppp", "new flow of the console")
    need(fallen.talk(), "what fell back is moved or cut")
    same(lines.udp(CONSOLE, 8002, sender=console), "map", "UDP that fell back")


# ---- the session comes and goes ----


@with_lines
def sessions_come_and_go(lines):
    """Another index and address each time, in the middle of transfers."""
    lines.ppp_up()
    maped = lines.start()
    pc = talks(lines.tcp(PC, 8001), "map", "pc")
    web = lines.service(lines.lan, PC2, 80)
    console = lines.service(lines.lan, CONSOLE, 30000, UDP)
    own = lines.service(lines.router, "0.0.0.0", 22)
    took = []
    for number in range(30):
        flow = talks(lines.tcp(CONSOLE, 7001), "ppp", "console")
        call = talks(lines.call("ppp", (lines.ppp_address, 8080), web, 7400 + number), "ppp", "forward")
        shell = talks(lines.call("ppp", (lines.ppp_address, 22), own, 7440 + number), "ppp", "the router")
        lines.ppp_down()
        for open_ in (flow.client, call.accepted, shell.accepted):  # goes on sending into the gap, and after it
            open_.send(b"late")
        if number % 3 == 0:
            time.sleep(0.05)
        lines.ppp_up()
        waited = lines.wait_route("ppp0 table 10 metric 0")
        need(waited is not None, "PPPoE is not used again: %s", maped.notify.status())
        took.append(waited)
        same(lines.udp(CONSOLE, 7002), "ppp", "console, session %d" % number)
        console.sendto(b"late", (SERVER, 7480))
        need(lines.ask("ppp", (lines.ppp_address, 30000), console, 7481), "UDP forward, session %d: no answer", number)
        need(pc.talk(), "MAP-E's connection is hurt")
        for one in (flow, call, shell):
            one.client.close()
            one.accepted.close()
    scenario.note("pppoe: routes %.1f ms (p50), %.1f ms (p99), %.1f ms (worst) after ppp0 is up, %d sessions" % (
        scenario.quantile(took, 0.5) * 1000, scenario.quantile(took, 0.99) * 1000, max(took) * 1000, len(took)))
    # a machine that does many things at once, all of which want the kernel's one lock of links, may be late now and then
    need(scenario.quantile(took, 0.5) < 0.1, "most of them took more than %.0f ms", scenario.quantile(took, 0.5) * 1000)
    need(max(took) < 2 * PATIENCE, "one took %.0f ms", max(took) * 1000)
    time.sleep(0.5)  # retransmissions of the old sessions


@with_lines
def a_session_taken_down_as_pppd_does_is_no_alteration(lines):
    """The address goes first, all routes of the interface with it, then the interface."""
    lines.ppp_up()
    maped = lines.start()
    for _ in range(3):
        mark = maped.notify.mark()
        lines.ip(lines.router, "addr del %s peer 100.64.0.1/32 dev ppp0" % lines.ppp_address)
        need(maped.notify.wait("^STATUS=up: ocn .*PPPoE down on ppp0", mark), "STATUS is %s", maped.notify.status())
        same([route for route in lines.routing() if route.startswith("ppp0")], [], "routes")
        lines.ip(lines.router, "link set ppp0 down")
        lines.ppp_down()
        lines.ppp_up()
        need(lines.wait_route("ppp0 table 10 metric 0") is not None, "PPPoE is not used again: %s", maped.notify.status())
        same(lines.udp(CONSOLE, 7002), "ppp", "console")
    need("repaired" not in maped.log(), "taken for an alteration: %s", maped.log())


@with_lines
def address_changes_while_the_interface_stays(lines):
    lines.ppp_up(last=11)
    lines.start()
    web, console = lines.service(lines.lan, PC2, 80), lines.service(lines.lan, CONSOLE, 30000, UDP)
    call = talks(lines.call("ppp", (lines.ppp_address, 8080), web, 7400), "ppp", "forward")
    need(lines.ask("ppp", (lines.ppp_address, 30000), console, 7481), "UDP forward: no answer")
    flow = talks(lines.tcp(CONSOLE, 7001), "ppp", "console")
    lines.ppp_judge()
    old = lines.ppp_address
    lines.ip(lines.router, "addr del %s peer 100.64.0.1/32 dev ppp0\naddr add 100.64.7.12 peer 100.64.0.1/32 dev ppp0" % old)
    lines.ppp_address = "100.64.7.12"
    need(lines.wait_route("ppp0 table 10 metric 0") is not None, "PPPoE is not used again")
    flow.client.send(b"late")
    call.accepted.send(b"late")
    console.sendto(b"late", (SERVER, 7481))
    time.sleep(0.3)
    need(lines.ask("ppp", (lines.ppp_address, 30000), console, 7482), "UDP forward at the new address: no answer")
    # the peer of before asks again: its flow must not hang on the old address
    same(lines.udp(CONSOLE, 7481, sender=console), "ppp", "the console to the peer of before")
    talks(lines.call("ppp", (lines.ppp_address, 8080), web, 7401), "ppp", "forward at the new address")


@with_lines
def nothing_leaves_with_the_address_of_a_session_before(lines):
    """What is sent between a change of the address and maped's answer to it."""
    lines.ppp_up(last=11)
    maped = lines.start()
    web, console = lines.service(lines.lan, PC2, 80), lines.service(lines.lan, CONSOLE, 30000, UDP)
    call = talks(lines.call("ppp", (lines.ppp_address, 8080), web, 7400), "ppp", "forward")
    flow = talks(lines.tcp(CONSOLE, 7001), "ppp", "console")
    need(lines.ask("ppp", (lines.ppp_address, 30000), console, 7481), "UDP forward: no answer")
    time.sleep(0.1)
    maped.send(signal.SIGSTOP)
    lines.ppp_judge()
    lines.ip(lines.router, "addr del %s peer 100.64.0.1/32 dev ppp0\naddr add 100.64.7.12 peer 100.64.0.1/32 dev ppp0\n"
             "route add default dev ppp0 table 10" % lines.ppp_address)
    lines.ppp_address = "100.64.7.12"
    flow.client.send(b"late")
    call.accepted.send(b"late")
    console.sendto(b"late", (SERVER, 7481))
    time.sleep(0.5)
    maped.send(signal.SIGCONT)
    leaks = lines.router.run("nft", "list", "counter", "ip", "maped", "pppoe_leaks")
    need(int(re.search(r"packets (\d+)", leaks).group(1)) >= 2, "they came by another way: %s", leaks)


@with_lines
def pppoe_alone(lines):
    """No prefix yet: everything takes PPPoE, and MAP-E joins later."""
    lines.router.netlink.delete_address(lines.box.index("wan0"), *PREFIX)
    lines.ppp_up()
    maped = lines.start(up=False)
    need(re.match("waiting: .*PPPoE up on ppp0", maped.notify.status()), "STATUS is %s", maped.notify.status())
    early = talks(lines.tcp(PC, 7100), "ppp", "pc")
    lines.router.netlink.put_address(lines.box.index("wan0"), *PREFIX)
    need(maped.notify.wait("^STATUS=up: ocn .*PPPoE up"), "STATUS is %s", maped.notify.status())
    same(lines.udp(PC, 8001), "map", "pc")
    need(early.talk(), "what began on PPPoE is cut")


@with_lines
def map_alone_until_pppoe_comes(lines):
    maped = lines.start(up=False)
    need(maped.notify.wait("^STATUS=up: ocn .*PPPoE down on ppp0"), "STATUS is %s", maped.notify.status())
    same(lines.udp(PC, 8001), "map", "pc")
    lines.ppp_up()
    need(maped.notify.wait("PPPoE up on ppp0"), "STATUS is %s", maped.notify.status())
    same(lines.udp(CONSOLE, 7001), "ppp", "console")
    told = maped.json()
    same((told["pppoe"]["up"], told["state"]), (True, "up"), "JSON")
    need(re.search("PPPoE: ppp0, up", maped.ask(check=True).stdout), "--status does not tell")


# ---- others ----

OTHERS = """
table ip users {
  chain pre {
    type filter hook prerouting priority -160
    meta mark set 0x0
  }
  chain nat {
    type nat hook postrouting priority 100
    oifname "elsewhere" masquerade
  }
}
"""

MARKERS = """
table inet users {
  counter kept { }
  counter lost { }
  counter connection { }
  chain pre {
    type filter hook prerouting priority -190
    meta mark set meta mark | 0x420042
    ct state new ct mark set ct mark | 0x230023
  }
  chain out {
    type filter hook output priority -190
    ip daddr 198.51.100.7 meta mark set meta mark | 0x420042
    ct state new ct mark set ct mark | 0x230023
  }
  chain post {
    type filter hook postrouting priority 310
    meta l4proto { 1, 58 } accept
    oifname { "ppp0", "tun0" } meta mark & 0xffff00ff == 0x420042 counter name kept
    oifname { "ppp0", "tun0" } meta mark & 0xffff00ff != 0x420042 counter name lost
    oifname { "ppp0", "tun0" } ct mark & 0xffff00ff == 0x230023 counter name connection
  }
}
"""

FOREIGN = """rule add priority 500 fwmark 0x5 lookup 55
rule add priority 1000 fwmark 0x77 lookup 10
rule add priority 31000 from 192.0.2.0/24 lookup 10
route add 192.0.2.0/24 dev lanbr table 10
route add default dev lanbr table 10 metric 7000
route add unreachable default table 11 metric 9000
route add 100.100.0.0/16 dev ppp0
"""


@with_lines
def foreign_routes_and_rules_stay(lines):
    lines.ppp_up()
    lines.ip(lines.router, FOREIGN.replace("dev ppp0", "dev lanbr"))
    lines.router.run("nft", "-f", "-", input=OTHERS)
    before = picture(lines)
    maped = lines.start()
    for _ in range(3):
        lines.ppp_down()
        lines.ppp_up(last=1)
        need(lines.wait_route("ppp0 table 10 metric 0") is not None, "PPPoE is not used again")
    lines.reload(config(""))
    rules = lines.router.run("ip", "rule")
    routes = lines.router.run("ip", "route", "show", "table", "all")
    for text in ("500:\tfrom all fwmark 0x5 lookup 55", "1000:\tfrom all fwmark 0x77 lookup 10", "from 192.0.2.0/24 lookup 10"):
        need(text in rules, "rule %s is gone: %s", text, rules)
    for text in ("192.0.2.0/24 dev lanbr table 10", "default dev lanbr table 10 .*metric 7000", "100.100.0.0/16 dev lanbr",
                 "unreachable default table 11 metric 9000"):
        need(re.search(text, routes), "route %s is gone: %s", text, routes)
    same(maped.end(), 0, "exit status")
    difference = boxes.differences(before, picture(lines))
    # the interface of now is not the one of then
    difference = "; ".join(part for part in difference.split("; ") if not re.search("ppp0|[0-9]+: |link/|100[.]64|fe80::ff:fe00:2/", part))
    same(difference, "", "left behind")


@with_lines
def a_foreign_default_is_told(lines):
    lines.ppp_up()
    lines.ip(lines.router, "route add default dev ppp0")  # pppd's defaultroute
    maped = lines.start(up=False)
    need(maped.notify.wait("MAP-E is not used for IPv4: another route wins, default dev ppp0 metric 0"),
         "STATUS is %s", maped.notify.status())
    same(lines.udp(PC, 7001), "ppp", "pc")
    lines.ip(lines.router, "route del default dev ppp0 metric 0")
    need(maped.notify.wait("^STATUS=up: ((?!another route).)*; PPPoE up on ppp0$", maped.notify.mark() - 1), "STATUS is %s",
         maped.notify.status())
    same(lines.udp(PC, 8001), "map", "pc again")


@with_lines
def bits_of_others_marks_stay(lines):
    """mask 0xff00: another program keeps its bits in packets and connections, on every path."""
    lines.ppp_up()
    lines.router.run("nft", "-f", "-", input=MARKERS)
    lines.start(config(more="mark = 0x4200; mask = 0xff00;"))
    for _ in range(2):
        for space, source, port, line in ((lines.lan, CONSOLE, 7001, "ppp"), (lines.lan, PC, 8001, "map"),
                                          (lines.router, "0.0.0.0", 8002, "map"), (lines.router, "0.0.0.0", 7500, "ppp")):
            same(lines.udp(source, port, space=space), line, "%s:%d" % (source, port))
    talks(lines.tcp(CONSOLE, 7003), "ppp", "console")
    talks(lines.tcp("0.0.0.0", 8003, space=lines.router), "map", "router")
    counters = lines.router.run("nft", "list", "table", "inet", "users")
    kept, lost, connection = (int(re.search(r"counter %s \{\s*packets (\d+)" % name, counters).group(1))
                              for name in ("kept", "lost", "connection"))
    need(kept > 10 and lost == 0 and connection == kept, "packets with the others' bits: %d, without: %d, connections: %d",
         kept, lost, connection)


@with_lines
def segment_size_fits_pppoe(lines):
    lines.ppp_up()
    lines.start()
    web = lines.service(lines.lan, PC2, 80)
    out = talks(lines.tcp(CONSOLE, 7001), "ppp", "console")
    call = talks(lines.call("ppp", (lines.ppp_address, 8080), web, 7700), "ppp", "forward")
    other = talks(lines.tcp(PC, 8001), "map", "pc")
    time.sleep(0.05)
    told = {line: {seen.segment for seen in judge.read() if seen.segment} for line, judge in lines.judges.items()}
    same(told, {"ppp": {1454 - 40}, "map": {1460 - 40}}, "segment sizes in what leaves")
    timestamps = 12
    for what, one, size in (("out", out, 1454), ("in", call, 1454), ("MAP-E", other, 1460)):
        got = [end.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) for end in (one.client, one.accepted)]
        same(got, [size - 40 - timestamps] * 2, "segments, " + what)


@with_lines
def a_thousand_hosts_cost_like_one(lines):
    def objects():
        listed = lines.router.run("nft", "-a", "list", "table", "ip", "maped")
        return len(re.findall(r"# handle \d+$", re.sub(r"elements = \{[^}]*\}", "", listed), re.M))

    def cost(sender):
        start = time.perf_counter()
        for _ in range(400):
            with contextlib.suppress(ConnectionError):
                sender.sendto(b"?", (SERVER, 8009))  # nobody listens: ICMP errors are limited
        return (time.perf_counter() - start) / 400

    lines.ppp_up()
    lines.start(config('hosts = [ "%s" ];' % CONSOLE))
    one, sender = objects(), lines.open(lines.lan, UDP, PC)
    cheap = min(cost(sender) for _ in range(5))
    many = ", ".join('"10.%d.%d.%d"' % (number % 7, number // 250, number % 250 + 1) for number in range(1000))
    lines.reload(config('hosts = [ "%s", %s ];' % (CONSOLE, many)))
    same(objects(), one, "objects in the table")
    dear = min(cost(sender) for _ in range(5))
    scenario.note("pppoe: a datagram through the router %.1f us with 1 host, %.1f us with 1001" % (cheap * 1e6, dear * 1e6))
    same((lines.udp(CONSOLE, 7001), lines.udp(PC, 8001)), ("ppp", "map"), "lines")


def settled(lines):
    """The picture, once the kernel has noticed that a new interface has a carrier and given it its IPv6 address."""
    end, before, now = time.monotonic() + 3, None, picture(lines)
    while time.monotonic() < end and (before != now or "NO-CARRIER" in now["addresses"]):
        time.sleep(0.05)
        before, now = now, picture(lines)
    return now


@with_lines
def stop_leaves_nothing(lines):
    lines.ppp_up()
    for name in ("ppp0", "tun0", "wan0", "lanbr"):
        lines.router.set("ipv4/conf/%s/rp_filter" % name, 1)
    before = settled(lines)
    maped = lines.start()
    arrivals(lines)
    changed = boxes.differences(before, picture(lines))
    need("lookup 10" in changed and "table 10" in changed, "nothing was done: %s", changed)
    filters = re.findall(r"conf/(\S+)/rp_filter", changed)
    need(set(filters) <= {"ppp0", "tun0", "wan0"}, "rp_filter of %s", filters)
    same(maped.end(), 0, "exit status")
    same(boxes.differences(before, picture(lines)), "", "left behind")
    need(lines.udp(PC, 9001, timeout=0.1) is None, "a line without maped")


@with_lines
def ipv6_is_untouched(lines):
    lines.ppp_up()
    before = lines.box.picture()
    lines.start()
    after = lines.box.picture()
    same((before["routes6"], before["rules6"]), (re.sub(r"(?m)^.*2400:4050:48d:2900:99:.*\n", "", after["routes6"]), after["rules6"]),
         "IPv6 routes and rules")


if __name__ == "__main__":
    scenario.parse("MAP-E and PPPoE side by side.")
    sys.exit(scenario.main("pppoe"))
