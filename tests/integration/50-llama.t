#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
A real llama.cpp behind the gateway and the OpenAI SDK in front of it. Between gateway and engine sits a
wiretap, so that what each client got can be held against what the engine sent.

Needs Node 20 or later, and npm with its registry the first time; without them it is skipped and says so.
"""
import atexit
import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import http1
import tap
import upstream
from gateway import Gateway, wait_for
from node import HOME, install
from tap import test
from wiretap import Wiretap

TESTS = os.path.join(tap.ROOT, "tests")
ENERGY = re.compile(rb',?"energy":\{[^{}]*\}')


class Machine:
    """Engine, wiretap and gateway, for the whole program."""

    def __init__(self):
        install()
        model = os.path.join(HOME, "tiny.gguf")
        if not os.path.exists(model):
            subprocess.run([sys.executable, os.path.join(TESTS, "tools", "make_gguf.py"), "-o", model + ".part"],
                           check=True, stdout=subprocess.DEVNULL, timeout=120)
            os.rename(model + ".part", model)
        self.server = subprocess.Popen(["node", "llama_openai_server.mjs", model, "0", "8"], cwd=HOME, text=True,
                                       stdout=subprocess.PIPE, env=dict(os.environ, THREADS="1"))
        atexit.register(self.stop)
        watchdog = threading.Timer(120, self.server.kill)
        watchdog.start()
        ready = self.server.stdout.readline()
        watchdog.cancel()
        assert ready.startswith("ready "), "the engine did not start"
        self.engine = "127.0.0.1:" + ready.split()[1]
        self.tap = Wiretap(self.engine)
        self.gateway = Gateway([{"name": "llama", "url": self.tap.url}])
        self.gateway.warm_up()

    def stop(self):
        self.server.kill()
        self.server.wait()
        if hasattr(self, "tap"):
            self.tap.stop()
        if hasattr(self, "gateway"):
            self.gateway.close()

    def engine_metric(self, name):
        page = http1.fetch(self.engine, "GET", "/metrics").body.decode()
        return float(re.search(rf"^llama_{name} (\S+)$", page, re.M).group(1))


_machine = []


def machine():
    if not _machine:
        try:
            _machine.append(Machine())
        except Exception as why:
            _machine.append(why)
    if isinstance(_machine[0], Exception):
        raise _machine[0]
    return _machine[0]


def clients(address, requests, at_once):
    """What the SDK made of these requests, by id."""
    job = {"base_url": "http://" + address, "at_once": at_once, "requests": requests}
    done = subprocess.run(["node", "clients.mjs"], cwd=HOME, input=json.dumps(job), capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr
    answers = {}
    for line in done.stdout.splitlines():
        answer = json.loads(line)
        answer["raw"] = base64.b64decode(answer["raw"])
        answers[answer["id"]] = answer
    return answers


def chat(name, seed, stream=True, usage=True, headers=None, **more):
    body = {"model": "tiny", "seed": seed, "max_tokens": 48, "stream": stream, "temperature": 1,
            "messages": [{"role": "user", "content": f"Say something about {seed}."}], **more}
    if stream and usage:
        body["stream_options"] = {"include_usage": True}
    return {"id": name, "body": body, "headers": headers or {}}


def usage_of(body):
    """What the engine told in a stream."""
    return next(json.loads(e[6:])["usage"] for e in upstream.events_of(body) if upstream.is_usage_chunk(e))


@test
def eight_streams_at_once_get_what_the_engine_sent():
    m = machine()
    asked = [chat(f"eight-{i}", i, usage=i % 2 == 0) for i in range(6)]
    asked += [chat(f"eight-{i}", i, usage=i % 2 == 0, headers={"x-jouletap-energy": "1"}) for i in (6, 7)]
    answers = clients(m.gateway.address, asked, at_once=True)
    tapped = m.tap.exchanges()
    for i, request in enumerate(asked):
        answer, (_, engine) = answers[request["id"]], tapped[request["id"]]
        assert "error" not in answer and answer["status"] == 200, answer
        assert engine.complete and engine.head.status == 200
        got, sent = answer["raw"], engine.body
        if i >= 6:
            assert len(ENERGY.findall(got)) == 1 and answer["usage"]["energy"]["provisional"] is True, got
            got = ENERGY.sub(b"", got)
        elif i % 2:
            assert len(upstream.without_usage_chunks(sent)) < len(sent) and "usage" not in answer
            sent = upstream.without_usage_chunks(sent)
        assert got == sent, (request["id"], got, sent)
        assert answer["text"] and answer["headers"]["x-jouletap-request-id"] == request["id"]
        usage, r = usage_of(engine.body), m.gateway.record(request["id"])
        for key in ("prompt_tokens", "completion_tokens"):
            assert r[key] == usage[key], (key, r, usage)
        if "usage" in answer:
            assert answer["usage"]["total_tokens"] == usage["total_tokens"]
        assert r["outcome"] == "ok" and r["token_source"] == "usage" and r["total_j"] > 0, r
    begun = [r["start"] for r in m.gateway.records()]
    assert len(begun) == 8


@test
def one_at_a_time_the_gateway_changes_nothing():
    m = machine()
    asked = [chat(f"same-{i}", 100 + i, stream=i < 4, usage=i < 2) for i in range(6)]
    direct = clients(m.engine, asked, at_once=False)
    through = clients(m.gateway.address, asked, at_once=False)
    tapped = m.tap.exchanges()
    for request in asked:
        a, b = direct[request["id"]], through[request["id"]]
        assert "error" not in a and "error" not in b, (a, b)
        assert a["text"] == b["text"] and a["text"], (a["text"], b["text"])
        assert a.get("usage") == b.get("usage"), (a, b)
        sent = tapped[request["id"]][1].body
        assert b["raw"] == (sent if "usage" in b else upstream.without_usage_chunks(sent))
        assert tapped[request["id"]][1].head.status == a["status"] == b["status"] == 200
    assert len({a["text"] for a in direct.values()}) > 1, "the engine says always the same"


@test
def a_plain_answer_carries_its_joules():
    m = machine()
    for i in range(3):
        request = chat(f"plain-{i}", 200 + i, stream=False, headers={"x-jouletap-energy": "1"})
        answer = clients(m.gateway.address, [request], at_once=False)[request["id"]]
        assert "error" not in answer, answer
        energy = answer["usage"]["energy"]
        assert energy["total_j"] > 0 and energy["provisional"] is True, energy
        assert ENERGY.sub(b"", answer["raw"]) == m.tap.exchanges()[request["id"]][1].body
        final, r = m.gateway.final_energy(request["id"]), m.gateway.record(request["id"])
        assert final["total_j"] == r["total_j"] > 0 and final["provenance"] == r["provenance"]
        assert r["phase_source"] == "engine" and r["completion_tokens"] == answer["usage"]["completion_tokens"], r


@test
def a_client_that_leaves_frees_the_engine():
    m = machine()
    request = chat("left", 300, max_tokens=1800, ignore_eos=True)
    request["leave_after"] = 5
    answer = clients(m.gateway.address, [request], at_once=False)["left"]
    assert answer["text"], answer
    wait_for(lambda: m.engine_metric("running") == 0, 10, lambda: "the engine to stop")
    r = m.gateway.record("left")
    assert r["outcome"] == "client_gone" and r["token_source"] == "events", r
    assert 5 <= r["completion_tokens"] < 1800 and r["total_j"] > 0, r
    received = m.tap.exchanges()["left"][1]
    assert not received.complete and len(received.body) >= len(answer["raw"])


@test
def more_clients_than_the_engine_has_room_for():
    m = machine()
    asked = [chat(f"crowd-{i}", 400 + i, max_tokens=24) for i in range(20)]
    answers = clients(m.gateway.address, asked, at_once=True)
    tapped = m.tap.exchanges()
    for request in asked:
        answer = answers[request["id"]]
        assert "error" not in answer and answer["raw"] == tapped[request["id"]][1].body
        assert answer["usage"]["completion_tokens"] == m.gateway.record(request["id"])["completion_tokens"]


@test
def energy_is_conserved():
    m = machine()
    wait_for(lambda: m.gateway.metrics().sum("jouletap_requests_in_flight") == 0, 10, lambda: "the last requests")
    metrics, records = m.gateway.metrics(), m.gateway.records()
    metrics.check_account()
    total = sum(r["total_j"] for r in records)
    attributed = metrics.sum("jouletap_attributed_joules_total")
    assert abs(attributed - total) < 2e-6 * len(records) * len(metrics.domains()), (attributed, total)
    by_phase = sum(metrics.sum("jouletap_joules_total", phase=p) for p in ("queue", "prefill", "decode"))
    assert abs(by_phase - total) < 1e-4, (by_phase, total)
    tokens = sum(r["completion_tokens"] for r in records)
    assert metrics.sum("jouletap_tokens_total", phase="decode") == tokens
    own = m.engine_metric("generation_tokens")
    meter = metrics.sum("jouletap_domain_joules_total")
    print(f"# {len(records)} requests, {tokens} tokens, {total:.2f} J of {meter:.2f} J, {records[-1]['provenance']}; "
          f"the engine made {own:.0f} tokens, those asked for directly included")


@test
def the_engines_own_pages_pass_through():
    m = machine()
    page = m.gateway.fetch("GET", "/metrics").body.decode()
    assert "llama_generation_tokens" in page and "jouletap_" not in page
    models = json.loads(m.gateway.fetch("GET", "/v1/models").body)
    assert models["data"][0]["id"].endswith(".gguf"), models


@test
def it_ends_well():
    m = machine()
    assert m.gateway.stop() == 0, m.gateway.log
    m.server.send_signal(signal.SIGTERM)
    m.server.wait(20)


if __name__ == "__main__":
    tap.run()
