#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks penstock-origin on the socket level:  PENSTOCK_ORIGIN=build/penstock-origin test_origin.py [unittest option]...

Times are checked from below; upper bounds are generous enough for a slow, shared machine.
"""
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

BINARY = os.environ.get("PENSTOCK_ORIGIN", "./penstock-origin")
PATIENCE = 20  # seconds until a missing answer is a failure
LINE = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n"


def filling(length):
    return (LINE * (length // len(LINE) + 1))[:length]


class Origin:
    """A running penstock-origin."""

    def __init__(self, *options, stdin=subprocess.DEVNULL):
        self.process = subprocess.Popen(
            [BINARY, *options], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

    def stop(self, number=signal.SIGTERM):
        """Ends it; returns its exit status and what it printed after the port."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in self.process.stdin, self.process.stdout, self.process.stderr:
            if pipe:
                pipe.close()


class Client:
    """One connection, read through a buffer."""

    def __init__(self, port, host="127.0.0.1"):
        self.socket = socket.create_connection((host, port), timeout=PATIENCE)
        self.buffer = b""

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, target, method="GET", headers="", body=b"", version="HTTP/1.1"):
        head = f"{method} {target} {version}\r\nHost: test\r\n{headers}\r\n"
        self.send(head.encode("latin-1") + body)

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data

    def until(self, mark):
        while mark not in self.buffer:
            self._more()
        found, self.buffer = self.buffer.split(mark, 1)
        return found

    def exactly(self, length):
        while len(self.buffer) < length:
            self._more()
        found, self.buffer = self.buffer[:length], self.buffer[length:]
        return found

    def rest(self):
        """Everything until the orderly end of the connection."""
        with contextlib.suppress(EOFError):
            while True:
                self._more()
        found, self.buffer = self.buffer, b""
        return found

    def head(self):
        """(status, {lower-case name: value}) of the next answer."""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, _ = lines[0].split(" ", 2)
        assert version == "HTTP/1.1", lines[0]
        pairs = [line.split(": ", 1) for line in lines[1:]]
        return int(status), {name.lower(): value for name, value in pairs}

    def chunks(self):
        body = b""
        while True:
            length = int(self.until(b"\r\n"), 16)
            body += self.exactly(length)
            assert self.exactly(2) == b"\r\n"
            if length == 0:
                return body

    def answer(self):
        """(status, headers, body) of the next sound answer."""
        status, headers = self.head()
        if headers.get("transfer-encoding") == "chunked":
            body = self.chunks()
        elif "content-length" in headers:
            body = self.exactly(int(headers["content-length"]))
        else:
            body = b"" if status in (204, 304) else self.rest()
        return status, headers, body

    def get(self, target, **more):
        self.ask(target, **more)
        return self.answer()

    def is_ended(self):
        """Whether the peer closed in order, with nothing left to read."""
        return self.buffer == b"" and self.socket.recv(1) == b""


class OriginCase(unittest.TestCase):
    OPTIONS = ("--remember",)

    @classmethod
    def setUpClass(cls):
        cls.origin = Origin(*cls.OPTIONS)

    @classmethod
    def tearDownClass(cls):
        try:
            status, out, err = cls.origin.stop()
            assert (status, out, err) == (0, b"", b""), (status, out, err.decode())
        finally:
            cls.origin.kill()

    def client(self):
        client = Client(self.origin.port)
        self.addCleanup(client.close)
        return client

    def get(self, target, **more):
        """One request on a connection of its own."""
        client = Client(self.origin.port)
        with contextlib.closing(client):
            return client.get(target, **more)

    def json(self, target, **more):
        status, headers, body = self.get(target, **more)
        self.assertEqual((status, headers["content-type"]), (200, "application/json"))
        return json.loads(body)

    def wait_for_counter(self, name, value):
        end = time.monotonic() + PATIENCE
        while self.json("/_counters")[name] != value:
            self.assertLess(time.monotonic(), end, f"{name} never became {value}")
            time.sleep(0.01)


class SoundRoutes(OriginCase):
    def test_small_answers(self):
        for target in "/", "/ok", "/okay/then", "/ok/1?x=y", "/seen/a", "http://test/ok", "/?q":
            status, headers, body = self.get(target)
            self.assertEqual((status, headers["content-type"]), (200, "text/plain"))
            self.assertEqual(body, filling(128))

    def test_unknown_paths(self):
        for target in "/nothing", "//", "/byte/3", "*", "/_nothing", "/malformed", "/unknown":
            self.assertEqual(self.get(target)[0], 404, target)

    def test_bytes(self):
        for length in 0, 1, 16384, 16385, 300000, 5000001:
            status, headers, body = self.get(f"/bytes/{length}")
            self.assertEqual((status, headers["content-length"]), (200, str(length)))
            self.assertEqual(body, filling(length))

    def test_unusable_arguments(self):
        for target in ("/bytes/x", "/bytes/", "/bytes/1073741825", "/bytes/-1", "/chunked/1x",
                       "/delay/", "/delay/.", "/delay/1-", "/delay/2-1", "/delay/-1", "/delay/1e3",
                       "/status/100", "/status/1000", "/status/199", "/drip/1", "/drip/x/1",
                       "/slow-headers/a", "/redirect/x", "/redirect/1?code=200", "/redirect-to",
                       "/redirect-to?url=a%0d%0ab", "/redirect-to?url=%4", "/flaky/1", "/flaky/x/a",
                       "/content-type/a%00b", "/status/503?retry_after=%0a",
                       "/big-headers/99999999"):
            self.assertEqual(self.get(target)[0], 400, target)

    def test_largest_body_is_generated_while_sending(self):
        client = self.client()
        client.ask("/bytes/1073741824")
        self.assertEqual(client.head()[1]["content-length"], str(1 << 30))
        self.assertEqual(client.exactly(1 << 20), filling(1 << 20))

    def test_chunked(self):
        for length in 0, 1, 16384, 16385, 1000000:
            status, headers, body = self.get(f"/chunked/{length}")
            self.assertEqual((status, headers.get("content-length")), (200, None))
            self.assertEqual(body, filling(length))

    def test_no_length(self):
        for length in 0, 10, 200000:
            client = self.client()
            status, headers, body = client.get(f"/no-length/{length}")
            self.assertEqual((status, headers["connection"]), (200, "close"))
            self.assertNotIn("transfer-encoding", headers)
            self.assertEqual(body, filling(length))

    def test_delay(self):
        for target in "/delay/0.2", "/delay/.2", "/delay/0.2-0.3":
            began = time.monotonic()
            self.assertEqual(self.get(target)[2], filling(128))
            self.assertGreaterEqual(time.monotonic() - began, 0.2)

    def test_many_delays_at_once(self):
        began = time.monotonic()
        clients = [self.client() for _ in range(200)]
        for i, client in enumerate(clients):
            client.ask(f"/delay/0.{i % 10 + 1:02}")
        for client in clients:
            self.assertEqual(client.answer()[0], 200)
        self.assertLess(time.monotonic() - began, 10)

    def test_long_delays_do_not_hold_up_short_ones(self):
        for target in ["/delay/1000"] * 5 + ["/delay/500", "/drip/10/1000"] * 5:
            self.client().ask(target)
        for target in "/delay/0.05", "/delay/0.01", "/slow-headers/0.02":
            self.assertEqual(self.get(target)[0], 200)

    def test_status(self):
        for code in 200, 205, 301, 404, 418, 429, 500, 503, 999:
            self.assertEqual(self.get(f"/status/{code}")[::2], (code, filling(128)))
        for code in 204, 304:
            client = self.client()
            status, headers, body = client.get(f"/status/{code}")
            self.assertEqual((status, body, headers.get("content-length")), (code, b"", None))
            self.assertEqual(client.get("/")[0], 200)

    def test_retry_after(self):
        headers = self.get("/status/429?a=b&retry_after=Fri,%2031%20Dec")[1]
        self.assertEqual(headers["retry-after"], "Fri, 31 Dec")

    def test_drip(self):
        client = self.client()
        began = time.monotonic()
        client.ask("/drip/20/0.4")
        self.assertEqual(client.head()[1]["content-length"], "20")
        pieces = []
        while sum(map(len, pieces)) < 20:
            pieces.append(client.buffer or client.socket.recv(100))
            client.buffer = b""
        self.assertGreaterEqual(time.monotonic() - began, 0.4)
        self.assertEqual(b"".join(pieces), filling(20))
        self.assertGreater(len(pieces), 3)
        self.assertEqual(client.get("/drip/0/5")[2], b"")
        self.assertEqual(client.get("/drip/100000/0.1")[2], filling(100000))
        self.assertEqual(client.get("/drip/100/0")[2], filling(100))

    def test_slow_headers(self):
        client = self.client()
        began = time.monotonic()
        client.ask("/slow-headers/0.3")
        first = client.socket.recv(1000)
        self.assertLess(len(first), 50)
        client.buffer = first
        self.assertEqual(client.answer()[2], filling(128))
        self.assertGreaterEqual(time.monotonic() - began, 0.3)
        self.assertEqual(client.get("/")[0], 200)

    def test_redirects(self):
        client = self.client()
        status, headers, _ = client.get("/redirect/2")
        self.assertEqual((status, headers["location"]), (302, "/redirect/1"))
        status, headers, _ = client.get("/redirect/1?code=307")
        self.assertEqual((status, headers["location"]), (307, "/redirect/0?code=307"))
        self.assertEqual(client.get("/redirect/0?code=307")[0], 200)
        status, headers, _ = client.get("/redirect-to?url=http%3A%2F%2Fa%2F%3Fb%26c&code=301")
        self.assertEqual((status, headers["location"]), (301, "http://a/?b&c"))
        status, headers, _ = client.get("/redirect-loop?x")
        self.assertEqual((status, headers["location"]), (302, "/redirect-loop?x"))

    def test_flaky(self):
        answers = [self.get("/flaky/2/one?retry_after=7") for _ in range(4)]
        self.assertEqual([a[0] for a in answers], [503, 503, 200, 200])
        self.assertEqual([a[1].get("retry-after") for a in answers], ["7", "7", None, None])
        self.assertEqual(self.get("/flaky/1/two")[0], 503)
        self.assertEqual(self.get("/flaky/0/three")[0], 200)

    def test_big_headers(self):
        plain = None
        for length in 0, 9, 1032, 100000:
            client = self.client()
            client.ask(f"/big-headers/{length}")
            head = len(client.until(b"\r\n\r\n"))
            plain = head if plain is None else plain
            self.assertEqual(head - plain, length)

    def test_content_type(self):
        for encoded, decoded in (("image/png", "image/png"),
                                 ("text/html;%20charset=utf-8", "text/html; charset=utf-8")):
            self.assertEqual(self.get(f"/content-type/{encoded}")[1]["content-type"], decoded)


class FaultyRoutes(OriginCase):
    def assert_silent(self, client):
        client.socket.settimeout(0.2)
        with self.assertRaises(TimeoutError):
            client.socket.recv(1)

    def assert_reset(self, client, before=b""):
        received = b""
        with self.assertRaises(ConnectionResetError):
            while True:
                data = client.socket.recv(65536)
                self.assertTrue(data, "closed in order")
                received += data
        self.assertEqual((client.buffer + received)[-len(before) or len(received):], before)

    def test_stall(self):
        client = self.client()
        client.ask("/stall")
        self.assert_silent(client)
        self.wait_for_counter("in_flight", 1)
        client.close()
        self.wait_for_counter("in_flight", 0)

    def test_stall_body(self):
        client = self.client()
        client.ask("/stall-body")
        self.assertEqual(client.head()[1]["content-length"], "1000")
        self.assertEqual(client.exactly(10), filling(10))
        self.assert_silent(client)
        client.close()
        self.wait_for_counter("in_flight", 0)

    def test_leaving_early_frees_the_connection(self):
        for target in "/delay/100", "/drip/1000/1000", "/slow-headers/1000":
            client = self.client()
            client.ask(target)
            self.wait_for_counter("in_flight", 1)
            client.close()
            self.wait_for_counter("in_flight", 0)
        self.wait_for_counter("open", 1)

    def test_flaky_reset(self):
        for _ in range(2):
            client = self.client()
            client.ask("/flaky-reset/2/a")
            self.assert_reset(client)
        self.assertEqual(self.get("/flaky-reset/2/a")[0], 200)

    def test_wrong_lengths(self):
        for length in 0, 50, 100000:
            for target, claimed, sent in (("short", length + 100, length),
                                          ("long", length, length + 100)):
                client = self.client()
                client.ask(f"/{target}/{length}")
                self.assertEqual(client.head()[1]["content-length"], str(claimed))
                self.assertEqual(client.rest(), filling(sent))

    def test_bad_framing(self):
        client = self.client()
        client.ask("/bad-chunk")
        self.assertEqual(client.head()[1]["transfer-encoding"], "chunked")
        self.assertEqual(client.rest(), b"5\r\nhello\r\nnot-hex\r\nx\r\n")
        client = self.client()
        client.ask("/bad-length")
        self.assertEqual(client.head()[1]["content-length"], "banana")
        self.assertEqual(client.rest(), b"hello\n")
        client = self.client()
        client.ask("/garbage")
        self.assertFalse(client.rest().startswith(b"HTTP"))

    def test_reset(self):
        client = self.client()
        self.assertEqual(client.get("/")[0], 200)
        client.ask("/reset")
        self.assert_reset(client)

    def test_reset_body(self):
        for length in 10, 40000, 3000000:
            client = self.client()
            client.ask(f"/reset-body/{length}")
            self.assertEqual(client.head()[1]["content-length"], str(length * 2))
            self.assert_reset(client, filling(length))

    def test_close(self):
        client = self.client()
        client.ask("/close")
        self.assertTrue(client.is_ended())

    def test_close_after(self):
        client = self.client()
        _, headers, body = client.get("/close-after")
        self.assertEqual((headers.get("connection"), body), (None, filling(128)))
        self.assertTrue(client.is_ended())


class Protocol(OriginCase):
    def test_keep_alive_and_close(self):
        for version, header, keeps in (("HTTP/1.1", "", True),
                                       ("HTTP/1.1", "Connection: x, Close\r\n", False),
                                       ("HTTP/1.0", "", False),
                                       ("HTTP/1.0", "Connection: keep-alive\r\n", True)):
            client = self.client()
            said = client.get("/", version=version, headers=header)[1].get("connection")
            if keeps:
                self.assertEqual(client.get("/")[0], 200)
            else:
                self.assertEqual(said, "close")
                self.assertTrue(client.is_ended())

    def test_http10_gets_no_chunks(self):
        _, headers, body = self.get("/chunked/100000", version="HTTP/1.0")
        self.assertNotIn("transfer-encoding", headers)
        self.assertEqual(body, filling(100000))

    def test_head_gets_no_body(self):
        client = self.client()
        for target in "/", "/bytes/100000", "/chunked/100000", "/drip/10/10", "/nothing", "/echo":
            client.ask(target, method="HEAD")
            client.head()
        self.assertEqual(client.get("/")[2], filling(128))

    def test_pipelined_requests_are_answered_in_order(self):
        client = self.client()
        count = 300
        for i in range(count):
            client.ask(f"/echo?{i}", method="POST", headers="Content-Length: 2\r\n", body=b"ab")
            client.ask("/delay/0.001" if i % 10 == 0 else "/")
        for i in range(count):
            echo = json.loads(client.answer()[2])
            self.assertEqual((echo["target"], echo["body"]), (f"/echo?{i}", "ab"))
            self.assertEqual(echo["request"], 2 * i + 1)
            self.assertEqual(client.answer()[2], filling(128))

    def test_request_in_single_bytes(self):
        client = self.client()
        request = (b"\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                   b"3;x=y\r\nabc\r\n1 \r\nd\r\n0\r\nTrailer: t\r\n\r\n"
                   b"GET /bytes/3 HTTP/1.1\r\nHost: a\r\n\r\n")
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(request)):
            client.send(request[i:i + 1])
            if i % 20 == 0:
                time.sleep(0.001)
        self.assertEqual(json.loads(client.answer()[2])["body"], "abcd")
        self.assertEqual(client.answer()[2], filling(3))

    def test_malformed_requests(self):
        for request in (b"nonsense\r\n\r\n", b"GET /\r\n\r\n",
                        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
                        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
                        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", b"GET / HTTP/1.1\r\nHost\r\n\r\n",
                        b"GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
                        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                        b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
                        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
                        b"G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n",
                        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
                        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
                        b"Content-Length: 2\r\n\r\nx",
                        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
                        b"Transfer-Encoding: chunked\r\n\r\nx",
                        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
                        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz",
                        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab",
                        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                        b"11111111111111111\r\n",
                        b"\x16\x03\x01\x02\x00\x01", b"\r\n\x80"):
            client = self.client()
            client.send(request)
            status, headers, _ = client.answer()
            self.assertEqual((status, headers["connection"]), (400, "close"), request)
            self.assertTrue(client.is_ended())

    def test_long_heads(self):
        line = "X: " + "y" * 995 + "\r\n"
        self.assertEqual(self.get("/", headers=line * 65)[0], 200)
        client = self.client()
        with contextlib.suppress(ConnectionError):
            client.ask("/", headers=line * 400)  # more than is read before the answer
        self.assertEqual(client.answer()[0], 431)
        self.assertTrue(client.is_ended())

    def test_uploads_are_counted(self):
        for size in 1, 100000, 5000000:
            client = self.client()
            echo = client.get("/echo", method="PUT", headers=f"Content-Length: {size}\r\n",
                              body=b"u" * size)
            echo = json.loads(echo[2])
            self.assertEqual(echo["body_bytes"], size)
            self.assertEqual(len(echo["body"]), min(size, 1 << 20))
            self.assertEqual(client.get("/", method="POST", headers=f"Content-Length: {size}\r\n",
                                        body=b"u" * size)[0], 200)

    def test_expect_continue(self):
        client = self.client()
        client.ask("/echo", method="POST",
                   headers="Content-Length: 3\r\nExpect: 100-continue\r\n")
        self.assertEqual(client.until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue")
        client.send(b"abc")
        self.assertEqual(json.loads(client.answer()[2])["body"], "abc")

    def test_echo(self):
        client = self.client()
        client.get("/")
        echo = json.loads(client.get("/echo/x?y=%20", method="PATCH",
                                     headers="A: 1\r\nb:  \t2 \t\r\nA:\r\nContent-Length: 7\r\n",
                                     body=b"\"\\\n\xff\xc3\xa4\x00")[2])
        self.assertEqual(echo["method"], "PATCH")
        self.assertEqual(echo["target"], "/echo/x?y=%20")
        self.assertEqual(echo["version"], "HTTP/1.1")
        self.assertEqual(echo["headers"], [["Host", "test"], ["A", "1"], ["b", "2"], ["A", ""],
                                           ["Content-Length", "7"]])
        self.assertEqual(echo["body"], "\"\\\n\u00ff\u00e4\u0000")
        self.assertEqual((echo["body_bytes"], echo["request"]), (7, 2))
        again = self.json("/echo")
        self.assertEqual((again["connection"], again["request"]), (echo["connection"] + 1, 1))

    def test_half_closed_peer_gets_what_is_at_hand(self):
        client = self.client()
        client.ask("/bytes/3000000")
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(client.answer()[2], filling(3000000))
        self.assertTrue(client.is_ended())

    def test_thousands_of_connections(self):
        clients = [self.client() for _ in range(400)]
        for _ in range(5):
            for client in clients:
                client.ask("/")
            for client in clients:
                self.assertEqual(client.answer()[0], 200)

    def test_slow_reader_does_not_hold_up_others(self):
        slow = self.client()
        slow.ask("/bytes/1000000000")
        self.assertEqual(self.get("/")[0], 200)
        began = time.monotonic()
        reader = threading.Thread(target=lambda: slow.exactly(1 << 24))
        reader.start()
        self.assertEqual(self.get("/")[0], 200)
        self.assertLess(time.monotonic() - began, 5)
        reader.join()


class Counters(OriginCase):
    def setUp(self):
        self.get("/_reset")
        self.wait_for_counter("open", 1)
        self.get("/_reset")

    def test_counters(self):
        client = self.client()
        for target in "/", "/ok", "/status/503", "/delay/0.01", "/nothing":
            client.get(target)
        self.get("/", version="HTTP/9")
        found = self.json("/_counters")
        self.assertEqual(found["requests"], 6)
        self.assertEqual(found["by_route"], {"ok": 2, "status": 1, "delay": 1, "unknown": 1,
                                             "malformed": 1})
        self.assertEqual(found["by_status"], {"200": 3, "400": 1, "404": 1, "503": 1})
        self.assertEqual((found["in_flight"], found["max_in_flight"]), (0, 1))
        self.assertGreaterEqual(found["connections"], 3)
        self.assertGreaterEqual(found["max_open"], 2)
        self.assertGreater(found["bytes_in"], 6 * 20)
        self.assertGreater(found["bytes_out"], 6 * 50)

    def test_max_in_flight(self):
        clients = [self.client() for _ in range(20)]
        for client in clients:
            client.ask("/delay/0.5")
        for client in clients:
            client.answer()
        found = self.json("/_counters")
        self.assertGreater(found["max_in_flight"], 1)
        self.assertLessEqual(found["max_in_flight"], 20)
        self.assertEqual(found["in_flight"], 0)

    def test_path(self):
        client = self.client()
        for _ in range(100):
            client.get("/seen/a?b=1&c")
        client.get("/seen/a")
        found = self.json("/_path?path=/seen/a%3Fb%3D1%26c")
        arrivals = found["arrivals_ms"]
        self.assertEqual((found["path"], found["count"]), ("/seen/a?b=1&c", 100))
        self.assertEqual((len(arrivals), arrivals), (64, sorted(arrivals)))
        self.assertEqual(found["last_ms"], arrivals[-1])
        self.assertLessEqual(found["first_ms"], arrivals[0])
        self.assertLess(abs(found["last_ms"] - time.monotonic() * 1000), PATIENCE * 1000)
        self.assertEqual(len(self.json("/_path?path=/seen/a")["arrivals_ms"]), 1)
        self.assertEqual(self.json("/_path?path=/never"), {
            "path": "/never", "count": 0, "first_ms": None, "last_ms": None, "arrivals_ms": []})

    def test_three_arrivals_are_in_order(self):
        for _ in range(3):
            self.get("/seen/order")
            time.sleep(0.002)
        found = self.json("/_path?path=/seen/order")
        self.assertEqual(len(set(found["arrivals_ms"])), 3)
        self.assertEqual(found["first_ms"], found["arrivals_ms"][0])

    def test_reset_forgets(self):
        self.get("/flaky/1/reset")
        self.get("/_reset")
        self.assertEqual(self.get("/flaky/1/reset")[0], 503)
        self.assertEqual(self.json("/_path?path=/flaky/1/reset")["count"], 1)

    def test_targets_are_bounded(self):
        client = self.client()
        batch = 500
        for start in range(0, 100500, batch):
            client.send(b"".join(b"HEAD /ok/%d HTTP/1.1\r\nHost: a\r\n\r\n" % i
                                 for i in range(start, start + batch)))
            for _ in range(batch):
                client.until(b"\r\n\r\n")
        found = self.json("/_counters")
        self.assertEqual(found["requests"], 100500)
        self.assertEqual(found["targets_remembered"], 100000)
        self.assertEqual(found["arrivals_not_remembered"], 500)


class CommandLine(unittest.TestCase):
    def run_origin(self, *options):
        return subprocess.run([BINARY, *options], stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=PATIENCE, check=False)

    def test_only_loopback(self):
        for address in "0.0.0.0", "::", "192.168.1.1", "localhost", "":
            result = self.run_origin("--address", address)
            self.assertEqual(result.returncode, 64, address)
            self.assertIn(b"loopback", result.stderr)

    def test_usage_errors(self):
        for options in (["--port", "65536"], ["--port", "x"], ["--seed"], ["--what"], ["more"],
                        ["--exit-with-stdin"]):
            result = self.run_origin(*options)
            self.assertEqual((result.returncode, result.stdout), (64, b""), options)
            self.assertTrue(result.stderr)

    def test_help(self):
        result = self.run_origin("--help")
        self.assertEqual(result.returncode, 0)
        self.assertIn(b"--remember", result.stdout)

    def test_other_addresses_and_ports(self):
        first = Origin("--address", "127.0.0.5", "--backlog", "5")
        self.addCleanup(first.kill)
        client = Client(first.port, "127.0.0.5")
        self.addCleanup(client.close)
        self.assertEqual(client.get("/")[0], 200)
        taken = self.run_origin("--address", "127.0.0.5", "--port", str(first.port))
        self.assertEqual((taken.returncode, taken.stdout), (1, b""))
        self.assertIn(b"in use", taken.stderr)
        self.assertEqual(first.stop(signal.SIGINT), (0, b"", b""))

    def test_all_of_loopback(self):
        origin = Origin("--address", "127.0.0.0/8")
        self.addCleanup(origin.kill)
        for address in "127.0.0.1", "127.1.2.3", "127.255.0.9":
            client = Client(origin.port, address)
            self.addCleanup(client.close)
            self.assertEqual(client.get("/")[0], 200)
        self.assertEqual(origin.stop()[0], 0)

    def test_ipv6(self):
        if not socket.has_ipv6:
            self.skipTest("no IPv6")
        try:
            origin = Origin("--address", "::1")
        except ValueError:
            self.skipTest("no ::1 here")
        self.addCleanup(origin.kill)
        client = Client(origin.port, "::1")
        self.addCleanup(client.close)
        self.assertEqual(client.get("/")[0], 200)
        self.assertEqual(origin.stop()[0], 0)

    def test_exit_with_stdin(self):
        origin = Origin("--exit-with-stdin", stdin=subprocess.PIPE)
        self.addCleanup(origin.kill)
        client = Client(origin.port)
        self.addCleanup(client.close)
        client.ask("/stall")
        origin.process.stdin.write(b"ignored")
        origin.process.stdin.flush()
        other = Client(origin.port)
        self.addCleanup(other.close)
        self.assertEqual(other.get("/")[0], 200)
        origin.process.stdin.close()
        self.assertEqual(origin.process.wait(PATIENCE), 0)
        self.assertEqual(origin.process.stderr.read(), b"")

    def test_nothing_is_remembered_unless_asked(self):
        origin = Origin("--seed", "7")
        self.addCleanup(origin.kill)
        client = Client(origin.port)
        self.addCleanup(client.close)
        self.assertEqual(client.get("/_path?path=/")[0], 404)
        self.assertEqual(origin.stop()[0], 0)


if __name__ == "__main__":
    unittest.main()
