#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What two STUN clients find out about the NAT, each with its own server. usage: test_stun.py PATH-OF-nat_driver

turnutils_natdiscovery and turnserver (Debian's coturn) speak RFC 5780; stun and stund (stun-client,
stun-server) are its forerunner, RFC 3489, written by other people. Both must say the same: how
ports are mapped, who may answer, and whether a host reaches itself through the shared address. From
that follows the class that a game console shows.

Prints TAP: one line a statement. Exit 77: cannot run here.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time

from nat_lab import CannotRun, Lab

SERVER, SERVER2 = "203.0.113.5", "203.0.113.6"  # RFC 5780 4: a server has two addresses
HOST, OPEN_HOST = "192.168.2.10", "192.168.2.11"
TOOLS = {"turnserver": "coturn", "turnutils_natdiscovery": "coturn", "stund": "stun-server",
         "stun": "stun-client"}
RFC5780_PORT, RFC3489_PORT = 3478, 3500  # and the next one each

INDEPENDENT, ADDRESS, PORT = "endpoint-independent", "address-dependent", "address-and-port-dependent"


def console_class(mapping, filtering):
    """The criteria that were found out for Nintendo's consoles."""
    if mapping != INDEPENDENT:
        return "C or D"
    return "B" if filtering == PORT else "A"


class Found:
    def __init__(self, mapping, filtering, hairpin):
        self.mapping, self.filtering, self.hairpin = mapping, filtering, hairpin

    def __eq__(self, other):
        return vars(self) == vars(other)

    def __str__(self):
        return (f"mapping {self.mapping}, filtering {self.filtering}, hairpinning "
                f"{'yes' if self.hairpin else 'no'}, class {self.console}")

    @property
    def console(self):
        return console_class(self.mapping, self.filtering)


class Servers:
    """Both STUN servers in the Internet of a lab."""

    def __init__(self, lab):
        self.lab = lab
        self.jobs = []
        self.scratch = tempfile.TemporaryDirectory()

    def start(self, *words):
        log = open(f"{self.scratch.name}/{words[0]}", "w")
        self.jobs.append(subprocess.Popen(("ip", "netns", "exec", self.lab.wan_ns) + words,
                                          cwd=self.scratch.name, stdin=subprocess.DEVNULL,
                                          stdout=log, stderr=log))

    def __enter__(self):
        self.start("turnserver", "-n", "--stun-only", "-L", SERVER, "-L", SERVER2, "-p",
                   str(RFC5780_PORT), "--no-cli", "--no-tls", "--no-dtls", "--no-tcp", "-m", "1",
                   "--log-file", "stdout", "--db", f"{self.scratch.name}/db", "--pidfile",
                   f"{self.scratch.name}/pid")
        self.start("stund", "-h", SERVER, "-a", SERVER2, "-p", str(RFC3489_PORT), "-o",
                   str(RFC3489_PORT + 1))
        wanted = {f"{address}:{port + more}" for address in (SERVER, SERVER2)
                  for port in (RFC5780_PORT, RFC3489_PORT) for more in (0, 1)}
        for _ in range(600):
            missing = wanted - set(self.lab.on_wan("ss", "-Hlun").split())
            if not missing:
                return self
            time.sleep(0.1)
        self.__exit__()
        raise RuntimeError(f"no server listens on {missing}")

    def __exit__(self, *_):
        for job in self.jobs:
            job.kill()
            job.wait()
        self.scratch.cleanup()


def word_of(text, pattern, words):
    """The statement in a client's output, as one of ours."""
    found = re.search(pattern, text)
    if not found or found.group(1) not in words:
        raise AssertionError(f"the client says neither of {', '.join(words)}: {text[-300:]!r}")
    return words[found.group(1)]


def ask_rfc5780(lab, host):
    said = ""
    for test in ("-m", "-f", "-H"):
        said += lab.on_lan("turnutils_natdiscovery", test, "-L", host, "-p", str(RFC5780_PORT), SERVER,
                           timeout=120)
    words = {"Endpoint Independent": INDEPENDENT, "Address Dependent": ADDRESS,
             "Address and Port Dependent": PORT}
    return Found(word_of(said, r"NAT with (.*) Mapping", words),
                 word_of(said, r"NAT with (.*) Filtering", words),
                 "successful hairpinning" in said)


def ask_rfc3489(lab, host):
    """Speaks of filtering only where the mapping is independent: what an answer that is not there
    means is unclear otherwise."""
    said = lab.on_lan("stun", f"{SERVER}:{RFC3489_PORT}", "-i", host, timeout=120)
    mapping = word_of(said, r"(Independent|Dependent) Mapping",
                      {"Independent": INDEPENDENT, "Dependent": PORT})
    filtering = PORT
    if mapping == INDEPENDENT:
        filtering = word_of(said, r"Mapping, (\w+) (?:Dependent )?Filter",
                            {"Independent": INDEPENDENT, "Address": ADDRESS, "Port": PORT})
    return Found(mapping, filtering, "will hairpin" in said)


def both(lab, host, wanted):
    for ask in (ask_rfc5780, ask_rfc3489):
        # With no memory of the client before.
        lab.inside("conntrack", "-F", check=False)
        found = ask(lab, host)
        if found != wanted:
            raise AssertionError(f"{ask.__name__}: {found}; wanted {wanted}")
    return str(wanted)


# ---- the statements -------------------------------------------------------------------------------

def by_default(lab):
    lab.fresh()
    found = Found(INDEPENDENT, ADDRESS, True)
    assert found.console == "A"
    return both(lab, HOST, found)


def on_240_ports(lab):
    lab.fresh(ports=240)
    return both(lab, HOST, Found(INDEPENDENT, ADDRESS, True))


def filtering_endpoint_independent(lab):
    lab.fresh("filtering=eif")
    found = Found(INDEPENDENT, INDEPENDENT, True)
    assert found.console == "A"
    return both(lab, HOST, found)


def filtering_address_and_port_dependent(lab):
    lab.fresh("filtering=apdf")
    found = Found(INDEPENDENT, PORT, True)
    assert found.console == "B"
    return both(lab, HOST, found)


def filtering_of_one_host(lab):
    lab.fresh("filtering=apdf", f"host={OPEN_HOST}/32:eif")
    both(lab, HOST, Found(INDEPENDENT, PORT, True))
    return both(lab, OPEN_HOST, Found(INDEPENDENT, INDEPENDENT, True))


def filtering_of_one_strict_host(lab):
    lab.fresh("filtering=eif", f"host={HOST}/32:apdf")
    both(lab, OPEN_HOST, Found(INDEPENDENT, INDEPENDENT, True))
    return both(lab, HOST, Found(INDEPENDENT, PORT, True))


def the_shell_scripts_nat(lab):
    """Not ours: what the clients say of the usual rules, so that it is seen that they can say no."""
    blocks = [(p, p + 15) for p in lab.set_ports()[::16]]
    rules = [f"add rule ip other post oifname map0 meta l4proto udp numgen inc mod {len(blocks) - n} 0 "
             f"snat to {Lab.ADDRESS}:{first}-{last}" for n, (first, last) in enumerate(blocks)]
    lab.inside("nft", "flush ruleset; add table ip other; add chain ip other post { type nat hook "
               "postrouting priority 100; }; " + "; ".join(rules))
    found = Found(PORT, PORT, False)
    assert found.console == "C or D"
    return both(lab, HOST, found)


TESTS = [by_default, on_240_ports, filtering_endpoint_independent,
         filtering_address_and_port_dependent, filtering_of_one_host, filtering_of_one_strict_host,
         the_shell_scripts_nat]


def run_tests(lab, tests):
    """Returns how many failed."""
    failed = 0
    print(f"1..{len(tests)}")
    for number, test in enumerate(tests, 1):
        lab.ports = 1008
        try:
            print(f"ok {number} - stun_{test.__name__} # {test(lab)}", flush=True)
        except (AssertionError, RuntimeError, subprocess.TimeoutExpired) as error:
            failed += 1
            print(f"not ok {number} - stun_{test.__name__}\n# {str(error)[-400:]}", flush=True)
    return failed


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    missing = sorted({package for tool, package in TOOLS.items() if not shutil.which(tool)})
    try:
        if missing:
            raise CannotRun(f"not installed: {', '.join(missing)}")
        lab = Lab(sys.argv[1])
    except CannotRun as reason:
        print(f"1..0 # SKIP {reason}")
        sys.exit(77)
    with lab:
        lab.inhabit([HOST, OPEN_HOST], [SERVER, SERVER2])
        with Servers(lab):
            failed = run_tests(lab, TESTS)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
