#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""penstockd is killed at random moments while clients submit and the log is rotated and followed:
an accepted job is never lost, and recorded exactly once.

PENSTOCK_CRASH_KILLS says how often it is killed, PENSTOCK_CRASH_SEED what is random."""
import os
import random
import signal
import sys
import threading
import time

import daemon_harness
import durable_harness
import harness
from durable_harness import BROKEN, Book, Job, LogReader, accounts, answers, request

KILLS = int(os.environ.get("PENSTOCK_CRASH_KILLS", 16 if harness.SANITIZED else 36))
SEED = int(os.environ.get("PENSTOCK_CRASH_SEED", time.time_ns() % 1000000))
CLIENTS = 4


class Client(threading.Thread):
    """Submits jobs of all kinds until it is told to end; then it ends what it has begun."""

    def __init__(self, name, test, seed):
        super().__init__(daemon=True)
        self.name, self.test, self.random = name, test, random.Random(seed)
        self.ending = threading.Event()
        self.made = 0
        self.mine = []  # accepted, with ids of ours
        self.error = None
        self.start()

    def make_job(self, has_id=True):
        self.made += 1
        key = f"{self.name}.{self.made}"
        target, outcome = self.random.choices(
            (("/ok", "done"), (f"/flaky/1/{key}", "done"), ("/status/404", "dead"),
             ("/status/503", "dead"), ("/delay/0.05-0.3", "done")), (70, 8, 8, 2, 6))[0]
        more = {"priority": "high"} if self.random.random() < 0.05 else {}
        job = Job(key, self.test.origin.url(target), key if has_id else None, outcome, **more)
        return self.test.book.add(job)

    def send(self, body, jobs, kind="application/json"):
        """Sends jobs until there is an answer, or, without ids, once."""
        target = "/v1/jobs" + self.random.choice(("", "?wait=1s"))
        while True:
            try:
                return request(self.test.socket, "POST", target, body, kind)
            except (ConnectionRefusedError, FileNotFoundError):  # nothing was sent
                time.sleep(0.01)
            except BROKEN:
                for job in jobs:
                    job.broken()
                if not jobs or not jobs[0].id:
                    return None

    def settle(self, job, code, id):
        job.answered(code, id)
        if job.fate == Job.ACCEPTED and job.content.get("id"):
            self.mine.append(job)
        return job.fate != Job.OPEN

    def send_one(self, has_id=True):
        job = self.make_job(has_id)
        while job.fate == Job.OPEN:
            answer = self.send(job.line, [job])
            if answer and self.settle(job, answer.status, answer.json.get("id")):
                self.test.assertIn(answer.status, (200, 202, 429, 503), answer.body)
            elif answer:
                time.sleep(0.02)  # a full backlog, or a stop: what was sent must be cleared up

    def send_without_id(self):
        self.send_one(has_id=False)

    def send_many(self, has_id=True):
        jobs = [self.make_job(has_id) for _ in range(self.random.randint(2, 30))]
        left = jobs
        while left:
            lines = [job.line for job in left]
            at = self.random.randint(0, len(lines))
            lines[at:at] = ["", "# a comment", "no job at all"]
            answer = self.send("\n".join(lines) + "\n", left, "application/x-ndjson")
            if answer is None:
                return
            if "problem" in answer.headers["Content-Type"]:
                for job in left:
                    self.settle(job, answer.status, None)
                continue
            receipts = answers(answer.body)
            self.test.assertEqual(len(receipts), len(left) + 1, answer.body)
            self.test.assertEqual((receipts[at]["code"], receipts[at]["line"]), (400, at + 3))
            for job, receipt in zip(left, receipts[:at] + receipts[at + 1:]):
                self.settle(job, {"accepted": 202, "known": 200}.get(
                    receipt["status"], receipt.get("code")), receipt["id"])
            left = [job for job in left if job.fate == Job.OPEN]
            if left:
                time.sleep(0.02)

    def send_many_without_ids(self):
        self.send_many(has_id=False)

    def send_nonsense(self):
        answer = self.send('{"url": "http://127.0.0.1/", "id": "p-1"}', [])
        self.test.assertIn(answer.status if answer else 400, (400, 503))

    def send_again(self):
        """A known id is known, and does not become another job."""
        if not self.mine:
            return
        job = self.random.choice(self.mine)
        other = Job(job.key, "http://127.0.0.1:1/", job.id, "")
        for line, code in (job.line, 200), (other.line, 409):
            answer = self.send(line, [])
            if answer and answer.status not in (429, 503):
                self.test.assertEqual(answer.status, code, answer.body)

    def ask(self):
        """The ledger balances at any moment, and holds what we have receipts for."""
        least = self.test.book.accepted()
        try:
            ledger = accounts(request(self.test.socket, "GET", "/v1/status").json["ledger"])
            job = self.random.choice(self.mine) if self.mine else None
            found = job and request(self.test.socket, "GET", f"/v1/jobs/{job.id}")
        except BROKEN:
            return
        self.test.assertGreaterEqual(ledger["accepted"], least)
        self.test.assertEqual(found.status if found else 200, 200, job and job.id)

    def run(self):
        actions = {self.send_one: 60, self.send_without_id: 10, self.send_many: 10,
                   self.send_many_without_ids: 4, self.send_nonsense: 3, self.send_again: 6,
                   self.ask: 5}
        try:
            while not self.ending.is_set():
                self.random.choices(list(actions), list(actions.values()))[0]()
                time.sleep(self.random.random() * 0.01)
        except Exception as error:  # told by end(), on the test's thread
            self.error = error

    def end(self):
        self.ending.set()
        self.join(harness.PATIENCE)
        if self.error:
            raise AssertionError(f"client {self.name}: {self.error!r}") from self.error
        if self.is_alive():
            raise AssertionError(f"client {self.name} does not end")


class Writer(threading.Thread):
    """Appends to the file that a source follows, and drops files into another's directory.  None
    of these jobs has an id: each line is to become one job."""

    def __init__(self, test, seed):
        super().__init__(daemon=True)
        self.test, self.random = test, random.Random(seed)
        self.incoming = test.path("incoming")
        self.jobs, self.files, self.bad_files = [], 0, 0
        self.ending = threading.Event()
        self.error = None
        os.mkdir(self.incoming)
        self.start()

    def make_lines(self, n):
        lines = []
        for _ in range(n):
            key = f"w.{len(self.jobs)}"
            job = Job(key, self.test.origin.url("/ok"), None, "done")
            self.jobs.append(self.test.book.add(job))
            lines.append(job.line + "\n")
        return lines

    def append(self):
        self.test.append("urls", "".join(self.make_lines(self.random.randint(1, 15))))

    def drop(self):
        """Whole files only; one in four has a bad line."""
        self.files += 1
        lines = self.make_lines(self.random.randint(1, 40))
        if self.random.random() < 0.25:
            self.bad_files += 1
            lines.insert(self.random.randint(0, len(lines)), "no job at all\n")
        name = self.test.write(f"incoming/.{self.files}", "".join(lines))
        os.rename(name, os.path.join(self.incoming, str(self.files)))

    def run(self):
        try:
            while not self.ending.wait(self.random.random() * 0.05):
                self.random.choice((self.append, self.append, self.drop))()
        except Exception as error:  # told by end(), on the test's thread
            self.error = error

    def end(self):
        self.ending.set()
        self.join()
        if self.error:
            raise AssertionError(f"the writer: {self.error!r}") from self.error

    def await_taken(self):
        """Waits until every line has its record, and every file its place."""
        keys = set()
        for job in self.jobs:
            keys.add(job.key)
            job.fate = Job.ACCEPTED  # it must be, once it is read

        def are_recorded():
            records = self.test.reader.records
            return self.test.reader.error or \
                len(records) >= len(keys) and keys <= {r["meta"]["key"] for r in records}
        harness.eventually(are_recorded, "all lines of the sources are recorded")
        harness.eventually(lambda: sorted(os.listdir(self.incoming)) == ["done", "failed"],
                           "all files are moved")
        self.test.assertEqual(len(os.listdir(os.path.join(self.incoming, "done"))),
                              self.files - self.bad_files)
        self.test.assertEqual(len(os.listdir(os.path.join(self.incoming, "failed"))),
                              2 * self.bad_files)


class Crash(daemon_harness.Case):
    def rotate(self, daemon, tells):
        self.reader.rotate()
        if tells:
            daemon.signal(signal.SIGUSR1)

    def run_and_kill(self):
        """One life: killed at any time, also before it is ready or while it puts things right."""
        daemon = self.launch()
        if self.random.random() < 0.25:
            time.sleep(self.random.random() * 0.08 * harness.SLOWNESS)
        else:
            daemon.await_ready()
            time.sleep(self.random.random() * 0.35)
            if self.random.random() < 0.4:
                self.rotate(daemon, tells=True)
                time.sleep(self.random.random() * 0.03)
            if self.random.random() < 0.25:
                self.rotate(daemon, tells=False)
            if self.random.random() < 0.15:
                daemon.signal(signal.SIGTERM)
                time.sleep(self.random.random() * 0.02)
                daemon.kill()
                self.assertIn(daemon.process.poll(), (harness.OK, -signal.SIGKILL))
                return
        durable_harness.kill(daemon)

    def check_observers(self):
        for observer in *self.clients, self.writer, self.reader:
            if observer.error:
                observer.end()

    def test_accepted_jobs_are_recorded_exactly_once(self):
        print(f"seed {SEED}", file=sys.stderr, flush=True)
        self.random = random.Random(SEED)
        self.socket = self.path("control.sock")
        self.write("urls", "")
        durable_harness.write_config(
            self.dir, backlog="max_jobs = 300;", workers=16,
            sources=self.follow() + ', { type = "directory"; path = "incoming"; }')
        self.book, self.reader = Book(), LogReader(self.dir)
        self.addCleanup(lambda: self.reader.ending.set())
        self.clients = [Client(f"c{i}", self, SEED * CLIENTS + i) for i in range(CLIENTS)]
        self.addCleanup(lambda: [client.ending.set() for client in self.clients])
        self.writer = Writer(self, SEED)
        self.addCleanup(self.writer.ending.set)

        for _ in range(KILLS):
            self.run_and_kill()
            self.check_observers()
        daemon = self.daemon()
        for client in *self.clients, self.writer:
            client.end()
        self.writer.await_taken()
        try:
            ledger = durable_harness.await_settled(daemon)
        finally:
            self.check_observers()
        daemon.stop()
        durable_harness.check_sound(daemon)
        records = self.reader.end()

        fates = self.book.fates()
        lost, doubled, _ = self.book.check(records)
        print(f"{KILLS} kills, {self.reader.rotations} rotations, {fates['accepted']} jobs "
              f"accepted, {len(self.writer.jobs)} of them from sources, {fates['refused']} refused, {fates['unknown']} without an answer, "
              f"{len(records)} records, {len(lost)} lost, {len(doubled)} doubled",
              file=sys.stderr)
        durable_harness.prove(self.book, records, ledger)
        self.assertEqual(fates["open"], 0)
        self.assertGreater(fates["accepted"], 10 * KILLS)
        durable_harness.audit(self.dir)


if __name__ == "__main__":
    harness.main()
