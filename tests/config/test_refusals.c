/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files with mistakes: each line of the complaints is known, in the order of the file. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/config/config.h"
#include "tests/config/place.h"

static const struct {
	const char *name, *file, *complaints;
} refusals[] = {
	{"unquoted text", "wan = { interface = auto; };\n",
	 "t.conf:1: auto needs quotes: \"auto\"\n"},
	{"unquoted address",
	 "forward = ( { protocol = tcp; port = 1024-1030; to = 192.168.1.10:80; } );\n",
	 "t.conf:1: tcp needs quotes: \"tcp\"\n"
	 "t.conf:1: 1024-1030 is not a whole number; a text needs quotes: \"1024-1030\"\n"
	 "t.conf:1: 192.168.1.10:80 is not a whole number; a text needs quotes: "
	 "\"192.168.1.10:80\"\n"},
	{"unquoted prefix", "wan = { prefix = 2400:4050:48d:2900::/56; };\n",
	 "t.conf:1: 2400:4050:48d:2900::/56 is not a whole number; a text needs quotes: "
	 "\"2400:4050:48d:2900::/56\"\n"},
	{"yes and no",
	 "map = { default_route = yes; };\n"
	 "pppoe = { failover = Off; };\n",
	 "t.conf:1: write true instead of yes\n"
	 "t.conf:2: write false instead of Off\n"},
	{"numbers too large",
	 "map = { mtu = 9223372036854775808;\n"
	 " route_metric = 0x10000000000000000;\n"
	 " tunnel = \"t\"; };\n"
	 "nat = { host_limit = 123456789012345678901234567890123456789; };\n",
	 "t.conf:1: 9223372036854775808 is too large a number\n"
	 "t.conf:2: 0x10000000000000000 is too large a number\n"
	 "t.conf:4: 123456789012345678901234567890123456789 is too large a number\n"},
	{"no whole numbers",
	 "map = { mtu = 1460.0;\n"
	 " route_metric = 0x; };\n"
	 "nat = { host_limit = 0b11; };\n",
	 "t.conf:1: 1460.0 is not a whole number; a text needs quotes: \"1460.0\"\n"
	 "t.conf:2: 0x is not a whole number; a text needs quotes: \"0x\"\n"
	 "t.conf:3: 0b11 is not a whole number; a text needs quotes: \"0b11\"\n"},
	{"a leading zero is decimal", "nat = { host_limit = -010; };\n",
	 "t.conf:1: nat.host_limit: -10 is out of range (0 to 65535)\n"},
	{"no closing quote",
	 "wan = {\n"
	 "  interface = \"enp2s0;\n"
	 "  prefix = \"ra\"; };\n",
	 "t.conf:2: a text has no closing quote on its line\n"},
	{"comment without end",
	 "map = { };\n"
	 "/* begins\n"
	 "and never ends\n",
	 "t.conf:2: the comment has no end (\"*/\")\n"},
	{"group never closed",
	 "map = {\n"
	 "  mtu = 0;\n"
	 "lan = { };\n",
	 "t.conf:1: the \"{\" is never closed\n"},
	{"list never closed",
	 "lan = { interfaces = [ \"br0\";\n"
	 " };\n",
	 "t.conf:1: expected a comma or the end of the list, found ;\n"},
	{"wrong bracket",
	 "lan = {\n"
	 "  interfaces = [ \"br0\"\n"
	 "   );\n"
	 "};\n",
	 "t.conf:3: \")\" cannot close the \"[\" of line 2\n"},
	{"closes nothing",
	 "lan = { };\n"
	 "}\n",
	 "t.conf:2: \"}\" closes nothing\n"},
	{"no equals", "map { mtu = 0; };\n", "t.conf:1: expected \"=\" after map, found {\n"},
	{"no equals at the end",
	 "map = { };\n"
	 "nat\n",
	 "t.conf:3: expected \"=\" after nat, found the end of the file\n"},
	{"no value at the end",
	 "map = { };\n"
	 "nat =\n",
	 "t.conf:3: nat has no value\n"},
	{"no value", "map = { mtu = ; };\n", "t.conf:1: expected a value, found ;\n"},
	{"two separators", "map = { };;\n", "t.conf:1: expected a key, found ;\n"},
	{"two texts in a list", "lan = { interfaces = [ \"br0\" \"br1\" ]; };\n",
	 "t.conf:1: expected a comma between two texts\n"},
	{"two texts in a group", "wan = { interface = \"eth0\" \"eth1\"; };\n",
	 "t.conf:1: expected \";\" between two texts\n"},
	{"text as a key", "map = { \"mtu\" = 0; };\n",
	 "t.conf:1: expected a key or \"}\", found a text in quotes\n"},
	{"word as a key in a list", "lan = { interfaces = [ \"br0\" br1 ]; };\n",
	 "t.conf:1: expected a comma or the end of the list, found br1\n"},
	{"number as a key", "map = { 4mtu = 0; };\n",
	 "t.conf:1: expected a key or \"}\", found 4mtu\n"},
	{"true as a key", "map = { true = 0; };\n",
	 "t.conf:1: expected a key or \"}\", found true\n"},
	{"semicolon in a list", "lan = { interfaces = [ \"br0\"; \"br1\" ]; };\n",
	 "t.conf:1: expected a comma or the end of the list, found ;\n"},
	{"only a comma", "lan = { interfaces = [ , ]; };\n",
	 "t.conf:1: expected a value, found ,\n"},
	{"full-width characters", "map = { mtu = 1280\357\274\233};\n",
	 "t.conf:1: expected \";\", found the octet 0xef (only comments may hold characters "
	 "outside ASCII)\n"},
	{"full-width blank", "map = {\343\200\200mtu = 1280; };\n",
	 "t.conf:1: expected a key or \"}\", found the octet 0xe3 (only comments may hold "
	 "characters outside ASCII)\n"},
	{"control characters in a text",
	 "wan = { interface = \"eth\t0\"; };\n"
	 "map = { tunnel = \"m\001\"; provider = \"\\x41\"; br = \"caf\303\251\"; };\n",
	 "t.conf:1: a text holds a control character\n"
	 "t.conf:2: a text holds a control character\n"
	 "t.conf:2: a text holds a backslash (only \\\\ and \\\" are known)\n"
	 "t.conf:2: a text holds a character outside ASCII\n"},
	{"text too long",
	 "map = { provider = "
	 "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"; };\n",
	 "t.conf:1: a text is longer than 255 characters\n"},
	{"key given twice",
	 "map = { mtu = 0;\n"
	 "  tunnel = \"m\";\n"
	 "  mtu = { rules = ( \"a\", { mtu = \"x\"; } ); };\n"
	 "  mtu = 1500; };\n"
	 "wan = { };\n"
	 "wan = { prefix = \"x\" }\n"
	 "lan = { interfaces = [ 1 ]; };\n",
	 "t.conf:3: \"mtu\" is given twice (first on line 1)\n"
	 "t.conf:4: \"mtu\" is given twice (first on line 1)\n"
	 "t.conf:6: \"wan\" is given twice (first on line 5)\n"
	 "t.conf:7: lan.interfaces[0]: must be a text in quotes, not a number\n"},
	{"key too long",
	 "a2345678901234567890123456789012345 = { mtu = 1; };\n"
	 "b = 1;\n",
	 "t.conf:1: \"a234567890123456789012345678901...\" is not a key\n"
	 "t.conf:2: b: unknown key\n"},
	{"brackets too deep", "a = ((((((((((((((((()))))))))))))))));\n",
	 "t.conf:1: brackets are nested more than 16 deep\n"},
	{"too many keys",
	 "map = {\n"
	 "k0 = 1;\n"
	 "k1 = 1;\n"
	 "k2 = 1;\n"
	 "k3 = 1;\n"
	 "k4 = 1;\n"
	 "k5 = 1;\n"
	 "k6 = 1;\n"
	 "k7 = 1;\n"
	 "k8 = 1;\n"
	 "k9 = 1;\n"
	 "k10 = 1;\n"
	 "k11 = 1;\n"
	 "k12 = 1;\n"
	 "k13 = 1;\n"
	 "k14 = 1;\n"
	 "k15 = 1;\n"
	 "k16 = 1;\n"
	 "k17 = 1;\n"
	 "k18 = 1;\n"
	 "k19 = 1;\n"
	 "k20 = 1;\n"
	 "k21 = 1;\n"
	 "k22 = 1;\n"
	 "k23 = 1;\n"
	 "k24 = 1;\n"
	 "k25 = 1;\n"
	 "k26 = 1;\n"
	 "k27 = 1;\n"
	 "k28 = 1;\n"
	 "k29 = 1;\n"
	 "k30 = 1;\n"
	 "k31 = 1;\n"
	 "k32 = 1;\n"
	 "k33 = 1;\n"
	 "k34 = 1;\n"
	 "k35 = 1;\n"
	 "k36 = 1;\n"
	 "k37 = 1;\n"
	 "k38 = 1;\n"
	 "k39 = 1;\n"
	 "k40 = 1;\n"
	 "k41 = 1;\n"
	 "k42 = 1;\n"
	 "k43 = 1;\n"
	 "k44 = 1;\n"
	 "k45 = 1;\n"
	 "k46 = 1;\n"
	 "k47 = 1;\n"
	 "k48 = 1;\n"
	 "k49 = 1;\n"
	 "k50 = 1;\n"
	 "k51 = 1;\n"
	 "k52 = 1;\n"
	 "k53 = 1;\n"
	 "k54 = 1;\n"
	 "k55 = 1;\n"
	 "k56 = 1;\n"
	 "k57 = 1;\n"
	 "k58 = 1;\n"
	 "k59 = 1;\n"
	 "k60 = 1;\n"
	 "k61 = 1;\n"
	 "k62 = 1;\n"
	 "k63 = 1;\n"
	 "k64 = 1;\n"
	 "};\n",
	 "t.conf:66: there are more than 64 keys in one group\n"},
	{"include in the middle of a line", "map = { @include \"x\" };\n",
	 "t.conf:1: expected a key or \"}\", found @\n"},
	{"include without a name", "@include x\n", "t.conf:1: expected @include \"FILE\"\n"},
	{"at sign", "@foo \"x\"\n", "t.conf:1: expected a key, found @\n"},
	{"unknown keys",
	 "wann = { };\n"
	 "map = { mut = 0; tunel = \"x\"; defaultroute = true; };\n"
	 "foo = 1;\n"
	 "nat = { Filtering = \"x\"; };\n"
	 "forward = ( { protocol = \"tcp\"; prot = 80; port = 80; to = \"192.168.1.1\"; coment = "
	 "\"\"; } );\n",
	 "t.conf:1: wann: unknown key; did you mean \"wan\"?\n"
	 "t.conf:2: map.mut: unknown key; did you mean \"mtu\"?\n"
	 "t.conf:2: map.tunel: unknown key; did you mean \"tunnel\"?\n"
	 "t.conf:2: map.defaultroute: unknown key; did you mean \"default_route\"?\n"
	 "t.conf:3: foo: unknown key\n"
	 "t.conf:4: nat.Filtering: unknown key; did you mean \"filtering\"?\n"
	 "t.conf:5: forward[0].prot: unknown key; did you mean \"port\"?\n"
	 "t.conf:5: forward[0].coment: unknown key; did you mean \"comment\"?\n"},
	{"types of sections",
	 "wan = 1;\n"
	 "map = \"x\";\n"
	 "lan = ( );\n"
	 "nat = true;\n"
	 "forward = { };\n"
	 "pppoe = 1;\n",
	 "t.conf:1: wan: must be a group: { }, not a number\n"
	 "t.conf:2: map: must be a group: { }, not a text\n"
	 "t.conf:3: lan: must be a group: { }, not a list\n"
	 "t.conf:4: nat: must be a group: { }, not true or false\n"
	 "t.conf:5: forward: must be a list: ( { protocol = \"tcp\"; port = 8080; to = "
	 "\"192.168.1.10:80\"; } )\n"
	 "t.conf:6: pppoe: must be a group: { }, not a number\n"},
	{"types of values",
	 "wan = { interface = 1; prefix = true; };\n"
	 "map = { provider = { }; rules = { }; br = 1; tunnel = ( ); tunnel_mode = 1; mtu = \"0\"; "
	 "default_route = 1; route_metric = true; };\n"
	 "lan = { interfaces = \"br0\"; };\n",
	 "t.conf:1: wan.interface: must be a text in quotes, not a number\n"
	 "t.conf:1: wan.prefix: must be a text in quotes, not true or false\n"
	 "t.conf:2: map.provider: must be a text in quotes, not a group\n"
	 "t.conf:2: map.br: must be a text in quotes, not a number\n"
	 "t.conf:2: map.tunnel: must be a text in quotes, not a list\n"
	 "t.conf:2: map.tunnel_mode: must be a text in quotes, not a number\n"
	 "t.conf:2: map.mtu: must be a number, not a text\n"
	 "t.conf:2: map.default_route: must be true or false, not a number\n"
	 "t.conf:2: map.route_metric: must be a number, not true or false\n"
	 "t.conf:2: map.rules: must be a list: ( { ipv6_prefix = \"...\"; ipv4_prefix = \"...\"; "
	 "ea_length = ...; } )\n"
	 "t.conf:3: lan.interfaces: must be a list: [ \"br0\" ]\n"},
	{"types of elements",
	 "map = { rules = ( \"x\" ); };\n"
	 "lan = { interfaces = [ 1, \"br0\", [ \"br1\" ] ]; };\n"
	 "nat = { hosts = [ \"192.168.1.1\" ]; open = [ 22 ]; };\n"
	 "forward = [ \"tcp\" ];\n"
	 "pppoe = { hosts = [ { } ]; destinations = [ 1 ]; ports = [ true ]; forward = ( 1 ); };\n",
	 "t.conf:1: map.rules[0]: must be a group: { }, not a text\n"
	 "t.conf:2: lan.interfaces[0]: must be a text in quotes, not a number\n"
	 "t.conf:2: lan.interfaces[2]: must be a text in quotes, not a list\n"
	 "t.conf:3: nat.hosts[0]: must be a group: { }, not a text\n"
	 "t.conf:3: nat.open[0]: must be a text in quotes, not a number\n"
	 "t.conf:4: forward[0]: must be a group: { }, not a text\n"
	 "t.conf:5: pppoe.hosts[0]: must be a text in quotes, not a group\n"
	 "t.conf:5: pppoe.destinations[0]: must be a text in quotes, not a number\n"
	 "t.conf:5: pppoe.ports[0]: must be a text in quotes, not true or false\n"
	 "t.conf:5: pppoe.forward[0]: must be a group: { }, not a number\n"},
	{"interface names",
	 "wan = { interface = \"\"; };\n"
	 "map = { tunnel = \"a234567890123456\"; };\n"
	 "lan = { interfaces = [ \"a/b\", \"a b\", \"..\", \".\", \"lo\", \"all\", \"default\", "
	 "\"a:1\", \"eth%d\" ]; };\n",
	 "t.conf:1: wan.interface: an interface name is empty\n"
	 "t.conf:2: map.tunnel: \"a234567890123456\" is too long for an interface (at most 15 "
	 "characters)\n"
	 "t.conf:3: lan.interfaces[0]: \"a/b\" is no interface name: \"/\" cannot be in it\n"
	 "t.conf:3: lan.interfaces[1]: \"a b\" is no interface name: \" \" cannot be in it\n"
	 "t.conf:3: lan.interfaces[2]: \"..\" is no interface name\n"
	 "t.conf:3: lan.interfaces[3]: \".\" is no interface name\n"
	 "t.conf:3: lan.interfaces[4]: \"lo\" is the loopback interface\n"
	 "t.conf:3: lan.interfaces[5]: \"all\" is no interface name\n"
	 "t.conf:3: lan.interfaces[6]: \"default\" is no interface name\n"
	 "t.conf:3: lan.interfaces[7]: \"a:1\" is no interface name: \":\" cannot be in it\n"
	 "t.conf:3: lan.interfaces[8]: \"eth%d\" is no interface name: \"%\" cannot be in it\n"},
	{"wan.prefix", "wan = { prefix = \"dhcp\"; };\n",
	 "t.conf:1: wan.prefix: \"dhcp\" must be \"auto\", \"ra\", \"pd\" or an IPv6 prefix\n"},
	{"wan.prefix too short", "wan = { prefix = \"2400:4050::/47\"; };\n",
	 "t.conf:1: wan.prefix: \"2400:4050::/47\" must have a length from /48 to /64\n"},
	{"wan.prefix too long", "wan = { prefix = \"2400:4050::1\"; };\n",
	 "t.conf:1: wan.prefix: \"2400:4050::1\" must have a length from /48 to /64\n"},
	{"wan.prefix with host bits", "wan = { prefix = \"2400:4050:48d:2901::/56\"; };\n",
	 "t.conf:1: wan.prefix: \"2400:4050:48d:2901::/56\" has bits set behind its length; did "
	 "you mean \"2400:4050:48d:2900::/56\"?\n"},
	{"wan.prefix not global", "wan = { prefix = \"fd00::/56\"; };\n",
	 "t.conf:1: wan.prefix: \"fd00::/56\" is not a global unicast prefix (2000::/3)\n"},
	{"wan.prefix no prefix", "wan = { prefix = \"2400:x::/56\"; };\n",
	 "t.conf:1: wan.prefix: \"2400:x::/56\" is no IPv6 prefix\n"},
	{"map values",
	 "map = {\n"
	 "  provider = \"../ocn\";\n"
	 "  br = \"fe80::1\";\n"
	 "  tunnel_mode = \"use\";\n"
	 "  mtu = 1279;\n"
	 "  route_metric = 1000000001;\n"
	 "};\n",
	 "t.conf:2: map.provider: \"../ocn\" cannot be the name of a rule file\n"
	 "t.conf:3: map.br: \"fe80::1\" is not a global unicast address (2000::/3)\n"
	 "t.conf:4: map.tunnel_mode: \"use\" must be \"create\" or \"existing\"\n"
	 "t.conf:5: map.mtu: 1279 is out of range (1280 to 65495, or 0)\n"
	 "t.conf:6: map.route_metric: 1000000001 is out of range (0 to 1000000000)\n"},
	{"map.br is wrong, but not missing",
	 "map = {\n"
	 "  br = \"2001:db8::g\";\n"
	 "  rules = ( { ipv6_prefix = \"2400:4050::/34\"; ipv4_prefix = \"153.240.0.0/16\"; "
	 "ea_length = 22; } );\n"
	 "};\n",
	 "t.conf:2: map.br: \"2001:db8::g\" is no IPv6 address\n"},
	{"map more values",
	 "map = {\n"
	 "  provider = \"a2345678901234567890123456789012\";\n"
	 "  br = \"192.0.2.1\";\n"
	 "  mtu = 65496;\n"
	 "  route_metric = -1;\n"
	 "};\n",
	 "t.conf:2: map.provider: \"a2345678901234567890123456789012\" cannot be the name of a "
	 "rule file\n"
	 "t.conf:3: map.br: \"192.0.2.1\" is no IPv6 address\n"
	 "t.conf:4: map.mtu: 65496 is out of range (1280 to 65495, or 0)\n"
	 "t.conf:5: map.route_metric: -1 is out of range (0 to 1000000000)\n"},
	{"rules: missing keys",
	 "map = { rules = (\n"
	 "  { },\n"
	 "  { ipv6_prefix = \"2400:4050::/34\"; ipv4_prefix = \"153.240.0.0/16\"; ea_length = 22; "
	 "},\n"
	 "  { ipv6_prefix = \"2400:4050::/34\"; ipv4_prefix = \"153.240.0.0/16\"; ea_length = 22;\n"
	 "    br = \"2001:380:a120::9\"; psid = 3; },\n"
	 "  { ipv6_prefix = \"2400:4050::/34\"; ipv4_prefix = \"153.240.0.0/16\"; ea_length = 22;\n"
	 "    br = \"2001:380:a120::9\"; psid_length = 6; },\n"
	 "); };\n",
	 "t.conf:2: map.rules[0]: ipv6_prefix is missing\n"
	 "t.conf:2: map.rules[0]: ipv4_prefix is missing\n"
	 "t.conf:2: map.rules[0]: ea_length is missing\n"
	 "t.conf:2: map.rules[0]: br is missing\n"
	 "t.conf:3: map.rules[1]: br is missing\n"
	 "t.conf:5: map.rules[2].psid: psid_length must stand beside it\n"
	 "t.conf:7: map.rules[3].psid_length: psid must stand beside it\n"},
	{"rules: values",
	 "map = { br = \"2001:380:a120::9\"; rules = (\n"
	 "  { ipv6_prefix = \"2400:4050::1/34\";\n"
	 "    ipv4_prefix = \"153.240.0.1/16\";\n"
	 "    ea_length = 49;\n"
	 "    psid_offset = 16;\n"
	 "    psid_length = 17;\n"
	 "    psid = 65536;\n"
	 "    br = \"::1\";\n"
	 "    interface_id = \"rfc7598\"; },\n"
	 "  { ipv6_prefix = \"fd00::/34\"; ipv4_prefix = \"224.0.0.0/16\"; ea_length = 22; },\n"
	 "); };\n",
	 "t.conf:2: map.rules[0].ipv6_prefix: \"2400:4050::1/34\" has bits set behind its length; "
	 "did you mean \"2400:4050::/34\"?\n"
	 "t.conf:3: map.rules[0].ipv4_prefix: \"153.240.0.1/16\" has bits set behind its length; "
	 "did you mean \"153.240.0.0/16\"?\n"
	 "t.conf:4: map.rules[0].ea_length: 49 is out of range (0 to 48)\n"
	 "t.conf:5: map.rules[0].psid_offset: 16 is out of range (0 to 15)\n"
	 "t.conf:6: map.rules[0].psid_length: 17 is out of range (0 to 16)\n"
	 "t.conf:7: map.rules[0].psid: 65536 is out of range (0 to 65535)\n"
	 "t.conf:8: map.rules[0].br: \"::1\" is not a global unicast address (2000::/3)\n"
	 "t.conf:9: map.rules[0].interface_id: \"rfc7598\" must be \"map-draft-03\" or "
	 "\"rfc7597\"\n"
	 "t.conf:10: map.rules[1].ipv6_prefix: \"fd00::/34\" is not a global unicast prefix "
	 "(2000::/3)\n"
	 "t.conf:10: map.rules[1].ipv4_prefix: \"224.0.0.0/16\" holds no addresses of hosts\n"},
	{"rules: check of the whole",
	 "map = { br = \"2001:380:a120::9\"; rules = (\n"
	 "  { ipv6_prefix = \"2400:4050::/48\"; ipv4_prefix = \"153.240.0.0/16\"; ea_length = 22; "
	 "},\n"
	 "  { ipv6_prefix = \"2400:4051::/34\"; ipv4_prefix = \"153.240.0.0/16\"; ea_length = 22; "
	 "psid_offset = 15; },\n"
	 "  { ipv6_prefix = \"2400:4052::/34\"; ipv4_prefix = \"153.240.0.0/16\"; ea_length = 0; "
	 "psid_length = 2; psid = 4; },\n"
	 "); };\n",
	 "t.conf:2: map.rules[0]: ipv6_prefix /48 and ea_length 22 make an end-user prefix of /70; "
	 "at most /64 is possible\n"
	 "t.conf:3: map.rules[1]: psid_offset 15 and a PSID of 6 bits are more than the 16 bits of "
	 "a port\n"
	 "t.conf:4: map.rules[2]: psid 4 does not fit into psid_length 2\n"},
	{"rules: two for one prefix",
	 "map = { br = \"2001:380:a120::9\"; rules = (\n"
	 "  { ipv6_prefix = \"2400:4050::/34\"; ipv4_prefix = \"153.240.0.0/16\"; ea_length = 22; "
	 "},\n"
	 "  { ipv6_prefix = \"2400:4050::/35\"; ipv4_prefix = \"153.240.0.0/17\"; ea_length = 21; "
	 "},\n"
	 "  { ipv6_prefix = \"2400:4050::/34\"; ipv4_prefix = \"153.241.0.0/16\"; ea_length = 22; "
	 "},\n"
	 "); };\n",
	 "t.conf:4: map.rules[2]: has the same ipv6_prefix as map.rules[0] (line 2)\n"},
	{"nat values",
	 "nat = {\n"
	 "  filtering = \"open\";\n"
	 "  inbound = \"reject\";\n"
	 "  host_limit = 65536;\n"
	 "  open = [ \"tcp/0\", \"tcp\", \"sctp/22\", \"udp/70000\", \"tcp/9-8\", \"tcp/22x\", "
	 "\"tcp/22-\" ];\n"
	 "};\n",
	 "t.conf:2: nat.filtering: \"open\" must be \"address-dependent\", "
	 "\"endpoint-independent\" or \"address-and-port-dependent\"\n"
	 "t.conf:3: nat.inbound: \"reject\" must be \"drop\" or \"accept\"\n"
	 "t.conf:4: nat.host_limit: 65536 is out of range (0 to 65535)\n"
	 "t.conf:5: nat.open[0]: \"0\" is no port or range of ports (1 to 65535)\n"
	 "t.conf:5: nat.open[1]: \"tcp\" is no service; write \"tcp/22\" or \"udp/5000-5010\"\n"
	 "t.conf:5: nat.open[2]: protocol \"sctp\" must be \"tcp\", \"udp\" or \"tcp+udp\"\n"
	 "t.conf:5: nat.open[3]: \"70000\" is no port or range of ports (1 to 65535)\n"
	 "t.conf:5: nat.open[4]: port range \"9-8\" ends before it begins\n"
	 "t.conf:5: nat.open[5]: \"22x\" is no port or range of ports (1 to 65535)\n"
	 "t.conf:5: nat.open[6]: \"22-\" is no port or range of ports (1 to 65535)\n"},
	{"a fast path from nowhere",
	 "nat = {\n"
	 "  offload = true;\n"
	 "};\n"
	 "lan = { interfaces = [ ]; };\n",
	 "t.conf:2: nat.offload: needs the names of the LAN's interfaces: lan = { interfaces = "
	 "[ \"br0\" ]; };\n"},
	{"nat.hosts",
	 "nat = { hosts = (\n"
	 "  { address = \"192.168.1.300\"; filtering = \"address-dependent\"; },\n"
	 "  { address = \"192.168.1.1/24\"; filtering = \"address-dependent\"; },\n"
	 "  { address = \"192.168.1.1\"; },\n"
	 "  { filtering = \"address-dependent\"; },\n"
	 "); };\n",
	 "t.conf:2: nat.hosts[0].address: \"192.168.1.300\" is no IPv4 address or prefix\n"
	 "t.conf:3: nat.hosts[1].address: \"192.168.1.1/24\" has bits set behind its length; did "
	 "you mean \"192.168.1.0/24\"?\n"
	 "t.conf:4: nat.hosts[2]: filtering is missing\n"
	 "t.conf:5: nat.hosts[3]: address is missing\n"},
	{"nat.hosts overlap",
	 "nat = { hosts = (\n"
	 "  { address = \"192.168.1.55\"; filtering = \"endpoint-independent\"; },\n"
	 "  { address = \"192.168.2.1\"; filtering = \"endpoint-independent\"; },\n"
	 "  { address = \"192.168.1.0/24\"; filtering = \"address-dependent\"; },\n"
	 "  { address = \"192.168.2.1\"; filtering = \"address-dependent\"; },\n"
	 "); };\n",
	 "t.conf:4: nat.hosts[2]: overlaps nat.hosts[0] (line 2)\n"
	 "t.conf:5: nat.hosts[3]: overlaps nat.hosts[1] (line 3)\n"},
	{"nat.open overlap",
	 "nat = { open = [ \"tcp/20-30\", \"udp/22\",\n"
	 "  \"tcp+udp/22\" ]; };\n",
	 "t.conf:2: nat.open[2]: its port is already used by nat.open[0] (line 1)\n"
	 "t.conf:2: nat.open[2]: its port is already used by nat.open[1] (line 1)\n"},
	{"forward: missing keys",
	 "forward = (\n"
	 "  { },\n"
	 "  { protocol = \"tcp\"; port = 80; },\n"
	 "  { port = 80; to = \"192.168.1.1\"; },\n"
	 ");\n",
	 "t.conf:2: forward[0]: protocol is missing\n"
	 "t.conf:2: forward[0]: to is missing\n"
	 "t.conf:2: forward[0]: port (or block) is missing\n"
	 "t.conf:3: forward[1]: to is missing\n"
	 "t.conf:4: forward[2]: protocol is missing\n"},
	{"forward: protocol and port",
	 "forward = (\n"
	 "  { protocol = \"icmp\"; port = 80; to = \"192.168.1.1\"; },\n"
	 "  { protocol = \"tcp\"; port = 0; to = \"192.168.1.1\"; },\n"
	 "  { protocol = \"tcp\"; port = 65536; to = \"192.168.1.1\"; },\n"
	 "  { protocol = \"tcp\"; port = \"any\"; to = \"192.168.1.1\"; },\n"
	 "  { protocol = \"tcp\"; port = \"10-5\"; to = \"192.168.1.1\"; },\n"
	 "  { protocol = \"tcp\"; port = \"65530-65536\"; to = \"192.168.1.1\"; },\n"
	 "  { protocol = \"tcp\"; port = true; to = \"192.168.1.1\"; },\n"
	 ");\n",
	 "t.conf:2: forward[0].protocol: protocol \"icmp\" must be \"tcp\", \"udp\" or "
	 "\"tcp+udp\"\n"
	 "t.conf:3: forward[1].port: 0 is out of range (1 to 65535)\n"
	 "t.conf:4: forward[2].port: 65536 is out of range (1 to 65535)\n"
	 "t.conf:5: forward[3].port: \"any\" is no port or range of ports (1 to 65535)\n"
	 "t.conf:6: forward[4].port: port range \"10-5\" ends before it begins\n"
	 "t.conf:7: forward[5].port: \"65530-65536\" is no port or range of ports (1 to 65535)\n"
	 "t.conf:8: forward[6].port: must be a port, a range such as \"5000-5007\", or \"auto\"\n"},
	{"forward: block",
	 "forward = (\n"
	 "  { protocol = \"tcp\"; port = 80; block = 1; to = \"192.168.1.1\"; },\n"
	 "  { protocol = \"tcp\"; port = \"auto\"; offset = 1; to = \"192.168.1.1\"; },\n"
	 "  { protocol = \"tcp\"; block = 32767; to = \"192.168.1.1\"; },\n"
	 "  { protocol = \"tcp\"; block = 0; offset = 65536; to = \"192.168.1.1\"; },\n"
	 ");\n",
	 "t.conf:2: forward[0].block: port and block exclude each other\n"
	 "t.conf:3: forward[1].offset: has a meaning only with block\n"
	 "t.conf:4: forward[2].block: 32767 is out of range (0 to 32766)\n"
	 "t.conf:5: forward[3].offset: 65536 is out of range (0 to 65535)\n"},
	{"forward: to",
	 "forward = (\n"
	 "  { protocol = \"tcp\"; port = 1; to = \"\"; },\n"
	 "  { protocol = \"tcp\"; port = 2; to = \"web\"; },\n"
	 "  { protocol = \"tcp\"; port = 3; to = \"192.168.1.1:\"; },\n"
	 "  { protocol = \"tcp\"; port = 4; to = \"192.168.1.1:0\"; },\n"
	 "  { protocol = \"tcp\"; port = 5; to = \"192.168.1.1:65536\"; },\n"
	 "  { protocol = \"tcp\"; port = 6; to = \"192.168.1.1:80x\"; },\n"
	 "  { protocol = \"tcp\"; port = \"7-8\"; to = \"192.168.1.1:80-81\"; },\n"
	 "  { protocol = \"tcp\"; port = 9; to = \"224.0.0.1\"; },\n"
	 "  { protocol = \"tcp\"; port = 10; to = \"127.0.0.1\"; },\n"
	 "  { protocol = \"tcp\"; port = 11; to = \"0.0.0.0\"; },\n"
	 "  { protocol = \"tcp\"; port = 12; to = \"255.255.255.255\"; },\n"
	 "  { protocol = \"tcp\"; port = 13; to = \"169.254.1.1\"; },\n"
	 "  { protocol = \"tcp\"; port = \"20-30\"; to = \"192.168.1.1:65526\"; },\n"
	 "  { protocol = \"tcp\"; port = 14; to = \"192.168.1.0/24\"; },\n"
	 ");\n",
	 "t.conf:2: forward[0].to: \"\" is no LAN host; write \"192.168.1.10\" or "
	 "\"192.168.1.10:80\"\n"
	 "t.conf:3: forward[1].to: \"web\" is no LAN host; write \"192.168.1.10\" or "
	 "\"192.168.1.10:80\"\n"
	 "t.conf:4: forward[2].to: \"192.168.1.1:\" has no port (1 to 65535)\n"
	 "t.conf:5: forward[3].to: \"192.168.1.1:0\" has no port (1 to 65535)\n"
	 "t.conf:6: forward[4].to: \"192.168.1.1:65536\" has no port (1 to 65535)\n"
	 "t.conf:7: forward[5].to: \"192.168.1.1:80x\" is no LAN host; write \"192.168.1.10\" or "
	 "\"192.168.1.10:80\"\n"
	 "t.conf:8: forward[6].to: \"192.168.1.1:80-81\": write the first port only, the range is "
	 "as long as the outer one\n"
	 "t.conf:9: forward[7].to: \"224.0.0.1\" cannot be the address of a LAN host\n"
	 "t.conf:10: forward[8].to: \"127.0.0.1\" cannot be the address of a LAN host\n"
	 "t.conf:11: forward[9].to: \"0.0.0.0\" cannot be the address of a LAN host\n"
	 "t.conf:12: forward[10].to: \"255.255.255.255\" cannot be the address of a LAN host\n"
	 "t.conf:13: forward[11].to: \"169.254.1.1\" cannot be the address of a LAN host\n"
	 "t.conf:14: forward[12].to: 11 ports from 65526 on end beyond 65535\n"
	 "t.conf:15: forward[13].to: \"192.168.1.0/24\" is no LAN host; write \"192.168.1.10\" or "
	 "\"192.168.1.10:80\"\n"},
	{"forward: comment",
	 "forward = ( { protocol = \"tcp\"; port = 80; to = \"192.168.1.1\"; comment = "
	 "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"; } );\n",
	 "t.conf:1: forward[0].comment: is longer than 47 characters\n"},
	{"forward: collisions",
	 "forward = (\n"
	 "  { protocol = \"tcp+udp\"; port = \"80-90\"; to = \"192.168.1.1\"; },\n"
	 "  { protocol = \"tcp+udp\"; port = 85; to = \"192.168.1.2\"; },\n"
	 "  { protocol = \"udp\"; port = \"90-100\"; to = \"192.168.1.3\"; },\n"
	 "  { protocol = \"tcp\"; block = 3; to = \"192.168.1.1\"; },\n"
	 "  { protocol = \"tcp\"; block = 3; offset = 0; to = \"192.168.1.2\"; },\n"
	 ");\n"
	 "nat = { open = [ \"tcp/22\", \"tcp/88\" ]; };\n",
	 "t.conf:3: forward[1]: its port is already used by forward[0] (line 2)\n"
	 "t.conf:4: forward[2]: its port is already used by forward[0] (line 2)\n"
	 "t.conf:6: forward[4]: its port is already used by forward[3] (line 5)\n"
	 "t.conf:8: nat.open[1]: its port is already used by forward[0] (line 2)\n"},
	{"pppoe values",
	 "pppoe = {\n"
	 "  interface = \"ppp/0\";\n"
	 "  table = 254;\n"
	 "  map_table = 0;\n"
	 "  mark = 0;\n"
	 "  mask = 4294967296;\n"
	 "  rule_priority = 32766;\n"
	 "  unmappable = \"yes\";\n"
	 "  ports = [ \"gre\" ];\n"
	 "};\n",
	 "t.conf:2: pppoe.interface: \"ppp/0\" is no interface name: \"/\" cannot be in it\n"
	 "t.conf:3: pppoe.table: 254 is a table of the system itself (253 default, 254 main, 255 "
	 "local)\n"
	 "t.conf:4: pppoe.map_table: 0 is out of range (1 to 4294967295)\n"
	 "t.conf:5: pppoe.mark: 0 is out of range (1 to 4294967295)\n"
	 "t.conf:6: pppoe.mask: 4294967296 is out of range (1 to 4294967295)\n"
	 "t.conf:7: pppoe.rule_priority: 32766 is out of range (2 to 32765)\n"
	 "t.conf:8: pppoe.unmappable: must be true or false, not a text\n"
	 "t.conf:9: pppoe.ports[0]: \"gre\" is no service; write \"tcp/22\" or "
	 "\"udp/5000-5010\"\n"},
	{"pppoe tables", "pppoe = { table = 253; map_table = 255; rule_priority = 1; };\n",
	 "t.conf:1: pppoe.table: 253 is a table of the system itself (253 default, 254 main, 255 "
	 "local)\n"
	 "t.conf:1: pppoe.map_table: 255 is a table of the system itself (253 default, 254 main, "
	 "255 local)\n"
	 "t.conf:1: pppoe.rule_priority: 1 is out of range (2 to 32765)\n"},
	{"pppoe one table", "pppoe = { table = 11; };\n",
	 "t.conf:1: pppoe.table: table and map_table are both 11\n"},
	{"pppoe: mark outside mask",
	 "pppoe = {\n"
	 "  mask = 0xff00;\n"
	 "  mark = 0x1ff00; };\n",
	 "t.conf:3: pppoe.mark: mark 0x1ff00 has bits outside the mask 0xff00\n"},
	{"pppoe: default mark outside mask",
	 "pppoe = {\n"
	 "  mask = 0xff; };\n",
	 "t.conf:2: pppoe.mask: the default mark 0x3e8 has bits outside the mask 0xff\n"},
	{"pppoe: a mark that is none, beside a mask", "pppoe = { mark = \"x\"; mask = 0xff; };\n",
	 "t.conf:1: pppoe.mark: must be a number, not a text\n"},
	{"pppoe: mask of one bit",
	 "pppoe = { mark = 16;\n"
	 "  mask = 16; };\n",
	 "t.conf:2: pppoe.mask: mask 0x10 needs two bits at least: each line has a mark\n"},
	{"pppoe lists",
	 "pppoe = {\n"
	 "  hosts = [ \"192.168.1.55\", \"192.168.1.0/24\",\n"
	 "            \"00:11:22:33:44:55\",\n"
	 "            \"00:11:22:33:44:5\", \"00:11:22:33:44:55:66\",\n"
	 "            \"01:00:5e:00:00:01\", \"00:00:00:00:00:00\",\n"
	 "            \"host\",\n"
	 "            \"00:11:22:33:44:55\" ];\n"
	 "  destinations = [ \"203.0.113.0/24\", \"203.0.113.7\",\n"
	 "                   \"203.0.113.1/24\" ];\n"
	 "  ports = [ \"tcp/25\", \"tcp+udp/20-30\" ];\n"
	 "};\n",
	 "t.conf:2: pppoe.hosts[1]: overlaps pppoe.hosts[0] (line 2)\n"
	 "t.conf:4: pppoe.hosts[3]: \"00:11:22:33:44:5\" is no MAC address\n"
	 "t.conf:4: pppoe.hosts[4]: \"00:11:22:33:44:55:66\" is no MAC address\n"
	 "t.conf:5: pppoe.hosts[5]: \"01:00:5e:00:00:01\" is not the address of one station\n"
	 "t.conf:5: pppoe.hosts[6]: \"00:00:00:00:00:00\" is not the address of one station\n"
	 "t.conf:6: pppoe.hosts[7]: \"host\" is no IPv4 address or prefix\n"
	 "t.conf:7: pppoe.hosts[8]: is the same as pppoe.hosts[2] (line 3)\n"
	 "t.conf:8: pppoe.destinations[1]: overlaps pppoe.destinations[0] (line 8)\n"
	 "t.conf:9: pppoe.destinations[2]: \"203.0.113.1/24\" has bits set behind its length; did "
	 "you mean \"203.0.113.0/24\"?\n"
	 "t.conf:10: pppoe.ports[1]: overlaps pppoe.ports[0] (line 10)\n"},
	{"pppoe.forward",
	 "pppoe = { forward = (\n"
	 "  { protocol = \"udp\"; port = \"auto\"; to = \"192.168.1.55\"; },\n"
	 "  { protocol = \"udp\"; block = 1; to = \"192.168.1.55\"; },\n"
	 "  { protocol = \"udp\"; port = 5; offset = 1; to = \"192.168.1.55\"; },\n"
	 "  { protocol = \"udp\"; to = \"192.168.1.55\"; },\n"
	 "  { protocol = \"udp\"; port = \"1024-65535\"; to = \"192.168.1.55\"; },\n"
	 "  { protocol = \"udp\"; port = 5000; to = \"192.168.1.20:80\"; },\n"
	 "); };\n",
	 "t.conf:2: pppoe.forward[0].port: \"auto\" follows the port set of MAP-E, which PPPoE has "
	 "not\n"
	 "t.conf:3: pppoe.forward[1].block: counts in the port set of MAP-E, which PPPoE has not\n"
	 "t.conf:4: pppoe.forward[2].offset: counts in the port set of MAP-E, which PPPoE has not\n"
	 "t.conf:5: pppoe.forward[3]: port is missing\n"
	 "t.conf:7: pppoe.forward[5]: its port is already used by pppoe.forward[4] (line 6)\n"},
	{"PPPoE on the WAN",
	 "pppoe = { interface = \"eth0\"; };\n"
	 "wan = { interface = \"eth0\"; };\n",
	 "t.conf:2: wan.interface: \"eth0\" is also pppoe.interface (line 1)\n"},
	{"interfaces used twice",
	 "wan = { interface = \"map0\"; };\n"
	 "lan = { interfaces = [ \"br0\",\n"
	 "                       \"br0\",\n"
	 "                       \"map0\",\n"
	 "                       \"ppp0\"\n"
	 "                     ]; };\n"
	 "pppoe = { };\n",
	 "t.conf:1: wan.interface: \"map0\" is also the default of map.tunnel\n"
	 "t.conf:3: lan.interfaces[1]: \"br0\" is also lan.interfaces[0] (line 2)\n"
	 "t.conf:4: lan.interfaces[2]: \"map0\" is also wan.interface (line 1)\n"
	 "t.conf:4: lan.interfaces[2]: \"map0\" is also the default of map.tunnel\n"
	 "t.conf:5: lan.interfaces[3]: \"ppp0\" is also the default of pppoe.interface\n"},
	{"tunnel is the LAN",
	 "map = { tunnel = \"br0\"; };\n"
	 "lan = { interfaces = ( \"br0\" ); };\n",
	 "t.conf:2: lan.interfaces[0]: \"br0\" is also map.tunnel (line 1)\n"},
	{"tunnel is the WAN",
	 "wan = { interface = \"wan\"; };\n"
	 "map = { tunnel = \"wan\"; };\n",
	 "t.conf:2: map.tunnel: \"wan\" is also wan.interface (line 1)\n"},
	{"many at once, by line",
	 "pppoe = { mask = 0; };\n"
	 "forward = ( { protocol = \"tcp\"; port = 0; to = \"192.168.1.1\"; } );\n"
	 "lan = { interfaces = [ \"\" ]; };\n"
	 "map = { mtu = 5; };\n"
	 "wan = { prefix = \"x\"; };\n",
	 "t.conf:1: pppoe.mask: 0 is out of range (1 to 4294967295)\n"
	 "t.conf:2: forward[0].port: 0 is out of range (1 to 65535)\n"
	 "t.conf:3: lan.interfaces[0]: an interface name is empty\n"
	 "t.conf:4: map.mtu: 5 is out of range (1280 to 65495, or 0)\n"
	 "t.conf:5: wan.prefix: \"x\" must be \"auto\", \"ra\", \"pd\" or an IPv6 prefix\n"},
	{"address without quotes that begins with a colon", "map = { br = ::1; };\n",
	 "t.conf:1: ::1 needs quotes: \"::1\"\n"
	 "t.conf:1: map.br: \"::1\" is not a global unicast address (2000::/3)\n"},
	{"bracket as a key", "map = { [ 1 ]; };\n", "t.conf:1: expected a key or \"}\", found [\n"},
	{"equals in a list", "lan = { interfaces = [ \"br0\" = 1 ]; };\n",
	 "t.conf:1: expected a comma or the end of the list, found =\n"},
	{"number with an L", "map = { mtu = 12LL; };\n",
	 "t.conf:1: map.mtu: 12 is out of range (1280 to 65495, or 0)\n"},
	{"types in a forward",
	 "forward = ( { protocol = 6; port = 80; to = 1; comment = true; } );\n"
	 "nat = { hosts = ( { address = 1; filtering = 2; } ); };\n"
	 "map = { rules = ( { ipv6_prefix = 1; ipv4_prefix = 2; ea_length = \"x\"; br = 3; } ); "
	 "};\n",
	 "t.conf:1: forward[0].protocol: must be a text in quotes, not a number\n"
	 "t.conf:1: forward[0].to: must be a text in quotes, not a number\n"
	 "t.conf:1: forward[0].comment: must be a text in quotes, not true or false\n"
	 "t.conf:2: nat.hosts[0].address: must be a text in quotes, not a number\n"
	 "t.conf:2: nat.hosts[0].filtering: must be a text in quotes, not a number\n"
	 "t.conf:3: map.rules[0].ipv6_prefix: must be a text in quotes, not a number\n"
	 "t.conf:3: map.rules[0].ipv4_prefix: must be a text in quotes, not a number\n"
	 "t.conf:3: map.rules[0].ea_length: must be a number, not a text\n"
	 "t.conf:3: map.rules[0].br: must be a text in quotes, not a number\n"},
	{"firewalld",
	 "firewalld = {\n"
	 "  zone = \"a zone\";\n"
	 "  zones = \"external\"; };\n",
	 "t.conf:2: firewalld.zone: \"a zone\" cannot be a zone of firewalld: 1 to 17 letters, "
	 "digits, hyphens and underscores\n"
	 "t.conf:3: firewalld.zones: unknown key; did you mean \"zone\"?\n"},
	{"firewalld: lengths and types",
	 "firewalld = { zone = \"\"; };\n"
	 "firewalld = { };\n",
	 "t.conf:1: firewalld.zone: \"\" cannot be a zone of firewalld: 1 to 17 letters, digits, "
	 "hyphens and underscores\n"
	 "t.conf:2: \"firewalld\" is given twice (first on line 1)\n"},
	{"firewalld: a zone too long", "firewalld = { zone = \"abcdefghijklmnopqr\"; };\n",
	 "t.conf:1: firewalld.zone: \"abcdefghijklmnopqr\" cannot be a zone of firewalld: 1 to 17 "
	 "letters, digits, hyphens and underscores\n"},
	{"firewalld: zone is a number", "firewalld = { zone = 7; };\nfirewall = { };\n",
	 "t.conf:1: firewalld.zone: must be a text in quotes, not a number\n"
	 "t.conf:2: firewall: unknown key; did you mean \"firewalld\"?\n"},
	{"IPv6 host on the PPPoE line",
	 "pppoe = { forward = ( { protocol = \"tcp\"; port = 80; to = \"2001:db8::1\"; } ); hosts "
	 "= [ \"2001:db8::1\" ]; };\n",
	 "t.conf:1: pppoe.forward[0].to: \"2001:db8::1\" is no LAN host; write \"192.168.1.10\" or "
	 "\"192.168.1.10:80\"\n"
	 "t.conf:1: pppoe.hosts[0]: \"2001:db8::1\" is no MAC address\n"},
};

static void test_refusal(void **state)
{
	const size_t i = *(const size_t *)*state;
	_cleanup_text_ struct text complaints = TEXT_INIT;
	struct settings settings = {.nat.host_limit = 77};

	place_write("t.conf", refusals[i].file);
	assert_int_equal(config_load("t.conf", &settings, &complaints), -EINVAL);
	assert_string_equal(text_get(&complaints), refusals[i].complaints);
	assert_int_equal(settings.nat.host_limit, 77); /* nothing is handed on */
}

int main(void)
{
	static struct CMUnitTest tests[ARRAY_SIZE(refusals)];
	static size_t indices[ARRAY_SIZE(refusals)];

	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		indices[i] = i;
		tests[i] = (struct CMUnitTest){
			.name = refusals[i].name,
			.test_func = test_refusal,
			.initial_state = &indices[i],
		};
	}
	return cmocka_run_group_tests_name("refusals", tests, place_setup, place_teardown);
}
