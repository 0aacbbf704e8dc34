#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the NAT promises while the daemon lives: changes keep flows, and the use of ports is seen.

usage: test_nat_daemon.py PATH-OF-nat_driver PATH-OF-maped [WORD...]

Prints TAP. Exit 77: cannot run here.
"""

import contextlib
import random
import re
import signal
import subprocess
import sys
import time

from nat_lab import ACK, SYN, CannotRun, Lab, echo, tcp, udp
from daemon_lab import DaemonLab

if __name__ == "__main__":
    Lab.ADDRESS = DaemonLab.ADDRESS  # before the tests of the table take it as theirs

import test_nat  # noqa: E402
from test_nat import (HOST, OTHER, SECOND, SERVER, become_streams, begin_stream, contacted, endpoints, heard, keeps,  # noqa: E402
                      require, shorten)

A = Lab.ADDRESS


def until(condition, what, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        require(time.monotonic() < end, what)
        time.sleep(0.02)


def table(lab):
    """Its objects; what a reload has added stands behind the others, until all are made anew."""
    text = lab.inside("nft", "-t", "list", "table", "ip", "maped", check=False)
    return sorted(re.findall(r"^\t\w+ \w+ \{\n.*?^\t\}", re.sub(r"packets \d+ bytes \d+", "", text), re.M | re.S))


# ---- live changes ---------------------------------------------------------------------------------


def reload_keeps_flows(lab):
    keeps(lab, lab.daemon.reload)


def changed_forward_keeps_flows(lab):
    last = lab.set_ports()[-1]

    def change():
        lab.sync(f"forward=tcp:{last}:{OTHER}:80")
        got = lab.back(tcp(SERVER, 4321, A, last))
        require(got and (got[0].destination, got[0].dport) == (OTHER, 80), f"no forward: {got}")
        lab.sync(f"forward=tcp:{last}:{OTHER}:81")
        got = lab.back(tcp(SERVER, 4322, A, last))
        require(got and (got[0].destination, got[0].dport) == (OTHER, 81), f"still the old: {got}")
        lab.sync()
        require(lab.back(tcp(SERVER, 4323, A, last)) == [], "a forward that is gone still works")
    keeps(lab, change)


def udp_follows_its_forward(lab):
    """A peer that goes on sending reaches the host that the forward leads to now, or none. What another forward, or the host
    itself, has begun goes on, and so does TCP."""
    port, other = lab.set_ports()[-2:]
    steady = f"forward=tcp+udp:{other}:{OTHER}:80"

    def reached(outer=port):
        return [(p.destination, p.dport) for p in lab.back(udp(SERVER, 4321, A, outer))]

    def tracked():
        return set(re.findall(r"^(\w+) .*?src=(\S+) dst=(\S+) sport=\d+ dport=(\d+) src=", re.sub(r"\[\S+\] ", "", entries(lab)), re.M))

    for words, to in ((["filtering=eif"], []), (["filtering=adf"], []),
                      (["filtering=adf", f"forward=tcp+udp:{port}:{OTHER}:80"], [(OTHER, 80)]),
                      (["filtering=eif", f"forward=tcp+udp:{port}:{HOST}:81"], [(HOST, 81)])):
        lab.fresh(words[0], steady, f"forward=tcp+udp:{port}:{HOST}:80")
        contacted(lab)
        require(reached() == [(HOST, 80)] and reached(other) == [(OTHER, 80)], "no forwards")
        require(lab.out(udp(HOST, 80, SERVER, 4321))[0].sport == port, "it does not answer")
        require(lab.out(udp(OTHER, 80, SERVER, 4321))[0].sport == other, "it does not answer")
        lab.back(tcp(SERVER, 4321, A, port, seq=1))
        lab.out(tcp(HOST, 80, SERVER, 4321, SYN | ACK, seq=1, ack=2))
        before = tracked()
        lab.sync(*words, steady)
        require(before - tracked() == {("udp", SERVER, A, str(port))}, f"{words}: gone is {before - tracked()}")
        require(reached() == to, f"{words}: reached {reached()}")
        require(reached(other) == [(OTHER, 80)], f"{words}: the other forward")
        got = lab.back(tcp(SERVER, 4321, A, port, ACK, seq=2, ack=2))
        require(got and got[0].destination == HOST, f"{words}: an established connection was lost")
        out = lab.out(udp(HOST, 80, SERVER, 4321))
        require(out and out[0].sport != port, f"{words}: the old host still answers: {out}")


SERVICE = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", {port}))
print("ready", flush=True)
while True:
    s.sendto(*s.recvfrom(999))
"""


def udp_ends_with_its_service(lab):
    """A port of the router that is closed again."""
    port = lab.set_ports()[3]
    lab.fresh(f"open=udp:{port}")

    def answered():
        lab.wan.put(udp(SERVER, 4321, A, port))
        return [p.sport for p in lab.wan.get()] == [port]

    with lab.process("python3", "-c", SERVICE.format(port=port)) as service:
        try:
            service.stdout.readline()
            until(answered, "the service does not answer")
            lab.sync(f"open=tcp+udp:{port}")
            require(f"dport={port} src=" in entries(lab), "a flow was lost")
            lab.sync(f"open=tcp:{port}")
            require(not answered(), "a service that is closed still answers")
        finally:
            service.kill()


def changed_filtering_keeps_flows(lab):
    """Also when maped has to look what stands, since another program has changed some rules."""
    def change():
        for word in ("filtering=apdf", "filtering=eif", "host_limit=500", "filtering=adf"):
            before = len(flows_of_hosts(lab))
            lab.inside("nft", "add table ip other; delete table ip other")
            lab.sync(word)
            require(len(flows_of_hosts(lab)) == before, f"{word}: conntrack has lost {before - len(flows_of_hosts(lab))}")
        lab.sync()
    keeps(lab, change)


def self_repair_keeps_flows(lab):
    """Another program harms the table; maped mends it by itself and says so."""
    for harm in ("flush chain ip maped guard", "insert rule ip maped guard drop"):
        whole, said = table(lab), len(lab.daemon.said())

        def change():
            lab.inside("nft", harm)
            until(lambda: table(lab) == whole, f"not mended: {harm}")
        keeps(lab, change)
        until(lambda: re.search("nftables table maped altered by nft", lab.daemon.said()[said:]),
              f"nothing is said of: {harm}")
        time.sleep(2.5)  # apart from each other, or it were a fight


@contextlib.contextmanager
def stopped(process):
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def flushed_ruleset_keeps_what_was_learnt(lab):
    """Another program flushes everything, as nftables.service does: connections go on, endpoints keep their ports, peers may
    answer, and new connections get none that an old one still holds."""
    lab.fresh()
    for make in (udp, tcp):
        port_of, flows = {}, endpoints(700)
        stream = lab.out(tcp(HOST, 30000, SERVER, 80, seq=1))[0]
        lab.back(tcp(SERVER, 80, A, stream.sport, SYN | ACK, seq=1, ack=2))
        lab.out(tcp(HOST, 30000, SERVER, 80, ACK, seq=2, ack=2))
        for host, port in flows[:400]:
            port_of[host, port] = lab.out(make(host, port, SERVER, 53))[0].sport
        whole, said = table(lab), len(lab.daemon.said())
        with stopped(lab.daemon.process):
            lab.inside("nft", "flush ruleset")
            came = lab.back(tcp(SERVER, 80, A, stream.sport, ACK, seq=2, ack=2))
            require(len(came) == 1, f"before it is mended, what comes for a TCP connection is lost: {came}")
            require(lab.wan.frames() == [], "and the router itself answers")
            require(lab.out(make(OTHER, 30001, SERVER, 53)) == [], "before it is mended, one begins without a port")
        until(lambda: table(lab) == whole, "not mended")
        until(lambda: re.search("altered by nft", lab.daemon.said()[said:]), "nothing is said")
        came = lab.back(tcp(SERVER, 80, A, stream.sport, ACK, seq=2, ack=2))
        require(len(came) == 1, "what comes for a TCP connection is lost")
        out = lab.out(tcp(HOST, 30000, SERVER, 80, ACK, seq=2, ack=2))
        require(len(out) == 1 and out[0].sport == stream.sport, f"a TCP connection is lost: {out}")
        if make is udp:
            for (host, port), outer in list(port_of.items())[:20]:
                came = lab.back(udp(SERVER, 4444, A, outer))
                require([(p.destination, p.dport) for p in came] == [(host, port)], f"an answer is lost: {came}")
        for (host, port), outer in list(port_of.items())[:50]:
            out = lab.out(make(host, port, SECOND, 443))
            require(len(out) == 1 and out[0].sport == outer, f"{host} {port} has had {outer}: {out}")
        if make is udp:
            for (host, port), outer in port_of.items():
                out = lab.out(make(host, port, SERVER, 53))
                require(len(out) == 1 and out[0].sport == outer, f"{host} {port} has had {outer}: {out}")
        got = [lab.out(make(host, port, SERVER, 53)) for host, port in flows[400:]]
        lost = sum(not out for out in got)
        require(lost == 0, f"{lost} of {len(got)} new flows are lost")
        require(len(lab.out(make(OTHER, 30001, SERVER, 53))) == 1, "what began before it was mended does not go on")
        taken = [out[0].sport for out in got]
        require(not set(taken) & set(port_of.values()) and len(set(taken)) == len(taken), "a port has two flows")
        lab.inside("conntrack", "-F", check=False)
        lab.fresh()
        time.sleep(2.5)  # apart from each other, or it were a fight


def killed_daemon_keeps_flows(lab):
    def change():
        lab.daemon.kill()
        lab.daemon.drain()
        lab.daemon.status = ""
        lab.daemon.start()
    keeps(lab, change)


def restarted_daemon_prolongs_what_lives(lab):
    """What the maps have learnt of living connections is prolonged: by a new process soon, then every quarter of an hour."""
    lab.fresh()
    outer = contacted(lab)
    require(lab.back(udp(SERVER, 3478, A, outer)), "the answer did not arrive")
    shorten(lab, "map_udp_owner", f"{HOST} . 40000", outer, "30s")
    lab.daemon.kill()
    lab.daemon.drain()
    lab.daemon.status = ""
    lab.daemon.start()
    until(lambda: re.search(rf"{HOST} \. 40000 (timeout 1h )?expires (59m|1h)", lab.inside("nft", "list map ip maped map_udp_owner")),
          "the endpoint's port is not kept for longer")


def changed_filtering_opens_streams(lab):
    """A stream's packets teach nothing, so that a looser filtering has to be told of it."""
    lab.fresh("filtering=apdf")
    outer = begin_stream(lab)
    become_streams(lab, (HOST, outer))
    lab.inside("nft", "flush map ip maped map_contacted")
    lab.sync("filtering=adf")
    require(heard(lab, outer, SERVER, 9), "another port of its peer is kept out")
    require(not heard(lab, outer, SECOND, 9), "a stranger comes in")
    lab.sync("filtering=eif")
    require(heard(lab, outer, SECOND, 9), "a stranger is kept out")


def restarted_daemon_opens_streams(lab):
    """What was forgotten while nobody looked after it."""
    lab.fresh()
    outer = begin_stream(lab)
    become_streams(lab, (HOST, outer))
    lab.daemon.kill()
    lab.inside("nft", "flush map ip maped map_contacted")
    require(not heard(lab, outer, SERVER, 9), "open without its element")
    lab.daemon.drain()
    lab.daemon.status = ""
    lab.daemon.start()
    until(lambda: heard(lab, outer, SERVER, 10), "it is not open again")


# ---- another address, another port set --------------------------------------------------------------


def entries(lab):
    return lab.inside("conntrack", "-L", check=False)


def flows_of_hosts(lab):
    """Entries of the tests' two hosts by the shared address of before."""
    return re.findall(rf"src=(?:{HOST}|{OTHER}) .* dst={A} .*", entries(lab))


def several_flows(lab):
    """UDP, TCP that has gone both ways, an echo; and what is none of ours."""
    outer = contacted(lab)
    stream = lab.out(tcp(HOST, 30000, SERVER, 80, seq=1))[0]
    lab.back(tcp(SERVER, 80, A, stream.sport, SYN | ACK, seq=1, ack=2))
    lab.out(tcp(HOST, 30000, SERVER, 80, ACK, seq=2, ack=2))
    lab.out(echo(OTHER, 7, SERVER))
    for protocol in ("udp", "tcp"):
        lab.inside("conntrack", "-I", "-p", protocol, "-s", "192.168.2.77", "-d", "10.2.2.2", "--sport",
                   "5", "--dport", "6", "-t", "300",
                   *(("--state", "ESTABLISHED") if protocol == "tcp" else ()))
    require(len(flows_of_hosts(lab)) == 3, f"flows: {flows_of_hosts(lab)}")
    return outer


def changed_address_drops_exactly_its_flows(lab):
    lab.fresh()
    several_flows(lab)
    try:
        lab.move_to("v6plus")
        left = entries(lab)
        require(flows_of_hosts(lab) == [], f"stale: {flows_of_hosts(lab)}")
        require(left.count("src=192.168.2.77") == 2, f"foreign entries went: {left}")
        out = lab.out(udp(HOST, 40000, SERVER, 3478))
        require(out and out[0].source == lab.LINES["v6plus"][1], f"{out}")
        # The old flow's next packet goes on from the new address, as a flow of it.
        out = lab.out(tcp(HOST, 30000, SERVER, 80, ACK, seq=2, ack=2))
        require(all(p.source == lab.LINES["v6plus"][1] for p in out), f"{out}")
    finally:
        lab.move_to("ocn")
    require(lab.LINES["v6plus"][1] not in entries(lab), "flows of the second address stay")
    require(entries(lab).count("src=192.168.2.77") == 2, "foreign entries went with it")


def changed_ports_drop_exactly_their_flows(lab):
    """The same address, another port set: nothing of the old one can be answered any more."""
    lab.fresh()
    several_flows(lab)
    try:
        lab.move_to("ocn_other_psid")
        left = entries(lab)
        require(flows_of_hosts(lab) == [], f"stale: {flows_of_hosts(lab)}")
        require(left.count("src=192.168.2.77") == 2, f"foreign entries went: {left}")
        out = lab.out(udp(HOST, 40000, SERVER, 3478))
        require(out and lab.in_set(out[0].sport), f"not of the new set: {out}")
    finally:
        lab.move_to("ocn")


# ---- what the owner sees ----------------------------------------------------------------------------


def use_is_visible(lab):
    lab.fresh()
    for n in range(30):
        lab.out(udp(HOST, 5000 + n, SERVER, 53))
    for n in range(10):
        lab.out(udp(OTHER, 5000 + n, SECOND, 53))
    for n in range(5):
        lab.out(tcp(OTHER, 6000 + n, SERVER, 443))
    for n in range(3):
        lab.out(echo(HOST, 100 + n, SECOND))
    use = lab.daemon.ask()["usage"]
    require([use[p]["ports"] for p in ("udp", "tcp", "icmp")] == [40, 5, 3], f"ports: {use}")
    require(use["udp"]["peak"] >= 40, f"peak: {use['udp']}")
    hosts = {entry["address"]: entry["count"] for entry in use["lan_hosts"]}
    require(hosts == {HOST: 33, OTHER: 15}, f"LAN hosts: {hosts}")
    require([entry["address"] for entry in use["lan_hosts"]] == [HOST, OTHER], "not the top one first")
    places = {entry["address"]: entry["count"] for entry in use["destinations"]}
    require(places == {SERVER: 35, SECOND: 13}, f"destinations: {places}")
    lab.inside("conntrack", "-F", check=False)
    later = lab.daemon.ask()["usage"]
    require(later["udp"]["ports"] == 0 and later["udp"]["peak"] >= 40, f"after the flows: {later}")


def refused_flows_are_counted(lab):
    lab.fresh("host_limit=7")
    before = lab.daemon.ask()["usage"]["refused_flows"]
    for n in range(12):
        lab.out(udp(HOST, 5000 + n, SERVER, 53))
    after = lab.daemon.ask()["usage"]["refused_flows"]
    require(after - before == 5, f"refused {after - before}, 5 were")


def use_on_signal(lab):
    """SIGUSR1: the same in the journal."""
    lab.fresh()
    for n in range(17):
        lab.out(udp(HOST, 5000 + n, SERVER, 53))
    said = len(lab.daemon.said())
    lab.daemon.process.send_signal(signal.SIGUSR1)
    until(lambda: re.search(rf"{re.escape(HOST)}\D+17 ports", lab.daemon.said()[said:]),
          "no LAN host in the log")
    text = lab.daemon.said()[said:]
    for pattern in (r"udp +17 of 1008 ports", rf"{re.escape(SERVER)}\D+17 flows", "refused"):
        require(re.search(pattern, text), f"{pattern} is not said: {text}")


def scarce_ports_are_warned_of(lab):
    lab.fresh()
    said = len(lab.daemon.said())
    flows = endpoints(807)  # 80 % of 1008 are 806.4
    for host, port in flows[:790]:
        lab.out(udp(host, port, SERVER, 53))
    time.sleep(2.5)
    lab.daemon.drain()
    require("of 1008" not in lab.daemon.status, f"warned too early: {lab.daemon.status}")
    for host, port in flows[790:]:
        lab.out(udp(host, port, SERVER, 53))
    lab.daemon.wait_status(r"^up.*807 of 1008 udp ports")
    require("807 of 1008" in lab.daemon.said()[said:], "not in the log")
    require("807 of 1008" in lab.daemon.ask()["ports_warning"], "not in the JSON")
    lab.inside("conntrack", "-F", check=False)
    lab.daemon.wait_status(r"^(?!.*of 1008 udp ports)")


def forward_with_a_port_of_its_own(lab):
    """port = "auto" follows the prefix, and the status tells which it is."""
    lab.fresh(f"forward=tcp:auto:{OTHER}:80")
    try:
        for line, to in (("ocn", A), ("v6plus", lab.LINES["v6plus"][1])):
            lab.move_to(line)
            port = int(lab.daemon.ask()["forwards"][0]["first_port"])
            require(lab.in_set(port), f"{line}: {port} is not of the set")
            got = lab.back(tcp(SERVER, 4000, to, port))
            require(got and (got[0].destination, got[0].dport) == (OTHER, 80), f"{line}: {got}")
    finally:
        lab.move_to("ocn")


def opened_port_outside_the_set(lab):
    """Refused as that of a forward is, also when the file moves the set away from it."""
    port = lab.set_ports()[3]
    lab.fresh(f"open=udp:{port}")

    def refused(change):
        try:
            change()
        except RuntimeError as error:
            return str(error)
        return "not refused"

    try:
        said = refused(lambda: lab.sync(f"open=udp:{port}", "open=tcp:80"))
        require("nat.open[1]: port 80 is not in the port set of this line" in said, said)
        lab.words = (f"open=udp:{port}",)
        said = refused(lambda: lab.move_to("v6plus"))
        require(f"nat.open[0]: port {port} is not in the port set of this line" in said, said)
        require("opened by nat.open" in "".join(table(lab)), "the one before does not stay in force")
    finally:
        lab.words = ()
        lab.move_to("ocn")


TESTS = [reload_keeps_flows, changed_forward_keeps_flows, udp_follows_its_forward, udp_ends_with_its_service,
         changed_filtering_keeps_flows, self_repair_keeps_flows, flushed_ruleset_keeps_what_was_learnt,
         killed_daemon_keeps_flows, restarted_daemon_prolongs_what_lives,
         changed_filtering_opens_streams, restarted_daemon_opens_streams,
         changed_address_drops_exactly_its_flows,
         changed_ports_drop_exactly_their_flows, use_is_visible, refused_flows_are_counted,
         use_on_signal, scarce_ports_are_warned_of, forward_with_a_port_of_its_own,
         opened_port_outside_the_set]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    chosen = [t for t in TESTS if not sys.argv[3:] or any(w in t.__name__ for w in sys.argv[3:])]
    try:
        lab = DaemonLab(sys.argv[1], sys.argv[2])
    except CannotRun as reason:
        print(f"1..0 # SKIP {reason}")
        sys.exit(77)
    with lab:
        failed = test_nat.run_tests(lab, chosen)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
