#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""jouletap replay as a user meets it: recordings, nvidia-smi logs, windows, both outputs, and errors."""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import tap

TRACE = os.path.join(tap.ROOT, "tests", "data", "replay", "RTX3090_squarewave5050_nvidia_smi.csv")
folder = tempfile.TemporaryDirectory(prefix="jouletap-replay-")


def write(name, text):
    path = os.path.join(folder.name, name)
    with open(path, "w", newline="") as f:
        f.write(text)
    return path


def replay(*args):
    code, out, err = tap.jouletap("replay", "--json", *args)
    assert code == 0, err
    return json.loads(out)


def fails(*args):
    code, out, err = tap.jouletap("replay", *args)
    assert code == 1 and not out, (code, out)
    return err


def recording(joules_a_second, seconds=20):
    """A counter that steps each 100 ms, read each 20 ms, and a second domain without a counter."""
    sensor = {"kind": "ga100", "provenance": "measured", "update_s": 0.1, "window_s": 0.025,
              "avg_window_s": 0, "lag_s": 0, "wrap_j": 0, "step_j": 0.001, "gain": 0, "max_power_w": 1000}
    lines = [{"jouletap_recording": 1, "start": "2026-01-31T12:00:00Z", "domains": [
        {"name": "gpu:0", "source": "nvml", "device": "A", "uuid": "GPU-0", "sensor": sensor},
        {"name": "gpu:1", "source": "nvml", "device": "B", "uuid": "GPU-1", "sensor": sensor}]}]
    for i in range(seconds * 50 + 1):
        t = i / 50
        counter = 5000 + int(t * 10 + 1e-9) / 10 * joules_a_second
        lines.append({"sample": {"domain": "gpu:0", "t_s": t, "t_end_s": t, "energy_j": counter}})
        lines.append({"sample": {"domain": "gpu:1", "t_s": t, "t_end_s": t, "power_w": 80}})
    return "".join(json.dumps(line) + "\n" for line in lines)


@tap.test
def a_recorded_counter_gives_its_joules_as_measured():
    path = write("run.jsonl", recording(300))
    r = replay(path, "--window", "2:12", "--window", "5.05:5.15", "--domain", "gpu:0")
    ten, short = r["windows"]
    assert abs(ten["energy_j"] - 3000) <= ten["bound_j"] and ten["bound_j"] < 90, ten
    assert ten["provenance"] == "measured" and ten["coverage"] == 1, ten
    assert abs(ten["power_w"] - 300) < 3, ten
    assert abs(short["energy_j"] - 30) <= short["bound_j"], short


@tap.test
def every_domain_answers_every_window_in_one_shape():
    r = replay(write("run.jsonl", recording(300)), "--window", "2:12", "--window", ":")
    assert r["sensor"] == "ga100" and r["file"].endswith("run.jsonl")
    assert [d["name"] for d in r["domains"]] == ["gpu:0", "gpu:1"]
    assert [w for d in r["domains"] for w in d["windows"]] == r["windows"] and len(r["windows"]) == 4
    assert set(r["windows"][0]) == {"domain", "from_s", "to_s", "energy_j", "bound_j", "coverage",
                                    "provenance", "power_w"}
    derived = r["windows"][2]
    assert derived["provenance"] == "derived" and derived["coverage"] == 0.25, derived
    assert abs(derived["energy_j"] - 800) <= derived["bound_j"] + 1e-6, derived
    assert (r["windows"][1]["from_s"], r["windows"][1]["to_s"]) == (0, 20)


@tap.test
def windows_of_one_file_add_up():
    names = [("1.5", "3"), ("3", "4"), ("1.5", "4")]
    r = replay(TRACE, *[a for w in names for a in ("--window", ":".join(w))])["windows"]
    assert abs(r[0]["energy_j"] + r[1]["energy_j"] - r[2]["energy_j"]) < 1e-5, r


@tap.test
def an_end_left_out_is_the_files_own():
    r = replay(TRACE, "--window", ":2", "--window", "2:", "--window", ":")["windows"]
    assert r[0]["from_s"] == r[2]["from_s"] == 1.0 and r[1]["to_s"] == r[2]["to_s"] > 4.4, r


@tap.test
def a_window_without_readings_is_unknown_and_not_zero():
    r = replay(TRACE, "--window", "100:101", "--window", "4:14")["windows"]
    assert r[0]["energy_j"] is None and r[0]["provenance"] is None and r[0]["coverage"] == 0, r
    assert r[1]["energy_j"] > 0 and r[1]["coverage"] < 0.06, r


LOG = """timestamp, index, name, uuid, power.draw [W], temperature.gpu
"""


def log_of_two(seconds=10):
    rows = []
    for i in range(seconds * 10 + 1):
        stamp = f"2024/05/01 23:59:{50 + i // 10:02d}.{i % 10}00" if i < 100 else "2024/05/02 00:00:00.000"
        power = "[N/A]" if 40 <= i < 43 else "100.00 W"
        rows.append(f"{stamp}, 0, NVIDIA A100-SXM4-80GB, GPU-a, {power}, 45\n")
        rows.append(f"{stamp}, 1, NVIDIA A100-SXM4-80GB, GPU-b, 250.00 W, [N/A]\n")
    return LOG + "".join(rows)


@tap.test
def an_nvidia_smi_log_of_two_gpus_over_midnight():
    r = replay(write("gpus.csv", log_of_two()), "--window", "1:9")
    assert r["sensor"] == "ga100", r
    assert [d["uuid"] for d in r["domains"]] == ["GPU-a", "GPU-b"]
    assert abs(r["windows"][1]["energy_j"] - 2000) < 1e-3, r
    assert abs(r["windows"][0]["energy_j"] - 800) < 50, r


@tap.test
def a_window_may_be_told_in_the_clock_of_the_log():
    path = write("gpus.csv", log_of_two())
    r = replay(path, "--domain", "gpu:1", "--window", "2024/05/01 23:59:52.5:2024/05/01 23:59:54",
               "--window", "2.5:4", "--window", "2024/05/01 23:59:58:")["windows"]
    assert r[0] == r[1] and r[2]["from_s"] == 8 and r[2]["to_s"] == 10, r


@tap.test
def a_window_may_be_told_in_the_clock_of_a_recording():
    path = write("run.jsonl", recording(300))
    r = replay(path, "--domain", "gpu:0", "--window", "2026-01-31T12:00:02Z:2026-01-31T12:00:03.5Z")
    assert (r["windows"][0]["from_s"], r["windows"][0]["to_s"]) == (2, 3.5), r


@tap.test
def an_unknown_gpu_gets_wide_bounds_and_advice():
    text = "t_s,power_draw_w\n" + "".join(f"{i / 10},100\n" for i in range(100))
    code, out, err = tap.jouletap("replay", "--json", write("mystery.csv", text))
    assert code == 0 and "try: --sensor KIND (" in err, err
    unknown = json.loads(out)["windows"][0]
    code, out, err = tap.jouletap("replay", "--json", "--sensor", "ada", write("mystery.csv", text))
    assert code == 0 and not err, err
    known = json.loads(out)["windows"][0]
    assert unknown["bound_j"] > known["bound_j"], (unknown, known)


@tap.test
def a_sensor_may_be_named_by_its_board():
    path = write("mystery.csv", "t_s,power_draw_w\n" + "".join(f"{i / 10},100\n" for i in range(100)))
    for board, kind in [("H100", "gh100"), ("A100-SXM4-80GB", "ga100"), ("NVIDIA L4", "ada"), ("RTX 3090", "ga10x")]:
        assert replay("--sensor", board, path) == replay("--sensor", kind, path), board


@tap.test
def standard_input_is_read_like_a_file():
    for path, extra in [(write("run.jsonl", recording(300)), []), (TRACE, ["--sensor", "ga10x"])]:
        told = replay(path, "--window", "2:3", *extra)
        with open(path, "rb") as f:
            data = f.read()
        done = subprocess.run([tap.JOULETAP, "replay", "--json", "-", "--window", "2:3", *extra], input=data,
                              capture_output=True, timeout=60)
        assert done.returncode == 0 and not done.stderr, done
        assert json.loads(done.stdout) == dict(told, file="-"), path
    done = subprocess.run([tap.JOULETAP, "replay", "-"], input=b"", capture_output=True, timeout=60)
    assert done.returncode == 1 and b"stdin: the file is empty" in done.stderr, done


@tap.test
def a_recording_that_was_cut_is_read_to_there():
    text = recording(300)
    path = write("cut.jsonl", text[: len(text) // 2])
    code, out, err = tap.jouletap("replay", "--json", path)
    assert code == 0 and "the last line is cut and was left out" in err, err
    assert 9 < json.loads(out)["windows"][0]["to_s"] < 11


@tap.test
def the_table_is_for_people():
    code, out, err = tap.jouletap("replay", TRACE, "--window", "2:3", "--window", "100:101")
    lines = out.splitlines()
    assert code == 0 and not err and len(lines) == 3, (code, out, err)
    assert lines[0].split() == ["DOMAIN", "FROM_S", "TO_S", "ENERGY_J", "BOUND_J", "COVERAGE",
                                "PROVENANCE", "POWER_W"]
    assert lines[1].split()[0] == "gpu:0" and lines[1].split()[6] == "derived", lines
    assert lines[2].split()[3] == "-", lines
    assert len({len(line.rstrip()) for line in lines[:2]}) == 1, lines


@tap.test
def errors_name_the_file_the_line_and_the_field():
    text = recording(300, 1)
    assert "run.jsonl:104: the line is not a JSON object" in fails(write("run.jsonl", text + "oops\n{}\n"))
    bad = text.replace('"power_w": 80', '"power_w": "80"', 1)
    assert "run.jsonl:3: 'power_w' is not a number" in fails(write("run.jsonl", bad))
    assert "version 9" in fails(write("run.jsonl", text.replace('_recording": 1', '_recording": 9')))
    bad = log_of_two().replace("250.00 W", "lots", 1)
    assert "gpus.csv:3: column 'power.draw': cannot read 'lots'" in fails(write("gpus.csv", bad))
    headless = log_of_two().replace(LOG, "")
    assert "log without 'noheader'" in fails(write("gpus.csv", headless))
    assert "cannot open '/nowhere'" in fails("/nowhere")


@tap.test
def wrong_windows_and_names_are_refused():
    for window in ["1", "a:b", "1:2:3", "5:4", "-1:2", "2024/05/01 12:00:00:", "1e99:", "1:2 "]:
        assert f"window '{window}'" in fails(TRACE, "--window=" + window)
    for sensor in ["zx81", "A1000"]:
        why = fails(TRACE, "--sensor", sensor)
        assert f"no sensor kind '{sensor}' (try: a kind that 'jouletap devices --sensors' lists" in why, why
    assert "no domain 'gpu:7'" in fails(TRACE, "--domain", "gpu:7")


tap.run()
