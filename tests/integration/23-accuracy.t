#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Joules of windows against the known true power of the fake driver, in virtual time (bench/accuracy.c).
The limits are half again what was measured; docs/measurements/accuracy.md has the figures.
"""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap

PROGRAM = os.path.join(os.path.dirname(tap.JOULETAP), "bench", "accuracy")
MEAN_LIMIT = {0.15: 3.3, 0.5: 1.3, 1: 0.9, 5: 0.27}  # %, the sensor's steady gain out
P95_LIMIT = {0.15: 12, 0.5: 4.1, 1: 2.5, 5: 0.56}
BOUND_LIMIT = {0.15: 150, 0.5: 55, 1: 34, 5: 18}

rows = []


def every_row():
    if not rows:
        done = subprocess.run([PROGRAM, "--json"], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done
        rows.extend(json.loads(line) for line in done.stdout.splitlines())
    assert len(rows) == 2 * 2 * len(MEAN_LIMIT), rows
    return rows


@tap.test
def the_true_energy_is_within_the_bound_of_every_window():
    for r in every_row():
        assert r["within_bound"] == 1, r


@tap.test
def the_bound_is_of_some_use():
    for r in every_row():
        assert r["bound_percent"] < BOUND_LIMIT[r["window_s"]], r


@tap.test
def errors_stay_where_they_were_measured():
    for r in every_row():
        error = r["jouletap_gain_out_percent"]
        assert error["mean"] < MEAN_LIMIT[r["window_s"]], r
        assert error["p95"] < P95_LIMIT[r["window_s"]], r


@tap.test
def counter_differences_and_polled_power_are_several_times_worse():
    for r in every_row():
        mine = r["jouletap_gain_out_percent"]["mean"]
        assert r["counter_gain_out_percent"]["mean"] > 2 * mine, r
        assert r["power_gain_out_percent"]["mean"] > 2 * mine, r


tap.run()
