#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
The SDKs of Ollama, Anthropic and OpenAI in front of the gateway, scripted engines behind it: what users' programs make
of an answer that has passed through, what they see of errors, and what becomes of it when they abort.

Needs Node 20 or later, and npm with its registry the first time; without them it is skipped and says so.
"""
import base64
import json
import os
import random
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import engines
import http1
import tap
from gateway import Gateway, wait_for
from node import HOME, install
from tap import test
from upstream import Engine

ENERGY = re.compile(rb',?"energy":\{[^{}]*\}')
TEXT, THOUGHTS = "".join(engines.WORDS), "".join(engines.THOUGHTS)
CITY = {"city": "Zürich 🏔"}
KINDS = {  # engine: SDK, and what it makes of the answer
    engines.ollama_chat: ("ollama.chat", {"text": TEXT, "thinking": THOUGHTS}),
    engines.ollama_tools: ("ollama.chat", {"text": "", "tools": [CITY]}),
    engines.ollama_generate: ("ollama.generate", {"text": TEXT}),
    engines.ollama_chat_plain: ("ollama.chat", {"text": TEXT}),
    engines.ollama_generate_plain: ("ollama.generate", {"text": TEXT, "thinking": THOUGHTS}),
    engines.ollama_embed: ("ollama.embed", {}),
    engines.messages_stream: ("anthropic.messages", {"text": TEXT, "thinking": THOUGHTS, "tools": [CITY]}),
    engines.vllm_messages: ("anthropic.messages", {"text": TEXT}),
    engines.messages_plain: ("anthropic.messages", {"text": TEXT, "tools": [CITY]}),
    engines.responses_text: ("openai.responses", {"text": TEXT, "thinking": THOUGHTS}),
    engines.responses_call: ("openai.responses", {"text": "", "tools": [CITY]}),
    engines.responses_plain: ("openai.responses", {"text": TEXT}),
    engines.embeddings: ("openai.embeddings", {}),
}
FAILING = {
    engines.ollama_error: ("ollama.generate", "an error was encountered"),
    engines.ollama_missing: ("ollama.chat", "model 'm-1' not found"),
    engines.messages_error: ("anthropic.messages", "Overloaded"),
    engines.vllm_messages_error: ("anthropic.messages", "it failed"),
    engines.responses_failed: ("openai.responses", "it failed"),
    engines.responses_error: ("openai.responses", "it failed"),
}


class Engines:
    """All of them on one port: which one is meant stands in the request's id."""

    def __init__(self):
        self.answers = {make().name: make() for make in engines.EVERY}
        self.gone = {}  # by id: when the gateway closed
        self.rng = random.Random(51)
        self.engine = Engine(self.serve)

    def serve(self, connection, request):
        name, _, how = request.head.get("x-request-id").partition("-")
        answer = self.answers[name]
        if how == "left":
            self.serve_until_left(connection, request, answer)
        elif answer.stream:
            for piece in engines.pieces(answer.head(b"Transfer-Encoding: chunked")
                                        + b"".join(http1.chunk(event.raw) for event in answer.events)
                                        + b"0\r\n\r\n", self.rng, 12):
                connection.send(piece)
        else:
            connection.send(answer.head(b"Content-Length: %d" % len(answer.body())) + answer.body())

    def serve_until_left(self, connection, request, answer):
        """All but what comes after the last token, at a token in 10 ms."""
        connection.send(answer.head(b"Transfer-Encoding: chunked"))
        last = max(i for i, event in enumerate(answer.events) if event.tokens)
        for event in answer.events[: last + 1]:
            connection.send(http1.chunk(event.raw))
            time.sleep(0.01)
        self.gone[request.head.get("x-request-id")] = connection.wait_gone(10)
        connection.close()


def ask(gateway, asked, **more):
    """What the SDKs made of these engines' answers, by id. @asked: pairs of the SDK and the answer."""
    requests = []
    for sdk, answer in asked:
        body = dict(answer.asked)
        if answer.stream:  # of Ollama's the SDK says it where the client does not
            body["stream"] = True
        requests.append({"id": f"{answer.name}-{more.get('how', 'x')}", "sdk": sdk, "body": body,
                         "headers": more.get("headers", {}), "leave_after": more.get("leave_after")})
    job = {"base_url": "http://" + gateway.address, "requests": requests}
    done = subprocess.run(["node", "sdks.mjs"], cwd=HOME, input=json.dumps(job), capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr
    answers = {}
    for line in done.stdout.splitlines():
        answer = json.loads(line)
        answer["raw"] = base64.b64decode(answer["raw"])
        answers[answer["id"].rpartition("-")[0]] = answer
    return answers


def check_counts(r, answer):
    for key in ("prompt_tokens", "completion_tokens", "outcome", "stream", "path"):
        assert r[key] == answer.record[key], (key, answer.record[key], r)


@test
def the_sdks_read_through_the_gateway_what_the_engines_sent():
    install()
    made = [(make(), *kind) for make, kind in KINDS.items()]
    with Gateway([Engines().engine]) as g:
        g.warm_up()
        got = ask(g, [(sdk, answer) for answer, sdk, _ in made])
        for answer, _, expected in made:
            seen = got[answer.name]
            assert "error" not in seen and seen["status"] == 200, seen
            assert seen["raw"] == answer.body(), (answer.name, seen["raw"])
            for key, want in expected.items():
                assert seen[key] == want, (answer.name, key, seen)
            assert seen["usage"], seen
            assert seen["headers"]["x-jouletap-request-id"] == answer.name + "-x"
            check_counts(g.record(answer.name + "-x"), answer)
        g.metrics().check_account()


@test
def joules_do_not_disturb_them():
    install()
    made = [(make(), *kind) for make, kind in KINDS.items()]
    with Gateway([Engines().engine]) as g:
        g.warm_up()
        got = ask(g, [(sdk, answer) for answer, sdk, _ in made], headers={"x-jouletap-energy": "1"})
        for answer, sdk, expected in made:
            seen = got[answer.name]
            assert "error" not in seen, seen
            assert len(ENERGY.findall(seen["raw"])) == 1 and ENERGY.sub(b"", seen["raw"]) == answer.body(), seen
            for key, want in expected.items():
                assert seen[key] == want, (answer.name, key, seen)
            # Anthropic's SDK takes what it knows out of message_delta; all others hand on what came.
            if not (sdk == "anthropic.messages" and answer.stream):
                assert seen["usage"]["energy"]["provisional"] is True, seen


@test
def they_see_the_engines_errors():
    install()
    made = [(make(), *kind) for make, kind in FAILING.items()]
    with Gateway([Engines().engine]) as g:
        g.warm_up()
        got = ask(g, [(sdk, answer) for answer, sdk, _ in made])
        for answer, _, message in made:
            seen = got[answer.name]
            assert message in seen["error"], (answer.name, seen)
            assert seen["status"] == int(answer.status[:3]), seen
            check_counts(g.record(answer.name + "-x"), answer)


@test
def they_abort_and_the_engine_stops():
    install()
    behind = Engines()
    made = [(make(), KINDS[make][0]) for make in (engines.ollama_chat, engines.ollama_generate,
                                                  engines.messages_stream, engines.responses_text)]
    with Gateway([behind.engine]) as g:
        g.warm_up()
        got = ask(g, [(sdk, answer) for answer, sdk in made], how="left", leave_after=2)
        for answer, _ in made:
            seen, r = got[answer.name], g.record(answer.name + "-left")
            assert seen["text"].startswith("".join(engines.WORDS[:2])), seen
            assert r["outcome"] == "client_gone" and r["token_source"] == "events" and r["stream"] is True, r
            tokens = sum(event.tokens for event in answer.events)
            thoughts = len(engines.THOUGHTS) if seen["thinking"] or answer.path == "/v1/messages" else 0
            assert 2 + thoughts <= r["completion_tokens"] <= tokens, (r, tokens)
            assert wait_for(lambda: behind.gone.get(answer.name + "-left"), 10, lambda: "the engine to be told")
        g.metrics().check_account()


if __name__ == "__main__":
    tap.run()
