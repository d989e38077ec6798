#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
The gateway between a client and a scripted engine: what one end sends is what the other gets, byte for byte,
but for what the manual says is changed; and what passed is in the record.
"""
import json
import os
import random
import re
import select
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import http1
import tap
import upstream
from gateway import Gateway, HandDriven, wait_for
from http1 import JSON
from tap import test
from upstream import Capture, Engine

ENERGY = re.compile(rb',?"energy":\{[^{}]*\}')
STREAMS = ["chat_stream_usage", "chat_stream_no_usage", "chat_stream_cached_prompt", "chat_stream_logprobs",
           "chat_stream_timings_per_token_progress", "chat_finish_stop", "chat_n2_stream", "completions_stream",
           "native_completion_stream", "responses_stream", "anthropic_messages_stream"]
PLAIN = ["chat_nonstream", "error_bad_json", "error_no_messages"]
CAPTURES = [folder + name for folder in ("", "v2025-02/") for name in STREAMS + PLAIN
            if not (folder and name in ("responses_stream", "anthropic_messages_stream", "error_no_messages"))]


def body_bytes(wire):
    """How much of a body is in this beginning of its chunked form."""
    n = 0
    while b"\r\n" in wire:
        size, _, wire = wire.partition(b"\r\n")
        size = int(size, 16)
        n += min(size, len(wire))
        wire = wire[size + 2 :]
    return n


def asked(capture, include_usage):
    """The capture's request, asking for usage or not."""
    value = json.loads(capture.request)
    value.pop("stream_options", None)
    if include_usage:
        value["stream_options"] = {"include_usage": True}
    return json.dumps(value).encode()


def every_cut(include_usage, headers, expected, awaited, step=1):
    """Cuts the wire form of one stream in two at every place."""
    capture = Capture("chat_stream_usage")
    head, body = capture.wire_head(), capture.wire_body()
    request = asked(capture, include_usage)
    with HandDriven() as t:
        for cut in range(1, len(body), step):
            connection, _ = t.ask(capture, request, headers)
            n = awaited(body[:cut])
            pieces = [head + body[:cut], body[cut:]]
            if n is None:  # nothing tells that the first piece has been read: give it a moment
                connection.send(pieces[0])
                time.sleep(0.0004)
                pieces, n = pieces[1:], 0
            answer = t.play(connection, pieces, [n, 0])
            assert answer.complete and expected(answer.body), (cut, answer.body)
        assert t.client.ask("GET", "/v1/energy/nobody").head.status == 404
        t.gateway.metrics().check_account()
        return len(t.gateway.wait_records(len(range(1, len(body), step)))), t.gateway.records()


@test
def a_stream_cut_at_every_place_goes_on_as_it_comes():
    capture = Capture("chat_stream_usage")
    # The client has each byte of the first piece before the second one is sent: nothing is held back.
    n, records = every_cut(True, [], lambda body: body == capture.body, body_bytes)
    assert n == len(capture.wire_body()) - 1
    for r in records:
        assert (r["prompt_tokens"], r["completion_tokens"], r["cached_tokens"]) == (62, 12, 0), r
        assert r["outcome"] == "ok" and r["token_source"] == "usage" and r["stream"] is True, r


@test
def cut_at_every_place_the_usage_chunk_is_dropped_for_who_did_not_ask():
    capture = Capture("chat_stream_usage")
    expected = upstream.without_usage_chunks(capture.body)
    assert len(expected) < len(capture.body)
    n, records = every_cut(False, [], lambda body: body == expected, lambda first: None, step=3)
    assert n > 1000
    for r in records:
        assert (r["prompt_tokens"], r["completion_tokens"]) == (62, 12), r


@test
def energy_is_all_that_is_added_wherever_a_stream_is_cut():
    capture = Capture("chat_stream_usage")

    def expected(body):
        found = ENERGY.findall(body)
        return len(found) == 1 and ENERGY.sub(b"", body) == capture.body

    every_cut(True, [("x-jouletap-energy", "1")], expected, lambda first: None, step=17)


def counts(capture):
    """What the record is to say of the tokens of a capture: usage if the engine told, else events with content."""
    reports, finished, content = [], 0, 0
    values = []
    if capture.stream:
        for event in upstream.events_of(capture.body):
            if event.startswith(b"data: {"):
                values.append(json.loads(event[6:]))
    else:
        values.append(json.loads(capture.body))
    for value in values:
        for choice in value.get("choices", []):
            delta = choice.get("delta", {})
            content += bool(delta.get("content") or choice.get("text"))
            finished += bool(choice.get("finish_reason"))
        if isinstance(value.get("usage"), dict):
            reports.append(value["usage"])
    if not reports:
        return None, content
    return reports[-1]["prompt_tokens"], sum(r["completion_tokens"] for r in reports)


def ways_to_cut(wire, rng):
    yield [wire[i : i + 1] for i in range(len(wire))]
    for _ in range(3):
        places = sorted(rng.sample(range(1, len(wire)), 9))
        yield [wire[a:b] for a, b in zip([0] + places, places + [len(wire)])]


@test
def captures_come_out_as_they_went_in():
    rng = random.Random(4)
    with HandDriven() as t:
        for name in CAPTURES:
            capture = Capture(name)
            chat = capture.path in ("/v1/chat/completions", "/v1/completions")
            for include_usage in (True, False) if chat and capture.stream else (None,):
                request = capture.request if include_usage is None else asked(capture, include_usage)
                expected = capture.body
                if include_usage is False:
                    expected = upstream.without_usage_chunks(expected)
                for pieces in ways_to_cut(capture.wire(), rng):
                    connection, got = t.ask(capture, request)
                    assert got.head.target == capture.path
                    answer = t.play(connection, pieces, [0] * len(pieces))
                    assert answer.head.status == capture.head.status, name
                    assert answer.complete and answer.body == expected, (name, include_usage, answer.body)
                    assert answer.head.get("content-type") == capture.head.get("content-type")
                    if not capture.chunked:
                        assert int(answer.head.get("content-length")) == len(capture.body)


@test
def the_record_has_the_engines_counts():
    with HandDriven() as t:
        expected = {}
        for name in CAPTURES:
            capture = Capture(name)
            if capture.path not in ("/v1/chat/completions", "/v1/completions"):
                continue
            connection, _ = t.ask(capture, capture.request, [("x-request-id", name.replace("/", "."))])
            t.play(connection, [capture.wire()], [0])
            expected[name.replace("/", ".")] = capture
        records = {r["id"]: r for r in t.gateway.wait_records(len(expected))}
        for name, capture in expected.items():
            r = records[name]
            assert r["http_status"] == capture.head.status and r["path"] == capture.path, r
            assert r["stream"] == capture.stream and r["upstream"] == "engine", r
            if capture.head.status != 200:
                refused = "rejected" if capture.head.status < 500 else "upstream_error"
                assert r["outcome"] == refused and r["completion_tokens"] is None, r
                continue
            value = json.loads(capture.request)
            prompt, completion = counts(capture)
            assert r["model"] == value["model"] and r["choices"] == value.get("n", 1), r
            if b'"error"' in capture.body:
                assert r["outcome"] == "upstream_error", r
                continue
            assert r["outcome"] == "ok", r
            assert (r["prompt_tokens"], r["completion_tokens"]) == (prompt, completion), (name, r, prompt, completion)
            assert r["token_source"] == ("events" if prompt is None else "usage"), (name, r)
        two = records["chat_n2_stream"]
        assert two["choices"] == 2 and two["completion_tokens"] == 6 and two["prompt_tokens"] == 51, two


@test
def a_client_that_vanishes_leaves_the_tokens_it_got_in_the_record():
    capture = Capture("client_disconnect")
    with HandDriven() as t:
        connection, _ = t.ask(capture, capture.request, [("x-request-id", "left")])
        connection.send(capture.wire_head() + http1.chunk(capture.body))
        t.client.answer().read(len(capture.body))
        t.client.close()
        assert connection.wait_gone()
        r = t.gateway.record("left")
        assert r["outcome"] == "client_gone" and r["completion_tokens"] == counts(capture)[1], r
        assert r["token_source"] == "events" and r["prompt_tokens"] is None, r


# ---- what goes to the engine ----

SPLICES = [  # the request's body, what the engine gets
    (b'{"stream":true}', b'{"stream_options":{"include_usage":true},"stream":true}'),
    (b' {\n "model" : "m",\t"stream":true , "x":[1,2.50,{"y":null}],"z":"\\u00e9\\ud83d\\ude00" }\r\n',
     b' {"stream_options":{"include_usage":true},'
     b'\n "model" : "m",\t"stream":true , "x":[1,2.50,{"y":null}],"z":"\\u00e9\\ud83d\\ude00" }\r\n'),
    (b'{"stream":true,"stream_options":{}}', b'{"stream":true,"stream_options":{"include_usage":true}}'),
    (b'{"stream":true,"stream_options":{"a":[1]}}', b'{"stream":true,"stream_options":{"include_usage":true,"a":[1]}}'),
    (b'{"stream":true,"stream_options": null }', b'{"stream":true,"stream_options": {"include_usage":true} }'),
    (b'{"stream":true,"stream_options":{"include_usage":false,"k":1}}',
     b'{"stream":true,"stream_options":{"include_usage":true,"k":1}}'),
    (b'{"stream":true,"stream_options":{"k":1,"include_usage": null}}',
     b'{"stream":true,"stream_options":{"k":1,"include_usage": true}}'),
    (b'{"stream":true,"stream_options":{"include_usage":true}}', None),
    (b'{"stream":true,"stream_options":5}', None),
    (b'{"stream":false,"model":"m"}', None),
    (b'{"model":"m","messages":[{"role":"user","content":"\\"stream\\":true"}]}', None),
    (b'{"n":1e400,"seed":123456789012345678901234567890,"top_p":0.10,"":"","a":{"a":{"a":[[[]]]}}}', None),
    (b'{"model":"\xc3\xa9","unknown":{"stream":true}}', None),
    (b'{"stream":true', None),  # not JSON: the engine's to refuse
    (b"", None),
    (b"[1,2]", None),
    (b'\xff\xfe\x00{"stream":true}', None),
]


@test
def the_request_goes_on_as_it_came_but_for_the_splice():
    with HandDriven() as t:
        for path in ("/v1/chat/completions", "/v1/completions"):
            for body, expected in SPLICES:
                t.client.send(http1.request("POST", path, body, [*JSON] + ([] if body else [("Content-Length", "0")])))
                connection, got = t.engine.take()
                assert got.body == (body if expected is None else expected), (body, got.body)
                assert got.head.all("content-length") == [str(len(got.body))], got.head.raw
                connection.send(upstream.json_answer({"ok": 1}))
                assert t.client.answer().read() == b'{"ok": 1}'


@test
def a_chunked_request_is_understood_too():
    with HandDriven() as t:
        body = b'{"stream":true,"model":"m"}'
        framed = http1.chunk(body[:7]) + b"5;ext=1\r\n" + body[7:12] + b"\r\n" + http1.chunk(body[12:])
        framed += b"0\r\nX-T: 1\r\n\r\n"
        raw = http1.request("POST", "/v1/chat/completions", b"", [*JSON, ("Transfer-Encoding", "chunked")]) + framed
        for i in range(0, len(raw), 3):
            t.client.send(raw[i : i + 3])
        connection, got = t.engine.take()
        assert got.body == upstream.with_include_usage(body), got.body
        assert got.head.get("content-length") == str(len(got.body)) and not got.head.all("transfer-encoding")
        connection.send(upstream.json_answer({}))
        t.client.answer().read()


@test
def request_headers_are_kept_but_for_those_of_the_hop():
    kept = [("Authorization", "Bearer sk-123"), ("OpenAI-Organization", "org"), ("X-Custom", "a"),
            ("x-custom", "b, c"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("Cookie", "a=b; c=d"),
            ("X-Empty", ""), ("User-Agent", "test/1 (x; y)")]
    hop = [("Connection", "keep-alive, X-Hop"), ("X-Hop", "secret"), ("Keep-Alive", "timeout=5"),
           ("TE", "trailers"), ("Proxy-Authorization", "Basic eA=="), ("Proxy-Connection", "keep-alive"),
           ("Trailer", "X-T"),
           ("Upgrade", "h2c")]
    ours = [("x-jouletap-task-class", "chat"), ("x-jouletap-tenant", "acme")]
    with HandDriven() as t:
        headers = [*JSON, *kept, *hop, *ours, ("Accept-Encoding", "gzip, br"), ("x-request-id", "r-1")]
        t.client.send(http1.request("POST", "/v1/chat/completions?a=1&b=%20", b"{}", headers))
        connection, got = t.engine.take()
        assert got.head.start == "POST /v1/chat/completions?a=1&b=%20 HTTP/1.1", got.head.start
        for name, value in kept:
            assert value in got.head.all(name), (name, got.head.raw)
        assert got.head.all("x-custom") == ["a", "b, c"]
        for name, _ in hop[1:] + ours:
            assert not got.head.all(name), (name, got.head.raw)
        assert "x-hop" not in (got.head.get("connection") or "").lower()
        assert got.head.all("accept-encoding") == ["identity"], got.head.raw
        assert got.head.all("host") == [t.engine.address]
        assert got.head.all("x-request-id") == ["r-1"]
        connection.send(upstream.json_answer({}))
        t.client.answer().read()
        r = t.gateway.record("r-1")
        assert (r["task_class"], r["tenant"], r["path"]) == ("chat", "acme", "/v1/chat/completions"), r


@test
def what_is_not_read_may_be_compressed():
    with HandDriven() as t:
        t.client.send(http1.request("GET", "/v1/models", headers=[("Accept-Encoding", "gzip")]))
        connection, got = t.engine.take()
        assert got.head.all("accept-encoding") == ["gzip"]
        packed = bytes(range(256)) * 3
        connection.send(upstream.answer("200 OK", [("Content-Encoding", "gzip")], packed))
        answer = t.client.answer()
        assert answer.read() == packed and answer.head.get("content-encoding") == "gzip"


@test
def response_headers_are_kept_but_for_those_of_the_hop():
    kept = [("Retry-After", "17"), ("x-request-id", "engine-7"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Path=/"),
            ("X-Ratelimit-Remaining-Tokens", "9"), ("Server", "engine"),
            ("Content-Type", "application/json; charset=utf-8"), ("Access-Control-Allow-Origin", "")]
    hop = [("Connection", "X-Secret, close"), ("X-Secret", "1"), ("Keep-Alive", "timeout=5"),
           ("Proxy-Authenticate", "Basic"), ("Trailer", "X-T")]
    with HandDriven() as t:
        for status in ("200 OK", "429 Too Many Requests", "503 Service Unavailable", "418 I'm a teapot"):
            t.client.send(http1.request("POST", "/v1/chat/completions", b"{}", JSON))
            connection, _ = t.engine.take()
            connection.send(upstream.answer(status, kept + hop, b'{"error":{"message":"m"}}'))
            answer = t.client.answer()
            assert answer.read() == b'{"error":{"message":"m"}}'
            assert answer.head.status == int(status.split()[0])
            for name, _ in kept:
                assert answer.head.all(name) == [v for n, v in kept if n == name], (name, answer.head.raw)
            for name, _ in hop[1:]:
                assert not answer.head.all(name), (name, answer.head.raw)
            assert len(answer.head.all("date")) == 1, answer.head.raw
            assert answer.head.get("x-jouletap-request-id"), answer.head.raw


@test
def informational_answers_are_not_the_answer():
    with HandDriven() as t:
        t.client.send(http1.request("POST", "/v1/chat/completions", b"{}", JSON))
        connection, _ = t.engine.take()
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        connection.send(upstream.json_answer({"a": 1}))
        assert t.client.answer().read() == b'{"a": 1}'


@test
def who_expects_100_continue_gets_it():
    with HandDriven() as t:
        body = b'{"model":"m"}'
        t.client.send(http1.request("POST", "/v1/chat/completions", b"", [*JSON] + [
            ("Expect", "100-continue"), ("Content-Length", str(len(body)))]))
        assert http1.read_head(t.client.reader).status == 100
        t.client.send(body)
        connection, got = t.engine.take()
        assert got.body == body and not got.head.all("expect")
        connection.send(upstream.json_answer({}))
        t.client.answer().read()


@test
def an_answer_without_a_body_stays_without():
    with HandDriven() as t:
        for method, status in (("POST", "204 No Content"), ("GET", "304 Not Modified"), ("HEAD", "200 OK")):
            length = [("Content-Length", "0")] if method == "POST" else []
            t.client.send(http1.request(method, "/anything", headers=length))
            connection, got = t.engine.take()
            assert got.head.method == method
            header = "Content-Length: 999" if method == "HEAD" else "X-A: b"
            connection.send(f"HTTP/1.1 {status}\r\n{header}\r\n\r\n".encode())
            answer = t.client.answer(no_body=True)
            assert answer.head.status == int(status[:3])
            assert method != "HEAD" or answer.head.get("content-length") == "999", answer.head.raw
        t.client.send(http1.request("GET", "/next"))
        connection, _ = t.engine.take()
        connection.send(upstream.json_answer({}))
        assert t.client.answer().read() == b"{}", "the connection is out of step"


@test
def an_answer_that_ends_with_its_connection_is_whole():
    capture = Capture("chat_stream_usage")
    with HandDriven() as t:
        connection, _ = t.ask(capture, capture.request, [("x-request-id", "until-close")])
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + capture.body)
        t.engine.held.remove(connection)
        connection.close()
        answer = t.client.answer()
        assert answer.read() == capture.body and answer.complete
        assert t.gateway.record("until-close")["completion_tokens"] == 12


@test
def pipelined_requests_are_answered_in_their_order():
    with HandDriven() as t:
        bodies = [b'{"prompt":"%d"}' % i for i in range(5)]
        t.client.send(b"".join(http1.request("POST", "/v1/completions", body, JSON) for body in bodies))
        for i in range(5):
            connection, got = t.engine.take()
            assert got.json()["prompt"] == str(i)
            connection.send(upstream.json_answer({"i": i}))
        for i in range(5):
            assert json.loads(t.client.answer().read()) == {"i": i}


@test
def a_client_of_http_1_0_gets_an_answer_it_can_read():
    capture = Capture("chat_stream_usage")
    with HandDriven() as t:
        t.client.send(b"POST %s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (
            capture.path.encode(), len(capture.request), capture.request))
        connection, _ = t.engine.take()
        connection.send(capture.wire())
        answer = t.client.answer()
        assert not answer.chunked and answer.read() == capture.body and answer.complete


@test
def other_paths_and_bodies_pass_whatever_they_are():
    rng = random.Random(7)
    big = rng.randbytes(3 << 20)
    with HandDriven() as t:
        t.client.send(http1.request("POST", "/v1/audio/transcriptions", b"", [
            ("Content-Type", "multipart/form-data; boundary=x"), ("Content-Length", str(len(big)))]) + big[:100])
        # The engine has the head and the first bytes before the rest was sent: nothing is gathered.
        assert select.select([t.engine.listener], [], [], 10)[0]
        sock, _ = t.engine.listener.accept()
        connection = upstream.Connection(sock)
        message = http1.Message(connection.reader, http1.read_head(connection.reader))
        message.read(100)
        sock.settimeout(20)
        sent = 100
        while sent < len(big):
            t.client.send(big[sent : sent + 65536])
            sent += 65536
            message.read(min(sent, len(big)) - (1 << 20))
        assert message.read() == big and message.head.get("content-type") == "multipart/form-data; boundary=x"
        connection.send(upstream.answer("201 Created", [("Content-Type", "application/octet-stream")], big))
        answer = t.client.answer()
        assert answer.head.status == 201 and answer.read() == big
        for method, target, body in (("PUT", "/slots/1?action=save", b"\x00\xff"), ("DELETE", "/v1/files/a%2Fb", b""),
                                     ("OPTIONS", "/v1/chat/completions", b""), ("GET", "/metrics", b"")):
            t.client.send(http1.request(method, target, body))
            connection, got = t.engine.take()
            assert (got.head.method, got.head.target, got.body) == (method, target, body), got.head.raw
            connection.send(upstream.answer("200 OK", [("Content-Type", "text/plain; version=0.0.4")], b"x_total 1\n"))
            answer = t.client.answer()
            assert answer.read() == b"x_total 1\n"
            assert answer.head.get("content-type") == "text/plain; version=0.0.4"


# ---- odd streams ----


def one_stream(t, events, request_id, include_usage=True, headers=(), tail=upstream.LAST_CHUNK):
    body = {"model": "m", "stream": True, "messages": []}
    if include_usage:
        body["stream_options"] = {"include_usage": True}
    t.client.send(http1.request("POST", "/v1/chat/completions", json.dumps(body).encode(),
                                [*JSON] + [("x-request-id", request_id), *headers]))
    connection, _ = t.engine.take()
    connection.send(upstream.STREAM_HEAD + b"".join(http1.chunk(e) for e in events) + tail)
    answer = t.client.answer()
    answer.read_cut()
    return answer


@test
def a_tail_without_a_blank_line_counts():
    usage = upstream.usage(9, 2)
    for end in (usage.rstrip(b"\n"), usage[:-1], usage.replace(b"\n", b"\r\n")[:-2]):
        events = [upstream.token("a"), upstream.token("b"), upstream.finish(), end]
        with HandDriven() as t:
            answer = one_stream(t, events, "asked")
            assert answer.body == b"".join(events) and answer.complete, answer.body
            answer = one_stream(t, events, "not", include_usage=False)
            assert answer.body == b"".join(events[:3]) and answer.complete, answer.body
            for name in ("asked", "not"):
                r = t.gateway.record(name)
                assert (r["prompt_tokens"], r["completion_tokens"], r["token_source"]) == (9, 2, "usage"), r


@test
def usage_may_be_null_or_missing():
    with HandDriven() as t:
        events = [upstream.token("a", usage=None), upstream.token("b", usage=None), upstream.finish(), upstream.DONE]
        for include_usage in (True, False):
            answer = one_stream(t, events, f"missing-{include_usage}", include_usage)
            assert answer.body == b"".join(events), answer.body
            r = t.gateway.record(f"missing-{include_usage}")
            assert (r["prompt_tokens"], r["completion_tokens"], r["token_source"]) == (None, 2, "events"), r
        last = [upstream.token("a", usage=None), upstream.finish(), upstream.usage(5, 1), upstream.DONE]
        answer = one_stream(t, last, "last", include_usage=False)
        assert answer.body == b"".join(last[:2] + last[3:])
        r = t.gateway.record("last")
        assert (r["prompt_tokens"], r["completion_tokens"]) == (5, 1), r


@test
def running_totals_reach_who_did_not_ask_as_they_came():
    totals = [upstream.token("x", usage={"prompt_tokens": 4, "completion_tokens": i, "total_tokens": 4 + i})
              for i in range(1, 6)]
    events = totals + [upstream.finish(), upstream.usage(4, 5), upstream.DONE]
    with HandDriven() as t:
        answer = one_stream(t, events, "totals", include_usage=False)
        assert answer.body == b"".join(totals + [upstream.finish(), upstream.DONE])
        r = t.gateway.record("totals")
        assert (r["prompt_tokens"], r["completion_tokens"]) == (4, 5), r


@test
def roles_comments_and_pings_are_no_tokens():
    delta = {"role": "assistant", "content": ""}
    role = upstream.event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    progress = upstream.event({"choices": [{"index": 0, "delta": {"role": "assistant"}}],
                               "prompt_progress": {"total": 9, "cache": 0, "processed": 4, "time_ms": 1}})
    thought = upstream.event({"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]})
    call = upstream.event({"choices": [{"index": 0, "delta": {"tool_calls": [
        {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}]}}]})
    before = [b": keep-alive\n\n", role, progress, b"event: ping\ndata: {}\n\n"]
    with HandDriven() as t:
        for i, (first, more) in enumerate([(upstream.token("a"), []), (thought, [upstream.token("b")]), (call, [])]):
            body = b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}'
            connection, _ = t.send(body, [("x-request-id", f"first-{i}")])
            connection.send(upstream.STREAM_HEAD)
            answer = t.client.answer()
            for event in before:
                connection.send(http1.chunk(event))
            answer.read(sum(map(len, before)))
            time.sleep(0.15)
            rest = [first, *more, upstream.finish(), upstream.DONE]
            connection.send(b"".join(http1.chunk(e) for e in rest) + upstream.LAST_CHUNK)
            assert answer.read() == b"".join(before + rest)
            r = t.gateway.record(f"first-{i}")
            assert r["completion_tokens"] == 1 + len(more), r
            assert 0.15 <= r["ttft_s"] < 5, r


@test
def an_error_inside_a_stream_passes_and_is_in_the_record():
    error = upstream.event({"error": {"message": "out of memory", "type": "server_error", "code": 500}})
    with HandDriven() as t:
        events = [upstream.token("a"), error, upstream.DONE]
        answer = one_stream(t, events, "failed", include_usage=False)
        assert answer.head.status == 200 and answer.body == b"".join(events)
        r = t.gateway.record("failed")
        assert r["outcome"] == "upstream_error" and r["http_status"] == 200, r
        assert r["completion_tokens"] == 1 and r["token_source"] == "events", r


@test
def an_event_too_long_to_hold_still_passes():
    long = upstream.event({"object": "x" * 300000, "choices": [{"index": 0, "delta": {"content": "y"}}]})
    events = [upstream.token("a"), long, upstream.finish(), upstream.usage(3, 2), upstream.DONE]
    with HandDriven() as t:
        answer = one_stream(t, events, "long", include_usage=False)
        assert answer.body == b"".join(events[:3] + events[4:])
        assert t.gateway.record("long")["completion_tokens"] == 2


@test
def a_compressed_answer_passes_unread():
    packed = bytes(range(256)) * 10
    with HandDriven() as t:
        t.client.send(http1.request("POST", "/v1/chat/completions", b"{}", [*JSON, ("x-request-id", "gz")]))
        connection, _ = t.engine.take()
        connection.send(upstream.answer("200 OK", [*JSON, ("Content-Encoding", "gzip")], packed))
        answer = t.client.answer()
        assert answer.read() == packed and answer.head.get("content-encoding") == "gzip"
        r = t.gateway.record("gz")
        assert r["outcome"] == "ok" and r["completion_tokens"] is None, r


# ---- energy ----


def check_energy(energy):
    assert set(energy) >= {"prefill_j", "decode_j", "total_j", "bound_j", "provenance", "provisional"}, energy
    assert energy["provenance"] in ("measured", "derived", "modelled"), energy
    assert isinstance(energy["provisional"], bool), energy
    parts = energy["prefill_j"] + energy["decode_j"] + energy.get("queue_j", 0)
    assert abs(energy["total_j"] - parts) < 3e-6 and energy["total_j"] > 0 and energy["bound_j"] >= 0, energy


def same_joules(energy, record):
    for key in ("prefill_j", "decode_j", "total_j", "bound_j", "provenance"):
        assert energy[key] == record[key], (key, energy, record)


@test
def energy_comes_with_the_usage_of_a_stream_and_becomes_final():
    with HandDriven() as t:
        body = b'{"model":"m","stream":true,"messages":[]}'
        long_id = "stream-" + "x" * 56
        t.client.send(http1.request("POST", "/v1/chat/completions", body, [*JSON] + [
            ("x-request-id", long_id), ("x-jouletap-energy", "1")]))
        connection, got = t.engine.take()
        assert got.body == upstream.with_include_usage(body) and not got.head.all("x-jouletap-energy")
        connection.send(upstream.STREAM_HEAD)
        answer = t.client.answer()
        assert answer.head.get("x-jouletap-request-id") == long_id, answer.head.raw
        time.sleep(0.3)
        events = [upstream.token(str(i)) for i in range(8)]
        for event in events:
            connection.send(http1.chunk(event))
            time.sleep(0.03)
        status, value = t.gateway.energy(long_id)
        assert status == 200 and value["id"] == long_id and value["energy"]["provisional"] is True, value
        tail = [upstream.finish(), upstream.usage(11, 8), upstream.DONE]
        connection.send(b"".join(map(http1.chunk, tail)) + upstream.LAST_CHUNK)
        answer.read()
        assert ENERGY.sub(b"", answer.body) == b"".join(events + tail), answer.body
        chunk = next(json.loads(e[6:]) for e in upstream.events_of(answer.body) if upstream.is_usage_chunk(e))
        assert chunk["usage"]["completion_tokens"] == 8
        check_energy(chunk["usage"]["energy"])
        final = t.gateway.final_energy(long_id)
        check_energy(final)
        record = t.gateway.record(long_id)
        same_joules(final, record)
        assert record["prefill_j"] > 0 and record["decode_j"] > 0 and record["phase_source"] == "stream", record
        assert final["provenance"] == "modelled" and record["domains"] == "cpu:0", record
        # What was told with the usage was an estimate of the same thing.
        told = chunk["usage"]["energy"]["total_j"]
        assert 0.2 * final["total_j"] < told < 5 * final["total_j"], (told, final)


@test
def embeddings_have_their_tokens_and_joules_all_of_them_prefill():
    body = b'{"model":"m","input":"some text"}'
    reply = json.dumps({"object": "list", "data": [], "usage": {"prompt_tokens": 7, "total_tokens": 7}}).encode()
    with HandDriven() as t:
        t.client.send(http1.request("POST", "/v1/embeddings", body, [*JSON] + [
            ("x-request-id", "vectors"), ("x-jouletap-energy", "true")]))
        connection, _ = t.engine.take()
        time.sleep(0.3)
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(reply)
                        + reply)
        answer = t.client.answer()
        answer.read()
        assert "energy" in json.loads(answer.body)["usage"], answer.body
        assert ENERGY.sub(b"", answer.body) == reply
        t.gateway.final_energy("vectors")
        record = t.gateway.record("vectors")
        assert record["prompt_tokens"] == 7 and record["completion_tokens"] == 0, record
        assert record["prefill_j"] == record["total_j"] > 0, record


@test
def answers_of_our_own_carry_the_id_too():
    with HandDriven() as t:
        t.client.send(http1.request("POST", "/v1/chat/completions", b"{}", [*JSON, ("x-request-id", "cut-off")]))
        connection, _ = t.engine.take()
        connection.close()
        answer = t.client.answer()
        answer.read()
        assert answer.head.status == 502 and answer.head.get("x-jouletap-request-id") == "cut-off", answer.head.raw
        assert t.gateway.record("cut-off")["outcome"] == "upstream_error"


@test
def energy_is_asked_for_with_get_and_an_id():
    with HandDriven() as t:
        connection, _ = t.send(b"{}", [("x-request-id", "i" * 63)])
        connection.send(upstream.json_answer({}))
        t.client.answer().read()
        t.gateway.final_energy("i" * 63)
        assert t.gateway.energy("i" * 64)[0] == 404
        for method, path, status in (("POST", "/v1/energy/x", 405), ("GET", "/v1/energy/", 400),
                                     ("GET", "/v1/energy/nobody", 404)):
            t.client.send(http1.request(method, path, b"", []))
            answer = t.client.answer()
            answer.read()
            assert answer.head.status == status, (method, path, answer.head.raw)


@test
def energy_comes_with_a_plain_answer():
    capture = Capture("chat_nonstream")
    with HandDriven() as t:
        connection, _ = t.ask(capture, capture.request, [("x-jouletap-energy", "1"), ("x-request-id", "plain")])
        time.sleep(0.2)
        connection.send(capture.wire())
        answer = t.client.answer()
        answer.read()
        assert answer.head.get("x-jouletap-request-id") == "plain"
        value = json.loads(answer.body)
        told = value["usage"]["energy"]
        check_energy(told)
        # The engine's own times come behind the usage: until then the configured split is all that is known.
        assert abs(told["prefill_j"] - 0.25 * told["total_j"]) < 2e-6, told
        assert ENERGY.sub(b"", answer.body) == capture.body
        final = t.gateway.final_energy("plain")
        same_joules(final, t.gateway.record("plain"))
        assert final["total_j"] > 0 and t.gateway.record("plain")["phase_source"] == "engine"


@test
def each_choice_gets_its_usage_and_both_the_energy():
    capture = Capture("chat_n2_stream")
    with HandDriven() as t:
        connection, _ = t.ask(capture, capture.request, [("x-jouletap-energy", "1"), ("x-request-id", "two")])
        connection.send(capture.wire())
        answer = t.client.answer()
        answer.read()
        assert len(ENERGY.findall(answer.body)) == 2 and ENERGY.sub(b"", answer.body) == capture.body
        r = t.gateway.record("two")
        assert (r["prompt_tokens"], r["completion_tokens"]) == (51, 6) and r["phase_source"] == "engine", r


@test
def before_the_first_reading_energy_is_unknown_and_not_0():
    capture = Capture("chat_stream_usage")
    engine = Engine(lambda c, r: c.send(capture.wire()))
    with Gateway([engine], {"metering": {"poll_interval_ms": 10000}}) as g:
        body = g.chat(capture.request, [("x-jouletap-energy", "1")]).body
        chunks = [json.loads(e[6:]) for e in upstream.events_of(body) if upstream.is_usage_chunk(e)]
        energy = [chunk["usage"]["energy"] for chunk in chunks]
        assert len(energy) == 1 and energy[0]["provisional"] is True, energy
        assert energy[0]["total_j"] is None and energy[0]["provenance"] is None, energy


@test
def who_does_not_ask_for_energy_gets_none():
    capture = Capture("chat_stream_usage")
    with HandDriven() as t:
        for value in (None, "0", "yes"):
            connection, _ = t.ask(capture, capture.request, [("x-jouletap-energy", value)] if value else [])
            connection.send(capture.wire())
            assert t.client.answer().read() == capture.body
        assert t.gateway.energy("nobody")[0] == 404


@test
def ids_are_ours_where_the_client_gives_none_or_a_bad_one():
    with HandDriven() as t:
        seen = set()
        for given in ([], [("x-request-id", "a b\"c")], [("x-request-id", "y" * 200)]):
            t.client.send(http1.request("POST", "/v1/completions", b"{}", [*JSON] + given))
            connection, got = t.engine.take()
            connection.send(upstream.json_answer({}))
            answer = t.client.answer()
            answer.read()
            own = answer.head.get("x-jouletap-request-id")
            assert own and got.head.all("x-request-id") == [own], got.head.raw
            assert t.gateway.record(own)["id"] == own
            seen.add(own)
        assert len(seen) == 3


@test
def what_a_request_cost_is_remembered_for_a_while():
    engine = Engine(lambda c, r: c.send(upstream.json_answer({})))
    with Gateway([engine], {"telemetry": {"energy_ttl_s": 1}}) as g:
        g.warm_up()
        g.chat({}, [("x-request-id", "short-lived")])
        g.final_energy("short-lived")
        wait_for(lambda: g.energy("short-lived")[0] == 404, 5, lambda: "the request to be forgotten")
        assert g.record("short-lived")["total_j"] is not None


# ---- several engines ----


@test
def what_a_request_cost_may_be_asked_at_once_on_any_connection():
    engine = Engine(lambda c, r: c.send(upstream.json_answer({})))
    with Gateway([engine]) as g:
        g.warm_up()
        missed = []

        def ask(name):
            clients = [g.client() for _ in range(6)]  # the kernel spreads them over both workers
            for i in range(300):
                clients[i % 6].send(http1.request("POST", "/v1/chat/completions", b"{}",
                                                  [*JSON, ("x-request-id", f"{name}-{i}")]))
                clients[i % 6].answer().read()
                answer = clients[(i + 1 + i // 6) % 6].ask("GET", f"/v1/energy/{name}-{i}")
                answer.read()
                if answer.head.status != 200:
                    missed.append(f"{name}-{i}")
            for client in clients:
                client.close()
        threads = [threading.Thread(target=ask, args=(name,)) for name in "abcdef"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not missed, missed


@test
def the_model_names_the_engine():
    names = ("a", "b")
    engines = {n: Engine(lambda c, r, n=n: c.send(upstream.json_answer({"engine": n}))) for n in names}
    prefix = {"a": "", "b": "/prefix"}
    settings = [{"name": n, "url": engines[n].url + prefix[n] + "/", "models": [f"{n}-1", f"{n}-2"]} for n in names]
    with Gateway(settings) as g:
        for model, engine in (("a-1", "a"), ("b-1", "b"), ("b-2", "b"), ("a-2", "a")):
            for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings"):
                name = model + path.replace("/", ".")
                answer = g.chat({"model": model, "input": "x"}, [("x-request-id", name)], path)
                assert json.loads(answer.body) == {"engine": engine}, answer.body
                assert engines[engine].requests[-1].head.target == prefix[engine] + path
                r = g.record(name)
                assert r["upstream"] == engine and r["model"] == model and r["path"] == path, r
        before = sum(len(e.requests) for e in engines.values())
        answer = g.chat({"model": "nobody's \"model\""})
        assert answer.head.status == 404, answer.head.raw
        error = json.loads(answer.body)["error"]
        assert error["code"] == "model_not_found" or error["type"], error
        assert "nobody's \"model\"" in error["message"], error
        assert before == sum(len(e.requests) for e in engines.values())
        answer = g.fetch("GET", "/v1/models")
        assert answer.head.status == 200, answer.head.raw
        g.metrics().check_account()


@test
def models_of_all_engines_are_listed():
    def models(*ids):
        return lambda c, r: c.send(upstream.json_answer({"object": "list", "data": [
            {"id": i, "object": "model", "extra": {"kept": i}} for i in ids]}))
    one, two = Engine(models("a-1", "a-2")), Engine(models("b-1"))
    settings = [{"name": "a", "url": one.url, "models": ["a-1", "a-2"]},
                {"name": "b", "url": two.url, "models": ["b-1"]}]
    with Gateway(settings) as g:
        value = json.loads(g.fetch("GET", "/v1/models").body)
        assert value["object"] == "list" and [m["id"] for m in value["data"]] == ["a-1", "a-2", "b-1"], value
    with Gateway([one]) as g:
        value = json.loads(g.fetch("GET", "/v1/models").body)
        assert [m["extra"]["kept"] for m in value["data"]] == ["a-1", "a-2"], value


# ---- what operators see ----


@test
def metrics_agree_with_the_records():
    capture = Capture("chat_stream_usage")
    with Gateway([Engine(lambda c, r: c.send(capture.wire()))]) as g:
        g.warm_up()
        for i in range(6):
            g.chat(capture.request, [("x-jouletap-task-class", "even" if i % 2 == 0 else "odd")])
        g.wait_records(6)
        records, metrics = g.records(), g.metrics()
        metrics.check_account()
        for task_class in ("even", "odd"):
            own = [r for r in records if r["task_class"] == task_class]
            labels = {"model": "tiny", "task_class": task_class}
            assert len(own) == 3
            assert metrics.sum("jouletap_requests_total", outcome="ok", **labels) == 3
            assert metrics.sum("jouletap_tokens_total", phase="prefill", **labels) == 3 * 62
            assert metrics.sum("jouletap_tokens_total", phase="decode", **labels) == 3 * 12
            for phase in ("prefill", "decode"):
                told = metrics.sum("jouletap_joules_total", phase=phase, **labels)
                assert abs(told - sum(r[phase + "_j"] for r in own)) < 1e-5, (told, own)
            assert metrics.sum("jouletap_time_to_first_token_seconds_count", **labels) == 3
        attributed = metrics.sum("jouletap_attributed_joules_total")
        assert abs(attributed - sum(r["total_j"] for r in records)) < 1e-5
        assert metrics.sum("jouletap_lost_record_lines_total") == 0
        assert metrics.sum("jouletap_unmetered_requests_total") == 0
        health = http1.fetch(g.admin, "GET", "/health")
        assert health.head.status == 200, health.head.raw
        assert g.stop() == 0


@test
def the_pages_of_metrics_are_well_formed():
    capture = Capture("chat_stream_usage")
    with Gateway([Engine(lambda c, r: c.send(capture.wire()))]) as g:
        for model in ("tiny", "quo\"te\\back\nline", "é", "🌍"):
            g.chat({"model": model, "stream": True})
        g.chat(b'{"model":"\xff\xfe","stream":true}')
        g.wait_records(5)
        page = http1.fetch(g.admin, "GET", "/metrics")
        assert page.head.get("content-type").startswith("text/plain; version=0.0.4"), page.head.raw
        page.body.decode()
        kind = "application/openmetrics-text; version=1.0.0"
        open_metrics = http1.fetch(g.admin, "GET", "/metrics", headers=[("Accept", kind)])
        assert open_metrics.head.get("content-type").startswith(kind)
        assert open_metrics.body.endswith(b"# EOF\n")
        if not shutil.which("promtool"):
            raise tap.Skip("needs promtool, of the package prometheus")
        checked = subprocess.run(["promtool", "check", "metrics"], input=page.body, capture_output=True, timeout=60)
        assert checked.returncode == 0, checked.stdout + checked.stderr


if __name__ == "__main__":
    tap.run()
