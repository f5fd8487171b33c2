#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bodies that are kept, in records and in files: every byte of them, however the program ends,
whatever the disk does, and in no more memory than was said."""
import base64
import functools
import hashlib
import http.server
import json
import os
import random
import re
import signal
import threading
import time
import unittest

import daemon_harness
import durable_harness
import harness
from harness import CANNOT_CREATE, IO_ERROR, OK, SOME_FAILED

NEEDS_FAULTS = unittest.skipUnless(os.path.exists(durable_harness.FAULTS),
                                   "tests/system/faults.so is not built")
CHARACTERS = "ab \"\\\n\tä€😀"


@functools.lru_cache(maxsize=64)
def content(target):
    """The body that the server has at "/KIND/SIZE[…]"."""
    kind, size = target.strip("/").split("?")[0].split("/")[:2]
    if kind == "binary":
        return random.Random(target).randbytes(int(size))
    if kind == "control":
        return b"\1" * int(size)
    if kind == "text":
        text = "".join(random.Random(target).choices(CHARACTERS, k=int(size)))
        return text.encode()[:int(size)].decode(errors="ignore").encode()
    return b""


class Server:
    """Answers with content(); in chunks if the target has "?chunked".  /hold/SIZE announces so
    much, sends one byte, and the rest once it is released."""

    def __init__(self):
        self.released = released = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.path.startswith("/hold/"):
                    self.hold(int(self.path.split("/")[2]))
                    return
                data, chunked = content(self.path), self.path.endswith("?chunked")
                self.send_response(404 if "missing" in self.path else 200)
                self.send_header(*(("Transfer-Encoding", "chunked") if chunked else
                                   ("Content-Length", len(data))))
                self.end_headers()
                for at in range(0, len(data), 9973) if chunked else ():
                    piece = data[at:at + 9973]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.wfile.write(b"0\r\n\r\n" if chunked else data)

            do_POST = do_GET

            def hold(self, size):
                self.send_response(200)
                self.send_header("Content-Length", size)
                self.end_headers()
                self.wfile.write(b"x")
                self.wfile.flush()
                released.wait(harness.PATIENCE)
                self.wfile.write(b"x" * (size - 1))

            def log_message(self, *args):
                pass

        class Web(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 64

            def handle_error(self, request, client_address):
                pass  # the client has gone

        self.server = Web(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def url(self, target):
        return f"http://127.0.0.1:{self.server.server_address[1]}{target}"

    def stop(self):
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def body_of(record, directory="."):
    """The bytes that a record's body has, which must be what it says of them."""
    body = record["body"]
    assert len(body) == 4, body
    if "path" in body:
        path = os.path.join(directory, body["path"])
        assert body["path"].replace("/", "").endswith(body["sha256"]), body
        with open(path, "rb") as file:
            data = file.read()
    else:
        data = body["text"].encode() if "text" in body else base64.b64decode(body["base64"])
    assert len(data) == body["bytes"], body
    assert hashlib.sha256(data).hexdigest() == body["sha256"], body
    return data


def check_folder(path):
    """Whatever is in the folder is a whole body; returns how many."""
    n = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                digest = hashlib.sha256(file.read()).hexdigest()
            if os.path.basename(folder) + name != digest:
                raise AssertionError(f"{folder}/{name} holds {digest}")
            n += 1
    return n


class Case(daemon_harness.Case):
    def setUp(self):
        super().setUp()
        self.web = self.server(Server)
        self.bodies = self.path("bodies")

    def targets(self, sizes):
        kinds = "/binary/{}", "/binary/{}?chunked", "/text/{}", "/text/{}?chunked", "/control/{}"
        return [kind.format(size) for size in sizes for kind in kinds]

    def lines(self, targets):
        return "".join(json.dumps({"url": self.web.url(t), "meta": t}) + "\n" for t in targets)

    def fetch_all(self, targets, *args, code=OK, **options):
        records = self.fetch(*args, stdin=self.lines(targets), code=code, **options).records
        self.assertEqual(sorted(r["meta"] for r in records), sorted(targets))
        return records


# --- what is kept -----------------------------------------------------------------------


class Kept(Case):
    SIZES = 0, 1, 2, 3, 100, 16384, 65535, 65536, 65537, 300000

    def test_files_have_every_byte(self):
        targets = self.targets(self.SIZES)
        for record in self.fetch_all(targets, "--bodies", self.bodies):
            self.assertEqual(body_of(record), content(record["meta"]))
            self.assertFalse(record["body"]["truncated"])
        self.assertEqual(check_folder(self.bodies), len({content(t) for t in targets}))

    def test_records_have_every_byte_up_to_their_limit(self):
        for record in self.fetch_all(self.targets(self.SIZES), "--inline"):
            whole, body = content(record["meta"]), record["body"]
            data = body_of(record)
            self.assertEqual(body["truncated"], len(whole) > 65536)
            self.assertEqual(record["size_download"], len(whole))
            self.assertTrue(whole.startswith(data))
            self.assertGreater(len(data), min(len(whole), 65536) - 4)
            is_text = record["meta"].startswith("/text") or not whole
            if is_text or len(whole) >= 100:  # a few random bytes may be text
                self.assertEqual("text" in body, is_text)
            if "base64" in body:
                self.assertEqual(len(data), min(len(whole), 65536))

    def test_what_the_fetch_has_cut_off_is_marked(self):
        targets = ["/binary/999", "/binary/1000", "/binary/1001", "/binary/90000?chunked"]
        for mode in ("--inline",), ("--bodies", self.bodies):
            for record in self.fetch_all(targets, *mode, "--set", "fetch.max_body=1000",
                                         "--set", "fetch.oversize=truncate"):
                whole = content(record["meta"])
                self.assertEqual(body_of(record), whole[:1000])
                self.assertEqual(record["body"]["truncated"], len(whole) > 1000)
        for record in self.fetch_all(targets[2:], "--bodies", self.bodies, "--set",
                                     "fetch.max_body=1000", code=SOME_FAILED):
            self.assertNotIn("body", record)

    def test_nothing_is_kept_unless_it_is_asked_for(self):
        for record in self.fetch_all(["/binary/100"], "--set", f"results.bodies_dir={self.bodies}"):
            self.assertNotIn("body", record)
        self.assertFalse(os.path.exists(self.bodies))

    def test_it_is_the_body_of_the_last_whole_response(self):
        cases = {"/redirect/2": OK, "/flaky/1/x": OK, "/status/204": OK}
        for target, code in cases.items():
            ended = self.fetch("--bodies", self.bodies, "--set", "retry.base=1ms", code=code,
                               stdin=self.urls(target))
            record, = ended.records
            self.assertEqual(len(body_of(record)), record["size_download"])
        record, = self.fetch_all(["/text/100/missing"], "--inline", code=SOME_FAILED)
        self.assertEqual(record["reason"], "http 404")
        self.assertEqual(body_of(record), content("/text/100/missing"))

    def test_of_half_a_response_nothing_is_kept(self):
        for mode in ("--inline",), ("--bodies", self.bodies):
            ended = self.fetch(*mode, "--max-attempts", 1, code=SOME_FAILED,
                               stdin=self.urls("/short/100"))
            self.assertNotIn("body", ended.records[0])
        self.assertEqual(check_folder(self.bodies), 0)

    def test_several_processes_may_use_one_folder(self):
        self.write("urls", self.lines(self.targets(range(1, 200, 7))))
        runs = [self.start("--bodies", self.bodies, "-o", self.path(f"results.{i}"),
                           self.path("urls")) for i in range(3)]
        for run in runs:
            self.assertEqual(run.wait().code, OK)
        for i in range(len(runs)):
            for record in daemon_harness.whole_records(self.path(f"results.{i}")):
                self.assertEqual(body_of(record), content(record["meta"]))
        check_folder(self.bodies)

    def test_a_folder_that_cannot_be_made_is_an_error_at_the_start(self):
        self.write("file", "")
        for path, why in (self.path("file"), "Not a directory"), \
                (self.path("no/where"), "No such file or directory"):
            for args in ("--check",), ():
                ended = self.fetch("--bodies", path, *args, code=CANNOT_CREATE)
                self.assertIn(f"{path}: bodies cannot be kept here: {why}", ended.err)
        self.configure('results: { bodies = "files"; bodies_dir = "file"; };')
        for args in ("--check",), ():
            ended = self.launch(*args).wait()
            self.assertEqual(ended.code, CANNOT_CREATE)
            self.assertIn("file: Not a directory", ended.err)


# --- memory -----------------------------------------------------------------------------


class Memory(Case):
    def peak_of(self, *args):
        """Runs a fetch to its end.  Returns its largest resident memory, and the ceiling that
        --check shows, in KiB."""
        shown = self.fetch("--check", *args).out
        number, unit = re.search(r"memory: at most ([\d.]+) (.)iB", shown).groups()
        fetch = self.start("-o", self.path("results"), *args)
        peak = 0
        while fetch.process.poll() is None:
            try:
                peak = fetch.status_kib("VmHWM")
            except (OSError, TypeError):  # it has ended
                break
            time.sleep(0.01)
        ended = fetch.wait()
        self.assertEqual(ended.code, OK, ended.err)
        self.assertGreater(peak, 0)
        return peak, float(number) * {"K": 1, "M": 1024, "G": 1024 * 1024}[unit]

    SMALL = ("-w", 64, "-q", 20, "--set", "backlog.max_bytes=4M", "--set", "queue.max_bytes=4M",
             "--set", "fetch.idle_connections=16")

    def check_ceiling(self, urls, *args):
        self.write("urls", urls)
        peak, ceiling = self.peak_of(*self.SMALL, *args, self.path("urls"))
        self.assertEqual(len(daemon_harness.whole_records(self.path("results"))),
                         urls.count("\n"))
        if not harness.SANITIZED:
            self.assertLess(peak, ceiling)

    def test_many_large_records_stay_under_the_ceiling(self):
        times = 8 if harness.SANITIZED else 40
        self.check_ceiling(self.urls("/bytes/1000000", "/chunked/1500000") * times, "--inline",
                           "--set", "results.max_inline=1M", "--set", "results.inline_memory=2M")

    def test_base64_and_escapes_stay_under_it_too(self):
        targets = ["/binary/1000000", "/text/1000000?chunked"]
        self.check_ceiling(self.lines(targets * 12), "--inline",
                           "--set", "results.max_inline=1M", "--set", "results.inline_memory=2M")

    def test_large_files_need_no_memory(self):
        self.check_ceiling(self.urls(*(f"/bytes/{10000000 + i % 4}" for i in range(24))),
                           "--bodies", self.bodies)

    def start_with_a_held_body(self):
        """A daemon whose whole budget has gone to one body, which does not come."""
        self.configure('results: { bodies = "inline"; max_inline = "1000";'
                       ' inline_memory = "1000"; };',
                       'origins: ( { match = "*"; breaker = 1; breaker_pause = "1h";'
                       ' breaker_max = "1h"; } );',
                       'retry: { max_attempts = 1; };', sources=[self.follow()])
        self.write("urls", "")
        daemon = self.daemon()
        self.append("urls", json.dumps({"url": self.web.url("/hold/1000"), "id": "held"}) + "\n")
        daemon.await_status(lambda s: s["results"]["bodies"]["memory_bytes"] == 1000, "it is held")
        return daemon

    def test_a_wait_for_memory_times_out_and_is_not_the_origins_fault(self):
        daemon = self.start_with_a_held_body()
        self.append("urls", json.dumps({"url": self.web.url("/text/10"), "id": "waits",
                                        "timeout": "1500ms"}) + "\n")  # to get that far
        record, = daemon.await_records(1)
        self.assertEqual((record["id"], record["outcome"]), ("waits", "dead"))
        self.assertEqual(record["reason"], "timeout: waiting for memory for the body")
        self.assertEqual(record["exitcode"], 28)
        self.assertGreaterEqual(record["time_total"], 1.5)
        self.assertNotIn("body", record)

        # The breaker has not opened, and the next one has its turn once the memory is there.
        self.append("urls", json.dumps({"url": self.web.url("/text/10"), "id": "next"}) + "\n")
        daemon.await_status(lambda s: s["results"]["bodies"]["waiting"] == 1, "one waits")
        self.web.released.set()
        records = {r["id"]: r for r in daemon.await_records(3)}
        self.assertEqual(records["held"]["body"]["text"], "x" * 1000)
        self.assertEqual(body_of(records["next"]), content("/text/10"))
        status = daemon.await_status(  # a record may be there before its memory is given back
            lambda s: s["results"]["bodies"]["memory_bytes"] == 0, "all is free")
        bodies = status["results"]["bodies"]
        self.assertEqual((bodies["kept"], bodies["waiting"]), (2, 0))
        self.assertGreater(bodies["waited_seconds"], 0.2)
        daemon.stop()

    def test_an_aborted_stop_does_not_wait_for_memory(self):
        daemon = self.start_with_a_held_body()
        self.append("urls", json.dumps({"url": self.web.url("/text/10"), "id": "waits"}) + "\n")
        daemon.await_status(lambda s: s["results"]["bodies"]["waiting"] == 1, "one waits")
        daemon.signal(signal.SIGTERM)
        daemon.await_message("stopping")
        daemon.signal(signal.SIGTERM)
        self.assertEqual(daemon.wait().code, OK)
        self.assertEqual(sorted(r["outcome"] for r in daemon.records()), ["cancelled"] * 2)


# --- crashes ----------------------------------------------------------------------------


@NEEDS_FAULTS
class Crashes(Case):
    durable = True
    N = 12

    def setUp(self):
        super().setUp()
        durable_harness.write_config(self.dir, 'results: { bodies = "files"; };')
        self.wanted = [f"/binary/{1000 * i}" for i in range(self.N)]

    def submit(self, daemon):
        lines = "".join(json.dumps({"url": self.web.url(t), "id": t, "meta": t}) + "\n"
                        for t in self.wanted)
        try:
            durable_harness.request(daemon.socket, "POST", "/v1/jobs", lines,
                                    "application/x-ndjson")
        except durable_harness.BROKEN:
            pass  # it has died

    def check_records(self):
        records = durable_harness.log_records(self.dir)
        for record in records:
            self.assertEqual(body_of(record, self.dir), content(record["meta"]))
        return records

    def go_through(self, **faults):
        daemon = self.daemon(env=durable_harness.faulty([self.bodies], **faults))
        self.submit(daemon)
        self.assertEqual(daemon.wait().code, -signal.SIGKILL)
        self.check_records()
        if "NO_TMPFILE" in faults:
            self.assertTrue(any(name.startswith(".new-") for name in os.listdir(self.bodies)))
        else:
            check_folder(self.bodies)

        again = self.daemon()
        check_folder(self.bodies)
        self.submit(again)
        durable_harness.await_settled(again)
        self.assertEqual(sorted(r["meta"] for r in self.check_records()), sorted(self.wanted))
        self.assertEqual(check_folder(self.bodies), self.N)
        again.stop()
        durable_harness.audit(self.dir)

    def test_a_kill_at_each_step_leaves_whole_bodies_and_nothing_else(self):
        steps = [("write", "kill-middle", 3), ("sync", "kill-before", 4), ("link", "kill-before", 2),
                 ("link", "kill-after", 1), ("sync", "kill-after", 7)]
        for calls, action, at in steps:
            with self.subTest(calls=calls, action=action):
                self.setUp()
                self.go_through(CALLS=calls, DO=action, AT=at)

    def test_what_a_record_names_is_on_disk_before_it(self):
        try:
            os.close(os.open(self.dir, os.O_TMPFILE | os.O_WRONLY))
        except OSError as error:
            self.skipTest(f"no files without names here: {error}")
        trace = self.path("trace")
        daemon = self.daemon(env=durable_harness.faulty(
            [self.bodies, self.path("backlog.db")], TRACE=trace))
        self.wanted = ["/binary/5000"]
        self.submit(daemon)
        daemon.await_records(1)
        daemon.kill()
        with open(trace, encoding="ascii") as file:
            calls = [line.split()[1:3] for line in file]
        folder = hashlib.sha256(content("/binary/5000")).hexdigest()[:2]
        written = next(i for i, (kind, name) in enumerate(calls)
                       if kind == "write" and name.startswith("#"))
        steps = [call for call in calls[written:] if call[1] != "backlog.db-shm"]
        self.assertEqual(steps[1], ["sync", steps[0][1]])     # what is in it,
        self.assertEqual(steps[2:5], [["sync", "bodies"],     # the folder that it goes into,
                                      ["link", "bodies"],
                                      ["sync", folder]])      # its name,
        self.assertEqual(steps[5], ["write", "backlog.db-wal"])
        self.assertIn(["sync", "backlog.db-wal"], steps[6:])  # and then the record

    def test_a_file_with_a_name_is_removed_at_the_next_start(self):
        for calls, action in ("write", "kill-middle"), ("link", "kill-before"):
            with self.subTest(calls=calls):
                self.setUp()
                self.go_through(CALLS=calls, DO=action, AT=3, NO_TMPFILE=1)


class Audit(Case):
    durable = True

    def audit(self, code=OK):
        ended = harness.run("audit", "-c", "penstock.conf", cwd=self.dir, env=harness.environment())
        self.assertEqual(ended.code, code, ended.out + ended.err)
        return ended.out

    def test_bodies_that_are_not_there_are_named_and_others_counted(self):
        durable_harness.write_config(self.dir, 'results: { bodies = "files"; };',
                                     sources='{ type = "file"; path = "urls"; }')
        targets = ["/binary/100", "/binary/101", "/binary/102", "/binary/102?chunked"]
        self.write("urls", self.lines(targets))
        daemon = self.daemon()
        daemon.await_records(len(targets))
        daemon.stop()
        out = self.audit()
        self.assertIn("bodies    of 4 records looked for\n", out)
        self.assertNotIn("that none of these records names", out)

        files = {r["meta"]: os.path.join(self.dir, r["body"]["path"]) for r in daemon.records()}
        orphan = "0" * 62
        os.makedirs(self.path("bodies/00"), exist_ok=True)
        self.write(f"bodies/00/{orphan}", "nobody's")
        self.assertIn("bodies    1 files in bodies that none of these records names", self.audit())
        os.unlink(files["/binary/100"])
        with open(files["/binary/101"], "ab") as file:
            file.write(b"x")
        out = self.audit(SOME_FAILED)
        self.assertRegex(out, r"body: seq \d+ \(p-1\): bodies/.*: No such file or directory")
        self.assertRegex(out, r"body: seq \d+ \(p-2\): bodies/.*: has 102 bytes, and should have 101")
        self.assertIn("NOT BALANCED: 2 problems", out)


# --- disks that fail --------------------------------------------------------------------


@NEEDS_FAULTS
class Disk(Case):
    durable = True

    def setUp(self):
        super().setUp()
        self.trouble = self.path("trouble")
        durable_harness.write_config(self.dir, 'results: { bodies = "files"; };')

    def post(self, daemon, target, **more):
        job = {"url": self.web.url(target), "id": target, "meta": target, **more}
        answer = durable_harness.request(daemon.socket, "POST", "/v1/jobs", json.dumps(job))
        self.assertEqual(answer.status, 202)

    def go_through(self, error, calls):
        daemon = self.daemon(env=durable_harness.faulty(
            [self.bodies], DO=error, CALLS=calls, WHILE=self.trouble))
        self.post(daemon, "/binary/100")
        daemon.await_records(1)
        self.write("trouble", "")
        for i in range(3):
            self.post(daemon, f"/binary/20000?{i}")
        status = daemon.await_status(
            lambda s: s["waiting_by_reason"].get("bodies"), "jobs wait for bodies")
        self.assertEqual(daemon.get("/healthz").status, 200)
        daemon.await_status(lambda s: s["results"]["bodies"]["error"], "status tells")
        page = harness.run("status", "--socket", daemon.socket).out
        self.assertRegex(page, r"bodies +files: 1 kept, .*\n +CANNOT BE WRITTEN: ")
        self.assertEqual(daemon.metrics()["penstock_results_bodies_failing"], 1)
        self.assertIsNone(status["results"]["error"])
        harness.eventually(lambda: len(self.in_the_way(daemon)) > 0, "a job says what it waits for")
        self.assertEqual(len(daemon.records()), 1)

        os.unlink(self.trouble)
        durable_harness.await_settled(daemon)
        for record in daemon.records():
            self.assertEqual(body_of(record, self.dir), content(record["meta"]))
            self.assertEqual((record["outcome"], record["attempts"]), ("done", 1))
        self.assertIsNone(daemon.status()["results"]["bodies"]["error"])
        self.assertEqual(check_folder(self.bodies), 4)
        ended = daemon.stop()
        self.assertEqual(ended.err.count("bodies cannot be kept"), 1, ended.err)
        self.assertEqual(ended.err.count("bodies can be kept again"), 1)
        durable_harness.audit(self.dir)

    def in_the_way(self, daemon):
        found = [durable_harness.request(daemon.socket, "GET", f"/v1/jobs/%2Fbinary%2F20000%3F{i}")
                 for i in range(3)]
        return [a for a in found if "could not be kept" in a.body]

    def test_a_full_disk_is_waited_out(self):
        self.go_through("ENOSPC", "write")

    def test_so_is_one_that_fails_at_the_last_moment(self):
        self.go_through("EIO", "sync")

    def test_what_may_not_be_repeated_is_dead(self):
        daemon = self.daemon(env=durable_harness.faulty(
            [self.bodies], DO="ENOSPC", CALLS="write", TIMES=1))
        self.post(daemon, "/binary/100", method="POST")
        self.post(daemon, "/binary/101", method="POST")
        records = {r["outcome"]: r for r in daemon.await_records(2)}
        self.assertEqual(records["dead"]["reason"],
                         "the body cannot be kept: No space left on device")
        self.assertNotIn("body", records["dead"])
        self.assertEqual(body_of(records["done"], self.dir), content(records["done"]["meta"]))
        daemon.stop()

    def test_a_stop_does_not_wait_for_the_disk(self):
        daemon = self.daemon(env=durable_harness.faulty([self.bodies], DO="ENOSPC", CALLS="write"))
        self.post(daemon, "/binary/100")
        daemon.await_status(lambda s: s["results"]["bodies"]["error"], "status tells")
        daemon.stop()
        again = self.daemon()
        record, = again.await_records(1)
        self.assertEqual(body_of(record, self.dir), content("/binary/100"))
        again.stop()

    def test_a_run_ends_as_when_results_cannot_be_written(self):
        env = durable_harness.faulty([self.bodies], DO="ENOSPC", CALLS="write")
        ended = self.fetch("--bodies", self.bodies, stdin=self.lines(["/binary/100"] * 5),
                           code=IO_ERROR, env=env)
        self.assertEqual(ended.records, [])
        self.assertIn(f"{self.bodies}: bodies cannot be kept: No space left on device", ended.err)
        self.assertEqual(check_folder(self.bodies), 0)


if __name__ == "__main__":
    harness.main()
