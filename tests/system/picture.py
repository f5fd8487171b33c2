#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""picture.py FILE.png: takes the picture of the daemon's page that the README shows.

A daemon of its own fetches from several origins, all of them one test server: fast and slow
ones, one with a rate limit, one that fails now and then and one that is down.  Three minutes of
that are what the page shows then.
"""
import argparse
import base64
import collections
import contextlib
import os
import random
import re
import struct
import tempfile
import threading
import time
import zlib

import browser_harness
import daemon_harness
import harness

CONFIG = """
workers = 10;
queue: { capacity = 60; };
backlog: { max_jobs = 2000; };
retry: { base = "2s"; max = "20s"; max_attempts = 4; };
guard: { allow = ( "loopback" ); };
origins: (
  { match = "api.example.com"; rate = "6/s"; burst = 3; },
  { match = "slow.example.net"; concurrency = 4; },
  { match = "*"; concurrency = 32; } );
control: { listen = ( "127.0.0.1:0" ); };
sources: ( { type = "file"; path = "crawl.txt"; follow = true; } );
"""


class NameServer(harness.NameServer):
    """Every name is 127.0.0.1."""

    def _answer(self, query):
        end = query.index(b"\0", 12) + 5
        kind = struct.unpack("!H", query[end - 4:end - 2])[0]
        answer = query[:2] + struct.pack("!HHHHH", 0x8180, 1, kind == 1, 0, 0) + query[12:end]
        if kind == 1:
            answer += struct.pack("!HHHIH4s", 0xC00C, 1, 1, 60, 4, bytes((127, 0, 0, 1)))
        return answer


class Load:
    """Producers that come and go, so that the queue fills and drains."""

    def __init__(self, directory, origin_port, down_port):
        self.directory = directory
        self.port, self.down_port = origin_port, down_port
        self.random = random.Random(7)
        self.n = 0

    def url(self, host, path, port=None):
        return f"http://{host}:{port or self.port}{path}"

    def job(self):
        self.n += 1
        kind = self.random.random()
        if kind < 0.52:
            return self.url("www.example.com", "/delay/0.02-0.25")
        if kind < 0.66:
            return self.url("img.example.com", f"/bytes/{self.random.randrange(2000, 90000)}")
        if kind < 0.76:
            return self.url("api.example.com", "/ok")
        if kind < 0.86:
            return self.url("slow.example.net", "/delay/0.5-1.5")
        if kind < 0.93:
            return self.url("shop.example.net", f"/flaky/1/{self.n}")
        if kind < 0.97:
            return self.url("www.example.org", "/status/404")
        return self.url("old.example.org", "/", self.down_port)

    def write(self, n):
        with open(os.path.join(self.directory, "crawl.txt"), "a", encoding="utf-8") as file:
            file.write("".join(self.job() + "\n" for _ in range(n)))

    def run(self, stop):
        """Waves of URLs: for a while more come than can be fetched, then few."""
        start = time.monotonic()
        while not stop.wait(0.25):
            many = (time.monotonic() - start) % 55 < 26
            self.write(30 if many else 6)


def read_png(png):
    """The width and the rows of pixels, each of three or four bytes (PNG, RFC 2083)."""
    at, data = 8, b""
    while at < len(png):
        size, name = struct.unpack("!I4s", png[at:at + 8])
        body = png[at + 8:at + 8 + size]
        if name == b"IHDR":
            width, _, _, kind = struct.unpack("!IIBB", body[:10])
        elif name == b"IDAT":
            data += body
        at += 12 + size
    data, n = zlib.decompress(data), {2: 3, 6: 4}[kind]
    rows, above = [], bytes(width * n)
    for at in range(0, len(data), 1 + width * n):
        above = unfilter(data[at], bytearray(data[at + 1:at + 1 + width * n]), above, n)
        rows.append([bytes(above[i:i + 3]) for i in range(0, width * n, n)])
    return width, rows


def unfilter(kind, row, above, n):
    """Adds to each byte what it was foretold to be (RFC 2083, section 6)."""
    for i in range(len(row)):
        left, up = row[i - n] if i >= n else 0, above[i]
        corner = above[i - n] if i >= n else 0
        guess = left + up - corner
        foretold = (0, left, up, (left + up) // 2,
                    min((left, up, corner), key=lambda value: abs(guess - value)))[kind]
        row[i] = (row[i] + foretold) & 255
    return row


def shrink(png):
    """The picture with its 256 most frequent colours; others become the nearest of these."""
    width, rows = read_png(png)
    often = collections.Counter(pixel for row in rows for pixel in row).most_common()
    palette = [color for color, _ in often[:256]]
    index = {color: min(range(len(palette)), key=lambda i: sum(
        (a - b) ** 2 for a, b in zip(palette[i], color))) for color, _ in often}
    data = b"".join(b"\0" + bytes(index[pixel] for pixel in row) for row in rows)
    chunks = ((b"IHDR", struct.pack("!IIBBBBB", width, len(rows), 8, 3, 0, 0, 0)),
              (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(data, 9)), (b"IEND", b""))
    return png[:8] + b"".join(
        struct.pack("!I4s", len(body), name) + body + struct.pack("!I", zlib.crc32(name + body))
        for name, body in chunks)


def take(url, width, scheme, span):
    """The whole page, once it has drawn."""
    with contextlib.closing(browser_harness.Browser()) as browser:
        page = browser.open()
        page.resize(width, 600)
        page.prefer(scheme)
        page.go(url)
        page.await_text("#lanes tbody", lambda text: text, "a lane")
        page.eval(f"document.querySelector('#span [value=\"{span}\"]').click()")
        return base64.b64decode(page.screenshot(whole=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("file")
    parser.add_argument("--seconds", type=int, default=190, help="how long the daemon works before")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    parser.add_argument("--span", choices=("60", "180", "600"), default="180")
    args = parser.parse_args()

    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-picture-"))
        origin, names = harness.Origin(), NameServer()
        stack.callback(origin.stop)
        stack.callback(names.stop)
        down = stack.enter_context(harness.closed_port())
        load = Load(directory, origin.port, down.getsockname()[1])
        load.write(0)
        with open(os.path.join(directory, "penstock.conf"), "w", encoding="utf-8") as file:
            file.write(CONFIG)
        daemon = daemon_harness.Daemon(directory, "--set", "fetch.dns_servers=" + names.address)
        stack.callback(daemon.kill)
        daemon.await_ready()
        url = re.search(r"http://127\.0\.0\.1:\d+/", daemon.err.text).group()
        print(f"{url} until {args.seconds} s have passed", flush=True)
        stop = threading.Event()
        producer = threading.Thread(target=load.run, args=(stop,))
        producer.start()
        stack.callback(producer.join)
        stack.callback(stop.set)
        time.sleep(args.seconds)
        png = take(url, args.width, args.scheme, args.span)
    png = shrink(png)
    with open(args.file, "wb") as file:
        file.write(png)
    print(f"{args.file}: {len(png)} bytes")


if __name__ == "__main__":
    main()
