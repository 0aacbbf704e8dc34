# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every netlink request and every allocation of the whole daemon fails once."""
import errno
import json
import os
import random
import signal
import struct
import time

import box as boxes
from netlink import gone_is_fine
from scenario import Failure, Skip, need, note, options, sanitized, scenario

OCN = ("2400:4050:48d:2900", ("2400:4050:48d:2900:99:f012:3400:2900", "153.240.18.52"))
V6PLUS = ("240b:10:3f6c:d400", ("240b:10:3f6c:d400:6a:483f:6c00:d400", "106.72.63.108"))
CODES = (errno.EPERM, errno.EBUSY, errno.ENOBUFS, errno.EEXIST, errno.ENODEV, errno.ENOSPC)
# What is freed is overwritten at once: a use after that does not pass unseen.
STRICT = {"GLIBC_TUNABLES": "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0"}
OTHER = 'wan = { interface = "wan0"; };\nmap = { tunnel = "tun0"; tunnel_mode = "existing"; route_metric = 700; };\n'


class Failing:
    """Runs maped with something that fails, through a start, a renumbering, a reload and a stop."""

    def __init__(self, box):
        self.box = box
        self.library = os.path.join(options.build, "tests", "faults", "failing.so")
        if not os.path.exists(self.library):
            raise Skip("%s is not there: build first" % self.library)
        if sanitized():
            raise Skip("the address sanitizer has allocations of its own")
        self.counts = os.path.join(box.directory, "counts")
        with open(self.counts, "wb") as file:
            file.write(bytes(16))

    def counted(self):
        with open(self.counts, "rb") as file:
            return struct.unpack("QQ", file.read(16))

    def waits(self, expected, seconds, given_up=lambda: False):
        """True when the kernel holds it; None when maped has ended; False after the time or when given up."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.box.ours() == expected:
                return True
            if self.box.maped.process.poll() is not None:
                return None
            self.box.maped.notify.read()
            if given_up():
                return False
            time.sleep(0.004)
        return False

    def story(self, environment, patience):
        """(how it ended, counts after each part). Ends: "whole", or "exit N" when maped gave up with a message."""
        box, marks = self.box, []
        wan = box.index("wan0")
        for line in (OCN, V6PLUS):
            gone_is_fine(box.router.netlink.delete_address, wan, line[0] + "::1", 64)
        box.router.netlink.put_address(wan, OCN[0] + "::1", 64)
        maped = box.start(environment=dict(environment, LD_PRELOAD=self.library, FAIL_COUNT=self.counts, **STRICT))

        def part(expected):
            done = self.waits(expected, patience)
            marks.append(self.counted())
            need(done is not False, "the kernel holds %s, not %s, after %s; %s", box.ours(), expected, environment,
                 maped.notify.status())
            return done

        whole = part(box.expected(*OCN[1]))
        if whole:
            box.router.netlink.put_address(wan, V6PLUS[0] + "::1", 64)
            whole = part(box.expected(*V6PLUS[1]))
        if whole:
            maped.write(OTHER)
            maped.send(signal.SIGHUP)
            ce, shared, _ = box.expected(*V6PLUS[1])
            wanted = (ce, shared, ["default dev tun0 metric 700 table 254"])
            # when the file cannot be read the old one stays in force, and the status says so
            done = self.waits(wanted, patience, lambda: "refused" in maped.notify.status())
            if done is False and "refused" in maped.notify.status():
                maped.send(signal.SIGHUP)
                done = self.waits(wanted, patience)
            need(done is not False, "reload with %s: %s; %s", environment, maped.notify.status(), maped.log()[-300:])
            marks.append(self.counted())
            whole = done
        code = maped.end()
        marks.append(self.counted())
        maped.notify.close()
        need(code in (0, 1), "ended by signal %s with %s: %s", -code, environment, maped.log()[-2500:])
        need(code == 0 or maped.log().strip(), "ended with %d and without a word, with %s", code, environment)
        if code != 0:
            maped.environment.pop("LD_PRELOAD")
            removed = maped.remove()
            need(removed.returncode == 0, "maped --remove after %s: %s", environment, removed.stdout)
        need(box.ours() == box.NOTHING, "left behind after %s, exit %d: %s", environment, code, box.ours())
        need("table ip maped" not in box.router.run("nft", "list", "tables"), "the table is left after %s", environment)
        return ("whole" if whole and code == 0 else "exit %d" % code), marks


class Worker:
    """A child with a box of its own: a story is mostly waiting, so that many can be told at once."""

    def __init__(self, box, number, environments):
        reading, writing = os.pipe()
        self.answer = os.fdopen(reading)
        self.child = os.fork()
        if self.child == 0:
            try:
                boxes.libc.prctl(boxes.PR_SET_PDEATHSIG, signal.SIGKILL)
                os.write(writing, json.dumps(self.work(box, number, environments)).encode())
            finally:
                os._exit(0)
        os.close(writing)

    @staticmethod
    def work(box, number, environments):
        ends, own = [], None
        for environment in environments:
            try:
                own = own or boxes.Box(box.program, box.directory, "worker%d.%d" % (number, len(ends)))
                ends.append(Failing(own).story(environment, 8)[0])
            except Exception as error:  # told by the parent; the next one gets a new box
                ends.append("not ok %s: %s" % (type(error).__name__, error))
                own = own and own.close()
        if own:
            own.close()
        return ends

    def ends(self):
        with self.answer:
            text = self.answer.read()
        os.waitpid(self.child, 0)
        need(text, "a worker died")
        return json.loads(text)


def stories(box, environments):
    """How each of them ended."""
    jobs = max(1, min(options.jobs, len(environments)))
    workers = [Worker(box, number, environments[number::jobs]) for number in range(jobs)]
    ends = [end for worker in workers for end in worker.ends()]
    bad = [end for end in ends if end.startswith("not ok")]
    if bad:
        raise Failure("%d of %d: %s" % (len(bad), len(environments), "; ".join(bad)[:4000]))
    return ends


def report(what, results, number):
    note("%s: %s" % (what, ", ".join("%s %d times" % (end, results.count(end)) for end in sorted(set(results)))))
    need(len(results) == number, "%d of %d", len(results), number)


@scenario
def every_netlink_request_fails_once(box):
    failing = Failing(box)
    end, marks = failing.story({}, 3)
    need(end == "whole", "without a failure: %s", end)
    total = marks[-1][1]
    note("netlink requests: %d to start, %d to renumber, %d to reload, %d to stop" % tuple(
        after[1] - before[1] for before, after in zip([(0, 0)] + marks, marks)))
    if options.long:
        runs = [(number, code) for number in range(1, total + 1) for code in CODES]
    else:
        chance = random.Random(options.seed)
        runs = [(chance.randint(1, total), CODES[i % len(CODES)]) for i in range(36)]
    results = stories(box, [{"FAIL_NETLINK": "%d:%d" % run} for run in runs])
    report("a netlink request fails", results, len(runs))


@scenario
def every_allocation_fails_once(box):
    failing = Failing(box)
    end, marks = failing.story({}, 3)
    need(end == "whole", "without a failure: %s", end)
    total = marks[-1][0]
    note("allocations: %d to start, %d to renumber, %d to reload, %d to stop" % tuple(
        after[0] - before[0] for before, after in zip([(0, 0)] + marks, marks)))
    chance = random.Random(options.seed)
    # The short form takes as many of each part: most of them are the reading of rule files, again and again the same.
    runs = []
    for before, after in zip([(0, 0)] + marks, marks):
        numbers = range(before[0] + 1, after[0] + 1)
        runs += numbers if options.long else chance.sample(numbers, min(len(numbers), 12))
    results = stories(box, [{"FAIL_ALLOC": str(number)} for number in runs])
    report("an allocation of %d fails" % total, results, len(runs))


@scenario
def reading_of_events_fails_once(box):
    """It ends, for systemd to start it again, and is not deaf from then on; what stands stays."""
    failing = Failing(box)
    box.router.netlink.put_address(box.index("wan0"), OCN[0] + "::1", 64)
    maped = box.start(environment={"LD_PRELOAD": failing.library, "FAIL_EVENTS": "3:%d" % errno.ENOMEM})
    need(box.wait_ours(box.expected(*OCN[1]), 10) is not None, "not up: %s", maped.log())
    for number in range(8):
        box.router.netlink.put_address(box.index("wan0"), "2a00:1:2:%d::1" % number, 64)
        time.sleep(0.1)
    code = maped.process.poll()
    need(code == 1, "exit status %s; %s", code, maped.log())
    need("read netlink events" in maped.log(), "not said: %s", maped.log())
    need(box.ours() == box.expected(*OCN[1]), "what stands is %s", box.ours())
    maped.notify.close()
    need(box.start().ready(), "not started again")
    need(box.ours() == box.expected(*OCN[1]), "taken over: %s", box.ours())
