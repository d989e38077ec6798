#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""jouletap predict as a person meets it: requests, tables, mistakes, JSON, records that teach it."""
import csv
import io
import json
import math
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import JOULETAP, ROOT, jouletap, run, test  # noqa: E402

TABLE = ROOT + "/data/predictor/energy_tidy.csv"
MODEL = ROOT + "/data/models/llama-3.1-8b.json"
ONE = ["-m", MODEL, "-g", "H100", "-i", "500", "-o", "500", "-b", "32"]
MIXTURE = re.compile(r"-a\d+b|deepseek|gpt-oss|llama-4|mixtral")
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
def large_numbers_are_written_out():
    out = predict("-m", "llama-3.1-405b", "-g", "H100", "--gpus", "16", "--tp", "16", "-i", "100000", "-o", "2000000", "--pue", "1.5")
    lines = [line for line in out.splitlines() if not line.startswith("warning")]
    assert "e+" not in "\n".join(lines), out
    assert "facility     " in out and "(PUE 1.5)" in out, out


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
    assert a["factor"] == 1 and a["factor_rows"] == 0


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
    for key, value in (("mamba_d_state", 128), ("layer_types", ["conv"] * 32)):
        config = write("hybrid.json", json.dumps({**json.load(open(MODEL)), key: value}))
        refused(1, f"'{key}'", "-m", config, *ONE[2:])


@test
def layers_of_several_kinds_are_counted():
    small = one("-m", f"{ROOT}/tests/data/models/nemotron-nano-9b-v2.json")
    assert 0.5 < small["energy_j"] / one()["energy_j"] < 2, small
    for name, share in (("jamba-mini", "129 %"), ("llama-4-scout", "269 %")):
        warnings = one("-m", f"{ROOT}/tests/data/models/{name}.json")["warnings"]
        assert any("weights alone are " + share in w for w in warnings), warnings


@test
def gpus_are_found_by_how_their_names_begin():
    for begin, name in (("A100-PCIe-80", "A100-PCIe-80GB"), ("rtx-40", "RTX-4090-24GB"), ("h100", "H100-SXM5-80GB")):
        assert one("-g", begin)["request"]["gpu"] == name
    for words, name in (("A100 80GB", "A100-SXM4-80GB"), ("rtx4090", "RTX-4090-24GB"), ("4090", "RTX-4090-24GB"),
                        ("H100 SXM", "H100-SXM5-80GB"), ("NVIDIA H100 PCIe", "H100-PCIe-80GB"), ("L40 48GB", "L40-48GB"),
                        ("A6000", "RTX-A6000-48GB")):
        assert one("-g", words)["request"]["gpu"] == name, words
    for words in ("RTX-", "RTX 6000", "80GB", "H1"):
        refused(2, f"unknown GPU '{words}'; the nearest are", *ONE[:2], "-g", words, *ONE[4:])


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
def names_match_whatever_case_maker_tuning_and_date():
    for given, name in (("meta-llama/Meta-Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B"),
                        ("llama3.1:8b-instruct-fp16", "meta-llama/Llama-3.1-8B"), ("QWEN3_8B", "Qwen/Qwen3-8B"),
                        ("qwen3-14", "Qwen/Qwen3-14B"), ("unsloth/gemma-3-27b", "google/gemma-3-27b-it"),
                        ("gpt-oss", "openai/gpt-oss-120b"), ("mixtral-8x7b", "mistralai/Mixtral-8x7B-Instruct-v0.1"),
                        ("Llama-3.1-70B-Instruct-2407", "meta-llama/Llama-3.1-70B-Instruct")):
        assert one("-m", given)["request"]["model"] == name, given
    for given, dtype in (("Llama-3.1-70B-AWQ", "awq"), ("llama-4-maverick", "fp8"), ("qwen3-8b-fp8", "fp8")):
        assert one("-m", given)["request"]["dtype"] == dtype, given
    assert one("-m", "llama-4-maverick", "--dtype", "bf16")["request"]["dtype"] == "bf16"


@test
def several_names_that_are_near_are_offered():
    for given, near_it in (("deepseek", ("DeepSeek-R1-0528", "DeepSeek-V3.1")), ("llama-3", ("llama-3.1-8b", "Llama-3.2-1B")),
                           ("mistral", ("Mistral-7B", "Mistral-Nemo")), ("lama-3.1-8b", ("llama-3.1-8b",))):
        for name in near_it:
            refused(2, name, *ONE, "-m", given)
    refused(2, "--list-models", *ONE, "-m", "zzz")
    refused(2, "no model ''", *ONE, "-m", "")


@test
def of_one_backbone_the_name_that_was_meant_is_taken():
    assert one("-m", "deepseek-v3", "--gpus", "8")["request"]["model"] == "deepseek-ai/DeepSeek-V3.1"
    assert one("-m", "deepseek-r1", "--gpus", "8")["request"]["model"] == "deepseek-ai/DeepSeek-R1-0528"


@test
def what_can_be_named_is_listed():
    for what, name, key in (("models", "Qwen/Qwen3-14B", "params_b"), ("gpus", "H100-SXM5-80GB", "bandwidth_gb_s"),
                            ("zones", "DE", "g_co2e_per_kwh")):
        listed = json.loads(predict(f"--list-{what}", "--json"))
        assert all(row[key] > 0 for row in listed), listed
        assert name in [row.get("code", row.get("name")) for row in listed]
        text = predict(f"--list-{what}")
        assert name in text and len(text.splitlines()) == len(listed) + 1
    for row in json.loads(predict("--list-models", "--json")):
        assert (row["active_params_b"] < row["params_b"]) == bool(MIXTURE.search(row["name"].lower())), row
        assert one("-m", row["name"])["energy_j"] > 0, row
    for row in json.loads(predict("--list-gpus", "--json")):
        assert one("-g", row["name"])["request"]["gpu"] == row["name"]


@test
def a_config_may_be_in_a_directory_and_is_called_like_it():
    config = json.load(open(MODEL))
    config.pop("_name_or_path", None)
    os.mkdir(os.path.join(tmp, "Qwen3-99B"))
    path = write("Qwen3-99B/config.json", json.dumps(config))
    for given in (path, os.path.dirname(path), os.path.dirname(path) + "/"):
        assert one("-m", given)["request"]["model"] == "Qwen3-99B", given
    assert one("-m", write("mine.json", json.dumps(config)))["request"]["model"] == "mine"
    link = os.path.join(tmp, "link")
    os.symlink(path, link)
    assert near(one("-m", link)["energy_per_output_token_j"], one("-m", path)["energy_per_output_token_j"])
    refused(2, "no model", *ONE, "-m", tmp)


@test
def a_name_in_a_file_commands_no_terminal():
    path = write("escape.json", json.dumps({**json.load(open(MODEL)), "_name_or_path": "a\x1b[31m\nb"}))
    assert "a?[31m?b on 1 ×" in predict("-m", path, *ONE[2:])
    assert one("-m", path)["request"]["model"] == "a\x1b[31m\nb"


@test
def models_of_images_are_their_language_model():
    plain = {**json.load(open(MODEL)), "_name_or_path": "x"}
    outer = {"_name_or_path": "x", "vision_config": {"hidden_size": 1152, "num_hidden_layers": 27}}
    asked = one("-m", write("plain.json", json.dumps(plain)))
    for key in ("text_config", "llm_config", "language_config"):
        path = write("inner.json", json.dumps({**outer, key: plain}))
        assert one("-m", path) == asked, key
    path = write("omni.json", json.dumps({**outer, "thinker_config": {"text_config": plain}}))
    assert one("-m", path) == asked


def usage_mistakes():
    yield "unknown GPU 'H1OO'; the nearest are 'H100-SXM5-80GB'", ["-g", "H1OO"]
    yield "no model 'Qwen3-1': give the path of its config.json", ["-m", "Qwen3-1"]
    yield "'--dtype' must be", ["--dtype", "int3"]
    yield "no grid 'Atlantis'", ["--carbon", "Atlantis"]
    yield "no grid 'nan'", ["--carbon", "nan"]
    yield "'--carbon' must be", ["--carbon", "-1"]
    yield "'--pue' must be", ["--pue", "0.5"]
    yield "'--price-per-kwh' must be", ["--price-per-kwh", "-1"]
    yield "'--output' takes a number of tokens", ["-o", "out.csv"]
    yield "'--output' takes a number of tokens", ["-o", "0x10"]
    yield "'--output' must be from 1", ["-o", "0"]
    yield "'--output' must be from 1", ["-o", "1e300"]
    yield "'--input' must be from 1", ["-i", "0"]
    yield "'--input' must be from 1", ["-i", "99999999999"]
    yield "'--input' must be a whole number", ["-i", "-5"]
    yield "'--batch' must be from", ["-b", "0"]
    yield "'--batch' must be from", ["-b", "-2"]
    yield "'--batch' must be a number", ["-b", "inf"]
    yield "3 GPUs cannot be shared", ["--gpus", "3", "--tp", "2"]
    yield "cannot be cut over 3 GPUs", ["--tp", "3"]
    yield "'--tp' must be from 1", ["--tp", "0"]
    yield "'--pp' is more than the 32 layers", ["--pp", "33"]
    yield "'--ep' is for mixtures", ["--ep", "8"]
    yield "'--engine' must be", ["--engine", "foo"]


@test
def wrong_usage_ends_with_2_and_what_to_do():
    for text, args in usage_mistakes():
        refused(2, text, *ONE, *args)
    refused(2, "--input N", "-m", MODEL, "-g", "H100", "-o", "5")
    refused(2, "--output N", "-m", MODEL, "-g", "H100", "-i", "5")
    refused(2, "--model CONFIG --gpu NAME", "-i", "5", "-o", "5")
    for option in (["-m", MODEL], ["-g", "H100"], ["-i", "5"], ["-b", "4"], ["--dtype", "fp8"], ["--carbon", "DE"], ["--json"]):
        refused(2, "not together with '--", "--csv", TABLE, *option)


@test
def what_cannot_be_read_or_written_ends_with_1():
    refused(1, "'hidden_size' is missing", *ONE, "-m", write("c.json", '{"num_hidden_layers": 2}'))
    refused(1, "bad.json: line 1", *ONE, "-m", write("bad.json", '{"num_hidden_layers"'))
    refused(1, "larger than 1 MiB", *ONE, "-m", write("large.json", " " * (2 << 20)))
    refused(1, "cannot open '/nowhere.json'", *ONE, "--fitted", "/nowhere.json")
    refused(1, "cannot open '/nowhere.csv'", "--csv", "/nowhere.csv")
    refused(1, "cannot read '/tmp'", "--csv", "/tmp")
    refused(1, "cannot write '/nowhere/x.csv'", "--csv", TABLE, "-o", "/nowhere/x.csv")
    refused(1, "cannot write '/dev/full'", "--csv", TABLE, "-o", "/dev/full")
    for args in (["--csv", TABLE], ONE, [*ONE, "--json"], ["--list-gpus"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run([JOULETAP, "predict", *args], stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 1 and "No space left" in done.stderr and len(done.stderr.splitlines()) == 1, done


@test
def text_and_json_say_the_same():
    args = [*ONE, "--carbon", "DE", "--price-per-kwh", "0.3", "--pue", "1.2"]
    a, text = json.loads(predict(*args, "--json")), predict(*args)
    for figure in (a["energy_j"], a["lo_j"], a["hi_j"], a["energy_wh"], a["energy_per_output_token_j"], a["facility_j"],
                   a["carbon"]["g_co2e"], a["cost"], a["phases"]["decode_j"], *(v["energy_j"] for v in a["what_if"])):
        assert f"{figure:.4g}" in text, (figure, text)
    for warning in a["warnings"]:
        assert warning in text
    assert f"interval     of errors on {a['interval_of_errors_on']}\n" in text
    assert a["carbon"]["year"] == 2023 and a["carbon"]["region"] == "Germany" and a["price_per_kwh"] == 0.3
    assert (a["reason"] is None) == (not a["outside_data"])


@test
def an_engine_that_was_not_measured_on_a_gpu_is_told_everywhere():
    a = one("-g", "L4", "--engine", "transformers")
    assert a["outside_data"] and a["reason"] and any(a["reason"] in w for w in a["warnings"]), a
    row = rows(predict("--csv", "-", stdin="model,gpu,engine,in_tokens_mean,out_tokens_mean,batch_avg\n"
                                           "llama-3.1-8b,L4,transformers,500,500,32\n"))[0]
    assert row["outside_data"] == "1" and row["reason"] == a["reason"], (row, a["reason"])


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
    table[1]["gpu"], table[1]["gpu_tdp_w"] = "RTX-9999", ""
    table[2]["dtype"] = "int3"
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]))
    writer.writeheader()
    writer.writerows(table)
    done = subprocess.run([JOULETAP, "predict", "--csv", "-"], input=text.getvalue(), capture_output=True, text=True)
    out = rows(done.stdout)
    assert done.returncode == 0 and "predicted 1 of 4 rows" in done.stderr, done.stderr
    for row, word in zip(out, ("gpu_bw_gbs", "unknown GPU 'RTX-9999'", "dtype")):
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
    refused(1, "two columns are named 'a'", "--csv", write("same.csv", "a,b,a\n1,2,3\n"))


@test
def a_row_of_names_is_enough():
    head = "model,gpu,in_tokens_mean,out_tokens_mean,batch_avg"
    named = rows(predict("--csv", "-", stdin=head + """
llama-3.1-8b,H100,500,500,32
llama-3.1-8b,NVIDIA H100 80GB HBM3,500,500,32
openai/gpt-oss-120b,H100,500,500,32
nonsense,H100,500,500,32
llama-3.1-8b,H1OO,500,500,32
llama-3.1-8b,H100,500,,32
llama-3.1-8b,H100,500,500,
llama-3.1-8b,H100,inf,500,32
"""))
    for row, asked in zip(named, (one(), one(), one("-m", "openai/gpt-oss-120b"))):
        assert near(float(row[ADDED[0]]), asked["energy_per_output_token_j"]), (row, asked)
        assert near(float(row["predicted_latency_s"]), asked["latency_s"], 1e-4)
        assert row["outside_data"] == str(int(asked["outside_data"])) and row["reason"] == (asked["reason"] or "")
    for row, word in zip(named[3:], ("no model of --list-models", "unknown GPU", "'out_tokens_mean'", "'batch_avg'",
                                     "'in_tokens_mean' must be a number")):
        assert word in row["reason"] and row[ADDED[0]] == "", row
    assert predict("--csv", "-", "-q", stdin=head + "\n") == head + "," + ",".join(ADDED) + "\n"


@test
def a_table_that_was_predicted_is_predicted_anew():
    once = predict("--csv", TABLE)
    path = write("once.csv", once)
    assert predict("--csv", path) == once
    refused(2, "both the table and what to write", "--csv", path, "-o", path)
    with open(path, newline="") as f:
        assert f.read() == once
    link = os.path.join(tmp, "once-too.csv")
    os.symlink(path, link)
    refused(2, "both the table and what to write", "--csv", path, "-o", link)


@test
def a_reader_that_goes_away_ends_it():
    done = subprocess.run(f"yes llama-3.1-8b,H100,500,500,32 | (echo model,gpu,in_tokens_mean,out_tokens_mean,batch_avg; cat) | "
                          f"'{JOULETAP}' predict --csv - | head -n 3", shell=True, capture_output=True, text=True, timeout=60)
    assert len(done.stdout.splitlines()) == 3 and "Broken pipe" in done.stderr, done


@test
def a_hundred_thousand_rows_take_seconds_and_little_memory():
    with open(TABLE) as f:
        head, body = f.readline(), f.read()
    few, many = write("few.csv", head + body), write("many.csv", head + body * 90)

    def kilobytes(path):
        child = subprocess.Popen([JOULETAP, "predict", "--csv", path, "-o", path + ".out"], stderr=subprocess.PIPE, text=True)
        err = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        child.stderr.close()
        assert child.returncode == 0 and f"of {len(open(path).readlines()) - 1} rows" in err, err
        return usage.ru_maxrss

    assert kilobytes(many) - kilobytes(few) < 24 << 10 < os.path.getsize(many) >> 10
    with open(few + ".out") as a, open(many + ".out") as b:
        once, often = a.read().splitlines()[1:], b.read().splitlines()[1:]
    assert often == once * 90


@test
def empty_lines_however_many_cut_no_row():
    head, row = "model,gpu,in_tokens_mean,out_tokens_mean,batch_avg\n", "llama-3.1-8b,H100,500,500,32\n"
    table = head + "\n" * ((8 << 20) - len(head) - len(row) // 2) + row * 2
    first, second = rows(predict("--csv", "-", "-q", stdin=table))
    assert first == second and float(first[ADDED[0]]) > 0, (first, second)


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
    learned = json.loads(predict(*args, "-o", kept, "--json"))
    assert learned["records"] == 4 and learned["left_out"] == 1 and "'client_gone'" in learned["reason"], learned
    # Three requests that are alike are one row, their mean; a single row is not believed all it says.
    told, = learned["factors"]
    factor = told["factor"]
    assert near(told["measured_to_predicted"], 1.4, 1e-5) and told["rows"] == 1 and told["records"] == 3, learned
    assert 1.1 < factor < 1.4, learned
    a = one("--factors", kept)
    assert near(a["factor"], factor, 1e-5) and a["factor_rows"] == 1 and near(a["energy_j"], factor * j, 1e-5), a
    assert "learned from 1 row of records" in predict(*ONE, "--factors", kept)
    assert f"factor {factor:.4g}" in predict(*args)
    assert one("-g", "B200", "--factors", kept)["factor"] == 1


@test
def records_that_teach_nothing_are_refused():
    args = ["-m", MODEL, "-g", "H100", "--recalibrate"]
    refused(1, "none of 1 records", *args, write("gone.jsonl", record(5, outcome="client_gone")))
    refused(1, "torn.jsonl:2", *args, write("torn.jsonl", record(5) + "{\n"))
    refused(1, "take those of one model", *args, write("two.jsonl", record(5) + record(5, model="other")))
    refused(1, "/no/f.json: No such file", *ONE, "--factors", "/no/f.json")
    refused(1, "not a file of factors", *ONE, "--factors", write("f.json", "{}"))
    refused(2, "needs '--recalibrate", *ONE, "--config", "x")


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
