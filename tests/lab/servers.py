#!/usr/bin/python3 -B
"""The hosts of the Internet side. Every service answers on IPv4 and IPv6.

  udp 7   echo: the same datagram back
  udp 8   who am I: "ADDRESS PORT"
  udp 9   echo in IPv4 fragments of 1000 octets, first fragment last
  udp 10  "N": a datagram of N octets with DF comes back; too big ones are tried again at the size that ICMP named.
          The answer begins with "mtu=M "
  tcp 80  GET /whoami "ADDRESS PORT"; /mss the segment size towards the client; /bytes/N; POST / answers the number of octets
  tcp 7   echo
usage: servers.py IPV4-ADDRESS [ADDRESS ...]     (answers come from the address that was asked)
"""

import http.server
import socket
import socketserver
import sys
import threading
import time

from packets import IP_MTU, IP_MTU_DISCOVER, IP_PMTUDISC_DO, fragments


def udp_socket(address, port):
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    server.bind((address, port))
    return server


def plain(address):
    return address[7:] if address.startswith("::ffff:") else address


def serve(server, answer):
    while True:
        try:
            data, peer = server.recvfrom(65535)
            answer(server, data, peer)
        except OSError:
            pass


def echo(server, data, peer):
    server.sendto(data, peer)


def who_am_i(server, data, peer):
    server.sendto(("%s %d" % peer[:2]).encode(), peer)


def echo_backwards(own):
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def answer(_, data, peer):
        identifier = int(time.monotonic() * 1000) & 0xFFFF or 1
        pieces = list(fragments(own, 9, peer[0], peer[1], data, 1000, identifier))
        for piece in reversed(pieces):
            raw.sendto(piece, (peer[0], 0))

    return answer


def sized(own):
    def answer(_, data, peer):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
            sender.bind((own, 10))
            sender.connect((peer[0], peer[1]))
            size = int(data)
            for _ in range(8):
                try:
                    sender.send(("mtu=%d " % sender.getsockopt(socket.IPPROTO_IP, IP_MTU)).encode().ljust(size, b"."))
                except OSError:
                    pass
                time.sleep(0.3)
                mtu = sender.getsockopt(socket.IPPROTO_IP, IP_MTU)
                if size + 28 <= mtu:
                    return
                size = mtu - 28

    return answer


def sized_server(own):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    server.bind((own, 10))
    return server


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def say(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path.startswith("/bytes/"):
            self.say(b"x" * int(self.path[7:]))
        elif self.path == "/mss":
            self.say(b"%d\n" % self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))
        else:
            self.say(b"%s %d\n" % (plain(self.client_address[0]).encode(), self.client_address[1]))

    def do_POST(self):
        left = int(self.headers.get("Content-Length", 0))
        got = len(self.rfile.read(left))
        self.say(b"%d\n" % got)

    def log_message(self, *_):
        pass


class Threads(socketserver.ThreadingMixIn, socketserver.TCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 4096


class TcpEcho(socketserver.BaseRequestHandler):
    def handle(self):
        while True:
            data = self.request.recv(65536)
            if not data:
                return
            self.request.sendall(data)


def main():
    own = sys.argv[1]
    web, tcp_echo = Threads(("::", 80), Web), Threads(("::", 7), TcpEcho)
    jobs = [
        (web.serve_forever, ()),
        (tcp_echo.serve_forever, ()),
        (serve, (udp_socket(own, 9), echo_backwards(own))),
    ]
    for address in sys.argv[1:]:
        jobs += [(serve, (udp_socket(address, 7), echo)), (serve, (udp_socket(address, 8), who_am_i))]
    for target, arguments in jobs:
        threading.Thread(target=target, args=arguments, daemon=True).start()
    serve(sized_server(own), sized(own))


if __name__ == "__main__":
    main()
