#!/usr/bin/env python3
"""The examples run, their phases add up, and they can be built as they say."""
import os
import re
import subprocess
import sys
import tempfile

root = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
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

with open(root + "/examples/meter_a_function.c") as f:
    commands = re.findall(r"^ \*\t(cc .*)$", f.read(), re.MULTILINE)
with open(build + "/libjouletap.so", "rb") as f:
    sanitized = b"__asan_init" in f.read()
for command in commands:
    text = "it can be built as it says: " + command
    if sanitized:
        checks.append((True, text + " # SKIP the library of this build needs a sanitizer"))
        continue
    with tempfile.TemporaryDirectory() as folder:
        # this build in the place of the one that is installed, or called build
        line = command.replace("-Lbuild", "-L" + build).replace("$PWD/build", build)
        line = line.replace("-o ", "-o " + folder + "/")
        env = dict(os.environ, PKG_CONFIG_PATH=build + "/meson-uninstalled")
        built = subprocess.run(line, shell=True, cwd=root, env=env, capture_output=True, text=True)
        env["LD_LIBRARY_PATH"] = build if "pkg-config" in command else ""
        ran = built.returncode == 0 and subprocess.run([folder + "/meter"], env=env, capture_output=True)
    checks.append((ran and ran.returncode == 0, text))
    for complaint in built.stderr.splitlines():
        print("#", complaint)
checks.append((len(commands) == 2, "installed and not installed"))
for n, (ok, text) in enumerate(checks, 1):
    print("%sok %d - %s" % ("" if ok else "not ", n, text))
print("1..%d" % len(checks))
sys.exit(not all(ok for ok, _ in checks))
