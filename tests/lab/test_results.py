#!/usr/bin/python3 -B
"""What meson_results makes of the words of tests. usage: test_results.py  (prints one line a check)"""

import importlib.machinery
import importlib.util
import os
import sys

LOADER = importlib.machinery.SourceFileLoader("meson_results", os.path.join(os.path.dirname(os.path.abspath(__file__)), "meson_results"))
module = importlib.util.module_from_spec(importlib.util.spec_from_loader("meson_results", LOADER))
LOADER.exec_module(module)

CMOCKA = """[==========] Running 4 test(s).
[ RUN      ] test_good
[       OK ] test_good
[ RUN      ] test_first
SKIP: this kernel has no ip6_tunnel
[  SKIPPED ] test_first
[ RUN      ] test_second
needs root
[  SKIPPED ] test_second
[ RUN      ] test_bad
[  FAILED  ] test_bad
[==========] 4 test(s) run.
"""
CMOCKA_ERRORS = """[  ERROR   ] --- 0x1 != 0x2
[   LINE   ] --- test.c:7: error: Failure!
[  SKIPPED ] 2 test(s), listed below:
[  SKIPPED ] test_first
[  SKIPPED ] test_second
[  FAILED  ] 1 test(s), listed below:
[  FAILED  ] test_bad

 2 SKIPPED TEST(S)
 1 FAILED TEST(S)
"""
PYTHON = "# a figure: 3 ms\n[       OK ] one\n[  SKIPPED ] two\nvalgrind is not installed\n[  SKIPPED ] three\n"
TAP = "1..3\nok 1 - one # 240 ports\nok 2 - two # SKIP no conntrack\nnot ok 3 - three\n"

CHECKS = {
    "cmocka": (dict(stdout=CMOCKA, stderr=CMOCKA_ERRORS, result="FAIL", returncode=1), [
        ("ok", "test_good", ""), ("skip", "test_first", "this kernel has no ip6_tunnel"), ("skip", "test_second", "needs root"),
        ("not ok", "test_bad", "0x1 != 0x2")]),
    "python": (dict(stdout=PYTHON, stderr="", result="OK", returncode=0), [
        ("ok", "one", ""), ("skip", "two", "valgrind is not installed"), ("skip", "three", "without a reason")]),
    "tap": (dict(stdout=TAP, stderr="", result="FAIL", returncode=1), [
        ("ok", "one", ""), ("skip", "two", "no conntrack"), ("not ok", "three", "see the log")]),
    "whole program skipped": (dict(stdout="", stderr="SKIP: no network namespace\n", result="SKIP", returncode=77), [
        ("skip", "", "SKIP: no network namespace")]),
    "crash": (dict(stdout="[ RUN      ] test_x\n", stderr="boom\n", result="FAIL", returncode=-11), [
        ("not ok", "", "FAIL, code -11: boom")]),
}


def main():
    bad = 0
    for name, (test, wanted) in CHECKS.items():
        got = list(module.results(test))
        bad += got != wanted
        print("ok results/%s" % name if got == wanted else "not ok results/%s: %s, not %s" % (name, got, wanted))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
