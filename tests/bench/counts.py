#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions and system calls of one job: as tables beside those of peers, and held.

counts.json has what was recorded, and with which libraries; tests/system/test_counts.py measures
again.  `counts.py --record` records anew.  PENSTOCK and PENSTOCKD name the programs.
"""
import collections
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys

import counting
import report

RECORDED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "counts.json")
HOW = "make bench-counts"
RECORDINGS = 3  # of which the median is kept

Scene = collections.namedtuple("Scene", "title do tls")
SCENES = {
    "http": Scene("penstock fetch, http", counting.fetch, False),
    "https": Scene("penstock fetch, https", counting.fetch, True),
    "durable": Scene("penstockd with its database, http", counting.serve, False),
}
PEERS = {
    "curl": Scene("curl, http", counting.curl, False),
    "wget2": Scene("wget2, http", counting.wget2, False),
}
TOOLS = {"instructions": counting.INSTRUCTIONS, "system calls": counting.SYSTEM_CALLS}

# How much more than recorded is a regression.  How often one waits, and so what else is called,
# depends on who is faster: there only the sum is held.  How often a waiting thread is woken has
# no measure at all.
INSTRUCTIONS_SLACK = 0.05
CALLS_SLACK = {"sendto": 0.05, "recvfrom": 0.05, "all but futex": 0.35}
# A part of fewer instructions is noise.
LEAST_INSTRUCTIONS = 1000


# --- what it was measured with ----------------------------------------------------------

# Debian's packages of what is counted, and of what counts.
PACKAGES = ("libc6", "libcurl4", "libsqlite3-0", "libssl3", "valgrind")
# What the C library and OpenSSL choose their functions by, and valgrind has.
CPU_FLAGS = {"aes", "avx", "avx2", "bmi2", "erms", "fma", "pclmulqdq", "rdrand", "sse4_2"}


def _first_line(*argv):
    if not shutil.which(argv[0]):
        return "none"
    done = subprocess.run(argv, capture_output=True, text=True)
    return (done.stdout.splitlines() or ["none"])[0] if done.returncode == 0 else "none"


def _build_variable(name):
    """As configure has set it for the build that PENSTOCK is from; None if that is unknown."""
    makefile = os.path.join(os.path.dirname(os.path.abspath(counting.harness.PENSTOCK)),
                            "Makefile")
    try:
        with open(makefile, encoding="utf-8") as file:
            found = re.search(rf"^{name} = (.*)$", file.read(), re.M)
            return found and found[1].strip()
    except OSError:
        return None


def _cpu():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        found = re.search(r"^flags\s*:(.*)$", file.read(), re.M)
    return " ".join(sorted(CPU_FLAGS & set(found[1].split()))) if found else ""


def circumstances():
    compiler = (_build_variable("CC") or "cc").split()
    return {
        "machine": platform.machine(),
        "cflags": _build_variable("CFLAGS"),
        "compiler": _first_line(*compiler, "--version"),
        "cpu": _cpu(),
        **{name: _first_line("dpkg-query", "-W", "-f", "${Version}\n", name)
           for name in PACKAGES},
    }


def why_not_held(then, now):
    """Why figures of two builds cannot be compared at all, or None."""
    if counting.harness.SANITIZED:
        return "a sanitizer was built in"
    for name in "machine", "cflags":
        if then[name] != now[name]:
            return f"{name}: recorded for {then[name]}, this is {now[name]}"
    return None


def differences(then, now):
    """In which circumstances that change what libraries take two measurements differ."""
    return [f"{name} {now.get(name)}, recorded with {then[name]}"
            for name in then if then[name] != now.get(name)]


# --- measuring and holding --------------------------------------------------------------


def measure(kind, scene):
    """{part or call: count} of one job, and their sums."""
    counts = counting.per_job(TOOLS[kind], scene.do, scene.tls)
    total = sum(counts.values())
    if "futex" in counts:
        counts["all but futex"] = total - counts["futex"]
    counts["all"] = total
    return {name: count for name, count in counts.items() if count >= 0.005}


def _slack(kind, name, recorded):
    """How much of a figure's growth is allowed; None: any."""
    if kind == "system calls":
        return CALLS_SLACK.get(name)
    return INSTRUCTIONS_SLACK if recorded >= LEAST_INSTRUCTIONS else None


def regressions(kind, what, recorded, measured, only=None):
    """What has become worse, as sentences; `only` this part, if it is given."""
    worse = []
    for name, before in recorded.items():
        slack, now = _slack(kind, name, before), measured.get(name, 0)
        if slack is None or only not in (None, name) or now <= before * (1 + slack):
            continue
        worse.append(f"{what}: {kind} a job, {name}: {now:,.2f}, recorded {before:,.2f} "
                     f"(+{100 * (now / before - 1):.1f} %, allowed {100 * slack:.0f} %)")
    return worse


def load():
    with open(RECORDED, encoding="utf-8") as file:
        return json.load(file)


def _median_of(counts):
    names = {name for each in counts for name in each}
    return {name: round(statistics.median(each.get(name, 0) for each in counts), 2)
            for name in sorted(names)}


def record():
    found = {"measured with": circumstances()}
    for kind in TOOLS:
        found[kind] = {}
        for what, scene in SCENES.items():
            print(f"{what}: {kind}", file=sys.stderr)
            found[kind][what] = _median_of([measure(kind, scene) for _ in range(RECORDINGS)])
    with open(RECORDED, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1, sort_keys=True)
        file.write("\n")


# --- tables -----------------------------------------------------------------------------


def _columns(rows, least):
    """The names that a row of ours has so much of."""
    names = {name for what in SCENES for name, count in rows[what].items() if count >= least}
    return sorted(names - {"all", "all but futex", "other"}, key=str.lower)


def _table(out, title, kind, least, scenes, runs, note):
    rows = {what: _median_of([measure(kind, scene) for _ in range(runs)])
            for what, scene in scenes.items()}
    columns = _columns(rows, least)
    cells = []
    for what, counts in rows.items():
        named = [counts.get(name, 0) for name in columns]
        cells.append([scenes[what].title, *named, counts["all"] - sum(named), counts["all"]])
    out.table(title, ["one job", *columns, "others", "all"], cells, [note])


def tables(out, quick, runs):
    lacking = counting.missing("valgrind") or counting.cannot_trace()
    if lacking:
        raise report.Skipped(lacking)
    scenes = dict(SCENES)
    if not quick:
        scenes.update({name: peer for name, peer in PEERS.items() if shutil.which(name)})
    _table(out, "Instructions in user mode", "instructions", LEAST_INSTRUCTIONS, scenes, runs,
           "By callgrind, by whose code it is; a peer's own is in *others*. "
           "One worker, one kept connection, answers of 128 bytes.")
    _table(out, "System calls", "system calls", 0.05, scenes, runs,
           "By strace, which slows both sides: calls to wait (poll, futex) depend on who is "
           "faster, the others do not.")


if __name__ == "__main__":
    if sys.argv[1:] == ["--record"]:
        sys.exit(counting.missing("valgrind", "strace") or counting.cannot_trace() or record())
    sys.exit(report.main("counts", "Instructions and system calls of one job", tables, 3, 1))
