# SPDX-License-Identifier: LGPL-2.1-or-later
"""A router and its line, as network namespaces, with the real maped in it.

Nothing here has a name outside this process: the namespaces live as long as it does, files are in a
private tmpfs, and maped dies with it. So nothing is left behind, however a test ends.

The tunnel is one end of a veth (map.tunnel_mode = "existing"): everything but the ip6tnl itself is
as on a real router, and kernels without ip6_tunnel will do.
"""
import atexit
import contextlib
import ctypes
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

import netlink

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
PR_SET_PDEATHSIG = 1
UP = 6  # IF_OPER_UP
libc = ctypes.CDLL(None, use_errno=True)

CONFIG = 'wan = { interface = "wan0"; };\nmap = { tunnel = "tun0"; tunnel_mode = "existing"; };\n'


def check(code):
    if code < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def own_mounts():
    """A directory that nobody else sees and that goes with this process."""
    check(libc.unshare(CLONE_NEWNS))
    check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    place = tempfile.mkdtemp(prefix="maped-test-")
    check(libc.mount(b"tmpfs", place.encode(), b"tmpfs", 0, b"mode=0755"))

    def leave():
        libc.umount2(place.encode(), 2)
        with contextlib.suppress(OSError):
            os.rmdir(place)
    atexit.register(leave)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return place


class Space:
    """A network namespace."""

    def __init__(self):
        home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        check(libc.unshare(CLONE_NEWNET))
        self.fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.netlink = netlink.Netlink()
        self.netlink.change_link(1, up=True)
        check(libc.setns(home, CLONE_NEWNET))
        os.close(home)

    def close(self):
        self.netlink.close()
        os.close(self.fd)

    @contextlib.contextmanager
    def inside(self):
        home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        check(libc.setns(self.fd, CLONE_NEWNET))
        try:
            yield
        finally:
            check(libc.setns(home, CLONE_NEWNET))
            os.close(home)

    def monitor(self, **named):
        with self.inside():
            return netlink.Monitor(**named)

    def run(self, *command, check=True, **named):
        with self.inside():
            return subprocess.run(command, check=check, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  **named).stdout

    def get(self, path):
        with self.inside(), open("/proc/sys/net/" + path) as file:
            return file.read().strip()

    def set(self, path, value):
        with self.inside(), open("/proc/sys/net/" + path, "w") as file:
            file.write(str(value))

    def settings(self):
        """Every readable setting below net/ipv4 and net/ipv6."""
        found = {}
        with self.inside():
            for root in ("/proc/sys/net/ipv4", "/proc/sys/net/ipv6"):
                for directory, _, files in os.walk(root):
                    for name in files:
                        path = os.path.join(directory, name)
                        with contextlib.suppress(OSError), open(path) as file:
                            found[path] = file.read().strip()
        return found


class Line:
    """The other end of the WAN: announces prefixes."""

    def __init__(self, space, interface):
        self.space, self.interface = space, interface
        self.socket = None

    def open(self):
        with self.space.inside():
            self.socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
            index = socket.if_nametoindex(self.interface)
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        self.index = index

    def announce(self, *prefixes, lifetime=1800):
        """prefixes: (address, preferred, valid) or (address, preferred, valid, autonomous)"""
        if not self.socket:
            self.open()
        message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, lifetime, 0, 0)
        for prefix in prefixes:
            autonomous = prefix[3] if len(prefix) > 3 else True
            message += struct.pack("!BBBBIII", 3, 4, 64, 0x80 | (0x40 if autonomous else 0), prefix[2], prefix[1], 0) + \
                socket.inet_pton(socket.AF_INET6, prefix[0])
        self.socket.sendto(message, ("ff02::1", 0, 0, self.index))


class Notify:
    """What systemd would hear."""

    def __init__(self, path):
        self.path, self.heard, self.at = path, [], []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self.socket.bind(path)

    def close(self):
        self.socket.close()

    def read(self, timeout=0):
        if self.socket.fileno() < 0:
            return
        if timeout:
            select.select([self.socket], [], [], timeout)
        with contextlib.suppress(BlockingIOError):
            while True:
                text = self.socket.recv(4096).decode()
                for line in text.split("\n"):
                    if not line.startswith(("WATCHDOG=", "MONOTONIC_USEC=")):
                        self.heard.append(line)
                        self.at.append(time.monotonic())

    def mark(self):
        self.read()
        return len(self.heard)

    def wait(self, pattern, since=0, timeout=5.0):
        """The first message since mark that matches, or None."""
        end = time.monotonic() + timeout
        while True:
            self.read()
            for text in self.heard[since:]:
                if re.search(pattern, text):
                    return text
            left = end - time.monotonic()
            if left <= 0:
                return None
            self.read(min(left, 0.05))

    def status(self):
        self.read()
        return next((text[7:] for text in reversed(self.heard) if text.startswith("STATUS=")), "")


class Maped:
    """The program under test, running in a namespace. wrap: a command in front (valgrind, strace)."""

    def __init__(self, box, config=CONFIG, environment=(), wrap=(), arguments=()):
        self.box = box
        self.directory = box.directory
        self.runtime = os.path.join(self.directory, "run")
        self.config = os.path.join(self.directory, "etc", "maped.conf")
        os.makedirs(self.runtime, exist_ok=True)
        os.makedirs(os.path.dirname(self.config), exist_ok=True)
        if config is not None:
            self.write(config)
        self.notify = Notify(os.path.join(self.directory, "notify"))
        self.log_path = os.path.join(self.directory, "log")
        self.log_start = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        self.environment = dict(os.environ, RUNTIME_DIRECTORY=self.runtime, NOTIFY_SOCKET=self.notify.path,
                                # no system bus: nobody may ask about jobs of the service that runs this test
                                DBUS_SYSTEM_BUS_ADDRESS="unix:path=" + self.directory + "/no-bus", **dict(environment))
        self.environment.pop("JOURNAL_STREAM", None)
        self.started = time.monotonic()
        with box.router.inside(), open(self.log_path, "a") as log:
            self.process = subprocess.Popen([*wrap, box.program, "--config", self.config, *arguments],
                                            env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        self.pid = self.process.pid

    def write(self, text):
        """Saved by writing into the file."""
        with open(self.config, "w") as file:
            file.write(text)

    def replace(self, text):
        """Saved as editors do: a new file renamed into place."""
        with open(self.config + ".new", "w") as file:
            file.write(text)
        os.rename(self.config + ".new", self.config)

    def log(self):
        with open(self.log_path, errors="replace") as file:
            file.seek(self.log_start)
            return file.read()

    def wait_log(self, pattern, since=0, timeout=2.0):
        """The lines behind since once one of them matches, or None."""
        end = time.monotonic() + timeout
        while True:
            text = self.log()[since:]
            if re.search(pattern, text, re.M):
                return text.splitlines()
            if time.monotonic() > end:
                return None
            time.sleep(0.01)

    def ready(self, timeout=10.0):
        return self.notify.wait("^READY=1", timeout=timeout) is not None

    def ask(self, *options, **named):
        return subprocess.run([self.box.program, "--status", *options], env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, **named)

    def json(self):
        return json.loads(self.ask("--json", check=True).stdout)

    def send(self, number):
        self.process.send_signal(number)

    def end(self, number=signal.SIGTERM, timeout=10.0):
        """The exit status; -SIGKILL when it did not end in time."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = -signal.SIGKILL
        self.notify.read()
        return code

    def remove(self, environment=()):
        """maped --remove, as ExecStopPost= runs it."""
        with self.box.router.inside():
            return subprocess.run([self.box.program, "--remove"], env=dict(self.environment, **dict(environment)),
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    # ---- cost ----

    def proc(self, name):
        with open("/proc/%d/%s" % (self.pid, name)) as file:
            return file.read()

    def kilobytes(self, field="VmRSS"):
        return int(re.search(field + r":\s+(\d+)", self.proc("status")).group(1))

    def processor_seconds(self):
        fields = self.proc("stat").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wakeups(self):
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", self.proc("status"), re.M).group(1))

    def waited(self):
        """Seconds for which it or this test was ready to run and the machine ran others; 0 where that is not known."""
        try:
            with open("/proc/self/schedstat") as own:
                return (int(self.proc("schedstat").split()[1]) + int(own.read().split()[1])) / 1e9
        except (OSError, IndexError):
            return 0

    def waited_itself(self):
        """The same of the process alone, since it began."""
        try:
            return int(self.proc("schedstat").split()[1]) / 1e9
        except (OSError, IndexError):
            return 0

    def has_read_everything(self):
        """No event waits in a netlink socket of the process."""
        with open("/proc/%d/net/netlink" % self.pid) as file:
            next(file)
            for line in file:
                fields = line.split()
                if int(fields[2]) & 0x3FFFFF == self.pid and int(fields[4]):
                    return False
        return True


class Box:
    """router: wan0 and tun0 (and lan0); isp: up0 and br0 (and host0), the other ends."""

    def __init__(self, program, directory, name):
        self.program = program
        self.directory = os.path.join(directory, name)
        os.makedirs(self.directory)
        self.router, self.isp = Space(), Space()
        self.maped = None
        for end, other in (("wan0", "up0"), ("tun0", "br0"), ("lan0", "host0")):
            self.add_pair(end, other)
        # what the kernel does by itself when a link comes up is over before a test looks
        self.settle()
        self.line = Line(self.isp, "up0")

    def add_pair(self, end, other):
        router, isp = self.router, self.isp
        router.netlink.add_veth(end, other, isp.fd)
        for space, name in ((router, end), (isp, other)):
            space.set("ipv6/conf/%s/dad_transmits" % name, 0)
            space.set("ipv6/conf/%s/accept_dad" % name, 0)
        router.set("ipv6/conf/%s/accept_ra" % end, 2 if end.startswith("wan") else 0)
        router.set("ipv6/conf/%s/router_solicitations" % end, 0)
        for space, name in ((isp, other), (router, end)):
            space.netlink.change_link(space.netlink.index(name), up=True)

    def settle(self):
        """Waits until the kernel has said everything about links that have just come up."""
        end = time.monotonic() + 3
        while time.monotonic() < end:
            links = self.router.netlink.links()
            local = [address for address in self.router.netlink.addresses(socket.AF_INET6)
                     if address.address.startswith("fe80:") and not address.flags & netlink.TENTATIVE]
            if len(local) == len(links) - 1 and all(link.state == UP for link in links if link.index != 1):
                return
            time.sleep(0.005)

    def start(self, *arguments, **named):
        self.maped = Maped(self, *arguments, **named)
        return self.maped

    def close(self):
        if self.maped:
            self.maped.end(signal.SIGKILL)
            self.maped.notify.close()
        self.router.close()
        self.isp.close()

    # ---- what the kernel holds ----

    def index(self, name):
        return self.router.netlink.index(name)

    def ours(self):
        """(CE addresses, shared addresses, default routes) that carry our mark, as sorted texts."""
        if self.maped:  # as systemd does: a full socket would hold maped up
            self.maped.notify.read()
        names = {link.index: link.name for link in self.router.netlink.links()}
        ce, shared = [], []
        for address in self.router.netlink.addresses():
            if address.protocol == netlink.OURS:
                (ce if ":" in address.address else shared).append(
                    "%s/%d dev %s" % (address.address, address.length, names.get(address.index, "?")))
        routes = ["default dev %s metric %d table %d" % (names.get(route.index, "?"), route.metric, route.table)
                  for route in self.router.netlink.routes(socket.AF_INET) if route.protocol == netlink.OURS]
        return sorted(ce), sorted(shared), sorted(routes)

    def expected(self, ce, ipv4, wan="wan0"):
        return (["%s/128 dev %s" % (ce, wan)], ["%s/32 dev tun0" % ipv4], ["default dev tun0 metric 1024 table 254"])

    NOTHING = ([], [], [])

    def wait_ours(self, expected, timeout=5.0):
        """Seconds until the kernel held this, or None."""
        start = time.monotonic()
        while time.monotonic() - start < timeout:
            if self.ours() == expected:
                return time.monotonic() - start
            time.sleep(0.002)
        return None

    def settle_routes(self):
        """Waits until each IPv6 address has its local route, which the kernel adds from a work queue."""
        end = time.monotonic() + 3
        while time.monotonic() < end:
            routes = self.router.run("ip", "-6", "route", "show", "table", "local")
            if all("local %s " % address.address in routes for address in self.router.netlink.addresses(socket.AF_INET6)
                   if not address.flags & netlink.TENTATIVE):
                return
            time.sleep(0.005)

    def picture(self):
        """Everything that must be the same before and after: text of what people would look at."""
        self.settle_routes()
        router = self.router
        found = {
            "addresses": router.run("ip", "-d", "address"),
            "routes": router.run("ip", "route", "show", "table", "all"),
            "routes6": router.run("ip", "-6", "route", "show", "table", "all"),
            "rules": router.run("ip", "rule"),
            "rules6": router.run("ip", "-6", "rule"),
            "nft": router.run("nft", "list", "ruleset"),
        }
        found["held"] = "".join(HELD.findall(found["nft"]))
        found["nft"] = HELD.sub("", found["nft"])
        for name in found:
            found[name] = re.sub(r"(expires|valid_lft|preferred_lft) \d+sec", r"\1 N", found[name])
        found.update(router.settings())
        return found


# The table that lives with the process.
HELD = re.compile(r"^table ip maped_hold \{.*?^\}\n?", re.M | re.S)


def outliving(picture):
    """What stays when the process is killed."""
    return {name: text for name, text in picture.items() if name != "held"}


def differences(before, after):
    """What differs between two pictures, as a short text; "" = nothing."""
    out = []
    for name in sorted(set(before) | set(after)):
        if before.get(name) == after.get(name):
            continue
        if "\n" in before.get(name, ""):
            old, new = before[name].splitlines(), after.get(name, "").splitlines()
            out += ["%s: -%s" % (name, line.strip()) for line in old if line not in new]
            out += ["%s: +%s" % (name, line.strip()) for line in new if line not in old]
        else:
            out.append("%s: %s -> %s" % (name, before.get(name), after.get(name)))
    return "; ".join(out)
