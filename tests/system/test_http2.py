#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 and TLS against nginx: what records say of a connection, and that none that the server
has closed costs a job."""
import datetime
import os
import signal
import subprocess

import harness
import nginx_harness
from nginx_harness import TLS12, TLS13

INSECURE = ("--set", "origins[*].insecure=true")


class Nginx(harness.Case):
    @classmethod
    def setUpClass(cls):
        nginx_harness.share(cls)

    def records(self, *urls, **job):
        ended = self.fetch("--max-attempts", 1, *INSECURE, stdin="\n".join(urls))
        return {r["url"]: r for r in ended.records}


class Facts(Nginx):
    def test_of_tls(self):
        urls = {kind: self.nginx.url(kind) for kind in ("tls12", "tls13", "http1", "plain")}
        records = self.records(*urls.values())
        expiry = subprocess.run(["openssl", "x509", "-noout", "-enddate", "-dateopt", "iso_8601",
                                 "-in", self.nginx.cert("good.pem")], capture_output=True,
                                check=True, text=True).stdout.strip()
        for kind, version in (("tls12", TLS12), ("tls13", TLS13), ("http1", TLS13)):
            facts = records[urls[kind]]["tls"]
            self.assertEqual(set(facts), {"version", "cipher", "verified", "expires_at"})
            self.assertEqual(facts["version"], version)
            self.assertRegex(facts["cipher"], r"^[A-Z0-9_-]+$")
            self.assertIs(facts["verified"], False)  # these are insecure
            self.assertEqual("notAfter=" + facts["expires_at"].replace("T", " ")
                             .replace(".000000Z", "Z"), expiry)
        self.assertNotIn("tls", records[urls["plain"]])

    def test_of_an_expired_certificate(self):
        url = self.nginx.url("expired")
        record = self.records(url)[url]
        date = datetime.datetime.fromisoformat(record["tls"]["expires_at"].replace("Z", "+00:00"))
        self.assertEqual(date, datetime.datetime(2021, 1, 1, tzinfo=datetime.timezone.utc))

    def test_of_a_connection_that_is_used_again(self):
        lines = "".join(self.nginx.url(path=f"/seen?again={i}") + "\n" for i in range(20))
        ended = self.fetch("-w", 1, *INSECURE, stdin=lines)
        self.assertEqual(len({str(r["tls"]) for r in ended.records}), 1)
        self.assertEqual(sum(r["time_appconnect"] > 0 for r in ended.records), 1)

    def test_not_without_a_handshake(self):
        url = self.nginx.url("good").replace(str(self.nginx.port("good")),
                                             str(self.nginx.port("plain")))
        record = self.fetch("--max-attempts", 1, *INSECURE, stdin=url,
                            code=harness.SOME_FAILED).records[0]
        self.assertRegex(record["reason"], "^tls: handshake failed: ")
        self.assertNotIn("tls", record)

    def test_of_the_last_hop(self):
        to_plain = self.nginx.url("good", "/redirect?to=" + self.nginx.url("plain"))
        to_tls = self.nginx.url("plain", "/redirect?to=" + self.nginx.url("tls12"))
        records = self.records(to_plain, to_tls)
        self.assertNotIn("tls", records[to_plain])
        self.assertEqual(records[to_tls]["tls"]["version"], TLS12)

    def test_of_the_version(self):
        urls = {kind: self.nginx.url(kind) for kind in ("good", "http1", "plain")}
        records = self.records(*urls.values())
        self.assertEqual({kind: records[url]["http_version"] for kind, url in urls.items()},
                         {"good": "2", "http1": "1.1", "plain": "1.1"})

    def test_headers_and_encodings_over_http2(self):
        self.nginx.put("long", "x" * 100000)
        url = self.nginx.url(path="/long")
        record = self.fetch("--set", "results.headers=*", *INSECURE, stdin=url).records[0]
        self.assertEqual(record["headers"]["content-encoding"], ["gzip"])
        self.assertLess(record["size_download"], 1000)
        self.assertEqual((record["outcome"], record["http_version"]), ("done", "2"))
        record = self.fetch("--set", "fetch.max_body=99999", *INSECURE, stdin=url,
                            code=harness.SOME_FAILED).records[0]
        self.assertEqual(record["reason"], "body larger than 99999 bytes")


class Connections(Nginx):
    """No job has more than one attempt here."""

    def test_a_connection_that_has_had_its_requests_is_replaced(self):
        n = 2300  # nginx ends a connection after 1000 (keepalive_requests)
        lines = "".join(self.nginx.url(path=f"/seen?many={i}") + "\n" for i in range(n))
        ended = self.fetch("-w", 2, "--max-attempts", 1, *INSECURE, stdin=lines)
        self.assertEqual({r["http_version"] for r in ended.records}, {"2"})
        self.assertEqual(len(ended.records), n)

        def connections():
            seen = [r for r in self.nginx.requests() if "/seen?many=" in r["target"]]
            return len(seen) == n and {r["connection"] for r in seen}
        used = harness.eventually(connections, "all are in nginx's log")
        self.assertGreaterEqual(len(used), 3)
        self.assertLessEqual(len(used), 6)

    def fetch_around(self, kind, between):
        """Fetches once, has something happen, and fetches again, on one worker."""
        read, write = os.pipe()
        fetch = self.start("-w", 1, "--max-attempts", 1, *INSECURE, "-", stdin=read)
        os.close(read)
        with os.fdopen(write, "w") as writer:
            for i in range(2):
                print(self.nginx.url(kind, f"/seen?round={i}"), file=writer, flush=True)
                fetch.await_records(i + 1)
                if i == 0:
                    between()
        ended = fetch.wait()
        self.assertEqual(ended.code, harness.OK, ended.out)
        self.assertTrue(all(r["time_appconnect"] > 0 for r in ended.records) or kind == "plain")

    def reload(self):
        """nginx closes idle connections, over HTTP/2 with a GOAWAY."""
        lines = len(self.nginx.complaints("exited with code"))
        self.nginx.process.send_signal(signal.SIGHUP)
        harness.eventually(lambda: len(self.nginx.complaints("exited with code")) > lines,
                           "the old worker has gone")

    def test_a_reload_of_the_server_costs_nothing(self):
        for kind in "good", "http1", "plain":
            with self.subTest(kind=kind):
                self.fetch_around(kind, self.reload)


if __name__ == "__main__":
    harness.main()
