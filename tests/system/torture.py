# SPDX-License-Identifier: Apache-2.0
"""A server that does to its clients what torture_cases.py says.

A request for /case/NAME gets what the case of this name does, and one for /sane/N the answer
N that it should get.  A case that is not about HTTP has a port of its own.
"""
import collections
import contextlib
import re
import select
import socket
import struct
import threading
import time

from torture_tls import Flight, context

CLOSE = "close"  # in order
RESET = "reset"
HANG = "hang"    # say nothing more, until the client has gone


class Forever:
    """A step: sends these bytes again and again, until the client has gone."""

    def __init__(self, piece, pause=0.0):
        self.piece, self.pause = piece, pause

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def sane(number):
    """The answer to /sane/N: its type and its size say which it is."""
    body = b"s" * (number % 97)
    return (b"HTTP/1.1 200 OK\r\nContent-Type: sane/%d\r\nContent-Length: %d\r\n\r\n"
            % (number, len(body))) + body


class _Gone(Exception):
    """The connection is at its end."""


class _Peer:
    """One client's connection."""

    def __init__(self, server, connection):
        self.server, self.socket = server, connection
        self.unread = b""

    def request(self):
        """Reads a whole request; returns its method and path."""
        while b"\r\n\r\n" not in self.unread:
            self._read()
        head, self.unread = self.unread.split(b"\r\n\r\n", 1)
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, value = line.split(b":", 1)
            if name.lower() == b"content-length":
                length = int(value)
        while len(self.unread) < length:
            self._read()
        self.unread = self.unread[length:]
        return head.split(b" ", 2)[:2]

    def _read(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise _Gone
        self.unread += piece

    def take(self, steps):
        """Takes the steps of a case."""
        for step in steps:
            if isinstance(step, bytes):
                self.socket.sendall(self.server.filled_in(step))
            elif isinstance(step, (int, float)):
                self._pause(step)
            elif isinstance(step, Forever):
                self._send_forever(step)
            elif isinstance(step, Flight):
                self._read()
                self.socket.sendall(step.answer_to(self.unread))
            elif step == HANG:
                self._pause(None)
                raise _Gone
            else:
                self._end(step)

    def _pause(self, seconds):
        """Waits so long, but not for a client that has gone."""
        end = None if seconds is None else time.monotonic() + seconds
        while end is None or time.monotonic() < end:
            left = None if end is None else max(0, end - time.monotonic())
            if select.select([self.socket], [], [], left)[0]:
                if not self.socket.recv(65536):
                    raise _Gone

    def _send_forever(self, step):
        while True:
            self.socket.sendall(step.piece)
            if step.pause:
                self._pause(step.pause)

    def _end(self, step):
        if step == RESET:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.socket.shutdown(socket.SHUT_WR)
        raise _Gone


class Server:
    """Serves the cases on an ephemeral port of 127.0.0.1, those that need it on their own."""

    def __init__(self, cases, tls=False):
        self.tls = context() if tls else None
        self.name = "https" if tls else "http"
        self.cases = {case.name: case for case in cases}
        self.requests = collections.Counter()  # by path
        self.finished = collections.Counter()  # cases with no steps left, the connection kept
        self.lock = threading.Lock()
        self.connections = set()
        self.stopping = False
        self.ports = {}
        self.threads = []
        self.port = self._listen(self._converse)
        self.own_ports = {case.name: self._listen(self._play, case.steps)
                          for case in cases if case.port}

    def url(self, case):
        """Where the case happens."""
        if case.port:
            return f"{case.scheme}://127.0.0.1:{self.own_ports[case.name]}/"
        return f"{self.name}://127.0.0.1:{self.port}/case/{case.name}"

    def sane_url(self, number):
        return f"{self.name}://127.0.0.1:{self.port}/sane/{number}"

    def filled_in(self, data):
        """A URL in an answer names the server as "@"."""
        return data.replace(b"//@", b"//127.0.0.1:%d" % self.port) if b"//@" in data else data

    def _listen(self, serve, *args):
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._start(self._accept, listener, serve, args)
        return listener.getsockname()[1]

    def _start(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self, listener, serve, args):
        with listener:
            while True:
                connection, _ = listener.accept()
                if self.stopping:
                    connection.close()
                    return
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(connection, serve, args),
                                 daemon=True).start()

    def _serve(self, connection, serve, args):
        with self.lock:
            self.connections.add(connection)
        # The client may go at any time, which is the point of most cases.
        with contextlib.suppress(OSError, _Gone):
            if self.tls and serve == self._converse:
                connection = self._encrypt(connection)
            serve(_Peer(self, connection), *args)
        with self.lock:
            self.connections.discard(connection)
        connection.close()

    def _encrypt(self, connection):
        with self.lock:
            self.connections.discard(connection)
        connection = self.tls.wrap_socket(connection, server_side=True)
        with self.lock:
            self.connections.add(connection)
        return connection

    def _converse(self, peer):
        while True:
            _, path = peer.request()
            path = path.decode()
            with self.lock:
                self.requests[path] += 1
            kind, _, rest = path[1:].partition("/")
            if kind == "sane":
                peer.socket.sendall(sane(int(re.match(r"\d+", rest)[0])))
            else:
                name = re.match("[^/?]*", rest)[0]
                peer.take(self.cases[name].steps if name in self.cases else [NOT_FOUND])
                with self.lock:
                    self.finished[name] += 1

    @staticmethod
    def _play(peer, steps):
        peer.take(steps)

    def stop(self):
        self.stopping = True
        for port in (self.port, *self.own_ports.values()):
            socket.create_connection(("127.0.0.1", port)).close()
        for thread in self.threads:
            thread.join()
        with self.lock:
            for connection in self.connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
