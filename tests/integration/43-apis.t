#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
The gateway in front of engines that speak other APIs than one another: vLLM, SGLang, TGI, Ollama, OpenAI's responses,
Anthropic's messages, embeddings (tests/lib/engines.py). Whatever they send and however it is cut, the client gets
these bytes, and the record says what they tell.
"""
import gzip
import json
import os
import random
import re
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import engines
import http1
import tap
import upstream
from gateway import Gateway, HandDriven
from http1 import JSON
from tap import test
from upstream import Capture, Engine

ENERGY = re.compile(rb',?"energy":\{[^{}]*\}')


def every():
    return [make() for make in engines.EVERY]


def id_of(name):
    return [("x-request-id", name)]


def check_record(r, expected):
    for key, want in expected.items():
        if isinstance(want, float):
            assert r[key] is not None and abs(r[key] - want) < 1e-6, (key, want, r)
        else:
            assert r[key] == want, (key, want, r)
    if r["total_j"] is not None:
        parts = r["queue_j"] + r["prefill_j"] + r["decode_j"]
        assert abs(r["total_j"] - parts) < 2e-6, r
    if r["http_status"] == 200 and r["completion_tokens"] == 0 and r["outcome"] == "ok":  # it only prefilled
        assert r["decode_j"] == 0, r


def play(t, connection, writes, closes=False):
    """Sends an answer in so many writes and reads what becomes of it."""
    for write in writes:
        connection.send(write)
    if closes:
        t.engine.held.remove(connection)
        connection.close()
    answer = t.client.answer()
    answer.read()
    assert answer.complete
    return answer


def say_nothing(gateway):
    """No word of a prompt or an answer is kept anywhere."""
    with open(gateway.access_log, encoding="utf-8") as f:
        told = f.read() + "\n".join(gateway.log) + gateway.metrics().text
    for mark in engines.MARKS:
        assert mark not in told, mark


@test
def what_an_engine_sends_comes_out_however_it_is_framed_and_cut():
    rng = random.Random(43)
    expected = {}
    turn = 0
    with HandDriven() as t:
        for answer in every():
            bodies = [answer.body()]
            if answer.stream:
                bodies += [answer.body(closed=False), answer.body(b"\r\n"), answer.body(b"\r\n", closed=False)]
            for body in bodies:
                framings = list(engines.framings(answer, body, rng))
                if body != answer.body():  # two of them in turn
                    framings = (framings * 2)[turn % len(framings) :][:2]
                for wire, closes in framings:
                    ways = list(engines.cuts(wire, rng))
                    name = f"{answer.name}-{turn}"
                    connection, got = t.send(answer.request(), id_of(name), answer.path)
                    assert got.body == answer.request() and got.head.target == answer.path, got.body
                    through = play(t, connection, ways[turn % len(ways)], closes)
                    assert through.body == body, (name, body, through.body)
                    assert through.head.get("content-type") == answer.content_type
                    assert through.head.get("x-jouletap-request-id") == name
                    if b"Content-Length" in wire[:200]:
                        assert through.head.get("content-length") == str(len(body))
                    expected[name] = answer
                    turn += 1
        records = {r["id"]: r for r in t.gateway.wait_records(len(expected))}
        for name, answer in expected.items():
            check_record(records[name], answer.record)
        metrics = t.gateway.metrics()
        metrics.check_account()
        for phase, field in (("prefill", "prompt_tokens"), ("decode", "completion_tokens")):
            tokens = sum(r[field] or 0 for r in records.values())
            assert metrics.sum("jouletap_tokens_total", phase=phase) == tokens
        say_nothing(t.gateway)
        print(f"# {turn} answers of {len(engines.EVERY)} kinds")


@test
def each_byte_is_passed_on_before_the_next_one_comes():
    rng = random.Random(5)
    with HandDriven() as t:
        for make in (engines.vllm_chat, engines.ollama_chat, engines.responses_call, engines.messages_stream):
            answer = make()
            connection, _ = t.send(answer.request(), id_of(answer.name), answer.path)
            connection.send(answer.head(b"Connection: close"))
            through = t.client.answer()
            body, sent = answer.body(), 0
            while sent < len(body):
                n = rng.choice((1, 1, 2, 3, 8))
                connection.send(body[sent : sent + n])
                sent = min(sent + n, len(body))
                assert through.read(sent) == body[:sent]
            t.engine.held.remove(connection)
            connection.close()
            through.read()
            assert through.complete and through.body == body
            check_record(t.gateway.record(answer.name), answer.record)


@test
def who_did_not_ask_for_usage_does_not_get_the_chunk_of_it():
    rng = random.Random(6)

    def is_usage(event):
        return b'"choices":[]' in event.raw

    expected = {}
    with HandDriven() as t:
        for make in (engines.vllm_chat, engines.vllm_metrics, engines.vllm_tools, engines.vllm_error,
                     engines.sglang_chat, engines.tgi_chat):
            answer = make()
            del answer.asked["stream_options"]
            kept = b"".join(event.raw for event in answer.events if not is_usage(event))
            for line_end in (b"\n", b"\r\n"):
                for turn, (wire, closes) in enumerate(engines.framings(answer, answer.body(line_end), rng)):
                    name = f"{answer.name}-{turn}-{len(line_end)}"
                    connection, got = t.send(answer.request(), id_of(name), answer.path)
                    assert got.body == upstream.with_include_usage(answer.request())
                    through = play(t, connection, engines.pieces(wire, rng, 30), closes)
                    assert through.body == kept.replace(b"\n", line_end), (name, through.body)
                    expected[name] = answer
        for r in t.gateway.wait_records(len(expected)):
            check_record(r, expected[r["id"]].record)


# ---- clients that leave ----


def leave_after(t, answer, n, name, reset):
    """The client goes when it has @n events."""
    sent = b"".join(event.raw for event in answer.events[:n])
    with t.gateway.client() as client:
        client.send(http1.request("POST", answer.path, answer.request(), [*JSON, *id_of(name)]))
        connection, _ = t.engine.take()
        connection.send(answer.head(b"Transfer-Encoding: chunked") + (http1.chunk(sent) if sent else b""))
        through = client.answer()
        assert through.read(len(sent)) == sent
        if reset:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        left = time.monotonic()
    gone = connection.wait_gone(5)
    assert gone, f"{name}: the engine was not told"
    t.engine.held.remove(connection)
    connection.close()
    return gone - left


@test
def a_client_that_leaves_has_had_the_tokens_that_it_got():
    expected, took = {}, []
    with HandDriven() as t:
        for answer in every():
            if not answer.stream or answer.name == "vllm.continuous":
                continue
            with_tokens = [i + 1 for i, event in enumerate(answer.events) if event.tokens]
            for n in {0, 1, *with_tokens[:1], *with_tokens[len(with_tokens) // 2 :][:1], *with_tokens[-1:]}:
                name = f"{answer.name}-{n}"
                took.append(leave_after(t, answer, n, name, n % 2))
                expected[name] = (answer, sum(event.tokens for event in answer.events[:n]))
        records = {r["id"]: r for r in t.gateway.wait_records(len(expected))}
        for name, (answer, tokens) in expected.items():
            r = records[name]
            assert r["outcome"] == "client_gone" and r["stream"] is True and r["http_status"] == 200, r
            assert r["completion_tokens"] == tokens, (name, tokens, r)
            # Of none an engine may have told as well.
            assert r["token_source"] == "events" or (not tokens and r["token_source"] == "usage"), (name, r)
            if not answer.path.endswith("/messages"):  # whose first event tells
                assert r["prompt_tokens"] is None, r
            if not tokens:
                assert r["decode_j"] in (0, None), r
        t.gateway.metrics().check_account()
        say_nothing(t.gateway)
        print(f"# {len(took)} clients left; the engine knew after {max(took) * 1e3:.1f} ms at the worst")
        assert max(took) < 1, took


@test
def running_totals_outlast_the_client():
    answer = engines.vllm_continuous()
    with HandDriven() as t:
        leave_after(t, answer, 5, "left", False)
        r = t.gateway.record("left")
        assert r["outcome"] == "client_gone" and r["token_source"] == "usage", r
        assert (r["prompt_tokens"], r["completion_tokens"]) == (21, 5), r


@test
def a_client_that_leaves_before_an_answer_in_one_piece_costs_what_it_cost():
    with HandDriven() as t:
        for answer in every():
            if answer.stream:
                continue
            with t.gateway.client() as client:
                client.send(http1.request("POST", answer.path, answer.request(), [*JSON, *id_of(answer.name)]))
                connection, _ = t.engine.take()
            assert connection.wait_gone(5), answer.name
            t.engine.held.remove(connection)
            connection.close()
            r = t.gateway.record(answer.name)
            assert r["outcome"] == "client_gone" and r["prompt_tokens"] is None, r
            only_prefills = answer.record["completion_tokens"] == 0
            assert r["completion_tokens"] == (0 if only_prefills else None), r
        t.gateway.metrics().check_account()


# ---- joules for the client ----


def energy_of(answer, body):
    """The figures that came with an answer, from where the manual says they are."""
    if not answer.stream:
        value = json.loads(body)
        return [(value["usage"] if "usage" in value else value)["energy"]]
    found = []
    for line in body.splitlines():
        line = line.removeprefix(b"data:").strip()
        if not line.startswith(b"{") or b'"energy"' not in line:
            continue
        value = json.loads(line)
        if "response" in value and answer.path == "/v1/responses":
            value = value["response"]
        if answer.path == "/v1/messages":
            assert value["type"] == "message_delta", value
        found.append((value["usage"] if answer.is_sse else value)["energy"])
    return found


@test
def joules_come_with_the_counts_in_every_api():
    rng = random.Random(8)
    asked = []
    with HandDriven() as t:
        for answer in every():
            connection, got = t.send(answer.request(), [*id_of(answer.name), ("x-jouletap-energy", "1")], answer.path)
            assert not got.head.all("x-jouletap-energy") and got.head.all("accept-encoding") == ["identity"]
            wire = answer.head(b"Content-Length: %d" % len(answer.body())) + answer.body()
            through = play(t, connection, engines.pieces(wire, rng, 20))
            assert ENERGY.sub(b"", through.body) == answer.body(), (answer.name, through.body)
            # Of errors nothing is said, nor of an old vLLM's usage beside a message instead of in it.
            if answer.record["outcome"] != "ok" or answer.name == "vllm.messages.old":
                continue
            told = energy_of(answer, through.body)
            # vLLM's running totals: once with the last choice, once with the whole.
            times = 2 if answer.name == "vllm.continuous" else 1
            assert len(told) == times and told[-1]["provisional"] is True, (answer.name, told)
            asked.append(answer)
        for answer in asked:
            final = t.gateway.final_energy(answer.name)
            r = t.gateway.record(answer.name)
            check_record(r, answer.record)
            for key in ("prefill_j", "decode_j", "total_j", "provenance"):
                assert final[key] == r[key], (key, final, r)


# ---- phases, at known power ----

GPUS = "gpus 8\n" + "".join(f"gpu {i} power 0 {200 + 20 * i}\n" for i in range(8))
QUEUE, PREFILL, DECODE = 0.3, 0.3, 0.4
LOAD = 0.2  # of Ollama's queue
IN_NS = {"load_duration": int(LOAD * 1e9), "prompt_eval_duration": int(PREFILL * 1e9),
         "eval_duration": int(DECODE * 1e9), "total_duration": int((QUEUE + PREFILL + DECODE) * 1e9)}
IN_MS = {"queue_time_ms": QUEUE * 1e3, "time_to_first_token_ms": PREFILL * 1e3, "generation_time_ms": DECODE * 1e3}


def retimed(raw):
    """An event whose engine took as long as ours does."""
    for key, value in {**IN_NS, **IN_MS}.items():
        raw = re.sub(rf'"{key}":[0-9.]+'.encode(), f'"{key}":{value}'.encode(), raw)
    return raw


def works(answer):
    """An engine that lets the request wait, then prefills, then decodes."""
    def script(connection, request):
        time.sleep(QUEUE + PREFILL)
        n = sum(event.tokens for event in answer.events)
        if not n:
            time.sleep(DECODE)
            body = retimed(answer.body())
            connection.send(answer.head(b"Content-Length: %d" % len(body)) + body)
            return
        connection.send(answer.head(b"Transfer-Encoding: chunked"))
        seen = 0
        for event in answer.events:
            connection.send(http1.chunk(retimed(event.raw)))
            seen += event.tokens
            if event.tokens and n > 1 and seen < n:
                time.sleep(DECODE / (n - 1))
        connection.send(b"0\r\n\r\n")
    return script


TIMED = [  # engine, phase_source, seconds of queue, prefill, decode
    (engines.vllm_metrics, "engine", QUEUE, PREFILL, DECODE),
    (engines.vllm_plain, "engine", QUEUE, PREFILL, DECODE),
    (engines.ollama_chat, "engine", QUEUE, PREFILL, DECODE),
    (engines.ollama_generate_plain, "engine", QUEUE, PREFILL, DECODE),
    (engines.messages_stream, "stream", 0, QUEUE + PREFILL, DECODE),
    (engines.responses_text, "stream", 0, QUEUE + PREFILL, DECODE),
    (engines.messages_plain, "ratio", 0, 0.25, 0.75),
    (engines.embeddings, None, 0, QUEUE + PREFILL + DECODE, 0),
]


@test
def an_engines_own_times_tell_waiting_from_prefill_from_decode():
    answers = [make() for make, *_ in TIMED]
    settings = [{"name": f"e{i}", "url": Engine(works(answer)).url, "models": [f"m-{i}"], "domains": [f"gpu:{i}"]}
                for i, answer in enumerate(answers)]
    with Gateway(settings, script=GPUS) as g:
        g.warm_up()
        time.sleep(0.5)
        threads = []
        for i, answer in enumerate(answers):
            answer.asked["model"] = f"m-{i}"
            threads.append(threading.Thread(target=g.fetch, args=(
                "POST", answer.path, answer.request(), [*JSON, *id_of(answer.name)])))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        for i, (answer, (_, source, *seconds)) in enumerate(zip(answers, TIMED)):
            r = g.record(answer.name)
            power_w = 200 + 20 * i
            if source:
                assert r["phase_source"] == source, r
            for phase, took in zip(("queue", "prefill", "decode"), seconds):
                if source == "ratio":
                    took *= r["duration_s"]
                wrong = r[phase + "_j"] - took * power_w
                overslept_s = 0.1 + abs(r["duration_s"] - QUEUE - PREFILL - DECODE)  # the scripted engine
                slack = r["bound_j"] + overslept_s * power_w
                assert abs(wrong) <= slack and (took or not r[phase + "_j"]), (phase, took * power_w, r)
            assert abs(r["total_j"] - power_w * r["duration_s"]) <= r["bound_j"], r
            assert abs(r["total_j"] - r["queue_j"] - r["prefill_j"] - r["decode_j"]) < 2e-6, r
            if answer.stream:
                assert QUEUE + PREFILL - 0.05 < r["ttft_s"] < 2 and r["tpot_s"] > 0.002, r
            else:
                assert r["ttft_s"] is None, r
            if source == "engine":
                assert abs(r["queue_s"] + (r["load_s"] or 0) - QUEUE) < 1e-3, r
                assert r["load_s"] == (LOAD if answer.path.startswith("/api/") else None), r
            else:
                assert r["queue_s"] is None and r["load_s"] is None, r
        g.metrics().check_account()


# ---- probes ----


@test
def probes_that_generate_are_a_class_of_their_own():
    with HandDriven() as t:
        for method, target in (("GET", "/health_generate"), ("POST", "/health_generate"),
                               ("GET", "/health_generate?x=1")):
            name = f"probe-{method}-{len(target)}"
            t.client.send(http1.request(method, target, b"", [
                *id_of(name), *([("Content-Length", "0")] if method == "POST" else [])]))
            connection, got = t.engine.take()
            assert got.head.start == f"{method} {target} HTTP/1.1", got.head.start
            time.sleep(0.1)
            connection.send(upstream.answer("200 OK", [("server", "uvicorn")], b""))
            assert t.client.answer().read() == b""
            r = t.gateway.record(name)
            assert r["task_class"] == "probe" and r["outcome"] == "ok" and r["path"] == "/health_generate", r
            assert r["total_j"] > 0 and r["completion_tokens"] is None, r
        metrics = t.gateway.metrics()
        assert metrics.sum("jouletap_requests_total", task_class="probe") == 3
        assert metrics.sum("jouletap_joules_total", task_class="probe") > 0
        metrics.check_account()


@test
def which_paths_are_probes_can_be_said():
    with HandDriven({"metering": {"probe_paths": ["/ping", "/v1/alive"]}}) as t:
        for target, task_class in (("/ping", "probe"), ("/v1/alive", "probe")):
            t.client.send(http1.request("GET", target, b"", id_of("at" + target.replace("/", "."))))
            connection, _ = t.engine.take()
            time.sleep(0.06)
            connection.send(upstream.json_answer({}))
            t.client.answer().read()
            r = t.gateway.record("at" + target.replace("/", "."))
            assert r["task_class"] == task_class and r["total_j"] > 0, r
        t.client.send(http1.request("GET", "/health_generate", b"", id_of("other")))
        connection, _ = t.engine.take()
        connection.send(upstream.json_answer({}))
        t.client.answer().read()
        t.gateway.metrics().check_account()
        assert {r["id"] for r in t.gateway.records()} == {"at.ping", "at.v1.alive"}


# ---- other things that engines do ----


@test
def what_llama_cpp_says_in_its_other_apis_is_understood_too():
    captures = {  # prompt, completion, cached, as it told
        "responses_stream": (31, 4, 4), "anthropic_messages_stream": (31, 4, 30), "native_completion_stream": (7, 3, 6)}
    with HandDriven() as t:
        for name, counts in captures.items():
            capture = Capture(name)
            connection, _ = t.ask(capture, capture.request, id_of(name))
            assert play(t, connection, [capture.wire()]).body == capture.body
            r = t.gateway.record(name)
            assert (r["prompt_tokens"], r["completion_tokens"], r["cached_tokens"]) == counts, r
            assert r["token_source"] == "usage" and r["outcome"] == "ok" and r["stream"] is True, r


@test
def lines_of_any_length_and_kind_pass():
    context = engines.ollama_line(response="", **engines.ollama_end(context=list(range(40000)), **engines.OLLAMA_TIMES))
    text = engines.ollama_line(1, response="鷺" * 300000, done=False)
    odd = [engines.raw(b"\n"), engines.raw(b"not JSON {\n"), engines.raw(b"\r\n"), engines.raw(b"[1,2]\n"),
           engines.raw(b'"text"\n'), engines.raw(b"{}\n"), engines.raw(b'{"unknown":[{"done":true}]}\n')]
    answer = engines.Answer("long", "/api/generate", {"prompt": ""}, [odd[0], text, *odd, text, context],
                            engines.OLLAMA_RECORD, "application/x-ndjson")
    rng = random.Random(9)
    with HandDriven() as t:
        for turn in range(3):
            connection, _ = t.send(answer.request(), id_of(f"long-{turn}"), answer.path)
            wire = answer.head(b"Content-Length: %d" % len(answer.body())) + answer.body()
            sender = threading.Thread(target=lambda: [connection.send(p) for p in engines.pieces(wire, rng, 200)])
            sender.start()
            through = t.client.answer()
            assert through.read() == answer.body()
            sender.join()
            check_record(t.gateway.record(f"long-{turn}"), answer.record)


@test
def an_api_is_known_by_its_path_and_its_answer_by_its_content_type():
    plain, stream = engines.ollama_chat_plain(), engines.ollama_chat()
    cases = [  # what was asked for, what came
        (stream.asked, plain, "application/json"), (plain.asked, stream, "application/x-ndjson"),
        (stream.asked, plain, "Application/JSON ; charset=utf-8"),
        (stream.asked, stream, "application/x-ndjson; charset=utf-8")]
    with HandDriven() as t:
        for i, (asked, came, content_type) in enumerate(cases):
            came.content_type = content_type
            connection, _ = t.send(json.dumps(asked).encode(), id_of(f"kind-{i}"), came.path)
            wire = came.head(b"Content-Length: %d" % len(came.body())) + came.body()
            assert play(t, connection, [wire]).body == came.body()
            check_record(t.gateway.record(f"kind-{i}"), came.record)
        came = engines.messages_stream()
        connection, got = t.send(came.request(), id_of("query"), came.path + "?beta=true")
        assert got.head.target == "/v1/messages?beta=true"
        play(t, connection, [came.head(b"Content-Length: %d" % len(came.body())) + came.body()])
        check_record(t.gateway.record("query"), came.record)
        for i, content_type in enumerate(("text/plain", "application/jsonl", "application/x-ndjson2")):
            came = engines.ollama_chat()
            came.content_type = content_type
            connection, _ = t.send(came.request(), [*id_of(f"unread-{i}"), ("x-jouletap-energy", "1")], came.path)
            wire = came.head(b"Content-Length: %d" % len(came.body())) + came.body()
            assert play(t, connection, [wire]).body == came.body()
            r = t.gateway.record(f"unread-{i}")
            assert r["completion_tokens"] is None and r["outcome"] == "ok", r


@test
def what_is_compressed_all_the_same_is_passed_on_unread():
    answer = engines.vllm_chat()
    del answer.asked["stream_options"]  # so that a usage chunk would have to be taken out
    body = gzip.compress(answer.body())
    half = len(body) // 2
    with HandDriven() as t:
        for coding in ("gzip", "identity"):
            connection, got = t.send(answer.request(), id_of(coding), answer.path)
            assert got.head.all("accept-encoding") == ["identity"]
            connection.send(answer.head(b"Content-Encoding: %s\r\nContent-Length: %d" % (coding.encode(), len(body))))
            connection.send(body[:half])
            through = t.client.answer()
            if coding == "gzip":
                assert through.read(half) == body[:half]
            connection.send(body[half:])
            assert through.read() == body and through.complete
            r = t.gateway.record(coding)
            assert r["stream"] is (coding == "identity") and r["outcome"] == "ok", r
            assert r["token_source"] == ("" if coding == "gzip" else "events"), r


@test
def many_at_once_of_all_kinds_are_told_apart():
    answers = {answer.name: answer for answer in every()}
    rng = random.Random(10)

    def script(connection, request):
        answer = answers[request.head.get("x-which")]
        for piece in engines.pieces(answer.head(b"Transfer-Encoding: chunked")
                                    + b"".join(http1.chunk(event.raw) for event in answer.events)
                                    + b"0\r\n\r\n", rng, 6):
            connection.send(piece)
            time.sleep(0.003)
    with Gateway([Engine(script)]) as g:
        g.warm_up()
        wrong = []

        def ask(turn):
            with g.client() as client:
                for answer in answers.values():
                    client.send(http1.request("POST", answer.path, answer.request(), [
                        *JSON, ("x-which", answer.name), *id_of(f"{answer.name}-{turn}")]))
                    through = client.answer()
                    if through.read() != answer.body():
                        wrong.append((answer.name, through.body))
        threads = [threading.Thread(target=ask, args=(turn,)) for turn in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not wrong, wrong
        for r in g.wait_records(8 * len(answers)):
            check_record(r, answers[r["id"].rpartition("-")[0]].record)
        g.metrics().check_account()
        say_nothing(g)


if __name__ == "__main__":
    tap.run()
