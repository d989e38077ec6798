#!/usr/bin/env python3
"""The examples run, and their phases add up."""
import os
import re
import subprocess
import sys

build = os.path.abspath(os.environ.get("BUILD", os.path.join(os.path.dirname(__file__), "../../build")))
out = subprocess.run([build + "/examples/meter_a_function"], capture_output=True, text=True, timeout=30)
figures = {}
for line in out.stdout.splitlines():
    m = re.match(r"(\S+) +(\S+) +([0-9.]+) J \+- ([0-9.]+) J  (\w+)$", line)
    if m:
        figures.setdefault(m[1], {})[m[2]] = float(m[3])
known = "nothing can be measured here" in out.stdout or len(figures) > 0
adds_up = all(abs(f["compute"] + f["rest"] - f["all"]) < 0.002 for f in figures.values())
checks = [
    (out.returncode == 0, "meter_a_function ends well"),
    (known, "it says what was measured, or that nothing can be"),
    (adds_up, "its phases add up to the whole"),
]
for n, (ok, text) in enumerate(checks, 1):
    print("%sok %d - %s" % ("" if ok else "not ", n, text))
print("1..%d" % len(checks))
sys.exit(not all(ok for ok, _ in checks))
