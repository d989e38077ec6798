# SPDX-License-Identifier: Apache-2.0
"""Installs what tests/node pins, once for each lock file, and copies our own scripts beside it."""
import fcntl
import glob
import hashlib
import os
import shutil
import subprocess

import tap

TESTS = os.path.join(tap.ROOT, "tests")
HOME = os.path.join(os.path.dirname(os.path.abspath(tap.JOULETAP)), "tests", "node")


def find_node():
    node = shutil.which("node")
    if not node or not shutil.which("npm"):
        raise tap.Skip("needs node and npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < 20:
        raise tap.Skip(f"needs Node 20 or later, this is {version}")


def install_packages():
    # Not `npm ci`: that wants the optional packages for other systems in the lock file as well.
    for _ in range(3):
        done = subprocess.run(["npm", "install"], cwd=HOME, capture_output=True, text=True, timeout=300)
        if done.returncode == 0:
            return
    errors = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
    raise tap.Skip("npm cannot install the packages: " + "; ".join(errors[:3]))


def install():
    """Everything in HOME. Tests that run at the same time wait for the one that came first."""
    find_node()
    os.makedirs(HOME, exist_ok=True)
    with open(os.path.join(TESTS, "node", "package-lock.json"), "rb") as f:
        wanted = hashlib.sha256(f.read()).hexdigest()
    stamp = os.path.join(HOME, "installed")
    with open(os.path.join(HOME, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(os.path.join(TESTS, "node", name), HOME)
        for script in glob.glob(os.path.join(TESTS, "node", "*.mjs")) + [
                os.path.join(TESTS, "tools", "llama_openai_server.mjs")]:
            shutil.copy(script, HOME)
        if os.path.exists(stamp) and open(stamp).read() == wanted:
            return
        install_packages()
        with open(stamp, "w") as f:
            f.write(wanted)
