#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""jouletap predict as a person meets it: requests, tables, mistakes, JSON, records that teach it."""
import csv
import io
import json
import math
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import JOULETAP, ROOT, jouletap, run, test  # noqa: E402

TABLE = ROOT + "/data/predictor/energy_tidy.csv"
MODEL = ROOT + "/data/models/llama-3.1-8b.json"
ONE = ["-m", MODEL, "-g", "H100", "-i", "500", "-o", "500", "-b", "32"]
ADDED = ["predicted_energy_per_token_j", "predicted_lo_j", "predicted_hi_j", "predicted_energy_per_request_j",
         "predicted_latency_s", "outside_data", "reason"]
folder = tempfile.TemporaryDirectory()
tmp = folder.name


def predict(*args, stdin=None):
    done = subprocess.run([JOULETAP, "predict", *args], capture_output=True, text=True, timeout=120, input=stdin)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout


def refused(code, text, *args):
    got, out, err = jouletap("predict", *args)
    assert got == code and text in err, (got, err)
    assert out == "", out
    assert len(err.splitlines()) <= 2, err


def one(*args):
    return json.loads(predict(*ONE, "--json", *args))


def write(name, text):
    path = os.path.join(tmp, name)
    with open(path, "w", newline="") as f:
        f.write(text)
    return path


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def near(a, b, tolerance=1e-6):
    return abs(a / b - 1) < tolerance


@test
def help_tells_what_it_is_and_what_rests_on_physics():
    code, out, _ = jouletap("help", "predict")
    flat = " ".join(out.split())
    assert code == 0 and "--csv" in out and "rests on physics" in flat and "reason" in flat, out


@test
def a_request_in_joules_with_interval_phases_and_reasons():
    out = predict(*ONE, "--carbon", "DE", "--price-per-kwh", "0.3", "--pue", "1.2")
    for words in ("meta-llama/Llama-3.1-8B on 1 × H100-SXM5-80GB, bf16", "90 %", "phases", "prefill", "goes to", "power",
                  "g CO2e", "Germany, 2023: Ember", "cost", "provenance   predicted", "half the layers", "rests on physics"):
        assert words in out, (words, out)


@test
def json_says_the_same_in_numbers():
    a = one("--carbon", "380", "--price-per-kwh", "0.25", "--pue", "1.5")
    assert a["provenance"] == "predicted" and a["coverage"] == 0.9
    assert 0 < a["lo_j"] < a["energy_j"] < a["hi_j"]
    assert near(a["energy_wh"], a["energy_j"] / 3600)
    assert near(a["energy_per_output_token_j"], a["energy_j"] / 500)
    assert near(sum(a["phases"].values()), a["energy_j"]) and near(sum(a["goes_to"].values()), 1)
    assert a["latency_s"] > 0 and 0 < a["power_w"] <= 700 * (1 + 1e-9)
    assert near(a["power_w"] * a["latency_s"] / 32, a["energy_j"])
    kwh = 1.5 * a["energy_j"] / 3.6e6
    assert near(a["carbon"]["g_co2e"], 380 * kwh) and a["carbon"]["source"] == "as given"
    assert near(a["cost"], 0.25 * kwh) and near(a["facility_j"], 1.5 * a["energy_j"])
    assert a["request"]["gpu"] == "H100-SXM5-80GB" and a["request"]["dtype"] == "bf16" and a["request"]["batch"] == 32
    assert a["factor"] == 1 and a["factor_records"] == 0


@test
def what_was_not_asked_is_null_and_never_0():
    a = one()
    assert a["carbon"] is None and a["cost"] is None, a


@test
def each_what_if_is_the_answer_to_that_question():
    variations = {v["what"]: v for v in one()["what_if"]}
    assert near(variations["B200-SXM-180GB"]["energy_j"], one("-g", "B200")["energy_j"])
    assert near(variations["nf4"]["energy_j"], one("--dtype", "nf4")["energy_j"])
    assert near(variations["twice the batch"]["energy_j"], one("-b", "64")["energy_j"])
    assert near(variations["twice the GPUs"]["energy_j"], one("--tp", "2")["energy_j"])


@test
def equal_questions_have_equal_answers_to_the_byte():
    assert predict(*ONE, "--json") == predict(*ONE, "--json")
    assert predict("--csv", TABLE) == predict("--csv", TABLE)


@test
def outside_the_data_it_warns_and_says_why():
    a = one("-g", "L4")
    assert a["outside_data"] is True and any("'L4-24GB'" in w for w in a["warnings"]), a["warnings"]
    a = one("--dtype", "awq")
    assert a["outside_data"] is True and any("awq" in w for w in a["warnings"]), a["warnings"]
    assert any("awq or gptq" in w for w in a["rests_on_physics"]), a["rests_on_physics"]
    assert any("input length" in w for w in a["rests_on_physics"]), a["rests_on_physics"]


@test
def fewer_bits_take_less_and_vllm_with_bitsandbytes_was_not_measured():
    whole = one()["energy_j"]
    for dtype, least in (("fp8", .5), ("int8", .5), ("nf4", .4)):
        assert least < one("--dtype", dtype)["energy_j"] / whole < 1, dtype
    assert "int8 in vLLM" in json.dumps(one("--dtype", "int8"))
    assert "int8" not in json.dumps(one("--dtype", "int8", "--engine", "transformers")["warnings"])


@test
def a_cache_that_does_not_fit_is_warned_of():
    assert any("KV cache of 256 requests" in w for w in one("-i", "4000", "-b", "256")["warnings"])
    assert not any("KV cache" in w for w in one()["warnings"])


@test
def layers_that_the_file_does_not_describe_are_refused():
    for key, value in (("mamba_d_state", 128), ("expert_layer_period", 2)):
        config = write("hybrid.json", json.dumps({**json.load(open(MODEL)), key: value}))
        refused(1, f"'{key}'", "-m", config, *ONE[2:])


@test
def gpus_are_found_by_how_their_names_begin():
    for begin, name in (("A100-PCIe-80", "A100-PCIe-80GB"), ("rtx-40", "RTX-4090-24GB"), ("h100", "H100-SXM5-80GB")):
        assert one("-g", begin)["request"]["gpu"] == name
    refused(1, "unknown GPU 'RTX-'", *ONE[:2], "-g", "RTX-", *ONE[4:])


@test
def less_than_one_request_at_once_is_a_load_too():
    assert one("-b", "0.5")["energy_j"] > one("-b", "1")["energy_j"]


@test
def weights_that_do_not_fit_are_warned_of():
    config = json.load(open(MODEL))
    config["num_hidden_layers"] = 320
    a = one("-m", write("deep.json", json.dumps(config)))
    assert any("will not run" in w for w in a["warnings"]), a["warnings"]


@test
def models_are_found_by_name():
    for name in ("Qwen/Qwen3-14B", "qwen3-14b", "llama-3.1-8b", "Qwen/Qwen3-30B-A3B"):
        assert predict("-m", name, "-g", "H100", "-i", "100", "-o", "100"), name
    for name, dtype in (("openai/gpt-oss-120b", "mxfp4"), ("deepseek-ai/DeepSeek-V3.1", "fp8"),
                        ("meta-llama/Llama-3.1-405B-Instruct-FP8", "fp8"), ("Qwen/Qwen3-8B", "bf16")):
        a = json.loads(predict("-m", name, "-g", "B200", "--gpus", "8", "-i", "100", "-o", "100", "--json"))
        assert a["request"]["dtype"] == dtype, a["request"]


@test
def mistakes_are_named_with_what_to_do():
    refused(1, "unknown GPU 'H1OO'; the nearest are 'H100-SXM5-80GB'", *ONE, "-g", "H1OO")
    refused(1, "no model 'Qwen3-14'", *ONE, "-m", "Qwen3-14")
    refused(1, "the nearest: Qwen/Qwen3-14B", *ONE, "-m", "Qwen3-14")
    refused(1, "'hidden_size' is missing", *ONE, "-m", write("c.json", '{"num_hidden_layers": 2}'))
    refused(1, "bad.json: line 1", *ONE, "-m", write("bad.json", '{"num_hidden_layers"'))
    refused(1, "'--dtype' must be", *ONE, "--dtype", "int3")
    refused(1, "no grid 'Atlantis'", *ONE, "--carbon", "Atlantis")
    refused(1, "'--pue' must be", *ONE, "--pue", "0.5")
    refused(1, "'--output' takes a number of tokens", *ONE, "-o", "out.csv")
    refused(1, "--input N", "-m", MODEL, "-g", "H100", "-o", "5")
    refused(1, "--model CONFIG --gpu NAME", "-i", "5", "-o", "5")
    refused(1, "3 GPUs cannot be shared", *ONE, "--gpus", "3", "--tp", "2")
    refused(1, "'batch' must be from", *ONE, "-b", "0")
    refused(2, "not together with --model", *ONE, "--csv", TABLE)
    refused(1, "cannot open '/nowhere.json'", *ONE, "--fitted", "/nowhere.json")
    refused(1, "cannot open '/nowhere.csv'", "--csv", "/nowhere.csv")


@test
def a_table_comes_back_with_columns_behind_its_own():
    out = os.path.join(tmp, "out.csv")
    code, stdout, err = jouletap("predict", "--csv", TABLE, "--output", out)
    assert code == 0 and stdout == "" and "of 1115 rows" in err, err
    with open(TABLE, newline="") as a, open(out, newline="") as b:
        before, after = a.read().splitlines(), b.read().splitlines()
    assert len(before) == len(after) == 1116
    assert all(new.startswith(old + ",") for old, new in zip(before, after))
    with open(out, newline="") as f:
        table = list(csv.DictReader(f))
    assert list(table[0])[-7:] == ADDED
    for row in table:
        if not row["reason"]:
            assert row["outside_data"] == "0", row
        lo, mid, hi = (float(row[name]) for name in ("predicted_lo_j", ADDED[0], "predicted_hi_j"))
        assert 0 < lo < mid < hi
        assert near(float(row["predicted_energy_per_request_j"]), mid * float(row["out_tokens_mean"]), 1e-5)
        assert float(row["predicted_latency_s"]) > 0


@test
def what_was_measured_changes_nothing():
    with open(TABLE, newline="") as f:
        table = list(csv.DictReader(f))[::50]
    outcomes = [n for n in table[0] if n.startswith("energy") or n in (
        "throughput_tok_s", "avg_power_w", "latency_s", "itl_median_ms", "tpot_mean_ms", "n_runs")]

    def with_outcomes(change):
        text = io.StringIO()
        names = [n for n in table[0] if change is not None or n not in outcomes]
        writer = csv.DictWriter(text, names, extrasaction="ignore")
        writer.writeheader()
        for row in table:
            writer.writerow({**row, **({} if change is None else {n: change for n in outcomes})})
        return [[row[n] for n in ADDED] for row in rows(predict("--csv", "-", stdin=text.getvalue()))]

    assert with_outcomes("") == with_outcomes("nonsense") == with_outcomes(None)


@test
def columns_may_stand_in_any_order():
    with open(TABLE, newline="") as f:
        table = list(csv.reader(f))[:40]
    text = io.StringIO()
    csv.writer(text).writerows([row[::-1] for row in table])
    turned = rows(predict("--csv", "-", stdin=text.getvalue()))
    straight = rows(predict("--csv", TABLE))[:39]
    assert [[r[n] for n in ADDED] for r in turned] == [[r[n] for n in ADDED] for r in straight]


@test
def rows_that_cannot_be_predicted_say_why_and_the_rest_go_on():
    with open(TABLE, newline="") as f:
        table = list(csv.DictReader(f))[:4]
    table[0]["gpu_bw_gbs"] = "NaN"
    table[1]["gpu_tdp_w"] = ""
    table[2]["dtype"] = "int3"
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]))
    writer.writeheader()
    writer.writerows(table)
    done = subprocess.run([JOULETAP, "predict", "--csv", "-"], input=text.getvalue(), capture_output=True, text=True)
    out = rows(done.stdout)
    assert done.returncode == 0 and "predicted 1 of 4 rows" in done.stderr, done.stderr
    for row, word in zip(out, ("gpu_bw_gbs", "gpu_tdp_w", "dtype")):
        assert word in row["reason"], row["reason"]
        assert all(row[n] == "" for n in ADDED[:-1]), row
    assert float(out[3]["predicted_energy_per_token_j"]) > 0


@test
def quoted_cells_stay_as_they_are():
    with open(TABLE) as f:
        head, row = f.readline().strip(), f.readline().strip()
    quoted = row + ',"a ""note"", with\r\na line"'
    out = predict("--csv", "-", stdin=head + ",note\r\n" + quoted + "\r\n")
    assert rows(out)[0]["note"] == 'a "note", with\r\na line' or quoted.replace("\r\n", "\n") in out, out
    done = subprocess.run([JOULETAP, "predict", "--csv", "-", "-q"], input=(head + ",note\r\n" + quoted + "\r\n").encode(),
                          capture_output=True)
    assert quoted.encode() in done.stdout and done.stdout.count(b"\r\n") == 3 and done.stderr == b"", done


@test
def a_table_that_is_broken_names_the_line():
    refused(1, ":3: 1 cells, but 2 columns", "--csv", write("short.csv", "a,b\n1,2\n3\n"), "-o", os.path.join(tmp, "x"))
    refused(1, "there is no header", "--csv", write("empty.csv", ""))
    refused(1, "has a column 'reason' already", "--csv", write("twice.csv", "reason\nx\n"))


@test
def a_hundred_thousand_rows_take_seconds():
    with open(TABLE) as f:
        head, body = f.readline(), f.read()
    path = write("many.csv", head + body * 90)
    code, _, err = jouletap("predict", "--csv", path, "-o", "/dev/null")
    assert code == 0 and "of 100350 rows" in err, err


def record(total_j, **more):
    return json.dumps({"id": "x", "model": "llama", "outcome": "ok", "prompt_tokens": 500, "completion_tokens": 500,
                       "total_j": round(total_j, 6), "provenance": "derived", **more}) + "\n"


@test
def records_teach_a_factor_that_is_told():
    base = one()
    j = base["energy_j"]
    records = write("run.jsonl", record(1.1 * j) + record(1.2 * j) + record(1.9 * j) + record(j, outcome="client_gone"))
    kept = os.path.join(tmp, "factors.json")
    args = ["-m", MODEL, "-g", "H100", "-b", "32", "--recalibrate", records]
    learned = json.loads(predict(*args, "--write-factors", kept, "--json"))
    assert near(learned["factor"], 1.2, 1e-5) and learned["records"] == 3 and learned["left_out"] == 1, learned
    a = one("--factors", kept)
    assert near(a["factor"], 1.2, 1e-5) and a["factor_records"] == 3 and near(a["energy_j"], 1.2 * j, 1e-5), a
    assert "learned from 3 records" in predict(*ONE, "--factors", kept)
    assert one("-g", "B200", "--factors", kept)["factor"] == 1


@test
def records_that_teach_nothing_are_refused():
    args = ["-m", MODEL, "-g", "H100", "--recalibrate"]
    refused(1, "none of 1 records", *args, write("gone.jsonl", record(5, outcome="client_gone")))
    refused(1, "line 2", *args, write("torn.jsonl", record(5) + "{\n"))
    refused(1, "take those of one model", *args, write("two.jsonl", record(5) + record(5, model="other")))
    refused(1, "not a file of factors", *ONE, "--factors", write("f.json", "{}"))
    refused(2, "needs '--recalibrate", *ONE, "--write-factors", "x")


@test
def a_table_of_grids_has_source_and_year_in_every_row():
    with open(ROOT + "/data/predictor/carbon.csv", newline="") as f:
        table = list(csv.DictReader(f))
    assert {"WORLD", "EU", "US", "DE", "FR", "GB", "SE", "PL", "IN", "CN", "JP"} <= {row["code"] for row in table}
    for row in table:
        assert 2015 <= int(row["year"]) <= 2030 and row["source"] and 0 < float(row["g_co2e_per_kwh"]) < 1200, row
    assert near(one("--carbon", "fr")["carbon"]["g_co2e_per_kwh"], 56.04)
    assert math.isclose(one("--carbon", "World")["carbon"]["g_co2e_per_kwh"], 485.99)


run()
