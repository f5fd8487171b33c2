#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where jobs come from: files, standard input, FIFOs, followed files, schedules; and JSON jobs."""
import json
import os
import signal
import time

import harness
from harness import NO_INPUT, OK, SOME_FAILED, UNFINISHED


class Sources(harness.Case):
    def test_a_file_is_fetched_to_its_end(self):
        path = self.write("urls.txt", self.urls("/ok/1", "/ok/2", "/ok/3"))
        records = self.fetch(path).records
        self.assertEqual({r["url"] for r in records},
                         {self.origin.url(f"/ok/{i}") for i in (1, 2, 3)})
        self.assertEqual({r["source"] for r in records}, {path})
        self.check_numbering(records)

    def test_a_record_tells_what_happened(self):
        record = self.fetch(stdin=self.urls("/bytes/1000")).records[0]
        self.assertEqual(
            {key: record[key] for key in (
                "seq", "id", "outcome", "reason", "method", "response_code", "http_version",
                "content_type", "remote_ip", "num_redirects", "size_download", "exitcode",
                "errormsg", "attempts", "source")},
            {"seq": 1, "id": "p-1", "outcome": "done", "reason": None, "method": "GET",
             "response_code": 200, "http_version": "1.1", "content_type": "text/plain",
             "remote_ip": "127.0.0.1", "num_redirects": 0, "size_download": 1000, "exitcode": 0,
             "errormsg": None, "attempts": 1, "source": "stdin"})
        self.assertLessEqual(record["accepted_at"], record["started_at"])
        self.assertLessEqual(record["started_at"], record["finished_at"])
        self.assertLessEqual(record["time_starttransfer"], record["time_total"])

    def test_standard_input_is_the_default_and_what_a_dash_names(self):
        for args in (), ("-",):
            ended = self.fetch(*args, stdin=self.urls("/ok"))
            self.assertEqual([r["source"] for r in ended.records], ["stdin"])

    def test_several_files_and_standard_input_are_read_together(self):
        one = self.write("one", self.urls("/ok/one"))
        two = self.write("two", self.urls("/ok/two").rstrip())  # no line ending
        records = self.fetch(one, "-", two, stdin=self.urls("/ok/stdin")).records
        self.assertEqual(sorted((r["source"], r["url"]) for r in records), sorted([
            (one, self.origin.url("/ok/one")), (two, self.origin.url("/ok/two")),
            ("stdin", self.origin.url("/ok/stdin"))]))

    def test_an_empty_input_is_no_failure(self):
        ended = self.fetch()
        self.assertEqual(ended.out, "")
        self.assertIn("0 jobs", ended.err)

    def test_a_fifo_is_read_until_its_late_writer_has_left(self):
        fifo = self.path("fifo")
        os.mkfifo(fifo)
        fetch = self.start(fifo)
        # Opening it for writing without a reader fails (ENXIO), so penstock is there then.
        writer = harness.eventually(lambda: open_writer(fifo), "penstock opens the FIFO")
        os.write(writer, self.urls("/ok/1").encode())
        fetch.await_records(1)
        os.write(writer, self.urls("/ok/2", "/ok/3").encode())
        fetch.await_records(3)
        self.assertIsNone(fetch.process.poll())
        os.close(writer)
        self.assertEqual(fetch.wait().code, OK)

    def test_results_come_while_the_input_is_still_open(self):
        read_end, write_end = os.pipe()
        fetch = self.start(stdin=read_end)
        os.close(read_end)
        os.write(write_end, self.urls("/ok").encode())
        fetch.await_records(1)
        self.assertIsNone(fetch.process.poll())
        os.close(write_end)
        self.assertEqual(fetch.wait().code, OK)

    def test_what_cannot_be_read_is_named_and_nothing_is_fetched(self):
        good = self.write("good", self.urls("/seen/input"))
        ended = self.fetch(good, self.path("missing"), self.dir, code=NO_INPUT)
        self.assertIn(f"{self.path('missing')}: cannot be read: No such file", ended.err)
        self.assertIn(f"{self.dir}: cannot be read: Is a directory", ended.err)
        self.assertEqual(self.origin.arrivals("/seen/input"), [])

    def test_a_file_without_permission_is_named(self):
        path = self.write("secret", "")
        os.chmod(path, 0)
        ended = self.fetch(path, code=NO_INPUT, preexec_fn=harness.obey_file_modes)
        self.assertIn(f"{path}: cannot be read: Permission denied", ended.err)


def open_writer(fifo):
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


class Following(harness.Case):
    def append(self, path, *paths):
        with open(path, "a", encoding="utf-8") as file:
            file.write(self.urls(*paths))

    def interrupt(self, fetch, n):
        """SIGINT is how it ends, as a followed file has no end."""
        fetch.signal()
        ended = fetch.wait()
        self.assertEqual(ended.code, UNFINISHED)
        self.assertEqual(len(ended.records), n)
        self.check_numbering(ended.records)

    def test_lines_are_fetched_as_they_are_appended(self):
        path = self.write("urls", self.urls("/ok/1"))
        fetch = self.start("--follow", path)
        fetch.await_records(1)
        for i in range(2, 5):
            self.append(path, f"/ok/{i}")
            self.assertEqual(fetch.await_records(i)[-1]["url"], self.origin.url(f"/ok/{i}"))
        self.interrupt(fetch, 4)

    def test_a_line_counts_once_it_is_whole(self):
        path = self.write("urls", "")
        fetch = self.start("--follow", path)
        line = self.urls("/ok/whole")
        with open(path, "a", encoding="utf-8", buffering=1) as file:
            file.write(line[:-7])
            file.flush()
            file.write(line[-7:] + self.urls("/ok/next"))
        self.assertEqual({r["url"] for r in fetch.await_records(2)},
                         {self.origin.url("/ok/whole"), self.origin.url("/ok/next")})
        self.interrupt(fetch, 2)

    def test_a_file_that_was_renamed_is_left_for_its_successor(self):
        path = self.write("urls", self.urls("/ok/old/1"))
        fetch = self.start("--follow", path)
        fetch.await_records(1)
        os.rename(path, path + ".1")
        self.append(path + ".1", "/ok/old/2")
        fetch.await_records(2)
        self.append(path, "/ok/new/1")
        fetch.await_records(3)
        self.append(path, "/ok/new/2")
        urls = {r["url"] for r in fetch.await_records(4)}
        self.assertEqual(urls, {self.origin.url(f"/ok/{age}/{i}")
                                for age in ("old", "new") for i in (1, 2)})
        self.interrupt(fetch, 4)

    def test_a_truncated_file_is_read_from_its_start(self):
        path = self.write("urls", self.urls("/ok/long/1", "/ok/long/2"))
        fetch = self.start("--follow", path)
        fetch.await_records(2)
        os.truncate(path, 0)
        # A file that has grown past the old end before it is looked at again cannot be
        # told from one that was appended to.
        self.write("urls", self.urls("/ok/new"))
        self.assertEqual(fetch.await_records(3)[-1]["url"], self.origin.url("/ok/new"))
        self.interrupt(fetch, 3)

    def test_a_file_that_is_not_there_yet_is_waited_for(self):
        fetch = self.start("--follow", self.path("late"))
        self.write("late", self.urls("/ok/late"))
        fetch.await_records(1)
        self.interrupt(fetch, 1)

    def test_a_followed_fifo_outlives_its_writers(self):
        fifo = self.path("fifo")
        os.mkfifo(fifo)
        fetch = self.start("--follow", fifo)
        for i in range(1, 4):
            with open(fifo, "w", encoding="utf-8") as writer:
                writer.write(self.urls(f"/ok/{i}"))
            fetch.await_records(i)
        self.interrupt(fetch, 3)


class Lines(harness.Case):
    def test_blank_lines_and_comments_are_no_jobs(self):
        text = "\n# a comment\n   \n\t# another\r\n  " + self.urls("/ok").rstrip() + " \r\n\n"
        ended = self.fetch(stdin=text)
        self.assertEqual(len(ended.records), 1)
        self.assertNotIn("skipped", ended.err)

    def test_bad_lines_are_named_by_file_and_line_counted_and_skipped(self):
        bad = {
            2: ("example.org/without-a-scheme", "not an absolute http or https URL"),
            3: ("ftp://127.0.0.1/x", "only http and https are fetched"),
            4: ("file:///etc/passwd", "only http and https are fetched"),
            5: ('{"url": "http://127.0.0.1/", "methd": "POST"}', 'unknown key "methd"'),
            6: ('{"method": "GET"}', '"url" is missing'),
            7: ('{"url": 1}', '"url" must be a string'),
            8: ('{"url": ', "not a JSON object"),
            9: ('{"url": "http://127.0.0.1/", "timeout": "5"}', '"timeout" must be a time'),
            10: ('{"url": "http://127.0.0.1/", "id": "p-1"}', '"id" must not begin with "p-"'),
            11: ("http://127.0.0.1:99999/", "ort"),
        }
        lines = [self.origin.url("/ok/1"), *(line for line, _ in bad.values()),
                 self.origin.url("/ok/2")]
        path = self.write("urls", "\n".join(lines) + "\n")
        # More than a few a second are only counted, so each is given its own run as well.
        ended = self.fetch(path, code=SOME_FAILED)
        self.assertEqual(len(ended.records), 2)
        self.assertIn("2 jobs: 2 done, 0 dead; 10 bad lines skipped", ended.err)
        for number, (line, why) in bad.items():
            with self.subTest(line):
                ended = self.fetch(self.write("one", "\n" * (number - 1) + line),
                                   code=SOME_FAILED)
                self.assertRegex(ended.err, rf"{self.path('one')}:{number}: skipped: .*{why}")
                self.assertIn("1 bad line skipped", ended.err)

    def test_a_line_that_is_too_long_is_skipped(self):
        text = "http://127.0.0.1/" + "x" * (1 << 20) + "\n" + self.urls("/ok")
        ended = self.fetch(stdin=text, code=SOME_FAILED)
        self.assertIn("stdin:1: skipped: line is longer than 1 MiB", ended.err)
        self.assertEqual(len(ended.records), 1)

    def test_many_bad_lines_do_not_flood_the_log(self):
        ended = self.fetch(stdin="bad\n" * 20000 + self.urls("/ok"), code=SOME_FAILED)
        self.assertIn("20000 bad lines skipped", ended.err)
        self.assertLess(ended.err.count("\n"), 2000)
        self.assertEqual(len(ended.records), 1)


class JsonJobs(harness.Case):
    def test_method_headers_and_body_arrive_and_id_and_meta_come_back(self):
        notebook = self.server(harness.Notebook)
        job = {"url": f"http://127.0.0.1:{notebook.port}/hook", "id": "order/17", "method": "POST",
               "headers": {"Content-Type": "application/json", "X-Empty": "",
                           "X-Token": "s: ecret"},
               "body": '{"n": 1, "text": "grün"}', "meta": {"list": [1, None, "x"]}}
        record = self.fetch(stdin=json.dumps(job)).records[0]
        method, path, headers, body = notebook.requests[0]
        self.assertEqual((method, path, body.decode()), ("POST", "/hook", job["body"]))
        self.assertEqual(headers["Content-Type"], "application/json")
        self.assertEqual(headers["X-Token"], "s: ecret")
        self.assertEqual(headers["X-Empty"], "")
        self.assertEqual((record["id"], record["meta"], record["method"]),
                         (job["id"], job["meta"], "POST"))
        self.assertEqual(len(notebook.requests), 1)

    def test_a_job_leaves_nothing_behind_for_the_next_on_its_connection(self):
        notebook = self.server(harness.Notebook)
        url = f"http://127.0.0.1:{notebook.port}"
        jobs = [{"url": url + "/1", "method": "PUT", "body": "x", "headers": {"X-Mine": "1"}},
                {"url": url + "/2"}, {"url": url + "/3", "method": "HEAD"}, {"url": url + "/4"},
                {"url": url + "/5", "method": "DELETE"}, {"url": url + "/6", "body": "implied"}]
        records = self.fetch("-w", 1, stdin="\n".join(map(json.dumps, jobs))).records
        self.assertEqual([r["outcome"] for r in records], ["done"] * 6)
        self.assertEqual([(method, path, body) for method, path, _, body in notebook.requests],
                         [("PUT", "/1", b"x"), ("GET", "/2", b""), ("HEAD", "/3", b""),
                          ("GET", "/4", b""), ("DELETE", "/5", b""), ("POST", "/6", b"implied")])
        for _, _, headers, _ in notebook.requests[1:]:
            self.assertNotIn("X-Mine", headers)
        self.assertEqual({headers["User-Agent"].split("/")[0]
                          for _, _, headers, _ in notebook.requests}, {"penstock"})

    def test_a_body_that_the_origin_echoes_is_counted(self):
        job = {"url": self.origin.url("/echo"), "method": "POST", "body": "x" * 5000}
        record = self.fetch(stdin=json.dumps(job)).records[0]
        self.assertGreater(record["size_download"], 5000)

    def test_unicode_stays_what_it_was(self):
        job = {"url": self.origin.url("/ok"), "id": "снег-\U0001f328",
               "meta": 'quote " back \\ line\n \u0001 \u2028 \U0001f328'}
        record = self.fetch(stdin=json.dumps(job)).records[0]
        self.assertEqual((record["id"], record["meta"]), (job["id"], job["meta"]))


class Configured(harness.Case):
    def test_sources_of_the_configuration_are_read(self):
        urls = self.write("urls", self.urls("/ok/file"))
        config = self.write("penstock.conf", f"""
            sources: ( {{ type = "file"; path = "{urls}"; }} );
            workers = 2;
        """)
        self.assertEqual([r["url"] for r in self.fetch("-c", config).records],
                         [self.origin.url("/ok/file")])

    def test_files_of_the_command_line_go_before_those_of_the_configuration(self):
        config = self.write("penstock.conf",
                            'sources: ( { type = "file"; path = "/does/not/exist"; } );')
        records = self.fetch("-c", config, "-", stdin=self.urls("/ok/given")).records
        self.assertEqual(len(records), 1)

    def test_a_schedule_fetches_in_rounds_until_it_is_stopped(self):
        config = self.write("penstock.conf", f"""
            sources: ( {{ type = "schedule"; every = "100ms";
                          urls = ( "{self.origin.url('/seen/tick')}",
                                   "{self.origin.url('/seen/tock')}" ); }} );
        """)
        start_ms = time.monotonic_ns() // 1000000  # by the origin's clock
        fetch = self.start("-c", config)
        for target in "/seen/tick", "/seen/tock":
            harness.eventually(lambda t=target: len(self.origin.arrivals(t)) >= 5, "five rounds")
        fetch.signal(signal.SIGINT)
        ended = fetch.wait()
        self.assertEqual(ended.code, UNFINISHED)
        # However late one may arrive, none is early.
        for n, at in enumerate(self.origin.arrivals("/seen/tick")):
            self.assertGreaterEqual(at - start_ms, n * 100)
        self.assertEqual({r["source"] for r in ended.records}, {"schedule"})
        self.check_numbering(ended.records)

    def test_a_schedule_and_a_file_run_side_by_side(self):
        urls = self.write("urls", self.urls(*(f"/ok/{i}" for i in range(20))))
        config = self.write("penstock.conf", f"""
            sources: ( {{ type = "file"; path = "{urls}"; }},
                       {{ type = "schedule"; every = "1h";
                          urls = ("{self.origin.url('/ok')}"); }} );
        """)
        fetch = self.start("-c", config)
        fetch.await_records(21)
        self.assertIsNone(fetch.process.poll())
        fetch.signal()
        self.assertEqual(fetch.wait().code, UNFINISHED)

    def test_settings_come_from_the_file_then_from_set_then_from_options(self):
        config = self.write("penstock.conf", "workers = 3; queue: { capacity = 7; };")
        shown = self.fetch("-c", config, "--set", "workers=5", "--check").out
        self.assertRegex(shown, r"workers = 5; +# --set")
        self.assertRegex(shown, rf"capacity = 7; +# {config}:1")


if __name__ == "__main__":
    harness.main()
