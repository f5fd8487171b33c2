# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, driven over a pipe (Chrome DevTools Protocol: JSON messages that end with a
NUL byte), and what its pages do: the requests they make and the errors they meet."""
import contextlib
import fcntl
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading

from harness import PATIENCE, environment, eventually

PROGRAM = shutil.which("chromium")
# Nothing that it does by itself may go to the network.
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
           "--disable-background-networking", "--disable-component-update", "--disable-sync",
           "--disable-extensions", "--disable-dev-shm-usage", "--hide-scrollbars",
           "--force-color-profile=srgb", "--no-proxy-server", "--remote-debugging-pipe")


class Browser:
    """One process, with an empty profile that goes with it."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="penstock-chromium-")
        self.ids = itertools.count(1)
        self.answers, self.pages = {}, {}
        to_child, self.write_fd = os.pipe()
        self.read_fd, from_child = os.pipe()

        def place_pipes():
            """It reads from descriptor 3 and writes to 4."""
            ends = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (to_child, from_child)]
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self.process = subprocess.Popen(
            [PROGRAM, *OPTIONS, f"--user-data-dir={self.profile}", "about:blank"],
            preexec_fn=place_pipes, close_fds=False, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=environment(HOME=self.profile))
        os.close(to_child)
        os.close(from_child)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        data = b""
        while chunk := os.read(self.read_fd, 1 << 20):
            *messages, data = (data + chunk).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self.answers[message["id"]] = message
                elif page := self.pages.get(message.get("sessionId")):
                    page.take(message["method"], message["params"])
        os.close(self.read_fd)

    def call(self, method, session=None, **params):
        """Sends a command and returns its answer."""
        number = next(self.ids)
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.write_fd, json.dumps(message).encode() + b"\0")
        answer = eventually(lambda: self.answers.pop(number, None), f"an answer to {method}")
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    def open(self):
        """A new empty page."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.pages[session] = page = Page(self, session)
        for domain in "Page", "Runtime", "Log", "Network":
            page.call(f"{domain}.enable")
        return page

    def close(self):
        with contextlib.suppress(OSError, AssertionError):
            self.call("Browser.close")
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.write_fd)
        shutil.rmtree(self.profile, ignore_errors=True)


class Page:
    def __init__(self, browser, session):
        self.browser, self.session = browser, session
        self.errors = []  # what the console would show in red
        self.requests = []  # URLs
        self.ended_spans = 0

    def take(self, event, params):
        if event == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif event == "Emulation.virtualTimeBudgetExpired":
            self.ended_spans += 1
        elif event == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"]))
        elif event == "Runtime.consoleAPICalled":
            self.errors.append(json.dumps(params["args"]))
        elif event == "Log.entryAdded":
            self.errors.append(json.dumps(params["entry"]))

    def call(self, method, **params):
        return self.browser.call(method, self.session, **params)

    def go(self, url):
        self.call("Page.navigate", url=url)

    def eval(self, expression):
        """The value of a JavaScript expression, which may be a promise."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in result:
            raise AssertionError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def text(self, selector):
        """What an element shows; "" if there is none."""
        return self.eval(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def await_text(self, selector, holds, what):
        return eventually(lambda: holds(self.text(selector)), f"{what}, in {selector}")

    def resize(self, width, height, scale=1, mobile=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=scale, mobile=mobile)

    def prefer(self, scheme):
        """Light or dark."""
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])

    def pass_time(self, milliseconds):
        """Has the page's clock go on, as fast as what it asks for is answered; then it stands."""
        spans = self.ended_spans
        self.call("Emulation.setVirtualTimePolicy", policy="pauseIfNetworkFetchesPending",
                  budget=milliseconds)
        eventually(lambda: self.ended_spans > spans, "the end of a span of the page's time")

    def press(self, key):
        for kind in "keyDown", "keyUp":
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def screenshot(self, whole=False):
        """A PNG, base64; of what is visible or of the whole page."""
        return self.call("Page.captureScreenshot", format="png",
                         captureBeyondViewport=whole)["data"]
