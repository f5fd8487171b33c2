#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`penstock audit`: books that balance, and books that were falsified in every way."""
import json
import os
import shutil
import signal
import sqlite3
import tempfile
import unittest

import daemon_harness
import harness
from harness import CONFIG, IO_ERROR, NO_INPUT, OK, SOME_FAILED, USAGE

FAR = "2099-01-01T00:00:00Z"
DONE, DEAD, CANCELLED, WAITING = 20, 5, 2, 3


class Case(daemon_harness.Case):
    durable = True

    def submit(self, lines, *args):
        ended = harness.run("submit", "--socket", self.path("control.sock"), *args, stdin=lines,
                            env=daemon_harness.environment())
        self.assertIn(ended.code, (OK, SOME_FAILED), ended.err)

    def audit(self, *args, code=OK, **options):
        args = args or ("-c", "penstock.conf")
        ended = harness.run("audit", *args, cwd=self.dir,
                            env=daemon_harness.environment(), **options)
        self.assertEqual(ended.code, code, ended.out + ended.err)
        return ended


class Books(Case):
    """Each test has its own copy of the files that a daemon has left."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.master = tempfile.mkdtemp(prefix="penstock-test-")
        cls.addClassCleanup(shutil.rmtree, cls.master)
        maker = cls("make")
        maker.dir = cls.master
        try:
            maker.make()
        finally:
            maker.doCleanups()

    def make(self):
        self.configure('retry: { max_attempts = 1; };')
        daemon = self.daemon()
        late = "".join(json.dumps({"url": self.origin.url("/ok"), "id": f"late-{i}",
                                   "not_before": FAR}) + "\n" for i in range(CANCELLED + WAITING))
        self.submit(self.jobs("/ok", [f"ok-{i}" for i in range(10)]), "--wait")
        self.submit(late)
        os.rename(self.path("results.jsonl"), self.path("results.jsonl.1"))
        daemon.signal(signal.SIGUSR1)
        harness.eventually(lambda: os.path.exists(self.path("results.jsonl")), "a new log")
        self.submit(self.urls(*["/ok"] * 10), "--wait")
        self.submit(self.jobs("/status/404", [f"dead-{i}" for i in range(DEAD)]), "--wait")
        for i in range(CANCELLED):
            answer = daemon_harness.get(daemon.socket, f"/v1/jobs/late-{i}", "DELETE")
            self.assertEqual(answer.status, 202, answer.body)
        settled = DONE + DEAD + CANCELLED
        daemon.await_status(lambda s: sum(s["ledger"][o] for o in ("done", "dead", "cancelled")) ==
                            settled, "all is settled")
        daemon.stop()

    def setUp(self):
        super().setUp()
        if self._testMethodName != "make":
            shutil.copytree(self.master, self.dir, dirs_exist_ok=True)

    def sql(self, text):
        database = sqlite3.connect(self.path("backlog.db"))
        with database:
            database.executescript(text)
        database.close()

    def lines(self, name):
        return self.read(name).splitlines(keepends=True)

    def change(self, name, change):
        """Gives the lines of a file to a function that changes the list."""
        lines = self.lines(name)
        change(lines)
        self.write(name, "".join(lines))

    def problems(self, *expected, args=()):
        """The audit finds exactly these, in any order."""
        ended = self.audit(*args, code=SOME_FAILED)
        found = [line for line in ended.out.splitlines()
                 if not line.startswith(("database  ", "log  ", "accepted  ", "NOT BALANCED"))]
        self.assertEqual(sorted(found), sorted(expected))
        self.assertIn(f"NOT BALANCED: {len(expected)} problem", ended.out)

    def test_it_balances_and_leaves_no_trace(self):
        before = sorted(os.listdir(self.dir))
        ended = self.audit()
        self.assertIn(f"accepted  30 = {DONE} done + {DEAD} dead + {CANCELLED} cancelled + "
                      f"{WAITING} waiting\n", ended.out)
        self.assertIn("27 records: seq 1 to 27; 27 of them compared with the database\n", ended.out)
        self.assertTrue(ended.out.endswith("\nbalanced\n"))
        self.assertEqual(sorted(os.listdir(self.dir)), before)
        self.assertEqual(self.audit("-c", "penstock.conf", "--quiet").out, "")

    def test_files_can_be_named(self):
        one, two = "results.jsonl", "results.jsonl.1"
        for logs in (one, two), (two, one), (one, one, two):
            args = [a for name in logs for a in ("--results", name)]
            self.audit("--database", "backlog.db", *args)
        ended = self.audit("--database", "backlog.db", "--results", one)
        self.assertIn("records before seq 11 are in none of these files", ended.out)

    def test_a_lost_line_is_named(self):
        self.change("results.jsonl.1", lambda lines: lines.pop(3))
        name = json.loads(self.lines("results.jsonl.1")[3])["id"]
        missing = ({f"ok-{i}" for i in range(10)} -
                   {json.loads(line)["id"] for line in self.lines("results.jsonl.1")}).pop()
        self.assertNotEqual(name, missing)
        self.problems(f"missing: seq 4 ({missing}): not in the log; the database has its record")

    def test_lost_lines_that_are_forgotten_are_numbered(self):
        self.sql("DELETE FROM settled WHERE seq <= 9")
        self.change("results.jsonl.1", lambda lines: lines.__delitem__(slice(3, 6)))
        self.problems("missing: seq 4 to 6: not in the log, and no longer in the database")

    def test_a_lost_end_and_a_lost_log(self):
        self.change("results.jsonl", lambda lines: lines.__delitem__(slice(-2, None)))
        self.problems(*[f"missing: seq {26 + i} (late-{i}): not in the log; the database has its "
                        "record" for i in range(CANCELLED)])
        os.unlink(self.path("results.jsonl"))
        os.unlink(self.path("results.jsonl.1"))
        ended = self.audit(code=SOME_FAILED)
        self.assertIn("results.jsonl: there is none", ended.out)
        self.assertIn("the log has no record at all; the last one is seq 27", ended.out)
        self.assertEqual(ended.out.count("not in the log; the database has its record"), 27)

    def test_a_record_that_comes_twice(self):
        self.change("results.jsonl", lambda lines: lines.insert(3, self.lines("results.jsonl.1")[4]))
        name = json.loads(self.lines("results.jsonl.1")[4])["id"]
        self.problems(f"results.jsonl:4: seq 5 ({name}): once more")

    def test_a_copy_of_a_whole_file(self):
        shutil.copy(self.path("results.jsonl"), self.path("results.jsonl-old"))
        ended = self.audit(code=SOME_FAILED)
        self.assertEqual(ended.out.count(": once more\n"), 17)

    def test_torn_lines(self):
        lines = self.lines("results.jsonl")
        self.write("results.jsonl", "".join(lines[:2]) + lines[2][:200] + "".join(lines[3:]))
        ended = self.audit(code=SOME_FAILED)
        self.assertIn("results.jsonl:3: torn or malformed: ", ended.out)
        for seq in 13, 14:
            self.assertIn(f"missing: seq {seq} (", ended.out)
        self.assertIn("NOT BALANCED: 3 problems", ended.out)
        self.write("results.jsonl", "".join(lines)[:-20])
        self.problems("results.jsonl:17: torn: the line has no end",
                      "missing: seq 27 (late-1): not in the log; the database has its record")

    def test_lines_that_are_no_records(self):
        bad = ["\n", "null\n", '{"id":"a","outcome":"done"}\n', '{"seq":0,"id":"a","outcome":"done"}\n',
               '{"seq":1,"outcome":"done"}\n', '{"seq":1,"id":"a","outcome":"lost"}\n']
        self.change("results.jsonl", lambda lines: lines.extend(bad))
        ended = self.audit(code=SOME_FAILED)
        for i, why in enumerate(["", "", "has no seq", "has no seq", "has no id",
                                 "has no outcome"]):
            self.assertIn(f"results.jsonl:{18 + i}: torn or malformed: {why}", ended.out)
        self.assertIn("NOT BALANCED: 6 problems", ended.out)

    def test_a_record_that_differs(self):
        lines = self.lines("results.jsonl")
        record = json.loads(lines[0])
        self.write("results.jsonl", "".join([lines[0].replace('"attempts":1', '"attempts":2')] +
                                            lines[1:]))
        self.problems(f"results.jsonl:1: seq 11 ({record['id']}): the database has another record")

    def test_a_row_that_is_not_its_record(self):
        self.sql("UPDATE settled SET id = 'other' WHERE seq = 3")
        self.problems("database: seq 3 (other): the row's id or outcome is not its record's")

    def test_a_record_that_the_database_does_not_know(self):
        line = self.lines("results.jsonl")[-1].replace('"seq":27', '"seq":28')
        self.change("results.jsonl", lambda lines: lines.append(line))
        self.problems("results.jsonl:18: seq 28 (late-1): the database's last is 27")

    def test_a_job_that_was_lost(self):
        self.sql("DELETE FROM job WHERE id = 'late-3'")
        self.problems("books: 30 jobs were accepted, but 1 are neither settled nor waiting",
                      "database: jobs number 14 to 14 (p-14 and so on, unless they had ids): "
                      "neither settled nor waiting")

    def test_a_settled_row_that_was_lost(self):
        self.sql("DELETE FROM settled WHERE seq IN (20, 21, 27)")
        ended = self.audit(code=SOME_FAILED)
        self.assertIn("database: seq 20 to 21: the rows are missing, though older ones", ended.out)
        self.assertIn("database: seq 27 to 27: the rows are missing, though older ones", ended.out)
        self.assertIn(f"books: {CANCELLED} jobs are cancelled, but the database has 1", ended.out)

    def test_forgotten_rows_are_no_problem(self):
        self.sql("DELETE FROM settled WHERE seq <= 20")
        self.assertIn("7 of them compared", self.audit().out)
        self.sql("DELETE FROM settled")
        self.assertIn("0 of them compared", self.audit().out)

    def test_a_job_that_is_settled_and_waits(self):
        self.sql("UPDATE job SET number = (SELECT number FROM settled WHERE seq = 25) "
                 "WHERE id = 'late-4'")
        ended = self.audit(code=SOME_FAILED)
        name = json.loads(self.lines("results.jsonl")[14])["id"]
        self.assertIn(f"database: seq 25 ({name}): the job is settled, and waits as well\n", ended.out)
        self.sql("DELETE FROM job WHERE id = 'late-4'; "
                 "UPDATE job SET id = 'ok-1' WHERE id = 'late-3'")
        ended = self.audit(code=SOME_FAILED)
        self.assertRegex(ended.out, r"database: seq \d+ \(ok-1\): the job is settled, and waits")

    def test_figures_that_are_wrong(self):
        self.sql("UPDATE state SET done = done + 1, dead = dead - 1")
        self.problems("books: 21 jobs are done, but the database has 20 of them",
                      "books: 4 jobs are dead, but the database has 5 of them",
                      "books: 21 jobs are done, but the log has 20 of them",
                      "books: 4 jobs are dead, but the log has 5 of them")
        self.sql("UPDATE state SET done = 20, dead = 5, accepted = 29")
        self.problems("books: 29 jobs were accepted, but 30 are settled or waiting")
        self.sql("UPDATE state SET accepted = 30, last_number = 29")
        self.problems("books: the last job is number 29, but there is a number 30")
        self.sql("UPDATE state SET last_number = 30, last_seq = 26")
        ended = self.audit(code=SOME_FAILED)
        self.assertIn("books: 27 jobs are settled, but the last record is number 26", ended.out)
        self.assertIn("books: the last record is number 26, but the database has a number 27",
                      ended.out)

    def test_compressed_files_are_named_and_not_read(self):
        os.rename(self.path("results.jsonl.1"), self.path("results.jsonl.1.gz"))
        self.write("results.jsonl.2", "")
        self.write("results.json", "not it\n")
        self.write("results.jsonlx", "not it\n")
        os.mkdir(self.path("results.jsonl.d"))
        ended = self.audit()
        self.assertIn("compressed, and not read: results.jsonl.1.gz\n", ended.out)
        self.assertIn("records before seq 11 are in none of these files", ended.out)

    def test_a_stream_has_no_log(self):
        self.configure('results: { path = "-"; };')
        self.assertIn("only the database is checked", self.audit().out)

    def test_what_cannot_be_read(self):
        self.audit("--database", "backlog.db", "--results", "missing", code=NO_INPUT)
        self.audit("--database", "missing", "--results", "results.jsonl", code=NO_INPUT)
        self.write("text", "no database\n" * 1000)
        ended = self.audit("--database", "text", "--results", "results.jsonl", code=IO_ERROR)
        self.assertIn("text: file is not a database", ended.err)
        self.sql("PRAGMA user_version = 99")
        self.assertIn("another version of penstock (schema 99", self.audit(code=IO_ERROR).err)
        self.sql("PRAGMA user_version = 1; PRAGMA application_id = 1")
        self.assertIn("not a backlog's database", self.audit(code=IO_ERROR).err)
        self.audit("-c", "missing.conf", code=CONFIG)
        self.write("penstock.conf", 'backlog: { type = "memory"; };')
        self.assertIn("there is no database", self.audit(code=CONFIG).err)
        for args in ["--nonsense"], ["argument"]:
            self.audit(*args, code=USAGE)

    def test_a_damaged_database_is_an_error(self):
        size = os.path.getsize(self.path("backlog.db"))
        with open(self.path("backlog.db"), "r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (size - 4096))
        self.assertIn("malformed", self.audit(code=IO_ERROR).err)


class Alive(Case):
    def test_the_books_balance_at_every_moment(self):
        self.configure("queue: { capacity = 50; };", workers=8)
        daemon = self.daemon()
        n = 3000
        submit = self.start("--socket", self.path("control.sock"), "--quiet", "--wait",
                            self.write("urls", self.urls(*["/ok"] * n)), command="submit",
                            env=daemon_harness.environment())
        audits = 0
        while submit.process.poll() is None:
            ended = self.audit()
            self.assertIn("penstockd works with it", ended.out)
            audits += 1
            os.rename(self.path("results.jsonl"), self.path(f"results.jsonl.{audits}"))
            daemon.signal(signal.SIGUSR1)
            harness.eventually(lambda: os.path.exists(self.path("results.jsonl")), "a new log")
        self.assertEqual(submit.wait().code, OK)
        self.assertGreater(audits, 2)
        self.assertIn(f"accepted  {n} = {n} done + 0 dead + 0 cancelled + 0 waiting",
                      self.audit().out)
        daemon.stop()
        self.assertIn(f"{n} records: seq 1 to {n}", self.audit().out)

    def test_the_books_of_a_killed_daemon_balance_after_its_next_start(self):
        self.configure(workers=8)
        daemon = self.daemon()
        submit = self.start("--socket", self.path("control.sock"), "--wait",
                            self.write("urls", self.urls(*["/ok"] * 2000)), command="submit",
                            env=daemon_harness.environment())
        daemon.await_records(300)
        daemon.kill()
        self.assertIn("accepted  ", harness.run("audit", "-c", "penstock.conf", cwd=self.dir,
                                                env=daemon_harness.environment()).out)
        daemon = self.daemon()
        ended = submit.wait()
        self.assertEqual(ended.code, OK, ended.err)
        self.assertIn("2000 accepted, 0 known, 0 refused; 2000 done", ended.err)
        self.audit()
        daemon.stop()
        self.assertIn("2000 records: seq 1 to 2000; 2000 of them compared", self.audit().out)


if __name__ == "__main__":
    harness.main()
