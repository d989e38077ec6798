#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
What a request will cost, told before it is sent: in headers, in the record, in the metrics, and to who asks
without sending anything. How good the model is is another test's business: no joules are compared here but
with each other.
"""
import json
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import http1
import tap
import upstream
from gateway import Gateway, wait_for
from http1 import JSON
from tap import test
from upstream import Engine

ARCHITECTURE = os.path.join(tap.ROOT, "data", "models", "llama-3.1-8b.json")
folder = tempfile.TemporaryDirectory(prefix="jouletap-predict-")
H100 = "gpus 1\ngpu 0 power 0 400\n"
FIELDS = ["predicted_j", "predicted_lo_j", "predicted_hi_j", "predicted_tokens"]
QUESTION = {"model": "m", "messages": [{"role": "user", "content": "word " * 200}]}


def tell(connection, request):
    """Streams as many tokens as `tokens` says, at most max_tokens."""
    asked = request.json()
    n = min(asked.get("tokens", 5), asked.get("max_tokens", 1000))
    events = [upstream.token("x")] * n + [upstream.finish(), upstream.usage(250, n), upstream.DONE]
    upstream.stream(connection, events)


def serve(engine, config=None, **keys):
    return Gateway([{"name": "engine", "url": engine.url, **keys}], config, script=H100)


def predicting(config=None, **keys):
    engine = Engine(tell)
    return engine, serve(engine, config, **{"architecture": ARCHITECTURE, **keys})


def ask(gateway, headers=(), **more):
    answer = gateway.chat({**QUESTION, "stream": True, **more}, headers)
    assert answer.head.status == 200, answer.head
    return answer.head


def foretell(gateway, headers=(), **more):
    """POST /v1/energy/predict as (status, value)."""
    got = gateway.fetch("POST", "/v1/energy/predict", json.dumps({**QUESTION, **more}).encode(), [*JSON, *headers])
    return got.head.status, json.loads(got.body)


def predicted(gateway, **more):
    status, value = foretell(gateway, **more)
    assert status == 200, value
    return value


@test
def an_answer_says_what_it_was_predicted_to_cost():
    engine, gateway = predicting()
    with gateway:
        head = ask(gateway, max_tokens=50)
        joules = float(head.get("x-jouletap-predicted-j"))
        low, high = map(float, head.get("x-jouletap-predicted-interval-j").split("-"))
        assert 0 < low < joules < high, head.headers
        record = gateway.record(head.get("x-jouletap-request-id"))
        assert abs(record["predicted_j"] - joules) < 0.01 * joules, (record, joules)
        assert record["predicted_lo_j"] < record["predicted_j"] < record["predicted_hi_j"], record
        assert record["predicted_tokens"] == 50 and record["completion_tokens"] == 5, record
        assert record["concurrency"] == 1, record
    engine.stop()


@test
def the_engine_names_no_prediction_of_ours():
    def boast(connection, _):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-jouletap-predicted-j: 0\r\n"
                        b"X-Jouletap-Predicted-Interval-J: 0-0\r\nContent-Length: 2\r\n\r\n{}")

    engine = Engine(boast)
    with serve(engine) as gateway:
        head = gateway.chat(QUESTION).head
        assert head.get("x-jouletap-predicted-j") is None and head.get("x-jouletap-predicted-interval-j") is None
    engine.stop()


@test
def who_asks_what_it_would_cost_sends_nothing_to_the_engine():
    engine, gateway = predicting()
    with gateway:
        value = predicted(gateway, max_tokens=50)
        energy = value["energy"]
        assert value["object"] == "energy.prediction" and value["model"] == "m", value
        assert 0 < energy["lo_j"] < energy["predicted_j"] < energy["hi_j"], value
        assert abs(energy["per_output_token_j"] * 50 - energy["predicted_j"]) < 1e-4, value
        assert energy["provenance"] == "predicted", value
        assert value["prompt_tokens"] == len("user" + "word " * 200) // 4 + 1 and value["output_tokens"] == 50, value
        assert value["batch"] == 1 and bool(value["reason"]) == value["outside_data"], value
        # the same that the request itself is told
        assert gateway.chat({**QUESTION, "stream": True, "max_tokens": 50}).head.status == 200
        record = gateway.wait_records(1)[0]
        assert record["predicted_j"] == energy["predicted_j"], (record, value)
    assert len(engine.requests) == 1, engine.requests
    engine.stop()


@test
def max_tokens_bounds_what_is_predicted():
    engine, gateway = predicting()
    with gateway:
        open_end, short = predicted(gateway), predicted(gateway, max_tokens=10)
        assert short["output_tokens"] == 10 < open_end["output_tokens"], (short, open_end)
        assert short["energy"]["predicted_j"] < open_end["energy"]["predicted_j"], (short, open_end)
        four = predicted(gateway, max_tokens=10, n=4)
        assert four["output_tokens"] == 40 and four["batch"] == 4, four
    engine.stop()


@test
def answers_to_come_are_expected_to_be_like_those_that_came():
    engine, gateway = predicting()
    with gateway:
        for _ in range(4):
            ask(gateway, [("x-jouletap-task-class", "label")], tokens=7)
            ask(gateway, [("x-jouletap-task-class", "chat")], tokens=300)
        gateway.wait_records(8)
        for task_class, n in ("label", 7), ("chat", 300):
            value = foretell(gateway, [("x-jouletap-task-class", task_class)])[1]
            assert value["output_tokens"] == n, (task_class, value)
        cut = foretell(gateway, [("x-jouletap-task-class", "chat")], max_tokens=100)[1]
        assert cut["output_tokens"] == 100, cut
    engine.stop()


@test
def who_runs_already_is_in_the_batch_whoever_serves_it():
    engine = Engine()
    with serve(engine, {"workers": 3}, architecture=ARCHITECTURE) as gateway:
        clients = [gateway.client() for _ in range(5)]
        for client in clients:
            client.send(http1.request("POST", "/v1/chat/completions", json.dumps(QUESTION).encode(), JSON))
        held = [engine.take()[0] for _ in clients]
        assert predicted(gateway)["batch"] == 6
        time.sleep(0.3)  # beside each other for many ticks of the bookkeeper
        clients.pop().close()  # whoever goes away no longer runs
        wait_for(lambda: predicted(gateway)["batch"] == 5, 10, lambda: "the one that went away")
        for connection in held:
            connection.send(upstream.json_answer({}))
        wait_for(lambda: predicted(gateway)["batch"] == 1, 10, lambda: "the end of all")
        assert all(4 < record["concurrency"] <= 5 for record in gateway.wait_records(5)), gateway.records()
        for client in clients:
            client.close()
    engine.stop()


@test
def each_choice_is_a_sequence_of_the_batch():
    engine = Engine()
    with serve(engine, architecture=ARCHITECTURE) as gateway, gateway.client() as client:
        client.send(http1.request("POST", "/v1/chat/completions", json.dumps({**QUESTION, "n": 3}).encode(), JSON))
        held = engine.take()[0]
        assert predicted(gateway)["batch"] == 4
        held.send(upstream.json_answer({}))
        wait_for(lambda: predicted(gateway)["batch"] == 1, 10, lambda: "the end of all three")
    engine.stop()


@test
def the_metrics_say_how_good_predictions_are():
    engine, gateway = predicting()
    with gateway:
        gateway.warm_up()
        for _ in range(3):
            ask(gateway, max_tokens=20)
        records = gateway.wait_records(3)
        metrics = gateway.metrics()
        told = metrics.sum("jouletap_predicted_joules_total", model="m")
        assert abs(told - sum(r["predicted_j"] for r in records)) < 1e-3, (told, records)
        assert metrics.sum("jouletap_measured_to_predicted_ratio_count", model="m") == 3
        ratios = sum(r["total_j"] / r["predicted_j"] for r in records)
        assert abs(metrics.sum("jouletap_measured_to_predicted_ratio_sum", model="m") - ratios) < 1e-3 * ratios + 1e-5
    engine.stop()


@test
def without_an_architecture_nothing_is_predicted_and_all_else_is_as_ever():
    engine = Engine(tell)
    with serve(engine) as gateway:
        head = ask(gateway)
        assert not [name for name, _ in head.headers if "predicted" in name], head.headers
        record = gateway.record(head.get("x-jouletap-request-id"))
        assert [record[field] for field in FIELDS] == [None] * 4, record
        assert record["concurrency"] == 1, record
        status, value = foretell(gateway)
        assert status == 404 and "architecture" in value["error"]["message"], value
        assert value["error"]["type"] == "no_prediction" and value["error"]["code"] == 404, value
        assert "jouletap_predicted" not in gateway.metrics().text
    engine.stop()


@test
def a_question_that_is_none_is_refused_in_words():
    engine = Engine(tell)
    with serve(engine, architecture=ARCHITECTURE, models=["m"]) as gateway:
        for body in b"", b"[]", b'{"model":':
            got = gateway.fetch("POST", "/v1/energy/predict", body, JSON)
            assert got.head.status == 400 and "JSON" in json.loads(got.body)["error"]["message"], got.body
        status, value = foretell(gateway, model="other")
        assert status == 404 and value["error"]["type"] == "model_not_found", value
        assert gateway.fetch("GET", "/v1/energy/predict").head.status == 405
    assert not engine.requests
    engine.stop()


@test
def what_generates_nothing_is_not_predicted():
    engine = Engine(lambda connection, _: connection.send(upstream.json_answer({"usage": {"prompt_tokens": 3}})))
    with serve(engine, architecture=ARCHITECTURE) as gateway:
        head = gateway.chat({"model": "m", "input": "x"}, path="/v1/embeddings").head
        assert head.get("x-jouletap-predicted-j") is None, head.headers
        assert gateway.fetch("GET", "/v1/models").head.get("x-jouletap-predicted-j") is None
    engine.stop()


@test
def a_gpu_that_is_named_goes_before_the_one_that_is_there():
    engine, gateway = predicting(gpu="L4")
    with gateway:
        small = predicted(gateway, max_tokens=50)["energy"]["predicted_j"]
    engine.stop()
    engine, gateway = predicting()
    with gateway:
        assert predicted(gateway, max_tokens=50)["energy"]["predicted_j"] != small
    engine.stop()


@test
def factors_that_the_meter_taught_are_used():
    engine, gateway = predicting()
    with gateway:
        before = predicted(gateway, max_tokens=50)["energy"]["predicted_j"]
    with open(ARCHITECTURE) as f:
        name = json.load(f)["_name_or_path"]
    factors = os.path.join(folder.name, "factors.json")
    with open(factors, "w") as f:
        json.dump({"format": "jouletap-factors", "version": 1,
                   "factors": [{"model": name, "gpu": "H100-SXM5-80GB", "factor": 2.0, "rows": 5}]}, f)
    with serve(engine, {"prediction": {"factors": factors}}, architecture=ARCHITECTURE) as gateway:
        after = predicted(gateway, max_tokens=50)["energy"]["predicted_j"]
        assert abs(after / before - 2) < 1e-4, (before, after)
    engine.stop()


@test
def the_text_of_prompts_is_kept_nowhere():
    secret = "xylophone-7421"
    engine, gateway = predicting({"metering": {"recording": os.path.join(folder.name, "run.jsonl")}})
    with gateway:
        predicted(gateway, messages=[{"role": "user", "content": secret}])
        ask(gateway, messages=[{"role": "user", "content": secret}])
        gateway.wait_records(1)
        for name in (gateway.access_log, os.path.join(folder.name, "run.jsonl")):
            with open(name) as f:
                assert secret not in f.read(), name
        assert secret not in "\n".join(gateway.log)
    engine.stop()


tap.run()
