#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The benchmark beside other proxies (bench/gateway) runs, and counts what it should; its timing is not judged here."""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap

RUN = os.path.join(tap.ROOT, "bench", "gateway", "run.py")
SPEED = ("json_1", "json_32", "first_event", "flat", "paced")
results = {}


def run_once():
    if len(os.sched_getaffinity(0)) < 2:
        raise tap.Skip("it needs two CPUs")
    for _ in range(3):
        if results and all(results[name]["jouletap"][0]["n"] for name in SPEED):
            break  # else the whole machine stood still for longer than a scenario takes
        with tempfile.TemporaryDirectory(prefix="jouletap-bench-") as folder:
            file = os.path.join(folder, "results.json")
            done = subprocess.run([sys.executable, RUN, "--quick", "--alone", "--json", file, "--build",
                                   os.path.dirname(tap.JOULETAP)], capture_output=True, text=True, timeout=170)
            assert done.returncode == 0, done.stderr
            with open(file) as f:
                results.update(json.load(f)["results"], table=done.stdout)
    return results


@tap.test
def answers_and_events_pass_and_cost_cpu():
    for scenario in SPEED:
        got, = run_once()[scenario]["jouletap"]
        assert got["n"] > 0 and got["cpu_us"] > 0, (scenario, got)
        assert 0 < got["cpu_share"] < 1.2, (scenario, got)


@tap.test
def open_streams_take_memory():
    got, = run_once()["idle"]["jouletap"]
    assert got["n"] == 300 and got["rss_bytes"] > 500, got


@tap.test
def the_engine_hears_of_every_client_that_left():
    for scenario in ("cancel_ttft", "cancel_stream", "cancel_json"):
        got, = run_once()[scenario]["jouletap"]
        assert got["n_seen"] == got["n"] == 20, (scenario, got)


@tap.test
def the_table_has_a_row_for_each_goal():
    table = run_once()["table"]
    assert table.count("| met |") + table.count("| missed |") + table.count("not measured") == 6, table


tap.run()
