#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""etc/examples: each is run as it is, but for the names of hosts, which a drop-in overrides."""
import glob
import json
import os
import shutil
import subprocess
import unittest

import daemon_harness
import harness
import systemd_harness
from harness import CONFIG, OK, SOME_FAILED

ETC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "etc")
EXAMPLES = os.path.join(ETC, "examples")
TOKEN = "t0ken-of-the-example"
SHORT = 'retry: { base = "10ms"; };\n'  # waits that a test has no time for


def example(name):
    with open(os.path.join(EXAMPLES, name), encoding="utf-8") as file:
        return file.read()


def needs_jq(test):
    return unittest.skipUnless(shutil.which("jq"), "jq is not installed")(test)


class Case(daemon_harness.Case):
    """A daemon with the shipped penstock.conf, an example as a drop-in, and one of the test's."""

    def deploy(self, name, *drop_ins):
        os.makedirs(self.path("conf.d"), exist_ok=True)
        shutil.copy(os.path.join(ETC, "penstock.conf"), self.path("penstock.conf"))
        shutil.copy(os.path.join(EXAMPLES, name), self.path("conf.d/50-example.conf"))
        for i, text in enumerate(drop_ins):
            self.write(f"conf.d/9{i}-test.conf", text)

    def script(self, name, *args, stdin="", code=OK):
        """Runs one of the example's; returns what it writes."""
        path = os.path.dirname(os.path.abspath(harness.PENSTOCK)) + ":" + os.environ["PATH"]
        done = subprocess.run(
            [os.path.join(EXAMPLES, name), *args], input=stdin.encode(), capture_output=True,
            timeout=harness.PATIENCE, cwd=self.dir,
            env=daemon_harness.environment(PATH=path, PENSTOCK_SOCKET=self.path("control.sock")))
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout.decode()


class Settings(Case):
    def test_each_file_is_accepted_as_it_is(self):
        self.write("webhook-token", TOKEN)
        env = daemon_harness.environment(CREDENTIALS_DIRECTORY=self.dir)
        files = [file for file in glob.glob(os.path.join(EXAMPLES, "*", "*.conf"))
                 if os.path.basename(file) != "credential.conf"]
        self.assertEqual(len(files), 4)
        for file in files:
            for command in [harness.PENSTOCKD], [harness.PENSTOCK, "fetch"]:
                ended = harness.Child([*command, "--check", "-c", file], env=env).wait()
                self.assertEqual((ended.code, ended.err), (OK, ""), file)

    def test_each_says_how_to_run_it(self):
        for file in glob.glob(os.path.join(EXAMPLES, "*", "*")):
            with open(file, encoding="utf-8") as lines:
                head = lines.read(400)
            self.assertIn("# SPDX-License-Identifier: Apache-2.0\n# ", head, file)


class Intake(Case):
    def test_jobs_come_in_and_none_is_done_twice(self):
        self.deploy("intake/intake.conf", 'guard: { allow = "loopback"; };\n')
        daemon = self.daemon()
        ids = self.script("intake/submit.sh", *self.urls("/ok", "/status/404").split()).split()
        ids += self.script("intake/submit.sh", stdin=self.urls("/seen/a", "/seen/b")).split()
        for _ in range(2):
            answer = self.script("intake/submit-curl.sh", "curl-1", self.origin.url("/seen/c"))
            self.assertEqual(json.loads(answer)["id"], "curl-1")
        self.assertEqual(len(ids), 4)
        records = daemon.await_records(5)
        self.check_records(records, ids + ["curl-1"])
        self.assertEqual(sorted(r["response_code"] for r in records), [200, 200, 200, 200, 404])
        # What it is refused, a script says.
        self.assertIn("http and https",
                      self.script("intake/submit-curl.sh", "curl-2", "ftp://a/", code=22))
        daemon.stop()

    def test_nothing_inside_is_fetched_for_others(self):
        self.deploy("intake/intake.conf")
        daemon = self.daemon()
        self.script("intake/submit.sh", self.origin.url("/ok"))
        record = daemon.await_records(1)[0]
        self.assertIn('refused: 127.0.0.1 is denied by "private"', record["reason"])
        daemon.stop()


class Prober(Case):
    def deploy_for(self, *urls, timeout="10s"):
        lines = ", ".join(f'"{url}"' for url in urls)
        self.deploy("prober/prober.conf", "sources = ( );\n",
                    'sources = ( { type = "schedule"; every = "100ms";\n'
                    f'  urls = ( {lines} ); }} );\n'
                    f'fetch: {{ timeout = "{timeout}"; }};\n')

    @needs_jq
    def test_it_says_what_is_down(self):
        closed = harness.closed_port()
        self.addCleanup(closed.close)
        down = {self.origin.url("/status/503"): "503", self.origin.url("/stall"): "timeout",
                self.origin.url("/redirect/1"): "302",
                f"http://127.0.0.1:{closed.getsockname()[1]}/": "connect failed"}
        up, flaky = self.origin.url("/ok"), self.origin.url("/flaky/2/prober")
        self.deploy_for(up, flaky, *down, timeout="300ms")
        daemon = self.daemon()

        # Each round is an attempt of its own, and says anew what is down: on a busy machine even
        # what is well may be late once.
        def told():
            lines = self.script("prober/down.sh", "results.jsonl", code=1).splitlines()
            return {url: reason for _, url, reason in (line.split("\t") for line in lines)}

        def is_told():
            seen = told()
            return set(seen) == set(down) and all(down[url] in seen[url] for url in down)
        harness.eventually(lambda: set(down) <= {r["url"] for r in daemon.records()}, "all asked")
        harness.eventually(is_told, f"{down} are down, and nothing else")
        daemon.stop()
        records = daemon.records()
        of_flaky = [r["outcome"] for r in records if r["url"] == flaky]
        self.assertGreaterEqual(of_flaky.count("dead"), 2)
        self.assertIn("done", of_flaky)
        self.assertEqual({r["attempts"] for r in records if r["outcome"] == "dead"}, {1})

    @needs_jq
    def test_it_says_nothing_if_all_is_well(self):
        self.deploy_for(self.origin.url("/ok"))
        daemon = self.daemon()
        daemon.await_records(2)
        daemon.stop()
        with open(self.path("results.jsonl"), "a", encoding="utf-8") as log:
            log.write('{"url": "half a line')
        self.assertEqual(self.script("prober/down.sh", "results.jsonl"), "")


class Webhook(Case):
    @needs_jq
    def test_an_event_arrives_once_with_its_token_however_long_it_takes(self):
        hooks, others = self.server(harness.Notebook), self.server(harness.Notebook)
        here, there = (f"http://127.0.0.1:{server.port}" for server in (hooks, others))
        self.deploy("webhook/webhook.conf", SHORT + 'guard: { allow = "loopback"; };\n'
                    f'origins = ( {{ match = "{here}";\n'
                    '  bearer = "credential:webhook-token"; } );\n')
        self.write("webhook-token", TOKEN + "\n")
        self.write("order.json", '{\n  "n": "1 ä"\n}\n')
        daemon = self.daemon(
            env=daemon_harness.environment(CREDENTIALS_DIRECTORY=self.dir))
        for event in ("order-17", here), ("order-17", here), ("order-18", there):
            self.script("webhook/send.sh", event[0], event[1] + "/orders", "order.json")
        self.script("webhook/send.sh", "order-20", here + "/orders", "no-such.json", code=2)
        flaky = self.origin.url("/flaky/3/webhook")
        self.script("webhook/send.sh", "order-19", flaky, "order.json")
        records = {r["id"]: r for r in daemon.await_records(3)}
        self.assertEqual({id: r["outcome"] for id, r in records.items()},
                         dict.fromkeys(("order-17", "order-18", "order-19"), "done"))
        self.assertEqual(records["order-19"]["attempts"], 4)
        self.assertEqual(len(hooks.requests), 1)
        method, path, headers, body = hooks.requests[0]
        self.assertEqual((method, path), ("POST", "/orders"))
        self.assertEqual(body.decode(), self.read("order.json"))
        self.assertEqual((headers["Authorization"], headers["Idempotency-Key"],
                          headers["Content-Type"]),
                         ("Bearer " + TOKEN, "order-17", "application/json"))
        self.assertNotIn("Authorization", others.requests[0][2])
        daemon.stop()

    def test_it_does_not_start_without_its_token(self):
        self.deploy("webhook/webhook.conf")
        ended = self.launch(env=daemon_harness.environment(CREDENTIALS_DIRECTORY=self.dir)).wait()
        self.assertEqual(ended.code, CONFIG)
        self.assertIn(f"{self.dir}/webhook-token: cannot be read", ended.err)


class Nightly(Case):
    def test_another_list_on_the_command_line(self):
        ended = self.fetch("--quiet", "-c", os.path.join(EXAMPLES, "nightly/nightly.conf"),
                           self.write("urls.txt", self.urls("/ok", "/status/404")),
                           code=SOME_FAILED)
        self.assertEqual(sorted(r["outcome"] for r in ended.records), ["dead", "done"])


@unittest.skipIf(harness.SANITIZED, "it tries the units; test_systemd.py has sanitized services")
class OnSystemd(unittest.TestCase):
    """Examples that have units, on a real systemd."""

    @classmethod
    def setUpClass(cls):
        try:
            machine = cls.machine = systemd_harness.Machine()
        except systemd_harness.CannotBoot as error:
            print(f"skipped on systemd: {error}", flush=True)
            raise unittest.SkipTest(str(error)) from None
        cls.addClassCleanup(machine.stop)
        systemd_harness.equip(machine)
        systemd_harness.install(machine)
        machine.write(systemd_harness.CONFIG, example("../penstock.conf"))
        for name in "penstock-nightly.service", "penstock-nightly.timer":
            machine.write(f"/etc/systemd/system/{name}", example(f"nightly/{name}"))
        machine.write("/etc/penstock/nightly.conf", example("nightly/nightly.conf"))
        machine.write("/etc/penstock/nightly.conf.d/test.conf", SHORT)
        machine.systemctl("daemon-reload")

    def url(self, path):
        return f"http://127.0.0.1:{systemd_harness.ORIGIN_PORT}{path}"

    def records(self, path):
        text = self.machine.run("cat", path, check=False)
        return [json.loads(line) for line in text.split("\n")[:-1] if line.startswith("{")]

    def shown(self, unit, *names):
        return tuple(self.machine.show(name, unit) for name in names)

    def test_nightly(self):
        m, unit, state = self.machine, "penstock-nightly.service", "/var/lib/penstock-nightly"
        self.assertEqual(m.run("systemd-analyze", "verify", "--man=no", unit,
                               "penstock-nightly.timer"), "")
        m.write("/etc/penstock/nightly.urls",
                "".join(self.url(path) + "\n" for path in ("/ok", "/status/404", "/flaky/1/n")))
        days = [m.run("date", "+%F").strip()]
        m.systemctl("start", unit)  # which waits for its end, and fails if the unit does
        days.append(m.run("date", "+%F").strip())
        logs = [f"{state}/{day}.jsonl" for day in days]
        log = [name for name in logs if self.records(name)][0]
        self.assertEqual(sorted((r["response_code"], r["outcome"]) for r in self.records(log)),
                         [(200, "done"), (200, "done"), (404, "dead")])
        self.await_logged("3 jobs: 2 done, 1 dead")

        # Old results go; a list without a failure is 0; the timer starts it, too.
        m.write("/etc/penstock/nightly.urls", self.url("/seen/timer") + "\n")
        m.run("touch", "-d", "100 days ago", f"{state}/old.jsonl")
        m.write("/etc/systemd/system/penstock-nightly.timer.d/test.conf",
                "[Timer]\nOnCalendar=\nOnActiveSec=1ms\nAccuracySec=1ms\nRandomizedDelaySec=0\n")
        self.addCleanup(m.run, "sh", "-c", "systemctl stop penstock-nightly.timer && "
                        "rm -r /etc/systemd/system/penstock-nightly.timer.d && "
                        "systemctl daemon-reload")
        before = m.show("InvocationID", unit)
        m.systemctl("daemon-reload")
        m.systemctl("start", "penstock-nightly.timer")
        harness.eventually(lambda: m.show("InvocationID", unit) not in ("", before) and
                           m.show("ActiveState", unit) == "inactive", "the timer has run it")
        self.assertEqual(self.shown(unit, "Result", "ExecMainStatus"), ("success", "0"))
        self.assertEqual(m.run("ls", state).split(), sorted({os.path.basename(log)} | {
            os.path.basename(name) for name in logs if self.records(name)}))

        # What is wrong is a failure of the unit.
        m.write("/etc/penstock/nightly.conf.d/wrong.conf", "workrs = 1;\n")
        m.systemctl("start", unit, check=False)
        self.assertEqual(self.shown(unit, "Result", "ExecMainStatus"), ("exit-code", str(CONFIG)))
        self.await_logged("/etc/penstock/nightly.conf.d/wrong.conf:1: workrs: unknown key")

    def await_logged(self, text):
        """What a unit has written may reach the journal after its end."""
        systemd_harness.eventually(lambda: text in self.machine.run(
            "journalctl", "--no-pager", "-o", "cat", "-u", "penstock-nightly.service"), text)

    def test_nightly_as_it_is_has_a_next_time(self):
        self.machine.systemctl("start", "penstock-nightly.timer")
        self.addCleanup(self.machine.systemctl, "stop", "penstock-nightly.timer")
        self.assertRegex(self.machine.run("systemctl", "list-timers", "--no-pager"),
                         r" 02:[0-3].*penstock-nightly\.timer +penstock-nightly\.service")

    @needs_jq
    def test_the_webhooks_token_is_a_credential(self):
        m = self.machine
        m.write("/etc/penstock/conf.d/webhook.conf", example("webhook/webhook.conf"))
        m.write("/etc/systemd/system/penstockd.service.d/webhook.conf",
                example("webhook/credential.conf"))
        m.write("/etc/penstock/webhook-token", TOKEN + "\n", "0600")
        m.write("/root/send.sh", example("webhook/send.sh"), "0755")
        m.write("/root/order.json", "{}")
        m.write("/etc/penstock/conf.d/z-test.conf", 'results: { bodies = "inline"; };\n'
                'guard: { allow = "loopback"; };\n'
                f'origins = ( {{ match = "{self.url("")}";\n'
                '  bearer = "credential:webhook-token"; } );\n')
        m.systemctl("daemon-reload")
        m.systemctl("restart", "penstockd.service")  # a package has started it
        m.run("env", f"PENSTOCK_SOCKET={systemd_harness.SOCKET}", "/root/send.sh", "order-1",
              self.url("/echo"), "/root/order.json")
        log = systemd_harness.STATE + "/results.jsonl"
        record = harness.eventually(lambda: self.records(log), "a record")[0]
        self.assertEqual((record["id"], record["outcome"]), ("order-1", "done"))
        self.assertIn(["Authorization", "Bearer " + TOKEN],
                      json.loads(record["body"]["text"])["headers"])


if __name__ == "__main__":
    harness.main()
