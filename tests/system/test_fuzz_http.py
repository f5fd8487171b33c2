#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""10,000 requests that are mostly no HTTP, or no longer: the daemon answers what it can, goes on,
and its books balance.

FUZZ_SEED gives other requests, FUZZ_REQUESTS another number of them."""
import json
import os
import random
import re
import socket
import threading

import daemon_harness
import harness

SEED = os.environ.get("FUZZ_SEED", "1")
REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "10000"))
THREADS = 16
GIVE_UP = 0.1  # seconds; the daemon waits longer for what is not complete
MOST_PIPELINED = 8
TERMS = "waiting", "delayed", "queued", "running", "done", "dead", "cancelled"
NDJSON = "application/x-ndjson"
OURS = (200, 202, 400, 404, 405, 409, 413, 414, 429, 501, 503)
THE_LIBRARYS = (400, 413, 414, 431, 501, 505)  # it closes the connection with those
# Ends most of what came before.
LAST = b"\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
HEAD = re.compile(rb"HTTP/1\.[01] (\d{3}) [^\r\n]*\r\n((?:[!-~]+: ?[^\r\n]*\r\n)*)\r\n")


def request(method, target, body=b"", kind="application/json", chunked=False):
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n"
    if chunked:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        head += f"Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\n"
    elif body:
        head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def valid_requests(rng):
    """What mutations start with; nothing that stops the daemon from taking jobs."""
    name = rng.randrange(1000)
    job = json.dumps({"url": f"http://127.0.0.1:1/{name}", "id": f"f{name}"}).encode()
    lines = b"".join(b"http://127.0.0.1:1/%d\n" % rng.randrange(1000) for _ in range(9))
    return [
        request("GET", "/v1/status"), request("HEAD", "/metrics"), request("GET", "/metrics"),
        request("GET", "/healthz"), request("GET", "/readyz"), request("GET", "/v1/lanes?limit=3"),
        request("GET", f"/v1/jobs/f{name}"), request("DELETE", f"/v1/jobs/f{name}"),
        request("POST", "/v1/jobs", job), request("POST", "/v1/jobs?wait=1ms", job, chunked=True),
        request("POST", "/v1/jobs", lines, NDJSON),
        request("POST", "/v1/jobs", lines, NDJSON, chunked=True),
        request("POST", "/v1/control/pause", b'{"origin": "http://127.0.0.1:1"}'),
        request("POST", "/v1/control/resume", b"{}"),
        request("POST", "/v1/control/set?dry_run=true", b'{"retry.base": "2s"}'),
        request("POST", "/v1/control/reload"),
        request("POST", "/v1/control/requeue", b'{"id": "f%d"}' % name),
    ]


# --- mutations --------------------------------------------------------------------------


def flip(rng, data):
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:]


def insert(rng, data):
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice((1, 2, 30))) + data[at:]


def cut(rng, data):
    return data[:rng.randrange(len(data))]


def drop(rng, data):
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.choice((1, 2, 10)):]


def repeat(rng, data):
    at = rng.randrange(len(data))
    return data[:at] + data[at:at + rng.choice((1, 20, 200))] * 2 + data[at:]


def replace_method(rng, data):
    method = rng.choice((b"", b"BREW", b"get", b"A" * 300, b"\0", b"OPTIONS", b"CONNECT", b"PATCH"))
    return method + data[data.find(b" "):]


def replace_target(rng, data):
    target = rng.choice((b"", b"*", b"//", b"http://x/v1/status", b"/" + b"a" * 5000, b"/%00", b"/%",
                         b"/v1/jobs/" + b"%ff" * 200, b"/v1/jobs/?&&=&", b"/\xff\xfe",
                         b"/v1/lanes?limit=" + b"9" * 99, b"/" + b"x" * 20000))
    head, _, rest = data.partition(b" ")
    return head + b" " + target + rest[rest.find(b" "):]


def add_header(rng, data):
    line = rng.choice((
        b"X: " + b"a" * 20000, b"X" * 20000 + b": a", b"no colon", b": no name", b"X : a", b" folded",
        b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 99999999999999999999",
        b"Content-Length: 3\r\nContent-Length: 4", b"Content-Length: 0x10", b"Content-Length:",
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: x",
        b"Expect: 100-continue", b"Expect: tea", b"Connection: close", b"Upgrade: h2c",
        b"Accept: " + b"a/b;q=," * 200, b"Host: a\r\nHost: b", b"Content-Type: " + NDJSON.encode(),
        b"Cookie: " + b"a=b; " * 300, b"\0: \0", b"\r", b"Range: bytes=0-"))
    at = data.find(b"\r\n") + 2
    return data[:at] + line + b"\r\n" + data[at:]


def break_chunks(rng, data):
    head, _, body = data.partition(b"\r\n\r\n")
    chunks = rng.choice((
        b"0\r\n\r\n", b"zz\r\n", b"ffffffffffffffff1\r\nx", b"-1\r\n\r\n", b"5\r\nab\r\n0\r\n\r\n",
        b"2\r\nabcdef\r\n0\r\n\r\n", b"1;" + b"x" * 5000 + b"\r\na\r\n0\r\n\r\n", b"\r\n\r\n",
        b"1\r\na\r\n" * 300 + b"0\r\n\r\n", b"1\r\na\r\n0\r\nTrailer: x\r\n\r\n", b"3\na\nb\n"))
    return head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + body


def noise(rng, data):
    return rng.randbytes(rng.choice((1, 50, 3000)))


def deepen(rng, data):
    """A body that is worse than it looks."""
    head = data.split(b"\r\n", 1)[0]
    body = rng.choice((b"[" * 3000, b'{"a":' * 600, b"\xff" * 99, b'{"url": "\\u0000"}', b"\0" * 99,
                       b"\n" * 5000, b'{"' + b"k" * 3000 + b'": 1}', b"1" * 5000, b'"\\ud800"',
                       b'{"origin": "http://[::1"}', b'{"id": "' + b"i" * 4000 + b'"}', b"{}" * 9))
    return head + b"\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body


MUTATIONS = (flip, insert, cut, drop, repeat, replace_method, replace_target, add_header,
             break_chunks, noise, deepen)


def mutate(rng, data):
    """Nine of ten are changed, most of them once."""
    while rng.random() < 0.9 and data:
        data = rng.choice(MUTATIONS)(rng, data)
        if rng.random() < 0.6:
            break
    return data


# --- the client -------------------------------------------------------------------------


def responses(data):
    """Yields the status of each response: all of ours are whole, but perhaps for the last, which
    a hang-up has cut off.  Fails if one is malformed."""
    while data:
        if data.startswith(b"HTTP/1.1 100 Continue\r\n\r\n"):
            data = data.partition(b"\r\n\r\n")[2]
            continue
        match = HEAD.match(data)
        if not match and b"\r\n\r\n" not in data:
            return
        assert match, f"no response: {data[:300]!r}"
        status, data = int(match[1]), data[match.end():]
        fields = dict(line.lower().split(b": ", 1) for line in match[2].split(b"\r\n") if line)
        if b"content-type" not in fields and status in THE_LIBRARYS:
            yield status
            return
        assert status in OURS, f"{status}: {match[0]!r} {data[:300]!r}"
        yield status
        if data.startswith(b"HTTP/1.1 "):
            continue  # that was an answer to HEAD
        length = int(fields[b"content-length"])
        body, data = data[:length], data[length:]
        if fields[b"content-type"] == b"application/problem+json" and len(body) == length:
            problem = json.loads(body)
            assert problem["status"] == status, problem
            assert problem["type"].startswith("urn:penstock:problem:"), problem


def exchange(path, pieces, patience=harness.PATIENCE):
    """Sends the pieces, and returns what comes back, until nothing has come for so long."""
    answer = []
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(harness.PATIENCE)
        s.connect(path)
        try:
            for piece in pieces:
                s.sendall(piece)
            s.settimeout(patience)
            while patience > 0 and (block := s.recv(65536)):
                answer.append(block)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was refused before its end
        except TimeoutError:
            if patience == harness.PATIENCE:
                raise
    return b"".join(answer)


def cut_up(rng, data):
    pieces = []
    while data:
        size = rng.choice((1, 7, 100, 5000, len(data)))
        pieces.append(data[:size])
        data = data[size:]
    return pieces


class Fuzz:
    """Threads that share the connections to make."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.next = self.sent = 0
        self.statuses, self.failures = {}, []
        threads = [threading.Thread(target=self.run) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def run(self):
        while not self.failures:
            with self.lock:
                if self.sent >= REQUESTS:
                    return
                number = self.next = self.next + 1
                rng = random.Random(f"{SEED}/{number}")
                requests = rng.randint(1, MOST_PIPELINED)
                self.sent += requests
            try:
                self.connect(rng, requests)
            except Exception as error:  # whatever it is, it names the connection
                self.failures.append(f"FUZZ_SEED={SEED}, connection {number}: {error!r}")

    def connect(self, rng, requests):
        data = b"".join(mutate(rng, rng.choice(valid_requests(rng))) for _ in range(requests))
        end = rng.random()
        if end < 0.8:
            data += LAST
        # Some hang up at once; with the others it is known, or hoped, that an end will come.
        patience = 0 if end > 0.9 else GIVE_UP
        for status in responses(exchange(self.path, cut_up(rng, data), patience)):
            with self.lock:
                self.statuses[status] = self.statuses.get(status, 0) + 1


class FuzzedHttp(daemon_harness.Case):
    durable = True
    MEMORY_KIB = 64 * 1024  # what uploads under way, answers and the allocator may add

    def start(self):
        """A daemon whose worker is busy: what the noise says is to be fetched never is."""
        self.configure("backlog: { max_jobs = 3000; };", 'stop_timeout = "0s";', workers=1)
        daemon = self.daemon()
        self.check_answer(daemon, 202, request("POST", "/v1/jobs", self.origin.url("/stall").encode()))
        self.await_in_flight(1)
        return daemon

    def check_answer(self, daemon, status, data):
        data = data.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        self.assertEqual(list(responses(exchange(daemon.socket, [data]))), [status], data)

    def check_balance(self, daemon):
        ledger = daemon.status()["ledger"]
        self.assertEqual(ledger["accepted"], sum(ledger[term] for term in TERMS), ledger)
        return ledger

    def test_ten_thousand_requests(self):
        daemon = self.start()
        before = daemon.status_kib("VmRSS")
        fuzz = Fuzz(daemon.socket)
        self.assertEqual(fuzz.failures, [], daemon.err.text[-3000:])
        self.assertIsNone(daemon.process.poll())
        print(f"{fuzz.sent} requests, seed {SEED}; answers: {sorted(fuzz.statuses.items())}")
        # They are neither all refused nor all taken, and the library's refusals are a part.
        for status in 200, 202, 400, 404, 405, 413:
            self.assertGreater(fuzz.statuses.get(status, 0), 10, status)
        if not harness.SANITIZED:
            self.assertLess(daemon.status_kib("VmHWM"), before + self.MEMORY_KIB)
        self.check_soundness(daemon)
        ended = daemon.stop()
        self.assertNotIn("ERROR: AddressSanitizer", ended.err)
        audit = harness.run("audit", "-c", "penstock.conf", cwd=self.dir)
        self.assertEqual(audit.code, harness.OK, audit.out + audit.err)

    def check_soundness(self, daemon):
        """It answers as ever."""
        self.check_balance(daemon)
        self.check_answer(daemon, 200, request("GET", "/healthz"))
        self.check_answer(daemon, 200, request("GET", "/readyz"))
        self.check_answer(daemon, 200, request("POST", "/v1/control/resume"))
        self.check_answer(daemon, 404, request("GET", "/v1/jobs/nobody"))
        self.check_answer(daemon, 400, request("POST", "/v1/jobs", b"no url"))
        # However full the backlog is: there is room behind a job that is cancelled.
        listed = [f"f{n}" for n in range(1000)]
        name = next(n for n in listed
                    if daemon.get(f"/v1/jobs/{n}").json.get("state") in ("waiting", "queued"))
        self.check_answer(daemon, 202, request("DELETE", f"/v1/jobs/{name}"))
        harness.eventually(lambda: daemon.get(f"/v1/jobs/{name}").json["state"] == "cancelled",
                           "it is cancelled")
        job = b'{"url": "http://127.0.0.1:1/", "id": "sound"}'
        self.check_answer(daemon, 202, request("POST", "/v1/jobs", job))
        self.check_answer(daemon, 200, request("POST", "/v1/jobs", job))
        self.assertEqual(daemon.get("/v1/jobs/sound").status, 200)
        self.check_balance(daemon)


if __name__ == "__main__":
    harness.main()
