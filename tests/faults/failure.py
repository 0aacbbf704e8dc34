# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every netlink request and every allocation of the whole daemon fails once."""
import errno
import os
import random
import signal
import struct
import time

from netlink import gone_is_fine
from scenario import Skip, need, note, options, sanitized, scenario

OCN = ("2400:4050:48d:2900", ("2400:4050:48d:2900:99:f012:3400:2900", "153.240.18.52"))
V6PLUS = ("240b:10:3f6c:d400", ("240b:10:3f6c:d400:6a:483f:6c00:d400", "106.72.63.108"))
CODES = (errno.EPERM, errno.EBUSY, errno.ENOBUFS, errno.EEXIST, errno.ENODEV, errno.ENOSPC)
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
        maped = box.start(environment=dict(environment, LD_PRELOAD=self.library, FAIL_COUNT=self.counts))

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
        need("table inet maped" not in box.router.run("nft", "list", "tables"), "the table is left after %s", environment)
        return ("whole" if whole and code == 0 else "exit %d" % code), marks


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
    results = [failing.story({"FAIL_NETLINK": "%d:%d" % run}, 8)[0] for run in runs]
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
    # as many of each part: the greatest part is the reading of rule files, again and again the same
    runs = []
    for before, after in zip([(0, 0)] + marks, marks):
        numbers = range(before[0] + 1, after[0] + 1)
        runs += chance.sample(numbers, min(len(numbers), 700 if options.long else 12))
    results = [failing.story({"FAIL_ALLOC": str(number)}, 8)[0] for number in runs]
    report("an allocation of %d fails" % total, results, len(runs))
