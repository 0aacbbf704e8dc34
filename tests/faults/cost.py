# SPDX-License-Identifier: LGPL-2.1-or-later
"""What it costs to run: wake-ups, memory, the time to start."""
import re
import shutil
import signal
import time

from netlink import gone_is_fine
from renumber import PREFIXES, derive
from scenario import Skip, long_form, need, note, options, quantile, sanitized, scenario

OCN = ("2400:4050:48d:2900", ("2400:4050:48d:2900:99:f012:3400:2900", "153.240.18.52"))


def up(box, **named):
    box.router.netlink.put_address(box.index("wan0"), OCN[0] + "::1", 64)
    maped = box.start(**named)
    need(maped.ready(30), "no READY: %s", maped.log())
    need(box.wait_ours(box.expected(*OCN[1])) is not None, "not up")
    return maped


@scenario
def idle(box):
    """The watchdog is told every 15 s here; nothing else wakes maped up, while neighbours come and go."""
    maped = up(box, environment={"WATCHDOG_USEC": "30000000"})
    time.sleep(1)
    seconds = 60 if options.long else 10
    before, used = maped.wakeups(), maped.processor_seconds()
    time.sleep(seconds)
    wakeups = maped.wakeups() - before
    note("idle for %d s: %d wake-ups, %.2f s of processor time" % (seconds, wakeups, maped.processor_seconds() - used))
    need(wakeups <= 2 * (1 + seconds // 15), "%d wake-ups in %d s", wakeups, seconds)
    sizes = {name: maped.kilobytes(name) for name in ("VmRSS", "RssAnon", "RssFile", "VmHWM")}
    note("memory: RSS %(VmRSS)d kB (own %(RssAnon)d kB, files shared with others %(RssFile)d kB), at most %(VmHWM)d kB" % sizes)
    if not sanitized():
        need(sizes["VmRSS"] <= 6144 and sizes["RssAnon"] <= 2048, "more memory than there is reason for: %s", sizes)


@scenario
def start_to_ready(box):
    box.router.netlink.put_address(box.index("wan0"), OCN[0] + "::1", 64)
    times, raw = [], []
    for _ in range(50 if options.long else 15):
        started = time.monotonic()
        maped = box.start()
        need(maped.notify.wait("^READY=1"), "no READY")
        took = maped.notify.at[maped.notify.heard.index("READY=1")] - started
        raw.append(took)
        times.append(max(0, took - maped.waited_itself()))
        need(box.ours() == box.expected(*OCN[1]), "READY before it is up")
        need(maped.end() == 0, "exit status")
        maped.notify.close()
    note("start to READY with the prefix there: p50 %.0f ms, max %.0f ms; with the waits of a busy machine %.0f ms, %.0f ms" % (
        quantile(times, 0.5) * 1e3, max(times) * 1e3, quantile(raw, 0.5) * 1e3, max(raw) * 1e3))
    # the figure is in the note; what fails here is a start that hangs
    need(quantile(times, 0.5) <= 0.5, "%.0f ms", quantile(times, 0.5) * 1e3)


@scenario
@long_form
def a_thousand_renumberings_under_valgrind(box):
    """No leak, no invalid access; the memory of the end is that of the beginning."""
    if not shutil.which("valgrind"):
        raise Skip("valgrind is not installed")
    report = box.directory + "/valgrind"
    maped = up(box, wrap=("valgrind", "-q", "--leak-check=full", "--show-leak-kinds=definite,indirect", "--error-exitcode=99",
                          "--log-file=" + report))
    lines = [(prefix, derive(box.program, prefix)) for prefix in PREFIXES[:8]]
    wan = box.index("wan0")
    for number in range(1000):
        prefix, params = lines[(number + 1) % len(lines)]
        box.router.netlink.put_address(wan, prefix + "::1", 64)
        need(box.wait_ours(box.expected(*params), 30) is not None, "renumbering %d: %s", number, maped.notify.status())
        gone_is_fine(box.router.netlink.delete_address, wan, lines[number % len(lines)][0] + "::1", 64)
        if number % 100 == 99:
            maped.send(signal.SIGHUP)
    note("under valgrind after 1000 renumberings: %d kB" % maped.kilobytes())
    code = maped.end(timeout=60)
    with open(report) as file:
        said = file.read()
    kinds = sorted(set(re.findall(r"(?:==\d+== )(Syscall param \S+ points to uninit|Invalid \w+|Conditional jump|.*definitely lost)", said)))
    need(code == 0 and not said.strip(), "exit %d: %s: %s", code, ", ".join(kinds), said[:1500])
