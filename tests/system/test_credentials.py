#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Logins and tokens of origins: who gets them, who does not, and that nothing else shows them."""
import base64
import contextlib
import glob
import json
import os
import subprocess
import urllib.parse

import daemon_harness
import harness
from harness import CONFIG, OK

SECRET = "s3cr3t-t0ken"
BASIC = base64.b64encode(f"me:{SECRET}".encode()).decode()


def setting(name, value, match):
    return f"--set=origins[{match}].{name}={value}"


class Case(harness.Case):
    def setUp(self):
        super().setUp()
        self.notebook = self.server(harness.Notebook)
        self.here = f"http://127.0.0.1:{self.notebook.port}"

    def secret(self, name, text=SECRET + "\n", mode=0o600):
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.path(name))  # which may be one that cannot be written to
        path = self.write(name, text)
        os.chmod(path, mode)
        return path

    def authorizations(self):
        """What the notebook was shown by each request so far."""
        return [headers.get("Authorization") for _, _, headers, _ in self.notebook.requests]

    def get(self, *settings, job=None, **options):
        line = json.dumps(job or {"url": self.here + "/"}) + "\n"
        return self.fetch("--quiet", *settings, stdin=line, **options)


class Sent(Case):
    def test_a_login_and_a_token(self):
        self.get(setting("login", self.secret("login", f"me:{SECRET}\r\n"), self.here))
        self.get(setting("bearer", self.secret("token"), self.here))
        self.assertEqual(self.authorizations(), ["Basic " + BASIC, "Bearer " + SECRET])

    def test_each_request_of_a_connection_has_it_and_no_other_job_changes_that(self):
        login = self.secret("login", f"me:{SECRET}")
        jobs = [{"url": self.here + "/"},
                {"url": self.here + "/", "headers": {"Authorization": "Mine"}},
                {"url": self.here + "/", "method": "POST", "body": "x"},
                {"url": self.here.replace("//", "//you:there@") + "/"},
                {"url": self.here + "/"}]
        ended = self.fetch("--quiet", "--workers=1", setting("login", login, self.here),
                           stdin="".join(json.dumps(job) + "\n" for job in jobs))
        self.assertEqual([r["outcome"] for r in ended.records], ["done"] * 5)
        self.assertEqual(self.authorizations(),
                         ["Basic " + BASIC, "Mine", "Basic " + BASIC,
                          "Basic " + BASIC, "Basic " + BASIC])

    def test_a_jobs_own_header_goes_before_a_token(self):
        self.get(setting("bearer", self.secret("token"), self.here),
                 job={"url": self.here + "/", "headers": {"authorization": "Mine"}})
        self.assertEqual([(name, value) for name, value in self.notebook.requests[0][2].items()
                          if name.lower() == "authorization"], [("authorization", "Mine")])

    def test_another_origin_does_not_get_it(self):
        other = self.server(harness.Notebook)
        self.fetch("--quiet", setting("bearer", self.secret("token"), self.here),
                   stdin=f"{self.here}/\nhttp://127.0.0.1:{other.port}/\n"
                         f"http://localhost:{self.notebook.port}/\n")
        self.assertEqual(sorted(map(str, self.authorizations())), ["Bearer " + SECRET, "None"])
        self.assertEqual([h.get("Authorization") for _, _, h, _ in other.requests], [None])


class Redirects(Case):
    """None is sent once the origin that a job began with was left."""

    def setUp(self):
        super().setUp()
        self.other = self.server(harness.Notebook)
        self.there = f"http://127.0.0.1:{self.other.port}"
        self.both = [setting("bearer", self.secret("token"), self.here),
                     setting("login", self.secret("login", f"me:{SECRET}"), self.there)]

    def leading(self, first, *others):
        return first + "/to?" + urllib.parse.quote(self.leading(*others) if others[1:]
                                                   else others[0], safe="")

    def authorizations_there(self):
        return [headers.get("Authorization") for _, _, headers, _ in self.other.requests]

    def test_none_goes_along_and_none_is_added(self):
        # Directly, by a redirect from elsewhere, and then directly on that connection again.
        lines = (self.here + "/", self.leading(self.there, self.here + "/"), self.here + "/")
        ended = self.fetch("--quiet", "--workers=1", *self.both,
                           stdin="".join(line + "\n" for line in lines))
        self.assertEqual([r["num_redirects"] for r in ended.records], [0, 1, 0])
        self.assertEqual(self.authorizations(), ["Bearer " + SECRET, None, "Bearer " + SECRET])
        self.assertEqual(self.authorizations_there(), ["Basic " + BASIC])

    def test_none_is_sent_on_the_way_back(self):
        self.get(*self.both, job={"url": self.leading(self.here, self.there, self.here + "/")})
        self.assertEqual(self.authorizations(), ["Bearer " + SECRET, None])
        self.assertEqual(self.authorizations_there(), [None])

    def test_within_an_origin_it_stays(self):
        self.get(*self.both, job={"url": self.leading(self.here, self.here + "/")})
        self.assertEqual(self.authorizations(), ["Bearer " + SECRET] * 2)


class Files(Case):
    def refused(self, key, path, match=None, **options):
        ended = self.fetch("--check", setting(key, path, match or self.here), code=CONFIG,
                           **options)
        self.assertNotIn(SECRET, ended.err + ended.out)
        return ended.err

    def test_systemds_credentials(self):
        self.secret("token", mode=0o440)
        env = harness.environment(CREDENTIALS_DIRECTORY=self.dir)
        ended = self.get(setting("bearer", "credential:token", self.here), env=env)
        self.assertEqual((self.authorizations(), ended.err), (["Bearer " + SECRET], ""))

        self.assertIn(f"{self.dir}/missing: cannot be read: No such file",
                      self.refused("bearer", "credential:missing", env=env))
        for name in "", "..", "a/b":
            self.assertIn(f"credential:{name}: is no name of a credential",
                          self.refused("bearer", f"credential:{name}", env=env))

    def test_where_there_are_no_credentials(self):
        env = harness.environment()
        env.pop("CREDENTIALS_DIRECTORY", None)
        bearer = setting("bearer", "credential:token", self.here)
        ended = self.fetch(bearer, code=CONFIG, env=env)
        self.assertIn("LoadCredential=token:PATH", ended.err)
        # A person in a shell checks the settings of the service, all but those.
        ended = self.fetch("--check", bearer, env=env)
        self.assertIn(f"origins[{self.here}].bearer: credential:token: not checked", ended.err)
        self.assertIn("MemoryMax=", ended.out)

    def test_what_is_in_them(self):
        for key, text, message in (
                ("login", SECRET, "must hold user:password"),
                ("bearer", "", "is empty"),
                ("bearer", "\n", "is empty"),
                ("bearer", SECRET + "\nmore\n", "must be one line, without control characters"),
                ("bearer", SECRET + "\r", "must be one line, without control characters"),
                ("bearer", SECRET + "\n\n", "must be one line, without control characters"),
                ("login", f"a:{SECRET}\t", "must be one line, without control characters"),
                ("bearer", SECRET + "\0", "has NUL characters"),
                ("bearer", SECRET * 100000, "is larger than 1 MiB")):
            with self.subTest(message=message, key=key):
                path = self.secret("file", text)
                self.assertIn(f"origins[{self.here}].{key}: {path}: {message}",
                              self.refused(key, path))

    def test_what_is_no_file_to_read(self):
        fifo = self.path("fifo")
        os.mkfifo(fifo)
        for path in fifo, self.dir, "/dev/null":
            self.assertIn(f"{path}: is no regular file", self.refused("bearer", path))
        closed = self.secret("closed", mode=0)
        self.assertIn(f"{closed}: cannot be read: Permission denied",
                      self.refused("bearer", closed, preexec_fn=harness.obey_file_modes))

    def test_one_that_is_written_in_place_of_its_file_is_not_shown(self):
        for key, value in ("bearer", SECRET), ("bearer", SECRET * 40), ("login", f"me:{SECRET}"):
            self.assertIn(f"origins[{self.here}].{key}: no such file; write the path of the file",
                          self.refused(key, value))

    def test_one_that_others_can_read_is_warned_of(self):
        for mode, warned in (0o600, False), (0o400, False), (0o640, True), (0o604, True):
            with self.subTest(oct(mode)):
                path = self.secret("token", mode=mode)
                err = self.get(setting("bearer", path, self.here)).err
                self.assertEqual(err, f"penstock: warning: origins[{self.here}].bearer: "
                                 f"{path}: others can read it: chmod go= would keep it secret\n"
                                 if warned else "")

    def test_who_gets_it_has_to_be_said(self):
        token, login = self.secret("token"), self.secret("login", "a:b")
        for match in ("*", "127.0.0.1", "127.0.0.1:80", "https://*", "https://*:443", "*://a:443",
                      "http*://a:80", "https://*.*:443"):
            with self.subTest(match):
                for key, path in ("bearer", token), ("login", login):
                    self.assertIn("match must be as https://host:port",
                                  self.refused(key, path, match))
        for match in "https://*.example.com:443", "https://[::1]:443", "http://127.0.0.1:80":
            self.fetch("--check", setting("bearer", token, match))
        self.assertIn("only one of them can be sent",
                      self.fetch("--check", setting("bearer", token, self.here),
                                 setting("login", login, self.here), code=CONFIG).err)


class InADaemon(daemon_harness.Case):
    durable = True

    def setUp(self):
        super().setUp()
        self.notebook = self.server(harness.Notebook)
        self.here = f"http://127.0.0.1:{self.notebook.port}"
        self.write("urls", "")
        self.configure(
            f'origins: ( {{ match = "{self.here}"; bearer = "token"; }},\n'
            f'  {{ match = "{self.origin.name}"; login = "login"; proxy = "{self.here}";\n'
            '    proxy_login = "login"; guard = "proxy"; } );',
            "retry: { max_attempts = 1; };", sources=[self.follow()])
        self.put("token", SECRET + "-1")
        self.put("login", f"me:{SECRET}")

    def put(self, name, text):
        with open(self.path(name + ".new"), "w", encoding="ascii") as file:
            file.write(text + "\n")
        os.chmod(self.path(name + ".new"), 0o600)
        os.rename(self.path(name + ".new"), self.path(name))

    def ask(self, daemon, *args, code=OK):
        ended = harness.Child([harness.PENSTOCK, args[0], "--socket", daemon.socket, *args[1:]],
                              env=daemon_harness.environment()).wait()
        self.assertEqual(ended.code, code, ended.err)
        return ended.out + ended.err

    def fetched(self, daemon, url):
        n = len(daemon.records()) + 1
        self.append("urls", url + "\n")
        return daemon.await_records(n)[-1]

    def shown(self):
        return self.notebook.requests[-1][2].get("Authorization")

    def test_a_new_token_takes_effect_with_a_reload(self):
        daemon = self.daemon()
        self.fetched(daemon, self.here + "/")
        self.put("token", SECRET + "-2")
        self.fetched(daemon, self.here + "/")
        self.assertEqual(self.shown(), f"Bearer {SECRET}-1")
        self.ask(daemon, "reload")
        self.fetched(daemon, self.here + "/")
        self.assertEqual(self.shown(), f"Bearer {SECRET}-2")

        os.remove(self.path("token"))
        self.assertIn(f"origins[{self.here}].bearer: no such file",
                      self.ask(daemon, "reload", code=CONFIG))
        self.fetched(daemon, self.here + "/")
        self.assertEqual(self.shown(), f"Bearer {SECRET}-2")

        self.put("other", SECRET + "-3")
        self.ask(daemon, "set", f"origins[{self.here}].bearer=other")
        self.fetched(daemon, self.here + "/")
        self.assertEqual(self.shown(), f"Bearer {SECRET}-3")
        daemon.stop()

    def test_nothing_shows_it(self):
        daemon = self.daemon()
        said = []
        for url in (self.here + "/", self.origin.url("/ok"), "http://127.0.0.1:1/",
                    self.here.replace("http", "https") + "/"):
            said.append(json.dumps(self.fetched(daemon, url)))
        self.assertIn(SECRET, str(self.notebook.requests))
        self.assertIn("Proxy-Authorization", str(self.notebook.requests))
        for args in (["status"], ["status", "--json"], ["lanes"], ["why", "1"], ["reload"],
                     ["set", f"origins[{self.here}].concurrency=3"]):
            said.append(harness.Child([harness.PENSTOCK, args[0], "--socket", daemon.socket,
                                       *args[1:]], env=daemon_harness.environment()).wait().out)
        for target in "/v1/status", "/v1/lanes", "/metrics", "/healthz":
            said.append(daemon.get(target).body)
        with open(f"/proc/{daemon.pid}/cmdline", encoding="utf-8") as cmdline:
            said.append(cmdline.read())
        with open(f"/proc/{daemon.pid}/environ", encoding="utf-8") as environ:
            said.append(environ.read())
        said.append(daemon.stop().err)
        check = subprocess.run([harness.PENSTOCKD, "-c", "penstock.conf", "--check"], cwd=self.dir,
                               env=daemon_harness.environment(), capture_output=True)
        self.assertEqual(check.returncode, OK)
        said.append((check.stdout + check.stderr).decode())
        self.expect_absent("".join(said).encode())
        for name in glob.glob(self.path("*")):
            if os.path.basename(name) not in ("token", "login") and os.path.isfile(name):
                with open(name, "rb") as file:
                    self.expect_absent(file.read(), name)

    def expect_absent(self, data, where="what was said"):
        for secret in SECRET, BASIC:
            self.assertNotIn(secret.encode(), data, where)


if __name__ == "__main__":
    harness.main()
