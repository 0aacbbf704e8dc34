#!/usr/bin/python3 -B
"""Traffic for two lines, and a judge who sees both on the wire.

The remote port says where a packet belongs: 7000 to 7999 PPPoE, 8000 to 8999 MAP-E, 9000 to 9999 either.

  pppoe_lab.py serve ADDRESS              TCP and UDP echo on 7001, 7025, 8001 and 9001
  pppoe_lab.py listen ADDRESS PORT        TCP and UDP echo there
  pppoe_lab.py talk SERVER PORT JSON [PATIENCE]   one TCP connection after the other, without a pause, until SIGTERM; what is
                                          not answered for PATIENCE seconds (2) is over
  pppoe_lab.py ask tcp|udp HOST PORT [SOURCE-PORT]   one exchange; prints our own address
  pppoe_lab.py send PROTOCOL HOST         one packet of an IP protocol without ports
  pppoe_lab.py judge INTERFACE JSON       looks at every frame from and to the router; writes what is wrong
"""

import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time

SESSION, IPV6 = 0x8864, 0x86DD
IP_IN_PPP, IPCP = 0x0021, 0x8021
CONFIGURE_ACK, ADDRESS_OPTION = 2, 3
PACKET_OUTGOING = 4
TCP, UDP, GRE, ESP, IPIP = 6, 17, 47, 50, 4


# --- servers ----------------------------------------------------------------------------------------------------------------------


def echo_udp(server):
    while True:
        data, peer = server.recvfrom(65535)
        server.sendto(data, peer)


def echo_tcp(connection):
    with connection:
        try:
            while True:
                data = connection.recv(65536)
                if not data:
                    return
                connection.sendall(data)
        except OSError:
            pass


def accept(server):
    while True:
        connection, _ = server.accept()
        threading.Thread(target=echo_tcp, args=(connection,), daemon=True).start()


def serve(address, *ports):
    for port in ports or (7001, 7025, 8001, 9001):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((address, int(port)))
        tcp = socket.create_server((address, int(port)), backlog=64)
        threading.Thread(target=echo_udp, args=(udp,), daemon=True).start()
        threading.Thread(target=accept, args=(tcp,), daemon=True).start()
    signal.pause()


# --- clients ----------------------------------------------------------------------------------------------------------------------


def exchange(connection, data, seconds):
    connection.settimeout(seconds)
    connection.sendall(data)
    got = b""
    while len(got) < len(data):
        part = connection.recv(65536)
        if not part:
            raise ConnectionError("closed")
        got += part


def ask(kind, host, port, source=0):
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("", int(source)))
    made.settimeout(4)
    try:
        made.connect((host, int(port)))
        exchange(made, b"?" * 100, 4)
    except OSError as error:
        sys.exit("%s: %s" % (" ".join((kind, host, str(port))), error))
    print(made.getsockname()[0])


def send(protocol, host):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, int(protocol)) as sender:
        try:
            sender.sendto(b"\0" * 16, (host, 0))
        except OSError as error:
            sys.exit(str(error))


def talk(server, port, path, patience=2):
    told = {"connections": 0, "broken": 0, "exchanges": 0, "longest_gap": 0.0}
    running = [True]
    signal.signal(signal.SIGTERM, lambda *_: running.clear())
    last = time.monotonic()
    while running:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
            try:
                connection.settimeout(1)
                connection.connect((server, int(port)))
                told["connections"] += 1
                while running:
                    exchange(connection, b"x" * 1000, float(patience))
                    now = time.monotonic()
                    told["longest_gap"] = max(told["longest_gap"], now - last)
                    told["exchanges"] += 1
                    last = now
                    time.sleep(0.02)
            except OSError:
                told["broken"] += 1
                time.sleep(0.05)
    with open(path, "w") as file:
        json.dump(told, file)


# --- the judge --------------------------------------------------------------------------------------------------------------------


class Judge:
    def __init__(self):
        self.addresses = {}  # session id: what the concentrator has agreed to
        self.wrong = []
        self.told = {"ppp": 0, "map": 0, "sessions": 0, "addresses": 0, "unmappable": 0, "wrong": 0}
        self.seen_addresses = set()

    def complain(self, what, packet):
        header = (packet[0] & 15) * 4
        ports = struct.unpack_from("!HH", packet, header) if packet[9] in (TCP, UDP) else (0, 0)
        self.told["wrong"] += 1
        if len(self.wrong) < 20:
            self.wrong.append("%s: %s:%d > %s:%d proto %d" % (
                what, socket.inet_ntoa(packet[12:16]), ports[0], socket.inet_ntoa(packet[16:20]), ports[1], packet[9]))

    def line(self, packet, line, other):
        self.told[line] += 1
        header = (packet[0] & 15) * 4
        if packet[9] in (GRE, ESP):
            self.told["unmappable"] += line == "ppp"
            if line == "map":
                self.complain("unmappable on map", packet)
        if packet[9] in (TCP, UDP) and not struct.unpack_from("!H", packet, 6)[0] & 0x1FFF and \
                struct.unpack_from("!H", packet, header + 2)[0] // 1000 == other:
            self.complain("wrong line, " + line, packet)

    def from_router(self, kind, frame):
        if kind == SESSION:
            _, session, _, protocol = struct.unpack_from("!HHHH", frame)
            if protocol == IP_IN_PPP:
                packet = frame[8:]
                self.line(packet, "ppp", 8)
                if packet[12:16] != self.addresses.get(session):
                    self.complain("source on ppp", packet)
        elif kind == IPV6 and frame[6] == IPIP:
            self.line(frame[40:], "map", 7)

    def to_router(self, kind, frame):
        if kind != SESSION:
            return
        _, session, _, protocol = struct.unpack_from("!HHHH", frame)
        if protocol != IPCP or frame[8] != CONFIGURE_ACK:
            return
        end, at = 8 + struct.unpack_from("!H", frame, 10)[0], 12
        while at + 2 <= end and frame[at + 1] >= 2:
            if frame[at] == ADDRESS_OPTION:
                self.addresses[session] = frame[at + 2:at + 6]
                self.seen_addresses.add(frame[at + 2:at + 6])
                self.told["sessions"] += 1
            at += frame[at + 1]

    def tell(self, path):
        self.told["addresses"] = len(self.seen_addresses)
        with open(path + ".new", "w") as file:
            json.dump(dict(self.told, samples=self.wrong), file)
        os.rename(path + ".new", path)


def judge(interface, path):
    running = [True]
    signal.signal(signal.SIGTERM, lambda *_: running.clear())
    eye = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
    eye.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    eye.bind((interface, 3))
    result, due = Judge(), 0.0
    while running:
        if select.select([eye], [], [], 0.1)[0]:
            data, address = eye.recvfrom(2048)
            kind = struct.unpack_from("!H", data, 12)[0]
            (result.to_router if address[2] == PACKET_OUTGOING else result.from_router)(kind, data[14:])
        if time.monotonic() > due:
            due = time.monotonic() + 0.1
            result.tell(path)
    dropped = struct.unpack("II", eye.getsockopt(263, 6, 8))[1]  # SOL_PACKET, PACKET_STATISTICS
    result.told["missed"] = dropped
    result.tell(path)


if __name__ == "__main__":
    {"serve": serve, "listen": serve, "talk": talk, "ask": ask, "send": send, "judge": judge}[sys.argv[1]](*sys.argv[2:])
