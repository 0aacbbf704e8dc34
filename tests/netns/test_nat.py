#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the NAT promises, packet by packet. usage: test_nat.py PATH-OF-nat_driver [WORD...]

Prints TAP: one line a promise. WORDs choose the tests whose names contain one of them. Exit 77: cannot run here.
"""

import contextlib
import random
import re
import struct
import sys
import time

from nat_lab import (ACK, FIN, GRE, ICMP, RST, SYN, TCP, UDP, CannotRun, Lab, Packet, checksum, echo, icmp,
                     ip_packet, run, sctp, tcp, udp)

HOST = "192.168.2.10"
OTHER = "192.168.2.11"
SERVER = "203.0.113.5"
SECOND = "203.0.113.6"
A = Lab.ADDRESS


def require(condition, what):
    if not condition:
        raise AssertionError(what)


def endpoints(count, first_port=20000):
    """LAN endpoints: 50 hosts, then the next port."""
    return [(f"192.168.2.{10 + n % 50}", first_port + n // 50) for n in range(count)]


# ---- ports ---------------------------------------------------------------------------------------

def saturate(lab, make, count):
    used = set()
    for host, port in endpoints(count):
        out = lab.out(make(host, port))
        require(len(out) == 1, f"flow {len(used) + 1} of {count} was lost at the first packet")
        require(out[0].source == A and lab.in_set(out[0].sport), f"leaves as {out[0]}")
        used.add(out[0].sport)
    require(len(used) == count, f"{len(used)} different ports for {count} flows")
    host, port = endpoints(count + 5)[-1]
    for _ in range(3):
        require(lab.out(make(host, port)) == [], "a flow beyond the last port got out")
    require(lab.counts()["refused"] == 3, f"refused {lab.counts()['refused']}, 3 were")


@contextlib.contextmanager
def lasting_flows(lab):
    """They end when the test says so, however slow the machine is."""
    timeouts = [f"net.netfilter.nf_conntrack_{kind}_timeout" for kind in ("udp", "icmp")]
    for name in timeouts:
        lab.sysctl(f"{name}=600")
    yield
    for name in timeouts:
        lab.sysctl(f"{name}=30")


def one_destination(kind, ports):
    make = {"tcp": lambda h, p: tcp(h, p, SERVER, 443), "udp": lambda h, p: udp(h, p, SERVER, 53),
            "icmp": lambda h, p: echo(h, p, SERVER)}[kind]

    def test(lab):
        lab.fresh(ports=ports)
        with lasting_flows(lab):
            saturate(lab, make, ports)
    test.__name__ = f"{kind}_{ports}_flows_to_one_destination"
    return test


def wait_for_sweep(lab, living):
    """The kernel takes ended connections out of the set once a second, later when it is very busy.
    More than a second's worth of them is not what the test is about."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        listed = lab.inside("nft", "list", "set", "ip", "maped", "map_udp_busy")
        if listed.count(" ct count") <= living + 10:
            return
        time.sleep(0.05)
    require(False, "ended connections stay in the set")


def ended_and_begun(lab):
    """How many of 120 flows were lost that begin while others end."""
    living, fresh, lost = [], iter(endpoints(5000)), 0
    while len(living) < 228:
        host, port = next(fresh)
        require(len(lab.out(udp(host, port, SERVER, 53))) == 1, "lost while filling")
        living.append((host, port))
    for _ in range(120):
        host, port = living.pop(random.randrange(len(living)))
        lab.inside("conntrack", "-D", "-p", "udp", "--orig-src", host, "--sport", str(port))
        time.sleep(0.1)
        wait_for_sweep(lab, len(living))
        host, port = next(fresh)
        lost += len(lab.out(udp(host, port, SERVER, 53))) != 1
        living.append((host, port))
    return lost


def steady_state(lab):
    """95 % of 240 ports busy; ten flows a second end at random and ten begin."""
    lab.fresh(ports=240)
    with lasting_flows(lab):
        lost = ended_and_begun(lab)
    require(lost == 0, f"{lost} of 120 new flows were lost")


def closed(lab, host, port, outer):
    lab.out(tcp(host, port, SERVER, 80, FIN | ACK, seq=1001, ack=5001))
    lab.back(tcp(SERVER, 80, A, outer, FIN | ACK, seq=5001, ack=1002))
    lab.out(tcp(host, port, SERVER, 80, ACK, seq=1002, ack=5002))


def reset_from_outside(lab, host, port, outer):
    require(lab.back(tcp(SERVER, 80, A, outer, RST | ACK, seq=5001, ack=1001)), "the reset did not arrive")


def ended_tcp_ports_rest(end):
    """conntrack keeps the ports of an ended connection; they are not given out meanwhile."""
    def test(lab):
        lab.fresh(ports=240)
        for host, port in endpoints(60):
            out = lab.out(tcp(host, port, SERVER, 80, seq=1000))[0]
            lab.back(tcp(SERVER, 80, A, out.sport, SYN | ACK, seq=5000, ack=1001))
            lab.out(tcp(host, port, SERVER, 80, ACK, seq=1001, ack=5001))
            end(lab, host, port, out.sport)
        time.sleep(2.5)  # until the set of living connections has been swept
        for host, port in endpoints(180, 30000):  # and it is the first ports' turn again
            require(len(lab.out(tcp(host, port, SECOND, 80))) == 1, "lost on the way to another server")
        for host, port in endpoints(60, 40000):
            out = lab.out(tcp(host, port, SERVER, 80, seq=10))
            require(len(out) == 1, "a connection was lost to a port that rests")
    test.__name__ = f"ports_of_tcp_{end.__name__}_rest"
    return test


def every_port_in_turn(lab):
    """As many endpoints as there are ports: each gets one of its own, whatever the shape of the set."""
    for shape in ("6/6/41", "4/8/41", "8/4/3", "0/8/9", "0/8/0", "6/8/255", "1/7/5", "4/4/9", "2/4/1"):
        a, k, psid = map(int, shape.split("/"))
        m = 16 - a - k
        ports = {port for port in range(1, 65536) if (a == 0 or port >> 16 - a) and (port >> m) & ((1 << k) - 1) == psid}
        taken = sorted(ports)[5:8] if a != 2 else []  # where ports are looked up, their neighbours are given twice instead
        words = [f"forward=tcp+udp:{taken[0]}-{taken[1]}:{HOST}:80", f"open=tcp+udp:{taken[2]}"] if taken else []
        lab.fresh(*words, shape=shape)
        wanted = min(len(ports) - len(taken), 1200)
        for make in (tcp, udp, echo):
            got = [packet.sport for n in range(wanted) for packet in lab.out(
                echo(f"192.168.2.{10 + n % 100}", 20000 + n, f"203.0.113.{1 + n % 200}") if make is echo else
                make(f"192.168.2.{10 + n % 100}", 20000 + n, f"203.0.113.{1 + n % 200}", 443))]
            what = f"{make.__name__} of {shape}: {len(set(got))} different ports of {len(got)}, {wanted} wanted"
            require(len(got) == wanted and len(set(got)) == wanted, what)
            require(set(got) <= ports - set(taken), f"{what}, foreign or reserved: {set(got) - ports}")


def reuse(lab):
    """240 ports, 100 destinations, 20,000 flows at once; some share an address."""
    lab.fresh(ports=240)
    places = [(f"203.0.113.{1 + n % 20}", 1000 + n // 20) for n in range(100)]
    flows = [(e, places[n % 100]) for n, e in enumerate(endpoints(20000))]
    random.shuffle(flows)
    lost = 0
    for (host, port), (server, service) in flows:
        lost += len(lab.out(udp(host, port, server, service))) != 1
    require(lost == 0, f"{lost} of 20000 flows lost")
    count = int(lab.inside("conntrack", "-C"))
    require(count >= 20000, f"{count} flows in conntrack")


def independent(kind, count, places, ports, all_keep, least=0):
    def test(lab):
        lab.fresh(ports=ports)
        # Beyond the number of ports: places enough that none has more flows than there are ports.
        spread = places if all_keep else 2 * places
        pairs = [(e, f"203.0.113.{1 + d}") for e in endpoints(count)
                 for d in random.sample(range(spread), places)]
        random.shuffle(pairs)
        seen = {}
        for (host, port), server in pairs:
            packet = (udp if kind == "udp" else tcp)(host, port, server, 3478)
            out = lab.out(packet)
            require(len(out) == 1, f"{host}:{port} -> {server} was lost")
            seen.setdefault((host, port), set()).add(out[0].sport)
        kept = sum(len(s) == 1 for s in seen.values())
        require(kept >= (count if all_keep else least), f"{kept} of {count} endpoints kept one port")
        return f"{kept} of {count} keep one port"
    test.__name__ = f"{kind}_mapping_of_{count}_endpoints_on_{ports}_ports"
    return test


def shorten(lab, name, key, data, timeout="2s"):
    lab.inside("nft", f"delete element ip maped {name} {{ {key} }}")
    lab.inside("nft", f"add element ip maped {name} {{ {key} timeout {timeout} : {data} }}")


def living_endpoints_keep_their_port(lab):
    """Longer than the maps remember, without a first packet: a console at its lobby server."""
    lab.fresh("filtering=apdf")
    outer = lab.out(udp(HOST, 7000, SERVER, 3478))[0].sport
    ended = lab.out(udp(OTHER, 7000, SERVER, 3478))[0].sport
    for host, port in ((HOST, outer), (OTHER, ended)):
        require(lab.back(udp(SERVER, 3478, A, port)), "the answer did not arrive")
        shorten(lab, "map_udp_owner", f"{host} . 7000", port)
        shorten(lab, "map_answered", port, f"{host} . 7000")
    lab.inside("conntrack", "-D", "-p", "udp", "--orig-src", OTHER)
    done = lab.inside(lab.driver, "prolong", f"address={A}", f"psid={lab.SHAPES[lab.ports]}")
    require(done.split()[0] == "2", f"{done.strip()}, not the owner and what was answered")
    time.sleep(2.1)
    again = lab.out(udp(HOST, 7000, SECOND, 3478))[0].sport
    require(again == outer, f"the endpoint's port was {outer} and is {again}")
    require(lab.out(udp(OTHER, 7000, SECOND, 3478))[0].sport != ended, "an ended connection was prolonged")


def host_limit(lab):
    lab.fresh("host_limit=20")
    got = sum(len(lab.out(udp(HOST, 5000 + n, SERVER, 53))) for n in range(50))
    require(got == 20, f"{got} flows of a host limited to 20")
    require(len(lab.out(udp(OTHER, 5000, SERVER, 53))) == 1, "another host is limited too")
    require(lab.counts()["refused"] == 30, "the count of refused flows is wrong")


def host_limit_counts_ports(lab):
    """One endpoint has one port, however many it talks to; what is refused does not count."""
    lab.fresh("host_limit=20")
    for n in range(50):
        require(lab.out(udp(HOST, 5000, f"203.0.113.{1 + n}", 53)), f"peer {n + 1} of one endpoint")
    got = sum(len(lab.out(udp(HOST, 6000 + n, SERVER, 53))) for n in range(30))
    require(got == 19, f"{got} further endpoints of a host limited to 20")
    for n in range(5):
        for place in (SERVER, SECOND, SERVER):
            require(lab.out(udp(HOST, 7000 + n, place, 53)) == [], "in a row: over the limit")
    require(lab.out(tcp(HOST, 6000, SERVER, 80)) == [], "the same number of TCP is a port, too")
    require(len(lab.out(udp(HOST, 6000, SECOND, 53))) == 1, "a known endpoint, another place")
    require(lab.counts()["refused"] == 11 + 15 + 1, f"refused: {lab.counts()['refused']}")
    lab.inside("conntrack", "-D", "-p", "udp", "--orig-src", HOST, "--sport", "6001")
    require(len(lab.out(udp(HOST, 8000, SERVER, 53))) == 1, "a port that became free")
    require(lab.out(udp(HOST, 8001, SERVER, 53)) == [], "and another")


def host_limit_changes(lab):
    """Another limit holds at once for what comes, also for a host whose flows go on."""
    lab.fresh("host_limit=5")
    for limit, first in ((5, 5000), (20, 6000), (8, 7000)):
        lab.sync(f"host_limit={limit}")
        got = sum(len(lab.out(udp(HOST, first + n, SERVER, 53))) for n in range(30))
        require(got == limit, f"limited to {limit}, {got} flows get out")
        require(lab.sync(f"host_limit={limit}") == ["same", "0"], "the same limit is a change")
    lab.sync()
    require(len(lab.out(udp(HOST, 8000, SERVER, 53))) == 1, "still limited")


def whole_address(lab):
    lab.fresh(shape="0/0/0")
    out = lab.out(udp(HOST, 7777, SERVER, 53))
    require(out and out[0].sport == 7777, f"port not kept: {out}")
    out = lab.out(ip_packet(HOST, SERVER, GRE, b"\0\0\x08\0" + b"x" * 20))
    require(out and out[0].source == A, "GRE is not mapped")


def whole_address_with_reserved_ports(lab):
    """Their owners get others, not those of the next forward."""
    for port in (4000, 40000):
        lab.fresh(f"forward=udp:{port}:{OTHER}:80", f"open=udp:{port + 1}", f"forward=tcp:10000-65535:{OTHER}", shape="0/0/0")
        for own in (port, port + 1):
            out = lab.out(udp(HOST, own, SERVER, 53))
            require(out and 1024 <= out[0].sport < 10000 and out[0].sport not in (port, port + 1), f"{own}: {out}")
        got = lab.back(udp(SERVER, 53, A, port))
        require(got and (got[0].destination, got[0].dport) == (OTHER, 80), f"not forwarded: {got}")
    lab.fresh("open=udp:40000", shape="0/0/0")
    lab.inside("python3", "-c", "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
               f"s.bind(('{A}', 40000)); s.sendto(b'x', ('{SERVER}', 53))")
    out, end = [], time.monotonic() + 5
    while not out and time.monotonic() < end:
        out = lab.wan.get()
    require(out and out[0].sport == 40000, f"the router's service is moved from its port: {out}")


def whole_address_host_limit(lab):
    lab.fresh("host_limit=5", shape="0/0/0")
    got = sum(len(lab.out(udp(HOST, 5000 + n, SERVER, 53))) for n in range(8))
    require(got == 5, f"limited to 5, {got} flows get out")
    require(lab.out(ip_packet(HOST, SERVER, GRE, b"\0\0\x08\0" + b"x" * 20)), "GRE is not mapped")


# ---- filtering and hairpin ------------------------------------------------------------------------

def contacted(lab, host=HOST, port=40000):
    return lab.out(udp(host, port, SERVER, 3478))[0].sport


def heard(lab, outer, source, sport, host=HOST, port=40000):
    got = lab.back(udp(source, sport, A, outer))
    for packet in got:
        require((packet.destination, packet.dport) == (host, port), f"went to {packet}")
    return len(got) == 1


def filtering(mode, same_port, other_port, other_address):
    def test(lab):
        lab.fresh(f"filtering={mode}")
        outer = contacted(lab)
        require(heard(lab, outer, SERVER, 3478) == same_port, "the answer itself")
        require(heard(lab, outer, SERVER, 9999) == other_port, "other port of that host")
        require(heard(lab, outer, SECOND, 3478) == other_address, "a host not written to")
        if not other_address:
            contacted_too = lab.out(udp(HOST, 40000, SECOND, 1))
            require(contacted_too[0].sport == outer, "second destination, other port")
            require(heard(lab, outer, SECOND, 7) == other_port, "after it was written to")
    test.__name__ = f"filtering_{mode}"
    return test


def filtering_of_hosts(lab):
    lab.fresh("filtering=adf", f"host={HOST}/32:eif", f"host={OTHER}/32:apdf")
    require(heard(lab, contacted(lab), SECOND, 1), "the open host is not open")
    outer = contacted(lab, OTHER)
    require(not heard(lab, outer, SERVER, 9, OTHER), "the strict host is not strict")
    third = contacted(lab, "192.168.2.12")
    require(heard(lab, third, SERVER, 9, "192.168.2.12"), "others: other port of a known host")
    require(not heard(lab, third, SECOND, 9, "192.168.2.12"), "others: unknown host")


def filtering_stays_open(lab):
    """The map is refreshed by what leaves: its timeout starts anew."""
    lab.fresh("filtering=adf")
    outer = contacted(lab)
    time.sleep(3)
    lab.out(udp(HOST, 40000, SERVER, 3478))
    text = lab.inside("nft", "list", "map", "ip", "maped", "map_contacted")
    require(re.search(rf"{outer} \. \S+ expires (5m|4m5[89])", text), f"not refreshed: {text}")


def begin_stream(lab, host=HOST):
    """UDP that will be one when it goes both ways in two seconds (nf_conntrack_proto_udp.c)."""
    outer = contacted(lab, host)
    require(heard(lab, outer, SERVER, 3478, host), "the answer did not arrive")
    return outer


def become_streams(lab, *streams):
    time.sleep(2.1)
    for host, outer in streams:
        require(contacted(lab, host) == outer and heard(lab, outer, SERVER, 3478, host), "it was lost")
        require(re.search(rf"src={host} .*ASSURED", lab.inside("conntrack", "-L", check=False)), "it is no stream")


def teach(lab, *words):
    done = lab.inside(lab.driver, "teach", f"address={A}", f"psid={lab.SHAPES[lab.ports]}", *words)
    return int(done.split()[0])


def streams_stay_open(mode):
    """Their packets teach nothing: who may answer is kept, and learnt again, from conntrack."""
    def test(lab):
        words = (f"filtering={mode}",)
        name, key, stranger = ("map_contacted", "{} . " + SERVER, SERVER) if mode == "adf" else ("map_open", "{}", SECOND)
        lab.fresh(*words)
        outer, ended = begin_stream(lab), begin_stream(lab, OTHER)
        become_streams(lab, (HOST, outer), (OTHER, ended))
        for host, port in ((HOST, outer), (OTHER, ended)):
            shorten(lab, name, key.format(port), f"{host} . 40000")
        lab.inside("conntrack", "-D", "-p", "udp", "--orig-src", OTHER)
        require(teach(lab, *words) == 1, "not the stream, or another one")
        time.sleep(2.1)
        require(heard(lab, outer, stranger, 9999), "a stream was closed")
        require(not heard(lab, ended, stranger, 9999, OTHER), "what has ended is kept open")
        lab.inside("nft", f"delete element ip maped {name} {{ {key.format(outer)} }}")
        require(not heard(lab, outer, stranger, 9998), "open without its element")
        require(teach(lab, *words) == 1 and heard(lab, outer, stranger, 9997), "what was lost is not learnt again")
        shorten(lab, name, key.format(outer), f"{OTHER} . 1", "1m")
        require(teach(lab, *words) == 0, "taken from another endpoint")
        require(teach(lab, "filtering=apdf") == 0, "learnt what nobody asks for")
    test.__name__ = f"streams_stay_open_{mode}"
    return test


def streams_of_hosts_stay_open(lab):
    words = ("filtering=apdf", f"host={HOST}/32:eif")
    lab.fresh(*words)
    outer, strict = begin_stream(lab), begin_stream(lab, OTHER)
    become_streams(lab, (HOST, outer), (OTHER, strict))
    lab.inside("nft", "flush map ip maped map_open")
    require(teach(lab, *words) == 1, "not the open host alone")
    require(heard(lab, outer, SECOND, 9), "the open host is not open")
    require(not heard(lab, strict, SERVER, 9, OTHER), "the strict host is not strict")


def answers_keep_open(lab):
    """A stream that others began goes on teaching at each answer: conntrack knows it by another name."""
    lab.fresh("filtering=eif")
    outer = contacted(lab)
    require(heard(lab, outer, SECOND, 7), "not let in")

    def answer():
        got = lab.out(udp(HOST, 40000, SECOND, 7))
        require(got and got[0].sport == outer, f"the answer: {got}")
    answer()
    time.sleep(2.1)
    require(heard(lab, outer, SECOND, 7), "the next did not arrive")
    answer()
    require(re.search(rf"src={SECOND} .*ASSURED", lab.inside("conntrack", "-L", check=False)), "it is no stream")
    shorten(lab, "map_open", f"{outer}", f"{HOST} . 40000", "1s")
    answer()
    text = lab.inside("nft", "list", "map", "ip", "maped", "map_open")
    require(re.search(rf"{outer} .*expires (5m|4m5[89])", text), f"not refreshed: {text}")


def closed_after_timeout(lab):
    """The five minutes made short: an element of ours with two seconds left."""
    lab.fresh("filtering=adf")
    outer = contacted(lab)
    element = f"{outer} . {SERVER}"
    lab.inside("nft", f"delete element ip maped map_contacted {{ {element} }}; add element ip maped "
               f"map_contacted {{ {element} timeout 2s : {HOST} . 40000 }}")
    require(heard(lab, outer, SERVER, 9999), "closed too early")
    time.sleep(2.5)
    require(not heard(lab, outer, SERVER, 9998), "still open")
    require(contacted(lab) == outer, "the endpoint has lost its port with it")
    require(heard(lab, outer, SERVER, 9997), "what leaves does not open it again")


def hairpin(lab):
    """From one LAN endpoint to another through the shared address: seen from outside."""
    lab.fresh()
    outer = contacted(lab)
    lab.back(udp(SERVER, 3478, A, outer))
    lab.lan.put(udp(OTHER, 50000, A, outer))
    got = lab.lan.get()
    require(len(got) == 1, f"{got}")
    require((got[0].destination, got[0].dport) == (HOST, 40000), f"{got[0]}")
    require(got[0].source == A and lab.in_set(got[0].sport), f"inside address shows: {got[0]}")
    lab.lan.put(udp(HOST, 40000, A, got[0].sport))
    back = lab.lan.get()
    require(back and (back[0].destination, back[0].dport) == (OTHER, 50000), f"{back}")
    require((back[0].source, back[0].sport) == (A, outer), f"{back[0]}")


# ---- forwards -------------------------------------------------------------------------------------

def forward(lab):
    free = lab.SHAPES and [p for p in lab.set_ports()][:8]
    lab.fresh(f"forward=tcp:{free[0]}:{HOST}:80", f"forward=udp:{free[1]}-{free[3]}:{OTHER}:5000",
              f"forward=tcp+udp:{free[4]}:{OTHER}")
    got = lab.back(tcp(SERVER, 1234, A, free[0], mss=1460))
    require(got and (got[0].destination, got[0].dport) == (HOST, 80), f"{got}")
    require(got[0].mss == 1420, f"MSS {got[0].mss}")
    out = lab.out(tcp(HOST, 80, SERVER, 1234, SYN | ACK, mss=1460))
    require(out and (out[0].source, out[0].sport, out[0].mss) == (A, free[0], 1420), f"{out}")
    got = lab.back(udp(SERVER, 1234, A, free[3]))
    require(got and (got[0].destination, got[0].dport) == (OTHER, 5002), f"{got}")
    for packet in (udp(SERVER, 9, A, free[4]), tcp(SERVER, 9, A, free[4])):
        got = lab.back(packet)
        require(got and (got[0].destination, got[0].dport) == (OTHER, free[4]), f"{got}")
    require(lab.back(udp(SERVER, 1234, A, free[0])) == [], "UDP to a TCP forward")
    require(lab.back(tcp(SERVER, 1234, A, free[6])) == [], "TCP to a port not forwarded")
    lab.lan.put(tcp(OTHER, 4321, A, free[0]))
    got = lab.lan.get()
    require(got and (got[0].destination, got[0].dport) == (HOST, 80), f"hairpin {got}")
    require(got[0].source == A and lab.in_set(got[0].sport), f"hairpin shows {got[0]}")


def reserved_ports_are_not_given_out(lab):
    """Those of forwards, and those of the router's own services."""
    lab.ports = 240
    taken = lab.set_ports()[10:14]
    lab.fresh(f"forward=tcp:{taken[0]}-{taken[1]}:{HOST}", f"open=tcp:{taken[2]}-{taken[3]}")
    ports = set()
    for host, port in endpoints(236):
        ports.add(lab.out(udp(host, port, SERVER, 53))[0].sport)
    require(len(ports) == 236 and not ports & set(taken), "a forwarded or opened port was given out")


def new_forward_ends_mapping(lab):
    lab.fresh()
    outer = contacted(lab)
    lab.sync(f"forward=udp:{outer}:{OTHER}")
    out = lab.out(udp(HOST, 40000, SECOND, 1))
    require(out and out[0].sport != outer, "an endpoint keeps a port that is a forward now")


def opened_port_ends_mapping(lab):
    """What is learnt of a LAN host's port does not keep strangers from the router's service on it."""
    lab.fresh("filtering=eif")
    outer = contacted(lab)
    require(heard(lab, outer, SECOND, 1), "the host is not open")
    lab.sync("filtering=eif", f"open=udp:{outer}")
    require(heard(lab, outer, SECOND, 1), "an established flow was lost")
    for source in (SERVER, SECOND):
        require(not heard(lab, outer, source, 2), "the router's service is the LAN host's")
        out = lab.wan.get()
        require(out and (out[0].kind, out[0].code) == (3, 3), f"the router does not answer: {out}")
    out = lab.out(udp(HOST, 40000, SECOND, 7))
    require(out and out[0].sport != outer, "an endpoint keeps a port that is the router's now")


# ---- nothing leaks --------------------------------------------------------------------------------

def unmappable(lab):
    lab.fresh()
    packets = [ip_packet(HOST, SERVER, protocol, b"\0" * 24) for protocol in (GRE, 50, 89)]
    for packet in packets + [sctp(HOST, 5000, SERVER, 5000)]:
        protocol = packet[9]
        require(lab.out(packet) == [], f"protocol {protocol} left")
        errors = lab.lan.get()
        require(errors and errors[0].protocol == ICMP and errors[0].kind == 3,
                f"protocol {protocol}: no ICMP error, {errors}")
    require(lab.counts()["unmappable"] == 4, "not counted exactly")


def leaks(lab):
    """What NAT does not see must not leave as it is."""
    lab.fresh()
    tests = {
        "RST of an unknown connection": tcp(HOST, 5, SERVER, 6, RST),
        "bad TCP checksum": tcp(HOST, 5, SERVER, 6, SYN, bad_checksum=True),
        "TCP without flags": tcp(HOST, 5, SERVER, 6, 0),
        "SYN and FIN": tcp(HOST, 5, SERVER, 6, SYN | FIN),
        "ICMP error about nothing": icmp(HOST, SERVER, 3, 1, b"\0" * 4,
                                         udp(SERVER, 1, HOST, 2)[:28]),
        "bad checksum, source of ours, low port": tcp(A, 656, SERVER, 6, ACK, bad_checksum=True),
        "bad checksum, source of ours, foreign port": tcp(A, 4000, SERVER, 6, ACK,
                                                          bad_checksum=True),
        "echo reply nobody asked for": echo(HOST, 77, SERVER, kind=0),
        "echo reply, source of ours": echo(A, 77, SERVER, kind=0),
    }
    for name, packet in tests.items():
        out = lab.out(packet)
        require(all(p.source == A and lab.in_set(p.sport) for p in out), f"{name}: {out}")
    # Spoofed sources are translated or dropped, never let through.
    for source in ("8.8.8.8", A, "10.9.9.9"):
        for packet in (udp(source, 4000, SERVER, 53), tcp(source, 4000, SERVER, 80),
                       echo(source, 4000, SERVER)):
            out = lab.out(packet)
            require(all(p.source == A and lab.in_set(p.sport) for p in out), f"{source}: {out}")


def other_nat_cannot_take_flows(lab):
    """A masquerade of another program at the usual priority."""
    lab.fresh()
    lab.inside("nft", "add table ip other; add chain ip other post { type nat hook postrouting "
               "priority 110; }; add rule ip other post oifname map0 masquerade")
    out = lab.out(udp(HOST, 4000, SERVER, 53))
    require(all(lab.in_set(p.sport) for p in out), f"{out}")
    lab.fresh()
    lab.inside("nft", "delete table ip maped; add table ip other; add chain ip other post { type "
               "nat hook postrouting priority 50; }; add rule ip other post oifname map0 "
               "masquerade")
    lab.sync()
    out = lab.out(udp(HOST, 4000, SERVER, 53))
    require(all(lab.in_set(p.sport) for p in out), f"a flow of another NAT left: {out}")


def flows_from_before(lab):
    """Connections that other rules translated before this table stood do not go on."""
    lab.inside("nft", "flush ruleset")
    lab.inside("conntrack", "-F", check=False)
    lab.inside("nft", "add table ip other; add chain ip other post { type nat hook postrouting "
               "priority 100; }; add rule ip other post oifname map0 masquerade")
    first = lab.out(udp(HOST, 4000, SERVER, 53))
    lab.back(udp(SERVER, 53, A, first[0].sport))
    lab.inside("nft", "delete table ip other")
    lab.sync()
    out = lab.out(udp(HOST, 4000, SERVER, 53))
    require(all(lab.in_set(p.sport) for p in out), f"still leaves as {out}")


def router_itself(lab):
    lab.fresh()
    lab.inside("python3", "-c", "import socket\nfor p in range(4000, 4020):\n s = socket.socket("
               f"socket.AF_INET, socket.SOCK_DGRAM); s.bind(('{A}', p)); "
               f"s.sendto(b'x', ('{SERVER}', 53))")
    request = echo(A, 4242, SERVER)[20:]
    lab.inside("python3", "-c", "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_RAW, "
               f"socket.IPPROTO_ICMP).sendto({request!r}, ('{SERVER}', 0))")
    out, end = [], time.monotonic() + 5
    while len(out) < 21 and time.monotonic() < end:  # sent by others: they may still be on their way
        out += lab.wan.get()
    require(len(out) >= 21, f"{len(out)} packets of the router left")
    require(all(p.source == A and lab.in_set(p.sport) for p in out), f"{out}")


# ---- nothing enters -------------------------------------------------------------------------------

def uninvited(lab):
    lab.fresh()
    outside = next(p for p in range(1024, 65536) if not lab.in_set(p))
    inside = lab.set_ports()[5]
    for name, packet in {
            "port outside the set": tcp(SERVER, 1, A, outside),
            "UDP outside the set": udp(SERVER, 1, A, outside),
            "port of the set, not forwarded": tcp(SERVER, 1, A, inside),
            "UDP of the set, never used": udp(SERVER, 1, A, inside),
            "the LAN by its own address": udp(SERVER, 1, HOST, 80),
            "TCP to the LAN": tcp(SERVER, 1, HOST, 80),
            "RST to the LAN": tcp(SERVER, 1, HOST, 80, RST),
            "the router's LAN address": tcp(SERVER, 1, "192.168.2.1", 22),
            "echo request": echo(SERVER, 5, A),
            "ICMP error about nothing": icmp(SERVER, A, 3, 3, b"\0" * 4, udp(A, inside, SERVER, 2)),
    }.items():
        require(lab.back(packet) == [], f"{name}: reached the LAN")
        require(lab.wan.get() == [], f"{name}: the router answered")
    outer = contacted(lab)
    require(lab.counts()["inbound"] >= 8, f"counted {lab.counts()['inbound']}")
    for source in ("10.1.2.3", "192.168.2.10", "127.0.0.1", "169.254.1.1", "172.16.0.9",
                   "224.0.0.1", "0.1.2.3"):
        lab.sync("filtering=eif")
        lab.out(udp(HOST, 40000, SERVER, 3478))
        require(lab.back(udp(source, 53, A, outer)) == [], f"source {source} came in")


def open_services(lab):
    port = lab.set_ports()[3]
    lab.fresh(f"open=tcp:{port}")
    lab.back(tcp(SERVER, 1, A, port))
    out = lab.wan.get()
    require(out and out[0].flags & RST, f"the opened port does not answer: {out}")
    lab.back(tcp(SERVER, 1, A, lab.set_ports()[4]))
    require(lab.wan.get() == [], "a port that is not opened answers")


def inbound_accept(lab):
    """Left to the router's other rules; the LAN stays closed."""
    lab.fresh("inbound=accept")
    port = lab.set_ports()[3]
    lab.back(tcp(SERVER, 1, A, port))
    out = lab.wan.get()
    require(out and out[0].flags & RST, f"the router does not answer: {out}")
    outside = next(p for p in range(1024, 65536) if not lab.in_set(p))
    for packet in (tcp(SERVER, 1, HOST, 80), udp(SERVER, 1, HOST, 80), tcp(SERVER, 2, A, outside)):
        require(lab.back(packet) == [], "reached the LAN")
        require(lab.wan.get() == [], "was answered")


# ---- ICMP, fragments, MSS --------------------------------------------------------------------------

def icmp_errors(lab):
    lab.fresh()
    sent = lab.out(udp(HOST, 40000, SERVER, 33434, ttl=9))[0]
    got = lab.back(icmp("203.0.113.99", A, 11, 0, b"\0" * 4, sent.raw[:28]))
    require(got and got[0].destination == HOST, f"time exceeded: {got}")
    require((got[0].inner.source, got[0].inner.sport) == (HOST, 40000), "embedded packet is wrong")
    got = lab.back(icmp("203.0.113.99", A, 3, 4, struct.pack("!HH", 0, 1400), sent.raw[:28]))
    require(got and got[0].code == 4 and got[0].inner.source == HOST, "fragmentation needed")
    sent = lab.out(echo(HOST, 9, SERVER))[0]
    got = lab.back(icmp("203.0.113.99", A, 11, 0, b"\0" * 4, sent.raw[:28]))
    require(got and got[0].inner.sport == 9, f"about an echo: {got}")
    # Errors of ours about what came in.
    sent = lab.out(udp(HOST, 41000, SERVER, 53))[0]
    got = lab.back(udp(SERVER, 53, A, sent.sport))[0]
    out = lab.out(icmp(HOST, SERVER, 3, 3, b"\0" * 4, got.raw[:28]))
    require(out and out[0].source == A, f"port unreachable of a host: {out}")
    require((out[0].inner.destination, out[0].inner.dport) == (A, sent.sport),
            f"embedded packet shows {out[0].inner}")
    got = lab.back(udp(SERVER, 53, A, sent.sport, ttl=1 + lab.hops_inwards))
    require(got == [], f"at its end, and went on: {got}")
    out = lab.wan.get()
    require(out and out[0].kind == 11 and out[0].source == A, f"time exceeded of ours: {out}")
    require((out[0].inner.destination, out[0].inner.dport) == (A, sent.sport),
            f"embedded packet shows {out[0].inner}")


def pmtu_to_the_lan(lab):
    lab.fresh()
    lab.out(udp(HOST, 40000, SERVER, 53, b"x" * 1465))
    errors = lab.lan.get()
    require(errors and errors[0].kind == 3 and errors[0].code == 4, f"{errors}")
    require(struct.unpack("!H", errors[0].body[6:8])[0] == 1460, "next hop MTU is not 1460")


def echo_of_many(lab):
    lab.fresh()
    for n in range(100):
        host = f"192.168.2.{10 + n}"
        out = lab.out(echo(host, 1, SERVER))
        require(out and lab.in_set(out[0].sport), f"{out}")
        got = lab.back(echo(SERVER, out[0].sport, A, kind=0))
        require(got and (got[0].destination, got[0].sport) == (host, 1), f"{got}")


def pieces(packet, size, ident):
    head, body = packet[:20], packet[20:]
    source, destination = (".".join(map(str, head[a:a + 4])) for a in (12, 16))
    found = []
    for at in range(0, len(body), size):
        more = 0x2000 if at + size < len(body) else 0
        found.append(ip_packet(source, destination, head[9], body[at:at + size], ident=ident,
                               flags=more | at // 8))
    return found


def fragments(lab):
    lab.fresh()
    for order in (1, -1):
        whole = udp(HOST, 40000, SERVER, 53, b"y" * 2400, flags=0)
        for piece in pieces(whole, 1200, 77 + order)[::order]:
            lab.lan.put(piece)
        out = lab.wan.get()
        require(len(out) >= 2 and all(p.source == A for p in out), f"outwards: {out}")
        require(sum(len(p.body) for p in out) == 2408, "not all of it left")
        outer = next(p.sport for p in out if p.offset == 0)
        require(lab.in_set(outer), "port")
        for piece in pieces(udp(SERVER, 53, A, outer, b"z" * 2400), 1200, 99 + order)[::order]:
            lab.wan.put(piece)
        got = lab.lan.get()
        require(len(got) >= 2 and all(p.destination == HOST for p in got), f"inwards: {got}")


def udp_without_checksum(lab):
    lab.fresh()
    out = lab.out(udp(HOST, 40000, SERVER, 53, no_checksum=True))
    require(out and out[0].body[6:8] == b"\0\0", "checksum zero is not kept")


def mss(lab):
    lab.fresh()
    for given, expected in ((1460, 1420), (1200, 1200)):
        out = lab.out(tcp(HOST, 30000 + given, SERVER, 80, mss=given))[0]
        require(out.mss == expected, f"out: {given} became {out.mss}")
        got = lab.back(tcp(SERVER, 80, A, out.sport, SYN | ACK, mss=given))[0]
        require(got.mss == expected, f"in: {given} became {got.mss}")
        out = lab.out(tcp(HOST, 30000 + given, SERVER, 80, mss=given))
        require(not out or out[0].mss == expected, "a repeated SYN is not clamped")


def simultaneous_open(lab):
    lab.fresh()
    out = lab.out(tcp(HOST, 30000, SERVER, 80, seq=100))[0]
    got = lab.back(tcp(SERVER, 80, A, out.sport, SYN, seq=900))
    require(got and got[0].dport == 30000, f"the other SYN: {got}")
    out = lab.out(tcp(HOST, 30000, SERVER, 80, SYN | ACK, seq=100, ack=901))
    require(len(out) == 1, "SYN and ACK")


def ipv6_is_not_touched(lab):
    """It passes, and the kernel does not even track it for us: that would cost half of what forwarding costs."""
    lab.fresh("outer=2400:4050:48d:2900:99:f012:3400:2900,2001:380:a120::9,map0")
    ends = bytes.fromhex("20010db8" + "0" * 23 + "1" + "20010db8000100000000000000000001")
    head, rest = struct.pack("!HHH", 5000, 53, 20), b"\0" * 12
    check = checksum(ends + struct.pack("!IHBB", 20, 0, 0, UDP) + head + b"\0\0" + rest)
    packet = struct.pack("!IHBB", 0x60000000, 20, UDP, 64) + ends + head + struct.pack("!H", check) + rest
    for word in ("net.ipv6.conf.all.forwarding=1", "net.ipv6.conf.all.disable_ipv6=0"):
        lab.sysctl(word)
    run("ip", "-n", lab.ns, "-6", "route", "replace", "2001:db8:1::/64", "dev", "map0")

    def tracked():
        lab.lan.put(packet, 0x86DD)
        require(any(p[40:] == packet[40:] for p in lab.wan.get_ipv6()), "IPv6 did not pass")
        return lab.inside("conntrack", "-L", "-f", "ipv6")

    require(tracked() == "", "IPv6 is tracked")
    lab.inside("nft", "add table ip6 theirs; add chain ip6 theirs pre { type filter hook prerouting priority 0; }; "
               "add rule ip6 theirs pre ct state new")
    require("2001:db8:1::1" in tracked(), "this test would not notice")
    lab.inside("nft", "delete table ip6 theirs")


# ---- live changes ----------------------------------------------------------------------------------

@contextlib.contextmanager
def living(lab, *words):
    """One process that is told lines."""
    with lab.process(lab.driver, "lives", f"address={A}", f"psid={lab.SHAPES[lab.ports]}", *words) as driver:
        def say(line):
            driver.stdin.write(line + "\n")
            driver.stdin.flush()
            return driver.stdout.readline().split()
        yield say
        driver.stdin.close()


def no_change_no_message(lab):
    words = ["filtering=eif", f"host={HOST}/32:adf", "open=tcp:1690", f"forward=tcp:1680:{HOST}:80"]
    lab.fresh(*words)
    require(lab.sync(*words) == ["same", "0"], "a reload without a change sends messages")


def what_stands_is_remembered(lab):
    """One process: it asks the kernel again only when somebody else has changed something."""
    lab.inside("nft", "flush", "ruleset")
    with living(lab, f"forward=tcp:1680:{HOST}:80") as say:
        def after(line, *nft):
            if nft:
                lab.inside("nft", *nft)
            touched, changed, messages = say(line)
            return touched, changed, int(messages) > 0

        new, same = ("quiet", "changed", True), ("quiet", "same", False)
        repaired = ("touched", "changed", True)
        require(after("sync") == new, "the first time")
        require(after("sync") == same, "what it did itself counts as an alteration")
        require(after("absent") == new, "not taken away")
        require(after("absent") == same, "taken away twice")
        require(after("sync") == new, "not made again")
        require(after("sync", "add table ip other") == same, "another table is none of ours")
        require(after("sync", "flush chain ip maped map_arrive") == repaired, "a chain emptied")
        require(after("sync", "add rule ip maped map_arrive counter") == repaired, "a rule added")
        require(after("sync", f"delete element ip maped map_forward {{ tcp . 1680 }}") == repaired, "a forward deleted")
        require(after("sync", "add chain ip maped stranger") == repaired, "a chain added")
        require(after("sync", "delete table ip maped") == repaired, "the table deleted")
        require(after("sync", "add table ip maped { flags dormant; }") == repaired, "the table put to sleep")
        require(after("sync") == same, "not settled")


def nothing_begins_without_rules(lab):
    """Between a flush and its repair: a connection that began without a port would have none for as long as it sends."""
    lab.fresh()
    beginnings = (udp(HOST, 40000, SERVER, 53), tcp(HOST, 40000, SERVER, 80, seq=1), echo(HOST, 9, SERVER))
    with living(lab) as say:
        require(say("sync")[1] == "same", "not fresh")
        lab.inside("nft", "flush ruleset")
        for packet in beginnings:
            require(lab.out(packet) == [], "left untranslated")
        for packet in (udp(SERVER, 53, HOST, 99), tcp(SERVER, 53, HOST, 99)):
            require(lab.back(packet) == [], "came in uninvited")
        require(say("sync")[1] == "changed", "not repaired")
        for packet in beginnings:
            out = lab.out(packet)
            require(len(out) == 1 and out[0].source == A and lab.in_set(out[0].sport), f"goes on as {out}")
        require(lab.counts()["leaks"] == 0, "leaks")


def nothing_is_held_without_a_tunnel(lab):
    """What goes between other interfaces is none of ours, and another tunnel takes the place of the one before."""
    lab.fresh()
    with living(lab) as say:
        say("tunnel map1")
        lab.inside("nft", "flush ruleset")
        require(len(lab.out(udp(HOST, 40000, SERVER, 53))) == 1, "held at another interface")
        require(len(lab.back(udp(SERVER, 5353, HOST, 99))) == 1, "and inwards")
        say("tunnel map0")
        lab.inside("nft", "flush ruleset")
        require(lab.out(udp(HOST, 40001, SERVER, 53)) == [], "not held at the tunnel")


def keeps(lab, change, restore=True):
    """Flows, mappings and filters outlive a change."""
    lab.fresh()
    outer = contacted(lab)
    stream = lab.out(tcp(HOST, 30000, SERVER, 80, seq=1))[0]
    lab.back(tcp(SERVER, 80, A, stream.sport, SYN | ACK, seq=1, ack=2))
    change()
    require(lab.out(tcp(HOST, 30000, SERVER, 80, ACK, seq=2, ack=2))[0].sport == stream.sport,
            "a connection changed its port")
    require(lab.out(udp(HOST, 40000, SECOND, 53))[0].sport == outer, "a mapping was forgotten")
    if restore:
        require(heard(lab, outer, SERVER, 9999), "a filter was forgotten")


def forward_change_keeps_flows(lab):
    def change():
        lab.sync(f"forward=tcp:{lab.set_ports()[-1]}:{OTHER}:80")
        done = lab.sync(f"forward=tcp:{lab.set_ports()[-1]}:{OTHER}:81")
        require(done[0] == "changed" and int(done[1]) <= 2, f"one forward: {done} messages")
    keeps(lab, change)


def filtering_change_keeps_flows(lab):
    keeps(lab, lambda: (lab.sync("filtering=apdf"), lab.sync("filtering=adf")))
    keeps(lab, lambda: lab.sync("filtering=eif"))  # nor does a looser one close what was open


def filtering_change_closes(lab):
    """What one filtering has let in does not come in under another, unless its flow is established."""
    for words, others in ((["filtering=eif"], ["adf", "apdf"]), (["filtering=adf"], ["apdf"])):
        for mode in others:
            lab.fresh(*words)
            outer = contacted(lab)
            stranger = SECOND if "filtering=eif" in words else SERVER
            require(heard(lab, outer, stranger, 1), f"{words}: not let in")
            lab.sync(f"filtering={mode}")
            require(heard(lab, outer, stranger, 1), f"{words} to {mode}: an established flow was lost")
            require(not heard(lab, outer, stranger, 2), f"{words} to {mode}: still let in")


def filtering_change_of_a_host_closes(lab):
    lab.fresh("filtering=apdf", f"host={HOST}/32:eif", f"host={OTHER}/32:eif")
    outer, other = contacted(lab), contacted(lab, OTHER)
    lab.sync("filtering=apdf", f"host={HOST}/32:adf", f"host={OTHER}/32:eif")
    require(not heard(lab, outer, SECOND, 2), "still let in")
    require(heard(lab, other, SECOND, 2, OTHER), "the other host has lost its filter")
    contacted(lab)
    require(heard(lab, outer, SERVER, 9), "it learns no more")


def repair_keeps_flows(lab):
    for harm in ("flush chain ip maped map_leave_udp",
                 "flush chain ip maped guard",
                 "add rule ip maped map_udp counter drop",
                 "insert rule ip maped guard drop",
                 "add chain ip maped foreign",
                 "add set ip maped foreign { type ipv4_addr; }",
                 "delete element ip maped map_martians { 10.0.0.0/8 }",
                 "add element ip maped map_martians { 8.0.0.0/8 }",
                 "flush map ip maped map_pool",
                 "add chain ip maped guard { policy drop; }",
                 "add table ip maped { flags dormant; }",
                 f"add chain ip maped {'long' * 60}; add set ip maped {'wide' * 60} {{ type ipv4_addr; }}; "
                 f"add counter ip maped {'high' * 60}",
                 "add rule ip maped guard ip saddr 1.2.3.4 jump { accept; }",
                 "add chain ip maped stranger; add map ip maped strangers { type ipv4_addr : verdict; "
                 "elements = { 1.2.3.4 : jump stranger }; }",
                 "add quota ip maped stranger { over 1 mbytes; }; add rule ip maped guard quota name stranger"):
        def change():
            lab.inside("nft", harm)
            require(lab.sync()[0] == "changed", f"not noticed: {harm}")
            require(lab.sync() == ["same", "0"], f"not repaired: {harm}")
            require("stranger" not in lab.inside("nft", "list", "table", "ip", "maped"), f"left behind: {harm}")
        keeps(lab, change)


def made_anew_where_nothing_else_helps(lab):
    """An alteration that the kernel lets nobody undo piece by piece: all at once, and what was learnt comes from conntrack."""
    set_of_others = ("add set ip maped map_udp_busy { type ipv4_addr . inet_service . inet_service; flags dynamic; "
                     "size 1048576; counter; }")
    for harm in (["add table ip maped { flags dormant; }", "flush chain ip maped input; delete chain ip maped input"],
                 ["flush table ip maped; delete set ip maped map_udp_busy; " + set_of_others]):
        def change():
            for words in harm:
                lab.inside("nft", words)
            with living(lab) as say:
                require(say("sync")[1] == "changed", f"not noticed: {harm}")
                require(say("sync")[1] == "same", f"not repaired: {harm}")
        keeps(lab, change)


def established_tcp_is_remembered(lab):
    """With data under way conntrack gives it 300 s, and begins anew with what comes next; the set does not."""
    lab.fresh()
    stream = lab.out(tcp(HOST, 30000, SERVER, 80, seq=1))[0]
    lab.back(tcp(SERVER, 80, A, stream.sport, SYN | ACK, seq=1, ack=2))
    lab.out(tcp(HOST, 30000, SERVER, 80, ACK, seq=2, ack=2, data=b"x" * 100))
    begun = lab.out(tcp(OTHER, 30000, SERVER, 80, seq=1))[0]
    with living(lab) as say:
        lab.inside("nft", "flush ruleset")
        say("sync")
    listed = lab.inside("nft", "list", "set", "ip", "maped", "map_tcp_closing")
    for port, timeout in ((stream.sport, "5d"), (begun.sport, r"[12]m")):
        require(re.search(rf"{port} timeout {timeout}", listed), f"{port} is kept for another time: {listed}")


def limit_change_keeps_flows(lab):
    """Sets for the limit are made, and nothing is lost by that."""
    lab.fresh()
    outer = contacted(lab)
    heard(lab, outer, SERVER, 3478)
    with living(lab, "host_limit=100") as say:
        require(say("sync")[1] == "changed", "no limit")
        require(f"dport={outer} " in lab.inside("conntrack", "-L", "-p", "udp"), "a connection was forgotten")
        require(lab.out(udp(HOST, 40000, SERVER, 3478))[0].sport == outer, "it has moved")


def deleted_table_comes_back(lab):
    lab.fresh()
    stream = lab.out(tcp(HOST, 30000, SERVER, 80, seq=1))[0]
    lab.back(tcp(SERVER, 80, A, stream.sport, SYN | ACK, seq=1, ack=2))
    lab.inside("nft", "flush ruleset")
    require(lab.sync()[0] == "changed", "not noticed")
    out = lab.out(tcp(HOST, 30000, SERVER, 80, ACK, seq=2, ack=2))
    require(out and out[0].sport == stream.sport, "an established connection was lost")


def neighbours_are_left_alone(lab):
    lab.fresh()
    lab.inside("nft", "add table inet other { chain c { counter; }; }")
    before = lab.inside("nft", "list", "table", "inet", "other")
    lab.sync("filtering=eif")
    require(lab.inside(lab.driver, "absent").split() == ["changed", "1"], "not absent")
    require(lab.inside(lab.driver, "absent").split() == ["same", "0"], "absent twice")
    require(lab.inside("nft", "list", "table", "inet", "other") == before, "a foreign table changed")
    require("maped" not in lab.inside("nft", "list", "tables"), "still there")


def new_address_forgets_exactly(lab):
    lab.fresh()
    outer = contacted(lab)
    stranger = lab.inside("conntrack", "-I", "-p", "udp", "-s", "10.1.1.1", "-d", "10.2.2.2",
                          "--sport", "5", "--dport", "6", "-t", "300", check=False)
    before = lab.inside("conntrack", "-L", check=False)
    lab.sync(address="198.51.100.99")
    text = lab.inside("nft", "list", "map", "ip", "maped", "map_udp_owner")
    require("elements" not in text, "mappings of the old address are still there")
    lab.inside(lab.driver, "forget", A)
    left = lab.inside("conntrack", "-L", check=False)
    require(f"dst={A}" not in left, f"stale entries: {left}")
    require("10.1.1.1" in left or "10.1.1.1" not in before, "a foreign entry was deleted")
    out = lab.out(udp(HOST, 40000, SERVER, 3478))
    require(out and out[0].source == "198.51.100.99", f"{out}")


def new_ports_forget_exactly(lab):
    lab.fresh()
    contacted(lab)
    lab.inside(lab.driver, "forget", A, Lab.SHAPES[1008])
    require(f"dst={A}" in lab.inside("conntrack", "-L", check=False), "an entry of the set went")
    lab.inside(lab.driver, "forget", A, "6/6/42")
    require(f"dst={A}" not in lab.inside("conntrack", "-L", check=False), "a stale entry stays")


def readable(lab):
    lab.fresh("filtering=eif", f"host={HOST}/32:adf", f"forward=tcp:1680:{HOST}:80")
    contacted(lab)
    text = lab.inside("nft", "list", "table", "ip", "maped")
    for words in ("comment", "map_udp_owner", "map_forward", "counter refused"):
        require(words in text, f"nft list does not show {words}")
    for kind, name, inner in re.findall(r"^\t(chain|set|map|counter) (\w+) \{\n(.*?)^\t\}", text,
                                        re.M | re.S):
        require('comment "' in inner or kind == "chain", f"{kind} {name} does not say what it is for")
    require("helper" not in text, "a conntrack helper is set up")


TESTS = [one_destination(kind, ports) for ports in (1008, 240) for kind in ("tcp", "udp", "icmp")]
TESTS += [
    steady_state, ended_tcp_ports_rest(closed), ended_tcp_ports_rest(reset_from_outside), every_port_in_turn, reuse,
    living_endpoints_keep_their_port,
    independent("udp", 16, 20, 1008, True), independent("udp", 60, 20, 1008, True),
    independent("udp", 100, 40, 240, True), independent("tcp", 100, 40, 240, True),
    independent("udp", 250, 20, 240, False, 180), independent("udp", 300, 20, 240, False, 100),
    host_limit, host_limit_counts_ports, host_limit_changes, whole_address,
    whole_address_with_reserved_ports, whole_address_host_limit,
    filtering("adf", True, True, False), filtering("eif", True, True, True),
    filtering("apdf", True, False, False), filtering_of_hosts, filtering_stays_open,
    streams_stay_open("adf"), streams_stay_open("eif"), streams_of_hosts_stay_open, answers_keep_open,
    closed_after_timeout, hairpin, forward, reserved_ports_are_not_given_out,
    new_forward_ends_mapping, opened_port_ends_mapping, unmappable, leaks, other_nat_cannot_take_flows, flows_from_before,
    router_itself, uninvited, open_services, inbound_accept, icmp_errors, pmtu_to_the_lan, echo_of_many, fragments,
    udp_without_checksum, mss, simultaneous_open, ipv6_is_not_touched, no_change_no_message,
    what_stands_is_remembered, forward_change_keeps_flows, filtering_change_keeps_flows,
    filtering_change_closes, filtering_change_of_a_host_closes, repair_keeps_flows,
    nothing_begins_without_rules, nothing_is_held_without_a_tunnel, limit_change_keeps_flows, made_anew_where_nothing_else_helps, established_tcp_is_remembered,
    deleted_table_comes_back, neighbours_are_left_alone, new_address_forgets_exactly,
    new_ports_forget_exactly, readable,
]


def run_tests(lab, tests):
    """Returns how many failed."""
    failed = 0
    print(f"1..{len(tests)}")
    for number, test in enumerate(tests, 1):
        lab.ports = max(lab.SHAPES)
        try:
            note = test(lab)
            print(f"ok {number} - {test.__name__}" + (f" # {note}" if note else ""), flush=True)
        except (AssertionError, RuntimeError, IndexError) as error:
            failed += 1
            print(f"not ok {number} - {test.__name__}\n# {type(error).__name__}: {error}",
                  flush=True)
    return failed


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    words = sys.argv[2:]
    chosen = [t for t in TESTS if not words or any(w in t.__name__ for w in words)]
    seed = random.randrange(1 << 32)
    random.seed(seed)
    try:
        lab = Lab(sys.argv[1])
    except CannotRun as reason:
        print(f"1..0 # SKIP {reason}")
        sys.exit(77)
    print(f"# seed {seed}")
    with lab:
        failed = run_tests(lab, chosen)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
