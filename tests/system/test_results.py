#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where results go: files, pipes, full disks, and readers that leave or do not read."""
import json
import os
import resource
import signal
import subprocess
import time
import unittest

import harness
from harness import CANNOT_CREATE, IO_ERROR, OK, UNFINISHED


def lines_of(text):
    """Its records; fails if one is torn or broken."""
    return harness.Ended(0, text, "", 0).records


class Files(harness.Case):
    def test_results_are_appended(self):
        path = self.path("results.jsonl")
        for n in 1, 2:
            ended = self.fetch("-o", path, stdin=self.urls("/ok/1", "/ok/2"))
            self.assertEqual(ended.out, "")
            self.assertEqual(len(lines_of(self.read("results.jsonl"))), 2 * n)

    def test_a_torn_last_line_is_ended_first(self):
        path = self.write("results.jsonl", '{"seq":1}\n{"seq":2,"id":"to')
        self.fetch("-o", path, stdin=self.urls("/ok"))
        first, torn, record, rest = self.read("results.jsonl").split("\n")
        self.assertEqual((first, torn, rest), ('{"seq":1}', '{"seq":2,"id":"to', ""))
        self.assertEqual(json.loads(record)["outcome"], "done")

    def test_a_redirected_standard_output_is_written_where_it_stands(self):
        for flags, before in ((os.O_APPEND, "kept\n"), (os.O_TRUNC, "")):
            path = self.write("out", "kept\n")
            out = os.open(path, os.O_WRONLY | flags)
            fetch = self.start(self.write("urls", self.urls("/ok")), stdout=out)
            self.assertEqual(fetch.wait().code, OK)
            os.close(out)
            text = self.read("out")
            self.assertTrue(text.startswith(before + '{"seq":1,'), text)

    def test_a_file_that_another_appends_to_is_refused(self):
        path = self.path("results.jsonl")
        read_end, write_end = os.pipe()
        first = self.start("-o", path, "-", stdin=read_end)
        os.close(read_end)
        os.write(write_end, self.urls("/ok").encode())
        harness.eventually(lambda: os.path.exists(path) and os.path.getsize(path) > 0, "a record")

        ended = self.fetch("-o", path, stdin=self.urls("/seen/refused"), code=CANNOT_CREATE)
        self.assertIn(f"{path}: another process appends to it", ended.err)
        self.assertEqual(self.origin.arrivals("/seen/refused"), [])

        os.close(write_end)
        self.assertEqual(first.wait().code, OK)
        self.fetch("-o", path, stdin=self.urls("/ok"))
        self.assertEqual(len(lines_of(self.read("results.jsonl"))), 2)

    def test_a_file_that_cannot_be_opened_is_named(self):
        for path, why in ((self.path("no/such/folder"), "No such file or directory"),
                          (self.dir, "Is a directory")):
            ended = self.fetch("-o", path, stdin=self.urls("/ok"), code=CANNOT_CREATE)
            self.assertIn(f"{path}: cannot be opened for results: {why}", ended.err)
        path = self.write("mine", "")
        os.chmod(path, 0o400)
        ended = self.fetch("-o", path, code=CANNOT_CREATE, preexec_fn=harness.obey_file_modes)
        self.assertIn(f"{path}: cannot be opened for results: Permission denied", ended.err)


class FullDisks(harness.Case):
    def check_stopped(self, ended, n, why):
        """The run ended with n records and for this reason, and fetched nothing twice."""
        self.assertIn(why, ended.err)
        self.assertRegex(ended.err, rf"\d+ jobs?: {n} done, 0 dead, \d+ not finished; [^;]+\n$")

    def test_a_full_device(self):
        text = self.urls(*(f"/ok/{i}" for i in range(100)))
        ended = self.fetch("-o", "/dev/full", stdin=text, code=IO_ERROR)
        self.check_stopped(ended, 0,
                           "/dev/full: results cannot be written: No space left on device")

    def test_a_full_standard_output(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            fetch = self.start(self.write("urls", self.urls("/ok")), stdout=full)
            ended = fetch.wait()
        self.assertEqual(ended.code, IO_ERROR)
        self.check_stopped(ended, 0,
                           "standard output: results cannot be written: No space left on device")

    def test_the_largest_size_that_a_file_may_have(self):
        path = self.path("results.jsonl")
        text = self.urls(*(f"/ok/{i}" for i in range(1000)))
        ended = self.fetch("-o", path, stdin=text, code=IO_ERROR,
                           preexec_fn=harness.limit(resource.RLIMIT_FSIZE, 50000))
        self.assertLessEqual(os.path.getsize(path), 50000)
        records = lines_of(self.read("results.jsonl"))
        self.check_numbering(records)
        self.check_stopped(ended, len(records),
                           f"{path}: results cannot be written: File too large")

    def test_a_full_file_system(self):
        script = 'mount -t tmpfs -o size=64k none "$1" || exit 99; ' \
                 'folder=$1; copy=$2; shift 2; "$@"; code=$?; ' \
                 'cp "$folder/results.jsonl" "$copy" && exit $code'
        folder, copy = self.path("disk"), self.path("copy")
        os.mkdir(folder)
        urls = self.write("urls", self.urls(*(f"/ok/{i}" for i in range(1000))))
        try:
            done = subprocess.run(
                ["unshare", "-m", "sh", "-c", script, "sh", folder, copy, harness.PENSTOCK, "fetch",
                 "-o", folder + "/results.jsonl", urls], capture_output=True, text=True,
                timeout=harness.PATIENCE, check=False, env=harness.environment())
        except FileNotFoundError as error:
            raise unittest.SkipTest("there is no unshare(1)") from error
        if done.returncode in (1, 99):
            raise unittest.SkipTest("file systems cannot be mounted here: " + done.stderr)

        self.assertEqual(done.returncode, IO_ERROR, done.stderr)
        ended = harness.Ended(done.returncode, "", done.stderr, 0)
        records = lines_of(self.read("copy"))
        self.assertGreater(len(records), 0)
        self.check_numbering(records)
        self.check_stopped(ended, len(records),
                           "results cannot be written: No space left on device")

    def test_what_cannot_be_recorded_is_not_made_again(self):
        notebook = self.server(harness.Notebook)
        job = json.dumps({"url": f"http://127.0.0.1:{notebook.port}/", "method": "POST"})
        for _ in range(5):
            notebook.requests.clear()
            self.fetch("-o", "/dev/full", stdin=job, code=IO_ERROR)
            self.assertEqual(len(notebook.requests), 1)


class Pipes(harness.Case):
    def start_with_pipe(self, *args):
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        fetch = self.start(*args, stdout=write_end)
        os.close(write_end)
        return fetch, read_end

    def test_a_reader_that_leaves_ends_the_run_quietly(self):
        path = self.write("urls", self.urls(*(f"/ok/{i}" for i in range(20000))))
        read_end, write_end = os.pipe()
        fetch = self.start(path, stdout=write_end)
        os.close(write_end)
        self.assertTrue(os.read(read_end, 16).startswith(b'{"seq":1,'))
        os.close(read_end)
        ended = fetch.wait()
        self.assertEqual((ended.code, ended.err), (UNFINISHED, ""))

    def test_a_reader_that_left_before_the_first_result_ends_the_run_quietly(self):
        read_end, write_end = os.pipe()
        os.close(read_end)
        fetch = self.start(self.write("urls", self.urls("/ok")), stdout=write_end)
        os.close(write_end)
        ended = fetch.wait()
        self.assertEqual((ended.code, ended.err), (UNFINISHED, ""))

    def start_unread(self, *args):
        """Starts with far more than a pipe holds, and waits until nothing moves any more."""
        n = 20000
        path = self.write("urls", self.urls(*(f"/ok/{i}" for i in range(n))))
        start = self.origin.requests("ok")
        fetch, read_end = self.start_with_pipe("-w", 8, "-q", 10, *args, path)
        before = -1
        while (now := self.origin.requests("ok")) == start or now != before:
            before = now
            time.sleep(0.3 * harness.SLOWNESS)
        return fetch, read_end, n

    def test_a_reader_that_does_not_read_holds_everything_up(self):
        before = self.origin.requests("ok")
        fetch, read_end, n = self.start_unread()
        # What the pipe and the recorder hold; a record has some 700 bytes.
        done = self.origin.requests("ok") - before
        self.assertLess(done, 5000)
        if not harness.SANITIZED:
            self.assertLess(fetch.status_kib("VmHWM"), 40 * 1024)

        # And it goes on once the reader reads.
        reader = harness.Reader(os.dup(read_end))
        ended = fetch.wait()
        reader.join()
        self.assertEqual(ended.code, OK)
        records = lines_of(reader.text)
        self.check_numbering(records)
        self.assertEqual(len(records), n)

    def test_two_signals_end_a_run_whose_reader_does_not_read(self):
        fetch, read_end, _ = self.start_unread("--set", "stop_timeout=1h")
        fetch.signal(signal.SIGINT)
        fetch.await_message("stopping")
        fetch.signal(signal.SIGINT)
        self.assertEqual(fetch.wait().code, UNFINISHED)

    def test_one_signal_and_the_stop_timeout_do_too(self):
        fetch, read_end, _ = self.start_unread("--set", "stop_timeout=100ms")
        fetch.signal(signal.SIGTERM)
        self.assertEqual(fetch.wait().code, UNFINISHED)


if __name__ == "__main__":
    harness.main()
