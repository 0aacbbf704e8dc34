# SPDX-License-Identifier: LGPL-2.1-or-later
"""The router of nat_lab.py with the whole daemon in it. What the tests say to nat_driver is written
into the configuration, and SIGHUP is sent."""

import json
import os
import queue
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

from nat_lab import Lab, run

FILTERING = {"adf": "address-dependent", "eif": "endpoint-independent",
             "apdf": "address-and-port-dependent"}


def configuration(wan, lan, map_words, words):
    """The file for the driver's words."""
    nat, hosts, forwards, services = [], [], [], []
    for key, value in (word.split("=") for word in words):
        if key == "filtering":
            nat.append(f'filtering = "{FILTERING[value]}";')
        elif key == "host_limit":
            nat.append(f"host_limit = {value};")
        elif key == "host":
            address, mode = value.split(":")
            hosts.append(f'{{ address = "{address}"; filtering = "{FILTERING[mode]}"; }}')
        elif key == "open":
            services.append('"' + value.replace(":", "/") + '"')
        elif key == "forward":
            protocol, port, to = value.split(":", 2)
            forwards.append(f'{{ protocol = "{protocol}"; port = "{port}"; to = "{to}"; }}')
        else:
            raise KeyError(key)
    return (f"wan = {{ {wan} }};\nmap = {{ {map_words} }};\nlan = {{ interfaces = [ {lan} ]; }};\n"
            f'nat = {{ {" ".join(nat)} hosts = ( {", ".join(hosts)} ); '
            f'open = [ {", ".join(services)} ]; }};\nforward = ( {", ".join(forwards)} );\n')


class Daemon:
    """maped in the foreground. Its words to a service manager tell when it has done what it was
    asked to. prefix: a command in front, which puts it into a namespace."""

    PATIENCE = 60

    def __init__(self, program, prefix=(), log=None):
        self.program, self.prefix = program, prefix
        self.scratch = tempfile.TemporaryDirectory(prefix="maped-nat")
        self.path = self.scratch.name
        self.log = log or f"{self.path}/log"
        self.config = f"{self.path}/maped.conf"
        os.makedirs(f"{self.path}/run")
        self.environment = {**os.environ, "NOTIFY_SOCKET": f"{self.path}/notify",
                            "RUNTIME_DIRECTORY": f"{self.path}/run",
                            "WATCHDOG_USEC": "2000000",  # it counts the ports as often as half of this
                            "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.path}/no-bus"}
        for name in ("JOURNAL_STREAM", "WATCHDOG_PID", "INVOCATION_ID"):
            self.environment.pop(name, None)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"{self.path}/notify")
        # Somebody always listens: ten words that nobody takes and maped would stand still in its eleventh.
        self.words = queue.SimpleQueue()
        threading.Thread(target=self.listen, args=(self.socket, self.words), daemon=True).start()
        self.status = ""
        self.process = None

    @staticmethod
    def listen(ear, words):
        while text := ear.recv(8192).decode():
            words.put(text)

    def write(self, text):
        with open(self.config + ".new", "w") as file:
            file.write(text)
        os.rename(self.config + ".new", self.config)

    def start(self):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen((*self.prefix, self.program, "--config", self.config),
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.environment)
        self.wait("READY=1")
        self.wait_status("^up")

    def hear(self):
        try:
            text = self.words.get(timeout=self.PATIENCE)
        except queue.Empty:
            raise RuntimeError(f"maped says nothing; its last status was {self.status!r}")
        for word in text.splitlines():
            if word.startswith("STATUS="):
                self.status = word[7:]
        return text

    def drain(self):
        while not self.words.empty():
            self.hear()

    def wait(self, word):
        until = time.monotonic() + self.PATIENCE
        while word not in self.hear():
            if time.monotonic() > until:
                raise RuntimeError(f"maped does not say {word}")

    def wait_status(self, pattern):
        until = time.monotonic() + self.PATIENCE
        while not re.search(pattern, self.status):
            self.hear()
            if time.monotonic() > until:
                raise RuntimeError(f"status {self.status!r} is not like {pattern}")

    def reload(self):
        self.drain()
        self.process.send_signal(signal.SIGHUP)
        self.wait("RELOADING=1")
        self.wait("READY=1")
        if "refused" in self.status or not self.status.startswith("up"):
            raise RuntimeError(f"reloaded, and the status is {self.status!r}")

    def ask(self):
        """--status --json; what it says of the use of ports is not older than a second."""
        time.sleep(1.1)
        said = subprocess.run((self.program, "--status", "--json"), env=self.environment, check=True,
                              capture_output=True, text=True).stdout
        return json.loads(said)

    def said(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        try:
            if self.process:
                self.process.terminate()
                self.process.wait(self.PATIENCE)
        finally:
            if self.process:
                self.process.kill()  # nothing, when it has ended
            self.socket.shutdown(socket.SHUT_RD)  # ends the thread that listens
            self.scratch.cleanup()


class DaemonVerbs:
    """The verbs of Lab that differ when maped makes the table."""

    LINES = {}  # name: prefix, shared address, shape
    TUNNEL = ""
    LAN_DEVICES = '"lan0"'
    MORE = ""  # sections that the driver has no words for

    def write_config(self):
        wan = f'interface = "wan0"; prefix = "{self.LINES[self.line][0]}";'
        self.daemon.write(configuration(wan, self.LAN_DEVICES, self.TUNNEL, self.words) + self.MORE)

    def sync(self, *words):
        self.words = words
        self.write_config()
        self.daemon.reload()

    def move_to(self, line):
        """Another prefix is written into the file."""
        self.line = line
        self.SHAPES = {self.ports: self.LINES[line][2]}
        self.sync(*self.words)

    def fresh(self, *words, ports=None):
        """Forgets what was learnt. The table itself stays, or maped would mend it."""
        if words != self.words:
            self.sync(*words)
        self.inside("conntrack", "-F", check=False)
        text = self.inside("nft", "-t", "list", "table", "ip", "maped")
        learnt = [f"flush {kind} ip maped {name}" for kind, name, inner in re.findall(
            r"^\t(set|map) (\w+) \{\n(.*?)^\t\}", text, re.M | re.S)
            if re.search(r"^\t\tflags .*dynamic", inner, re.M)]
        self.inside("nft", "; ".join(learnt + ["reset counters table ip maped"]))
        self.wan.frames()
        self.lan.frames()


class DaemonLab(DaemonVerbs, Lab):
    """maped in a namespace; the tunnel is a veth, the prefix is written in the file."""

    LINES = {"ocn": ("2400:4050:48d:2900::/56", "153.240.18.52", "6/6/41"),
             "ocn_other_psid": ("2400:4050:48d:2a00::/56", "153.240.18.52", "6/6/42"),
             "v6plus": ("240b:10:3f6c:d400::/56", "106.72.63.108", "4/8/212")}
    TUNNEL = 'tunnel = "map0"; tunnel_mode = "existing";'
    ADDRESS = LINES["ocn"][1]
    SHAPES = {1008: LINES["ocn"][2]}

    def __init__(self, driver, program):
        self.words, self.line, self.daemon = (), "ocn", None
        super().__init__(driver)
        self.daemon = Daemon(program, ("ip", "netns", "exec", self.ns))
        try:
            self.start()
        except BaseException:
            self.remove()
            raise

    def start(self):
        # These are maped's to make.
        run("ip", "-n", self.ns, "route", "del", "default", "dev", "map0")
        run("ip", "-n", self.ns, "addr", "del", f"{self.ADDRESS}/32", "dev", "map0")
        run("ip", "-n", self.ns, "link", "add", "wan0", "type", "veth", "peer", "name", "wan",
            "netns", self.wan_ns)
        run("ip", "-n", self.wan_ns, "link", "set", "wan", "up")
        run("ip", "-n", self.ns, "link", "set", "wan0", "up")
        self.write_config()
        self.daemon.start()

    def remove(self):
        if self.daemon:
            self.daemon.stop()
        super().remove()
