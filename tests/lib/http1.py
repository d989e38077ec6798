# SPDX-License-Identifier: Apache-2.0
"""
HTTP/1.1 on bare sockets, for tests that look at bytes: what was received is kept as it came, heads
included. Lenient on purpose where it reads what the gateway sent; the tests do the judging.
"""
import socket


JSON = (("Content-Type", "application/json"),)


class Gone(Exception):
    """The peer closed, or reset, before a message was complete."""


class Reader:
    """Bytes of a socket, read as they arrive, with what was not yet asked for kept."""

    def __init__(self, sock):
        self.sock = sock
        self.kept = b""

    def more(self):
        try:
            piece = self.sock.recv(1 << 16)
        except ConnectionResetError as why:
            raise Gone("reset") from why
        if not piece:
            raise Gone("closed")
        self.kept += piece

    def take(self, n):
        taken, self.kept = self.kept[:n], self.kept[n:]
        return taken

    def until(self, mark):
        """Up to and with @mark."""
        while mark not in self.kept:
            self.more()
        return self.take(self.kept.index(mark) + len(mark))

    def some(self):
        """What there is, at least a byte."""
        if not self.kept:
            self.more()
        return self.take(len(self.kept))


class Head:
    """A start line and headers; @raw is how they came."""

    def __init__(self, raw):
        self.raw = raw
        lines = raw.decode("latin-1").split("\r\n")
        self.start = lines[0]
        self.headers = []
        for line in lines[1:]:
            if line:
                name, _, value = line.partition(":")
                self.headers.append((name.lower(), value.strip()))

    def all(self, name):
        return [value for key, value in self.headers if key == name.lower()]

    def get(self, name, default=None):
        return (self.all(name) or [default])[0]

    @property
    def status(self):
        return int(self.start.split(" ")[1])

    @property
    def method(self):
        return self.start.split(" ")[0]

    @property
    def target(self):
        return self.start.split(" ")[1]


class Message:
    """A head and its body, read on demand: piece() gives what arrives, with the chunked coding undone."""

    def __init__(self, reader, head, no_body=False):
        self.reader = reader
        self.head = head
        self.pieces = []
        self.n_body = 0
        self.joined = b""
        self.complete = False
        self.left = None  # of the current chunk, or of the body
        self.chunked = head.get("transfer-encoding", "").lower() == "chunked"
        self.until_close = False
        if no_body or head.start.startswith("HTTP/") and head.status in (204, 304):
            self.complete = True
        elif self.chunked:
            self.left = 0
        elif head.get("content-length") is not None:
            self.left = int(head.get("content-length"))
            self.complete = self.left == 0
        elif head.start.startswith("HTTP/"):
            self.until_close = True
        else:
            self.complete = True

    @property
    def body(self):
        """What is here of it."""
        if len(self.joined) != self.n_body:
            self.joined = b"".join(self.pieces)
        return self.joined

    def _next_chunk(self):
        line = self.reader.until(b"\r\n")
        self.left = int(line.split(b";")[0], 16)
        if self.left == 0:
            while self.reader.until(b"\r\n") != b"\r\n":
                pass
            self.complete = True

    def piece(self):
        """The next bytes of the body; b"" at its end."""
        if self.chunked and not self.complete and self.left == 0:
            self._next_chunk()
        if self.complete:
            return b""
        try:
            got = self.reader.some()
        except Gone as why:
            if self.until_close and str(why) == "closed":
                self.complete = True
                return b""
            raise
        if not self.until_close:
            got, self.reader.kept = got[: self.left], got[self.left :] + self.reader.kept
            self.left -= len(got)
            if self.left == 0 and self.chunked:
                self.reader.until(b"\r\n")
            elif self.left == 0:
                self.complete = True
        self.pieces.append(got)
        self.n_body += len(got)
        return got

    def read(self, n=None):
        """The body to its end, or until @n bytes of it are here."""
        while (n is None or self.n_body < n) and self.piece():
            pass
        return self.body

    def read_cut(self):
        """As read(), but the connection may end first: then self.complete stays False."""
        try:
            return self.read()
        except Gone:
            return self.body


def read_head(reader):
    return Head(reader.until(b"\r\n\r\n"))


def connect(address, timeout=20, receive_buffer=None):
    """@address is "127.0.0.1:1234"."""
    host, _, port = address.rpartition(":")
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(timeout)
    sock.connect((host, int(port)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def request(method, target, body=b"", headers=()):
    """The bytes of a request. Content-Length is there if @body is and @headers frame nothing."""
    lines = [f"{method} {target} HTTP/1.1"]
    names = [name.lower() for name, _ in headers]
    if "host" not in names:
        lines.append("Host: gateway")
    lines += [f"{name}: {value}" for name, value in headers]
    if body and "content-length" not in names and "transfer-encoding" not in names:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Client:
    """One connection to the gateway."""

    def __init__(self, address, **options):
        self.sock = connect(address, **options)
        self.reader = Reader(self.sock)

    def send(self, raw):
        self.sock.sendall(raw)

    def answer(self, no_body=False):
        """The head of the next answer that is not 1xx; its body is read by the caller."""
        while True:
            head = read_head(self.reader)
            if head.status >= 200:
                return Message(self.reader, head, no_body)

    def ask(self, method, target, body=b"", headers=()):
        """Sends a request and waits for the head of its answer."""
        self.send(request(method, target, body, headers))
        return self.answer(no_body=method == "HEAD")

    def gone(self, timeout):
        """Whether the gateway closes the connection, and sends nothing, within @timeout."""
        self.sock.settimeout(timeout)
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True
        except socket.timeout:
            return False

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.close()


def fetch(address, method, target, body=b"", headers=()):
    """One request on a connection of its own, body and all."""
    with Client(address) as client:
        answer = client.ask(method, target, body, headers)
        answer.read()
        return answer


def chunk(piece):
    return b"%x\r\n%s\r\n" % (len(piece), piece)
