#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""doc/openapi.json against the answers of real daemons: what they answer must be described, and
every route must be."""
import collections
import functools
import json
import os
import re
import socket
import subprocess
import sys
import time
import types
import warnings

import daemon_harness
import harness

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import jsonschema
except ImportError:
    print("there is no python3-jsonschema")
    sys.exit(77)

SRC = os.environ.get("PENSTOCK_SRC", os.path.join(os.path.dirname(__file__), "../.."))
NDJSON = "application/x-ndjson"
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
SCHEMA_KEYS = {"$ref", "description", "type", "enum", "const", "properties", "required", "items",
               "additionalProperties", "oneOf", "minimum", "maximum", "minLength", "maxLength",
               "minProperties", "format", "default"}


@functools.cache
def description():
    with open(os.path.join(SRC, "doc/openapi.json"), encoding="utf-8") as file:
        return json.load(file)


def page():
    with open(os.path.join(SRC, "doc/penstock-api.7"), encoding="utf-8") as file:
        return file.read()


def examples():
    """The commands of the page, as a shell takes them."""
    text = re.sub(r"\\e\n +", "", page()).replace(r"\(dq", '"')
    return re.findall(r"^(?:\.Dl )?\$ (pen .*)", text, re.M)


def resolve(node):
    """What a reference within the document leads to."""
    while "$ref" in node:
        at = description()
        for name in node["$ref"].removeprefix("#/").split("/"):
            at = at[name]
        node = at
    return node


def validate(value, schema):
    """Raises what is wrong with the value, by the most telling of the schemas that it fails."""
    validator = jsonschema.Draft202012Validator(
        {**schema, "components": description()["components"]},
        format_checker=jsonschema.FormatChecker())
    error = jsonschema.exceptions.best_match(validator.iter_errors(value))
    if error:
        raise AssertionError(f"{error.json_path}: {error.message}; in {json.dumps(value)[:600]}")


def schemas(node):
    """All schemas of a part of the document."""
    if isinstance(node, list):
        for item in node:
            yield from schemas(item)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == "schema":
                yield from subschemas(value)
            elif name == "schemas":
                for schema in value.values():
                    yield from subschemas(schema)
            else:
                yield from schemas(value)


def subschemas(schema):
    yield schema
    for inner in schema.get("properties", {}).values():
        yield from subschemas(inner)
    for inner in schema.get("oneOf", []):
        yield from subschemas(inner)
    for name in "items", "additionalProperties":
        if isinstance(schema.get(name), dict):
            yield from subschemas(schema[name])


class Document(harness.Case):
    """The document itself."""

    def test_its_schemas_are_such_and_its_references_lead_somewhere(self):
        for schema in schemas(description()):
            jsonschema.Draft202012Validator.check_schema(schema)
            self.assertLessEqual(set(schema), SCHEMA_KEYS, "a keyword that is misspelt?")
            resolve(schema)
            if schema.get("type") == "object":
                self.assertIn("additionalProperties", schema)
            self.assertLessEqual(set(schema.get("required", ())),
                                 set(schema.get("properties", schema.get("required", ()))))

    def test_every_operation_has_a_name_of_its_own(self):
        names = [op["operationId"] for path in description()["paths"].values()
                 for op in path.values()]
        self.assertEqual(len(names), len(set(names)))

    def test_a_problem_has_the_kinds_that_the_routes_have(self):
        every = set(description()["components"]["schemas"]["Problem"]["properties"]["type"]["enum"])
        used = {"urn:penstock:problem:unknown-path", "urn:penstock:problem:wrong-method"}
        for path in description()["paths"].values():
            for operation in path.values():
                for response in operation["responses"].values():
                    content = resolve(response)["content"].get("application/problem+json")
                    if content:
                        used.update(content["schema"]["properties"]["type"]["enum"])
        self.assertEqual(used, every)


    def test_the_page_has_the_same_routes_and_problems(self):
        text = page()
        routes = set()
        for method, path, argument in re.findall(
                r"^\.It Cm (GET|POST|DELETE) (\S+)(?: Ns Ar (\w+))?", text, re.M):
            routes.add((method, path + (f"{{{argument.lower()}}}" if argument else "")))
        self.assertEqual(routes, {(method.upper(), path)
                                  for path, methods in description()["paths"].items()
                                  for method in methods})
        every = description()["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
        self.assertEqual(sorted("urn:penstock:problem:" + name for name in
                                re.findall(r"^\.It Li ([a-z-]+) Ta \d+ Ta", text, re.M)),
                         sorted(every))


class Case(daemon_harness.Case):
    """Every answer that a test asks for is held against the document."""

    seen = collections.defaultdict(set)  # what was answered: {(path, method): {status}}

    def operation_of(self, target, method):
        path = target.split("?")[0]
        paths = description()["paths"]
        name = path if path in paths else re.sub(
            r"^/page/.+", "/page/{file}", re.sub(r"^/v1/jobs/.+", "/v1/jobs/{id}", path))
        return name, paths.get(name, {}).get("get" if method == "HEAD" else method.lower())

    def ask(self, daemon, method, target, body=None, media="application/json", **headers):
        """Returns the answer, which is described."""
        if body is not None and not isinstance(body, str):
            body = json.dumps(body)
        connection = daemon_harness.UnixConnection(daemon.socket)
        try:
            connection.request(method, target, body,
                               {**headers, **({"Content-Type": media} if body else {})})
            response = connection.getresponse()
            answer = daemon_harness.Answer(response.status, response.headers,
                                           response.read().decode())
        finally:
            connection.close()
        self.check(method, target, answer)
        return answer

    def check(self, method, target, answer):
        what = f"{method} {target[:100]}: {answer.status} {answer.body[:400]}"
        name, operation = self.operation_of(target, method)
        media = answer.headers["Content-Type"]
        if operation is None:
            self.assertIn(answer.status, (404, 405), f"is not in doc/openapi.json: {what}")
            validate(answer.json, {"$ref": "#/components/schemas/Problem"})
            return
        self.assertIn(str(answer.status), operation["responses"],
                      f"the status is not in doc/openapi.json: {what}")
        response = resolve(operation["responses"][str(answer.status)])
        self.assertIn(media, response["content"], f"not in doc/openapi.json: {what}")
        self.check_headers(answer, response, what)
        Case.seen[name, method].add(answer.status)
        if method == "HEAD":
            self.assertEqual(answer.body, "")
            return
        for value in self.values_of(answer, media):
            try:
                validate(value, response["content"][media]["schema"])
            except AssertionError as error:
                raise AssertionError(f"{what}\nis not as in doc/openapi.json: {error}") from None
            self.check_dates(value)

    def check_headers(self, answer, response, what):
        usual = {"Date", "Content-Type", "Content-Length", "Cache-Control", "Connection",
                 "Transfer-Encoding", "X-Content-Type-Options"}
        described = set(response.get("headers", {}))
        self.assertLessEqual(set(answer.headers) - usual, described, what)
        self.assertEqual((answer.headers["Cache-Control"],
                          answer.headers["X-Content-Type-Options"]), ("no-store", "nosniff"))
        if media_is_problem(answer):
            problem = answer.json
            self.assertEqual(problem["status"], answer.status, what)
            self.assertEqual(answer.headers["Retry-After"],
                             str(problem["retry_after"]) if "retry_after" in problem else None)

    @staticmethod
    def values_of(answer, media):
        if media == NDJSON:
            return [json.loads(line) for line in answer.body.splitlines() if line]
        return [answer.json if "json" in media else answer.body]

    def check_dates(self, value):
        """jsonschema knows date-time only with a package that need not be there."""
        if isinstance(value, dict):
            for name, inner in value.items():
                if inner is not None and name.endswith("_at") or name == "deadline":
                    self.assertRegex(inner, DATE)
                self.check_dates(inner)

    def expect(self, daemon, status, kind, method, target, body=None, **more):
        """The answer is a problem of that kind."""
        answer = self.ask(daemon, method, target, body, **more)
        self.assertEqual((answer.status, answer.json["type"]),
                         (status, "urn:penstock:problem:" + kind), answer.body)
        return answer.json

    def job(self, path, **more):
        return {"url": self.origin.url(path), **more}


def media_is_problem(answer):
    return answer.headers["Content-Type"] == "application/problem+json" and answer.body


class Routes(Case):
    def test_every_route_and_method_is_described_and_there(self):
        self.configure()
        daemon = self.daemon()
        detail = self.expect(daemon, 404, "unknown-path", "GET", "/nowhere")["detail"]
        there = {}
        for path in detail.split("; there are ")[1].split(", "):
            target = path + "x" if path.endswith("/") and path != "/" else path
            answer = self.ask(daemon, "BREW", target)
            self.assertEqual((answer.status, answer.json["type"]),
                             (405, "urn:penstock:problem:wrong-method"))
            name, _ = self.operation_of(target, "BREW")
            there[name] = set(answer.headers["Allow"].split(", ")) - {"HEAD"}
        described = {path: {method.upper() for method in operations}
                     for path, operations in description()["paths"].items()}
        self.assertEqual(there, described, "the daemon's routes, and those in doc/openapi.json")
        daemon.stop()

    def test_what_is_not_taken_has_its_problem_on_each_route(self):
        self.configure()
        daemon = self.daemon()
        long = "x" * 4097
        for path, operations in description()["paths"].items():
            for method in map(str.upper, operations):
                target = path.replace("{id}", "a").replace("{file}", "a")
                self.expect(daemon, 414, "target-too-long", method, f"{target}?{long}")
                self.expect(daemon, 400, "bad-target", method, target + "?a=%00")
                if "requestBody" not in operations[method.lower()]:
                    self.expect(daemon, 413, "body-not-taken", method, target, "x")
                elif path != "/v1/jobs":
                    self.expect(daemon, 413, "body-too-large", method, target, "x" * 5000)
                    place = self.expect(daemon, 400, "bad-json", method, target, "{\n 1: 2}")
                    self.assertEqual((place["line"], place["column"]), (2, 2))
                    self.expect(daemon, 400, "bad-body", method, target, [1])
                if method == "GET":
                    self.assertEqual(self.ask(daemon, "HEAD", target).status,
                                     self.ask(daemon, "GET", target).status)
        daemon.stop()

    def test_who_may_only_look(self):
        self.configure('control: { stats_socket = "stats.sock"; };')
        self.daemon()
        stats = types.SimpleNamespace(socket=self.path("stats.sock"))
        for path, operations in description()["paths"].items():
            for method in map(str.upper, operations):
                target = path.replace("{id}", "a").replace("{file}", "a")
                if method == "GET":
                    self.assertNotEqual(self.ask(stats, method, target).status, 403)
                else:
                    self.expect(stats, 403, "not-here", method, target)

    def test_what_comes_too_slowly_or_in_excess(self):
        self.configure()
        daemon = self.daemon()
        clients = [socket.socket(socket.AF_UNIX) for _ in range(256)]
        for client in clients:
            client.connect(daemon.socket)
        self.expect(daemon, 503, "too-many-connections", "GET", "/v1/status")
        for client in clients:
            client.close()
        daemon.kill()  # test_control.c waits for the 408


class Durable(Case):
    durable = True

    def start(self, *lines, **more):
        self.configure(daemon_harness.UNLIMITED if more.pop("unlimited", False) else "", *lines,
                       **more)
        return self.daemon()

    def test_views_of_a_daemon_that_works(self):
        daemon = self.start('results: { bodies = "inline"; headers = ( "content-type" ); };',
                            'retry: { base = "1h"; max = "1h"; };', sources=(self.follow(),))
        self.append("urls", self.jobs("/ok", ["s1"]) + "no job\n")
        for name, path in (("ok", "/ok"), ("gone", "/status/404"), ("again", "/status/503"),
                           ("stalls", "/stall"), ("nobody", None)):
            job = self.job(path, id=name, meta={"a": [1]}) if path else {
                "url": "http://127.0.0.1:1/", "id": name, "retry": False}
            self.assertEqual(self.ask(daemon, "POST", "/v1/jobs", job).status, 202)
        hour, hours = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + s))
                       for s in (3600, 7200))
        later = self.job("/ok", id="later", not_before=hour, deadline=hours)
        self.assertEqual(self.ask(daemon, "POST", "/v1/jobs", later).status, 202)
        states = {"ok": "done", "gone": "dead", "again": "delayed", "stalls": "running",
                  "nobody": "dead", "later": "delayed", "s1": "done"}
        for name, state in states.items():
            harness.eventually(lambda n=name, s=state: self.ask(
                daemon, "GET", f"/v1/jobs/{n}").json.get("state") == s, f"{name} is {state}")
        for target in "/v1/status", "/healthz", "/readyz", "/v1/lanes", "/v1/lanes?limit=1", \
                "/v1/history", "/v1/history?since=1":
            self.assertEqual(self.ask(daemon, "GET", target).status, 200)
        for accept in "*/*", "application/openmetrics-text":
            self.assertEqual(self.ask(daemon, "GET", "/metrics", Accept=accept).status, 200)
        for target in "/v1/lanes?limit=0", "/v1/history?since=x":
            self.expect(daemon, 400, "bad-parameter", "GET", target)
        for query in "", "?last=1", "?outcome=dead", "?from=0&limit=2", "?since=2020-01-01T00:00:00Z":
            self.assertEqual(self.ask(daemon, "GET", "/v1/results" + query).status, 200)
        for query in "?from=x", "?limit=0", "?outcome=x", "?since=now":
            self.expect(daemon, 400, "bad-parameter", "GET", "/v1/results" + query)
        self.expect(daemon, 404, "unknown-record", "GET", "/v1/results?from=99")
        page = self.ask(daemon, "GET", "/").body
        for name in set(re.findall(r'"(/?page/[^"]+)"', page)):
            self.assertEqual(self.ask(daemon, "GET", "/" + name.lstrip("/")).status, 200)
        self.expect(daemon, 404, "unknown-path", "GET", "/page/nothing")
        self.expect(daemon, 404, "unknown-job", "GET", "/v1/jobs/x")
        self.expect(daemon, 404, "unknown-job", "DELETE", "/v1/jobs/x")
        self.expect(daemon, 409, "wrong-state", "DELETE", "/v1/jobs/ok")
        harness.eventually(lambda: self.ask(daemon, "GET", "/v1/jobs/stalls").json["why_code"] ==
                           "running", "it runs")
        self.expect(daemon, 409, "wrong-state", "DELETE", "/v1/jobs/stalls")
        self.assertEqual(self.ask(daemon, "DELETE", "/v1/jobs/later").status, 202)
        self.requeue(daemon)
        daemon.kill()

    def requeue(self, daemon):
        target = "/v1/control/requeue"
        self.expect(daemon, 404, "unknown-job", "POST", target, {"id": "x"})
        self.expect(daemon, 409, "wrong-state", "POST", target, {"id": "ok"})
        new = self.ask(daemon, "POST", target, {"id": "gone"}).json["id"]
        harness.eventually(lambda: self.ask(daemon, "GET", f"/v1/jobs/{new}").json["state"] ==
                           "dead", "the new one is dead, too")
        self.assertEqual(self.ask(daemon, "POST", target, {"all": True}).json["requeued"], 2)

    def test_the_examples_of_the_page_run(self):
        daemon = self.start()
        self.write("urls.txt", "http://127.0.0.1:1/\n")
        self.assertGreater(len(examples()), 15)
        pen = "pen() { curl -sS -w '\\n%{http_code}\\n' --unix-socket control.sock \"$@\"; }\n"
        for command in examples():
            ended = subprocess.run(["sh", "-c", pen + command], cwd=self.dir, text=True,
                                   capture_output=True, timeout=harness.PATIENCE)
            self.assertEqual((ended.returncode, ended.stderr), (0, ""), command)
            if "-o /dev/null" not in command:
                wanted = {200, 202, 409} if "DELETE" in command else \
                    {400} if '"origin" 1' in command else {200, 202}
                self.assertIn(int(ended.stdout.split("\n")[-2]), wanted,
                              f"{command}: {ended.stdout}")
        daemon.kill()

    def test_jobs_that_are_taken_and_that_are_not(self):
        daemon = self.start("backlog: { max_jobs = 3; };", workers=1)
        stall = self.job("/stall", id="a")
        answer = self.ask(daemon, "POST", "/v1/jobs", stall)
        self.assertEqual((answer.status, answer.headers["Location"]), (202, "/v1/jobs/a"))
        self.assertEqual(self.ask(daemon, "POST", "/v1/jobs", stall).status, 200)
        self.expect(daemon, 409, "id-conflict", "POST", "/v1/jobs", {**stall, "meta": 1})
        self.expect(daemon, 400, "bad-job", "POST", "/v1/jobs", "")
        self.expect(daemon, 400, "bad-job", "POST", "/v1/jobs", "no url")
        place = self.expect(daemon, 400, "bad-json", "POST", "/v1/jobs", "{,}")
        self.assertEqual((place["line"], place["column"]), (1, 2))
        self.expect(daemon, 400, "bad-parameter", "POST", "/v1/jobs?wait=soon", stall)
        self.expect(daemon, 413, "body-too-large", "POST", "/v1/jobs", "x" * (1 << 20) + "x")
        self.expect(daemon, 400, "bad-body", "POST", "/v1/jobs", "# none\n", media=NDJSON)
        url = self.origin.url("/stall")
        lines = "\n".join(["no url", '{"id": }', json.dumps(stall), url, url, url,
                           json.dumps({**stall, "meta": 1}), "x" * (1 << 20)]) + "\n"
        answer = self.ask(daemon, "POST", "/v1/jobs", lines, media=NDJSON)
        receipts = [json.loads(line) for line in answer.body.splitlines()]
        self.assertEqual([r.get("code", r["status"]) for r in receipts],
                         [400, 400, "known", "accepted", "accepted", 429, 429, 400])
        self.assertEqual((receipts[1]["type"], receipts[1]["line"], receipts[1]["column"]),
                         ("urn:penstock:problem:bad-json", 2, 8))
        for status, line in (400, "no url"), (429, url):
            answer = self.ask(daemon, "POST", "/v1/jobs", line, media=NDJSON)
            self.assertEqual((answer.status, answer.headers["Content-Type"]), (status, NDJSON))
        self.expect(daemon, 429, "backlog-full", "POST", "/v1/jobs", url)
        self.ask(daemon, "GET", "/v1/status")
        daemon.kill()

    def test_a_full_disk(self):
        self.configure('backlog: { min_free = "1T"; };')
        daemon = self.launch()
        harness.eventually(lambda: os.path.exists(daemon.socket), "there is the socket")
        self.expect(daemon, 507, "disk-full", "POST", "/v1/jobs", self.job("/ok"))
        answer = self.ask(daemon, "POST", "/v1/jobs", self.origin.url("/ok"), media=NDJSON)
        self.assertEqual(answer.status, 507)
        self.expect(daemon, 503, "not-ready", "GET", "/readyz")
        self.ask(daemon, "GET", "/v1/status")
        daemon.kill()

    def test_levers_and_settings(self):
        daemon = self.start(workers=2)
        origin = self.origin.url("/")
        for command in "pause", "resume":
            for body in None, {}, {"origin": origin}:
                answer = self.ask(daemon, "POST", f"/v1/control/{command}", body)
                self.assertEqual(answer.json["durable"], True)
                self.ask(daemon, "GET", "/v1/lanes")
            self.expect(daemon, 400, "bad-body", "POST", f"/v1/control/{command}",
                        {"origin": "here"})
        for target, body in (("/v1/control/set", {"workers": 3}), ("/v1/control/reload", None)):
            self.expect(daemon, 400, "bad-parameter", "POST", target + "?dry_run=x", body)
            self.assertIn("dry_run", self.ask(daemon, "POST", target + "?dry_run=true", body).json)
            self.assertEqual(len(self.ask(daemon, "POST", target, body).json["changed"]), 1)
        self.expect(daemon, 400, "bad-settings", "POST", "/v1/control/set", {"wrokers": 3})
        self.expect(daemon, 409, "settings-conflict", "POST", "/v1/control/set",
                    {"results.path": "x"})
        self.configure('results: { path = "other"; };', workers=2)
        self.assertEqual(self.ask(daemon, "POST", "/v1/control/reload").json["needs_restart"],
                         ["results.path"])
        self.configure("bogus = 1;")
        self.expect(daemon, 400, "bad-settings", "POST", "/v1/control/reload?dry_run=true")
        daemon.kill()

    def test_a_daemon_that_drains_and_one_that_stops(self):
        daemon = self.start('stop_timeout = "1h";', workers=1)
        self.ask(daemon, "POST", "/v1/jobs", self.job("/stall", id="a"))
        self.await_in_flight(1)
        self.assertEqual(self.ask(daemon, "POST", "/v1/control/drain").status, 200)
        self.expect(daemon, 503, "draining", "POST", "/v1/jobs", self.job("/ok"))
        self.expect(daemon, 503, "draining", "GET", "/readyz")
        self.assertEqual(self.ask(daemon, "GET", "/v1/status").json["state"], "draining")
        daemon.signal()
        daemon.await_message("stopping")
        self.expect(daemon, 503, "stopping", "GET", "/readyz")
        self.expect(daemon, 503, "stopping", "POST", "/v1/control/set", {"workers": 2})
        for target in "/v1/jobs/a", "/v1/lanes", "/v1/status", "/healthz":
            self.ask(daemon, "GET", target)
        for command in "pause", "resume", "requeue":
            self.ask(daemon, "POST", f"/v1/control/{command}",
                     {"all": True} if command == "requeue" else None)
        daemon.kill()


class Memory(Case):
    def test_what_a_memory_backlog_cannot_do(self):
        self.configure(workers=1)
        daemon = self.daemon()
        self.assertEqual(self.ask(daemon, "POST", "/v1/jobs", self.job("/stall")).status, 202)
        self.await_in_flight(1)
        self.ask(daemon, "GET", "/v1/status")
        self.expect(daemon, 501, "not-supported", "GET", "/v1/jobs/a")
        self.expect(daemon, 501, "not-supported", "DELETE", "/v1/jobs/a")
        self.expect(daemon, 501, "not-supported", "POST", "/v1/control/requeue", {"id": "a"})
        self.assertEqual(self.ask(daemon, "GET", "/v1/lanes").status, 200)
        answer = self.ask(daemon, "POST", "/v1/control/pause")
        self.assertEqual(answer.json, {"paused": True, "origin": None, "durable": False})
        daemon.kill()


def tearDownModule():
    """Each operation has been answered with what it is for."""
    missing = [f"{method} {path}" for path, operations in description()["paths"].items()
               for method in map(str.upper, operations)
               if not any(status < 300 for status in Case.seen[path, method])]
    if missing and len(sys.argv) < 2:
        raise AssertionError(f"never asked for with success: {', '.join(missing)}")


if __name__ == "__main__":
    harness.main()
