#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
The energy of windows from the power readings of boards that nobody has captured beside a meter: each kind of
sensor in the table, boards unlike any of them, and boards that are not what their name says. The loads and
sensors are models (tests/lib/sensors.py), the log is what nvidia-smi would have written of them.

Two questions for windows of 0.15 to 5 s: does the bound hold the truth in 95 of 100, and how far off is the energy
beside the gain and offset that the board was given. The limits of the second are half again what was measured.
"""
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import sensors
import tap

LENGTHS = (5, 1, 0.5, 0.15)
# Nobody can tell a wave whose period is just the sensor's from a constant load: boards differ by a percent.
OFF_NOMINAL = 1.0117


def replay(name, text, windows, *options):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, name)
        with open(path, "w") as f:
            f.write(text)
        args = [a for begin, end in windows for a in ("--window", f"{begin}:{end}")]
        code, out, err = tap.jouletap("replay", "--json", *options, path, *args)
    assert code == 0, err
    return json.loads(out)["windows"], err


class Tally:
    """By window length: errors beside the sensor's gain, bounds, and how many of them held."""

    def __init__(self):
        self.errors = {length: [] for length in LENGTHS}
        self.bounds = {length: [] for length in LENGTHS}
        self.n = self.held = 0

    def add(self, load, sensor, windows, answers):
        for (begin, end), answer in zip(windows, answers):
            length = min(LENGTHS, key=lambda x: abs(x - (end - begin)))
            truth = load.energy(begin, end)
            shown = truth * (1 + sensor.gain) + sensor.offset * (end - begin)
            self.errors[length].append(abs(answer["energy_j"] - shown) / truth)
            self.bounds[length].append(answer["bound_j"] / truth)
            self.n += 1
            self.held += abs(answer["energy_j"] - truth) <= answer["bound_j"]

    def median(self, what, length):
        return sorted(what[length])[len(what[length]) // 2]

    def report(self, name):
        cells = [f"{length} s {self.median(self.errors, length):5.1%} of {self.median(self.bounds, length):5.0%}"
                 for length in LENGTHS]
        print(f"# {name:24} held {self.held / self.n:6.1%}  median error of bound: {', '.join(cells)}")


def measure(name, sensor, loads=sensors.LOADS, idle=60, high=300, poll=(0.007, 0.014), fields=("draw", "instant"),
            options=(), file_name="log.csv"):
    """All loads through one sensor; asserts that the bound holds."""
    tally = Tally()
    for load_name in loads:
        rng = sensors.seeded(name, load_name)
        load = sensors.LOADS[load_name](rng, idle, high)
        windows = sensors.windows(rng, load, 32)
        text = sensors.log(rng, load, sensor, poll, fields)
        answers, _ = replay(file_name, text, windows, *options)
        tally.add(load, sensor, windows, answers)
    tally.report(name)
    assert tally.held >= 0.95 * tally.n, (name, tally.held, tally.n)
    return tally


def table():
    code, out, err = tap.jouletap("devices", "--sensors", "--json")
    assert code == 0, err
    rows = json.loads(out)["sensors"]
    return rows[: [row["kind"] for row in rows].index("gpu")]


def board_of(row, sign):
    """A board of this kind that reads as high (1), or as low (-1), as its tolerances allow, near enough."""
    return sensors.Sensor(row["update_s"] * OFF_NOMINAL, row["window_s"] or 0, row["filter_s"] or 0,
                          row["avg_window_s"] or 0, gain=1 / (1 - sign * 0.9 * row["gain"]) - 1,
                          offset=sign * 0.8 * row["offset_w"])


@tap.test
def every_kind_in_the_table_keeps_its_bound():
    for i, row in enumerate(table()):
        high = min(300, 0.6 * row["max_power_w"])
        measure(row["kind"], board_of(row, 1 if i % 2 else -1), idle=high / 4, high=high,
                options=("--sensor", row["kind"]), fields=("draw", "instant") if row["window_s"] else ("draw",))


@tap.test
def a_log_of_the_average_alone_keeps_its_bound():
    for row in table():
        if row["avg_window_s"]:
            measure(row["kind"] + " average", board_of(row, -1), fields=("draw",), options=("--sensor", row["kind"]))


@tap.test
def the_table_is_shown_with_what_is_seen_and_who_says_so():
    code, out, err = tap.jouletap("devices", "--sensors")
    assert code == 0, err
    row = next(line for line in out.splitlines() if line.startswith("ga100"))
    assert "100 ms    25 ms   25 %" in row, row
    for row in table():
        assert row["source"] and row["source"] in out, row
        assert (row["seen"] is None) == (row["window_s"] is None), row


# Error of 5 s and of 1 s, bound of 5 s over energy; medians
STEP_LIMITS = {
    "ga100": (0.0085, 0.024, 0.33), "gh100": (0.008, 0.005, 0.36), "blackwell": (0.017, 0.006, 0.52),
    "maxwell": (0.017, 0.004, 0.5), "kepler2": (0.006, 0.004, 0.8), "k20": (0.007, 0.015, 0.26),
    None: (0.002, 0.004, 0.3),
}


@tap.test
def loads_that_change_in_steps_are_known_well():
    for row in table():
        if row["kind"] == "gm107":  # reads 41 % low: its bound is that
            continue
        t = measure(row["kind"] + " steps", board_of(row, 1), loads=("steps", "serving"),
                    options=("--sensor", row["kind"]))
        limits = STEP_LIMITS.get(row["kind"], STEP_LIMITS[None])
        found = t.median(t.errors, 5), t.median(t.errors, 1), t.median(t.bounds, 5)
        assert all(x < limit for x, limit in zip(found, limits)), (row["kind"], found, limits)


NAMES = {
    "A100_transient_nvidia_smi.csv": "ga100", "RTX3090_squarewave5050_nvidia_smi.csv": "ga10x",
    "A5000_transient_nvidia_smi.csv": "ga10x", "RTX4090_x.csv": "rtx40", "4090.csv": "rtx40",
    "K40m_transient_nvidia_smi.csv": "k40", "Tesla-K80.csv": "kepler2", "M40_x.csv": "maxwell",
    "QuadroK620.csv": "gm107", "TitanXp_run.csv": "pascal", "GTX1080Ti_run.csv": "pascal", "P100.csv": "pascal",
    "P4_run.csv": "pascal", "TITAN_V-1.csv": "volta", "V100_transient_nvidia_smi.csv": "volta",
    "RTX2060S_x.csv": "turing", "T4.csv": "turing", "GTX1660.csv": "turing", "TITAN RTX.csv": "turing",
    "A10_x.csv": "ga10x", "L40S.csv": "ada", "run-l4.csv": "gpu", "H100_transient_nvidia_smi.csv": "gh100",
    "h200-run.csv": "gh100", "GB200.csv": "blackwell", "RTX PRO 6000.csv": "blackwell", "part4_exp2.csv": "gpu",
    "RTX_4000_Ada.csv": "ada", "GTX980.csv": "maxwell", "gpu.csv": "gpu",
}


@tap.test
def a_file_name_tells_the_board():
    text = "t_s,power_draw_w\n0,60\n0.5,61\n1,60\n"
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in NAMES.items():
            path = os.path.join(folder, name)
            with open(path, "w") as f:
                f.write(text)
            code, out, err = tap.jouletap("replay", "--json", path)
            assert code == 0, err
            assert json.loads(out)["sensor"] == kind, (name, kind, json.loads(out)["sensor"])


UNLIKE = {
    "50 ms": dict(update=0.0507, window=0.0507),
    "20 of 200 ms": dict(update=0.2043, window=0.02),
    "10 ms": dict(update=0.0101, window=0.0101),
    "1 s": dict(update=1.013, window=1.013),
    "filter 200 ms": dict(update=0.1013, filter=0.2),
    "filter 400 of 30 ms": dict(update=0.0307, filter=0.4),
    "average 0.5 s": dict(update=0.0507, window=0.0507, average=0.507),
    "low": dict(update=0.1012, window=0.1012, gain=-0.1, offset=-6),
}


@tap.test
def boards_unlike_any_in_the_table_keep_the_bound_of_an_unknown_one():
    for name, figures in UNLIKE.items():
        measure(name, sensors.Sensor(**figures), file_name="mystery.csv")


@tap.test
def a_board_of_which_only_an_average_shows_is_found_out():
    sensor = sensors.Sensor(0.1012, 0.1012, average=1.012)
    t = measure("average 1 s", sensor, fields=("draw",), file_name="mystery.csv")
    assert t.median(t.errors, 5) < 0.02, t.errors


@tap.test
def the_readings_are_believed_more_than_the_name():
    average = sensors.Sensor(0.1012, 0.1012, average=1.1)
    instant = sensors.Sensor(0.1012, 0.1012)
    slow = sensors.Sensor(0.1012, filter=0.3)
    measure("V100 that averages", average, ("steps", "serving"), fields=("draw",), file_name="V100.csv")
    measure("RTX3090 that does not", instant, ("steps", "serving"), fields=("draw",), file_name="RTX3090.csv")
    t = measure("K40 of 300 ms", slow, ("steps", "serving"), fields=("draw",), file_name="K40.csv")
    assert t.median(t.errors, 1) < 0.03, t.errors
    rng = sensors.seeded("warned")
    load = sensors.steps(rng, 60, 300)
    _, err = replay("RTX3090.csv", sensors.log(rng, load, instant, fields=("draw",)), [(1, 2)])
    assert "readings" in err and "ga10x" in err, err


@tap.test
def a_slow_poll_and_a_coarse_reading_widen_the_bound_and_no_more():
    for poll in ((0.045, 0.055), (0.098, 0.104), (0.45, 0.55)):
        measure(f"A100 each {poll[0]} s", sensors.Sensor(0.1012, 0.025), poll=poll, file_name="A100.csv")
        measure(f"V100 each {poll[0]} s", sensors.Sensor(0.0203, 0.0105), poll=poll, file_name="V100.csv")
        measure(f"unknown each {poll[0]} s", sensors.Sensor(0.1012, 0.1012), poll=poll, file_name="mystery.csv")
    measure("whole watts", sensors.Sensor(0.1012, 0.1012, digits=0), file_name="T4.csv")


tap.run()
