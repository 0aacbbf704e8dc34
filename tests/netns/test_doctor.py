#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""maped --doctor in network namespaces: each finding that a namespace can provoke, found alone, with its command tried; and the
probe, with a far end that watches every port."""
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "faults"))

import netlink  # noqa: E402
import scenario  # noqa: E402
from scenario import need, same  # noqa: E402

OCN = ("2400:4050:48d:2900::", "2400:4050:48d:2900:99:f012:3400:2900", "153.240.18.52")
V6PLUS = ("240b:10:3f6c:d400::", "240b:10:3f6c:d400:6a:483f:6c00:d400", "106.72.63.108")
SERVER = "203.0.113.10"
EXISTING = 'map = { tunnel = "tun0"; tunnel_mode = "existing"; %s };\n'
WAN = 'wan = { interface = "wan0"; };\n'


class Answer:
    """What --doctor said."""

    def __init__(self, code, text):
        self.code, self.text = code, text
        self.names = re.findall(r"^(?:problem|warning) \[([\w-]+)\]:", text, re.M)
        wide = [line for line in text.splitlines() if len(line) > 80]
        need(not wide, "wider than 80 columns: %s", wide)

    @property
    def commands(self):
        """The lines to be pasted into a shell."""
        return "".join(line[4:] + "\n" for line in self.text.splitlines() if line.startswith("    "))


def doctor(box, *arguments):
    maped = box.maped
    with box.router.inside():
        done = subprocess.run([box.program, "--config", maped.config, "--doctor", *arguments], env=maped.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return Answer(done.returncode, done.stdout)


def put(box, prefix, interface="wan0", host="1", **named):
    box.router.netlink.put_address(box.index(interface), prefix + host, 64, **named)


def start(box, config=None, line=OCN):
    """A daemon that is up on a line."""
    if line:
        put(box, line[0])
    maped = box.start(config) if config else box.start()
    need(maped.ready(), "no READY: %s", maped.log())
    return maped


def finds(box, *names):
    answer = doctor(box)
    same(sorted(answer.names), sorted(names), answer.text)
    same(answer.code, 1 if names else 0, "exit status")
    return answer


def mends(box, answer, *remaining):
    """Runs what the doctor printed; then it has nothing more to say about it."""
    with box.router.inside():
        done = subprocess.run(["sh", "-eu"], input=answer.commands, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    same(done.returncode, 0, answer.commands + done.stdout)
    time.sleep(0.2)
    finds(box, *remaining)


# ---- the machine ----


@scenario.scenario
def healthy(box):
    start(box)
    answer = finds(box)
    same(answer.text, "nothing found that keeps MAP-E from working\n", "said")


def on_terminal(box, environment, *arguments):
    """What the program writes to a terminal."""
    master, slave = pty.openpty()
    with box.router.inside():
        process = subprocess.Popen([box.program, "--config", box.maped.config, *arguments], stdout=slave, stderr=slave,
                                   env={**box.maped.environment, **environment})
    os.close(slave)
    seen = b""
    while True:
        try:
            seen += os.read(master, 4096)
        except OSError:  # EIO: the other end is closed
            break
    os.close(master)
    process.wait()
    return seen.decode()


@scenario.scenario
def colours_on_terminals_that_want_them(box):
    start(box, WAN + EXISTING % "mtu = 1400;")
    plain = {"TERM": "xterm", "NO_COLOR": ""}
    for arguments, coloured in ((("--doctor",), "\033[33mwarning\033[0m [tunnel-mtu]"), (("--status",), "state: \033[32mup\033[0m")):
        need(coloured in on_terminal(box, plain, *arguments), "no colours: %s", on_terminal(box, plain, *arguments))
        for environment in ({"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb", "NO_COLOR": ""}):
            need("\033" not in on_terminal(box, environment, *arguments), "colours with %s", environment)
    need("\033" not in doctor(box).text + box.maped.ask().stdout, "colours in a file")


@scenario.scenario
def not_running(box):
    start(box).end()
    need("systemctl enable --now maped\n" in finds(box, "daemon-not-running").commands, "no command")


@scenario.scenario
def forwarding_switched_off(box):
    maped = start(box)
    maped.send(signal.SIGSTOP)  # it would switch it on again at once
    box.router.set("ipv4/ip_forward", 0)
    answer = finds(box, "forwarding-off")
    same(answer.commands, "sysctl -w net.ipv4.ip_forward=1\n", "commands")
    box.router.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    maped.send(signal.SIGCONT)
    finds(box)


@scenario.scenario
def strict_filter(box):
    maped = start(box)
    maped.end()
    box.router.set("ipv4/conf/tun0/rp_filter", 1)
    answer = finds(box, "daemon-not-running", "rp-filter-strict")
    need("sysctl -w net.ipv4.conf.tun0.rp_filter=2\n" in answer.commands, "commands: %s", answer.commands)
    box.router.run("sysctl", "-q", "-w", "net.ipv4.conf.tun0.rp_filter=2")
    finds(box, "daemon-not-running")


@scenario.scenario
def strict_filter_everywhere(box):
    # the kernel takes the higher of all and the interface's own: 1 on all is strict where the own one is 0
    start(box).end()
    box.router.set("ipv4/ip_forward", 1)
    box.router.set("ipv4/conf/tun0/rp_filter", 0)
    box.router.set("ipv4/conf/all/rp_filter", 1)
    need("rp-filter-strict" in finds(box, "daemon-not-running", "rp-filter-strict").names, "not found")


# ---- the line ----


@scenario.scenario
def wan_missing(box):
    start(box, 'wan = { interface = "eth77"; };\n' + EXISTING % "", line=None)
    need("eth77" in finds(box, "wan-missing").text, "interface not named")


@scenario.scenario
def wan_without_link(box):
    start(box)
    box.isp.netlink.change_link(box.isp.netlink.index("up0"), up=False)
    box.maped.notify.wait("^STATUS=waiting")
    need("no link on wan0" in finds(box, "wan-no-link").text, "interface not named")


@scenario.scenario
def no_prefix(box):
    box.router.set("ipv6/conf/wan0/accept_ra", 2)
    start(box, line=None)
    need("tcpdump -ni wan0" in finds(box, "wan-no-prefix").commands, "no command")


@scenario.scenario
def announcements_ignored(box):
    box.router.set("ipv6/conf/wan0/forwarding", 1)
    box.router.set("ipv6/conf/wan0/accept_ra", 1)
    start(box, line=None)
    box.line.announce((OCN[0], 1800, 3600))
    time.sleep(0.3)
    answer = finds(box, "wan-ignores-ra")
    need("sysctl -w net.ipv6.conf.wan0.accept_ra=2\n" in answer.commands, answer.commands)
    box.router.run("sysctl", "-q", "-w", "net.ipv6.conf.wan0.accept_ra=2")
    box.line.announce((OCN[0], 1800, 3600))
    need(box.maped.notify.wait("^STATUS=up"), "the command did not help: %s", box.maped.notify.status())
    finds(box)


@scenario.scenario
def ipv6_switched_off(box):
    box.router.set("ipv6/conf/wan0/disable_ipv6", 1)
    start(box, line=None)
    answer = finds(box, "wan-no-ipv6")
    need("sysctl -w net.ipv6.conf.wan0.disable_ipv6=0\n" in answer.commands, answer.commands)
    box.router.run("sysctl", "-q", "-w", "net.ipv6.conf.wan0.disable_ipv6=0")
    put(box, OCN[0])
    need(box.maped.notify.wait("^STATUS=up"), "the command did not help: %s", box.maped.notify.status())
    finds(box)


def prefix(box, address, name, says):
    start(box, line=(address,))
    answer = finds(box, name)
    need(says in " ".join(answer.text.split()), "does not say %s: %s", says, answer.text)


@scenario.scenario
def prefix_without_rule(box):
    prefix(box, "2001:db8:9999:5600::", "prefix-no-rule", "2001:db8:9999:5600::/64")


@scenario.scenario
def prefix_of_the_closed_network(box):
    prefix(box, "2408:210:1234:5600::", "prefix-closed-network", "2408:210:1234:5600::/64")


@scenario.scenario
def prefix_of_ocn_without_mape(box):
    prefix(box, "2409:10:1234:5600::", "prefix-ocn-without-mape", "OCN")


@scenario.scenario
def prefix_of_another_provider(box):
    start(box, WAN + EXISTING % 'provider = "v6plus";')
    need("ocn" in finds(box, "prefix-other-provider").text, "provider not named")


@scenario.scenario
def gateway_in_front(box):
    start(box, line=("2400:4050:48d:2901::",))
    need("home gateway" in finds(box, "gateway-in-front").text, "not explained")


@scenario.scenario
def ce_address_taken(box):
    start(box)
    finds(box)
    box.isp.netlink.put_address(box.isp.netlink.index("up0"), OCN[1], 128, flags=netlink.NODAD)
    before = box.isp.run("ip", "-6", "neigh", "show", "dev", "up0")
    answer = finds(box, "ce-address-taken")
    station = re.search(r"link/ether ([0-9a-f:]+)", box.isp.run("ip", "link", "show", "up0")).group(1)
    need(station in " ".join(answer.text.split()), "does not name %s: %s", station, answer.text)
    # no side effect: the other device goes on, our address too, and the daemon saw nothing to repair
    time.sleep(0.3)
    need(OCN[1] not in before, "the isp has learnt an address of itself")
    same(box.ours(), box.expected(OCN[1], OCN[2]), "after the question")
    need("tentative" not in box.router.run("ip", "-6", "addr", "show", "dev", "wan0"), "an address is tentative")
    need("dadfailed" not in box.isp.run("ip", "-6", "addr", "show", "dev", "up0"), "the other device lost its address")
    need("repaired" not in box.maped.log(), box.maped.log())


# ---- the tunnel ----


@scenario.scenario
def tunnel_missing(box):
    maped = start(box)
    maped.write(WAN + 'map = { tunnel = "nosuch0"; tunnel_mode = "existing"; };\n')
    time.sleep(0.6)
    need("journalctl" in finds(box, "tunnel-missing").commands, "no command")


@scenario.scenario
def tunnel_mtu(box):
    start(box, WAN + EXISTING % "mtu = 1400;")
    mends(box, finds(box, "tunnel-mtu"))


# ---- other programs ----


@scenario.scenario
def foreign_default_route(box):
    start(box)
    box.router.run("ip", "route", "add", "default", "dev", "lan0", "metric", "7")
    mends(box, finds(box, "foreign-default-route"))


@scenario.scenario
def foreign_default_route_before_it_is_up(box):
    """The only way out is no foreign one."""
    maped = start(box, line=None)
    box.router.run("ip", "route", "add", "default", "dev", "lan0", "metric", "7")
    finds(box, "wan-no-prefix")
    mark = maped.notify.mark()
    maped.send(signal.SIGHUP)
    need(maped.notify.wait("^READY=1", mark), "no READY")
    need("another route" not in maped.notify.status(), "STATUS is %s", maped.notify.status())
    put(box, OCN[0])
    need(maped.notify.wait("^STATUS=up.*another route wins"), "STATUS is %s", maped.notify.status())


@scenario.scenario
def foreign_default_route_wanted(box):
    start(box, WAN + EXISTING % "default_route = false;")
    box.router.run("ip", "route", "add", "default", "dev", "lan0")
    finds(box)


def nft(box, text):
    with box.router.inside():
        subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


def foreign_nat_at(box, priority, *names):
    start(box)
    nft(box, "table ip theirs { chain post { type nat hook postrouting priority %d; oifname \"tun0\" masquerade; }; }" % priority)
    return finds(box, *names)


@scenario.scenario
def foreign_nat_before(box):
    answer = foreign_nat_at(box, 90, "foreign-nat")
    need("before maped does" in " ".join(answer.text.split()), "not explained")
    need("nft -a list chain ip theirs post\n" in answer.commands, answer.commands)
    with box.router.inside():
        need("masquerade" in subprocess.run(answer.commands, shell=True, stdout=subprocess.PIPE, text=True).stdout, "command")


@scenario.scenario
def foreign_nat_at_the_same_place(box):
    # the one that is registered last is asked first
    need("at the same place" in " ".join(foreign_nat_at(box, 99, "foreign-nat").text.split()), "not explained")


@scenario.scenario
def foreign_nat_behind(box):
    # where iptables -t nat and docker have theirs (100), and firewalld (110)
    foreign_nat_at(box, 100)
    box.router.run("nft", "delete", "table", "ip", "theirs")
    nft(box, "table ip theirs { chain post { type nat hook postrouting priority 110; oifname \"tun0\" masquerade; }; }")
    finds(box)


def probe_beside(box, priority):
    """(Did every port answer, packets that the foreign rule saw)"""
    start(box)
    nft(box, "table ip theirs { chain post { type nat hook postrouting priority %d; oifname \"tun0\" counter masquerade; }; }" % priority)
    far = FarEnd(box, OCN)
    try:
        answer = doctor(box, "--probe", SERVER)
    finally:
        far.close()
    own = {port for first, last in port_ranges(box, OCN) for port in range(first, last + 1)}
    need(far.ports <= own, "ports outside the set left: %s", sorted(far.ports - own)[:5])
    return answer, int(re.search(r"packets (\d+)", box.router.run("nft", "list", "table", "ip", "theirs")).group(1))


@scenario.scenario
def what_is_said_of_foreign_nat_is_true(box):
    answer, packets = probe_beside(box, 99)
    need(packets > 1000 and answer.code == 1 and "[foreign-nat]" in answer.text, "it took %d packets: %s", packets, answer.text)


@scenario.scenario
def what_is_not_said_of_foreign_nat_is_true(box):
    answer, packets = probe_beside(box, 100)
    need(packets == 0 and answer.code == 0 and "1008 of 1008 connections" in answer.text, "it took %d packets: %s", packets, answer.text)


@scenario.scenario
def forward_drop(box):
    start(box)
    nft(box, "table inet theirs { chain ours { type filter hook forward priority 0; policy drop; }; }")
    answer = finds(box, "forward-drop")
    with box.router.inside():
        subprocess.run(["sh", "-eu"], input=answer.commands, text=True, check=True)
    rules = box.router.run("nft", "list", "chain", "inet", "theirs", "ours")
    for rule in ('oifname "tun0" accept', 'iifname "tun0" ct state established,related accept', "ct status dnat accept"):
        need(rule in rules, "the commands do not make: %s\n%s", rule, rules)
    finds(box)


@scenario.scenario
def forward_drop_is_no_trouble_where_the_lan_passes(box):
    """A firewall that its owner wrote drops what it does not accept, and accepts the LAN."""
    start(box)
    for rule in ('iifname "lan0" accept', 'iifname "lan0" oifname "tun0" counter log accept', 'iif "lan0" oif "tun0" accept',
                 'iifname "la*" accept', 'iifname { "lan0", "lan9" } accept', "jump more", "ct state new goto more", "accept"):
        firewall(box, rule)
        finds(box)
    for rule in ('iifname "eth9" accept', 'iifname "lan0" oifname "wan0" accept', 'iifname "lan0" tcp dport 80 accept',
                 "ct state established accept", 'iifname != "lan0" accept', 'iifname "docker0" accept', "jump less"):
        firewall(box, rule)
        finds(box, "forward-drop")


def firewall(box, rule):
    box.router.run("nft", "flush", "ruleset")
    nft(box, """table inet theirs {
        chain more { oifname "tun0" accept; }; chain less { oifname "wan0" accept; jump least; }; chain least { counter; };
        chain into { type filter hook input priority 0; policy drop; iifname "lan0" accept; };
        chain ours { type filter hook forward priority 0; policy drop; %s; }; }""" % rule)


# ---- the probe ----


class FarEnd:
    """The Internet behind br0: a listening port, and eyes on every packet that the router sends to it."""

    def __init__(self, box, line):
        self.box, self.ports, self.strange = box, set(), []
        isp = box.isp
        isp.run("ip", "addr", "add", SERVER + "/32", "dev", "lo")
        isp.run("ip", "route", "add", line[2] + "/32", "dev", "br0")
        isp.set("core/somaxconn", 4096)
        with isp.inside():
            self.listener = socket.create_server((SERVER, 80), backlog=4096)
            self.eyes = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
            self.eyes.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
            self.eyes.bind(("br0", 0x0800))
        self.address = socket.inet_aton(line[2])
        self.running = True
        self.thread = threading.Thread(target=self.look)
        self.thread.start()

    def look(self):
        while self.running:
            if not select.select([self.eyes], [], [], 0.05)[0]:
                continue
            packet, source = self.eyes.recvfrom(2048)
            if source[2] == socket.PACKET_OUTGOING or packet[9] != socket.IPPROTO_TCP:
                continue
            if packet[12:16] != self.address:
                self.strange.append(packet[12:16])
            self.ports.add(struct.unpack_from("!H", packet, (packet[0] & 15) * 4)[0])

    def close(self):
        self.running = False
        self.thread.join()
        self.eyes.close()
        self.listener.close()

    def drop(self, first, last):
        with self.box.isp.inside():
            subprocess.run(["nft", "-f", "-"], text=True, check=True,
                           input="table ip far { chain in { type filter hook input priority 0; tcp sport %d-%d drop; }; }" % (first, last))


def port_ranges(box, line):
    calc = subprocess.run([box.program, "--calc", line[0] + "/56"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return [tuple(map(int, word.split("-"))) for word in re.search(r"^port_ranges=(.*)$", calc, re.M).group(1).split()]


def probed(box, line=OCN, target=SERVER, spoil=None):
    """The answer and the ports that the far end saw; they are all of the set."""
    start(box, line=line)
    ranges = port_ranges(box, line)
    far = FarEnd(box, line)
    try:
        if spoil:
            spoil(far, ranges)
        began = time.monotonic()
        answer = doctor(box, "--probe", target)
        took = time.monotonic() - began
    finally:
        far.close()
    need(took < 30, "it took %.1f s", took)
    own = {port for first, last in ranges for port in range(first, last + 1)}
    need(far.ports <= own, "ports outside the set: %s", sorted(far.ports - own)[:5])
    same(far.strange, [], "other sources")
    return answer, far.ports, own, took


def every_port(box, line, count, blocks):
    answer, seen, own, took = probed(box, line)
    same(sorted(own - seen), [], "ports that the far end did not see")
    same(answer.code, 0, answer.text)
    need("%d of %d connections answered" % (count, count) in answer.text, answer.text)
    need("%d of %d ports used; %d of %d blocks answer on every port" % (count, count, blocks, blocks) in answer.text, answer.text)
    scenario.note("probe of %d ports: %.1f s" % (count, took))


@scenario.scenario
def probe_all_1008_ports(box):
    every_port(box, OCN, 1008, 63)


@scenario.scenario
def probe_all_240_ports(box):
    every_port(box, V6PLUS, 240, 15)


@scenario.scenario
def probe_of_a_port_that_refuses(box):
    # connection tracking forgets a refused connection at once: the probe must not claim what it cannot know
    answer, _, _, _ = probed(box, target=SERVER + ":81")
    same(answer.code, 1, answer.text)
    need("1008 of 1008 connections answered" in answer.text, answer.text)
    need("1008 were refused" in answer.text and "name a port on which the host accepts" in answer.text, answer.text)
    need("0 of 1008 ports used" in answer.text and "got no port" not in answer.text, answer.text)


@scenario.scenario
def probe_finds_the_filtered_block(box):
    answer, _, _, _ = probed(box, spoil=lambda far, ranges: far.drop(*ranges[17]))
    ranges = port_ranges(box, OCN)
    same(answer.code, 1, answer.text)
    need("992 of 1008 connections" in answer.text, answer.text)
    need("  block 17 (%d-%d): 0 of 16 ports answer" % ranges[17] in answer.text, answer.text)
    need("  blocks 0-16 (" in answer.text and "  blocks 18-62 (" in answer.text, answer.text)
    same(answer.text.count("all 16 ports answer"), 2, answer.text)


@scenario.scenario
def probe_finds_the_filtered_port(box):
    answer, _, _, _ = probed(box, spoil=lambda far, ranges: far.drop(ranges[3][0] + 5, ranges[3][0] + 5))
    need("  block 3 (%d-%d): 15 of 16 ports answer" % port_ranges(box, OCN)[3] in answer.text, answer.text)


@scenario.scenario
def probe_of_a_silent_host(box):
    answer, seen, own, _ = probed(box, spoil=lambda far, ranges: far.drop(1, 65535))
    same(sorted(own - seen), [], "ports that the far end did not see")
    same(answer.code, 1, answer.text)
    need("nothing came back" in answer.text and "blocks 0-62" in answer.text, answer.text)


@scenario.scenario
def probe_twice(box):
    # the ports of the first are free again, or taken over, when the second comes
    start(box)
    far = FarEnd(box, OCN)
    try:
        first = doctor(box, "--probe", SERVER)
        same(first.code, 0, first.text)
        time.sleep(12)  # CLOSE: 10 s in connection tracking
        second = doctor(box, "--probe", SERVER)
    finally:
        far.close()
    same(second.code, 0, second.text)


@scenario.scenario
def probe_beside_a_forward(box):
    first, _ = (1680, 1695)
    start(box, WAN + EXISTING % "" + 'forward = ( { protocol = "tcp"; port = %d; to = "192.168.1.10:80"; } );\n' % first)
    far = FarEnd(box, OCN)
    try:
        answer = doctor(box, "--probe", SERVER)
    finally:
        far.close()
    need(first not in far.ports, "the forwarded port was given out")
    need("1007 of 1008 ports used" in answer.text, answer.text)
    need("1 got no port" in answer.text, answer.text)


@scenario.scenario
def probe_without_a_line(box):
    start(box, line=None)
    answer = doctor(box, "--probe", SERVER)
    same(answer.code, 1, answer.text)
    need("nothing to probe" in answer.text, answer.text)


@scenario.scenario
def probe_of_nonsense(box):
    start(box)
    for word in ("host", "1.2.3", "203.0.113.10:", "203.0.113.10:0", "203.0.113.10:65536", "203.0.113.10:8x", "::1"):
        answer = doctor(box, "--probe", word)
        same(answer.code, 2, word)
        need("--probe %s: not an IPv4 address" % word in answer.text, answer.text)


if __name__ == "__main__":
    scenario.parse("maped --doctor in network namespaces.")
    sys.exit(scenario.main("doctor"))
