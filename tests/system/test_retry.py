#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Attempts and what becomes of them: retries, Retry-After, redirects, bodies, refusals."""
import json
import signal
import urllib.parse

import harness
from harness import OK, SOME_FAILED

QUICK = ("--set", "retry.base=1ms", "--set", "retry.max=10ms")


class Retries(harness.Case):
    def fetch_one(self, target, *args, code=OK, **job):
        job["url"] = self.origin.url(target)
        ended = self.fetch(*QUICK, *args, code=code, stdin=json.dumps(job))
        self.assertEqual(len(ended.records), 1)
        return ended.records[0]

    def test_a_job_is_attempted_until_it_succeeds(self):
        record = self.fetch_one("/flaky/2/a")
        self.assertEqual((record["outcome"], record["attempts"], record["response_code"]),
                         ("done", 3, 200))
        self.assertEqual(len(self.origin.arrivals("/flaky/2/a")), 3)

    def test_a_broken_connection_is_retried(self):
        record = self.fetch_one("/flaky-reset/2/a")
        self.assertEqual((record["outcome"], record["attempts"]), ("done", 3))

    def test_the_last_attempt_makes_a_job_dead(self):
        record = self.fetch_one("/flaky/9/dead", "--max-attempts", 4, code=SOME_FAILED)
        self.assertEqual((record["outcome"], record["reason"], record["attempts"]),
                         ("dead", "retries exhausted: http 503", 4))
        self.assertEqual(record["response_code"], 503)
        self.assertEqual(len(self.origin.arrivals("/flaky/9/dead")), 4)

    def test_one_attempt_means_no_retry(self):
        record = self.fetch_one("/status/500", "--max-attempts", 1, code=SOME_FAILED)
        self.assertEqual((record["reason"], record["attempts"]), ("http 500", 1))

    def test_what_would_be_the_same_again_is_not_retried(self):
        for status in 400, 401, 403, 404, 410, 501:
            target = f"/status/{status}?once"
            record = self.fetch_one(target, code=SOME_FAILED)
            self.assertEqual((record["outcome"], record["reason"], record["attempts"]),
                             ("dead", f"http {status}", 1))
            self.assertEqual(len(self.origin.arrivals(target)), 1)

    def test_what_passes_is_retried(self):
        for status in 408, 425, 429, 500, 502, 503, 504:
            target = f"/status/{status}?twice"
            record = self.fetch_one(target, "--max-attempts", 2, code=SOME_FAILED)
            self.assertEqual(record["reason"], f"retries exhausted: http {status}")
            self.assertEqual(len(self.origin.arrivals(target)), 2)

    def test_a_post_is_made_once_unless_its_job_allows_more(self):
        record = self.fetch_one("/flaky/1/post", code=SOME_FAILED, method="POST", body="x")
        self.assertEqual((record["reason"], record["attempts"]), ("not retried: http 503", 1))
        self.assertEqual(len(self.origin.arrivals("/flaky/1/post")), 1)

        record = self.fetch_one("/flaky/1/allowed", method="POST", body="x", retry=True)
        self.assertEqual((record["outcome"], record["attempts"]), ("done", 2))
        self.assertEqual(len(self.origin.arrivals("/flaky/1/allowed")), 2)

    def test_a_get_is_not_retried_if_its_job_forbids_it(self):
        record = self.fetch_one("/flaky/1/forbidden", code=SOME_FAILED, retry=False)
        self.assertEqual((record["reason"], record["attempts"]), ("not retried: http 503", 1))

    def test_methods_that_may_be_repeated_are(self):
        for method in "PUT", "DELETE", "HEAD", "OPTIONS":
            record = self.fetch_one(f"/flaky/1/{method}", method=method)
            self.assertEqual((method, record["outcome"], record["attempts"]), (method, "done", 2))

    def test_retry_after_is_kept_to(self):
        target = "/flaky/2/later?retry_after=1"
        record = self.fetch_one(target)
        self.assertEqual((record["outcome"], record["attempts"]), ("done", 3))
        first, second, third = self.origin.arrivals(target)
        # Arrivals are whole milliseconds.
        self.assertGreaterEqual(second - first, 999)
        self.assertGreaterEqual(third - second, 999)

    def test_a_retry_after_beyond_the_limit_makes_a_job_dead(self):
        record = self.fetch_one("/status/503?retry_after=61", "--set", "retry.max_retry_after=1m",
                                code=SOME_FAILED)
        self.assertEqual(record["reason"],
                         "retry-after is longer than retry.max_retry_after: http 503")
        self.assertEqual(record["attempts"], 1)

    def test_the_state_says_what_a_retry_after_holds(self):
        urls = self.write("urls", self.urls("/status/503?retry_after=600", "/ok/1", "/ok/2"))
        fetch = self.start("-w", 1, "-q", 1, "--max-attempts", 1, urls)
        fetch.await_records(1)

        def says_it():
            fetch.signal(signal.SIGUSR2)
            return "held by Retry-After 2" in fetch.err.text
        harness.eventually(says_it, "the state names it")
        fetch.signal()
        self.assertEqual(fetch.wait().code, harness.UNFINISHED)

    def test_other_origins_go_on_while_one_has_asked_for_a_pause(self):
        other = self.server(harness.Origin, "127.0.0.2")
        text = self.urls(f"/flaky/1/slow?retry_after={1 + harness.SLOWNESS}") + \
            "".join(other.url(f"/ok/{i}\n") for i in range(30))
        records = self.fetch(*QUICK, "-w", 1, "-q", 1, stdin=text).records
        self.assertEqual(len(records), 31)
        self.assertIn("/flaky/", records[-1]["url"])

    def test_a_refused_connection_is_retried_and_named(self):
        with harness.closed_port() as holder:
            url = "http://127.0.0.1:%d/" % holder.getsockname()[1]
            record = self.fetch(*QUICK, "--max-attempts", 2, stdin=url, code=SOME_FAILED).records[0]
        self.assertEqual((record["reason"], record["attempts"], record["exitcode"]),
                         ("retries exhausted: connect failed", 2, 7))

    def test_the_summary_counts_retries(self):
        text = self.urls("/flaky/2/sum/1", "/flaky/1/sum/2", "/ok", "/status/404")
        ended = self.fetch(*QUICK, stdin=text, code=SOME_FAILED)
        self.assertIn("4 jobs: 3 done, 1 dead; 3 retries", ended.err)

    def test_what_counts_as_success_can_be_set(self):
        record = self.fetch_one("/status/404", "--set", "fetch.success=200-299,404")
        self.assertEqual((record["outcome"], record["response_code"]), ("done", 404))
        record = self.fetch_one("/ok", "--set", "fetch.success=204", code=SOME_FAILED)
        self.assertEqual((record["outcome"], record["reason"]), ("dead", "http 200"))


class Redirects(harness.Case):
    def fetch_one(self, target, *args, code=OK):
        return self.fetch(*QUICK, *args, code=code, stdin=self.urls(target)).records[0]

    def test_redirects_are_followed(self):
        record = self.fetch_one("/redirect/3")
        self.assertEqual((record["outcome"], record["num_redirects"], record["response_code"]),
                         ("done", 3, 200))
        self.assertEqual(record["url"], self.origin.url("/redirect/3"))
        self.assertEqual(record["url_effective"], self.origin.url("/redirect/0"))

    def test_the_limit_itself_is_allowed_and_one_more_is_not(self):
        record = self.fetch_one("/redirect/2", "--set", "fetch.max_redirects=2")
        self.assertEqual((record["outcome"], record["num_redirects"]), ("done", 2))
        record = self.fetch_one("/redirect/3", "--set", "fetch.max_redirects=2", code=SOME_FAILED)
        self.assertEqual((record["outcome"], record["reason"], record["attempts"]),
                         ("dead", "more than 2 redirects", 1))
        record = self.fetch_one("/redirect-loop", code=SOME_FAILED)
        self.assertEqual(record["reason"], "more than 5 redirects")

    def test_without_redirects_the_redirect_is_the_result(self):
        record = self.fetch_one("/redirect/1", "--set", "fetch.max_redirects=0")
        self.assertEqual((record["outcome"], record["response_code"], record["num_redirects"]),
                         ("done", 302, 0))

    def test_a_redirect_to_another_scheme_is_refused(self):
        for target in "ftp://127.0.0.1/x", "file:///etc/passwd", "gopher://127.0.0.1/":
            record = self.fetch_one("/redirect-to?url=" + target, code=SOME_FAILED)
            self.assertEqual((record["outcome"], record["attempts"]), ("dead", 1))
            self.assertIn("redirect refused: only http and https are fetched", record["reason"])

    def test_a_redirect_to_another_origin_takes_no_secret_along(self):
        notebook = self.server(harness.Notebook)
        there = urllib.parse.quote(f"http://127.0.0.1:{notebook.port}/there", safe="")
        job = {"url": self.origin.url("/redirect-to?url=" + there),
               "headers": {"Authorization": "Bearer secret", "Cookie": "a=b", "X-Plain": "1"}}
        record = self.fetch(stdin=json.dumps(job)).records[0]
        self.assertEqual((record["outcome"], record["num_redirects"]), ("done", 1))
        headers = notebook.requests[0][2]
        self.assertNotIn("Authorization", headers)
        self.assertNotIn("Cookie", headers)
        self.assertEqual(headers["X-Plain"], "1")

    def test_a_post_becomes_a_get_or_stays_one_as_its_redirect_says(self):
        for code, method, body in ((302, "GET", b""), (303, "GET", b""), (307, "POST", b"x"),
                                   (308, "POST", b"x")):
            notebook = self.server(harness.Notebook)
            there = urllib.parse.quote(f"http://127.0.0.1:{notebook.port}/", safe="")
            job = {"url": self.origin.url(f"/redirect-to?url={there}&code={code}"), "body": "x"}
            self.fetch(stdin=json.dumps(job))
            self.assertEqual((code, *notebook.requests[0][:1], notebook.requests[0][3]),
                             (code, method, body))

    def test_retries_begin_with_the_first_url_again(self):
        target = "/redirect-to?url=/flaky/1/behind"
        record = self.fetch_one(target)
        self.assertEqual((record["outcome"], record["attempts"]), ("done", 2))
        self.assertEqual(len(self.origin.arrivals(target)), 2)


class Responses(harness.Case):
    def reasons(self, *targets, args=()):
        text = self.urls(*targets)
        ended = self.fetch("--max-attempts", 1, *args, stdin=text, code=SOME_FAILED)
        return {r["url"].removeprefix(self.origin.url("")): r["reason"] for r in ended.records}

    def test_a_body_larger_than_allowed_fails_its_job(self):
        args = ("--set", "fetch.max_body=100K")
        targets = ("/bytes/102401", "/chunked/102401", "/no-length/102401", "/bytes/90000000")
        self.assertEqual(self.reasons(*targets, args=args),
                         dict.fromkeys(targets, "body larger than 102400 bytes"))
        records = self.fetch(*args, stdin=self.urls("/bytes/102400", "/chunked/102400")).records
        self.assertEqual([r["size_download"] for r in records], [102400, 102400])

    def test_faults_have_names(self):
        self.assertEqual(
            self.reasons("/garbage", "/bad-length", "/short/10", "/reset", "/close",
                         "/reset-body/1000"),
            {"/garbage": "bad response: not http", "/bad-length": "bad response",
             "/short/10": "connection closed within the body", "/reset": "connection lost",
             "/close": "connection closed without an answer",
             "/reset-body/1000": "connection lost"})

    def test_sound_answers_of_every_form_are_done(self):
        targets = ("/", "/bytes/0", "/bytes/1000000", "/chunked/100000", "/no-length/100000",
                   "/close-after", "/big-headers/50000", "/status/204", "/drip/100/0.1",
                   "/slow-headers/0.1", "/delay/0.1")
        records = self.fetch("-w", 3, stdin=self.urls(*targets)).records
        self.assertEqual({r["outcome"] for r in records}, {"done"})
        self.assertEqual(len(records), len(targets))

    def test_a_connection_is_used_again(self):
        before = self.origin.counters()["connections"]
        self.fetch("-w", 1, stdin=self.urls(*(f"/ok/{i}" for i in range(50))))
        # The two are penstock's one and that of the second question.
        self.assertEqual(self.origin.counters()["connections"] - before, 2)

    def test_a_proxy_of_the_environment_is_ignored(self):
        with harness.closed_port() as holder:
            proxy = "http://127.0.0.1:%d" % holder.getsockname()[1]
            env = harness.environment(http_proxy=proxy, HTTP_PROXY=proxy, https_proxy=proxy,
                                      all_proxy=proxy, ALL_PROXY=proxy)
            self.fetch("--max-attempts", 1, stdin=self.urls("/ok"), env=env)


if __name__ == "__main__":
    harness.main()
