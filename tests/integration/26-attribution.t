#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Policies of attribution against what requests of a simulated node caused (bench/attribution): the goal of
docs/attribution.md, and limits half again above its figures.
"""
import csv
import functools
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap

PROGRAM = os.path.join(os.path.dirname(tap.JOULETAP), "bench", "attribution")
TRUTHS = ("time", "roofline")
LIMITS = {"chat": 1.7, "long-prompt": 2.6, "long-output": 1.1, "mixed": 2}  # %, weighted, moderate load


def run(*args):
    done = subprocess.run([PROGRAM, "--load", "moderate", "--pairs", "2", *args], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done
    return done.stdout


@functools.cache
def rows():
    found = {}
    for r in csv.DictReader(run().splitlines()):
        found[r["workload"], r["truth"], r["method"]] = float(r["weighted_pct"])
    return found


@tap.test
def roofline_is_at_most_half_as_far_off_as_a_split_by_output_tokens():
    for w in LIMITS:
        for t in TRUTHS:
            for m in ("`roofline`", "`roofline`, in a gateway"):
                assert rows()[w, t, m] <= 0.5 * rows()[w, t, "output tokens"], (w, t, m, rows())


@tap.test
def errors_stay_where_they_were_measured():
    for w, limit in LIMITS.items():
        for t in TRUTHS:
            assert rows()[w, t, "`roofline`"] <= limit, (w, t, rows())


@tap.test
def the_ranking_does_not_depend_on_the_model_of_power():
    for w in LIMITS:
        for t in TRUTHS:
            assert rows()[w, t, "`roofline`"] < rows()[w, t, "`tokens`"] < rows()[w, t, "output tokens"], (w, t, rows())


@tap.test
def the_truth_is_known_better_than_what_it_judges():
    for w in LIMITS:
        for t in TRUTHS:
            assert rows()[w, t, "standard error of the truth"] < 0.3 * max(rows()[w, t, "`roofline`"], 0.5), (w, t, rows())


@tap.test
def equal_runs_give_equal_figures():
    one = ("--workload", "long-prompt")
    assert run(*one) == run(*one)


tap.run()
