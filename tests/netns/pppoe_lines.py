# SPDX-License-Identifier: LGPL-2.1-or-later
"""A router with two lines and hosts on its LAN, and a judge on each line.

    pc      192.168.1.10, .20 and the console .55 ┐
    station 192.168.1.30, chosen by its MAC       ├ lanbr ┐             ┌ tun0: 153.240.18.52, 1008 ports
    annex   192.168.2.10                          └ annexr┴── router ───┤
                                                                        └ ppp0: a veth in the role of a PPPoE session

Behind both lines there is an Internet of its own with the same servers, so that a packet on the wrong line is answered
as well and only the judges see it. The remote port says where a packet belongs: 7000 to 7999 PPPoE, 8000 to 8999 MAP-E,
9000 to 9999 either. Every packet that leaves the router is recorded, with the address that it says it comes from.
"""
import collections
import contextlib
import select
import socket
import struct
import time

import box as boxes
import netlink
from scenario import need, same

SERVER, CHOSEN = "198.51.100.7", "203.0.113.9"
PC, PC2, CONSOLE, STATION, ANNEX = "192.168.1.10", "192.168.1.20", "192.168.1.55", "192.168.1.30", "192.168.2.10"
STATION_MAC = "02:00:00:00:55:30"
ROUTER, ROUTER_ANNEX = "192.168.1.1", "192.168.2.1"
SHARED = "153.240.18.52"
PPP_ADDRESS = "100.64.7.%d"
PREFIX = ("2400:4050:48d:2900::1", 64)
GRE, ESP = 47, 50
ETH_P_IP = 0x0800
PACKET_OUTGOING = 4
POINT_TO_POINT = "arp off address 02:00:00:00:00:%02x"

CHOICES = '''hosts = [ "%s", "192.168.1.64/28", "%s" ]; destinations = [ "203.0.113.0/24" ];
  ports = [ "tcp/7025", "udp/7500-7501" ];''' % (CONSOLE, STATION_MAC)
FORWARDS = '''forward = ( { protocol = "tcp"; port = 8080; to = "%s:80"; },
              { protocol = "udp"; port = "20000-65535"; to = "%s"; } );''' % (PC2, CONSOLE)


def config(choices=CHOICES, more="", tunnel='tunnel = "tun0"; tunnel_mode = "existing";', forwards=FORWARDS, top=""):
    return '''wan = { interface = "wan0"; };
map = { %s };
lan = { interfaces = [ "lanbr", "annexr" ]; };
nat = { open = [ "tcp/1681" ]; };
forward = ( { protocol = "tcp"; port = 1680; to = "%s:80"; } );
pppoe = { interface = "ppp0";
  %s
  %s %s };
%s''' % (tunnel, PC2, choices, forwards, more, top)


def in_port_set(port):
    return port >= 1024 and port >> 4 & 0x3F == 41


Seen = collections.namedtuple("Seen", "at source destination protocol source_port destination_port segment text")


class Judge:
    """Everything that leaves the router by one line."""

    def __init__(self, space, interface, line):
        self.line, self.seen = line, []
        with space.inside():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
                                        socket.htons(ETH_P_IP))
            self.socket.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
            self.socket.bind((interface, ETH_P_IP))

    def read(self):
        with contextlib.suppress(OSError):  # nothing more, or the session is over
            while True:
                data, (_, _, kind, _, _) = self.socket.recvfrom(2048)
                if kind != PACKET_OUTGOING:
                    self.seen.append(self.parse(data[14:]))
        return self.seen

    @staticmethod
    def parse(packet):
        header = (packet[0] & 15) * 4
        protocol = packet[9]
        ports = struct.unpack_from("!HH", packet, header) if protocol in (6, 17) else (0, 0)
        source, destination = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
        flags = packet[header + 13] if protocol == 6 else 0
        # the size of segments stands first in Linux' options of a SYN
        segment = struct.unpack_from("!H", packet, header + 22)[0] if flags & 2 else 0
        return Seen(time.monotonic(), source, destination, protocol, *ports, segment,
                    " %s:%d > %s:%d proto %d flags %x" % (source, ports[0], destination, ports[1], protocol, flags))

    def mistakes(self, address):
        """What should not have left by this line, or not from this address."""
        wrong = []
        for seen in self.read():
            if seen.source != address:
                wrong.append("source on %s:%s" % (self.line, seen.text))
            elif self.line == "map" and seen.protocol in (6, 17) and not in_port_set(seen.source_port):
                wrong.append("port on map:" + seen.text)
            elif seen.protocol in (6, 17) and 7000 <= seen.destination_port < 9000 and \
                    seen.destination_port // 1000 != (7 if self.line == "ppp" else 8):
                wrong.append("wrong line, %s:%s" % (self.line, seen.text))
            elif seen.protocol in (GRE, ESP) and self.line == "map":
                wrong.append("unmappable on map:" + seen.text)
        return wrong

    def count(self, since=0.0, **wanted):
        return sum(1 for seen in self.read() if seen.at >= since and
                   all(getattr(seen, name) == value for name, value in wanted.items()))

    def close(self):
        self.read()
        self.socket.close()


class Lines:
    def __init__(self, box):
        self.box, self.router = box, box.router
        self.inet = {"map": box.isp, "ppp": boxes.Space()}
        self.lan, self.station, self.annex = boxes.Space(), boxes.Space(), boxes.Space()
        self.servers, self.sockets, self.wrong = {}, [], []
        self.judges, self.passed = {}, 0
        self.sessions = 0
        self.far_active = True
        self.ppp_address = None
        self.build()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in self.sockets:
            one.close()
        for judge in self.judges.values():
            judge.close()
        for space in (self.inet["ppp"], self.lan, self.station, self.annex):
            space.close()

    def ip(self, space, text):
        said = space.run("ip", "-batch", "-", input=text, check=False)
        need(not said, "ip: %s", said)

    def build(self):
        for space in (self.router, self.inet["map"], self.inet["ppp"], self.lan, self.station, self.annex):
            filtered = 1 if space is self.router else 0
            for name in ("all", "default"):
                space.set("ipv4/conf/%s/rp_filter" % name, filtered)
                space.set("ipv6/conf/%s/accept_dad" % name, 0)
        with contextlib.suppress(FileNotFoundError):  # a bridge that calls iptables treats DNAT in ways of its own
            self.router.set("bridge/bridge-nf-call-iptables", 0)
        self.ip(self.router, "link add lanbr type bridge\nlink set lanbr up\naddr add %s/24 dev lanbr\n" % ROUTER)
        for port, space in (("port1", self.lan), ("port2", self.station), ("annexr", self.annex)):
            self.router.netlink.add_veth(port, "eth0", space.fd)
            self.ip(self.router, "link set %s up %s" % (port, "master lanbr" if port != "annexr" else ""))
        self.ip(self.router, "addr add %s/24 dev annexr" % ROUTER_ANNEX)
        for space, addresses, gateway in ((self.lan, [PC, PC2, CONSOLE, "192.168.1.70"], ROUTER),
                                          (self.station, [STATION], ROUTER), (self.annex, [ANNEX], ROUTER_ANNEX)):
            mac = "address " + STATION_MAC if space is self.station else ""
            self.ip(space, "link set eth0 %s up\n%sroute add default via %s\n" % (
                mac, "".join("addr add %s/24 dev eth0\n" % address for address in addresses), gateway))
        for space in self.inet.values():
            self.ip(space, "".join("addr add %s/32 dev lo\n" % address for address in (SERVER, CHOSEN)))
        # both ends of a line have one hardware address and ask for none: a point-to-point link
        self.ip(self.router, "link set tun0 " + POINT_TO_POINT % 1)
        self.ip(self.inet["map"], "link set br0 %s\nroute add default dev br0" % (POINT_TO_POINT % 1))
        self.judges["map"] = Judge(self.inet["map"], "br0", "map")
        self.router.netlink.put_address(self.box.index("wan0"), *PREFIX)

    # ---- the PPPoE session ----

    def ppp_up(self, last=None, name="ppp0"):
        """A session begins: a new interface, with another index and address. When it was up, for measuring."""
        self.sessions += 1
        self.ppp_address = PPP_ADDRESS % (last or self.sessions)
        self.router.netlink.add_veth(name, "far", self.inet["ppp"].fd)
        self.ip(self.router, "link set %s %s mtu 1454\naddr add %s peer 100.64.0.1/32 dev %s" % (
            name, POINT_TO_POINT % 2, self.ppp_address, name))
        self.ip(self.inet["ppp"], "link set far %s mtu 1454\nlink set far up\nroute add default dev far" % (POINT_TO_POINT % 2))
        self.judges["ppp"] = Judge(self.inet["ppp"], "far", "ppp")
        self.far_active = False
        self.router.netlink.change_link(self.box.index(name), up=True)
        return time.monotonic()

    def ppp_down(self):
        """The session is cut: pppd takes the interface away."""
        self.ppp_judge()
        self.router.netlink.delete_link(self.box.index("ppp0"))
        self.judges.pop("ppp").close()

    def ppp_judge(self):
        if "ppp" in self.judges:
            self.wrong += self.judges["ppp"].mistakes(self.ppp_address)
            self.passed += len(self.judges["ppp"].seen)
            self.judges["ppp"].seen.clear()

    def judge(self):
        """Not one packet with a wrong source, and none on the wrong line."""
        self.ppp_judge()
        self.wrong += self.judges["map"].mistakes(SHARED)
        self.passed += len(self.judges["map"].seen)
        self.judges["map"].seen.clear()
        same(self.wrong[:6], [], "%d wrong packets" % len(self.wrong))

    # ---- maped ----

    def start(self, text=None, up=True, **named):
        maped = self.box.start(text or config(), **named)
        need(maped.ready(), "no READY: %s", maped.log())
        if up:
            need(maped.notify.wait("^STATUS=up: ocn .*PPPoE up on ppp0"), "STATUS is %s", maped.notify.status())
        return maped

    def reload(self, text):
        maped = self.box.maped
        mark = maped.notify.mark()
        maped.replace(text)
        need(maped.notify.wait("^READY=1", mark), "no READY after a reload")
        need("refused" not in maped.notify.status(), "STATUS is %s", maped.notify.status())

    def routing(self):
        """Our routes and rules as text."""
        names = {link.index: link.name for link in self.router.netlink.links()}
        return sorted("%s table %d metric %d" % (names.get(route.index, "none"), route.table, route.metric)
                      for route in self.router.netlink.routes(socket.AF_INET) if route.protocol == netlink.OURS)

    def wait_route(self, line, timeout=2.0):
        """Seconds until the route of that text is there."""
        start = time.monotonic()
        while time.monotonic() - start < timeout:
            if line in self.routing():
                return time.monotonic() - start
            self.box.maped.notify.read()  # a full queue would hold maped up
            time.sleep(0.001)
        return None

    # ---- traffic ----

    def activate(self):
        """Until the kernel has noticed that the far end of the session has a carrier, it drops what that end sends."""
        end = time.monotonic() + 3
        while not self.far_active and time.monotonic() < end:
            self.far_active = any(link.name == "far" and link.state == boxes.UP for link in self.inet["ppp"].netlink.links())

    def open(self, space, kind, source, port=0):
        self.activate()
        with space.inside():
            made = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((source, port))
        self.sockets.append(made)
        return made

    def server(self, line, kind, address, port):
        """The server behind a line, made when it is first needed."""
        key = (line, kind, address, port)
        if key not in self.servers:
            self.servers[key] = self.open(self.inet[line], kind, address, port)
            if kind == socket.SOCK_STREAM:
                self.servers[key].listen(64)
        return self.servers[key]

    def servers_for(self, kind, address, port):
        return {self.server(line, kind, address, port): line for line in ("map", "ppp")}

    def udp(self, source, port, address=SERVER, space=None, timeout=0.7, sender=None):
        """The line by which a datagram went and its answer came back; None: it did not arrive."""
        servers = self.servers_for(socket.SOCK_DGRAM, address, port)
        sender = sender or self.open(space or self.lan, socket.SOCK_DGRAM, source)
        with contextlib.suppress(OSError):
            sender.recv(100)  # an ICMP error of before
        try:
            sender.sendto(b"?", (address, port))
        except OSError:
            return None
        ready, _, _ = select.select(list(servers), [], [], timeout)
        if not ready:
            return None
        data, peer = ready[0].recvfrom(100)
        ready[0].sendto(data, peer)
        if not select.select([sender], [], [], timeout)[0]:
            return servers[ready[0]] + " without an answer"
        sender.recv(100)
        return servers[ready[0]]

    def tcp(self, source, port, address=SERVER, space=None, timeout=1.5):
        """A connection from a LAN host (or the router); its line is None when nobody answered."""
        servers = self.servers_for(socket.SOCK_STREAM, address, port)
        client = self.open(space or self.lan, socket.SOCK_STREAM, source)
        with contextlib.suppress(BlockingIOError):
            try:
                client.connect((address, port))
            except BlockingIOError:
                pass
            except OSError:
                return Tcp(client, None, None)
        ready, _, _ = select.select(list(servers), [], [], timeout)
        if not ready:
            return Tcp(client, None, None)
        accepted, _ = ready[0].accept()
        accepted.setblocking(False)
        self.sockets.append(accepted)
        return Tcp(client, accepted, servers[ready[0]])

    def service(self, space, address, port, kind=socket.SOCK_STREAM):
        """A server on the router or the LAN."""
        made = self.open(space, kind, address, port)
        if kind == socket.SOCK_STREAM:
            made.listen(16)
        return made

    def call(self, line, to, service, source_port, timeout=1.5):
        """A connection from the Internet to the router. None: nobody answered."""
        client = self.open(self.inet[line], socket.SOCK_STREAM, SERVER, source_port)
        with contextlib.suppress(BlockingIOError):
            client.connect(to)
        if not select.select([service], [], [], timeout)[0]:
            return None
        accepted, _ = service.accept()
        accepted.setblocking(False)
        self.sockets.append(accepted)
        return Tcp(client, accepted, line)

    def ask(self, line, to, service, source_port, timeout=0.7):
        """The same with a datagram; True when the answer came back from where it was asked."""
        client = self.open(self.inet[line], socket.SOCK_DGRAM, SERVER, source_port)
        client.sendto(b"?", to)
        if not select.select([service], [], [], timeout)[0]:
            return False
        data, peer = service.recvfrom(100)
        service.sendto(data, peer)
        if not select.select([client], [], [], timeout)[0]:
            return False
        return client.recvfrom(100)[1] == to

    def raw(self, source, protocol, destination=SERVER, space=None):
        with (space or self.lan).inside(), socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol) as sender:
            sender.bind((source, 0))
            sender.sendto(b"\0" * 16, (destination, 0))


class Tcp:
    def __init__(self, client, accepted, line):
        self.client, self.accepted, self.line = client, accepted, line

    def talk(self, timeout=1.5):
        """Data goes both ways."""
        for sender, receiver in ((self.client, self.accepted), (self.accepted, self.client)):
            try:
                if not select.select([], [sender], [], timeout)[1]:
                    return False
                sender.send(b"data")
                if not select.select([receiver], [], [], timeout)[0] or receiver.recv(100) != b"data":
                    return False
            except OSError:
                return False
        return True
