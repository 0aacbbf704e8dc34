#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What other users of the machine can do to the daemon by its socket and its files: ask, and nothing else."""
import contextlib
import fcntl
import json
import os
import resource
import shutil
import socket
import stat
import struct
import sys
import termios
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "faults"))

import box as boxes  # noqa: E402
import scenario  # noqa: E402
from scenario import Skip, need, note, same, sanitized  # noqa: E402

OCN = ("2400:4050:48d:2900::", "2400:4050:48d:2900:99:f012:3400:2900", "153.240.18.52")
V6PLUS = ("240b:10:3f6c:d400::", "240b:10:3f6c:d400:6a:483f:6c00:d400", "106.72.63.108")
NOBODY, SOMEBODY, FIRST_USER, LAST_USER = 65534, 65533, 60000, 60007
HELD_OF_USER = 16  # daemon/query.c
CONNECTIONS = 600  # of one who holds them; the unit lets the daemon have 256 descriptors
LAN_HOST, FORWARD_HOST, SECRET = "192.168.77.21", "192.168.77.10", "the-piano-room"
CONFIG = boxes.CONFIG + 'forward = ( { protocol = "tcp"; port = 1680; to = "%s:80"; comment = "%s"; } );\n' % (
    FORWARD_HOST, SECRET)


def up(box, line):
    waited = box.wait_ours(box.expected(line[1], line[2]), 10)
    need(waited is not None, "not up with %s: %s", line[0], box.ours())


def started(box, config=boxes.CONFIG):
    """maped as it is limited by its unit (systemd/maped.service.in)."""
    for program in ("prlimit", "conntrack"):
        if not shutil.which(program):
            raise Skip("%s is not installed" % program)
    if done_by(os.getuid) != NOBODY or done_by(os.getuid, LAST_USER) != LAST_USER:
        raise Skip("this is a user namespace without other users")
    box.router.netlink.put_address(box.index("wan0"), OCN[0] + "1", 64)
    maped = box.start(config, wrap=("prlimit", "--nofile=256"))
    need(maped.ready(), "no READY: %s", maped.log())
    up(box, OCN)
    return maped


class Stranger:
    """A child of another user: runs a function, and stays until it is let go."""

    def __init__(self, function, user=NOBODY):
        reading, writing = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            try:
                boxes.libc.prctl(boxes.PR_SET_PDEATHSIG, 9)
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
                os.write(writing, json.dumps(function()).encode() + b"\n")
                while True:
                    time.sleep(60)
            except BaseException as error:
                os.write(writing, json.dumps("%s: %s" % (type(error).__name__, error)).encode() + b"\n")
            finally:
                os._exit(0)
        os.close(writing)
        self.answer = os.fdopen(reading)

    def result(self):
        """What the function returned."""
        return json.loads(self.answer.readline())

    def go(self):
        os.kill(self.child, 9)
        os.waitpid(self.child, 0)
        self.answer.close()


def done_by(function, user=NOBODY):
    stranger = Stranger(function, user)
    try:
        return stranger.result()
    finally:
        stranger.go()


def connect(maped):
    asker = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    asker.connect(maped.runtime + "/status")  # waits while others stand in line
    asker.settimeout(10)
    return asker


def answer(asker):
    """(text for people, JSON)"""
    text = b""
    with contextlib.suppress(ConnectionResetError):
        while True:
            piece = asker.recv(1 << 16)
            if not piece:
                break
            text += piece
    plain, _, data = text.removesuffix(b"\0").partition(b"\0")
    return plain.decode(), json.loads(data) if data else None


def state_for(maped, user=NOBODY):
    """The state as that user is told; None: no answer."""
    def ask():
        with connect(maped) as asker:
            data = answer(asker)[1]
            return data and data["state"]
    return done_by(ask, user)


def descriptors(maped):
    return len(os.listdir("/proc/%d/fd" % maped.pid))


def well(box, maped, line, before):
    """It answers the others, does its work, and has kept to its means: (descriptors, kB of its own) before."""
    same(state_for(maped, 0), "up", "root is told")
    same(state_for(maped, SOMEBODY), "up", "another user is told")
    old = V6PLUS if line is OCN else OCN
    box.router.netlink.put_address(box.index("wan0"), line[0] + "1", 64)
    box.router.netlink.delete_address(box.index("wan0"), old[0] + "1", 64)
    up(box, line)
    need(maped.process.poll() is None, "it has ended: %s", maped.log()[-500:])
    now = descriptors(maped), maped.kilobytes("RssAnon")
    note("descriptors %d, then %d; kB of its own %d, then %d" % (before[0], now[0], before[1], now[1]))
    need(now[0] <= before[0] + 4 * HELD_OF_USER, "%d descriptors, before %d", now[0], before[0])
    need(sanitized() or now[1] <= before[1] + 2048, "%d kB of its own, before %d kB", now[1], before[1])


def means(maped):
    return descriptors(maped), maped.kilobytes("RssAnon")


@contextlib.contextmanager
def many_users(maped):
    """Each holds as many connections as one may; nobody reads."""
    def hold():
        held.extend(connect(maped) for _ in range(HELD_OF_USER))
        return len(held)
    held = []
    strangers = [Stranger(hold, user) for user in range(FIRST_USER, LAST_USER + 1)]
    try:
        same([stranger.result() for stranger in strangers], [HELD_OF_USER] * len(strangers), "connected")
        yield
    finally:
        for stranger in strangers:
            stranger.go()


# ---- the socket ----


@scenario.scenario
def answers_are_not_read(box):
    """What is sent and not read is memory of the daemon, as the kernel counts it, for as long as the asker likes."""
    maped = started(box)
    before = means(maped)

    def hold():
        resource.setrlimit(resource.RLIMIT_NOFILE, (CONNECTIONS + 100,) * 2)
        held.extend(connect(maped) for _ in range(CONNECTIONS))
        time.sleep(0.5)
        unread = [struct.unpack("i", fcntl.ioctl(asker, termios.FIONREAD, b"\0" * 4))[0] for asker in held]
        return sum(size > 0 for size in unread), sum(unread)
    held = []
    stranger = Stranger(hold)
    try:
        count, octets = stranger.result()
        note("%d of %d connections hold an answer, %d octets" % (count, CONNECTIONS, octets))
        need(1 <= count <= HELD_OF_USER, "%d answers are held", count)
        same(state_for(maped), None, "the same user is told")
        well(box, maped, V6PLUS, before)
    finally:
        stranger.go()
    same(state_for(maped), "up", "the user is told when the answers are gone")
    same(state_for(maped), "up", "and once more")
    need(descriptors(maped) <= before[0] + 2, "%d descriptors, before %d", descriptors(maped), before[0])


@scenario.scenario
def long_answers_are_not_read(box):
    """What the sockets do not hold waits in the daemon, for some of many users and for a while."""
    maped = started(box)
    maped.replace('wan = { interface = "wan0"; };\nmap = { tunnel = "tun0"; tunnel_mode = "existing"; rules = ( { '
                  'ipv6_prefix = "2400:4050:48d::/48"; ipv4_prefix = "153.240.18.0/24"; ea_length = 8; psid = 1; '
                  'psid_length = 1; psid_offset = 15; br = "2001:380:a120::9"; } ); };\n')
    need(maped.notify.wait("^STATUS=up.* 32767 blocks", timeout=30), "STATUS is %s", maped.notify.status())
    state_for(maped, 0)
    before = means(maped)
    with many_users(maped):
        same(state_for(maped, 0), "up", "root is told")
        now = means(maped)
        note("descriptors %d, then %d; kB of its own %d, then %d" % (before[0], now[0], before[1], now[1]))
        need(now[1] >= before[1] + 1024, "nothing waits in it")
        need(sanitized() or now[1] <= before[1] + 6 * 1024, "%d kB of its own, before %d kB", now[1], before[1])
    same(state_for(maped), "up", "a user is told afterwards")
    need(descriptors(maped) <= before[0] + 2, "%d descriptors, before %d", descriptors(maped), before[0])
    need(sanitized() or means(maped)[1] <= before[1] + 1024, "%d kB afterwards, before %d kB", means(maped)[1], before[1])


@scenario.scenario
def half_closed_and_unread(box):
    """The end that sends is closed, the answer is not read: it is held all the same."""
    maped = started(box)

    def hold():
        for _ in range(4 * HELD_OF_USER):
            asker = connect(maped)
            with contextlib.suppress(OSError):
                asker.shutdown(socket.SHUT_WR)
            held.append(asker)
        time.sleep(0.2)
        return sum(struct.unpack("i", fcntl.ioctl(asker, termios.FIONREAD, b"\0" * 4))[0] > 0 for asker in held)
    held = []
    stranger = Stranger(hold)
    try:
        count = stranger.result()
        need(1 <= count <= HELD_OF_USER, "%d answers are held", count)
        used = maped.processor_seconds()
        time.sleep(1)
        need(maped.processor_seconds() - used < 0.5, "it is busy with them")
        same(state_for(maped, 0), "up", "root is told")
    finally:
        stranger.go()


@scenario.scenario
def many_users_at_once(box):
    """Together they cannot keep root from being told."""
    maped = started(box)
    with many_users(maped):
        same(state_for(maped, 0), "up", "root is told")
    same(state_for(maped), "up", "a user is told afterwards")


@scenario.scenario
def what_is_sent_is_not_read(box):
    """Garbage, and as much as the kernel takes; a command, and a passed descriptor; gone before the answer."""
    maped = started(box)
    before = means(maped)

    def shout():
        sent = 0
        for text in (b"reload\n", b"\xff" * 4096, b"GET / HTTP/1.0\r\n\r\n", b"\0" * (8 << 20)):
            for _ in range(100):
                with connect(maped) as asker, contextlib.suppress(OSError):
                    asker.settimeout(0.05)
                    sent += asker.send(text)
        for _ in range(100):
            with connect(maped) as asker, contextlib.suppress(OSError), open("/dev/null") as file:
                socket.send_fds(asker, [b"x"], [file.fileno()] * 100)
        return sent
    note("%d octets sent" % done_by(shout))
    well(box, maped, V6PLUS, before)
    need(descriptors(maped) <= before[0] + 2, "%d descriptors, before %d", descriptors(maped), before[0])


@scenario.scenario
def connections_without_end(box):
    """Four who connect and are gone, as often as they can: others are told, and the work goes on."""
    maped = started(box)
    before = means(maped)

    def knock():
        until = time.monotonic() + 3
        count = 0
        while time.monotonic() < until:
            with contextlib.suppress(OSError), connect(maped):
                count += 1
        return count
    strangers = [Stranger(knock) for _ in range(4)]
    try:
        well(box, maped, V6PLUS, before)
        well(box, maped, OCN, before)
        note("%d connections" % sum(stranger.result() for stranger in strangers))
    finally:
        for stranger in strangers:
            stranger.go()
    same(state_for(maped), "up", "the user is told afterwards")


# ---- the files ----


def attempts(path, runtime):
    """What one could try with a file, by name."""
    def create(name):
        os.close(os.open(runtime + "/" + name, os.O_WRONLY | os.O_CREAT, 0o666))

    def bind():
        socket.socket(socket.AF_UNIX).bind(runtime + "/own")

    own = os.path.join(os.path.dirname(runtime), "anybody", str(os.getpid()))
    return {
        "write": lambda: os.close(os.open(path, os.O_WRONLY)),
        "truncate": lambda: os.truncate(path, 0),
        "chmod": lambda: os.chmod(path, 0o777),
        "chown": lambda: os.chown(path, os.getuid(), -1),
        "unlink": lambda: os.unlink(path),
        "rename": lambda: os.rename(path, path + ".old"),
        "replace": lambda: (os.close(os.open(own, os.O_WRONLY | os.O_CREAT)), os.rename(own, path)),
        "create": lambda: create("own"),
        # what maped itself writes before it renames it
        "create its next": lambda: create(os.path.basename(path) + ".new"),
        "link": lambda: os.symlink("/etc/passwd", path + ".new"),
        "make a directory": lambda: os.mkdir(runtime + "/directory"),
        "bind": bind,
    }


@scenario.scenario
def files_are_for_reading(box):
    maped = started(box)
    maped.json()
    need(maped.notify.wait("^STATUS=up"), "STATUS is %s", maped.notify.status())
    files = sorted(os.listdir(maped.runtime))
    note("in the runtime directory: %s" % ", ".join(files))
    need({"status", "metrics"} <= set(files), "the files are %s", files)
    same(stat.S_IMODE(os.stat(maped.runtime).st_mode), 0o755, "mode of the directory")
    for name in files:
        mode = stat.S_IMODE(os.stat(maped.runtime + "/" + name).st_mode)
        same(oct(mode & 0o022), oct(0o022 if name == "status" else 0), "who may write " + name)

    anybody = os.path.join(box.directory, "anybody")
    os.mkdir(anybody)
    os.chmod(anybody, 0o777)

    def attack():
        allowed = []
        for name in files:
            for what, attempt in attempts(maped.runtime + "/" + name, maped.runtime).items():
                if name == "status" and what in ("write", "truncate"):
                    continue  # a socket is connected to
                try:
                    attempt()
                    allowed.append("%s %s" % (what, name))
                except PermissionError:
                    pass
        return allowed
    same(done_by(attack), [], "nobody could")
    same(sorted(os.listdir(maped.runtime)), files, "the files afterwards")
    same(state_for(maped), "up", "the socket afterwards")


@scenario.scenario
def runtime_directory_of_another(box):
    """Files that another user has put there before the start are neither believed nor followed."""
    runtime = os.path.join(box.directory, "run")
    os.makedirs(runtime)
    victim = os.path.join(box.directory, "victim")
    with open(victim, "w") as file:
        file.write("precious")
    for name in ("metrics", "metrics.new", "line", "line.new", "sysctl", "status"):
        os.symlink(victim, os.path.join(runtime, name))
    maped = started(box)
    same(state_for(maped), "up", "the socket")
    maped.end()
    with open(victim) as file:
        same(file.read(), "precious", "what the links led to")


# ---- what is told ----


@scenario.scenario
def nobody_is_told_of_the_lan(box):
    """Root is told who holds ports, where to, and where forwards lead; others what `ip` shows them, and numbers."""
    maped = started(box, CONFIG)
    box.router.run("conntrack", "-I", "-p", "udp", "-s", LAN_HOST, "-d", "198.51.100.7", "-r", "198.51.100.7", "-q", OCN[2],
                   "--sport", "5000", "--dport", "53", "--reply-port-src", "53", "--reply-port-dst", "1681", "-t", "600")
    time.sleep(1.1)  # the use of ports is a second old at most

    def told():
        with connect(maped) as asker:
            return answer(asker)
    with open(maped.runtime + "/metrics") as file:
        metrics = file.read()
    for_root, for_nobody = done_by(told, 0), done_by(told)
    private = (LAN_HOST, "198.51.100.7", FORWARD_HOST, SECRET)
    for word in private:
        need(word in for_root[0] and word in json.dumps(for_root[1]) or word == SECRET, "root is not told %s: %s", word, for_root)
        for what, text in (("text", for_nobody[0]), ("JSON", json.dumps(for_nobody[1])), ("metrics", metrics)):
            need(word not in text, "%s is in the %s for nobody", word, what)
    same(for_root[1]["forwards"][0]["comment"], SECRET, "the comment, for root")
    same(for_nobody[1]["forwards"][0]["first_port"], 1680, "the port of a forward")
    same(sorted(set(for_root[1]) - set(for_nobody[1])), [], "only for root")
    same(sorted(set(for_root[1]["usage"]) - set(for_nobody[1]["usage"])), ["destinations", "lan_hosts"], "only for root, of usage")
    same(for_nobody[1]["usage"]["udp"]["ports"], 1, "a number")


if __name__ == "__main__":
    scenario.parse(__doc__)
    sys.exit(scenario.main("strangers"))
