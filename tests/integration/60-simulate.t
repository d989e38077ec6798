#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""jouletap simulate as a person meets it: options, files, mistakes, JSON, Ctrl-C."""
import csv
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import JOULETAP, ROOT, jouletap, run, test  # noqa: E402

DATA = ROOT + "/data/simulator"
CLUSTERS = DATA + "/configs/cluster"
TRACE = DATA + "/workloads/example_trace.jsonl"
POWER = ["-c", CLUSTERS + "/single_node_power_instance.json", "-d", TRACE, "--num-reqs", "10", "--dtype", "bfloat16"]
folder = tempfile.TemporaryDirectory()
tmp = folder.name


def simulate(*args):
    code, out, err = jouletap("simulate", *args)
    assert code == 0, (code, err)
    return out


def refused(code, text, *args):
    got, out, err = jouletap("simulate", *args)
    assert got == code and text in err, (got, err)
    assert out == "", out
    assert len(err.splitlines()) <= 2, err


def no_number(text):
    raise AssertionError(text + " in JSON")


def in_json(*args):
    return json.loads(simulate(*args, "--json"), parse_constant=no_number)


def rows(path):
    with open(path, newline="") as f:
        return list(csv.DictReader(f))


@test
def without_options_it_runs_the_built_in_requests():
    out = simulate()
    assert re.search(r"^Requests finished +: 16 ", out, re.M), out
    assert 'No energy: the cluster\'s nodes have no "power"' in out


@test
def each_interval_is_a_line_with_power():
    out = simulate(*POWER, "--log-interval=0.1")
    lines = [line for line in out.splitlines() if line.startswith("[INFO]")]
    assert len(lines) > 10
    for line in lines:
        assert re.fullmatch(r"\[INFO\] step=\d+ batch=\d+ prompt_t=[\d.]+[kM]? tok/s decode_t=[\d.]+[kM]? tok/s "
                            r"npu_mem=[\d.]+ GB power=\d+ W", line), line
    assert not any(line.startswith("[INFO]") for line in simulate(*POWER, "--quiet").splitlines())


@test
def the_parts_of_the_summary_add_up():
    out = simulate(*POWER)
    summary = out[out.index("Power summary (node 0)"):]
    joules = {m[1]: float(m[2].replace(",", "")) for m in re.finditer(r"(?m)^([A-Z].*?) *: +([\d,.]+) J", summary)}
    total = joules.pop("Total energy")
    assert joules.pop("Energy (modelled)") == total
    assert set(joules) == {"NPU active", "NPU standby", "NPU idle", "CPU", "DRAM", "Link", "Base + NIC + storage"}
    assert abs(sum(joules.values()) - total) < 1, joules
    assert out.count("modelled") == 1


@test
def json_adds_up_and_agrees_with_the_rows():
    path = tmp + "/a/b/{run_id}.csv"
    j = in_json(*POWER, "--output", path, "--run-id", "one", "--log-interval", "0.5")
    got = rows(tmp + "/a/b/one.csv")
    assert j["complete"] is True and j["requests"] == len(got) == 10
    assert j["generated_tokens"] == sum(int(r["output"]) for r in got)
    ttft = sorted(int(r["TTFT"]) for r in got)
    assert abs(j["latency"]["ttft_s"]["mean"] - sum(ttft) / 10e9) < 1e-12
    assert abs(j["latency"]["ttft_s"]["p50"] - (ttft[4] + ttft[5]) / 2e9) < 1e-12
    assert j["latency"]["itl_s"]["n"] == sum(int(r["output"]) - 1 for r in got)
    assert j["energy"]["provenance"] == "modelled"
    for node in j["energy"]["nodes"]:
        assert abs(sum(v for k, v in node.items() if k != "total_j") - node["total_j"]) < 1e-6
    assert len(j["series"]) >= 3 and all(beat["power_w"] > 0 for beat in j["series"])


@test
def rows_have_the_shape_that_the_reference_gives_them():
    path = tmp + "/multi.csv"
    simulate("-c", CLUSTERS + "/single_node_multi_instance.json", "-d", TRACE, "-n", "9", "-o", path)
    with open(path, "rb") as f:
        raw = f.read()
    assert raw.startswith(b"instance id,request id,model,input,output,arrival,end_time,latency,queuing_delay,TTFT,TPOT,"
                          b"ITL\r\n")
    assert raw.count(b"\n") == raw.count(b"\r\n") == 10 and raw.endswith(b"\r\n")
    got = rows(path)
    assert [int(r["instance id"]) for r in got] == sorted(int(r["instance id"]) for r in got)
    assert {int(r["instance id"]) for r in got} == {0, 1}
    for r in got:
        gaps = json.loads(r["ITL"])
        assert len(gaps) == int(r["output"]) - 1
        assert int(r["latency"]) == int(r["end_time"]) - int(r["arrival"]) == int(r["TTFT"]) + sum(gaps)


@test
def equal_runs_are_equal():
    files = []
    for name in ("x", "y"):
        paths = [f"{tmp}/{name}.{kind}" for kind in ("csv", "jsonl", "w")]
        out = simulate(*POWER, "-o", paths[0], "--records", paths[1], "--power-series", paths[2],
                       "--request-routing-policy", "RAND", "--expert-routing-policy", "RAND", "--log-interval", "0.2")
        files.append([out] + [open(p, "rb").read() for p in paths])
    assert files[0] == files[1] and all(files[0])


@test
def records_are_of_modelled_joules():
    path = tmp + "/records.jsonl"
    j = in_json(*POWER, "--records", path)
    with open(path) as f:
        got = [json.loads(line) for line in f]
    assert len(got) == 10
    for r in got:
        assert r["provenance"] == "modelled" and r["start"] is None and r["outcome"] == "ok"
        assert r["upstream"] == "instance:0" and r["domains"] == "node:0"
        assert abs(r["prefill_j"] + r["decode_j"] - r["total_j"]) < 1e-5
        assert 0 < r["total_j"] < j["energy"]["total_j"]
    path = tmp + "/powerless.jsonl"
    simulate("--records", path)
    with open(path) as f:
        got = [json.loads(line) for line in f]
    assert len(got) == 16 and all(r["total_j"] is None and r["provenance"] == "" for r in got)


@test
def the_power_series_is_a_table():
    path = tmp + "/power.csv"
    j = in_json(*POWER, "--power-series", path, "--log-interval", "0.25")
    got = rows(path)
    assert [round(float(r["power_w"]), 2) for r in got] == [round(b["power_w"], 2) for b in j["series"]]
    assert [float(r["t_s"]) for r in got] == [b["t_s"] for b in j["series"]]


@test
def the_energy_is_the_means_times_the_time():
    j = in_json(*POWER, "--log-interval", "0.01")
    before, energy = 0, 0
    for beat in j["series"]:
        energy += beat["power_w"] * (beat["t_s"] - before)
        before = beat["t_s"]
    assert abs(energy / j["energy"]["total_j"] - 1) < 0.05, (energy, j["energy"]["total_j"])


@test
def quirks_go_by_name():
    compat = in_json(*POWER, "--model", "compat")
    assert in_json(*POWER, "--quirks", "all") == compat
    assert in_json(*POWER, "--model", "compat", "--quirks", "none") == in_json(*POWER)
    none, booked = in_json(*POWER, "--quirks", "none"), in_json(*POWER, "--quirks", "early-booking")
    assert booked["simulated_s"] == none["simulated_s"] and booked["series"] != none["series"]
    assert in_json(*POWER, "--quirks", "exact-skew,idle-grid")["simulated_s"] == compat["simulated_s"]
    refused(2, "'--quirks' knows no 'idle-gird'", "--quirks", "exact-skew,idle-gird")


@test
def mistakes_are_told_with_what_to_do():
    refused(2, "CUSTOM policy is Python code", "--request-routing-policy", "CUSTOM")
    refused(2, "CUSTOM policy is Python code", "--expert-routing-policy=CUSTOM")
    refused(2, "'--network-backend ns3' is not supported", "--network-backend", "ns3")
    refused(2, "'--block-size' must be at least 1", "--block-size", "0")
    refused(2, "'--log-interval' must be between", "--log-interval", "0")
    refused(2, "'--npu-memory-utilization' must be above 0", "--npu-memory-utilization", "1.5")
    refused(2, "'--max-num-seqs' is too large", "--max-num-seqs", "4294967296")
    refused(2, "needs '--enable-attn-offloading'", "--enable-sub-batch-interleaving")
    refused(2, "needs '--prefix-storage'", "--enable-prefix-sharing")
    refused(2, "has a slash", "--output", tmp + "/{run_id}", "--run-id", "../../x")
    refused(2, "unexpected operand", "cluster.json")
    refused(1, tmp + "/none.json", "-c", tmp + "/none.json")
    refused(1, tmp + "/none.jsonl", "-d", tmp + "/none.jsonl")
    refused(1, tmp + "/none", "--profiles", tmp + "/none")
    refused(1, "/proc/none", "--output", "/proc/none/x.csv")
    refused(1, "/proc/none", "--power-series", "/proc/none/x.csv")
    refused(1, "/proc/none", "--records", "/proc/none/x.jsonl")


@test
def a_full_disk_is_told():
    code, _, err = jouletap("simulate", "-q", "--output", "/dev/full")
    assert code == 1 and "'/dev/full'" in err, err
    code, _, err = jouletap("simulate", "-q", *POWER, "--power-series", "/dev/full")
    assert code == 1 and "'/dev/full'" in err, err


@test
def a_mistake_leaves_earlier_results_alone():
    path = tmp + "/kept.csv"
    with open(path, "w") as f:
        f.write("kept")
    refused(1, "none.json", "-o", path, "-c", tmp + "/none.json")
    with open(path) as f:
        assert f.read() == "kept"


@test
def switches_go_both_ways():
    on = in_json(*POWER)
    off = in_json(*POWER, "--no-enable-prefix-caching", "--no-enable-chunked-prefill", "--no-reserve-full-isl",
                  "--no-enable-block-copy", "--no-cleanup-inputs", "--inputs-root", "/none")
    assert on["instances"][0]["hit_tokens"] is not None and off["instances"][0]["hit_tokens"] is None
    assert off["requests"] == on["requests"]


@test
def standard_input_may_bring_the_requests():
    with open(TRACE) as f:
        lines = f.readlines()[:3]
    done = subprocess.run([JOULETAP, "simulate", "--json", "-d", "-"], input="".join(lines), capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0 and json.loads(done.stdout)["requests"] == 3, done.stderr


@test
def log_level_info_tells_what_each_step_was_charged():
    def joules(text, *more):
        return sum(map(float, re.findall(text + r" Energy Consumption = (\S+) J$", simulate(*POWER, *more), re.M)))

    compat = ["--model", "compat", "--log-level", "INFO"]
    npu_j, standby_j = joules(r"\] INFO     NPU", *compat), joules(r"NPU Standby", *compat)
    active_j = 565 * 1.61707  # (active - idle) W x seconds of layers, as the reference has them
    assert abs(npu_j - active_j) < 1 and standby_j == 0, (npu_j, standby_j)
    assert joules(r"\w+") == 0  # by default


@test
def the_other_16_bit_type_stands_in():
    _, out, err = jouletap("simulate", *POWER[:-1], "float16")
    assert "Requests finished      : 10" in out and "that for bfloat16 stands in" in err, err


def trace(name, asks):
    path = f"{tmp}/{name}.jsonl"
    with open(path, "w") as f:
        f.writelines(json.dumps(a) + "\n" for a in asks)
    return path


@test
def gaps_of_days_cost_nothing():
    path = trace("days", [{"input_toks": 9, "output_toks": 2, "arrival_time_ns": t}
                          for t in (0, 86400 * 10**9, 10**18)])
    for model in ("physical", "compat"):
        j = in_json("-c", POWER[1], "-d", path, "--model", model, "--log-interval", "1e6")
        assert j["requests"] == 3 and j["simulated_s"] > 1e9
        assert len(j["series"]) == 1000 + (model == "physical")  # and what was left of an interval
        assert all(200 <= beat["power_w"] < 202 for beat in j["series"][:1000]), j["series"][:3]


@test
def the_series_adds_up_to_the_total():
    path = f"{tmp}/series.csv"
    j = in_json("-c", POWER[1], "-d", trace("series", [
        {"input_toks": 200, "output_toks": 100, "arrival_time_ns": t * 10**9} for t in range(3)]),
        "--power-series", path)
    rows = [[float(v) for v in line.split(",")] for line in open(path).read().split()[1:]]
    ends = [0] + [t for t, _ in rows]
    joules = sum((ends[i + 1] - ends[i]) * w for i, (_, w) in enumerate(rows))
    assert len(rows) == 4 and abs(joules - j["energy"]["total_j"]) < 0.05, (joules, j["energy"])


@test
def one_output_token_has_no_tpot_but_in_the_reference():
    path = trace("one", [{"input_toks": 9, "output_toks": 1, "arrival_time_ns": 0}])
    assert in_json("-d", path)["latency"]["tpot_s"]["n"] == 0
    assert in_json("-d", path, "--model", "compat")["latency"]["tpot_s"]["n"] == 1


@test
def two_results_do_not_share_a_file():
    path = f"{tmp}/both"
    refused(2, "each needs its own", "-o", path, "--records", path)
    assert not os.path.exists(path)


@test
def one_token_and_sessions_over_prefill_and_decode():
    asks = [{"input_toks": 20, "output_toks": n, "tool_duration_ns": 10**7} for n in (1, 5, 1)]
    path = trace("sessions", [{"session_id": str(i), "arrival_time_ns": i * 10**6, "sub_requests": asks} for i in range(4)])
    for name in ("single_node_pd_instance", "single_node_multi_instance"):
        out = f"{tmp}/{name}.csv"
        j = in_json("-c", f"{CLUSTERS}/{name}.json", "-d", path, "-o", out)
        assert j["requests"] == 12 and j["generated_tokens"] == 28, j
        for r in rows(out):
            assert len(json.loads(r["ITL"])) == int(r["output"]) - 1


@test
def a_fine_interval_is_a_beat_for_each():
    j = in_json(*POWER, "--log-interval", "0.001")
    assert abs(len(j["series"]) - j["simulated_s"] / 0.001) <= 1
    assert all(beat["power_w"] > 150 for beat in j["series"])


@test
def ctrl_c_prints_what_there_is():
    path = tmp + "/long.jsonl"
    with open(path, "w") as f:
        for i in range(200000):
            f.write(json.dumps({"input_toks": 20, "output_toks": 500, "arrival_time_ns": i * 20000000}) + "\n")
    child = subprocess.Popen([JOULETAP, "simulate", "-c", POWER[1], "-d", path, "-o", tmp + "/long.csv",
                              "--log-interval", "10"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while "step=" not in child.stdout.readline():
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 1 and "stopped: the results are those of the first" in err, err
    assert "incomplete" in out and "Power summary" in out
    n = int(re.search(r"Requests finished +: (\d+)", out)[1])
    assert 0 < n < 200000 and len(rows(tmp + "/long.csv")) == n


@test
def help_names_the_options_of_the_reference():
    _, out, _ = jouletap("help", "simulate")
    for name in ("cluster-config", "[no-]enable-prefix-caching", "prefix-storage", "npu-memory-utilization"):
        assert "--" + name in out, name
    assert "one-rank-links" in out


run()
