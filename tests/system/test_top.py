#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""penstock top, as a person sees it: in a terminal of tmux, against penstockd and against a
stub."""
import contextlib
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

import daemon_harness
import harness
from durable_harness import request
from harness import OK, UNAVAILABLE, USAGE
from stub_daemon import StubDaemon

SHELL = "sh"  # with job control, as it has a terminal
GONE = "THE DAEMON HAS GONE"
LAST = "^q quit"  # the last line: all others have been drawn


class Tmux:
    """A tmux server of its own, with one window where a shell runs in `directory`."""

    numbers = itertools.count()

    def __init__(self, directory, columns=80, rows=24, **variables):
        self.directory = directory
        self.socket = f"tmux-{next(Tmux.numbers)}.sock"  # another may still be ending
        self.env = daemon_harness.environment(
            **{"LC_ALL": "C.UTF-8", "ENV": "", "HISTFILE": "", **variables})
        self.env.pop("TMUX", None)
        if "NO_COLOR" not in variables:
            self.env.pop("NO_COLOR", None)
        self.call("new-session", "-d", "-x", str(columns), "-y", str(rows), SHELL)
        self.shell = int(self.call("list-panes", "-F", "#{pane_pid}"))

    def call(self, *words):
        done = subprocess.run(["tmux", "-u", "-S", self.socket, "-f", "/dev/null", *words],
                              cwd=self.directory, env=self.env, capture_output=True, check=True,
                              timeout=harness.PATIENCE)
        return done.stdout.decode()

    def stop(self):
        """A hang-up kills what a sanitizer looks for leaks with, and it then never ends; so what
        still runs is killed."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for pid in self.children():
                os.kill(int(pid), signal.SIGKILL)
        self.call("kill-server")
        harness.eventually(self.has_ended, "the shell ends")

    def has_ended(self):
        """The shell, whether somebody has buried it or not."""
        try:
            with open(f"/proc/{self.shell}/stat", encoding="utf-8") as stat:
                return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    # --- what is seen

    def screen(self, *options):
        return self.call("capture-pane", "-p", *options).splitlines()

    def is_full(self):
        """Whether a program has the screen, and the shell's is out of sight."""
        return self.call("display-message", "-p", "#{alternate_on}") == "1\n"

    def await_text(self, *patterns, absent=None):
        """Waits for a screen where each of the patterns is in a line, and one is not; returns
        it."""
        seen = []

        def shows():
            seen[:] = self.screen()
            text = "\n".join(seen)
            return all(re.search(p, text, re.M) for p in patterns) and \
                not (absent and re.search(absent, text, re.M))
        try:
            harness.eventually(shows, f"{patterns} on the screen, without {absent}")
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *seen])) from None
        return seen

    # --- what is done

    def press(self, *keys):
        self.call("send-keys", *keys)

    def type(self, line):
        self.call("send-keys", "-l", line)
        self.press("Enter")

    def resize(self, columns, rows):
        self.call("resize-window", "-x", str(columns), "-y", str(rows))

    def begin(self, *args):
        """Types `penstock top ARGS`, between two looks at the terminal's modes."""
        words = " ".join(map(shlex.quote, [os.path.abspath(harness.PENSTOCK), "top", *args]))
        self.type(f"stty -g >before; {words} 2>err; echo code $?; stty -g >after")

    def children(self):
        with open(f"/proc/{self.shell}/task/{self.shell}/children", encoding="ascii") as file:
            return file.read().split()

    def pid(self):
        """Of penstock."""
        return int(harness.eventually(self.children, "penstock runs")[0])


class Case(daemon_harness.Case):
    def tmux(self, *size, **variables):
        return self.server(Tmux, self.dir, *size, **variables)

    def begin(self, tmux, *args):
        tmux.begin("--socket", "control.sock", "--interval", "0.1", *args)
        return tmux.await_text("^penstockd .*: ", "^LANES")

    def check_restored(self, tmux, code=OK):
        """Penstock has ended; the terminal and what was on it is as it was."""
        screen = tmux.await_text(rf"code {code}$")
        harness.eventually(lambda: os.path.exists(self.path("after")) and self.read("after"),
                           "stty has looked")
        self.assertFalse(tmux.is_full())
        self.assertEqual(self.read("after"), self.read("before"))
        self.assertTrue("stty -g >before" in screen[0], screen)


# --- against penstockd ----------------------------------------------------------------------


class Top(Case):
    """Three lanes, all paused: so nothing moves by itself."""

    DEEP, OLD, THIRD = "http://127.0.0.1:9", "http://127.0.0.1:1", "http://127.0.0.1:7"

    def paused_daemon(self):
        self.configure("queue: { capacity = 40; };", "backlog: { max_jobs = 500; };",
                       sources=[self.follow("urls"), self.follow("more")], workers=3)
        self.write("urls", "")
        self.write("more", "")
        daemon = self.daemon()
        self.order(daemon, "pause")
        for origin, n in (self.OLD, 2), (self.THIRD, 1), (self.DEEP, 3):
            for i in range(n):
                answer = request(daemon.socket, "POST", "/v1/jobs",
                                 json.dumps({"url": f"{origin}/{i}"}))
                self.assertEqual(answer.status, 202, answer.body)
        return daemon

    def order(self, daemon, lever):
        self.assertEqual(request(daemon.socket, "POST", "/v1/control/" + lever, "{}").status, 200)

    def origins(self, screen):
        """Of the lanes, from above."""
        return [line.split()[0] for line in screen if line.startswith("http://")]

    def paused_lanes(self, daemon):
        lanes = daemon.get("/v1/lanes").json["lanes"]
        return sorted(lane["origin"] for lane in lanes if lane["state"] == "paused")

    def test_it_shows_what_there_is_in_80_columns(self):
        self.paused_daemon()
        tmux = self.tmux()
        screen = self.begin(tmux)
        screen = tmux.await_text("^accepted  6 = 6 waiting", "^waiting   6 paused", "[▁-█] 0 of 40$",
                                 LAST)
        self.assertEqual(len(screen), 24)
        self.assertRegex(screen[0], r"^penstockd \S+: running, all paused, up \S+, process \d+$")
        self.assertTrue(any(re.fullmatch(r"workers   0 busy, 3 idle; 0 results pending", line)
                            for line in screen), screen)
        self.assertTrue(any(re.fullmatch(r"SOURCES, 2 +JOBS +BAD +BLOCKED +NOW", line)
                            for line in screen), screen)
        self.assertTrue(any(re.fullmatch(r"urls +0 +0 +0s +0 %", line) for line in screen), screen)
        self.assertTrue(any(re.fullmatch(rf"{self.DEEP} +3 +0/\d+ +\S+ +- paused", line)
                            for line in screen), screen)
        self.assertTrue(screen[23].startswith("q quit  h help  s sort: depth"), screen)
        tmux.press("h")
        tmux.await_text("^Keys of penstock top$")
        tmux.press("x")
        tmux.await_text("^LANES", absent="^Keys of")
        tmux.press("w")
        tmux.await_text("w last 10 m")

    def test_keys_sort_select_pause_and_resume(self):
        daemon = self.paused_daemon()
        tmux = self.tmux()
        self.begin(tmux)
        screen = tmux.await_text(f"^{self.THIRD} ", LAST)
        self.assertEqual(self.origins(screen), [self.DEEP, self.OLD, self.THIRD])
        tmux.press("s")
        screen = tmux.await_text("s sort: wait")
        self.assertEqual(self.origins(screen), [self.OLD, self.THIRD, self.DEEP])
        tmux.press("p")
        tmux.await_text("^select a lane first")
        tmux.press("j", "Down")
        tmux.await_text(f"^{self.THIRD}: 1 waiting, 0 queued, 0/")
        tmux.press("p")
        tmux.await_text(f"^paused {self.THIRD}, until the daemon ends$")
        tmux.press("R")
        tmux.await_text("^resumed everything$", "1 lane paused")
        self.assertEqual(self.paused_lanes(daemon), [self.THIRD])
        tmux.press("r")
        tmux.await_text(f"^resumed {self.THIRD}$", absent="lane paused")
        self.assertEqual(self.paused_lanes(daemon), [])

    def test_what_stops_everything_asks_first(self):
        daemon = self.paused_daemon()
        self.order(daemon, "resume")
        tmux = self.tmux()
        self.begin(tmux)
        for key, question in ("P", "^Pause everything"), ("D", "^Drain: take no more"):
            tmux.press(key)
            tmux.await_text(question)
            tmux.press("n")
            tmux.await_text("^LANES", absent=question)
        self.assertEqual((daemon.status()["paused"], daemon.status()["state"]), (False, "running"))
        tmux.press("P", "y")
        tmux.await_text("^paused everything", "running, all paused")
        self.assertTrue(daemon.status()["paused"])
        tmux.press("D", "y")
        tmux.await_text("^draining everything", "^penstockd .*: drain")
        self.assertIn(daemon.status()["state"], ("draining", "drained"))

    def test_it_fills_a_screen_of_any_size(self):
        self.paused_daemon()
        tmux = self.tmux()
        self.begin(tmux)
        tmux.resize(120, 40)
        screen = tmux.await_text("JOBS +WAITING +QUEUED +RUNNING +OLDEST +RATE +STATE$",
                                 "^backlog   6 of 500 jobs", "^dead ", LAST)
        self.assertTrue(screen[39].startswith("q quit"), screen)
        tmux.resize(60, 15)
        screen = tmux.await_text("JOBS RUNNING STATE$", LAST, absent="^received|^backlog")
        self.assertEqual(len(screen), 15)
        self.assertTrue(screen[14].startswith("q quit"), screen)
        self.assertIn(self.DEEP, self.origins(screen))
        self.assertLessEqual(max(map(len, screen)), 60)
        tmux.resize(39, 12)
        tmux.await_text("^terminal too small$", "^40x12 needed$", absent="LANES")
        tmux.resize(40, 12)
        tmux.await_text("^LANES, 3 ", absent="too small")
        tmux.resize(80, 24)
        tmux.await_text("^received", "^SOURCES, 2")

    def test_whatever_ends_it_the_terminal_is_given_back(self):
        self.paused_daemon()
        for number, code in ("q", OK), (signal.SIGINT, OK), (signal.SIGTERM, OK), \
                (signal.SIGHUP, OK), (signal.SIGSEGV, r"\d+"), (signal.SIGQUIT, r"\d+"):
            with self.subTest(number):
                tmux = Tmux(self.dir)
                try:
                    self.begin(tmux)
                    self.assertTrue(tmux.is_full())
                    if number == "q":
                        tmux.press("q")
                    else:
                        os.kill(tmux.pid(), number)
                    self.check_restored(tmux, code)
                finally:
                    tmux.stop()
                os.unlink(self.path("after"))

    def test_it_can_be_suspended(self):
        self.paused_daemon()
        tmux = self.tmux()
        self.begin(tmux)
        tmux.press("C-z")
        tmux.await_text("Stopped", absent="^LANES")
        self.assertFalse(tmux.is_full())
        tmux.resize(100, 30)
        tmux.type("fg")
        screen = tmux.await_text("^LANES", "^backlog", LAST)
        self.assertTrue(screen[29].startswith("q quit"), screen)
        tmux.press("q")
        harness.eventually(lambda: not tmux.is_full(), "the full screen is left")

    def test_a_daemon_that_has_gone_is_waited_for(self):
        daemon = self.paused_daemon()
        tmux = self.tmux()
        self.begin(tmux)
        tmux.await_text("^accepted  6 = 6 waiting")
        daemon.kill()
        tmux.await_text("^" + GONE, "^accepted  6 = 6 waiting")  # what was, is there still
        tmux.press("h")
        tmux.await_text("^Keys of penstock top$")
        tmux.press("h")
        other = self.daemon()
        tmux.await_text(f"^penstockd .* process {other.pid}$", absent=GONE)
        other.kill()
        tmux.await_text("^" + GONE)
        tmux.press("q")
        self.check_restored(tmux)

    def test_a_daemon_that_does_not_answer_holds_up_no_key(self):
        daemon = self.paused_daemon()
        tmux = self.tmux()
        self.begin(tmux)
        daemon.freeze()
        self.addCleanup(daemon.signal, signal.SIGCONT)
        tmux.press("h")
        tmux.await_text("^Keys of penstock top$")
        tmux.press("h")
        tmux.await_text("^THE DAEMON DOES NOT ANSWER: this is [0-9.]+s old")
        tmux.press("q")
        self.check_restored(tmux)


# --- against a stub ---------------------------------------------------------------------------


class View(Case):
    """What a daemon may say, and what the terminal cannot show."""

    STATUS = {
        "version": "1.0\x1b[31m", "state": "running", "pid": 7, "uptime_seconds": 5.5,
        "started_at": "2026-11-28T12:00:00.000000Z", "paused": False, "paused_lanes": 0,
        "ledger": {"accepted": 2, "waiting": 1, "dead": 1},
        "queue": {"jobs": 1, "capacity_jobs": 2, "capacity_bytes": 9}, "workers": {"alive": 1, "wanted": 1},
        "waiting_by_reason": {"rate": 1}, "backlog": {"error": "No space left on device"},
        "sources": [{"name": "ü\x07rls", "jobs": 1}], "fetch": {}, "results": {}}
    LANES = {"total": 1, "lanes": [{"origin": "http://e\x1b]0;il\x9b:80", "depth": 1, "running": 0,
                                    "state": "breaker", "failures": 2}]}
    RECORD = {"seq": 1, "url": "http://f.example/\x1b[2J", "outcome": "dead", "reason": "http 404",
              "finished_at": "2026-11-28T12:33:01.000000Z"}
    HISTORY = {"period": 1, "first": 1, "series": {
        **{name: [0] * 600 for name in ("running", "waiting", "dead", "failures",
                                        "received_bytes")},
        "queue_jobs": [2] * 240 + [1] * 360, "settled": [None] * 240 + [4] * 360}}

    @classmethod
    def setUpClass(cls):
        pass  # nothing is fetched

    def stub(self, **planned):
        stub = self.server(StubDaemon, self.path("control.sock"))
        stub.store.planned = {
            "/v1/status": [(200, self.STATUS)], "/v1/lanes?limit=100": [(200, self.LANES)],
            "/v1/history?since=0": [(200, self.HISTORY)],
            "/v1/history?since=601": [(404, "none"), (500, "none yet")],
            "/v1/results?outcome=dead&last=10": [(200, self.RECORD)], **planned}
        return stub

    def test_the_past_and_what_failed_are_shown(self):
        stub = self.stub()
        tmux = self.tmux()
        self.begin(tmux)
        tmux.await_text("^queue     ▅{42} 1 of 2$", "^settled   █{42} 4.0/s, max 4.0$",
                        "^FAILURES .*1 dead$", "^12:33:01 http 404 +http://f.example/")
        tmux.press("w")
        tmux.await_text("^queue      ?█+[▅-█]?▅+ 1 of 2$", "^settled    +█+ 4.0/s")
        asked = [target for _, target, _ in stub.store.requests]
        self.assertEqual(asked.count("/v1/results?outcome=dead&last=10"), 1)

    def test_no_control_character_gets_to_the_terminal(self):
        self.stub()
        tmux = self.tmux()
        self.begin(tmux)
        tmux.await_text(r"^penstockd 1\.0\?\[31m: running", r"^ü\?rls ", r"^http://e\?\]0;il\?:80 ",
                        r"http://f\.example/\?\[2J$", "^BACKLOG CANNOT BE WRITTEN: No space left")

    def test_without_utf8_all_is_ascii(self):
        self.stub()
        tmux = self.tmux(LC_ALL="C")
        self.begin(tmux)
        screen = tmux.await_text("^queue     ={42} 1 of 2$", r"^\?\?rls ", "j k select")
        self.assertTrue(all(line.isascii() for line in screen), screen)

    def test_colours_are_left_out_if_they_are_not_wanted(self):
        self.stub()
        red = re.compile(r"\x1b\[[0-9;]*31m")
        for variables, is_coloured in ({}, True), ({"NO_COLOR": "1"}, False), \
                ({"NO_COLOR": ""}, True):
            with self.subTest(variables):
                tmux = Tmux(self.dir, **variables)
                try:
                    self.begin(tmux)
                    tmux.await_text("^12:33:01 http 404")
                    shown = "\n".join(tmux.screen("-e"))
                    self.assertEqual(bool(red.search(shown)), is_coloured, repr(shown))
                    self.assertIn("\x1b[", shown)
                finally:
                    tmux.stop()

    def test_an_old_daemon_has_no_history(self):
        none = [(404, "there is no such path")]
        self.stub(**{"/v1/history?since=0": none, "/v1/results?outcome=dead&last=10": none,
                     "/v1/status": [(200, {**self.STATUS, "uptime_seconds": t})
                                    for t in range(5, 8)]})
        tmux = self.tmux()
        self.begin(tmux)
        tmux.await_text("^queue      +▅▅? 1 of 2$", absent="FAILURES")

    def test_what_is_not_answered_is_told_as_long_as_it_is(self):
        lanes = "/v1/lanes?limit=100"
        stub = self.stub(**{lanes: [(503, "the\x1b disk is slow")]})
        tmux = self.tmux()
        self.begin(tmux)
        tmux.await_text(r"^the\? disk is slow$")
        stub.store.planned[lanes] = [(200, [])]
        tmux.await_text("^an answer is not understood", absent="disk is slow")
        stub.store.planned[lanes] = [(200, self.LANES)]
        tmux.await_text("^BACKLOG CANNOT BE WRITTEN", absent="not understood")

    def test_an_order_that_is_refused_says_why(self):
        stub = self.stub(**{"/v1/control/pause": [(409, "too\x1b many lanes")]})
        tmux = self.tmux()
        self.begin(tmux)
        tmux.press("j", "p")
        tmux.await_text(r"^pause: too\? many lanes$")
        self.assertIn(("POST", "/v1/control/pause", {"origin": self.LANES["lanes"][0]["origin"]}),
                      stub.store.requests)


class Refusals(Case):
    @classmethod
    def setUpClass(cls):
        pass

    def call(self, *args, env=None, **options):
        ended = harness.run("top", *args, env=env or daemon_harness.environment(), **options)
        self.assertEqual(ended.out, "")
        return ended

    def test_wrong_usage(self):
        for args, message in (("a",), "takes no such argument"), \
                (("--interval", "0.05"), "at least 0.1"), (("--nonsense",), "--help"):
            ended = self.call(*args)
            self.assertEqual(ended.code, USAGE, ended.err)
            self.assertIn(message, ended.err)

    def test_what_is_no_terminal(self):
        ended = self.call()
        self.assertEqual(ended.code, USAGE)
        self.assertIn("needs a terminal", ended.err)

    def test_a_terminal_that_cannot_do_it(self):
        for kind, message in ("dumb", "cannot show a full screen"), ("no-such", "is not known"):
            tmux = Tmux(self.dir)
            try:
                tmux.type(f"export TERM={kind}")
                tmux.begin()
                tmux.await_text(f"code {USAGE}$")
                self.assertIn(message, self.read("err"))
            finally:
                tmux.stop()

    def test_no_daemon_is_an_error_without_a_screen(self):
        tmux = self.tmux()
        tmux.begin("--socket", "control.sock")
        tmux.await_text(f"code {UNAVAILABLE}$")
        self.assertIn("no daemon answers", self.read("err"))


def why_not():
    """Why there is nothing to be tested, or None."""
    if not shutil.which("tmux"):
        return "there is no tmux"
    done = subprocess.run([harness.PENSTOCK, "top"], stdin=subprocess.DEVNULL, capture_output=True)
    return "built without ncurses" if b"built without" in done.stderr else None


if __name__ == "__main__":
    reason = why_not()
    if reason:
        print("skipped:", reason)
        sys.exit(77)
    harness.main()
