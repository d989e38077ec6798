# SPDX-License-Identifier: Apache-2.0
"""A wiretap: passes the bytes of TCP connections on to a server and keeps them, in both directions."""
import socket
import threading

import http1


class Bytes:
    """Stands in for a socket whose peer has sent all this and closed."""

    def __init__(self, data):
        self.data = data

    def recv(self, n):
        taken, self.data = self.data[:n], self.data[n:]
        return taken


class Wiretap:
    def __init__(self, address):
        self.target = address
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.url = "http://" + self.address
        self.connections = []  # of (bytes to the server, bytes from it)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = http1.connect(self.target, timeout=None)
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            kept = (bytearray(), bytearray())
            self.connections.append(kept)
            threading.Thread(target=self._pass, args=(near, far, kept[0]), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, kept[1]), daemon=True).start()

    @staticmethod
    def _pass(source, sink, kept):
        try:
            while True:
                piece = source.recv(1 << 16)
                kept += piece
                if not piece:
                    break
                sink.sendall(piece)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def exchanges(self):
        """Request and answer of each exchange so far, by x-request-id."""
        found = {}
        for to_server, from_server in list(self.connections):
            asked, answered = http1.Reader(Bytes(bytes(to_server))), http1.Reader(Bytes(bytes(from_server)))
            try:
                while True:
                    request = http1.Message(asked, http1.read_head(asked))
                    request.read()
                    answer = http1.Message(answered, http1.read_head(answered))
                    answer.read_cut()
                    found[request.head.get("x-request-id")] = (request, answer)
            except http1.Gone:
                pass
        return found

    def stop(self):
        self.listener.close()
