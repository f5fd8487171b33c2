#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a job asks for is what arrives, and nothing of it is seen where it should not be."""
import base64
import contextlib
import http.server
import json
import os
import threading
import time
import urllib.parse

import daemon_harness
import harness
import httpbin_harness
from harness import OK, SOME_FAILED

NDJSON = "application/x-ndjson"
FAST_RETRY = "retry: { base = \"1ms\"; max = \"1ms\"; };"


class Scribe:
    """A server that notes each request, with its header fields as they came.  It answers with
    what stands in `answers`, (status, headers), in their order, else with 200."""

    def __init__(self):
        notes, answers = self.notes, self.answers = [], []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_expect_100(self):
                raise AssertionError("nobody shall wait for leave to send")

            def __getattr__(self, name):
                if name.startswith("do_"):
                    return self.answer
                raise AttributeError(name)

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                notes.append((self.command, self.path, self.headers.items(), body))
                status, headers = answers.pop(0) if answers else (200, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def url(self, path, user=""):
        return f"http://{user}127.0.0.1:{self.port}{path}"

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def values(note, name):
    return [value for key, value in note[2] if key.lower() == name.lower()]


def lines(*jobs):
    return "".join(json.dumps(job) + "\n" for job in jobs)


class Bodies(harness.Case):
    def setUp(self):
        super().setUp()
        self.scribe = self.server(Scribe)
        os.mkdir(self.path("bodies"))
        self.allowed = "--set", f"fetch.body_dir={self.path('bodies')}"

    def body_file(self, name, data):
        with open(os.path.join(self.path("bodies"), name), "wb") as file:
            file.write(data)
        return name

    def test_bodies_of_each_kind_arrive_as_they_are(self):
        binary = bytes(range(256)) * 40
        url = self.scribe.url("/")
        self.fetch(*self.allowed, "-w", "1", stdin=lines(
            {"url": url, "body": "ä\0\n"},
            {"url": url, "body": ""},
            {"url": url, "body_base64": base64.b64encode(binary).decode(), "method": "PUT"},
            {"url": url, "body_file": self.body_file("binary", binary), "method": "PATCH"},
            {"url": url, "body_file": self.body_file("empty", b"")},
            {"url": url, "body": "x", "headers": {"content-type": "text/plain"}},
            {"url": url, "method": "delete"}))
        self.assertEqual([(note[0], note[3]) for note in self.scribe.notes], [
            ("POST", "ä\0\n".encode()), ("POST", b""), ("PUT", binary), ("PATCH", binary),
            ("POST", b""), ("POST", b"x"), ("DELETE", b"")])
        self.assertEqual([values(note, "Content-Type") for note in self.scribe.notes],
                         [[], [], [], [], [], ["text/plain"], []])
        self.assertEqual([values(note, "Expect") for note in self.scribe.notes], [[]] * 7)

    def test_a_line_may_be_as_long_as_it_may(self):
        url = self.scribe.url("/")
        body = "x" * (1024 * 1024 - len(lines({"url": url, "body": ""})) + 1)
        start = time.monotonic()
        self.fetch(stdin=lines({"url": url, "body": body}))
        self.assertLess(time.monotonic() - start, 20)  # or libcurl has waited for a 100 (Continue)
        self.assertEqual(len(self.scribe.notes[0][3]), len(body))
        ended = self.fetch(code=SOME_FAILED, stdin=lines({"url": url, "body": body + "x"}))
        self.assertIn("longer than 1 MiB", ended.err)

    def test_a_large_file_is_sent_whole_and_again(self):
        data = os.urandom(5 * 1024 * 1024)
        elsewhere = self.server(Scribe)
        self.scribe.answers += [(503, {}), (307, {"Location": "/b"}),
                                (308, {"Location": elsewhere.url("/c")})]
        ended = self.fetch(*self.allowed, "-c", self.write("conf", FAST_RETRY), stdin=lines(
            {"url": self.scribe.url("/a"), "body_file": self.body_file("large", data),
             "method": "PUT"}))
        self.assertEqual(ended.records[0]["attempts"], 2)
        self.assertEqual([note[1] for note in self.scribe.notes + elsewhere.notes],
                         ["/a", "/a", "/b", "/c"])
        for note in self.scribe.notes + elsewhere.notes:
            self.assertEqual(note[0], "PUT")
            self.assertEqual(note[3], data)

    def test_files_that_may_not_be_sent_end_the_job_at_once(self):
        self.write("secret", "secret")
        os.symlink(self.path("secret"), os.path.join(self.path("bodies"), "link"))
        os.mkfifo(os.path.join(self.path("bodies"), "fifo"))
        reasons = {
            "missing": "there is no such file below fetch.body_dir",
            "../secret": "it is not below fetch.body_dir",
            self.path("secret"): "it is not below fetch.body_dir",
            "link": "it is not below fetch.body_dir",
            "fifo": "it is not a regular file",
            ".": "it is not a regular file",
        }
        jobs = [{"url": self.scribe.url("/"), "body_file": path, "retry": True} for path in reasons]
        ended = self.fetch(*self.allowed, "-w", "1", code=SOME_FAILED, stdin=lines(*jobs))
        self.assertEqual([(r["reason"], r["attempts"]) for r in ended.records],
                         [("body_file: " + reason, 1) for reason in reasons.values()])
        ended = self.fetch(code=SOME_FAILED, stdin=lines(jobs[0]))
        self.assertEqual(ended.records[0]["reason"],
                         "body_file: it is not allowed: fetch.body_dir is not set")
        self.assertEqual(self.scribe.notes, [])

    def test_an_origin_is_not_blamed_for_files_that_are_missing(self):
        conf = self.write("conf", 'origins: ( { match = "*"; breaker = 1; } );')
        ended = self.fetch(*self.allowed, "-c", conf, "-w", "1", code=SOME_FAILED, stdin=lines(
            *[{"url": self.scribe.url("/"), "body_file": "missing"}] * 3,
            {"url": self.scribe.url("/")}))
        self.assertEqual([r["outcome"] for r in ended.records], ["dead"] * 3 + ["done"])

    def test_the_directory_is_checked_before_it_is_needed(self):
        for path, reason in (self.path("missing"), "No such file or directory"), \
                            (self.write("file", ""), "Not a directory"):
            for check in ["--check"], []:
                ended = self.fetch("--set", f"fetch.body_dir={path}", *check, code=harness.CONFIG)
                self.assertIn(f"fetch.body_dir: {path}: {reason}", ended.err)
        self.fetch(*self.allowed, "--check")


class Requests(harness.Case):
    def setUp(self):
        super().setUp()
        self.scribe = self.server(Scribe)

    def test_methods_are_any_that_http_has(self):
        methods = ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND",
                   "M-SEARCH", "X!#$%&'*+.^_`|~1"]
        self.fetch("-w", "1", stdin=lines(
            *[{"url": self.scribe.url("/"), "method": m.lower()} for m in methods]))
        self.assertEqual([note[0] for note in self.scribe.notes], methods)

    def test_headers_may_be_repeated(self):
        self.fetch(stdin=lines({"url": self.scribe.url("/"), "headers": {
            "X-A": ["1", " 2 ", ""], "X-B": "  ", "Accept": "a/b", "User-Agent": ""}}))
        note = self.scribe.notes[0]
        self.assertEqual(values(note, "X-A"), ["1", "2", ""])
        self.assertEqual(values(note, "X-B"), [""])
        self.assertEqual(values(note, "Accept"), ["a/b"])
        self.assertEqual(values(note, "User-Agent"), [""])

    def test_meta_is_carried_through_unchanged(self):
        metas = [None, 0, -1.5, 10 ** 18, True, "", "ä\0\U0001f600\"\\", [], {}, [[[]]],
                 {"b": 1, "a": {"c": [None, 0.1, "x" * 10000]}, "": 0}]
        ended = self.fetch("-w", "1", stdin=lines(
            *[{"url": self.scribe.url("/"), "meta": meta} for meta in metas]))
        self.assertEqual([r["meta"] for r in ended.records], metas)
        self.assertEqual([list(r["meta"]) for r in ended.records[-1:]], [["b", "a", ""]])

    def test_a_job_has_limits_of_its_own(self):
        redirect, body = self.origin.url("/redirect/2"), self.origin.url("/bytes/1000")
        jobs = [
            ({"url": redirect, "max_redirects": 0}, None, 302),
            ({"url": redirect, "max_redirects": 1}, "more than 1 redirects", 302),
            ({"url": redirect, "max_redirects": 2}, None, 200),
            ({"url": redirect}, "more than 1 redirects", 302),
            ({"url": body, "max_body": 999}, "body larger than 999 bytes", 200),
            ({"url": body, "max_body": "1K"}, None, 200),
            ({"url": self.origin.url("/bytes/3000"), "max_body": "1M"},  # only the settings can
             "body larger than 2000 bytes", 200),
        ]
        ended = self.fetch("-w", "1", "--set", "fetch.max_redirects=1", "--set",
                           "fetch.max_body=2000", code=SOME_FAILED,
                           stdin=lines(*[job[0] for job in jobs]))
        self.assertEqual([(r["reason"], r["response_code"]) for r in ended.records],
                         [job[1:] for job in jobs])

    def test_credentials_stay_with_their_origin(self):
        other = self.server(Scribe)
        secrets = {"Authorization": "Bearer x", "Cookie": ["a=b", "c=d"], "X-Kept": "yes"}
        self.scribe.answers += [(302, {"Location": "/same"}),
                                (307, {"Location": other.url("/other")})]
        other.answers += [(302, {"Location": self.scribe.url("/back")})]
        self.fetch(stdin=lines({"url": self.scribe.url("/"), "headers": secrets}))
        seen = [(note[1], len(values(note, "Authorization")), len(values(note, "Cookie")),
                 len(values(note, "X-Kept"))) for note in self.scribe.notes + other.notes]
        self.assertEqual(seen, [("/", 1, 2, 1), ("/same", 1, 2, 1), ("/back", 0, 0, 1),
                                ("/other", 0, 0, 1)])


class Httpbin(harness.Case):
    """Against a server that is not ours."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.httpbin = httpbin_harness.Httpbin()
        cls.addClassCleanup(cls.httpbin.stop)

    def statuses(self, *jobs, **options):
        ended = self.fetch("-w", "1", "--set", "fetch.success=100-599", stdin=lines(*jobs),
                           **options)
        return [r["response_code"] for r in ended.records]

    def test_methods_reach_the_routes_that_take_them(self):
        for method in "get", "post", "put", "patch", "delete":
            jobs = [{"url": self.httpbin.url("/" + route), "method": method}
                    for route in ("get", "post", "put", "patch", "delete")]
            self.assertEqual(self.statuses(*jobs), [
                200 if job["url"].endswith(method) else 405 for job in jobs])

    def test_redirects_change_methods_as_they_should(self):
        cases = [(301, "POST", "get"), (302, "POST", "get"), (303, "POST", "get"),
                 (307, "POST", "post"), (308, "POST", "post"), (303, "PUT", "get"),
                 (301, "PUT", "put"), (302, "PATCH", "patch"), (307, "DELETE", "delete"),
                 (308, "PUT", "put"), (303, "DELETE", "get")]
        jobs = [{"url": self.httpbin.url(f"/redirect-to?url=/{route}&status_code={status}"),
                 "method": method, "body": json.dumps({"a": "b"}),
                 "headers": {"Content-Type": "application/json"}}
                for status, method, route in cases]
        self.assertEqual(self.statuses(*jobs), [200] * len(cases))

    def test_long_ways_and_both_kinds_of_locations(self):
        self.assertEqual(self.statuses(*[{"url": self.httpbin.url(path)} for path in (
            "/redirect/5", "/relative-redirect/5", "/absolute-redirect/5")]), [200] * 3)

    def test_credentials_are_taken(self):
        basic = "Basic " + base64.b64encode(b"u:p w").decode()
        self.assertEqual(self.statuses(
            {"url": self.httpbin.url("/basic-auth/u/p%20w", user="u:p%20w@")},
            {"url": self.httpbin.url("/basic-auth/u/p%20w"), "headers": {"Authorization": basic}},
            {"url": self.httpbin.url("/basic-auth/u/p%20w")},
            {"url": self.httpbin.url("/basic-auth/u/p%20w", user="u:wrong@")},
            {"url": self.httpbin.url("/redirect-to?url=/basic-auth/u/pw", user="u:pw@")},
            {"url": self.httpbin.url("/bearer"), "headers": {"Authorization": "Bearer t"}},
            {"url": self.httpbin.url("/bearer")}), [200, 200, 401, 401, 200, 200, 401])


class Daemons(daemon_harness.Case):
    durable = True

    def setUp(self):
        super().setUp()
        self.scribe = self.server(Scribe)
        os.mkdir(self.path("bodies"))

    def ask(self, daemon, method, target, body=None, kind="application/json"):
        connection = daemon_harness.UnixConnection(daemon.socket)
        with contextlib.closing(connection):
            connection.request(method, target, body=body, headers={"Content-Type": kind})
            response = connection.getresponse()
            return daemon_harness.Answer(response.status, response.headers,
                                         response.read().decode())

    def post(self, daemon, *jobs):
        if len(jobs) == 1:
            return self.ask(daemon, "POST", "/v1/jobs", json.dumps(jobs[0]))
        return self.ask(daemon, "POST", "/v1/jobs", lines(*jobs), NDJSON)

    def test_the_socket_refuses_files_that_are_not_allowed(self):
        self.configure()
        daemon = self.daemon()
        job = {"url": self.scribe.url("/"), "body_file": "a"}
        answer = self.post(daemon, job)
        self.assertEqual(answer.status, 400)
        self.assertIn("fetch.body_dir is not set", answer.json["detail"])
        receipts = [json.loads(line) for line in self.post(
            daemon, job, {"url": self.scribe.url("/")}).body.splitlines()]
        self.assertIn("fetch.body_dir is not set", json.dumps(receipts[0]))
        self.assertEqual([r["id"] for r in daemon.await_records(1)], ["p-1"])
        daemon.stop()

    def test_jobs_in_full_outlive_a_restart(self):
        with open(os.path.join(self.path("bodies"), "a"), "wb") as file:
            file.write(b"\0file")
        self.configure(f'fetch: {{ body_dir = "{self.path("bodies")}"; }};')
        daemon = self.daemon()
        self.assertEqual(self.ask(daemon, "POST", "/v1/control/pause", "{}").status, 200)
        url = self.scribe.url("/")
        jobs = [{"url": url, "id": "base64", "body_base64": "AP8="},
                {"url": url, "id": "file", "body_file": "a", "method": "PUT"},
                {"url": url, "id": "list", "headers": {"X": ["1", "2"]}, "max_body": 1,
                 "max_redirects": 0}]
        self.assertEqual(self.post(daemon, *jobs).status, 202)
        daemon.kill()
        daemon = self.daemon()
        # The same jobs, spelled as they are kept or not, are known.
        jobs[0]["method"] = "post"
        jobs[2]["max_body"] = "1"
        for job in jobs:
            self.assertEqual(self.post(daemon, job).json, {"id": job["id"], "status": "known"})
        self.assertEqual(self.ask(daemon, "POST", "/v1/control/resume", "{}").status, 200)
        daemon.await_records(3)
        self.assertEqual(sorted((note[0], note[3]) for note in self.scribe.notes),
                         [("GET", b""), ("POST", b"\0\xff"), ("PUT", b"\0file")])
        self.assertEqual([values(note, "X") for note in self.scribe.notes if note[0] == "GET"],
                         [["1", "2"]])
        daemon.stop()

    def everything_said(self, daemon, ids):
        """All that can be asked for, and all that was logged."""
        targets = ["/v1/status", "/v1/lanes", "/metrics", "/healthz", "/readyz"]
        targets += ["/v1/jobs/" + urllib.parse.quote(i) for i in ids]
        said = [daemon.get(target).body for target in targets]
        said += [harness.run("why", "--socket", daemon.socket, i).out for i in ids]
        return "\n".join(said) + daemon.err.text + self.read("results.jsonl")

    def test_secrets_of_urls_are_not_told(self):
        """SECRET is a user or a password, HIDDEN is in a query."""
        self.configure(f"{FAST_RETRY}", sources=[self.follow()])
        self.write("urls", "http://u:SECRET@127.0.0.1:x/?HIDDEN\n"
                           "http:/\\u:SECRET?HIDDEN@a b/\n"
                           "u:SECRET@127.0.0.1/?HIDDEN\n"
                           '{"url" "http://SECRET@127.0.0.1/?HIDDEN"}\n'
                           '{"url": "ftp://u:SECRET@127.0.0.1/?HIDDEN"}\n'
                           '{"headers": {"Authorization: SECRET": ""}}\n')
        daemon = self.daemon()
        with harness.closed_port() as closed:
            port = closed.getsockname()[1]
            self.scribe.answers += [(404, {}), (302, {"Location": "ftp://u:SECRET@a/?HIDDEN"}),
                                    (302, {"Location": f"http://u:SECRET@127.0.0.1:{port}/"})]
            urls = [self.scribe.url("/1", user="u:SECRET@"), self.scribe.url("/2", user="SECRET@"),
                    self.scribe.url("/3", user=":SECRET@"), f"http://u:SECRET@127.0.0.1:{port}/4"]
            refused = []
            for i, url in enumerate(urls):
                answer = self.post(daemon, {"url": url, "id": f"j{i}", "retry": False})
                self.assertEqual(answer.status, 202)
                daemon.await_records(i + 1)
            for bad in "http://u:SECRET@a:b/?HIDDEN", "u:SECRET@a?HIDDEN", "ftp://SECRET@a/?HIDDEN":
                answer = self.post(daemon, {"url": bad})
                self.assertEqual(answer.status, 400)
                refused.append(answer.body)
                refused.append(self.ask(daemon, "POST", "/v1/control/pause",
                                        json.dumps({"origin": bad})).body)
        daemon.await_message("job j3 is dead: not retried: connect failed "
                             f"(http://***@127.0.0.1:{port}/4)")
        harness.eventually(lambda: daemon.err.text.count("skipped") == 6, "six bad lines are told")
        said = self.everything_said(daemon, ["j0", "j1", "j2", "j3"]) + "".join(refused)
        for secret in "SECRET", "HIDDEN":
            self.assertNotIn(secret, said)
        records = daemon.records()
        self.assertEqual(records[0]["url"], self.scribe.url("/1", user="***@"))
        self.assertEqual(records[2]["url_effective"], f"http://***@127.0.0.1:{port}/")

        # What is kept is the job itself.
        before = len(self.scribe.notes)
        self.assertEqual(harness.run("requeue", "--socket", daemon.socket, "j0").code, OK)
        daemon.await_records(5)
        self.assertEqual(values(self.scribe.notes[before], "Authorization"),
                         values(self.scribe.notes[0], "Authorization"))
        self.assertNotEqual(values(self.scribe.notes[0], "Authorization"), [])
        daemon.stop()

    def test_queries_are_in_messages_only_if_that_is_wanted(self):
        self.configure()
        daemon = self.daemon()
        self.scribe.answers += [(404, {})] * 2
        self.post(daemon, {"url": self.scribe.url("/?a=HIDDEN#f")})
        daemon.await_message(f"job p-1 is dead: http 404 ({self.scribe.url('/?***')})")
        self.assertEqual(harness.run("set", "--socket", daemon.socket,
                                     "fetch.log_queries=true").code, OK)
        self.post(daemon, {"url": self.scribe.url("/?a=shown#f", user="u:SECRET@")})
        daemon.await_message("job p-2 is dead: http 404 "
                             f"({self.scribe.url('/?a=shown#f', user='***@')})")
        self.assertNotIn("HIDDEN", daemon.err.text)
        self.assertEqual(daemon.await_records(2)[0]["url"], self.scribe.url("/?a=HIDDEN#f"))
        daemon.stop()


if __name__ == "__main__":
    harness.main()
