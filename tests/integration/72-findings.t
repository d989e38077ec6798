#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
The shipped predictor finds what was found by measuring: arXiv 2511.05597 on the shape of energy over
tokens, batch, depth, width and KV heads.

From data come batching, mixtures and the sizes of models: many measured rows differ in these. From the
physical prior comes what input tokens do (three rows in four do not tell how many there were), and what
one field of an architecture does with all others as they are (no two measured models differ so).
"""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from tap import JOULETAP, ROOT, run, test  # noqa: E402

MODEL = ROOT + "/data/models/llama-3.1-8b.json"
folder = tempfile.TemporaryDirectory()


def config(**fields):
    """Llama-3.1-8B with some fields changed."""
    path = os.path.join(folder.name, "-".join(f"{k}{v}" for k, v in fields.items()) + ".json")
    with open(MODEL) as f, open(path, "w") as to:
        json.dump({**json.load(f), **fields}, to)
    return path


def joules(tokens_in, tokens_out, batch=32, model=MODEL, gpu="H100"):
    out = subprocess.run([JOULETAP, "predict", "-m", model, "-g", gpu, "-i", str(tokens_in), "-o", str(tokens_out),
                          "-b", str(batch), "--json"], capture_output=True, text=True, check=True).stdout
    return json.loads(out)["energy_j"]


def bend(xs, ys):
    """The largest distance of points from the straight line through their ends, as part of the last."""
    slope = (ys[-1] - ys[0]) / (xs[-1] - xs[0])
    return max(abs(y - ys[0] - slope * (x - xs[0])) for x, y in zip(xs, ys)) / ys[-1]


# ---- from data ----


@test
def data_batching_makes_each_request_cheaper_and_ever_less_so():
    batches = [2 ** k for k in range(10)]
    for gpu in ("H100", "B200"):
        j = [joules(300, 300, b, gpu=gpu) for b in batches]
        print("#", gpu, [f"{x:.0f}" for x in j])
        assert all(b < a for a, b in zip(j, j[1:])), j
        assert j[0] / j[7] > 10, "a batch of 128 saves a factor of more than ten"
        assert j[0] / j[1] > j[8] / j[9], "the first doubling saves more than the last"


@test
def data_a_mixture_costs_less_than_a_dense_model_of_its_size():
    mixture = joules(500, 900, 64, "Qwen/Qwen3-30B-A3B-Instruct-2507", "B200")
    dense = joules(500, 900, 64, "google/gemma-3-27b-it", "B200")
    print(f"# dense / mixture {dense / mixture:.2f} at a batch of 64; measured 1.18")
    assert 1.05 < dense / mixture < 1.5


@test
def data_larger_models_of_a_family_cost_more():
    j = [joules(500, 500, 8, f"Qwen/Qwen2.5-{b}B-Instruct", "A100-PCIe-80GB") for b in ("1.5", "7", "14", "32")]
    print("#", [f"{x:.0f}" for x in j])
    assert j == sorted(j)


# ---- from the physical prior ----


@test
def physics_output_tokens_cost_far_more_than_input_tokens():
    for batch in (1, 32, 128):
        few, many = joules(900, 100, batch), joules(100, 900, batch)
        print(f"# batch {batch}: 100 in / 900 out costs {many / few:.1f} times 900 in / 100 out")
        # In a large batch decoding costs each request less, its prompt as much as ever.
        assert many > (3 if batch < 100 else 2) * few


@test
def physics_energy_grows_with_input_and_with_output():
    inputs = [joules(n, 200) for n in (100, 400, 1600, 6400)]
    outputs = [joules(200, n) for n in (50, 200, 800, 3200)]
    assert inputs == sorted(inputs) and outputs == sorted(outputs), (inputs, outputs)


@test
def physics_depth_is_linear():
    layers = [8, 16, 24, 32, 48, 64]
    j = [joules(500, 500, model=config(num_hidden_layers=n)) for n in layers]
    print(f"# {[f'{x:.0f}' for x in j]}, off the line by {100 * bend(layers, j):.1f} %")
    assert j == sorted(j) and bend(layers, j) < 0.05


@test
def physics_width_is_flat_and_then_about_quadratic():
    j = {h: joules(500, 500, model=config(hidden_size=h, intermediate_size=h * 7 // 2, num_attention_heads=h // 128,
                                          num_key_value_heads=max(h // 512, 1)))
         for h in (512, 1024, 2048, 4096, 8192)}
    print("#", {h: f"{x:.0f}" for h, x in j.items()})
    assert j[1024] / j[512] < 1.5, "narrow models cost what launching costs"
    assert 2 < j[8192] / j[4096] < 4.5
    assert j[8192] / j[4096] > j[4096] / j[2048] > j[2048] / j[1024]


@test
def physics_fewer_kv_heads_cost_less():
    j = [joules(2000, 500, model=config(num_key_value_heads=n)) for n in (1, 8, 32)]
    print(f"# MQA {j[0]:.0f} J, GQA {j[1]:.0f} J, MHA {j[2]:.0f} J")
    assert j[0] < j[1] < j[2]


@test
def physics_weights_of_four_bits_save_energy_where_memory_is_slow():
    def ratio(gpu):
        return joules_of("bf16", gpu) / joules_of("awq", gpu)

    def joules_of(dtype, gpu):
        out = subprocess.run([JOULETAP, "predict", "-m", MODEL, "-g", gpu, "-i", "500", "-o", "500", "-b", "4",
                              "--dtype", dtype, "--json"], capture_output=True, text=True, check=True).stdout
        return json.loads(out)["energy_j"]

    slow, fast = ratio("L4"), ratio("H100")
    print(f"# bf16 / awq: {slow:.2f} on L4, {fast:.2f} on H100")
    assert slow > fast > 1


run()
