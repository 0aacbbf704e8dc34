"""IPv4 packets made by hand, and the socket options that Python does not name."""

import socket
import struct

IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU = 10, 2, 14


def checksum(data):
    """The Internet checksum; a sum modulo 65535 is the same thing, and one big number makes it fast."""
    value = int.from_bytes(data + b"\0" * (len(data) % 2), "big") % 0xFFFF
    return 0xFFFF - value if value else 0xFFFF


def fragments(source, sport, destination, dport, body, size, identifier):
    """IPv4 packets of one UDP datagram, in order; size is a multiple of 8."""
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    head = struct.pack("!HHHH", sport, dport, 8 + len(body), 0)
    pseudo = addresses + struct.pack("!HH", 17, 8 + len(body))
    datagram = head[:6] + struct.pack("!H", checksum(pseudo + head + body)) + body
    for offset in range(0, len(datagram), size):
        part = datagram[offset : offset + size]
        more = 0x2000 if offset + size < len(datagram) else 0
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(part), identifier, more | offset // 8, 64, 17, 0)
        yield header + addresses + part
