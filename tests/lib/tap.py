# SPDX-License-Identifier: Apache-2.0
"""TAP for integration tests written in Python: each @test function is one line of output."""
import os
import subprocess
import sys
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
JOULETAP = os.environ.get("JOULETAP", os.path.join(ROOT, "build", "jouletap"))

_tests = []


def test(function):
    _tests.append(function)
    return function


class Skip(Exception):
    """Raised by a test that needs what this machine lacks."""


def jouletap(*args):
    """Runs the program; its exit status, stdout and stderr."""
    done = subprocess.run([JOULETAP, *args], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def run():
    if not os.access(JOULETAP, os.X_OK):
        print("Bail out! no program at", JOULETAP)
        sys.exit(1)
    failed = 0
    for number, function in enumerate(_tests, 1):
        name = function.__name__.replace("_", " ")
        try:
            function()
            print(f"ok {number} - {name}")
        except Skip as why:
            print(f"ok {number} - {name} # SKIP {why}")
            print(f"# SKIPPED: {name}: {why}", file=sys.stderr)
        except Exception:
            failed += 1
            for line in traceback.format_exc().splitlines():
                print("#", line)
            print(f"not ok {number} - {name}")
        sys.stdout.flush()
    print(f"1..{len(_tests)}")
    sys.exit(failed != 0)
