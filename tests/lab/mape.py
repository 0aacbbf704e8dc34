"""MAP-E arithmetic of the lab, written from RFC 7597 alone and sharing nothing with maped, so that the two can disagree."""

import ipaddress
import socket

OCN_BR = "2001:380:a120::9"
V6PLUS_BR = "2404:9200:225:100::64"
TEST_BR = "2001:db8:ffff::1"

# ipv6 prefix, ipv4 prefix, EA length, PSID offset, BR, interface identifier
RULES = [
    ("2400:4050::/34", "153.240.0.0/16", 22, 6, OCN_BR, "draft"),
    ("2400:4051::/35", "122.26.0.0/17", 21, 6, OCN_BR, "draft"),
    ("240b:10::/32", "106.72.0.0/16", 24, 4, V6PLUS_BR, "draft"),
    # RFC 7597 appendix A example 1, and a rule that shares no address (k = 0)
    ("2001:db8::/40", "192.0.2.0/24", 16, 6, TEST_BR, "rfc7597"),
    ("2001:db8:4000::/48", "198.51.100.0/24", 8, 6, TEST_BR, "rfc7597"),
]


class Rule:
    def __init__(self, ipv6, ipv4, ea_length, offset, br, form):
        self.net6 = ipaddress.IPv6Network(ipv6)
        self.net4 = ipaddress.IPv4Network(ipv4)
        self.br = socket.inet_pton(socket.AF_INET6, br)
        self.offset = offset
        self.form = form
        suffix = 32 - self.net4.prefixlen
        assert ea_length >= suffix, "rules that give out IPv4 prefixes are not played here"
        self.suffix_bits = suffix
        self.k = ea_length - suffix
        self.m = 16 - offset - self.k
        self.end_user_length = self.net6.prefixlen + ea_length
        self.base6 = int(self.net6.network_address)
        self.base4 = int(self.net4.network_address)
        self.mask4 = int(self.net4.netmask)

    def holds(self, address4):
        return address4 & self.mask4 == self.base4

    def psid(self, port):
        """The PSID that owns the port, or None for a port that nobody may use (A = 0). RFC 7597 5.1"""
        if self.k == 0:
            return 0
        if self.offset and port >> (16 - self.offset) == 0:
            return None
        return port >> self.m & (1 << self.k) - 1

    def ce(self, address4, psid):
        """The CE's address as 16 octets. RFC 7597 5.2 and 6; the draft's identifier is the same shifted left by 8 bits."""
        suffix = address4 & ~self.mask4 & 0xFFFFFFFF
        ea = suffix << self.k | psid
        prefix = self.base6 | ea << (128 - self.end_user_length)
        identifier = address4 << 16 | psid
        if self.form == "draft":
            identifier <<= 8
        return (prefix | identifier).to_bytes(16, "big")

    def end_user(self, address4, psid):
        value = int.from_bytes(self.ce(address4, psid), "big") >> (128 - self.end_user_length)
        return value << (128 - self.end_user_length)


TABLE = [Rule(*row) for row in RULES]


def rule_for4(address4):
    for rule in TABLE:
        if rule.holds(address4):
            return rule
    return None


def ports_of(rule, psid):
    return [port for port in range(65536) if rule.psid(port) == psid]


def params_of_prefix(prefix):
    """(rule, IPv4 as text, PSID, CE as text) of an end-user prefix such as 2400:4050:48d:2900::/56."""
    address = int(ipaddress.IPv6Interface(prefix).ip)
    for rule in TABLE:
        if ipaddress.IPv6Address(address) in rule.net6:
            ea = address >> (128 - rule.end_user_length) & (1 << (rule.suffix_bits + rule.k)) - 1
            address4 = rule.base4 | ea >> rule.k
            psid = ea & (1 << rule.k) - 1
            return (
                rule,
                str(ipaddress.IPv4Address(address4)),
                psid,
                socket.inet_ntop(socket.AF_INET6, rule.ce(address4, psid)),
            )
    raise KeyError(prefix)
