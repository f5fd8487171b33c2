#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""queues.py asyncio|threads PRODUCERS CONSUMERS CAPACITY ITEMS

What bench_queue measures, done with an asyncio.Queue between tasks of one thread, or with a
queue.Queue between threads.  Prints items a second and voluntary context switches per 1,000."""
import asyncio
import queue
import resource
import sys
import threading
import time

END = None


def shares(items, producers):
    return [items // producers + (i < items % producers) for i in range(producers)]


async def with_tasks(producers, consumers, capacity, items):
    channel = asyncio.Queue(capacity)

    async def produce(share):
        job = object()
        for _ in range(share):
            await channel.put(job)

    async def consume():
        got = 0
        while await channel.get() is not END:
            got += 1
        return got

    consuming = [asyncio.create_task(consume()) for _ in range(consumers)]
    await asyncio.gather(*(produce(share) for share in shares(items, producers)))
    for _ in range(consumers):
        await channel.put(END)
    return sum(await asyncio.gather(*consuming))


def with_threads(producers, consumers, capacity, items):
    channel = queue.Queue(capacity)
    got = [0] * consumers

    def produce(share):
        job = object()
        for _ in range(share):
            channel.put(job)

    def consume(i):
        while channel.get() is not END:
            got[i] += 1

    producing = [threading.Thread(target=produce, args=(n,)) for n in shares(items, producers)]
    consuming = [threading.Thread(target=consume, args=(i,)) for i in range(consumers)]
    for thread in producing + consuming:
        thread.start()
    for thread in producing:
        thread.join()
    for _ in range(consumers):
        channel.put(END)
    for thread in consuming:
        thread.join()
    return sum(got)


def switches():
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def main():
    kind, *numbers = sys.argv[1:]
    numbers = [int(number) for number in numbers]
    items = numbers[-1]
    switches_before, before = switches(), time.monotonic()
    got = asyncio.run(with_tasks(*numbers)) if kind == "asyncio" else with_threads(*numbers)
    seconds = time.monotonic() - before
    if got != items:
        sys.exit("items were lost")
    print(f"{items / seconds:.0f} {(switches() - switches_before) * 1000 / items:.2f}")


if __name__ == "__main__":
    main()
