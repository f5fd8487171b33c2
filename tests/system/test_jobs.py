#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Jobs over the control socket: submitted, asked for, cancelled, requeued."""
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import unittest
import urllib.parse

import daemon_harness
import harness

NDJSON = "application/x-ndjson"
MEMORY_SLACK_KIB = 24 * 1024  # SQLite's cache, a batch, a line, receipts


def ask(daemon, method, target, body=None, kind=None):
    connection = daemon_harness.UnixConnection(daemon.socket)
    with contextlib.closing(connection):
        connection.request(method, target, body=body,
                           headers={"Content-Type": kind} if kind else {})
        response = connection.getresponse()
        return daemon_harness.Answer(response.status, response.headers,
                                     response.read().decode())


def post(daemon, job, query=""):
    body = job if isinstance(job, str) else json.dumps(job)
    return ask(daemon, "POST", "/v1/jobs" + query, body.encode())


def upload(daemon, jobs, query=""):
    """Uploads jobs; returns the answer and its receipts."""
    body = "".join(json.dumps(job) + "\n" for job in jobs)
    answer = ask(daemon, "POST", "/v1/jobs" + query, body.encode(), NDJSON)
    return answer, [json.loads(line) for line in answer.body.splitlines()]


def path_of(job_id):
    return "/v1/jobs/" + urllib.parse.quote(job_id, safe="")


class Case(daemon_harness.Case):
    durable = True

    def look(self, daemon, job_id):
        answer = daemon.get(path_of(job_id))
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(answer.json["id"], job_id)
        return answer.json

    def await_state(self, daemon, job_id, state):
        harness.eventually(lambda: self.look(daemon, job_id)["state"] == state,
                           f"{job_id} is {state}")
        return self.look(daemon, job_id)

    def check_problem(self, answer, status, words):
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
        self.assertEqual(answer.json["status"], status)
        self.assertIn(words, answer.json["detail"])
        self.assertEqual(answer.headers["Retry-After"], "1" if status in (429, 503) else None)

    def start_stalled(self, *lines):
        """One worker, which is busy for ever with the job "busy"."""
        self.configure("queue: { capacity = 1; };", 'stop_timeout = "0s";', *lines, workers=1)
        daemon = self.daemon()
        self.assertEqual(post(daemon, self.stall("busy")).status, 202)
        self.await_state(daemon, "busy", "running")
        return daemon

    def stall(self, job_id, **members):
        return {"url": self.origin.url("/stall"), "id": job_id, "timeout": "1h", **members}


class Single(Case):
    def test_a_job_is_followed_to_its_end(self):
        self.configure()
        daemon = self.daemon()
        answer = post(daemon, self.origin.url("/ok"))
        self.assertEqual((answer.status, answer.json["status"]), (202, "accepted"))
        job_id = answer.json["id"]
        self.assertRegex(job_id, r"^p-\d+$")
        self.assertEqual(answer.headers["Location"], path_of(job_id))
        seen = self.await_state(daemon, job_id, "done")
        self.assertEqual(seen["attempts"], 1)
        daemon.await_records(1)
        self.assertEqual(seen["result"], daemon.records()[0])
        self.assertEqual(seen["result"]["source"], "socket")
        self.assertNotIn("reason", seen)
        daemon.stop()

    def test_ids_may_have_anything_in_them(self):
        self.configure()
        daemon = self.daemon()
        for job_id in 'a b/c?d#e%25"ü', "/", "..", "x" * 256:
            answer = post(daemon, {"url": self.origin.url("/ok"), "id": job_id})
            self.assertEqual(answer.status, 202, answer.body)
            self.assertEqual(self.await_state(daemon, job_id, "done")["result"]["id"], job_id)
        for method in "GET", "DELETE":
            self.check_problem(ask(daemon, method, path_of("/") + "%00x"), 400, "NUL byte")
        daemon.stop()

    def test_an_id_is_known_also_after_a_restart(self):
        self.configure()
        job = {"url": self.origin.url("/ok"), "id": "once", "headers": {"A": "b"}}
        other = {**job, "headers": {"A": "c"}}
        before = self.origin.requests("ok")
        daemon = self.daemon()
        self.assertEqual(post(daemon, job).status, 202)
        for _ in range(3):
            answer = post(daemon, job)
            self.assertEqual((answer.status, answer.json), (200, {"id": "once", "status": "known"}))
            self.check_problem(post(daemon, other), 409, "other content")
            self.await_state(daemon, "once", "done")
            daemon.kill()
            daemon = self.daemon()
        self.assertEqual([r["id"] for r in daemon.await_records(1)], ["once"])
        self.assertEqual(self.origin.requests("ok"), before + 1)
        daemon.stop()

    def test_each_state_can_be_seen_and_all_but_two_be_cancelled(self):
        daemon = self.start_stalled()
        running = self.look(daemon, "busy")
        self.assertGreater(running["running_seconds"], 0)
        self.assertLessEqual(running["timeout_seconds"], 3600)
        self.assertEqual(running["attempts"], 0)
        post(daemon, self.stall("queued"))
        self.await_state(daemon, "queued", "queued")
        post(daemon, self.stall("later", not_before="2999-01-01T00:00:00Z"))
        self.assertEqual(self.look(daemon, "later")["state"], "delayed")
        self.assertEqual(self.look(daemon, "later")["due_at"], "2999-01-01T00:00:00.000000Z")
        for i in range(8):  # the feeder may hold one or two
            post(daemon, self.stall(f"w{i}"))
        self.await_state(daemon, "w7", "waiting")

        self.check_problem(ask(daemon, "DELETE", path_of("busy")), 409, "job busy is running")
        self.check_problem(ask(daemon, "DELETE", path_of("none")), 404,
                           "there is no job none; none was settled so far")
        for job_id in "queued", "later", "w7":
            answer = ask(daemon, "DELETE", path_of(job_id))
            self.assertEqual((answer.status, answer.json),
                             (202, {"id": job_id, "state": "cancelled"}))
            seen = self.await_state(daemon, job_id, "cancelled")
            self.assertEqual(seen["result"]["outcome"], "cancelled")
            self.assertEqual(seen["result"]["reason"], "cancelled by request")
            self.check_problem(ask(daemon, "DELETE", path_of(job_id)), 409,
                               f"job {job_id} is cancelled already")
        daemon.await_status(lambda s: s["ledger"]["cancelled"] == 3, "all three are booked")
        daemon.stop()

    def test_dead_jobs_are_requeued_once(self):
        self.configure()
        daemon = self.daemon()
        for i in range(3):
            post(daemon, {"url": self.origin.url("/status/404"), "id": f"dead{i}"})
            seen = self.await_state(daemon, f"dead{i}", "dead")
            self.assertEqual(seen["reason"], "http 404")
            self.assertEqual(seen["result"]["response_code"], 404)
        target = "/v1/control/requeue"
        answer = ask(daemon, "POST", target, b'{"id": "dead0"}')
        self.assertEqual((answer.status, answer.json["requeued"]), (200, 1))
        again = self.await_state(daemon, answer.json["id"], "dead")
        self.assertEqual(again["result"]["requeued_from"], "dead0")
        self.check_problem(ask(daemon, "POST", target, b'{"id": "dead0"}'), 409,
                           "job dead0 is not dead, or was requeued before")
        self.check_problem(ask(daemon, "POST", target, b'{"id": "none"}'), 404,
                           "no job none; settled jobs are remembered back to record 1")
        answer = ask(daemon, "POST", target, b'{"all": true}')
        self.assertEqual((answer.status, answer.json), (200, {"requeued": 3}))
        daemon.await_status(lambda s: s["ledger"]["dead"] == 7, "all are dead again")
        daemon.stop()

    def test_a_memory_backlog_says_what_it_cannot(self):
        self.configure('backlog: { type = "memory"; };')
        daemon = self.daemon()
        self.assertEqual(post(daemon, self.origin.url("/ok")).status, 202)
        daemon.await_records(1)
        for method, target, body in (("GET", "/v1/jobs/p-1", None), ("DELETE", "/v1/jobs/p-1", None),
                                     ("POST", "/v1/control/requeue", b'{"all": true}')):
            self.check_problem(ask(daemon, method, target, body), 501,
                               'the memory backlog cannot do this; set backlog.type to "sqlite"')
        daemon.stop()

    def test_requests_in_one_piece_are_answered_in_order(self):
        self.configure()
        daemon = self.daemon()
        ok = self.origin.url("/ok").encode()
        request = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(ok), ok)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(harness.PATIENCE)
            client.connect(daemon.socket)
            client.sendall(request * 50)
            answers = b""
            while answers.count(b'"accepted"}\n') < 50:
                answers += client.recv(65536)
        ids = [int(part.split(b'"')[0]) for part in answers.split(b'"id": "p-')[1:]]
        self.assertEqual(ids, list(range(ids[0], ids[0] + 50)))
        daemon.stop()


class Full(Case):
    def fill(self, daemon, n):
        for i in range(n):
            self.assertEqual(post(daemon, self.stall(f"j{i}")).status, 202)

    def test_a_full_backlog_refuses_and_says_how_full(self):
        daemon = self.start_stalled("backlog: { max_jobs = 5; };")
        self.fill(daemon, 4)
        self.check_problem(post(daemon, self.stall("x")), 429, "5 jobs of backlog.max_jobs, 5,")
        answer, receipts = upload(daemon, [self.stall("x"), self.stall("y")])
        self.assertEqual((answer.status, answer.headers["Retry-After"]), (429, "1"))
        self.assertEqual([(r["line"], r["id"], r["status"], r["code"]) for r in receipts],
                         [(1, "x", "refused", 429), (2, "y", "refused", 429)])
        self.check_problem(post(daemon, self.stall("x"), "?wait=50ms"), 429, "backlog.max_jobs")
        self.assertEqual(daemon.status()["ledger"]["accepted"], 5)
        self.assertEqual(daemon.get("/readyz").status, 200)
        daemon.stop()

    def test_as_many_lines_are_taken_as_there_is_room_for(self):
        daemon = self.start_stalled("backlog: { max_jobs = 200; };")
        answer, receipts = upload(daemon, [self.stall(f"job-{i}") for i in range(1500)])
        self.assertEqual(answer.status, 202)
        self.assertEqual([r.get("code") for r in receipts], [None] * 199 + [429] * 1301)
        self.assertEqual(daemon.status()["ledger"]["accepted"], 200)
        daemon.kill()

    def test_large_lines_are_taken_until_the_bytes_are_used_up(self):
        self.configure('backlog: { type = "memory"; max_jobs = 1000; max_bytes = "4M"; };',
                       "queue: { capacity = 1; };", 'stop_timeout = "0s";', workers=1)
        daemon = self.daemon()
        large, small = "l" * 100000, "s"
        answer, receipts = upload(daemon, [self.stall(f"job-{i}", meta=small if i == 49 else large)
                                           for i in range(50)])
        self.assertEqual(answer.status, 202)
        codes = [r.get("code") for r in receipts]
        taken = codes.index(429)
        self.assertGreaterEqual(taken, 4 * 1024 * 1024 // 101000)
        self.assertEqual(codes, [None] * taken + [429] * (49 - taken) + [None])
        daemon.kill()

    def test_who_comes_after_who_waits_is_told_so(self):
        daemon = self.start_stalled("backlog: { max_jobs = 5; };")
        self.fill(daemon, 3)
        thread = threading.Thread(
            target=lambda: upload(daemon, [self.stall("x"), self.stall("y")], "?wait=1h"))
        thread.start()
        daemon.await_status(lambda s: s["backlog"]["submitters_blocked"] == 1, "they wait")
        self.check_problem(post(daemon, self.stall("z")), 429,
                           "1 submissions wait for room in the backlog before this one: "
                           "4 jobs of backlog.max_jobs, 5, are not settled")
        daemon.stop()
        thread.join()

    def test_who_waits_gets_the_room_that_comes(self):
        daemon = self.start_stalled("backlog: { max_jobs = 5; };")
        self.fill(daemon, 4)
        answers = []
        thread = threading.Thread(
            target=lambda: answers.append(post(daemon, self.stall("x"), "?wait=1h")))
        thread.start()
        daemon.await_status(lambda s: s["backlog"]["submitters_blocked"] == 1, "it waits")
        self.assertEqual(ask(daemon, "DELETE", path_of("j3")).status, 202)
        thread.join()
        self.assertEqual(answers[0].status, 202)
        daemon.stop()

    def test_who_hangs_up_while_waiting_does_no_harm(self):
        daemon = self.start_stalled("backlog: { max_jobs = 5; };")
        self.fill(daemon, 4)
        body = json.dumps(self.stall("x")).encode()
        for kind in b"application/json", NDJSON.encode():
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(daemon.socket)
                client.sendall(b"POST /v1/jobs?wait=1s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n"
                               b"Content-Length: %d\r\n\r\n%s" % (kind, len(body), body))
                daemon.await_status(lambda s: s["backlog"]["submitters_blocked"] == 1, "it waits")
            daemon.await_status(lambda s: s["backlog"]["submitters_blocked"] == 0, "it was let go")
        self.assertEqual(daemon.get(path_of("x")).status, 404)
        daemon.stop()

    def test_a_stop_does_not_wait_for_who_waits(self):
        daemon = self.start_stalled("backlog: { max_jobs = 5; };")
        self.fill(daemon, 4)
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(
            post(daemon, self.stall("x"), "?wait=1h"))) for _ in range(4)]
        for thread in threads:
            thread.start()
        daemon.await_status(lambda s: s["backlog"]["submitters_blocked"] == 4, "they wait")
        daemon.stop()
        for thread in threads:
            thread.join()
        for answer in answers:
            self.check_problem(answer, 503, "the daemon is stopping")

    def test_a_disk_that_is_too_full_takes_no_jobs(self):
        self.configure('backlog: { min_free = "1T"; };')
        daemon = self.launch()
        harness.eventually(daemon.answers, "it serves")
        daemon.await_status(lambda s: s["state"] == "running", "it runs")
        backlog = daemon.status()["backlog"]
        if backlog["free_bytes"] >= backlog["min_free_bytes"]:
            self.skipTest("so much room is there")
        self.check_problem(post(daemon, self.origin.url("/ok")), 507, "backlog.min_free, 1.0 TiB")
        answer, receipts = upload(daemon, [self.stall("x")])
        self.assertEqual((answer.status, receipts[0]["code"]), (507, 507))
        answer = daemon.get("/readyz")
        self.assertEqual(answer.status, 503)
        self.assertIn("backlog.min_free, 1.0 TiB", answer.json["detail"])
        text = harness.run("status", "--socket", daemon.socket).out
        self.assertIn("TAKES NO JOBS: its disk has ", text)
        daemon.stop()


class Lines(Case):
    def test_each_line_has_its_receipt(self):
        self.configure()
        daemon = self.daemon()
        ok = self.origin.url("/ok")
        body = f'{ok}\n\n# nothing\n{{"url":"{ok}","id":"a"}}\r\n{{"id":"b"}}\n{{"url":"{ok}","id":"a"}}\n' \
               f'{{"url":"{ok}?","id":"a"}}\n' + "x" * 1048577 + f"\n  {ok}"
        answer = ask(daemon, "POST", "/v1/jobs", body.encode(), NDJSON)
        self.assertEqual(answer.status, 202)
        receipts = [json.loads(line) for line in answer.body.splitlines()]
        self.assertEqual([(r["line"], r["status"], r.get("code")) for r in receipts],
                         [(1, "accepted", None), (4, "accepted", None), (5, "refused", 400),
                          (6, "known", None), (7, "refused", 409), (8, "refused", 413),
                          (9, "accepted", None)])
        self.assertEqual([r["id"] for r in receipts if r["status"] == "refused"], ["b", "a", None])
        ids = [r["id"] for r in receipts if r["status"] == "accepted"]
        self.check_records(daemon.await_records(3), ids)
        daemon.stop()

    @contextlib.contextmanager
    def upload_in_parts(self, daemon):
        """A connection for a chunked upload, and what sends a part of it."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(harness.PATIENCE)
            client.connect(daemon.socket)
            client.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                           b"Content-Type: application/x-ndjson\r\n\r\n")
            yield client, lambda data: client.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def test_a_long_upload_takes_no_memory(self):
        n = 20000 if harness.SANITIZED else 200000
        daemon = self.start_stalled()
        url = self.origin.url("/stall")
        for warm in range(2):
            upload(daemon, [self.stall(f"warm-{warm}-{i}") for i in range(2000)])
        before = daemon.status_kib("VmRSS")
        highest = before
        with self.upload_in_parts(daemon) as (client, send):
            for start in range(0, n, 1000):
                send("".join(f'{{"url":"{url}","id":"job-{i}"}}\n'
                             for i in range(start, start + 1000)).encode())
                highest = max(highest, daemon.status_kib("VmRSS"))
            client.sendall(b"0\r\n\r\n")
            head, lines, got = None, 0, b""
            while lines < n:
                part = client.recv(1 << 20)
                self.assertNotEqual(part, b"")
                highest = max(highest, daemon.status_kib("VmRSS"))
                got += part
                if head is None and b"\r\n\r\n" in got:
                    head, got = got.split(b"\r\n\r\n", 1)
                    self.assertIn(b" 202 ", head.split(b"\r\n")[0])
                *whole, got = got.split(b"\n") if head is not None else [got]
                for line in whole:
                    receipt = json.loads(line)
                    self.assertEqual(receipt, {"line": lines + 1, "id": f"job-{lines}",
                                               "status": "accepted"})
                    lines += 1
        self.assertEqual(daemon.status()["ledger"]["accepted"], n + 4001)
        if not harness.SANITIZED:
            self.assertLess(highest - before, MEMORY_SLACK_KIB)
        daemon.kill()  # rather than wait for 200,000 jobs

    def test_a_broken_upload_can_be_repeated(self):
        daemon = self.start_stalled()
        jobs = [self.stall(f"job-{i}") for i in range(3000)]
        text = "".join(json.dumps(job) + "\n" for job in jobs).encode()
        with self.upload_in_parts(daemon) as (_, send):
            send(text[:len(text) * 2 // 3])
            daemon.await_status(lambda s: s["ledger"]["accepted"] > 1000, "some are there")
        accepted = daemon.status()["ledger"]["accepted"] - 1
        answer, receipts = upload(daemon, jobs)
        self.assertEqual(answer.status, 202)
        # What was sent of the first one may still be on its way in, between those of the second.
        states = [r["status"] for r in receipts]
        self.assertEqual(set(states), {"known", "accepted"})
        self.assertGreaterEqual(states.count("known"), accepted)
        self.assertEqual(len(states), 3000)
        self.assertEqual(daemon.status()["ledger"]["accepted"], 3001)
        daemon.kill()

    def test_a_slow_upload_holds_up_nobody(self):
        self.configure()
        daemon = self.daemon()
        ok = self.origin.url("/ok").encode()
        with self.upload_in_parts(daemon) as (client, send):
            for i in range(20):
                send(ok[:5])
                self.assertEqual(post(daemon, self.origin.url("/ok")).status, 202)
                send(ok[5:] + b"\n")
            client.sendall(b"0\r\n\r\n")
            answer = b""
            while answer.count(b'"accepted"}\n') < 20:
                answer += client.recv(65536)
        daemon.await_records(40)
        daemon.stop()

    def test_an_upload_without_an_end_does_not_hold_up_a_stop(self):
        self.configure(sources=[])
        daemon = self.daemon()
        line = json.dumps({"url": self.origin.url("/ok"), "not_before": "2100-01-01T00:00:00Z"})
        text = (line + "\n").encode() * 300
        ended = threading.Event()

        def pump(send):
            with contextlib.suppress(OSError):
                while not ended.is_set():
                    send(text)
        with self.upload_in_parts(daemon) as (_, send):
            thread = threading.Thread(target=pump, args=(send,))
            thread.start()
            try:
                daemon.await_status(lambda s: s["ledger"]["accepted"] > 1000, "it is under way")
                daemon.stop()
            finally:
                ended.set()
                daemon.kill()
                thread.join()

    def test_many_uploads_at_once(self):
        n_clients, n_jobs = 16, 300 if harness.SANITIZED else 4000
        daemon = self.start_stalled()
        receipts = {}

        def run(client):
            receipts[client] = upload(daemon, [self.stall(f"{client}-{i}") for i in range(n_jobs)])

        threads = [threading.Thread(target=run, args=(i,)) for i in range(n_clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for client in range(n_clients):
            answer, lines = receipts[client]
            self.assertEqual(answer.status, 202)
            self.assertEqual([(r["line"], r["id"], r["status"]) for r in lines],
                             [(i + 1, f"{client}-{i}", "accepted") for i in range(n_jobs)])
        self.assertEqual(daemon.status()["ledger"]["accepted"], n_clients * n_jobs + 1)
        daemon.kill()

    @unittest.skipUnless(shutil.which("curl"), "no curl")
    def test_curl_can_upload(self):
        daemon = self.start_stalled()
        text = "".join(json.dumps(self.stall(f"job-{i}")) + "\n" for i in range(20000))
        path = self.write("jobs", text)
        curl = ["curl", "-sS", "--unix-socket", daemon.socket, "-H", f"Content-Type: {NDJSON}",
                "http://localhost/v1/jobs"]
        for status, arguments in (("accepted", ["--data-binary", "@" + path]),  # with Expect
                                  ("known", ["-X", "POST", "-T", "-"])):      # chunked
            with open(path, "rb") as file:
                done = subprocess.run(curl + arguments, stdin=file, capture_output=True,
                                      check=True, timeout=2 * harness.PATIENCE)
            receipts = [json.loads(line) for line in done.stdout.splitlines()]
            self.assertEqual({r["status"] for r in receipts}, {status})
            self.assertEqual([r["line"] for r in receipts], list(range(1, 20001)))
        daemon.kill()


class Ends(Case):
    """Every receipt that was given holds, whatever ends the daemon."""

    def submit_until_the_end(self, daemon, name, taken):
        """Single jobs and uploads in turn, until the daemon is gone."""
        with contextlib.suppress(OSError, daemon_harness.http.client.HTTPException):
            for i in range(1000000):
                if i % 2:
                    job_id = f"{name}-{i}"
                    if post(daemon, self.stall(job_id)).status == 202:
                        taken.append(job_id)
                    continue
                _, receipts = upload(daemon, [self.stall(f"{name}-{i}-{k}") for k in range(700)])
                taken += [r["id"] for r in receipts if r.get("status") == "accepted"]

    def end_by(self, number):
        daemon = self.start_stalled()
        taken = []
        threads = [threading.Thread(target=self.submit_until_the_end, args=(daemon, i, taken))
                   for i in range(6)]
        for thread in threads:
            thread.start()
        daemon.await_status(lambda s: s["ledger"]["accepted"] > 5000, "it is busy")
        daemon.signal(number)
        daemon.process.wait(timeout=harness.PATIENCE)
        os.unlink(daemon.socket) if number == signal.SIGKILL else None
        for thread in threads:
            thread.join()
        again = self.daemon()
        self.assertGreater(len(taken), 1000)
        self.assertEqual(len(taken), len(set(taken)))
        answer, receipts = upload(again, [self.stall(job_id) for job_id in taken])
        self.assertEqual(answer.status, 202)
        self.assertEqual({r["status"] for r in receipts}, {"known"})
        self.assertEqual(self.look(again, taken[-1])["state"] in ("waiting", "queued", "running"),
                         True)
        again.kill()

    def test_receipts_hold_after_a_stop(self):
        self.end_by(signal.SIGTERM)

    def test_receipts_hold_after_a_kill(self):
        self.end_by(signal.SIGKILL)


if __name__ == "__main__":
    harness.main()
