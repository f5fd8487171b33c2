#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""penstockd and disks that fail: full, broken, read-only, for a call or for long.  New jobs are
refused and told why, what was accepted is kept, and it goes on by itself once the disk is well.
And a database that is damaged, newer, or somebody else's is refused and left as it is."""
import concurrent.futures
import contextlib
import hashlib
import os
import signal
import sqlite3
import subprocess
import time
import unittest

import daemon_harness
import durable_harness
import harness
from durable_harness import LOG, Book, Job, LogReader, request
from harness import IO_ERROR, OK

NEEDS_FAULTS = unittest.skipUnless(os.path.exists(durable_harness.FAULTS),
                                   "tests/system/faults.so is not built")
NOTHING = hashlib.sha256().hexdigest()
AT_ONCE = 3 if harness.SANITIZED else 8  # they mostly wait for the next try
TEXTS = {"ENOSPC": "No space left on device", "EIO": "Input/output error",
         "EROFS": "Read-only file system"}


class Case(daemon_harness.Case):
    def setUp(self):
        super().setUp()
        self.book = Book()
        self.trouble = self.path("trouble")  # the disk fails while there is this file
        durable_harness.write_config(self.dir, *self.settings)

    settings = ()

    def job(self, key, target="/ok", outcome="done", origin=None, **more):
        return self.book.add(Job(key, (origin or self.origin).url(target), key, outcome, **more))

    def submit(self, daemon, *args, code=202, **more):
        """Sends a job, which must have this answer; returns it."""
        job = self.job(*args, **more)
        answer = durable_harness.submit(daemon, job)
        self.assertEqual(answer.status, code, answer.body)
        return answer

    def begin_trouble(self):
        with open(self.trouble, "w", encoding="ascii"):
            pass

    def end_trouble(self):
        os.unlink(self.trouble)

    def await_fetched(self, daemon, n):
        daemon.await_status(lambda s: s["fetch"]["attempts"] == n, f"{n} fetches have ended")

    def start_faulty(self, paths, **variables):
        """A daemon whose disk fails as long as there is trouble."""
        variables.setdefault("WHILE", self.trouble)
        return self.daemon(env=durable_harness.faulty(
            [self.path(path) for path in paths], **variables))

    def check_all(self, daemon):
        """All is settled and proven, also after a stop."""
        ledger = durable_harness.await_settled(daemon)
        daemon.stop()
        durable_harness.check_sound(daemon)
        durable_harness.prove(self.book, durable_harness.log_records(self.dir), ledger)
        durable_harness.audit(self.dir)

    def backlog_error(self, daemon):
        return daemon.status()["backlog"]["error"]


@NEEDS_FAULTS
class Database(Case):
    """The database's disk fails; the log's does not."""

    def check_refusal(self, daemon, key, error):
        answer = self.submit(daemon, key, code=507 if error == "ENOSPC" else 503)
        self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
        self.assertIn("full" if error == "ENOSPC" else TEXTS[error], answer.json["detail"])

    def go_through(self, error, calls):
        gate = self.server(harness.Gate)
        daemon = self.start_faulty(["backlog.db"], DO=error, CALLS=calls)
        self.submit(daemon, "before")
        self.submit(daemon, "running", origin=gate)
        daemon.await_status(lambda s: s["ledger"]["done"] == 1, "one is done")
        gate.await_waiting(1)
        self.begin_trouble()
        self.check_refusal(daemon, "refused", error)
        status = daemon.await_status(lambda s: s["backlog"]["error"], "status tells")
        self.assertIn(TEXTS[error], status["backlog"]["error"])
        durable_harness.accounts(status["ledger"])
        self.check_refusal(daemon, "refused too", error)
        daemon.await_message("the backlog cannot be written")
        self.assertEqual(daemon.get("/healthz").status, 200)  # no reason to restart it
        gate.open()
        self.await_fetched(daemon, 2)  # what ran has ended, and cannot be settled yet
        self.assertEqual(request(daemon.socket, "GET", "/v1/jobs/before").status, 200)
        self.assertEqual(len(daemon.records()), 1)

        self.end_trouble()
        daemon.await_status(lambda s: s["ledger"]["done"] == 2 and not s["backlog"]["error"],
                            "it goes on")
        daemon.await_message("the backlog can be written again")
        self.submit(daemon, "after")
        self.check_all(daemon)
        self.assertEqual(gate.requests, 1)

    def begin_amid_a_fetch(self):
        """A daemon whose disk fails from the middle of the only fetch on, which then ends."""
        gate = self.server(harness.Gate)
        daemon = self.start_faulty(["backlog.db"], DO="EIO")
        self.submit(daemon, "before", origin=gate)
        gate.await_waiting(1)
        self.begin_trouble()
        self.submit(daemon, "refused", code=503)
        gate.open()
        self.await_fetched(daemon, 1)
        return daemon

    def test_a_full_disk(self):
        self.go_through("ENOSPC", "write,truncate")

    def test_a_broken_disk(self):
        self.go_through("EIO", "write")

    def test_a_disk_that_cannot_sync(self):
        self.go_through("EIO", "sync")

    def test_a_disk_that_became_read_only(self):
        self.go_through("EROFS", "write,sync,truncate,unlink")

    def test_a_client_that_waits_is_served_once_the_disk_is_well(self):
        daemon = self.start_faulty(["backlog.db"], DO="ENOSPC")
        self.begin_trouble()
        self.submit(daemon, "refused", code=507)
        job = self.job("waits")
        connection = daemon_harness.UnixConnection(daemon.socket)
        self.addCleanup(connection.close)
        connection.request("POST", "/v1/jobs?wait=1m", job.line,
                           {"Content-Type": "application/json"})
        daemon.await_status(lambda s: s["backlog"]["submitters_blocked"] == 1, "it waits")
        self.end_trouble()
        response = connection.getresponse()
        self.assertEqual(response.status, 202, response.read())
        job.answered(202, job.id)
        self.check_all(daemon)

    def test_a_source_waits_for_the_disk(self):
        durable_harness.write_config(self.dir, sources=self.follow())
        daemon = self.start_faulty(["backlog.db"], DO="ENOSPC")
        self.begin_trouble()
        jobs = [self.job(f"s{i}") for i in range(20)]
        self.append("urls", "".join(job.line + "\n" for job in jobs))
        daemon.await_status(lambda s: s["backlog"]["error"], "status tells")
        self.end_trouble()
        daemon.await_records(20)
        for job in jobs:
            job.answered(202, job.id)
        self.check_all(daemon)

    def stop_in_trouble(self, twice=False):
        daemon = self.begin_amid_a_fetch()
        began = time.monotonic()
        daemon.signal(signal.SIGTERM)
        if twice:
            daemon.await_message("stopping")
            daemon.signal(signal.SIGTERM)
        ended = daemon.wait()
        took = time.monotonic() - began
        self.assertEqual(ended.code, IO_ERROR, ended.err)
        durable_harness.check_sound(daemon)
        self.end_trouble()
        self.check_all(self.daemon())
        return took

    def test_a_stop_in_trouble_ends_in_time_and_loses_nothing(self):
        durable_harness.write_config(self.dir, 'stop_timeout = "300ms";')
        self.assertLess(self.stop_in_trouble(), 10 * harness.SLOWNESS)

    def test_a_second_stop_in_trouble_ends_at_once(self):
        durable_harness.write_config(self.dir, 'stop_timeout = "1h";')
        self.stop_in_trouble(twice=True)

    def test_a_kill_in_trouble_loses_nothing(self):
        durable_harness.kill(self.begin_amid_a_fetch())
        self.end_trouble()
        self.check_all(self.daemon())


@NEEDS_FAULTS
class Log(Case):
    """The log's disk fails; the database's does not."""

    def go_through(self, error, calls):
        reader = LogReader(self.dir)
        self.addCleanup(reader.ending.set)
        trace = self.path("trace")
        daemon = self.start_faulty([LOG], DO=error, CALLS=calls, TRACE=trace)
        self.submit(daemon, "before")
        daemon.await_records(1)
        self.begin_trouble()
        for i in range(5):
            self.submit(daemon, f"in trouble {i}")  # the database takes them
        if "write" in calls:
            daemon.await_status(lambda s: s["results"]["error"], "status tells")
            daemon.await_message("results cannot be written")
        self.end_trouble()
        self.submit(daemon, "after")
        self.check_all(daemon)
        self.assertEqual(len(reader.end()), 7)
        self.assertNotIn(f"truncate {LOG}", self.read("trace"))  # it only grows

    def test_a_full_disk(self):
        self.go_through("ENOSPC", "write,truncate")

    def test_a_disk_that_fills_up_in_the_middle_of_a_line(self):
        self.go_through("short", "write")

    def test_a_broken_disk(self):
        self.go_through("EIO", "write,sync")

    def test_a_disk_that_cannot_sync(self):
        self.go_through("EIO", "sync")

    def test_a_kill_while_the_log_is_behind_loses_nothing(self):
        daemon = self.start_faulty([LOG], DO="short", CALLS="write")
        self.submit(daemon, "before")
        daemon.await_records(1)
        self.begin_trouble()
        for i in range(5):
            self.submit(daemon, f"in trouble {i}")
        daemon.await_status(lambda s: s["results"]["error"], "status tells")
        before = durable_harness.log_files(self.dir)
        durable_harness.kill(daemon)
        self.end_trouble()
        self.check_all(self.daemon())
        durable_harness.check_grown(before, durable_harness.log_files(self.dir))

    def test_a_stop_while_the_log_is_behind_loses_nothing(self):
        durable_harness.write_config(self.dir, 'stop_timeout = "300ms";')
        daemon = self.start_faulty([LOG], DO="ENOSPC", CALLS="write")
        self.submit(daemon, "before")
        daemon.await_records(1)
        self.begin_trouble()
        for i in range(5):
            self.submit(daemon, f"in trouble {i}")
        daemon.await_status(lambda s: s["results"]["error"], "status tells")
        ended = daemon.stop(code=IO_ERROR)
        self.assertIn("the next start makes up for it", ended.err)
        self.end_trouble()
        self.check_all(self.daemon())


@NEEDS_FAULTS
class Once(Case):
    """A single call fails, each in its turn: nobody needs to notice."""

    def play(self, daemon, name):
        """A few jobs.  What is refused is sent again."""
        book = Book()
        for i, (target, outcome) in enumerate((("/ok", "done"), ("/status/404", "dead"),
                                               (f"/flaky/1/{name}", "done"), ("/ok", "done"))):
            job = book.add(Job(f"{name}.{i}", self.origin.url(target), f"{name}.{i}", outcome))
            while job.fate != Job.ACCEPTED:
                job.fate = Job.OPEN
                answer = durable_harness.submit(daemon, job)
                self.assertIn(answer.status, (202, 503, 507), answer.body)
        return book

    def run_with(self, name, **variables):
        """A run in which call number FAULTS_AT fails.  Returns how many calls there were until
        it was ready, and all."""
        directory = self.path(name)
        trace = os.path.join(directory, "trace")
        os.mkdir(directory)
        durable_harness.write_config(directory)
        daemon = daemon_harness.Daemon(directory, env=durable_harness.faulty(
            [f"{directory}/backlog.db", f"{directory}/{LOG}"], TIMES=1, TRACE=trace, **variables))
        try:
            daemon.await_ready()
            ready = self.read(trace).count("\n")
            book = self.play(daemon, name)
            ledger = durable_harness.await_settled(daemon)
            daemon.signal(signal.SIGTERM)
            ended = daemon.wait()
        finally:
            daemon.kill()
        if ended.code != OK:  # the last words could not be made durable
            self.assertEqual(ended.code, IO_ERROR, ended.err)
            self.assertIn("may not be on disk", ended.err)
        durable_harness.check_sound(daemon)
        durable_harness.prove(book, durable_harness.log_records(directory), ledger)
        durable_harness.audit(directory)
        return ready, self.read(trace).splitlines()

    def try_call(self, call, error):
        number = call.split()[0]
        try:
            self.run_with(f"{error}{number}", AT=number, DO=error)
        except Exception as failure:
            raise AssertionError(f"{error} for {call}: {failure}") from failure

    def test_any_call(self):
        ready, calls = self.run_with("count")
        step = max(1, (len(calls) - ready) // (8 if harness.SANITIZED else 30))
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            tries = [pool.submit(self.try_call, call, error) for call in calls[ready::step]
                     for error in ("EIO", "ENOSPC")]
            try:
                for ended in concurrent.futures.as_completed(tries):
                    ended.result()
            finally:
                pool.shutdown(cancel_futures=True)


class Refused(Case):
    """What is no database of ours is refused at the start, by name, and left as it is."""

    def make_database(self):
        daemon = self.daemon()
        for i in range(50):
            self.submit(daemon, f"j{i}")
        durable_harness.await_settled(daemon)
        daemon.stop()

    def database_files(self):
        """What is in the database and its log; one that is empty may come and go."""
        files = {}
        for name in ("backlog.db", "backlog.db-wal"):
            with contextlib.suppress(FileNotFoundError), open(self.path(name), "rb") as file:
                files[name] = hashlib.sha256(file.read()).hexdigest()
        return {name: data for name, data in files.items() if data != NOTHING}

    def check_refused(self, *words, code=IO_ERROR, **options):
        before = self.database_files()
        daemon = self.launch(**options)
        ended = daemon.wait()
        self.assertEqual(ended.code, code, ended.err)
        for word in ("backlog.db", *words):
            self.assertIn(word, ended.err)
        self.assertNotIn("ready", ended.err)
        self.assertEqual(self.database_files(), before)
        durable_harness.check_sound(daemon)
        return ended

    def overwrite(self, offset, data):
        with open(self.path("backlog.db"), "r+b") as file:
            file.seek(offset)
            file.write(data)

    def test_garbage(self):
        self.write("backlog.db", "This is no database.\n" * 500)
        self.check_refused()

    def test_a_short_piece_of_garbage(self):
        self.write("backlog.db", "no database\n")
        self.check_refused()

    def test_a_database_that_was_cut_off(self):
        self.make_database()
        size = os.path.getsize(self.path("backlog.db"))
        os.truncate(self.path("backlog.db"), size // 2 // 4096 * 4096)
        self.check_refused()

    def test_a_database_with_a_bad_page(self):
        self.make_database()
        for page in range(1, os.path.getsize(self.path("backlog.db")) // 4096):
            self.overwrite(4096 * page, b"\xff" * 4096)
        self.check_refused()

    def test_a_newer_database(self):
        self.make_database()
        with sqlite3.connect(self.path("backlog.db")) as database:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            database.execute(f"PRAGMA user_version = {version + 1}")
        database.close()
        self.check_refused("newer")

    def test_somebody_elses_database(self):
        with sqlite3.connect(self.path("backlog.db")) as database:
            database.execute("CREATE TABLE notes (text)")
        database.close()
        self.check_refused()

    def test_a_second_daemon(self):
        self.daemon()
        other = self.path("other.conf")
        with open(other, "w", encoding="utf-8") as file:
            file.write('backlog: { type = "sqlite"; path = "backlog.db"; };\n'
                       'results: { path = "other.jsonl"; };\ncontrol: { socket = "other.sock"; };')
        second = harness.Child([harness.PENSTOCKD, "-c", "other.conf"],
                                              cwd=self.dir, env=daemon_harness.environment())
        self.addCleanup(second.kill)
        ended = second.wait()
        self.assertEqual(ended.code, IO_ERROR, ended.err)
        self.assertIn("backlog.db", ended.err)
        self.assertIn("another process", ended.err)

    def test_a_directory_that_cannot_be_written(self):
        self.make_database()
        before = self.database_files()
        os.chmod(self.dir, 0o555)
        self.addCleanup(os.chmod, self.dir, 0o755)
        daemon = self.launch(preexec_fn=harness.obey_file_modes)
        ended = daemon.wait()
        self.assertIn(ended.code, (harness.NO_PERMISSION, harness.CANNOT_CREATE, IO_ERROR))
        self.assertIn("Permission denied", ended.err)
        self.assertEqual(self.database_files(), before)


@unittest.skipUnless(daemon_harness.can_unshare(), "needs root and mount namespaces")
class RealDisk(Case):
    """Small file systems of our own."""

    def mounted(self, commands):
        """What a daemon is started with, to have `disk` as these commands make it."""
        os.makedirs(self.path("disk"), exist_ok=True)
        return ("unshare", "-m", "sh", "-ec", f'{commands}; exec "$@"', "sh")

    def configure_disk(self, *lines):
        self.write("penstock.conf", "\n".join((
            'backlog: { type = "sqlite"; path = "disk/backlog.db"; min_free = "64K"; };',
            'results: { path = "disk/results.jsonl"; };', *lines)))

    def start_small(self, size):
        """A daemon on a disk of its own; sets where we find that."""
        self.configure_disk()
        daemon = self.daemon(before=self.mounted(f"mount -t tmpfs -o size={size} tmpfs disk"))
        self.disk = f"/proc/{daemon.pid}/root" + self.path("disk")
        return daemon

    def retry(self, daemon, key):
        """Sends a job until it is accepted: that there is room again is noticed in time."""
        job = self.job(key)

        def is_accepted():
            job.fate = Job.OPEN
            return durable_harness.submit(daemon, job).status == 202
        harness.eventually(is_accepted, "there is room again")

    def check_disk(self, daemon):
        ledger = daemon.await_status(
            lambda s: s["ledger"]["accepted"] == s["ledger"]["done"] and not s["backlog"]["error"],
            "all is settled")["ledger"]
        harness.eventually(lambda: len(daemon_harness.whole_records(f"{self.disk}/{LOG}")) ==
                           ledger["accepted"], "the log has all records")
        durable_harness.prove(self.book, daemon_harness.whole_records(f"{self.disk}/{LOG}"),
                              ledger)
        daemon.stop()
        durable_harness.check_sound(daemon)

    def test_a_full_file_system(self):
        daemon = self.start_small("4m")
        self.submit(daemon, "before")
        daemon.await_status(lambda s: s["ledger"]["done"] == 1, "the first is done")
        with open(f"{self.disk}/filler", "wb", buffering=0) as filler:
            with contextlib.suppress(OSError):
                while True:
                    filler.write(bytes(4096))
        answer = self.submit(daemon, "refused", code=507)
        self.assertRegex(answer.json["detail"], "full|free")
        self.assertEqual(daemon.get("/healthz").status, 200)
        os.unlink(f"{self.disk}/filler")
        self.retry(daemon, "after")
        self.check_disk(daemon)

    def test_a_file_system_that_fills_up_under_load(self):
        daemon = self.start_small("3m")
        refused = 0
        for i in range(200):
            jobs = [self.job(f"j{i}.{k}") for k in range(50)]
            for job in jobs:
                job.content["meta"]["padding"] = "x" * 1000
            codes = [r.get("code") for r in durable_harness.submit_many(daemon, jobs)]
            self.assertLessEqual(set(codes), {None, 202, 507, 503})
            refused += any(code in (507, 503) for code in codes)
            if refused == 5:
                break
        self.assertEqual(refused, 5)
        durable_harness.accounts(daemon.status()["ledger"])
        subprocess.run(["nsenter", "-t", str(daemon.pid), "-m", "mount", "-o",
                        "remount,size=100m", self.path("disk")], check=True)
        self.retry(daemon, "after")
        self.check_disk(daemon)

    def test_a_read_only_file_system(self):
        self.configure_disk()
        os.makedirs(self.path("disk"))
        daemon = self.daemon()
        self.submit(daemon, "before")
        daemon.await_status(lambda s: s["ledger"]["done"] == 1, "it is done")
        daemon.stop()
        daemon = self.launch(before=self.mounted("mount --bind disk disk; "
                                                 "mount -o remount,bind,ro disk"))
        ended = daemon.wait()
        self.assertIn(ended.code, (harness.CANNOT_CREATE, IO_ERROR))
        self.assertIn("Read-only file system", ended.err)
        daemon = self.daemon()
        self.submit(daemon, "after")
        ledger = daemon.await_status(lambda s: s["ledger"]["done"] == 2, "all is done")["ledger"]
        daemon.stop()
        durable_harness.prove(self.book, daemon.records("disk/" + LOG), ledger)


if __name__ == "__main__":
    harness.main()
