# SPDX-License-Identifier: Apache-2.0
"""What the tests of penstockd share: a daemon in a directory, and how to ask it."""
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess

import harness
from harness import OK, PATIENCE

# What a service manager sets; the tests say themselves what there is.
SERVICE_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID",
                     "LISTEN_FDNAMES", "JOURNAL_STREAM", "STATE_DIRECTORY", "RUNTIME_DIRECTORY",
                     "CONFIGURATION_DIRECTORY", "PENSTOCK_SOCKET")
LEDGER = re.compile(r"queue (\d+)/(\d+); accepted (\d+) = waiting (\d+) \+ queued (\d+) \+ "
                    r"running (\d+) \+ done (\d+) \+ dead (\d+) \+ cancelled (\d+)$", re.M)


def environment(**changes):
    env = harness.environment(**changes)
    for name in SERVICE_VARIABLES:
        if name not in changes:
            env.pop(name, None)
    return env


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path, timeout=PATIENCE):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def request(self, *args, **kwargs):
        """The daemon may answer, and close, before it has the whole request (RFC 9112, 9.5)."""
        with contextlib.suppress(BrokenPipeError):
            super().request(*args, **kwargs)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


def get(path, target, method="GET", **headers):
    """Asks once.  Fails with OSError or http.client.HTTPException if nobody answers."""
    connection = UnixConnection(path)
    try:
        connection.request(method, target, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read().decode())
    finally:
        connection.close()


def samples(text):
    """The samples of a Prometheus exposition: {'name{label="value"}': number}."""
    return {series: float(value)
            for series, value in (line.rsplit(" ", 1) for line in text.splitlines()
                                  if line and not line.startswith("#"))}


def whole_records(path):
    """The records whose lines are whole; a file that is not there has none."""
    try:
        with open(path, encoding="utf-8") as file:
            return [json.loads(line) for line in file.read().split("\n")[:-1]]
    except FileNotFoundError:
        return []


class Daemon(harness.Child):
    """`penstockd -c penstock.conf` in `directory`, with control.sock and results.jsonl there."""

    def __init__(self, directory, *args, before=(), env=None, **options):
        self.directory = directory
        self.socket = os.path.join(directory, "control.sock")
        super().__init__([*before, harness.PENSTOCKD, "-c", "penstock.conf", *args],
                         cwd=directory, env=env or environment(), **options)

    @property
    def pid(self):
        return self.process.pid

    def answers(self):
        """Whether anybody listens, be it ready or not."""
        try:
            return get(self.socket, "/healthz").status > 0
        except (OSError, http.client.HTTPException):
            return False

    def is_ready(self):
        try:
            return get(self.socket, "/readyz").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def await_ready(self):
        harness.eventually(lambda: self.is_ready() or self.process.poll() is not None,
                           "the daemon answers")
        if self.process.poll() is not None:
            raise AssertionError(f"the daemon has ended: {self.err.text if self.err else ''}")
        return self

    def get(self, target, **headers):
        return get(self.socket, target, **headers)

    def status(self):
        return self.get("/v1/status").json

    def metrics(self):
        return samples(self.get("/metrics").body)

    def await_status(self, predicate, what):
        """Waits until the predicate holds for the status, which it returns."""
        seen = {}

        def holds():
            seen.update(self.status())
            return predicate(seen)
        try:
            harness.eventually(holds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; the last status: {json.dumps(seen)}") from None
        return seen

    def records(self, name="results.jsonl"):
        return whole_records(os.path.join(self.directory, name))

    def await_records(self, n, name="results.jsonl"):
        harness.eventually(lambda: len(self.records(name)) >= n or
                           self.process.poll() is not None, f"{n} records in {name}")
        return self.records(name)

    def tcp_ports(self, n=1):
        """Where it listens, as it says itself."""
        def ports():
            found = re.findall(r"control\.listen: .*:(\d+)/", self.err.text)
            return len(found) == n and list(map(int, found))
        return harness.eventually(ports, f"{n} ports are told")

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self, number=signal.SIGTERM, code=OK):
        """Ends it with a signal; its exit code must be this."""
        self.signal(number)
        ended = self.wait()
        if ended.code != code:
            raise AssertionError(f"exit code {ended.code}, not {code}; {ended.err}")
        return ended


def last_ledger(text):
    """The accounts of the last state that was logged."""
    names = ("depth", "capacity", "accepted", "waiting", "queued", "running", "done", "dead",
             "cancelled")
    return dict(zip(names, map(int, LEDGER.findall(text)[-1])))


# As many fetches from one origin as there are workers.
UNLIMITED = 'origins: ( { match = "*"; concurrency = 0; } );'


class Case(harness.Case):
    """A test with daemons, which write in the test's directory."""

    durable = False  # what happens at a stop is not the same with a database

    def configure(self, *lines, sources=(), workers=4):
        """Writes penstock.conf: these lines, and these groups as sources."""
        text = [f"workers = {workers};", *lines]
        if not self.durable:
            in_memory = 'backlog: { type = "memory";'
            text = [line.replace("backlog: {", in_memory) for line in text]
            if not any(in_memory in line for line in text):
                text.append(in_memory + " };")
        if sources:
            text.append("sources = (\n  " + ",\n  ".join(sources) + "\n);")
        return self.write("penstock.conf", "\n".join(text) + "\n")

    def launch(self, *args, **options):
        """Starts a daemon, without waiting for anything."""
        daemon = Daemon(self.dir, *args, **options)
        self.addCleanup(daemon.kill)
        return daemon

    def daemon(self, *args, **options):
        """Starts a daemon, and waits until it is ready."""
        return self.launch(*args, **options).await_ready()

    def follow(self, name="urls"):
        """A source that follows a file of the test."""
        return f'{{ type = "file"; path = "{name}"; follow = true; }}'

    def append(self, name, text):
        with open(self.path(name), "a", encoding="utf-8") as file:
            file.write(text)

    def jobs(self, target, ids):
        """A line with an id for each job."""
        return "".join(json.dumps({"url": self.origin.url(target), "id": i}) + "\n" for i in ids)

    def check_records(self, records, ids):
        """Each of these ids has exactly one record; the records are numbered without a gap."""
        self.check_numbering(records)
        self.assertEqual(sorted(r["id"] for r in records), sorted(ids))

    def check_ledger(self, text, records):
        """The last ledger in the log says what the records do, and nothing is left."""
        ledger = last_ledger(text)
        for outcome in "done", "dead", "cancelled":
            self.assertEqual(ledger[outcome], sum(r["outcome"] == outcome for r in records), ledger)
        self.assertEqual(ledger["accepted"], len(records), ledger)
        self.assertEqual((ledger["waiting"], ledger["queued"], ledger["running"]), (0, 0, 0))

    def check_end(self, ended, records, ids):
        """After a stop: all is accounted for, and the socket's file is gone."""
        self.check_records(records, ids)
        self.check_ledger(ended.err, records)
        self.assertFalse(os.path.exists(self.path("control.sock")))

    def in_flight(self):
        return self.origin.counters()["in_flight"]

    def await_in_flight(self, n):
        harness.eventually(lambda: self.in_flight() == n, f"{n} requests under way")


def can_unshare():
    """Whether a mount namespace of our own can be had."""
    return os.geteuid() == 0 and subprocess.run(
        ["unshare", "-m", "true"], capture_output=True).returncode == 0
