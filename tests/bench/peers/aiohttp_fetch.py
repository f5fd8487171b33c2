# SPDX-License-Identifier: Apache-2.0
"""aiohttp_fetch.py CONNECTIONS URL-FILE RESULTS [CA-FILE]: the peer that is written in Python.

One task reads the list into a bounded asyncio.Queue, CONNECTIONS tasks fetch with aiohttp, and a
JSON object a line is written for each URL.
"""
import asyncio
import json
import ssl
import sys
import time

import aiohttp

CAPACITY = 1024
SMALL = 1 << 20  # bytes: a longer body is not read whole


async def length_of(response):
    if response.content_length is not None and response.content_length <= SMALL:
        return len(await response.read())
    total = 0
    async for chunk in response.content.iter_any():
        total += len(chunk)
    return total


async def fetch(session, url):
    start = time.monotonic()
    result = {"url": url, "status": 0, "bytes": 0}
    try:
        async with session.get(url) as response:
            result["status"] = response.status
            result["bytes"] = await length_of(response)
    except (aiohttp.ClientError, asyncio.TimeoutError) as error:
        result["error"] = str(error) or type(error).__name__
    result["seconds"] = round(time.monotonic() - start, 6)
    return result


async def produce(path, queue, consumers):
    with open(path, encoding="ascii") as lines:
        for line in lines:
            await queue.put(line.rstrip())
    for _ in range(consumers):
        await queue.put(None)


async def consume(session, queue, out):
    failed = 0
    while (url := await queue.get()) is not None:
        result = await fetch(session, url)
        failed += result["status"] != 200 or "error" in result
        out.write(json.dumps(result) + "\n")
    return failed


async def main(connections, path, results, ca_file=None):
    queue = asyncio.Queue(maxsize=CAPACITY)
    context = ssl.create_default_context(cafile=ca_file) if ca_file else None
    connector = aiohttp.TCPConnector(limit=connections, ssl=context)
    session = aiohttp.ClientSession(connector=connector, auto_decompress=False,
                                    cookie_jar=aiohttp.DummyCookieJar(),
                                    timeout=aiohttp.ClientTimeout(total=30))
    with open(results, "w", encoding="ascii") as out:
        async with session:
            _, *failed = await asyncio.gather(
                produce(path, queue, connections),
                *(consume(session, queue, out) for _ in range(connections)))
    return 1 if sum(failed) else 0


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit("usage: aiohttp_fetch.py CONNECTIONS URL-FILE RESULTS [CA-FILE]")
    sys.exit(asyncio.run(main(int(sys.argv[1]), *sys.argv[2:])))
