#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a person sees: help, errors, exit codes, --check, the progress line and the summary."""
import json
import os
import re
import resource

import harness
from harness import CONFIG, OK, SOME_FAILED, USAGE


class Usage(harness.Case):
    def check_run(self, code, *args):
        ended = harness.run(*args)
        self.assertEqual(ended.code, code, ended.err)
        return ended

    def test_help_goes_to_standard_output(self):
        for args in ("--help",), ("-h",), ("help",):
            ended = self.check_run(OK, *args)
            self.assertIn("Usage: penstock COMMAND", ended.out)
            self.assertIn("fetch", ended.out)
            self.assertEqual(ended.err, "")
        for args in ("fetch", "--help"), ("fetch", "-h"), ("help", "fetch"):
            ended = self.check_run(OK, *args)
            self.assertIn("Usage: penstock fetch", ended.out)
            self.assertEqual(ended.err, "")

    def test_every_option_is_in_the_help(self):
        text = self.check_run(OK, "fetch", "--help").out
        for option in ("-o, --output", "-w, --workers", "-q, --queue", "--timeout",
                       "--max-attempts", "--per-origin", "--rate", "--follow", "--quiet",
                       "-c, --config", "--set", "--check", "-h, --help"):
            self.assertIn(option, text)

    def test_the_version_names_the_libraries(self):
        for option in "--version", "-V":
            ended = self.check_run(OK, option)
            self.assertRegex(ended.out, r"^penstock \d+\.\d+\S* \(libcurl \d+\.\d+\S*, .+\)\n$")

    def test_wrong_usage_is_explained(self):
        self.assertIn("Usage: penstock COMMAND", self.check_run(USAGE).err)
        for args, message in (
                (("fetsh",), 'there is no command "fetsh"; see penstock --help'),
                (("fetch", "--bogus"), "penstock fetch: unrecognized option '--bogus'"),
                (("fetch", "-w"), "penstock fetch: option requires an argument -- 'w'"),
                (("fetch", "--quiet=yes"), "option '--quiet' doesn't allow an argument")):
            ended = self.check_run(USAGE, *args)
            self.assertIn(message, ended.err)
            self.assertIn("--help", ended.err)
            self.assertEqual(ended.out, "")

    def test_a_url_is_not_taken_for_a_file_of_urls(self):
        url = self.origin.url("/seen/argument")
        for command in ("fetch",), ("fetch", "--follow"), ("submit", "--socket", "none"):
            ended = self.check_run(USAGE, *command, url)
            self.assertIn(f"{url}: this is a URL, and no file of URLs: "
                          f"echo '{url}' | penstock {command[0]} -", ended.err)

    def test_a_terminal_is_not_taken_for_a_list_of_urls(self):
        terminal = self.terminal()
        fetch = self.start(stdin=terminal.slave)
        ended = fetch.wait()
        terminal.hang_up()
        self.assertEqual(ended.code, USAGE)
        self.assertIn("no URLs: name a FILE, or - for standard input", ended.err)

    def test_a_dash_reads_a_terminal_after_all(self):
        terminal = self.terminal()
        fetch = self.start("-", stdin=terminal.slave)
        os.write(terminal.master, self.urls("/ok").encode())
        fetch.await_records(1)
        os.write(terminal.master, b"\x04")  # the end, as a terminal has it
        self.assertEqual(fetch.wait().code, OK)
        terminal.hang_up()


class Settings(harness.Case):
    def refuse(self, *args, config=None):
        if config is not None:
            args = ("-c", self.write("penstock.conf", config), *args)
        ended = self.fetch(*args, code=CONFIG, stdin=self.urls("/seen/settings"))
        self.assertEqual(ended.out, "")
        self.assertEqual(self.origin.arrivals("/seen/settings"), [])
        return ended.err.replace(self.dir + "/", "")

    def test_an_unknown_key_is_refused_with_the_nearest_name(self):
        for config, message in (
                ("wrokers = 3;", "penstock.conf:1: wrokers: unknown key; did you mean workers?"),
                ("workers = 3;\nqueue: {\n  capacityy = 3;\n};",
                 "penstock.conf:3: queue.capacityy: unknown key; did you mean queue.capacity?"),
                ("results: { pth = \"x\"; };",
                 "penstock.conf:1: results.pth: unknown key; did you mean results.path?"),
                ('sources: ( { type = "file"; paht = "x"; } );',
                 "penstock.conf:1: sources[0].paht: unknown key; did you mean path?")):
            self.assertIn(message, self.refuse(config=config))
        self.assertIn("--set wrkers=3: unknown key; did you mean workers?",
                      self.refuse("--set", "wrkers=3"))

    def test_a_value_of_the_wrong_type_is_refused(self):
        for config, message in (
                ('workers = "3";',
                 "penstock.conf:1: workers: must be a whole number, not a string"),
                ("\n\nfetch: { timeout = 30; };",
                 'penstock.conf:3: fetch.timeout: 30 has no unit, write "30s" if it is seconds'),
                ("queue = 3;", "penstock.conf:1: queue: must be a group, not a whole number"),
                ("results: { path = 3; };",
                 "penstock.conf:1: results.path: must be a string, not a whole number"),
                ('sources: ( { type = "file"; path = "x"; follow = 1; } );',
                 "penstock.conf:1: sources[0].follow: must be true or false"),
                ('sources: ( { type = "fyle"; path = "x"; } );',
                 'sources[0].type: "fyle" is not known; give file, directory or schedule'),
                ('fetch: { success = ( 200 ); };',
                 "fetch.success[0]: must be a string, not a whole number; put it in quotes")):
            self.assertIn(message, self.refuse(config=config))

    def test_a_value_out_of_range_is_refused_with_the_range(self):
        self.assertIn("penstock.conf:1: workers: 0 is out of range; give 1 to 20000 threads",
                      self.refuse(config="workers = 0;"))
        self.assertIn("--set workers=20001: 20001 is out of range; give 1 to 20000 threads",
                      self.refuse("-w", 20001))
        self.assertIn("fetch.timeout", self.refuse("--timeout", "2d"))
        self.assertIn("penstock.conf:1: workers: ", self.refuse(config="workers = 5000000000;"))

    def test_bad_settings_of_the_command_line_are_refused(self):
        for args, message in (
                (("--set", "workers"), "--set workers: no value; write KEY=VALUE"),
                (("--set", "queue=3"), "--set queue=3: queue is a group; give one of its keys"),
                (("-w", "many"), "--set workers=many: must be a whole number; give 1 to 20000"),
                (("-q", "-1"), "--set queue.capacity=-1: must be a whole number"),
                (("--timeout", "5"), '--set fetch.timeout=5: "5" is not a time; give for example'),
                (("--set", "queue.max_bytes=9Q"), '"9Q" is not a size; give for example "64M"'),
                (("--set", "fetch.success=abc"), '"abc" is no status code'),
                (("--set", "retry.base=2s", "--set", "retry.max=1s"),
                 "retry.base: must not be longer than retry.max"),
                (("--set", "fetch.dns_servers=localhost"),
                 'fetch.dns_servers: "localhost" is no address'),
                (("--set", "guard.deny=private,10.0.0.0/33"),
                 '--set: guard.deny: "10.0.0.0/33": an IPv4 prefix has at most 32 bits'),
                (("--set", "guard.allow=localhost"),
                 '--set: guard.allow: "localhost": must be a network such as 10.0.0.0/8, ')):
            self.assertIn(message, self.refuse(*args))

    def test_a_syntax_error_is_given_with_its_line(self):
        err = self.refuse(config="workers = 3;\nqueue: {\n  capacity = = 3;\n};\n")
        self.assertIn("penstock.conf:3: syntax error; look at this line", err)
        err = self.refuse(config='results: {\n  path = "x;\n};\n')
        self.assertIn("penstock.conf:2: a string starts here and does not end", err)

    def test_all_mistakes_are_told_at_once(self):
        err = self.refuse("--set", "retry.max_attempts=0",
                          config="wrokers = 3;\nqueue: { capacity = 0; };")
        for part in "conf:1: wrokers", "conf:2: queue.capacity", "--set retry.max_attempts=0":
            self.assertIn(part, err)
        self.assertEqual(err.count("\n"), 3)

    def test_a_file_that_cannot_be_read_is_named(self):
        self.assertIn("missing.conf: cannot read it: No such file or directory; check the name",
                      self.refuse("-c", self.path("missing.conf")))
        ended = self.fetch("-c", self.dir, code=CONFIG)
        self.assertIn(f"{self.dir}: cannot read it: Is a directory; give a file", ended.err)

    def test_a_source_that_lacks_something_is_refused(self):
        for source, message in (('type = "file";', "sources[0]: a file source needs a path"),
                                ('type = "schedule"; urls = ("http://127.0.0.1/");',
                                 "sources[0]: a schedule needs every"),
                                ('type = "schedule"; every = "1s";',
                                 "sources[0]: a schedule needs urls")):
            self.assertIn(message, self.refuse(config=f"sources: ( {{ {source} }} );"))

    def test_too_few_descriptors_are_told_before_the_start(self):
        ended = self.fetch("-w", 500, code=CONFIG, stdin=self.urls("/ok"),
                           preexec_fn=harness.limit(resource.RLIMIT_NOFILE, 256))
        self.assertRegex(ended.err, r"need up to \d+ descriptors, the limit is 256: lower them or "
                                    r"raise it \(ulimit -n")
        self.assertEqual(ended.out, "")
        ended = self.fetch("-w", 4, "--set", "fetch.idle_connections=4", stdin=self.urls("/ok"),
                           preexec_fn=harness.limit(resource.RLIMIT_NOFILE, 256))

    def test_a_soft_limit_of_descriptors_is_raised(self):
        n = 100
        text = self.urls(*(f"/delay/0.5?{i}" for i in range(n)))
        ended = self.fetch("-w", n, "--max-attempts", 1, stdin=text,
                           preexec_fn=harness.limit(resource.RLIMIT_NOFILE, 64, 4096))
        self.assertEqual(len(ended.records), n)


class Check(harness.Case):
    def check(self, *args):
        ended = self.fetch("--check", *args)
        self.assertEqual(ended.err, "")
        return ended.out

    def test_it_shows_what_follows_from_the_settings(self):
        text = self.check("-w", 10, "-q", 7)
        self.assertRegex(text, r"(?m)^workers = 10; +# --set$")
        self.assertRegex(text, r"(?m)^ +timeout = \"30s\"; +# default$")
        limits = re.search(r"(?m)^# memory: at most ([\d.]+) MiB\n"
                           r"# .*: MemoryHigh=(\d+)M MemoryMax=(\d+)M$", text).groups()
        ceiling, high, maximum = map(float, limits)
        self.assertTrue(ceiling < high < maximum, limits)
        self.assertIn("\n# backlog: at most 70 jobs\n", text)
        descriptors = [int(re.search(r"descriptors: at most (\d+)\n", self.check("-w", n))[1])
                       for n in (1, 1000)]
        self.assertGreaterEqual(descriptors[1] - descriptors[0], 999)

    def test_a_list_has_no_limits_for_origins_but_those_that_are_given(self):
        text = self.check()
        self.assertRegex(text, r"(?m)^ +concurrency = 0; +# default$")
        self.assertRegex(text, r"(?m)^ +rate = \"0\"; +# default$")
        self.assertRegex(text, r"(?m)^ +breaker = 0; +# default$")
        text = self.check("--per-origin", 3, "--rate", "100/m")
        self.assertRegex(text, r"(?m)^ +concurrency = 3; +# --set$")
        self.assertRegex(text, r"(?m)^ +rate = \"100/m\"; +# --set$")
        ended = self.fetch("--check", "--rate", "5", code=CONFIG)
        self.assertIn('origins[*].rate=5: "5" is not a rate; give for example "5/s"', ended.err)

    def test_it_can_be_read_again_as_a_configuration(self):
        config = self.write("one.conf", r"""
            workers = 17;
            queue: { capacity = 31; max_bytes = "5000001"; };
            fetch: { timeout = "1500ms"; user_agent = "a \"quoted\" \\ agent\x01 ä";
                     success = ("200", "404"); dns_servers = ("127.0.0.1:5353"); };
            sources: ( { type = "schedule"; every = "90s"; urls = ("http://127.0.0.1/"); },
                       { type = "file"; path = "x y"; follow = true; } );
        """)
        first = self.check("-c", config, "--set", "retry.base=1ms")
        second = self.check("-c", self.write("two.conf", first))
        third = self.check("-c", self.write("three.conf", second))

        def values(text):
            return [re.sub(r"\s*# (default|--set|/\S+:\d+)$", "", line)
                    for line in text.splitlines()]
        self.assertEqual(values(first), values(second))
        self.assertEqual(values(second), values(third))
        self.assertIn("workers = 17;", values(first))

    def test_it_fetches_nothing_and_needs_no_input(self):
        self.check(self.path("missing"), "-o", self.path("results"))
        self.assertFalse(os.path.exists(self.path("results")))

    def test_it_finds_mistakes(self):
        self.fetch("--check", "--set", "wrkers=3", code=CONFIG)


class Progress(harness.Case):
    def fetch_on_terminal(self, *args, n=30, columns=200, extra=""):
        terminal = self.terminal(columns=columns)
        path = self.write("urls", self.urls(*(f"/delay/0.1?{i}" for i in range(n))) + extra)
        fetch = self.start("-w", 2, "-q", 5, *args, path, stderr=terminal.slave)
        ended = fetch.wait()
        return ended, terminal.hang_up()

    def test_the_line_shows_count_rate_queue_and_time_left(self):
        ended, screen = self.fetch_on_terminal()
        self.assertEqual((ended.code, len(ended.records)), (OK, 30))
        shown = screen.split("\r\x1b[K")
        self.assertRegex("\n".join(shown),
                         r"\n\d+/30 done  \d+/s  [\d.]+ (Ki)?B/s  queue [0-5]/5  failed 0  ETA \d")
        # It is wiped before the summary, which stays.
        self.assertRegex(shown[-1], r"^penstock: 30 jobs: 30 done, 0 dead; .* in .*s, \d+/s\r\n$")

    def test_the_line_fits_the_terminal(self):
        _, screen = self.fetch_on_terminal(columns=24)
        drawn = [line for line in screen.split("\r\x1b[K")[1:] if not line.startswith("penstock")]
        self.assertGreater(len(drawn), 1)
        self.assertLessEqual(max(map(len, drawn)), 23)

    def test_messages_do_not_mix_with_the_line(self):
        read_end, write_end = os.pipe()
        terminal = self.terminal()
        fetch = self.start("-", stdin=read_end, stderr=terminal.slave)
        os.close(read_end)
        harness.eventually(lambda: " done" in terminal.screen.text, "a progress line")
        os.write(write_end, b"bad\n")
        harness.eventually(lambda: "skipped" in terminal.screen.text, "a warning")
        os.close(write_end)
        self.assertEqual(fetch.wait().code, SOME_FAILED)
        self.assertIn("\r\x1b[Kpenstock: warning: stdin:1: skipped", terminal.hang_up())

    def test_quiet_shows_neither_line_nor_summary(self):
        ended, screen = self.fetch_on_terminal("--quiet", n=10)
        self.assertEqual((ended.code, screen), (OK, ""))
        ended, screen = self.fetch_on_terminal("-s", n=2, extra="bad\n")
        self.assertEqual(ended.code, SOME_FAILED)
        self.assertRegex(screen, r"^penstock: warning: .*:3: skipped: .*\r\n$")

    def test_there_is_no_line_where_nobody_sees_it(self):
        ended = self.fetch("-w", 2, stdin=self.urls(*(f"/delay/0.2?{i}" for i in range(6))))
        self.assertNotIn("\r", ended.err)
        self.assertNotIn("\x1b", ended.err)
        self.assertEqual(ended.err.count("\n"), 1)
        self.assertRegex(ended.err,
                         r"^penstock: 6 jobs: 6 done, 0 dead; 768 B in [\d.]+m?s, \d+/s\n$")

    def test_results_on_the_same_terminal_are_not_mixed_with_it(self):
        terminal = self.terminal()
        path = self.write("urls", self.urls(*(f"/delay/0.1?{i}" for i in range(10))))
        fetch = self.start("-w", 1, path, stdout=terminal.slave, stderr=terminal.slave)
        self.assertEqual(fetch.wait().code, OK)
        *records, summary, end = terminal.hang_up().split("\r\n")
        self.check_numbering([json.loads(line) for line in records])
        self.assertEqual((len(records), end), (10, ""))
        self.assertTrue(summary.startswith("penstock: 10 jobs: 10 done, 0 dead; "), summary)


if __name__ == "__main__":
    harness.main()
