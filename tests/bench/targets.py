# SPDX-License-Identifier: Apache-2.0
"""What penstock's rates have to be beside those of its peers, and whether they are."""
import collections

import peers
import report

CONNECTS_A_PAIR = 5
OF_ONE_ORIGIN = 0.9
# (program, connections): penstock's rate over that program's, at least.
RATES = {
    ("Go net/http", 16): 1, ("Go net/http", 64): 1,
    ("wget2", 16): 1, ("wget2", 64): 1,
    ("curl --parallel", 16): 1.5, ("curl --parallel", 64): 1.5,
    ("aiohttp", 16): 10, ("aiohttp", 64): 10,
    ("wrk", 64): 0.33,
}


def pairs_at_once(records):
    """How many workers were at work for an origin at once, at most; the sum of all origins."""
    moves = collections.defaultdict(list)
    for record in records:
        origin = record["url"].split("/")[2]
        moves[origin] += [(record["started_at"], 1), (record["finished_at"], -1)]
    total = 0
    for of_origin in moves.values():
        busy = most = 0
        for _, change in sorted(of_origin):
            busy += change
            most = max(most, busy)
        total += most
    return total


def ratio(runs_of, name, other):
    """The rate of one program over another's, the median of all rounds; None if there is none."""
    ratios = [mine.rate / its.rate
              for mine, its in zip(runs_of.get(name, ()), runs_of.get(other, ()))
              if not mine.failure and not its.failure]
    return report.median(ratios) if ratios else None


def rows(results, pairs, one_origin):
    for (name, connections), bound in RATES.items():
        runs_of = results.get(("http", connections))
        if runs_of:
            yield report.at_least(
                f"one origin, {connections} connections: penstock over {name}", bound,
                ratio(runs_of, peers.PENSTOCK, name))
    runs_of = results.get(("origins", 64), {})
    yield report.at_least("200 origins, 64 connections: penstock over itself with one of them",
                          OF_ONE_ORIGIN, ratio(runs_of, peers.PENSTOCK, one_origin))
    connects = [run.connects for run in runs_of.get(peers.PENSTOCK, ()) if not run.failure]
    if connects and pairs:
        measured = report.median(connects) / pairs
        yield report.at_most(
            "200 origins: connects for each worker and origin that were at work at once",
            CONNECTS_A_PAIR, measured)


def table(out, results, pairs, one_origin):
    out.targets(rows(results, pairs, one_origin),
                [f"In one more run {pairs:,} pairs of a worker and an origin were at work at once."]
                if pairs else [])
