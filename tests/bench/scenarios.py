# SPDX-License-Identifier: Apache-2.0
"""What is fetched: from which server, how many URLs, with how many connections."""
import collections
import os
import resource

from servers import Nginx, Origin

LOADS = (1, 16, 64, 256)
MANY = tuple(f"127.0.1.{i}" for i in range(1, 201))
BIG_MIB = 50

# key: for the targets and the plot; server: with its options; urls: how many, by connections;
# path: of the i-th URL; wrk_seconds: how long wrk runs, which has no list; runs: None: the usual.
# of_slow: which part of the list those get that would need ten times as long for all of it.
Scenario = collections.namedtuple(
    "Scenario", "key title server options path urls wrk_seconds runs of_slow",
    defaults=(2, None, 1))

SMALL = "/{}"
SLOW = "/delay/0.5-1?{}"

HTTP = "Small responses, keep-alive, http"
TLS = "Small responses, keep-alive, https"
ORIGINS = "200 origins"
DELAYED = "Slow origin: each answer after 0.5 to 1 s"
BIG = "Big bodies"


def most_workers():
    """6,000, or what this machine's limit of descriptors allows: penstock asks for 4 a worker."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 6000 if limit == resource.RLIM_INFINITY else min(6000, (limit - 1000) // 4 // 100 * 100)


def full():
    return [
        Scenario("http", HTTP, Nginx, {}, SMALL, {c: 20000 if c > 1 else 8000 for c in LOADS},
                 of_slow=4),
        Scenario("tls", TLS, Nginx, {"tls": True}, SMALL,
                 {c: 15000 if c > 1 else 6000 for c in LOADS}, of_slow=4),
        Scenario("origins", ORIGINS, Nginx, {"addresses": MANY}, SMALL, {64: 20000}, of_slow=4),
        Scenario("slow", DELAYED, Origin, {}, SLOW, {1000: 4000, most_workers(): 10000}, 4, 3),
        Scenario("big", f"{BIG}: {BIG_MIB} MiB", Nginx, {"big_bytes": BIG_MIB << 20},
                 "/big/{}", {8: 16}),
    ]


def quick():
    """The shape: fewer loads, shorter lists, so that what a start costs counts for more."""
    size = BIG_MIB // 2
    return [
        Scenario("http", HTTP, Nginx, {}, SMALL, {64: 4000}, 1, of_slow=8),
        Scenario("tls", TLS, Nginx, {"tls": True}, SMALL, {64: 3000}, 1, of_slow=8),
        Scenario("origins", ORIGINS, Nginx, {"addresses": MANY}, SMALL, {64: 4000}, 1, of_slow=8),
        Scenario("slow", DELAYED, Origin, {}, SLOW, {1000: 1000}, 1, 1),
        Scenario("big", f"{BIG}: {size} MiB", Nginx, {"big_bytes": size << 20},
                 "/big/{}", {8: 8}, 1, 1),
    ]


def urls(scenario, origins, n):
    """The list: the origins in turn, each URL but once, as wget2 would leave out a second."""
    return [origins[i % len(origins)] + scenario.path.format(i) for i in range(n)]


def scratch():
    """Where lists and outcomes are: in memory, so that nobody waits for a disk."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
