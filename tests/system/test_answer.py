#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a record says of an answer: encodings undone within limits, header fields whatever they
hold, sizes, and that an answer may not come too slowly."""
import contextlib
import gzip
import itertools
import json
import socket
import threading
import time
import zlib

import harness
from harness import SOME_FAILED

HELLO = b"hello, hello, hello, hello"

# Python has neither.  HELLO by `brotli -c` and `zstd -c --no-check`:
HELLO_BR = bytes.fromhex("1b1900f88d946ede44095286966c2c6f314f24b0e300")
HELLO_ZSTD = bytes.fromhex("28b52ffd00586d00003868656c6c6f2c2001004a8a11")
# 16 MiB of zeros by `brotli -c --lgwin=24`.
BOMB_BR = bytes.fromhex("cfffff7ff82700e2b14020f7fe7f")


def deflate(data, window_bits=15):
    z = zlib.compressobj(9, zlib.DEFLATED, window_bits)
    return z.compress(data) + z.flush()


def zstd_zeros(n_blocks):
    """So many times 128 KiB of zeros: blocks that say so (RFC 8878, section 3.1.1.2)."""
    return (bytes.fromhex("28b52ffd0058") + bytes.fromhex("02001000") * n_blocks +
            bytes.fromhex("010000"))


def answer(*lines, body=b"", status="200 OK", length=None):
    """A whole answer; its header lines are text in ISO-8859-1, or bytes."""
    lines = [line if isinstance(line, bytes) else line.encode("latin-1") for line in lines]
    head = [b"HTTP/1.1 " + status.encode(), *lines,
            b"Content-Length: %d" % (len(body) if length is None else length)]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


class Teller:
    """A server that answers each path with the bytes that it was told, which may be an iterable
    that goes on as long as the client listens.  Connections are kept alive."""

    def __init__(self):
        self.answers, self.heads = {}, []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.stopping = False
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def tell(self, path, data):
        """Returns the URL."""
        self.answers[path] = data
        return f"http://127.0.0.1:{self.port}{path}"

    def _accept(self):
        while not self.stopping:
            client, _ = self.listener.accept()
            thread = threading.Thread(target=self._serve, args=(client,))
            self.threads.append(thread)
            thread.start()

    def _serve(self, client):
        with client, client.makefile("rb") as reader, contextlib.suppress(OSError):
            while line := reader.readline():
                head = [line]
                while head[-1] not in (b"\r\n", b""):
                    head.append(reader.readline())
                self.heads.append(b"".join(head).decode("latin-1"))
                data = self.answers[line.split()[1].decode()]
                for piece in (data,) if isinstance(data, bytes) else data(self):
                    client.sendall(piece)

    def stop(self):
        self.stopping = True
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in self.threads:
            thread.join()
        self.listener.close()


class AnswerCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.teller = self.server(Teller)

    def records_of(self, answers, *args, code=harness.OK, **options):
        """Fetches each answer once; returns the records by name."""
        urls = {name: self.teller.tell("/" + name, data) for name, data in answers.items()}
        ended = self.fetch("--max-attempts", 1, *args, code=code, stdin="\n".join(urls.values()),
                           **options)
        records = {r["url"].rsplit("/", 1)[1]: r for r in ended.records}
        self.assertEqual(set(records), set(urls))
        return records

    def expect_all(self, records, outcome, reason):
        for name, record in records.items():
            self.assertEqual((record["outcome"], record["reason"]), (outcome, reason), name)


class Encodings(AnswerCase):
    BODIES = {"gzip": gzip.compress(HELLO), "x-gzip": gzip.compress(HELLO),
              "deflate": deflate(HELLO), "br": HELLO_BR, "zstd": HELLO_ZSTD}

    def records_of(self, answers, *args, encodings="gzip,deflate,br,zstd", **options):
        return super().records_of(answers, "--set", f"fetch.encodings={encodings}", *args,
                                  **options)

    def test_each_is_undone(self):
        answers = {name: answer("Content-Encoding: " + name, body=body)
                   for name, body in self.BODIES.items()}
        answers["raw"] = answer("Content-Encoding: deflate", body=deflate(HELLO, -15))
        answers["members"] = answer("Content-Encoding: gzip",
                                    body=gzip.compress(HELLO[:9]) + gzip.compress(HELLO[9:]))
        answers["plain"] = answer(body=HELLO)
        answers["identity"] = answer("Content-Encoding: identity", body=HELLO)
        answers["chunked"] = (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n"
                              b"Transfer-Encoding: chunked\r\n\r\n" +
                              b"".join(b"1\r\n%c\r\n" % c for c in HELLO_BR) + b"0\r\n\r\n")
        # The limit is just what they decode to: all were decoded, and none is longer.
        records = self.records_of(answers, "--set", f"fetch.max_body={len(HELLO)}")
        self.expect_all(records, "done", None)
        for name, body in self.BODIES.items():
            self.assertEqual(records[name]["size_download"], len(body))
        self.assertEqual(records["chunked"]["size_download"], len(HELLO_BR))
        self.assertIn("Accept-Encoding: gzip, deflate, br, zstd\r\n", self.teller.heads[0])

        records = self.records_of(answers, "--set", f"fetch.max_body={len(HELLO) - 1}",
                                  code=SOME_FAILED)
        self.expect_all(records, "dead", "body larger than 25 bytes")

        # As they come, some are longer than that already.
        records = self.records_of(answers, encodings="")
        self.expect_all(records, "done", None)
        self.assertNotIn("Accept-Encoding", self.teller.heads[-1])

    def test_broken_ones_are_bad_responses(self):
        for why, change in (("cut short", lambda b: b[:-1]), ("broken", lambda b: b + b"<html>"),
                            ("broken", lambda b: b"<html>" + b)):
            records = self.records_of(
                {name: answer("Content-Encoding: " + name, body=change(body))
                 for name, body in self.BODIES.items()}, code=SOME_FAILED)
            self.expect_all(records, "dead", f"bad response: content encoding ({why})")
            for record in records.values():
                self.assertEqual((record["response_code"], record["exitcode"]), (200, 61))

    def test_those_that_take_much_memory_are_to_be_wished_for(self):
        answers = {name: answer("Content-Encoding: " + name, body=body)
                   for name, body in self.BODIES.items()}
        records = super().records_of(answers, code=SOME_FAILED)
        self.assertIn("Accept-Encoding: gzip, deflate\r\n", self.teller.heads[0])
        for name in "gzip", "x-gzip", "deflate":
            self.assertEqual(records[name]["outcome"], "done")
        for name in "br", "zstd":
            self.assertEqual(records[name]["reason"],
                             "bad response: content encoding (not asked for)")
        ended = self.fetch("--check", "--set", "fetch.encodings=gzip,lzma", code=harness.CONFIG)
        self.assertIn('fetch.encodings: "lzma" cannot be decoded; there are gzip, deflate, br and '
                      "zstd", ended.err)

    def test_encodings_that_nobody_asked_for(self):
        records = self.records_of({
            "unknown": answer("Content-Encoding: compress", body=b"x"),
            "twice": answer("Content-Encoding: gzip, gzip",
                            body=gzip.compress(gzip.compress(HELLO)))}, code=SOME_FAILED)
        self.assertEqual([records[n]["reason"] for n in ("unknown", "twice")],
                         [f"bad response: content encoding ({why})"
                          for why in ("unknown", "more than one")])
        for coding in "zstd", "gzip, chunked":
            data = (f"HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\nConnection: close\r\n\r\n"
                    .encode() + b"5\r\nhello\r\n0\r\n\r\n" * 3)
            self.expect_all(self.records_of({"te": data, "te2": data}, code=SOME_FAILED),
                            "dead", "bad response: transfer encoding")

    def test_a_bad_one_is_tried_again(self):
        url = self.teller.tell("/x", answer("Content-Encoding: gzip", body=HELLO))
        ended = self.fetch("--max-attempts", 3, "--set", "retry.base=1ms", stdin=url,
                           code=SOME_FAILED)
        self.assertEqual(ended.records[0]["attempts"], 3)
        self.assertEqual(ended.records[0]["reason"],
                         "retries exhausted: bad response: content encoding (broken)")

    def test_a_job_may_have_its_own(self):
        url = self.teller.tell("/x", answer("Content-Encoding: gzip", body=b"no gzip"))
        for name, value in (("Accept-Encoding", "gzip"), ("range", "bytes=0-6")):
            record = self.fetch(stdin=json.dumps({"url": url, "headers": {name: value}})).records[0]
            self.assertEqual(record["size_download"], 7)
            self.assertNotIn("zstd", self.teller.heads[-1])

    def test_a_head_has_none(self):
        url = self.teller.tell("/x", b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
                                     b"Content-Length: 999999999\r\n\r\n")
        record = self.fetch(stdin=json.dumps({"url": url, "method": "HEAD"})).records[0]
        self.assertEqual((record["outcome"], record["size_download"]), ("done", 0))


class Bombs(AnswerCase):
    """A few bytes that become very many end at the limit, at once, and without memory."""

    MAX = 1024 * 1024
    SIZE = 16 * MAX

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        zeros = bytes(cls.SIZE)
        bodies = {"gzip": gzip.compress(zeros), "deflate": deflate(zeros), "br": BOMB_BR,
                  "zstd": zstd_zeros(cls.SIZE // (128 * 1024))}
        cls.bombs = {name: answer("Content-Encoding: " + name, body=body)
                     for name, body in bodies.items()}

    def run_bombs(self, answers, *args, code):
        urls = [self.teller.tell("/" + name, data) for name, data in answers.items()]
        fetch = self.start("--max-attempts", 1, "-w", 4, "--set", f"fetch.max_body={self.MAX}",
                           "--set", "fetch.encodings=gzip,deflate,br,zstd", *args, self.write("urls", "\n".join(urls)))
        peak = 0
        while fetch.process.poll() is None:
            with contextlib.suppress(OSError, TypeError):
                peak = max(peak, fetch.status_kib("VmHWM"))
            time.sleep(0.002)
        ended = fetch.wait()
        self.assertEqual(ended.code, code)
        if not harness.SANITIZED:
            self.assertLess(peak, 64 * 1024)
        return ended.records

    def test_they_fail_at_the_limit(self):
        records = self.run_bombs(self.bombs, code=SOME_FAILED)
        self.assertEqual({r["reason"] for r in records}, {f"body larger than {self.MAX} bytes"})
        for record in records:
            self.assertLess(record["size_download"], self.SIZE // 100)
            self.assertLess(record["time_total"], 5 * harness.SLOWNESS)

    def test_or_are_cut_off_there(self):
        records = self.run_bombs(self.bombs, "--set", "fetch.oversize=truncate", code=harness.OK)
        self.assertEqual({r["outcome"] for r in records}, {"done"})

    def test_what_decodes_to_nothing_has_the_limit_too(self):
        def endless(_):
            yield b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n"
            while True:
                yield b"\0\0\0\xff\xff" * 2000  # empty blocks (RFC 1951, section 3.2.4)

        for oversize, code in (("fail", SOME_FAILED), ("truncate", harness.OK)):
            record, = self.run_bombs({"x": endless}, "--set", f"fetch.oversize={oversize}",
                                     code=code)
            self.assertGreater(record["size_download"], self.MAX)
            self.assertLess(record["size_download"], 2 * self.MAX)

    def test_a_large_window_is_refused(self):
        frame = bytes.fromhex("28b52ffd0088") + bytes.fromhex("02001000") * 1024
        record, = self.run_bombs({"x": answer("Content-Encoding: zstd", body=frame)},
                                 code=SOME_FAILED)
        self.assertEqual(record["reason"], "bad response: content encoding (broken)")


class Headers(AnswerCase):
    def headers_of(self, data, wanted="*", code=harness.OK):
        record = self.records_of({"x": data}, "--set", f"results.headers={wanted}", code=code)["x"]
        return record

    def test_none_by_default(self):
        record = self.records_of({"x": answer("ETag: 1")})["x"]
        self.assertNotIn("headers", record)

    def test_chosen_ones(self):
        data = answer("ETag: 1", "X-A: a", "x-b: b", "X-B: c", "Content-Type: a/b")
        self.assertEqual(self.headers_of(data, "etag,X-b,none")["headers"],
                         {"etag": ["1"], "x-b": ["b", "c"]})
        self.assertEqual(self.headers_of(data)["headers"],
                         {"etag": ["1"], "x-a": ["a"], "x-b": ["b", "c"], "content-type": ["a/b"],
                          "content-length": ["0"]})
        self.assertNotIn("headers", self.headers_of(data, "none"))

    def test_a_name_must_be_one(self):
        ended = self.fetch("--set", "results.headers=a b", code=harness.CONFIG)
        self.assertIn("results.headers: \"a b\" is no name of a header field", ended.err)

    def test_odd_bytes(self):
        values = {"utf8": "ä€😀".encode(), "latin1": "ä".encode("latin-1"),
                  "mixed": "ä€".encode() + b"\xff", "quotes": b'a"b\\c', "tab": b"a\tb",
                  "control": b"a\x01b\x7f", "empty": b"", "blanks": b"   ", "del": b"\x80\x9f"}
        data = answer(*(name.encode() + b": " + value for name, value in values.items()))
        headers = self.headers_of(data)["headers"]
        for name, value in values.items():
            try:
                text = value.decode()
            except UnicodeDecodeError:
                text = value.decode("latin-1")
            self.assertEqual(headers[name], [text.strip()], name)

    def test_names_that_are_none_are_left_out(self):
        headers = self.headers_of(answer("X-A: 1", b"X\xe4: 1", b"X\xf6: 2", "X B: 3", "X-C : 4"))
        self.assertIn("x-a", headers["headers"])
        self.assertLessEqual(set(headers["headers"]), {"x-a", "x-c", "content-length"})

    def test_folded_ones_are_one(self):
        headers = self.headers_of(answer("X-A: one,", " two,", "\tthree", "X-B: b"))["headers"]
        self.assertEqual([" ".join(v.split()) for v in headers["x-a"]], ["one, two, three"])
        self.assertEqual(headers["x-b"], ["b"])

    def test_one_with_many_blanks_is_one(self):
        """libcurl gives it in pieces of 16 KiB, and one that begins with a blank is no folded line."""
        headers = self.headers_of(answer("X-A: " + " " * 20000 + "a", "X-B: b"))["headers"]
        self.assertEqual(headers, {"x-a": ["a"], "x-b": ["b"], "content-length": ["0"]})

    def test_neither_trailers_nor_early_ones(self):
        data = (b"HTTP/1.1 103 Early\r\nX-Early: 1\r\n\r\nHTTP/1.1 200 OK\r\nX-A: 1\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Late: 1\r\n\r\n")
        self.assertEqual(set(self.headers_of(data)["headers"]), {"x-a", "transfer-encoding"})

    def test_too_many(self):
        record = self.headers_of(answer(*(f"X-{i}: {i}" for i in range(500))))
        self.assertEqual(record["headers"], {f"x-{i}": [str(i)] for i in range(256)})
        self.assertIs(record["headers_truncated"], True)

    def test_too_long(self):
        record = self.headers_of(answer("X-A: 1", "X-Long: " + "x" * 20000, "X-B: 2"))
        self.assertEqual(record["headers"], {"x-a": ["1"], "x-b": ["2"], "content-length": ["0"]})
        self.assertIs(record["headers_truncated"], True)
        record = self.headers_of(answer(*(["Set-Cookie: " + "c" * 1000] * 100)), "set-cookie")
        self.assertEqual(record["headers"], {"set-cookie": ["c" * 1000] * 16})
        record = self.headers_of(answer("X-Long: " + "x" * 20000), "x-long")
        self.assertEqual((record["headers"], record["headers_truncated"]), ({}, True))

    def test_larger_than_libcurl_takes(self):
        """More than 300 KiB (CURLOPT_HEADERFUNCTION(3)), in one or in many."""
        for data in (answer("X-Long: " + "x" * 400000),
                     answer(*(f"X-{i}: " + "x" * 1000 for i in range(400)))):
            record = self.headers_of(data, code=SOME_FAILED)
            self.assertIn(record["reason"], ("bad response: headers of more than 256 KiB",
                                             "bad response: header too large"))

    def test_more_lines_than_can_be_looked_at(self):
        """libcurl takes seconds to find the encodings among these, whatever the timeout."""
        for line in "Content-Encoding: identity", "X: 1":
            record = self.headers_of(answer(*[line] * 4000), code=SOME_FAILED)
            self.assertEqual(record["reason"], "bad response: more than 512 lines of headers")

    def test_of_a_failure(self):
        def short(_):
            yield answer("X-A: 1", body=b"short", length=10)
            raise OSError("hang up")

        record = self.headers_of(short, code=SOME_FAILED)
        self.assertEqual(record["reason"], "connection closed within the body")
        self.assertEqual(record["headers"]["x-a"], ["1"])
        with harness.closed_port() as closed:
            url = "http://127.0.0.1:%d/" % closed.getsockname()[1]
            ended = self.fetch("--max-attempts", 1, "--set", "results.headers=*", stdin=url,
                               code=SOME_FAILED)
        self.assertNotIn("headers", ended.records[0])


class Slow(AnswerCase):
    def test_a_trickle_is_too_slow(self):
        stop = threading.Event()
        self.addCleanup(stop.set)

        def trickle(_):
            yield b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
            while not stop.wait(0.05):
                yield b"x"

        record = self.records_of({"x": trickle}, "--set", "fetch.low_speed=1K", "--set",
                                 "fetch.low_speed_time=600ms", code=SOME_FAILED)["x"]
        self.assertEqual(record["reason"], "too slow: less than 1024 bytes/s for 600ms")
        self.assertEqual(record["exitcode"], 28)
        self.assertGreaterEqual(record["time_total"], 0.6)
        self.assertLess(record["time_total"], 5 * harness.SLOWNESS)

    def test_it_is_tried_again(self):
        slow = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"
        answers = itertools.chain([slow], itertools.repeat(answer(body=HELLO)))
        url = self.teller.tell("/x", lambda _: (next(answers),))
        record = self.fetch("--set", "fetch.low_speed=100", "--set", "fetch.low_speed_time=300ms",
                            "--set", "retry.base=1ms", stdin=url).records[0]
        self.assertEqual(record["outcome"], "done")
        self.assertGreaterEqual(record["attempts"], 2)  # more if the server was slow by itself


if __name__ == "__main__":
    harness.main()
