#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The classic asyncio producer and consumers, with aiohttp; prints what it saw as JSON.

    peer.py [--maxsize N] [--consumers N] [--trace] URL-FILE FETCHES

It ends after FETCHES fetches, whatever is left in the queue.
"""
import argparse
import asyncio
import json
import time

import aiohttp


class Notes:
    """What happened; times are those of time.time(), so that another process can place them."""

    def __init__(self, traced):
        self.traced = traced
        self.n_put = 0
        self.n_fetched = 0
        self.max_depth = 0
        self.most_held = 0
        self.put_before_first_fetch = None
        self.first_fetch_at = None
        self.puts = []
        self.fetches = []
        self.depths = []

    def put(self, depth):
        self.n_put += 1
        if self.traced:
            self.puts.append(time.time())
            self.depths.append((time.time(), depth))

    def got(self, depth):
        if self.first_fetch_at is None:
            self.first_fetch_at = time.time()
            self.put_before_first_fetch = self.n_put
        self.max_depth = max(self.max_depth, depth + 1)
        self.most_held = max(self.most_held, self.n_put - self.n_fetched)
        if self.traced:
            self.depths.append((time.time(), depth))

    def fetched(self, begin):
        self.n_fetched += 1
        if self.traced:
            self.fetches.append((begin, time.time()))


async def produce(queue, path, notes):
    with open(path, encoding="ascii") as lines:
        for line in lines:
            await queue.put(line.rstrip())
            notes.put(queue.qsize())


async def consume(queue, session, notes, fetched):
    while True:
        url = await queue.get()
        notes.got(queue.qsize())
        begin = time.time()
        async with session.get(url) as response:
            response.raise_for_status()
            await response.read()
        notes.fetched(begin)
        fetched.release()


async def run(args, notes):
    queue = asyncio.Queue(args.maxsize)
    fetched = asyncio.Semaphore(0)
    async with aiohttp.ClientSession() as session:
        tasks = [asyncio.create_task(consume(queue, session, notes, fetched))
                 for _ in range(args.consumers)]
        tasks.append(asyncio.create_task(produce(queue, args.urls, notes)))
        for _ in range(args.fetches):
            await fetched.acquire()
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if end is not None and not isinstance(end, asyncio.CancelledError):
            raise end


def peak_bytes():
    """The most memory that was resident; getrusage() would count what the parent had, too."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("urls")
    parser.add_argument("fetches", type=int)
    parser.add_argument("--maxsize", type=int, default=0)
    parser.add_argument("--consumers", type=int, default=1)
    parser.add_argument("--trace", action="store_true")
    args = parser.parse_args()

    notes = Notes(args.trace)
    asyncio.run(run(args, notes))
    report = {
        "aiohttp": aiohttp.__version__,
        "first_fetch_at": notes.first_fetch_at,
        "max_depth": notes.max_depth,
        "most_held_jobs": notes.most_held,
        "put_before_first_fetch": notes.put_before_first_fetch,
        "peak_bytes": peak_bytes(),
    }
    if args.trace:
        report.update(puts=notes.puts, fetches=notes.fetches, depths=notes.depths)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
