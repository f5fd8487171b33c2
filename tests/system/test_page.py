#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page at /, in a headless Chromium."""
import os
import re
import sys

import browser_harness
import daemon_harness
import harness

SOURCES = os.path.join(os.environ.get("PENSTOCK_SRC", "."), "src/control/page")
HOSTILE = "<img src=x onerror=alert(1)>"
# The daemon has missed every second, and its figures are as large as they are whole in JavaScript.
DISTORTED = """
const large = name => value => typeof value === "number" && !/seconds|pid/.test(name) ? 9e15
	: value && typeof value === "object" ? Object.fromEntries(
		Object.entries(value).map(([key, v]) => [key, large(key)(v)])) : value;
const ask = fetch;
window.fetch = async (path, options) => {
	const answer = await ask(path, options);
	let told = await answer.json();
	if (path.startsWith("v1/status"))
		told = { ...large("")({ ...told, sources: undefined }),
			sources: told.sources.map(large("")) };
	if (path.startsWith("v1/history"))
		for (const group of [told.series, told.waiting_by_reason, told.failures_by_reason])
			for (const name in group)
				group[name] = group[name].map(
					() => ["accepted", "settled", "received_bytes"].includes(name) ? 9e15 : null);
	return new Response(JSON.stringify(told), answer);
};
"""


class Files(daemon_harness.Case):
    """What is served, without a browser."""

    def test_they_are_those_of_the_sources(self):
        self.configure()
        daemon = self.daemon()
        names = os.listdir(SOURCES)
        self.assertIn("index.html", names)
        for name in names:
            answer = daemon.get("/" if name == "index.html" else "/page/" + name)
            with open(os.path.join(SOURCES, name), encoding="utf-8") as file:
                self.assertEqual(answer.body, file.read(), name)
            self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
            self.assertIn("default-src 'none'", answer.headers["Content-Security-Policy"])
        for target in "/page/", "/page", "/page/page", "/page/../page/page.js":
            self.assertEqual(daemon.get(target).status, 404, target)


class Page(daemon_harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.browser = browser_harness.Browser()
        cls.addClassCleanup(cls.browser.close)

    def listen(self, port=0):
        """A daemon that shows its page over TCP."""
        self.configure(f'control: {{ listen = ( "127.0.0.1:{port}" ); }};',
                       "queue: { capacity = 5; };", daemon_harness.UNLIMITED,
                       sources=(self.follow(), self.follow(HOSTILE)), workers=2)
        self.append("urls", "")
        self.append(HOSTILE, "")
        daemon = self.daemon()
        self.base = f"http://127.0.0.1:{daemon.tcp_ports()[0]}/"
        return daemon

    def show(self, script=""):
        """The page, once it has an answer; the script runs before its own do."""
        page = self.browser.open()
        page.call("Page.addScriptToEvaluateOnNewDocument", source=script)
        page.resize(1280, 800)
        page.go(self.base)
        page.await_text("#link", lambda text: text == "live", "it has an answer")
        return page

    def submit(self, path, n):
        self.append("urls", self.urls(*[path] * n))

    def check_clean(self, page, *allowed):
        """No error but those, and no request to anyone else."""
        errors = [e for e in page.errors if not any(a in e for a in allowed)]
        self.assertEqual(errors, [])
        self.assertEqual([u for u in page.requests if not u.startswith(self.base)], [])

    def heights(self, page, selector):
        """How many different heights a line has."""
        path = page.eval(f"document.querySelector('{selector} .edge').getAttribute('d')")
        return len(set(re.findall(r",([\d.]+)", path)))

    def test_the_plots_move_with_the_load(self):
        daemon = self.listen()
        page = self.show()
        self.assertEqual(page.text("#queue .figure"), "0 of 5")
        self.assertEqual(page.text("#waiting .verdict"), "No job waits.")
        self.assertIn(f"process {daemon.pid}", page.text("#facts"))
        page.await_text("#queue .legend", lambda text: text == "queued 0", "a sample")

        self.submit("/ok", 30)
        self.submit("/status/404", 10)
        page.await_text("#failures .figure", lambda text: text == "25 % of fetches", "failures")
        page.await_text("#failures .verdict", lambda text: text ==
                        "Last minute: 10 with HTTP 4xx; 10 of 40 jobs dead.", "what fails")
        self.assertGreater(self.heights(page, "#speed .settled"), 1)

        self.submit("/stall", 10)
        page.await_text("#queue .figure", lambda text: text == "5 of 5", "the queue is full")
        page.await_text("#queue .verdict", lambda text: text.startswith("Full: "), "a verdict")
        page.await_text("#queue .legend", lambda text: text == "queued 5", "the plot knows it")
        self.assertGreater(self.heights(page, "#queue"), 1)
        page.await_text("#waiting .figure", lambda text: text == "8 jobs", "those that wait")
        page.await_text("#waiting .verdict", lambda text: "for a worker" in text, "for what")
        page.await_text("#waiting .legend", lambda text: "worker 5" in text, "how many for that")
        page.await_text("#lanes tbody", lambda text: self.origin.name in text, "the lane")
        page.await_text("#meters", lambda text: "2 of 2 busy" in text, "the workers")
        page.await_text("#sources tbody", lambda text: re.search(r"urls\s+50\s+reads", text),
                        "what was read")
        self.check_clean(page)

    def test_what_strangers_name_is_only_text(self):
        self.listen()
        page = self.show()
        self.assertIn(HOSTILE, page.text("#sources tbody"))
        self.assertEqual(page.eval("document.images.length"), 1)  # the icon
        page.eval("document.body.append(Object.assign(document.createElement('script'), "
                  "{ textContent: 'window.ran = true' }))")
        self.assertFalse(page.eval("Boolean(window.ran)"))
        self.check_clean(page, "Content Security Policy")

    def test_the_clocks_may_differ(self):
        self.listen()
        self.submit("/status/503?retry_after=600", 1)
        page = self.show("const now = Date.now; Date.now = () => now() + 3600000;")
        page.await_text("#lanes tbody", lambda text: re.search(
            r"Retry-After for (10 min|9 min)", text), "how long its lane is left alone")
        self.check_clean(page)

    def test_missed_seconds_and_large_figures(self):
        self.listen()
        self.submit("/stall", 10)
        page = self.show(DISTORTED)
        page.await_text("#queue .legend", lambda text: text == "queued –", "a missed second")
        page.await_text("#speed .legend", lambda text: "settled 9000T/s" in text, "large ones")
        self.assertEqual(page.text("#queue .figure"), "9000T of 9000T")
        self.assertIn("9000T worker", page.text("#waiting .verdict").replace("for a ", ""))
        for width in 320, 1280:
            page.resize(width, 740, mobile=width < 1000)
            self.assertEqual(page.eval("document.documentElement.scrollWidth"), width)
        self.check_clean(page)

    def test_it_fits_a_phone_and_follows_the_scheme(self):
        self.listen()
        self.submit("/stall", 10)
        page = self.show()
        page.await_text("#lanes tbody", lambda text: self.origin.name in text, "the lane")
        for width in 320, 360, 1280:
            page.resize(width, 740, mobile=width < 1000)
            self.assertEqual(page.eval("document.documentElement.scrollWidth"), width)
        grounds = {}
        for scheme in "light", "dark":
            page.prefer(scheme)
            ground = page.eval("getComputedStyle(document.body).backgroundColor")
            grounds[scheme] = sum(map(int, re.findall(r"\d+", ground)))
        self.assertLess(grounds["dark"], 3 * 64)
        self.assertGreater(grounds["light"], 3 * 192)
        self.check_clean(page)

    def test_the_keyboard_reaches_the_past(self):
        self.listen()
        page = self.show()
        page.await_text("#queue .when", lambda text: text == "now", "a sample")
        page.eval("document.querySelector('#queue .drawing').focus()")
        page.press("ArrowLeft")
        for plot in "queue", "failures":  # the cursor is that of all plots
            page.await_text(f"#{plot} .when", lambda text: text.endswith(" s ago"),
                            "an earlier one")
        told = page.eval(
            "document.querySelector('#queue .drawing').getAttribute('aria-valuetext')")
        self.assertRegex(told, r"\d s ago: queued ")
        page.press("Escape")
        page.await_text("#queue .when", lambda text: text == "now", "the last one again")
        self.check_clean(page)

    def test_it_says_that_the_daemon_is_gone_and_goes_on_with_the_next(self):
        holder = harness.closed_port()  # so that nobody else gets it in between
        self.addCleanup(holder.close)
        port = holder.getsockname()[1]
        daemon = self.listen(port)
        page = self.show()
        page.await_text("#queue .when", lambda text: text == "now", "a sample")
        daemon.stop()
        page.await_text("#link", lambda text: text == "no answer", "it has none")
        page.await_text("#troubles", lambda text: "does not answer since" in text, "it says so")
        self.assertIn("no answer", page.eval("document.title"))

        daemon = self.listen(port)
        page.await_text("#facts", lambda text: f"process {daemon.pid}" in text, "the next one")
        page.await_text("#link", lambda text: text == "live", "it answers")
        page.await_text("#troubles", lambda text: text == "", "no trouble any more")
        self.check_clean(page, "net::ERR_CONNECTION_REFUSED", "net::ERR_CONNECTION_RESET",
                         "net::ERR_EMPTY_RESPONSE")

    def test_it_asks_nothing_while_nobody_looks(self):
        self.listen()
        page = self.show()
        page.eval("Object.defineProperty(document, 'hidden', { get: () => window.away }), 0")
        asked = self.requests_of_five_seconds(page)
        self.assertGreater(asked, 0)
        page.eval("window.away = true, document.dispatchEvent(new Event('visibilitychange')), 0")
        self.requests_of_five_seconds(page)  # a round that was under way ends
        self.assertEqual(self.requests_of_five_seconds(page), 0)
        page.eval("window.away = false, document.dispatchEvent(new Event('visibilitychange')), 0")
        self.assertGreater(self.requests_of_five_seconds(page), 0)

    def requests_of_five_seconds(self, page):
        """How many come while the page's clock, not ours, goes on for so long."""
        before = len(page.requests)
        page.pass_time(5000)
        return len(page.requests) - before


if __name__ == "__main__":
    if not browser_harness.PROGRAM:
        print("skipped: there is no chromium (Debian: chromium)")
        sys.exit(77)
    harness.main()
