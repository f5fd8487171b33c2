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
        daemon.await_records(10)  # they are settled before they are in the log
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
        self.problems("missing: seq 4 to 6, 3 records: not in the log, and no longer in the "
                      "database")

    def test_lost_lines_are_named_as_ranges(self):
        lines = self.lines("results.jsonl")
        first = json.loads(lines[0])["seq"]
        names = [json.loads(line)["id"] for line in lines[2:8]]
        self.change("results.jsonl", lambda lines: lines.__delitem__(slice(2, 8)))
        self.problems(f"missing: seq {first + 2} to {first + 7}, 6 records (ids {names[0]}, "
                      f"{names[1]}, {names[2]}, …): not in the log; the database has them")
        self.sql(f"DELETE FROM settled WHERE seq <= {first + 4}")
        self.problems(f"missing: seq {first + 2} to {first + 4}, 3 records: not in the log, and no "
                      "longer in the database",
                      f"missing: seq {first + 5} to {first + 7}, 3 records (ids {names[3]}, "
                      f"{names[4]}, {names[5]}): not in the log; the database has them")

    def widen(self, seqs):
        """Gives the books a log of `seqs`, of 100 records, which the database has forgotten."""
        last = 100
        self.sql(f"DELETE FROM settled; UPDATE state SET done = {last}, dead = 0, cancelled = 0, "
                 f"accepted = {last + WAITING}, last_number = {last + WAITING}, last_seq = {last}, "
                 f"mark_seq = {last}")
        self.write("results.jsonl.1", "")
        self.write("results.jsonl", "".join(f'{{"seq":{n},"id":"a","outcome":"done"}}\n'
                                            for n in seqs))

    def test_a_long_list_ends_with_a_count(self):
        gaps = [n for n in range(2, 90) if n % 4 > 1]  # 22 gaps of two records each
        self.widen(n for n in range(1, 101) if n not in gaps)
        ended = self.audit(code=SOME_FAILED)
        self.assertEqual(ended.out.count("missing: seq "), 20)
        self.assertIn("and 4 more missing records\n", ended.out)
        self.assertIn("NOT BALANCED: 22 problems", ended.out)
        self.widen([*range(1, 101), *range(1, 90, 2)])
        ended = self.audit(code=SOME_FAILED)
        self.assertEqual(ended.out.count(": once more\n"), 20)
        self.assertIn("and 25 more records that come twice\n", ended.out)

    def test_a_lost_end_and_a_lost_log(self):
        self.change("results.jsonl", lambda lines: lines.__delitem__(slice(-2, None)))
        self.problems("missing: seq 26 to 27, 2 records (ids late-0, late-1): not in the log; the "
                      "database has them")
        os.unlink(self.path("results.jsonl"))
        os.unlink(self.path("results.jsonl.1"))
        ended = self.audit(code=SOME_FAILED)
        self.assertIn("results.jsonl: there is no such file", ended.out)
        self.assertIn("results.jsonl: there is no such file, and no rotated one, results.jsonl.* "
                      "or results.jsonl-*\n", ended.err)
        self.assertIn("the log has no record at all; the last one is seq 27", ended.out)
        self.assertRegex(ended.out, r"missing: seq 1 to 27, 27 records \(ids .*, …\): not in the log"
                                    "; the database has them\n")

    # --- what a daemon that was killed has left ---

    def cut_short(self, n, torn=0, marked=0):
        """The daemon was killed before it had written the last `n` records, and of the first of
        these the last bytes but `torn`; `marked` more lines are promised to be in the log."""
        shutil.copy(os.path.join(self.master, "results.jsonl"), self.dir)
        lines = self.lines("results.jsonl")
        size = sum(len(line.encode()) for line in lines[:len(lines) - n - 1 + marked])
        with open(self.path("results.jsonl"), "r+b") as file:
            file.truncate(sum(len(line.encode()) for line in lines[:len(lines) - n]) + torn)
        stat = os.stat(self.path("results.jsonl"))
        self.sql(f"UPDATE state SET mark_seq = {27 - n - 1 + marked}, "
                 f"mark_text = 'file {stat.st_dev} {stat.st_ino} {size}'")

    def check_completed(self):
        """The next start makes it whole."""
        before = self.read("results.jsonl")
        daemon = self.daemon()
        daemon.stop()
        self.assertTrue(self.read("results.jsonl").startswith(before))
        self.assertIn("27 records: seq 1 to 27; 27 of them compared", self.audit().out)

    def test_records_that_the_next_start_writes_are_no_fault(self):
        for n, text in (1, "1 record, seq 27, is in the database only; the next start of penstockd "
                           "appends it to the log\n"), \
                       (4, "4 records, seq 24 to 27, are in the database only; the next start of "
                           "penstockd appends them to the log\n"):
            with self.subTest(n=n):
                self.cut_short(n)
                ended = self.audit()
                self.assertIn(text, ended.out)
                self.assertIn(f"{27 - n} records: seq 1 to {27 - n}; ", ended.out)
                self.assertTrue(ended.out.endswith("\nbalanced\n"))
                self.assertEqual(self.audit("-c", "penstock.conf", "--quiet").out, "")
                self.check_completed()

    def test_a_torn_line_that_the_next_start_completes_is_no_fault(self):
        for torn in 1, 5, 200, len(self.lines("results.jsonl")[-3].encode()) - 1:
            with self.subTest(torn=torn):
                self.cut_short(3, torn=torn)
                ended = self.audit()
                self.assertIn("3 records, seq 25 to 27, are in the database only", ended.out)
                self.assertIn("results.jsonl:15: the beginning of seq 25, which that start "
                              "completes", ended.out)
                self.check_completed()

    def test_a_torn_line_that_is_not_the_next_one_is_a_fault(self):
        self.cut_short(3, torn=100)
        with open(self.path("results.jsonl"), "r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\0")
        self.problems("results.jsonl:15: torn: the line has no end")
        self.cut_short(3)
        self.change("results.jsonl.1", lambda lines: lines.append('{"seq":25'))
        self.problems("results.jsonl.1:11: torn: the line has no end")

    def test_a_log_that_was_not_begun_is_no_fault_before_the_first_mark(self):
        os.unlink(self.path("results.jsonl"))
        os.unlink(self.path("results.jsonl.1"))
        self.sql("UPDATE state SET mark_seq = 0, mark_text = ''")
        self.assertIn("27 records, seq 1 to 27, are in the database only", self.audit().out)
        self.write("results.jsonl", '{"seq":1,')
        self.assertIn("results.jsonl:1: the beginning of seq 1, which", self.audit().out)

    def test_records_that_were_promised_are_missed(self):
        self.cut_short(4, marked=3)
        ended = self.audit(code=SOME_FAILED)
        self.assertIn("missing: seq 24 to 25, 2 records (ids ", ended.out)
        self.assertIn("2 records, seq 26 to 27, are in the database only", ended.out)
        self.assertIn("NOT BALANCED: 1 problem\n", ended.out)

    def test_records_that_are_missing_elsewhere_are_a_fault(self):
        self.cut_short(2)
        self.change("results.jsonl", lambda lines: lines.pop(5))
        self.sql("UPDATE state SET mark_seq = 10")
        ended = self.audit(code=SOME_FAILED)
        self.assertIn("missing: seq 16 (", ended.out)
        self.assertIn("2 records, seq 26 to 27, are in the database only", ended.out)
        self.assertIn("NOT BALANCED: 1 problem\n", ended.out)

    def test_what_the_next_start_cannot_write_is_a_fault(self):
        self.cut_short(4)
        self.sql("DELETE FROM settled WHERE seq = 26")
        ended = self.audit(code=SOME_FAILED)
        self.assertIn("2 records, seq 24 to 25, are in the database only", ended.out)
        self.assertIn("missing: seq 26: not in the log, and no longer in the database", ended.out)
        self.assertIn("missing: seq 27 (late-1): not in the log; the database has", ended.out)

    def test_rows_that_the_next_start_would_write_are_checked(self):
        self.cut_short(4)
        self.sql("UPDATE settled SET id = 'other' WHERE seq = 27; "
                 "UPDATE settled SET line = x'6e6f' WHERE seq = 26; "
                 "UPDATE settled SET line = (SELECT line FROM settled WHERE seq = 27) "
                 "WHERE seq = 25")
        ended = self.audit(code=SOME_FAILED)
        self.assertIn("database: seq 27 (other): the row's id or outcome is not its record's",
                      ended.out)
        for seq in 25, 26:
            self.assertRegex(ended.out, rf"database: seq {seq} \(.*\): the row has no record with")
        self.assertIn("NOT BALANCED: 3 problems", ended.out)

    def test_a_record_that_comes_twice(self):
        self.change("results.jsonl", lambda lines: lines.insert(3, self.lines("results.jsonl.1")[4]))
        name = json.loads(self.lines("results.jsonl.1")[4])["id"]
        self.problems(f"results.jsonl:4: seq 5 ({name}): once more")

    def test_a_copy_of_a_whole_file(self):
        shutil.copy(self.path("results.jsonl"), self.path("results.jsonl-old"))
        ended = self.audit(code=SOME_FAILED)
        names = [json.loads(line)["id"] for line in self.lines("results.jsonl")[:3]]
        self.assertRegex(ended.out, rf"results.jsonl(-old)?:1 to 17: seq 11 to 27, 17 records "
                                    rf"\(ids {', '.join(names)}, …\): once more\n")
        self.assertIn("NOT BALANCED: 1 problem\n", ended.out)

    def test_torn_lines(self):
        lines = self.lines("results.jsonl")
        self.write("results.jsonl", "".join(lines[:2]) + lines[2][:200] + "".join(lines[3:]))
        ended = self.audit(code=SOME_FAILED)
        self.assertIn("results.jsonl:3: torn or malformed: ", ended.out)
        self.assertIn("missing: seq 13 to 14, 2 records (ids ", ended.out)
        self.assertIn("NOT BALANCED: 2 problems", ended.out)
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

    def test_a_directory_or_standard_input_is_no_file(self):
        os.mkdir(self.path("folder"))
        for args in ("--database", "backlog.db", "--results", "folder"), \
                ("--database", "folder", "--results", "results.jsonl"):
            ended = self.audit(*args, code=IO_ERROR)
            self.assertIn("error: folder: is a directory; name ", ended.err)
        ended = self.audit("--results", "-", code=USAGE)
        self.assertIn("--results -: standard input cannot be read; name the file", ended.err)
        self.configure('results: { path = "folder"; };')
        self.assertIn("error: folder: is a directory; name ", self.audit(code=IO_ERROR).err)

    def test_a_damaged_database_is_an_error(self):
        size = os.path.getsize(self.path("backlog.db"))
        with open(self.path("backlog.db"), "r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (size - 4096))
        self.assertIn("malformed", self.audit(code=IO_ERROR).err)


class Alive(Case):
    def test_it_says_at_once_that_it_waits_for_a_log(self):
        self.configure()
        daemon = self.daemon()
        self.submit(self.urls("/ok"), "--wait")
        daemon.await_records(1)
        os.rename(self.path("results.jsonl"), self.path("elsewhere"))
        audit = self.start("-c", "penstock.conf", command="audit", cwd=self.dir,
                           env=daemon_harness.environment())
        audit.await_message("results.jsonl: there is no such file, and no rotated one")
        self.assertIn("; waiting up to 10 s for penstockd to write there", audit.err.text)
        os.rename(self.path("elsewhere"), self.path("results.jsonl"))
        self.assertEqual(audit.wait().code, OK)

    def test_it_says_what_record_it_waits_for(self):
        self.configure()
        daemon = self.daemon()
        self.submit(self.urls("/ok", "/ok"), "--wait")
        daemon.await_records(2)
        text = self.read("results.jsonl")
        self.write("results.jsonl", text.splitlines(keepends=True)[0])
        audit = self.start("-c", "penstock.conf", command="audit", cwd=self.dir,
                           env=daemon_harness.environment())
        audit.await_message("waiting up to 10 s for penstockd to write its records, up to seq 2")
        self.write("results.jsonl", text)
        self.assertEqual(audit.wait().code, OK)

    def test_the_books_balance_at_every_moment(self):
        self.configure("queue: { capacity = 50; };", workers=8)
        daemon = self.daemon()
        n = 3000
        submit = self.start("--socket", self.path("control.sock"), "--quiet", "--wait",
                            self.write("urls", self.urls(*["/ok"] * n)), command="submit",
                            env=daemon_harness.environment())
        audits = 0
        while submit.process.poll() is None or audits < 3:
            ended = self.audit()
            self.assertIn("penstockd works with it", ended.out)
            audits += 1
            os.rename(self.path("results.jsonl"), self.path(f"results.jsonl.{audits}"))
            daemon.signal(signal.SIGUSR1)
            harness.eventually(lambda: os.path.exists(self.path("results.jsonl")), "a new log")
        self.assertEqual(submit.wait().code, OK)
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
        self.assertTrue(self.audit().out.endswith("\nbalanced\n"))
        daemon = self.daemon()
        ended = submit.wait()
        self.assertEqual(ended.code, OK, ended.err)
        self.assertIn("2000 accepted, 0 known, 0 refused; 2000 done", ended.err)
        self.audit()
        daemon.stop()
        self.assertIn("2000 records: seq 1 to 2000; 2000 of them compared", self.audit().out)


if __name__ == "__main__":
    harness.main()
