#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A scrape, judged by Prometheus' own tool: it reads the whole of it and complains of names, units and help."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap

PRINTER = os.path.join(os.path.dirname(tap.JOULETAP), "tests", "unit", "test_metrics.t")


def scrape(form):
    done = subprocess.run([PRINTER, "--print", form], capture_output=True, timeout=60)
    assert done.returncode == 0, done
    return done.stdout


def judge(text):
    if not shutil.which("promtool"):
        raise tap.Skip("promtool is missing (apt-get install prometheus)")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60)
    return done.returncode, (done.stdout + done.stderr).decode()


@tap.test
def promtool_finds_nothing_to_say_about_a_scrape():
    code, words = judge(scrape("text"))
    assert (code, words) == (0, ""), words


@tap.test
def promtool_does_find_a_broken_scrape():
    code, words = judge(scrape("text") + b'jouletap_joules_total{model="a"b"} 1\n')
    assert code != 0, words


@tap.test
def openmetrics_says_the_same_and_ends():
    text, form = scrape("text").decode(), scrape("openmetrics").decode()
    assert form.endswith("# EOF\n")
    series = [
        {line.rsplit(" ", 1)[0].replace('.0"}', '"}') for line in t.splitlines() if not line.startswith("#")}
        for t in (text, form)
    ]
    assert series[0] == series[1], series[0] ^ series[1]


tap.run()
