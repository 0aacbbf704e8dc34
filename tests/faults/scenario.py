# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs scenarios, each in a box of its own, and says how each went."""
import argparse
import ctypes
import os
import signal
import sys
import time
import traceback

sys.dont_write_bytecode = True

import box as boxes  # noqa: E402


class Skip(Exception):
    """The machine lacks what a scenario needs."""


class Failure(Exception):
    pass


def need(condition, why, *details):
    if not condition:
        raise Failure(why % details if details else why)


def same(got, wanted, what):
    need(got == wanted, "%s: %s, not %s", what, got, wanted)


SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


def long_form(function):
    """Takes minutes: only with --long."""
    function.long_form = True
    return function


LINES = {  # style: passed, failed, skipped
    "plain": ("ok %s", "not ok %s: %s", "skip %s: %s"),
    "cmocka": ("[       OK ] %s", "[  FAILED  ] %s\n[  ERROR   ] --- %s", "[  SKIPPED ] %s\n%s"),
}


class Options:
    pass


options = Options()


def say(line):
    """In one piece: others may write beside us."""
    os.write(1, (line + "\n").encode())


def note(text):
    """A measured figure."""
    say("# " + text)


def quantile(values, fraction):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]


def parse(description, add=None):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--build", default=os.path.join(root, "build"), help="build directory (default: %(default)s)")
    parser.add_argument("--maped", help="the program (default: daemon/maped of the build directory)")
    parser.add_argument("--long", action="store_true", help="the long form, which takes an hour")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of random schedules")
    parser.add_argument("--schedules", type=int, help="how many random renumberings (default: 250; --long 10000)")
    parser.add_argument("--jobs", type=int, default=4, help="how many failing processes at once (default: %(default)s)")
    parser.add_argument("--beside", type=int, default=1, help="how many scenarios at once (default: %(default)s, as befits "
                        "measured times)")
    parser.add_argument("--style", choices=sorted(LINES), default="plain")
    parser.add_argument("--keep-going", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("scenarios", nargs="*", metavar="NAME", help="only these (part of the name)")
    if add:
        add(parser)
    parser.parse_args(namespace=options)
    options.schedules = options.schedules or (10000 if options.long else 250)
    options.maped = options.maped or os.path.join(options.build, "daemon", "maped")
    options.root = root


def result(word, name, why=""):
    line = LINES[options.style][("ok", "not ok", "skip").index(word)]
    say(line % (name, why) if line.count("%s") == 2 else line % name)


def run_one(function, directory):
    name = function.__name__
    box, started = None, time.monotonic()
    try:
        box = boxes.Box(options.maped, directory, name)
        function(box)
    except Skip as skip:
        result("skip", name, str(skip))
        return True
    except Exception as error:  # a test that breaks has failed, whatever broke it
        where = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == name]
        line = "line %d, " % where[-1].lineno if where else ""
        result("not ok", name, " ".join(("%s%s" % (line, error) if isinstance(error, Failure) else "%s%s: %s" % (
            line, type(error).__name__, error)).split()))
        if box and box.maped:
            print("--- what maped said\n" + box.maped.log()[-3000:], file=sys.stderr)
        return False
    finally:
        if box:
            box.close()
    result("ok", name)
    if os.environ.get("MAPED_TEST_TIMES"):
        note("%s took %.1f s" % (name, time.monotonic() - started))
    return True


def sanitized():
    """Whether the program has the memory and allocations of a sanitizer."""
    with open(options.maped, "rb") as file:
        return b"__asan_init" in file.read()


def why_impossible():
    """The reason why no scenario can run here, or None."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces of its own"
    if not os.access(options.maped, os.X_OK):
        return "%s is not there: build first" % options.maped
    if boxes.libc.unshare(0x40000000) < 0:
        return "cannot make a network namespace: " + os.strerror(ctypes.get_errno())
    return None


def wanted(function):
    named = not options.scenarios or any(part in function.__name__ for part in options.scenarios)
    return named and (options.long or not getattr(function, "long_form", False))


def run_all(functions):
    directory = boxes.own_mounts()
    return all([run_one(function, directory) for function in functions])


def next_ones(functions, queue):
    while number := os.read(queue, 1):
        yield functions[number[0]]


def run_beside(functions):
    """In several processes, each of which takes the next scenario as soon as it has done one."""
    queue, end = os.pipe()
    os.write(end, bytes(range(len(functions))))
    os.close(end)
    for _ in range(options.beside):
        if os.fork() == 0:
            boxes.libc.prctl(boxes.PR_SET_PDEATHSIG, signal.SIGTERM)
            sys.exit(0 if run_all(next_ones(functions, queue)) else 1)
    os.close(queue)
    return all([os.wait()[1] == 0 for _ in range(options.beside)])


def main(name):
    """The exit status: 0 all passed, 1 some failed, 77 nothing could run."""
    why = why_impossible()
    if why:
        result("skip", name, why)
        return 77
    functions = [function for function in SCENARIOS if wanted(function)]
    return 0 if (run_beside if options.beside > 1 else run_all)(functions) else 1
