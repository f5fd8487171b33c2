# SPDX-License-Identifier: Apache-2.0
"""What the tests of durability share: faults on demand, a book of what was promised, a reader
that follows the results log, and the proof that book, log and ledger agree."""
import contextlib
import hashlib
import http.client
import json
import os
import re
import subprocess
import threading
import time

import daemon_harness
import harness

# Preloaded by the programs that shall fail; faults.c says what the variables mean.
FAULTS = os.path.join(os.path.dirname(os.path.abspath(harness.PENSTOCK)), "tests/system/faults.so")
LOG = "results.jsonl"
BROKEN = (OSError, http.client.HTTPException)  # the daemon is gone


def faulty(paths, **variables):
    """The environment of a daemon with faults: FAULTS_`variables`, for files with these paths."""
    env = daemon_harness.environment(
        LD_PRELOAD=FAULTS, FAULTS_PATHS=":".join(paths),
        **{f"FAULTS_{name}": str(value) for name, value in variables.items()})
    env["ASAN_OPTIONS"] = ":".join(filter(None, (env.get("ASAN_OPTIONS"),
                                                 "verify_asan_link_order=0")))
    return env


def request(path, method, target, body=None, kind="application/json", timeout=harness.PATIENCE):
    """Asks once.  Fails with OSError or http.client.HTTPException if the answer breaks off."""
    connection = daemon_harness.UnixConnection(path, timeout)
    with contextlib.closing(connection):
        connection.request(method, target, body, {"Content-Type": kind} if body else {})
        response = connection.getresponse()
        return daemon_harness.Answer(response.status, response.headers, response.read().decode())


def answers(text):
    """The receipts of an NDJSON body."""
    return [json.loads(line) for line in text.splitlines()]


# --- what was promised ------------------------------------------------------------------


class Job:
    """A job that a test makes, and what has become of its submission."""

    OPEN, ACCEPTED, REFUSED, UNKNOWN = "open", "accepted", "refused", "unknown"

    def __init__(self, key, url, id, outcome, **more):
        self.key, self.id, self.outcome = key, id, outcome
        self.content = {"url": url, "meta": {"key": key}, **more}
        if id:
            self.content["id"] = id
        self.fate = self.OPEN
        self.was_sent = False  # and no answer came: it may have been accepted

    @property
    def line(self):
        return json.dumps(self.content)

    def broken(self):
        """The connection broke: with an id it can be sent again, without one it is over."""
        self.was_sent = True
        if not self.id:
            self.fate = self.UNKNOWN

    def answered(self, code, id=None):
        """A receipt, or a refusal, which counts unless an earlier sending may have got through."""
        if code in (200, 202):
            if self.id and id != self.id:
                raise AssertionError(f"a receipt for {id!r}, not {self.id!r}")
            if code == 200 and not self.was_sent:
                raise AssertionError(f"{id!r} is said to be known; it was not sent before")
            self.id, self.fate = id, self.ACCEPTED
        elif not self.was_sent:
            self.fate = self.REFUSED


class Book:
    """All jobs of a test, by their keys.  Safe from any thread."""

    def __init__(self):
        self.lock = threading.Lock()
        self.jobs = {}

    def add(self, job):
        with self.lock:
            self.jobs[job.key] = job
        return job

    def accepted(self):
        with self.lock:
            return sum(job.fate == Job.ACCEPTED for job in self.jobs.values())

    def fates(self):
        fates = dict.fromkeys((Job.ACCEPTED, Job.REFUSED, Job.UNKNOWN, Job.OPEN), 0)
        for job in self.jobs.values():
            fates[job.fate] += 1
        return fates

    def check(self, records):
        """What is wrong with these records: (lost keys, doubled keys, other complaints)."""
        by_key, wrong = {}, []
        for record in records:
            by_key.setdefault((record.get("meta") or {}).get("key"), []).append(record)
        lost, doubled = [], []
        for key, job in self.jobs.items():
            found = by_key.pop(key, [])
            if len(found) > 1:
                doubled.append(key)
            if not found:
                if job.fate == Job.ACCEPTED:
                    lost.append(key)
                continue
            if job.fate in (Job.REFUSED, Job.OPEN):
                wrong.append(f"{key} was {job.fate}, and has a record: {found[0]}")
            if job.id and found[0]["id"] != job.id:
                wrong.append(f"{key} has the id {found[0]['id']}, not {job.id}")
            if found[0]["outcome"] != job.outcome:
                wrong.append(f"{key} is not {job.outcome}: {found[0]}")
        for key, found in by_key.items():
            wrong.append(f"nobody sent {key}: {found[0]}")
        return lost, doubled, wrong


# --- the results log --------------------------------------------------------------------


def log_names(directory):
    """The files of the log, the oldest first."""
    names = [n for n in os.listdir(directory) if re.fullmatch(re.escape(LOG) + r"(\.\d+)?", n)]
    return sorted(names, key=lambda name: int(name[len(LOG) + 1:] or 1 << 30))


def log_files(directory):
    """The log's bytes by inode: names change."""
    files = {}
    for name in log_names(directory):
        with open(os.path.join(directory, name), "rb") as file:
            files[os.fstat(file.fileno()).st_ino] = file.read()
    return files


def log_records(directory):
    """The records of all files of the log, in their order; no line is torn."""
    records = []
    for data in log_files(directory).values():
        if data and not data.endswith(b"\n"):
            raise AssertionError(f"a torn line was left: {data[-200:]}")
        records += [json.loads(line) for line in data.split(b"\n")[:-1]]
    return records


def check_grown(before, after):
    """Nothing that log_files() gave before was taken back or changed."""
    for inode, data in before.items():
        if not after.get(inode, b"").startswith(data):
            raise AssertionError(f"taken back: {data[-300:]}, and now {after.get(inode)}")


class Followed:
    """A file of the log while it is read."""

    def __init__(self, fd):
        self.fd, self.inode = fd, os.fstat(fd).st_ino
        self.offset, self.rest, self.hash = 0, b"", hashlib.sha256()

    def read(self):
        if os.fstat(self.fd).st_size < self.offset:
            raise AssertionError(f"what was read was taken back: {self.offset} bytes, and now "
                                 f"{os.fstat(self.fd).st_size}; the last: {self.rest[-200:]}")
        while chunk := os.pread(self.fd, 1 << 20, self.offset):
            self.offset += len(chunk)
            self.hash.update(chunk)
            self.rest += chunk

    def lines(self):
        *lines, self.rest = self.rest.split(b"\n")
        return lines

    def check_unchanged(self):
        with open(self.fd, "rb", closefd=False) as file:
            file.seek(0)
            if hashlib.sha256(file.read(self.offset)).digest() != self.hash.digest():
                raise AssertionError("what was read has changed")


class LogReader(threading.Thread):
    """Follows the results log through its rotations, as `tail -F` does, and checks that it only
    grows: seq is 1, 2, 3…, and no byte is taken back."""

    def __init__(self, directory):
        super().__init__(daemon=True)
        self.directory = directory
        self.renaming = threading.Lock()  # held while a file changes its name
        self.rotations = 0
        self.files, self.records = [], []
        self.error = None
        self.ending = threading.Event()
        self.start()

    def rotate(self):
        """Renames the log, if there is one."""
        with self.renaming, contextlib.suppress(FileNotFoundError):
            path = os.path.join(self.directory, LOG)
            os.rename(path, f"{path}.{self.rotations + 1}")
            self.rotations += 1

    def _find(self):
        with self.renaming:
            for name in log_names(self.directory):
                path = os.path.join(self.directory, name)
                if os.stat(path).st_ino not in {file.inode for file in self.files}:
                    self.files.append(Followed(os.open(path, os.O_RDONLY | os.O_CLOEXEC)))

    def _poll(self):
        self._find()
        # The newest first: what stands there was written after all that the older ones hold.
        for file in reversed(self.files):
            file.read()
        for file in self.files:
            for line in file.lines():
                record = json.loads(line)
                if record["seq"] != len(self.records) + 1:
                    raise AssertionError(f"record {len(self.records) + 1} should follow: {line}")
                self.records.append(record)

    def run(self):
        try:
            while not self.ending.wait(0.01):
                self._poll()
            self._poll()
            for file in self.files:
                file.check_unchanged()
                if file.rest:
                    raise AssertionError(f"a torn line was left: {file.rest}")
        except Exception as error:  # told by end(), on the test's thread
            self.error = error
        finally:
            for file in self.files:
                os.close(file.fd)

    def end(self):
        """Reads what is left, and returns all records."""
        self.ending.set()
        self.join()
        if self.error:
            raise AssertionError(f"the reader of the log: {self.error!r}") from self.error
        return self.records


# --- the proof --------------------------------------------------------------------------


def accounts(ledger):
    """Whether a ledger balances, said with the ledger."""
    parts = sum(ledger[name] for name in ("waiting", "delayed", "queued", "running", "done",
                                          "dead", "cancelled"))
    if ledger["accepted"] != parts:
        raise AssertionError(f"the ledger does not balance: {ledger}")
    return ledger


def write_config(directory, *lines, backlog="", workers=4, sources="", retry="max_attempts = 3; "
                 'base = "20ms"; max = "50ms";'):
    """penstock.conf of a durable daemon, which keeps all its files in the directory."""
    with open(os.path.join(directory, "penstock.conf"), "w", encoding="utf-8") as file:
        print(f"workers = {workers};",
              'backlog: { type = "sqlite"; path = "backlog.db"; %s };' % backlog,
              "retry: { %s };" % retry, "sources = ( %s );" % sources, *lines,
              sep="\n", file=file)


def await_settled(daemon):
    """Waits until every accepted job has its record in the log; returns the ledger."""
    def is_settled(status):
        ledger = accounts(status["ledger"])
        return status["results"]["pending"] == 0 and not any(
            ledger[name] for name in ("waiting", "delayed", "queued", "running"))
    ledger = daemon.await_status(is_settled, "all is settled")["ledger"]
    harness.eventually(lambda: ledger["accepted"] <= sum(
        data.count(b"\n") for data in log_files(daemon.directory).values()),
        "the log has all records")
    return ledger


def prove(book, records, ledger):
    """Log, ledger and what was promised agree."""
    lost, doubled, wrong = book.check(records)
    if lost or doubled or wrong:
        raise AssertionError(f"{len(lost)} lost: {lost[:5]}; {len(doubled)} doubled: "
                             f"{doubled[:5]}; {len(wrong)} wrong: {wrong[:5]}")
    if [r["seq"] for r in records] != list(range(1, len(records) + 1)):
        raise AssertionError(f"seq has gaps: {[r['seq'] for r in records]}")
    counts = {outcome: sum(r["outcome"] == outcome for r in records)
              for outcome in ("done", "dead", "cancelled")}
    if accounts(ledger)["accepted"] != len(records) or \
            any(ledger[outcome] != n for outcome, n in counts.items()):
        raise AssertionError(f"the ledger is {ledger}; {len(records)} records: {counts}")


def audit(directory):
    """`penstock audit` agrees, with no daemon."""
    ended = subprocess.run(
        [os.path.abspath(harness.PENSTOCK), "audit", "-c", "penstock.conf"], cwd=directory,
        env=daemon_harness.environment(), capture_output=True, text=True,
        timeout=harness.PATIENCE)
    if ended.returncode != 0:
        raise AssertionError(f"penstock audit: {ended.returncode}: {ended.stdout}{ended.stderr}")


def check_sound(daemon):
    """A sanitizer has nothing to say."""
    if "Sanitizer" in daemon.err.text or "runtime error" in daemon.err.text:
        raise AssertionError(daemon.err.text)


def kill(daemon):
    """SIGKILL, to a daemon that still ran."""
    if daemon.process.poll() is not None:
        raise AssertionError(f"it has ended by itself: {daemon.err.text}")
    daemon.kill()
    check_sound(daemon)


def submit(daemon, job):
    """Sends one job, which is accepted or refused; returns the answer."""
    try:
        answer = request(daemon.socket, "POST", "/v1/jobs", job.line)
    except BROKEN:
        job.broken()
        raise
    job.answered(answer.status, answer.json.get("id"))
    return answer


def submit_many(daemon, jobs):
    """Sends jobs as NDJSON; returns the receipts."""
    try:
        answer = request(daemon.socket, "POST", "/v1/jobs",
                         "".join(job.line + "\n" for job in jobs), "application/x-ndjson")
    except BROKEN:
        for job in jobs:
            job.broken()
        raise
    receipts = answers(answer.body)
    for job, receipt in zip(jobs, receipts):
        job.answered({"accepted": 202, "known": 200}.get(receipt["status"], receipt.get("code")),
                     receipt["id"])
    return receipts
