# SPDX-License-Identifier: Apache-2.0
"""
Engines that do not run here, played as they are documented to answer: vLLM, SGLang, TGI, Ollama, and OpenAI's and
Anthropic's own services. A function of this file is one engine's answer to one request: the events in the bytes that
this engine writes, which of them carry tokens, and what the record of the request has to say. EVERY lists them all.

How the bytes are framed and cut is not theirs to say: framings() and cuts() below.

What is imitated: key order, white space and escapes of each engine's JSON writer (pydantic writes none of either
and leaves UTF-8 alone, Go escapes <, > and &), names and order of events, nulls where an engine writes nulls.
"""
import json
from collections import namedtuple

import http1

PROMPT = "Where does the heron sleep? Wo schläft der Reiher? 鷺 🪶"
WORDS = ["Über", " \"quo\\ted\"", " 世界", " <b>&", " 🪶", "\n", " heron"]
THOUGHTS = ["Hmm,", " é", " 🤔", " heron."]
ARGUMENTS = ['{"ci', 'ty":"Zü', 'rich 🏔"}']
MARKS = ["heron", "Reiher", "Zü"]  # none of it may show up in a log

Event = namedtuple("Event", "raw tokens")  # tokens: 1 if the client gets some with it


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def go(value):
    """As Go's encoding/json writes it."""
    raw = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for c in "<>&":
        raw = raw.replace(c, f"\\u{ord(c):04x}")
    return raw.encode()


def data(value, tokens=0):
    return Event(b"data: " + compact(value) + b"\n\n", tokens)


def named(value, tokens=0):
    """An event that is called by its type."""
    return Event(b"event: " + value["type"].encode() + b"\n" + data(value).raw, tokens)


def raw(text, tokens=0):
    return Event(text, tokens)


DONE = raw(b"data: [DONE]\n\n")


class Answer:
    """
    @asked: the request's body. @record: fields of the record once the answer is complete; those that every record of
    an answer of this kind has are added here.
    """

    def __init__(self, name, path, asked, events, record, content_type="text/event-stream", status="200 OK"):
        self.name = name
        self.path = path
        self.asked = dict({"model": "m-1"}, **asked)
        self.events = events
        self.content_type = content_type
        self.status = status
        self.stream = content_type in ("text/event-stream", "application/x-ndjson")
        self.is_sse = content_type == "text/event-stream"
        self.record = {"model": "m-1", "path": path, "http_status": int(status[:3]), "outcome": "ok",
                       "stream": self.stream, "cached_tokens": None, "reasoning_tokens": None, "queue_s": None,
                       "load_s": None, **record}

    def request(self):
        return json.dumps(self.asked).encode()

    def body(self, line_end=b"\n", closed=True):
        """@closed: with the blank line, or the line end, of the last event."""
        whole = b"".join(event.raw for event in self.events)
        if not closed:
            whole = whole.rstrip(b"\n")
        return whole.replace(b"\n", line_end) if self.stream else whole

    def head(self, *framing):
        return (f"HTTP/1.1 {self.status}\r\nContent-Type: {self.content_type}\r\n".encode()
                + b"".join(header + b"\r\n" for header in framing) + b"\r\n")


# ---- how it goes over the wire ----


def pieces(whole, rng, n):
    """@whole in @n pieces."""
    places = sorted(rng.sample(range(1, len(whole)), min(n, len(whole)) - 1))
    return [whole[a:b] for a, b in zip([0] + places, places + [len(whole)])]


def framings(answer, body, rng):
    """Ways to say how long @body is, each as the bytes of the whole answer and whether its end is the connection's."""
    chunked = answer.head(b"Transfer-Encoding: chunked")
    if answer.stream:
        parts = [event.raw for event in answer.events] if body == answer.body() else pieces(body, rng, 5)
        yield chunked + b"".join(map(http1.chunk, parts)) + b"0\r\n\r\n", False
    parts = pieces(body, rng, 11)
    yield chunked + b"".join(map(http1.chunk, parts)) + b"0\r\n\r\n", False
    yield answer.head(b"Content-Length: %d" % len(body)) + body, False
    yield answer.head(b"Connection: close") + body, True


def cuts(wire, rng):
    """Ways to write @wire, as lists of what is written at once."""
    yield [wire]
    yield pieces(wire, rng, 3)
    yield pieces(wire, rng, 40)
    yield [wire[i : i + 1] for i in range(len(wire))]


# ---- OpenAI chat completions: vLLM ----


def chat(stream=True, usage=True, **more):
    asked = {"messages": [{"role": "user", "content": PROMPT}], "stream": stream, **more}
    if stream and usage:
        asked["stream_options"] = {"include_usage": True}
    return asked


def vllm_chunk(delta, finish=None, usage=None, index=0, **more):
    value = {"id": "chatcmpl-8b1f", "object": "chat.completion.chunk", "created": 1780000000, "model": "m-1",
             "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish,
                          "token_ids": None}], **more}
    if usage:
        value["usage"] = usage
    return value


def vllm_usage(prompt, completion, cached=None):
    told = {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
    if cached is not None:
        told["prompt_tokens_details"] = {"cached_tokens": cached}
    return told


def vllm_last(usage, **more):
    return data({"id": "chatcmpl-8b1f", "object": "chat.completion.chunk", "created": 1780000000, "model": "m-1",
                 "choices": [], "usage": usage, **more})


VLLM_METRICS = {"time_to_first_token_ms": 85.25, "generation_time_ms": 240.5, "queue_time_ms": 12.5,
                "mean_itl_ms": 40.08, "tokens_per_second": 29.1}


def vllm_chat():
    """The role comes with the first token, in an event of its own; the usage chunk was asked for."""
    events = [data(vllm_chunk({"role": "assistant", "content": ""}, prompt_token_ids=None))]
    events += [data(vllm_chunk({"content": word}), 1) for word in WORDS]
    events += [data(vllm_chunk({"content": ""}, "stop", stop_reason=None)), vllm_last(vllm_usage(21, 9, 16)), DONE]
    return Answer("vllm.chat", "/v1/chat/completions", chat(), events, {
        "prompt_tokens": 21, "completion_tokens": 9, "cached_tokens": 16, "token_source": "usage"})


def vllm_continuous():
    """continuous_usage_stats: totals so far beside every choice. The first token's event says 0 of it already."""
    events = [data(vllm_chunk({"role": "assistant", "content": ""}, usage=vllm_usage(21, 0)))]
    events += [data(vllm_chunk({"content": word}, usage=vllm_usage(21, i + 2)), 1) for i, word in enumerate(WORDS)]
    events += [data(vllm_chunk({"content": ""}, "length", usage=vllm_usage(21, 9))), vllm_last(vllm_usage(21, 9)),
               DONE]
    asked = chat()
    asked["stream_options"]["continuous_usage_stats"] = True
    return Answer("vllm.continuous", "/v1/chat/completions", asked, events, {
        "prompt_tokens": 21, "completion_tokens": 9, "token_source": "usage"})


def vllm_metrics():
    """--enable-per-request-metrics: on the usage chunk of a stream."""
    events = [data(vllm_chunk({"role": "assistant", "content": ""}))]
    events += [data(vllm_chunk({"reasoning": thought}), 1) for thought in THOUGHTS]
    events += [data(vllm_chunk({"content": word}), 1) for word in WORDS]
    usage = {**vllm_usage(21, 11), "completion_tokens_details": {"reasoning_tokens": 4}}
    events += [data(vllm_chunk({"content": ""}, "stop")), vllm_last(usage, metrics=VLLM_METRICS), DONE]
    return Answer("vllm.metrics", "/v1/chat/completions", chat(), events, {
        "prompt_tokens": 21, "completion_tokens": 11, "reasoning_tokens": 4, "token_source": "usage",
        "queue_s": 0.0125, "phase_source": "engine"})


def vllm_tools():
    """A tool call whose arguments come in fragments."""
    def call(fragment, **first):
        return vllm_chunk({"tool_calls": [{"index": 0, **first, "function": {**first.get("function", {}),
                                                                             "arguments": fragment}}]})
    events = [data(vllm_chunk({"role": "assistant", "content": ""})),
              data(call("", id="call-1", type="function", function={"name": "weather"}), 1)]
    events += [data(call(fragment), 1) for fragment in ARGUMENTS]
    events += [data(vllm_chunk({"content": ""}, "tool_calls")), vllm_last(vllm_usage(90, 14)), DONE]
    return Answer("vllm.tools", "/v1/chat/completions", chat(), events, {
        "prompt_tokens": 90, "completion_tokens": 14, "token_source": "usage"})


def vllm_error():
    """It fails after its 200: an event tells, and the stream ends as if all were well."""
    events = [data(vllm_chunk({"role": "assistant", "content": ""}))]
    events += [data(vllm_chunk({"content": word}), 1) for word in WORDS[:3]]
    events += [data({"error": {"message": "EngineCore encountered an issue.", "type": "InternalServerError",
                               "param": None, "code": 500}}), DONE]
    return Answer("vllm.error", "/v1/chat/completions", chat(), events, {
        "outcome": "upstream_error", "prompt_tokens": None, "completion_tokens": 3, "token_source": "events"})


def vllm_plain():
    value = {"id": "chatcmpl-8b1f", "object": "chat.completion", "created": 1780000000, "model": "m-1", "choices": [
                 {"index": 0, "message": {"role": "assistant", "content": "".join(WORDS), "refusal": None,
                                          "annotations": None, "tool_calls": [], "reasoning": None},
                  "logprobs": None, "finish_reason": "stop", "stop_reason": None, "token_ids": None}],
             "service_tier": None, "usage": {**vllm_usage(21, 9), "prompt_tokens_details": None},
             "prompt_logprobs": None, "kv_transfer_params": None, "metrics": VLLM_METRICS}
    return Answer("vllm.plain", "/v1/chat/completions", chat(stream=False), [raw(compact(value))], {
        "prompt_tokens": 21, "completion_tokens": 9, "token_source": "usage", "queue_s": 0.0125,
        "phase_source": "engine"}, "application/json")


# ---- SGLang, TGI ----


def sglang_chat():
    """Reasoning has a name of its own, nulls are written out, reasoning tokens are counted beside the others."""
    def chunk(delta, finish=None):
        return {"id": "5a1f", "object": "chat.completion.chunk", "created": 1780000000, "model": "m-1", "choices": [
            {"index": 0, "delta": {"role": None, "content": None, "reasoning_content": None, "tool_calls": None,
                                   **delta},
             "logprobs": None, "finish_reason": finish, "matched_stop": None}], "usage": None}
    events = [data(chunk({"role": "assistant", "content": ""}))]
    events += [data(chunk({"reasoning_content": thought}), 1) for thought in THOUGHTS]
    events += [data(chunk({"content": word}), 1) for word in WORDS]
    usage = {"prompt_tokens": 33, "total_tokens": 45, "completion_tokens": 12,
             "prompt_tokens_details": {"cached_tokens": 32}, "reasoning_tokens": 5}
    events += [data(chunk({}, "stop")),
               data({"id": "5a1f", "object": "chat.completion.chunk", "created": 1780000000, "model": "m-1",
                     "choices": [], "usage": usage}), DONE]
    return Answer("sglang.chat", "/v1/chat/completions", chat(), events, {
        "prompt_tokens": 33, "completion_tokens": 12, "cached_tokens": 32, "reasoning_tokens": 5,
        "token_source": "usage"})


def tgi_chat():
    """Empty comments while it thinks, also between two tokens; no space behind the colon of data."""
    def chunk(choices, usage=None):
        value = {"object": "chat.completion.chunk", "id": "", "created": 1780000000, "model": "m-1",
                 "system_fingerprint": "3.3.4-native", "choices": choices, "usage": usage}
        return b"data:" + compact(value) + b"\n\n"

    def delta(text, finish=None):
        return [{"index": 0, "delta": {"role": "assistant", "content": text}, "logprobs": None,
                 "finish_reason": finish}]
    comment = raw(b":\n\n")
    events = [comment, comment]
    events += [raw(chunk(delta(word)), 1) for word in WORDS[:4]] + [comment]
    events += [raw(chunk(delta(word)), 1) for word in WORDS[4:]]
    events += [raw(chunk(delta("", "stop"))),
               raw(chunk([], {"prompt_tokens": 17, "completion_tokens": 8, "total_tokens": 25})),
               raw(b"data: [DONE]\n\n")]
    return Answer("tgi.chat", "/v1/chat/completions", chat(), events, {
        "prompt_tokens": 17, "completion_tokens": 8, "token_source": "usage"})


# ---- Ollama ----

# 40 ms to load the model, 60 of prefill, 120 of decode; 10 ms that belong to none of these it waited for its turn
OLLAMA_TIMES = {"total_duration": 230000000, "load_duration": 40000000, "prompt_eval_count": 26,
                "prompt_eval_duration": 60000000, "eval_count": 9, "eval_duration": 120000000}
OLLAMA_RECORD = {"prompt_tokens": 26, "completion_tokens": 9, "token_source": "usage", "phase_source": "engine",
                 "load_s": 0.04, "queue_s": 0.01}


def ollama_line(tokens=0, **value):
    return raw(go({"model": "m-1", "created_at": "2026-05-28T20:26:40.123456789Z", **value}) + b"\n", tokens)


def ollama_message(text, **more):
    return ollama_line(1, message={"role": "assistant", "content": text, **more}, done=False)


def ollama_end(**more):
    return {"done": True, "done_reason": "stop", **more}


def ollama_chat():
    """Lines of JSON; streamed unless the client says no. The last line has the counts and the times in ns."""
    events = [ollama_message("", thinking=thought) for thought in THOUGHTS]
    events += [ollama_message(word) for word in WORDS]
    events += [ollama_line(message={"role": "assistant", "content": ""}, **ollama_end(**OLLAMA_TIMES))]
    return Answer("ollama.chat", "/api/chat", {"messages": [{"role": "user", "content": PROMPT}], "think": True},
                  events, OLLAMA_RECORD, "application/x-ndjson")


def ollama_tools():
    """A tool call comes in one line, its arguments are no string; the text around it is empty."""
    call = {"function": {"index": 0, "name": "weather", "arguments": {"city": "Zürich 🏔"}}}
    events = [ollama_message("", tool_calls=[call]),
              ollama_line(message={"role": "assistant", "content": ""}, **ollama_end(**OLLAMA_TIMES))]
    return Answer("ollama.tools", "/api/chat", {"messages": [{"role": "user", "content": PROMPT}], "stream": True},
                  events, OLLAMA_RECORD, "application/x-ndjson")


def ollama_generate():
    """A prompt that was in its cache is not counted, and a field that is 0 is not written."""
    events = [ollama_line(1, response=word, done=False) for word in WORDS]
    times = {key: value for key, value in OLLAMA_TIMES.items() if key != "prompt_eval_count"}
    events += [ollama_line(response="", **ollama_end(context=[151644, 872, 198], **times))]
    return Answer("ollama.generate", "/api/generate", {"prompt": PROMPT}, events, {
        **OLLAMA_RECORD, "prompt_tokens": None}, "application/x-ndjson")


def ollama_error():
    """It fails on its way: a line that says so is the last one."""
    events = [ollama_line(1, response=word, done=False) for word in WORDS[:3]]
    events += [raw(go({"error": "an error was encountered while running the model: <EOF>"}) + b"\n")]
    return Answer("ollama.error", "/api/generate", {"prompt": PROMPT}, events, {
        "outcome": "upstream_error", "prompt_tokens": None, "completion_tokens": 3, "token_source": "events"},
                  "application/x-ndjson")


def ollama_chat_plain():
    value = ollama_line(message={"role": "assistant", "content": "".join(WORDS)}, **ollama_end(**OLLAMA_TIMES))
    return Answer("ollama.chat.plain", "/api/chat", {"messages": [{"role": "user", "content": PROMPT}],
                                                     "stream": False},
                  [raw(value.raw[:-1])], OLLAMA_RECORD, "application/json; charset=utf-8")


def ollama_generate_plain():
    value = ollama_line(response="".join(WORDS), thinking="".join(THOUGHTS), **ollama_end(**OLLAMA_TIMES))
    return Answer("ollama.generate.plain", "/api/generate", {"prompt": PROMPT, "stream": False},
                  [raw(value.raw[:-1])], OLLAMA_RECORD, "application/json; charset=utf-8")


def ollama_load():
    """Without a prompt it only loads the model: one object, though no one said no to a stream."""
    value = ollama_line(response="", done=True, done_reason="load")
    return Answer("ollama.load", "/api/generate", {}, [raw(value.raw[:-1])], {
        "prompt_tokens": None, "completion_tokens": None, "token_source": ""}, "application/json; charset=utf-8")


def ollama_missing():
    value = {"error": "model 'm-1' not found"}
    return Answer("ollama.missing", "/api/chat", {"messages": []}, [raw(go(value))], {
        "outcome": "rejected", "prompt_tokens": None, "completion_tokens": None, "token_source": ""},
                  "application/json; charset=utf-8", "404 Not Found")


def ollama_embed():
    value = {"model": "m-1", "embeddings": [[0.010071029, -0.0017594862, 0.05007221]], "total_duration": 14143917,
             "load_duration": 1019500, "prompt_eval_count": 8}
    return Answer("ollama.embed", "/api/embed", {"input": [PROMPT]}, [raw(go(value))], {
        "prompt_tokens": 8, "completion_tokens": 0, "load_s": 0.0010195}, "application/json; charset=utf-8")


def ollama_embeddings():
    """The older one of the two, which counts nothing."""
    value = {"embedding": [0.567, 0.009, 0.231]}
    return Answer("ollama.embeddings", "/api/embeddings", {"prompt": PROMPT}, [raw(go(value))],
                  {"prompt_tokens": None, "completion_tokens": 0}, "application/json; charset=utf-8")


# ---- OpenAI's responses: OpenAI, vLLM ----


class Responses:
    """Events in the making: each is numbered, and called by its type."""

    def __init__(self):
        self.events = []

    def add(self, kind, tokens=0, **more):
        self.events.append(named({"type": "response." + kind, "sequence_number": len(self.events), **more}, tokens))

    def response(self, status, output=(), usage=None, **more):
        return {"id": "resp_67c9", "object": "response", "created_at": 1780000000, "status": status,
                "background": False, "error": None, "incomplete_details": None, "instructions": None,
                "max_output_tokens": None, "model": "m-1", "output": list(output), "parallel_tool_calls": True,
                "text": {"format": {"type": "text"}}, "usage": usage, "metadata": {}, **more}

    def begin(self):
        self.add("created", response=self.response("in_progress"))
        self.add("in_progress", response=self.response("in_progress"))

    def reasoning(self, index=0):
        at = {"item_id": "rs_1", "output_index": index}
        self.add("output_item.added", output_index=index, item={"id": "rs_1", "type": "reasoning", "summary": []})
        self.add("reasoning_summary_part.added", **at, summary_index=0, part={"type": "summary_text", "text": ""})
        self.add("reasoning_summary_text.delta", 1, **at, summary_index=0, delta=THOUGHTS[0])
        self.add("reasoning_summary_text.done", **at, summary_index=0, text=THOUGHTS[0])
        for thought in THOUGHTS[1:]:
            self.add("reasoning_text.delta", 1, **at, content_index=0, delta=thought)
        self.add("reasoning_text.done", **at, content_index=0, text="".join(THOUGHTS[1:]))
        item = {"id": "rs_1", "type": "reasoning", "summary": [], "content": [
            {"type": "reasoning_text", "text": "".join(THOUGHTS)}]}
        self.add("output_item.done", output_index=index, item=item)
        return item

    def message(self, index=0, words=tuple(WORDS)):
        at = {"item_id": "msg_1", "output_index": index, "content_index": 0}
        part = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
        item = {"id": "msg_1", "type": "message", "status": "in_progress", "content": [], "role": "assistant"}
        self.add("output_item.added", output_index=index, item=item)
        self.add("content_part.added", **at, part=part)
        for word in words:
            self.add("output_text.delta", 1, **at, delta=word, logprobs=[], obfuscation="aB3dE")
        text = "".join(words)
        self.add("output_text.annotation.added", **at, annotation_index=0,
                 annotation={"type": "url_citation", "url": "https://example.org/", "title": text})
        self.add("output_text.done", **at, text=text, logprobs=[])
        self.add("content_part.done", **at, part={**part, "text": text})
        item = {**item, "status": "completed", "content": [{**part, "text": text}]}
        self.add("output_item.done", output_index=index, item=item)
        return item

    def function_call(self, index=0):
        at = {"item_id": "fc_1", "output_index": index}
        item = {"id": "fc_1", "type": "function_call", "status": "in_progress", "arguments": "", "call_id": "call_1",
                "name": "weather"}
        self.add("output_item.added", output_index=index, item=item)
        for fragment in ARGUMENTS:
            self.add("function_call_arguments.delta", 1, **at, delta=fragment)
        self.add("function_call_arguments.done", **at, arguments="".join(ARGUMENTS))
        item = {**item, "status": "completed", "arguments": "".join(ARGUMENTS)}
        self.add("output_item.done", output_index=index, item=item)
        return item


def responses_usage(prompt, completion, cached=0, reasoning=0):
    return {"input_tokens": prompt, "input_tokens_details": {"cached_tokens": cached}, "output_tokens": completion,
            "output_tokens_details": {"reasoning_tokens": reasoning}, "total_tokens": prompt + completion}


def responses(name, made, record, **more):
    return Answer(name, "/v1/responses", {"input": PROMPT, "stream": True, **more}, made.events, record)


def responses_text():
    made = Responses()
    made.begin()
    output = [made.reasoning(), made.message(1)]
    made.add("completed", response=made.response("completed", output, responses_usage(40, 14, 32, 5)))
    return responses("responses.text", made, {
        "prompt_tokens": 40, "completion_tokens": 14, "cached_tokens": 32, "reasoning_tokens": 5,
        "token_source": "usage"})


def responses_call():
    """Of an engine that ends its streams the old way too."""
    made = Responses()
    made.begin()
    output = [made.function_call()]
    made.add("completed", response=made.response("completed", output, responses_usage(80, 12)))
    made.events.append(DONE)
    return responses("responses.call", made, {
        "prompt_tokens": 80, "completion_tokens": 12, "cached_tokens": 0, "reasoning_tokens": 0,
        "token_source": "usage"}, tools=[{"type": "function", "name": "weather", "parameters": {}}])


def responses_incomplete():
    made = Responses()
    made.begin()
    made.add("web_search_call.searching", output_index=0, item_id="ws_1")
    made.add("refusal.delta", 1, output_index=0, item_id="msg_0", content_index=0, delta="I")
    made.add("refusal.done", output_index=0, item_id="msg_0", content_index=0, refusal="I")
    output = [made.message()]
    made.add("incomplete", response=made.response("incomplete", output, responses_usage(40, 8, 0, 0),
                                                  incomplete_details={"reason": "max_output_tokens"}))
    return responses("responses.incomplete", made, {
        "prompt_tokens": 40, "completion_tokens": 8, "cached_tokens": 0, "reasoning_tokens": 0,
        "token_source": "usage"}, max_output_tokens=8)


def responses_failed():
    made = Responses()
    made.begin()
    made.message(words=WORDS[:2])
    made.add("failed", response=made.response("failed", error={"code": "server_error", "message": "it failed"}))
    return responses("responses.failed", made, {
        "outcome": "upstream_error", "prompt_tokens": None, "completion_tokens": 2, "token_source": "events"})


def responses_error():
    """An event that is not about the response but instead of it."""
    made = Responses()
    made.begin()
    made.events.append(named({"type": "error", "sequence_number": 2, "code": "server_error", "message": "it failed",
                              "param": None}))
    return responses("responses.error", made, {
        "outcome": "upstream_error", "prompt_tokens": None, "completion_tokens": 0, "token_source": "events"})


def responses_plain():
    made = Responses()
    value = made.response("completed", [made.reasoning(), made.message(1)], responses_usage(40, 14, 32, 5))
    return Answer("responses.plain", "/v1/responses", {"input": PROMPT}, [raw(json.dumps(value, indent=2).encode())], {
        "prompt_tokens": 40, "completion_tokens": 14, "cached_tokens": 32, "reasoning_tokens": 5,
        "token_source": "usage"}, "application/json")


# ---- Anthropic's messages: Anthropic, vLLM ----


def block(index, kind, deltas, first):
    yield named({"type": "content_block_start", "index": index, "content_block": {"type": kind, **first}})
    for name, member, text in deltas:
        tokens = 0 if name in ("signature_delta", "citations_delta") or not text else 1
        yield named({"type": "content_block_delta", "index": index, "delta": {"type": name, member: text}}, tokens)
    yield named({"type": "content_block_stop", "index": index})


def messages_asked(stream=True):
    return {"max_tokens": 1024, "messages": [{"role": "user", "content": PROMPT}], "stream": stream}


def message_start(usage):
    return named({"type": "message_start", "message": {
        "id": "msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyY", "type": "message", "role": "assistant", "content": [],
        "model": "m-1", "stop_reason": None, "stop_sequence": None, "usage": usage}})


def message_delta(reason, usage):
    return named({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage})


PING = named({"type": "ping"})


def messages_stream():
    """Thinking, text and a tool's input; of the prompt those tokens are told apart that went through the cache."""
    events = [message_start({"input_tokens": 7, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 400,
                             "output_tokens": 1, "service_tier": "standard"})]
    events += block(0, "thinking", [("thinking_delta", "thinking", thought) for thought in THOUGHTS]
                    + [("signature_delta", "signature", "EqQBCgIYAhIM1gbcDa9GJwZA2b3h")], {"thinking": ""})
    events += [PING]
    events += block(1, "text", [("text_delta", "text", word) for word in WORDS], {"text": ""})
    events += [PING]
    events += block(2, "tool_use", [("input_json_delta", "partial_json", part) for part in ["", *ARGUMENTS]],
                    {"id": "toolu_01", "name": "weather", "input": {}})
    events += [message_delta("tool_use", {"output_tokens": 61}), named({"type": "message_stop"})]
    return Answer("messages.stream", "/v1/messages", messages_asked(), events, {
        "prompt_tokens": 507, "completion_tokens": 61, "cached_tokens": 400, "token_source": "usage"})


def messages_error():
    events = [message_start({"input_tokens": 25, "output_tokens": 1})]
    events += list(block(0, "text", [("text_delta", "text", word) for word in WORDS[:3]], {"text": ""}))[:-1]
    events += [named({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})]
    return Answer("messages.error", "/v1/messages", messages_asked(), events, {
        "outcome": "upstream_error", "prompt_tokens": 25, "completion_tokens": 3, "token_source": "events"})


def messages_restated():
    """The end tells everything once more, what tools cost as well; a citation is no token."""
    usage = {"input_tokens": 2679, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 30}
    citation = {"type": "char_location", "cited_text": WORDS[0], "document_index": 0, "document_title": None}
    events = [message_start({**usage, "cache_creation": {"ephemeral_5m_input_tokens": 10}, "output_tokens": 3})]
    events += block(0, "text", [("text_delta", "text", WORDS[0]), ("citations_delta", "citation", citation),
                                *(("text_delta", "text", word) for word in WORDS[1:])], {"text": ""})
    events += [message_delta("end_turn", {**usage, "output_tokens": 510, "server_tool_use": {
        "web_search_requests": 1, "output_tokens": 7}}), named({"type": "message_stop"})]
    return Answer("messages.restated", "/v1/messages", messages_asked(), events, {
        "prompt_tokens": 2719, "completion_tokens": 510, "cached_tokens": 30, "token_source": "usage"})


def vllm_messages():
    """It counts none of the prompt at first, and the whole at the end."""
    events = [message_start({"input_tokens": 0, "output_tokens": 0})]
    events += block(0, "text", [("text_delta", "text", word) for word in WORDS], {"text": ""})
    events += [message_delta("end_turn", {"input_tokens": 21, "output_tokens": 9}), named({"type": "message_stop"})]
    return Answer("vllm.messages", "/v1/messages", messages_asked(), events, {
        "prompt_tokens": 21, "completion_tokens": 9, "token_source": "usage"})


def vllm_messages_old():
    """Its first adapter: the usage of the beginning stands beside the message, and the end is that of two protocols."""
    events = [named({"type": "message_start", "message": {"id": "chatcmpl-8b1f", "content": [], "model": "m-1"},
                     "usage": {"input_tokens": 21, "output_tokens": 0}})]
    events += block(0, "text", [("text_delta", "text", word) for word in WORDS], {"text": ""})
    events += [named({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
                      "usage": {"input_tokens": 21, "output_tokens": 9}}), named({"type": "message_stop"}), DONE]
    return Answer("vllm.messages.old", "/v1/messages", messages_asked(), events, {
        "prompt_tokens": 21, "completion_tokens": 9, "token_source": "usage"})


def vllm_messages_error():
    """An error, and then the end of another protocol."""
    events = [message_start({"input_tokens": 21, "output_tokens": 0})]
    events += list(block(0, "text", [("text_delta", "text", word) for word in WORDS[:2]], {"text": ""}))[:-1]
    events += [named({"type": "error", "error": {"type": "internal_error", "message": "it failed"}}), DONE]
    return Answer("vllm.messages.error", "/v1/messages", messages_asked(), events, {
        "outcome": "upstream_error", "prompt_tokens": 21, "completion_tokens": 2, "token_source": "events"})


def messages_plain():
    value = {"id": "msg_1nZd", "type": "message", "role": "assistant", "model": "m-1", "content": [
                 {"type": "text", "text": "".join(WORDS)},
                 {"type": "tool_use", "id": "toolu_01", "name": "weather", "input": {"city": "Zürich 🏔"}}],
             "stop_reason": "tool_use", "stop_sequence": None,
             "usage": {"input_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 14,
                       "output_tokens": 9}}
    return Answer("messages.plain", "/v1/messages", messages_asked(stream=False), [raw(compact(value))], {
        "prompt_tokens": 21, "completion_tokens": 9, "cached_tokens": 14, "token_source": "usage"},
                  "application/json")


# ---- what only prefills ----


def embeddings():
    value = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.0023, -0.0093, 0.0157]}],
             "model": "m-1", "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    return Answer("openai.embeddings", "/v1/embeddings", {"input": PROMPT}, [raw(json.dumps(value, indent=2).encode())],
                  {"prompt_tokens": 8, "completion_tokens": 0}, "application/json")


def score():
    value = {"id": "score-8b1f", "object": "list", "created": 1780000000, "model": "m-1", "data": [
                 {"index": 0, "object": "score", "score": 0.9985}],
             "usage": {"prompt_tokens": 30, "total_tokens": 30, "completion_tokens": 0, "prompt_tokens_details": None}}
    return Answer("vllm.score", "/v1/score", {"text_1": PROMPT, "text_2": PROMPT}, [raw(compact(value))],
                  {"prompt_tokens": 30, "completion_tokens": 0}, "application/json")


def rerank():
    """vLLM, in the manner of Jina, with a total alone."""
    value = {"id": "rerank-8b1f", "model": "m-1", "usage": {"total_tokens": 56}, "results": [
        {"index": 1, "document": {"text": "".join(WORDS), "multi_modal": None}, "relevance_score": 0.9985},
        {"index": 0, "document": {"text": PROMPT, "multi_modal": None}, "relevance_score": 0.0012}]}
    return Answer("vllm.rerank", "/v1/rerank", {"query": PROMPT, "documents": [PROMPT, "".join(WORDS)]},
                  [raw(compact(value))], {"prompt_tokens": 56, "completion_tokens": 0}, "application/json")


EVERY = [vllm_chat, vllm_continuous, vllm_metrics, vllm_tools, vllm_error, vllm_plain, sglang_chat, tgi_chat,
         ollama_chat, ollama_tools, ollama_generate, ollama_error, ollama_chat_plain, ollama_generate_plain,
         ollama_load, ollama_missing, ollama_embed, ollama_embeddings, responses_text, responses_call,
         responses_incomplete, responses_failed, responses_error, responses_plain, messages_stream, messages_restated,
         messages_error, vllm_messages, vllm_messages_old, vllm_messages_error, messages_plain, embeddings, score,
         rerank]
