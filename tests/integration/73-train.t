#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""jouletap train as a person meets it: a model that reads back, scores, reports, mistakes."""
import csv
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import ROOT, Skip, jouletap, run, test  # noqa: E402

ROWS = ROOT + "/data/predictor/energy_tidy.csv"
folder = tempfile.TemporaryDirectory()
tmp = folder.name
with open(ROWS, newline="") as f:
    rows = list(csv.reader(f))
head, rows = rows[0], rows[1:]


def table(name, chosen):
    with open(f"{tmp}/{name}", "w", newline="") as f:
        csv.writer(f, lineterminator="\n").writerows([head] + chosen)
    return f"{tmp}/{name}"


def train(*args):
    code, out, err = jouletap("train", "--quiet", *args)
    if "libxgboost-dev" in err:
        raise Skip(err.strip())
    return code, out, err


small = table("small.csv", rows[::8])


@test
def a_model_is_written_the_same_each_time():
    models = []
    for name in "ab":
        code, out, err = train("-d", small, "-o", f"{tmp}/{name}.json", "--date", "2026-01-01", "--seed", "3")
        assert code == 0, err
        assert "one backbone left out" in out, out
        with open(f"{tmp}/{name}.json") as f:
            models.append(f.read())
    assert models[0] == models[1]
    model = json.loads(models[0])
    assert model["provenance"]["rows"] == len(rows[::8])
    assert [p["kind"] for p in model["parts"]] == ["sum", "trees", "kernel"]
    assert model["intervals"]["coverage"] == 0.9


@test
def scores_are_one_json_object():
    code, out, err = train("-d", small, "-o", f"{tmp}/m.json", "--json")
    assert code == 0, err
    scores = {s["split"]: s for s in json.loads(out)["scores"]}
    assert set(scores) == {"random", "backbone", "gpu"}, scores
    assert 0.02 < scores["random"]["mape"] < scores["backbone"]["mape"] < 1, scores


@test
def a_report_has_every_backbone_and_its_plots():
    some = table("some.csv", [r for r in rows if r[head.index("model_group")] in
                              ("qwen3-14b", "qwen3-8b", "llama-3.1-8b", "gemma-3-4b", "pythia-1.4b")][::4])
    code, out, err = train("-d", some, "--report", f"{tmp}/report.md")
    assert code == 0, err
    with open(f"{tmp}/report.md") as f:
        page = f.read()
    with open(some, newline="") as f:
        for row in csv.DictReader(f):
            assert f"| {row['model_group']} |" in page, row["model_group"]
    assert "forest" in page and "gblinear" in page
    with open(f"{tmp}/report/backbones.svg") as f:
        assert f.read().startswith("<svg")
    code, out, err = train("-d", some, "--report", f"{tmp}/report.txt")
    assert code == 1 and "'.md' or a '.html'" in err, err


def refused(text, *args):
    code, out, err = jouletap("train", *args)
    assert code != 0 and text in err and not out, (code, out, err)


@test
def few_rows_are_warned_of():
    code, _, err = train("-d", table("few.csv", rows[:30]), "-o", f"{tmp}/few.json")
    assert code == 0 and "fewer than 100 rows (30)" in err, err
    assert "few" not in train("-d", small, "-o", f"{tmp}/few.json")[2]


@test
def what_the_data_cannot_say_is_a_dash_in_a_report():
    same = table("same.csv", [rows[5]] * 60)
    code, out, err = train("-d", same, "--report", f"{tmp}/same.md")
    assert code == 0, err
    with open(f"{tmp}/same.md") as f:
        page = f.read()
    assert "| – |" in page and "nan" not in page, page


@test
def mistakes_are_named():
    bad = [list(r) for r in rows[:5]]
    bad[2][head.index("energy_per_token_j")] = "nan"
    refused("bad.csv:4", "-o", f"{tmp}/x.json", "-d", table("bad.csv", bad))
    bad[2][head.index("energy_per_token_j")] = "123"
    refused("energy_per_request_j", "-o", f"{tmp}/x.json", "-d", table("bad.csv", bad))
    refused("cannot open", "-o", f"{tmp}/x.json", "-d", f"{tmp}/none.csv")
    refused("--data FILE", "-o", f"{tmp}/x.json")
    refused("use more rows", "-o", f"{tmp}/x.json", "-d", table("three.csv", rows[:3]))
    refused("nothing to do", "-d", small)
    assert not os.path.exists(f"{tmp}/x.json")


run()
