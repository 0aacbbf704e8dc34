#!/usr/bin/python3 -B
"""The judge judged: every kind of violation is noticed, and what is right passes. usage: test_br.py  (prints one line a check)"""

import importlib
import importlib.machinery
import importlib.util
import os
import socket
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
mape = importlib.import_module("mape")
LOADER = importlib.machinery.SourceFileLoader("br", os.path.join(HERE, "br"))
br = importlib.util.module_from_spec(importlib.util.spec_from_loader("br", LOADER))
LOADER.exec_module(br)

CE = socket.inet_pton(socket.AF_INET6, "2400:4050:48d:2900:99:f012:3400:2900")
BR = socket.inet_pton(socket.AF_INET6, "2001:380:a120::9")
OURS, PEER = "153.240.18.52", "203.0.113.10"
GOOD, FOREIGN, NOBODY = 1680, 1696, 680


def total(data):
    value = int.from_bytes(data + b"\0" * (len(data) % 2), "big") % 0xFFFF
    return 0xFFFF - value if value else 0xFFFF


def ipv4(source, destination, protocol, payload, fragment=0, identifier=7):
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), identifier, fragment, 64, protocol, 0) + addresses
    return header[:10] + struct.pack("!H", total(header)) + header[12:] + payload


def udp(source, sport, destination, dport, body=b"x" * 40):
    head = struct.pack("!HHHH", sport, dport, 8 + len(body), 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!HH", 17, len(head + body))
    return head[:6] + struct.pack("!H", total(pseudo + head + body)) + body


def icmp(kind, rest, body=b""):
    message = struct.pack("!BBHI", kind, 0, 0, rest) + body
    return message[:2] + struct.pack("!H", total(message)) + message[4:]


def outer(inner, source=CE, relay=BR, next_header=4):
    return struct.pack("!IHBB", 0x60000000, len(inner), next_header, 64) + source + relay + inner


def packet(sport=GOOD, source=OURS):
    return ipv4(source, PEER, 17, udp(source, sport, PEER, 7))


def quoted(port):
    return ipv4(PEER, OURS, 17, udp(PEER, 7, OURS, port))


def verdict(*packets):
    relay = br.Relay()
    passed = [out for one in packets for out in relay.upstream(one)]
    return passed, relay.violations


failed = 0


def check(name, right, got):
    global failed
    failed += not right
    print("ok br-%s" % name if right else "not ok br-%s: %s" % (name, got))


def main():
    long = udp(OURS, GOOD, PEER, 7, b"y" * 1600)
    first, last = (ipv4(OURS, PEER, 17, long[:800], 0x2000), ipv4(OURS, PEER, 17, long[800:], 100))
    foreign = udp(OURS, FOREIGN, PEER, 7, b"y" * 1600)
    options = bytes([4, 0, 4, 1, 4, 1, 1, 0])
    damaged = bytearray(packet())
    damaged[-1] ^= 1
    other = bytearray(CE)
    other[15] ^= 1
    for name, packets, count in [
        ("udp", [packet()], 1),
        ("echo-request", [ipv4(OURS, PEER, 1, icmp(8, GOOD << 16))], 1),
        ("error-about-own-port", [ipv4(OURS, PEER, 1, icmp(3, 0, quoted(GOOD)))], 1),
        ("fragments", [first, last], 2),
        ("fragments-first-last", [last, first], 2),
    ]:
        passed, violations = verdict(*map(outer, packets))
        check("passes-" + name, len(passed) == count and not violations, violations)
    for kind, bad in [
        ("port-outside-set", outer(packet(FOREIGN))),
        ("port-of-nobody", outer(packet(NOBODY))),
        ("outer-source", outer(packet(), bytes(other))),
        ("source-not-shared", outer(packet(source="192.168.1.10"))),
        ("wrong-relay", outer(packet(), relay=socket.inet_pton(socket.AF_INET6, mape.V6PLUS_BR))),
        ("destination-options", outer(options + packet(), next_header=60)),
        ("outer-fragment", outer(bytes(8) + packet(), next_header=44)),
        ("port-outside-set", outer(ipv4(OURS, PEER, 1, icmp(8, FOREIGN << 16)))),
        ("port-outside-set", outer(ipv4(OURS, PEER, 1, icmp(3, 0, quoted(FOREIGN))))),
        ("protocol-without-port", outer(ipv4(OURS, PEER, 47, bytes(12)))),
        ("payload-checksum", outer(ipv4(OURS, PEER, 17, bytes(damaged)[20:]))),
    ]:
        passed, violations = verdict(bad)
        check("refuses-" + kind, not passed and violations == {kind: 1}, (len(passed), violations))
    pieces = [ipv4(OURS, PEER, 17, foreign[800:], 100), ipv4(OURS, PEER, 17, foreign[:800], 0x2000)]
    passed, violations = verdict(*map(outer, pieces))
    check("refuses-fragments-of-foreign-port", not passed and violations.get("port-outside-set") == 1, violations)

    relay = br.Relay()
    relay.assigned = [br.ipaddress.IPv6Network("240b:10:1234:5600::/56")]
    check("stale-prefix", not relay.upstream(outer(packet())) and relay.stale == 1 and not relay.violations, relay.stale)

    relay = br.Relay()
    down = [
        ipv4(PEER, OURS, 17, udp(PEER, 7, OURS, GOOD)),
        ipv4(PEER, OURS, 1, icmp(0, GOOD << 16)),
        ipv4("198.18.0.1", OURS, 1, icmp(3, 1300, ipv4(OURS, PEER, 17, udp(OURS, GOOD, PEER, 7)))),
    ]
    for name, one in zip(("udp", "echo-reply", "error"), down):
        out = relay.downstream(one)
        check("to-the-ce-" + name, len(out) == 1 and out[0] == outer(one, BR, CE), out)
    back = udp(PEER, 7, OURS, GOOD, b"z" * 1600)
    out = relay.downstream(ipv4(PEER, OURS, 17, back[800:], 100))
    out += relay.downstream(ipv4(PEER, OURS, 17, back[:800], 0x2000))
    check("to-the-ce-fragments", len(out) == 2 and all(one[24:40] == CE for one in out), len(out))
    check("to-nobody", not relay.downstream(ipv4(PEER, OURS, 17, udp(PEER, 7, OURS, NOBODY))) and relay.unmapped == 1, relay.unmapped)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
