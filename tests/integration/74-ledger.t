#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
What a ledger teaches: records of a real gateway, and made ones whose truth is known, into factors and into
the fit; and the records that teach nothing.
"""
import csv
import json
import os
import random
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import upstream  # noqa: E402
from gateway import Gateway  # noqa: E402
from http1 import JSON  # noqa: E402
from tap import ROOT, Skip, jouletap, run, test  # noqa: E402

ROWS = ROOT + "/data/predictor/energy_tidy.csv"
LLAMA = ROOT + "/data/models/llama-3.1-8b.json"
QWEN = ROOT + "/data/models/qwen3-30b-a3b.json"
folder = tempfile.TemporaryDirectory(prefix="jouletap-ledger-")
tmp = folder.name


def write(name, text):
    with open(f"{tmp}/{name}", "w") as f:
        f.write(text)
    return f"{tmp}/{name}"


CONFIG = write("jouletap.yaml", f"""
upstreams:
- {{name: llama, url: "http://127.0.0.1:1", architecture: {LLAMA}, gpu: H100}}
- {{name: pair, url: "http://127.0.0.1:2", architecture: {LLAMA}, gpu: H100, tensor_parallel: 2}}
- {{name: mixture, url: "http://127.0.0.1:3", architecture: {QWEN}, gpu: B200, max_num_seqs: 32}}
- {{name: blank, url: "http://127.0.0.1:4", gpu: H100}}
- {{name: nameless, url: "http://127.0.0.1:5", architecture: {LLAMA}}}
""")
MODELS = {"llama": (LLAMA, "H100", 1), "pair": (LLAMA, "H100", 2), "mixture": (QWEN, "B200", 1)}


def json_of(*args):
    code, out, err = jouletap(*args)
    assert code == 0, err
    return json.loads(out)


def predicted(name, n_in, n_out, batch, *more):
    model, gpu, tp = MODELS[name]
    return json_of("predict", "-m", model, "-g", gpu, "--tp", str(tp), "-i", str(n_in), "-o", str(n_out), "-b", str(batch),
                   "--json", *more)


def record(name, n_in, n_out, batch, joules, **more):
    domains = "gpu:0,gpu:1" if name == "pair" else "gpu:0"
    return json.dumps({"id": "x", "model": name, "task_class": "chat", "upstream": name, "outcome": "ok", "choices": 1,
                       "prompt_tokens": n_in, "completion_tokens": n_out, "concurrency": batch, "total_j": round(joules, 6),
                       "coverage": 1, "provenance": "measured", "domains": domains, **more}) + "\n"


def learn(*args):
    return json_of("predict", "--recalibrate", *args, "--json")


# Without max_num_seqs an upstream may batch more than it does; the gateway's question says the same.
def per_load(name, factor, loads):
    return "".join(record(name, i, o, b, factor * predicted(name, i, o, b)["energy_j"]) for i, o, b in loads)


LOADS = [(500, 100, 1), (1000, 400, 4), (300, 800, 16)]


@test
def each_model_on_a_gpu_gets_its_factor():
    log = write("two.jsonl", per_load("llama", 1.5, LOADS) * 3 + per_load("mixture", 0.8, LOADS))
    out = f"{tmp}/factors.json"
    got = learn(log, "-c", CONFIG, "-o", out)
    assert got["records"] == 12 and got["left_out"] == 0, got
    factors = {f["gpu"]: f for f in got["factors"]}
    assert set(factors) == {"H100-SXM5-80GB", "B200-SXM-180GB"}, got
    h100, b200 = factors["H100-SXM5-80GB"], factors["B200-SXM-180GB"]
    # Three loads, whether each was seen once or three times. What differs is the room that may be left in a batch.
    assert h100["rows"] == b200["rows"] == 3 and h100["records"] == 9 and b200["records"] == 3, got
    assert abs(h100["measured_to_predicted"] / 1.5 - 1) < 0.1 and 1.2 < h100["factor"] < h100["measured_to_predicted"], got
    assert abs(b200["measured_to_predicted"] / 0.8 - 1) < 0.1 and b200["measured_to_predicted"] < b200["factor"] < 0.95, got
    with open(out) as f:
        kept = json.load(f)
    assert kept["format"] == "jouletap-factors" and len(kept["factors"]) == 2, kept
    before, after = predicted("llama", 500, 100, 4), predicted("llama", 500, 100, 4, "--factors", out)
    assert abs(after["energy_j"] / before["energy_j"] / h100["factor"] - 1) < 1e-6, after
    assert after["factor_rows"] == 3 and before["factor_rows"] == 0, after


@test
def few_records_teach_less_than_many():
    factors = []
    for n in (1, 3):
        log = write("few.jsonl", per_load("llama", 2, LOADS[:n]))
        factors.append(learn(log, "-m", LLAMA, "-g", "H100")["factors"][0])
    one, three = factors
    assert abs(one["measured_to_predicted"] - 2) < 1e-3 and abs(three["measured_to_predicted"] - 2) < 1e-3, factors
    assert 1.2 < one["factor"] < three["factor"] < 2, factors


@test
def an_interval_is_as_wide_as_the_meter_scatters():
    """Loads of which every other one takes thrice what the rest do: no factor makes of that a narrow interval."""
    base = [(i, o, b) for i in (100, 800) for o in (60, 500) for b in (1, 4, 16)]
    log = write("wild.jsonl", "".join(record("llama", i, o, b, (3 if n % 2 else 1) * predicted("llama", i, o, b)["energy_j"])
                                      for n, (i, o, b) in enumerate(base)))
    out = f"{tmp}/wild.json"
    told, = learn(log, "-m", LLAMA, "-g", "H100", "-o", out)["factors"]
    assert told["rows"] == 12 and 1.5 < told["factor"] < 3 ** 0.5, told
    a = predicted("llama", 100, 60, 4, "--factors", out)
    assert a["lo_j"] < a["energy_j"] / told["factor"] * 1.001, a
    assert a["hi_j"] > a["energy_j"] / told["factor"] * 2.999, a


@test
def a_record_says_its_batch_and_else_the_command_does():
    joules = predicted("llama", 500, 100, 8)["energy_j"]
    told, untold = record("llama", 500, 100, 8, joules), record("llama", 500, 100, None, joules)
    for text, batch in ((told, "1"), (untold, "8")):
        got = learn(write("batch.jsonl", text), "-m", LLAMA, "-g", "H100", "-b", batch)
        assert abs(got["factors"][0]["measured_to_predicted"] - 1) < 1e-4, got


@test
def what_teaches_nothing_is_left_out_and_said():
    good = per_load("llama", 1.5, LOADS)
    for bad, reason in (
            (record("blank", 500, 100, 4, 9), "upstream 'blank' of"),
            (record("blank", 500, 100, 4, 9), "set `architecture:`"),
            (record("nameless", 500, 100, 4, 9), "set `gpu:`"),
            (record("stranger", 500, 100, 4, 9), "no upstream 'stranger'"),
            (record("llama", 500, 100, 4, 9, provenance="modelled"), "'modelled' and not from a meter"),
            (record("llama", 500, 100, 4, 9, outcome="client_gone"), "'client_gone'"),
            (record("llama", 500, 100, 4, 9, domains="gpu:0,cpu:0"), "'cpu:0'"),
            (record("llama", 500, 100, None, 9), "'concurrency'"),
            (record("llama", 500, 100, 4, 9)[:60], "cut off")):
        got = learn(write("mixed.jsonl", good + bad), "-c", CONFIG)
        assert got["left_out"] == 1 and reason in got["reason"] and "line 4" in got["reason"], (reason, got)
        assert got["factors"][0]["rows"] == 3, got
        if bad.endswith("\n"):
            refused(1, "none of 1 records", write("bad.jsonl", bad), "-c", CONFIG)
            refused(1, reason, write("bad.jsonl", bad), "-c", CONFIG)


def refused(status, text, *args, command=("predict", "--recalibrate")):
    code, out, err = jouletap(*command, *args)
    assert code == status and text in err and not out, (code, out, err)


@test
def mistakes_are_named():
    good = record("llama", 500, 100, 4, 9)
    refused(1, "broken.jsonl:2", write("broken.jsonl", good + "{\n" + good), "-c", CONFIG)
    refused(1, "nan.jsonl:2", write("nan.jsonl", good + good.replace("9.0", "NaN").replace(": 9,", ": NaN,")), "-c", CONFIG)
    log = write("good.jsonl", good)
    refused(1, "none.yaml", log, "-c", f"{tmp}/none.yaml")
    refused(1, "upstream 'llama', `gpu`", log, "-c", write("gpu.yaml", 'upstreams: [{name: llama, url: "http://127.0.0.1:1", '
                                                          f'architecture: {LLAMA}, gpu: H1000}}]'))
    refused(2, "not together with --model", log, "-c", CONFIG, "-m", LLAMA)
    refused(2, "say what served the records", log)
    refused(2, "'--config' needs", "-m", LLAMA, "-g", "H100", "-i", "1", "-o", "1", "-c", CONFIG, command=("predict",))
    refused(1, "take those of one model", write("both.jsonl", good + record("pair", 9, 9, 9, 9)), "-m", LLAMA, "-g", "H100")
    with open(LLAMA) as f:
        other = write("other.json", json.dumps(dict(json.load(f), num_hidden_layers=80)))
    refused(1, "_name_or_path", write("twins.jsonl", good + record("twin", 500, 100, 4, 9)), "-c",
            write("twins.yaml", f'upstreams: [{{name: llama, url: "http://127.0.0.1:1", architecture: {LLAMA}, gpu: H100}}, '
                                f'{{name: twin, url: "http://127.0.0.1:2", architecture: {other}, gpu: H100}}]'))
    refused(1, "say what their upstreams are", "-d", log, "-o", f"{tmp}/x.json", command=("train",))
    assert not os.path.exists(f"{tmp}/x.json")


@test
def what_a_gateway_has_metered_teaches_the_gateway():
    def tell(connection, request):
        events = [upstream.token("x")] * 20 + [upstream.finish(), upstream.usage(250, 20), upstream.DONE]
        upstream.stream(connection, events, pause=0.01)

    engine = upstream.Engine(tell)
    deployment = {"name": "engine", "url": engine.url, "architecture": LLAMA}
    question = {"model": "m", "messages": [{"role": "user", "content": "word " * 200}], "stream": True}
    script = "gpus 1\ngpu 0 power 0 400\n"
    factors = f"{tmp}/gateway.json"
    with Gateway([{**deployment, "gpu": "H100"}], script=script) as gateway:
        gateway.warm_up()
        for _ in range(4):
            assert gateway.chat(question, JSON).head.status == 200
        records = gateway.wait_records(4)
        assert all(r["concurrency"] is not None and r["provenance"] in ("measured", "derived") for r in records), records
        got = learn(gateway.access_log, "-c", gateway.config, "-o", factors)
    assert sum(f["records"] for f in got["factors"]) + got["left_out"] == 4 and len(got["factors"]) == 1, got
    before = records[-1]["predicted_j"]
    with Gateway([{**deployment, "gpu": "H100"}], {"prediction": {"factors": factors}}, script=script) as gateway:
        gateway.warm_up()
        assert gateway.chat(question, JSON).head.status == 200
        after = gateway.wait_records(1)[0]
    # The first of the four was predicted to have another length than they had; this one as well.
    ratio = after["predicted_j"] / records[0]["predicted_j"]
    assert abs(ratio / got["factors"][0]["factor"] - 1) < 0.01 and before > 0, (ratio, got)


def train(*args):
    code, out, err = jouletap("train", *args)
    if "libxgboost-dev" in err:
        raise Skip(err.strip())
    return code, out, err


@test
def own_requests_are_fitted_beside_the_table():
    """Of an upstream that draws twice what is predicted, each request off by up to half again."""
    chance = random.Random(4)
    base = {}
    text = ""
    for _ in range(600):
        load = (chance.choice([100, 500, 2000]), chance.choice([50, 200, 800]), chance.choice([1, 4, 16, 60]))
        if load not in base:
            base[load] = predicted("llama", *load)["energy_j"]
        text += record("llama", *load, 2 * base[load] * chance.uniform(0.5, 1.5))
    log = write("own.jsonl", text + record("blank", 1, 1, 1, 1))
    with open(ROWS, newline="") as f:
        rows = list(csv.reader(f))
    table = f"{tmp}/some.csv"
    with open(table, "w", newline="") as f:
        csv.writer(f, lineterminator="\n").writerows(rows[:1] + rows[1::8])
    model = f"{tmp}/own.json"
    code, out, err = train("-d", table, "-d", log, "-c", CONFIG, "-o", model)
    assert code == 0, err
    assert "600 records became 36 rows" in err and "1 records left out; the first: line 601" in err, err
    assert f"{len(rows[1::8]) + 36} rows, 36 of them of 600 records" in out, out
    with open(model) as f:
        fitted = json.load(f)
    assert fitted["provenance"]["rows"] == len(rows[1::8]) + 36 and "factor_prior" in fitted["provenance"]["scores"]
    taught = [g for g in fitted["intervals"]["groups"] if "factor_rows" in g]
    assert {g["factor_rows"] for g in taught} <= {1, 3} and taught, fitted["intervals"]
    ratios = sorted(predicted("llama", *load, "--fitted", model)["energy_j"] / j for load, j in base.items())
    assert 1.6 < ratios[len(ratios) // 2] < 2.4, ratios
    scores = json.loads(train("-q", "-d", table, "-d", log, "-c", CONFIG, "-o", model, "--json")[1])
    assert scores["records"] == 601 and scores["records_left_out"] == 1 and scores["rows_of_records"] == 36, scores
    assert {s["split"] for s in scores["scores"]} == {"random", "backbone", "gpu"}, scores


@test
def records_alone_are_enough_for_a_fit():
    text = "".join(record(name, i, o, b, predicted(name, i, o, b)["energy_j"])
                   for name in ("llama", "mixture") for i in (100, 900) for o in (60, 300) for b in (1, 2, 4, 8, 16))
    code, out, err = train("-d", write("alone.jsonl", text), "-c", CONFIG, "-o", f"{tmp}/alone.json")
    assert code == 0 and "40 rows, 40 of them of 40 records" in out and "one backbone left out" in out, (out, err)
    code, _, err = train("-d", write("none.jsonl", record("blank", 9, 9, 9, 9)), "-c", CONFIG, "-o", f"{tmp}/none.json")
    assert code == 1 and "no row can be used" in err and "set `architecture:`" in err, err


run()
