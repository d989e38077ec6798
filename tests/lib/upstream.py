# SPDX-License-Identifier: Apache-2.0
"""
A scripted engine: a server on bare sockets that does what a test tells it, right or wrong, and keeps the
exact bytes of every request it got.

Two ways to use it. By hand: take() gives the next request and the connection it came on. Or with a
script, a function (connection, request) that is called in a thread for each request; it answers by
connection.send() and friends. The connection is read on after it returns, unless it closed it.
"""
import json
import os
import select
import socket
import struct
import threading
import time

import http1

CAPTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "llama_server_capture")


class Request:
    def __init__(self, message):
        self.head = message.head
        self.body = message.body

    def json(self):
        return json.loads(self.body)


class Connection:
    """The engine's end of a connection from the gateway."""

    def __init__(self, sock):
        sock.settimeout(30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.reader = http1.Reader(sock)
        self.closed = False

    def request(self):
        """The next request, or None once the gateway has closed."""
        try:
            message = http1.Message(self.reader, http1.read_head(self.reader))
            message.read()
        except (http1.Gone, OSError):
            return None
        return Request(message)

    def send(self, raw):
        """False if the gateway is gone."""
        try:
            self.sock.sendall(raw)
            return True
        except OSError:
            return False

    def wait_gone(self, timeout=10):
        """When the gateway closed; None if it has not within @timeout. Bytes that come are dropped."""
        self.sock.settimeout(timeout)
        try:
            while self.sock.recv(1 << 16):
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass
        except socket.timeout:
            return None
        return time.monotonic()

    def close(self):
        self.closed = True
        self.sock.close()

    def reset(self):
        """Closes with a reset instead of a proper end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


class Engine:
    def __init__(self, script=None):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.url = "http://" + self.address
        self.requests = []  # in the order they were complete
        self.lock = threading.Lock()
        self.held = []  # by hand: connections between two requests
        self.script = script
        self.stopping = False
        if script:
            threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while not self.stopping:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(Connection(sock),), daemon=True).start()

    def _serve(self, connection):
        while not connection.closed:
            request = connection.request()
            if request is None:
                connection.close()
                return
            with self.lock:
                self.requests.append(request)
            self.script(connection, request)

    def take(self, timeout=10):
        """By hand: the next request on any connection, as (connection, request)."""
        until = time.monotonic() + timeout
        while True:
            left = until - time.monotonic()
            waiting = [self.listener] + [c.sock for c in self.held]
            ready = select.select(waiting, [], [], max(left, 0))[0]
            assert ready, "no request reached the engine"
            if self.listener in ready:
                sock, _ = self.listener.accept()
                self.held.append(Connection(sock))
                continue
            connection = next(c for c in self.held if c.sock is ready[0])
            request = connection.request()
            if request is None:
                self.held.remove(connection)
                connection.close()
                continue
            self.requests.append(request)
            return connection, request

    def stop(self):
        """Like a machine that was switched off: what is connected stays as it is."""
        self.stopping = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()


# ---- answers ----


def answer(status, headers, body):
    """The bytes of an answer with a Content-Length."""
    lines = [f"HTTP/1.1 {status}"] + [f"{name}: {value}" for name, value in headers]
    if status.split(" ")[0] not in ("204", "304"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def json_answer(value, status="200 OK", headers=()):
    return answer(status, [("Content-Type", "application/json"), *headers], json.dumps(value).encode())


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"


def event(value):
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n"


def token(text, index=0, **more):
    """One event that carries one token."""
    return event({"id": "c-1", "object": "chat.completion.chunk", "model": "m", "choices": [
        {"index": index, "delta": {"content": text}, "finish_reason": None}], **more})


def finish(index=0, reason="stop"):
    return event({"id": "c-1", "object": "chat.completion.chunk", "model": "m", "choices": [
        {"index": index, "delta": {}, "finish_reason": reason}]})


def usage(prompt, completion, **more):
    return event({"id": "c-1", "object": "chat.completion.chunk", "model": "m", "choices": [],
                  "usage": {"prompt_tokens": prompt, "completion_tokens": completion,
                            "total_tokens": prompt + completion, **more}})


DONE = b"data: [DONE]\n\n"


def stream(connection, events, pause=0, last=True):
    """Sends @events as a chunked stream, one chunk an event; False if the gateway went away."""
    if not connection.send(STREAM_HEAD):
        return False
    for piece in events:
        if pause:
            time.sleep(pause)
        if not connection.send(http1.chunk(piece)):
            return False
    return connection.send(LAST_CHUNK) if last else True


class Capture:
    """What llama-server really sent, from NAME.http; the format is described in the folder's README."""

    def __init__(self, name):
        self.name = name
        with open(os.path.join(CAPTURES, name + ".http"), "rb") as f:
            text = f.read()
        first, _, rest = text.partition(b"\n")
        self.method, self.path = first.decode().split(" ")[1:3]
        self.request, _, rest = rest.partition(b"\n<<< ")
        head, _, self.body = rest.partition(b"\r\n\r\n" if b"\r\n\r\n" in rest else b"\n\n")
        self.head = http1.Head(head.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
        self.body, _, _ = self.body.partition(b"\n<<< client closed")
        self.stream = self.head.get("content-type", "").startswith("text/event-stream")
        self.chunked = self.head.get("transfer-encoding") == "chunked"

    def wire_head(self):
        """The head as it was, less the word that the connection ends, with the length that the body has here."""
        lines = [self.head.start]
        for name, value in self.head.headers:
            if name != "connection":
                lines.append(f"{name}: {len(self.body) if name == 'content-length' else value}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    def wire_body(self):
        """The body as it goes over the wire: one chunk an event, where it was chunked."""
        if not self.chunked:
            return self.body
        pieces = self.body.split(b"\n\n")
        events = [piece + b"\n\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])
        return b"".join(http1.chunk(piece) for piece in events) + LAST_CHUNK

    def wire(self):
        return self.wire_head() + self.wire_body()


def events_of(body):
    """The events of a stream, each with its blank line (the last perhaps without)."""
    pieces = body.split(b"\n\n")
    return [piece + b"\n\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])


def is_usage_chunk(piece):
    """What include_usage adds to a stream."""
    if not piece.startswith(b"data: {"):
        return False
    try:
        value = json.loads(piece[6:])
    except ValueError:
        return False
    return value.get("choices") == [] and isinstance(value.get("usage"), dict)


def without_usage_chunks(body):
    return b"".join(piece for piece in events_of(body) if not is_usage_chunk(piece))


def with_include_usage(body):
    """@body of a streaming request without stream_options, as the gateway is to forward it."""
    return b'{"stream_options":{"include_usage":true},' + body[1:]
