#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the parts of the benchmark one after another and puts together what they found.

RESULTS.md, results.json and the plots go into a directory; see tests/bench/README.md.  PENSTOCK,
PENSTOCKD and PENSTOCK_ORIGIN name the built programs.
"""
import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import plot
import report

HERE = os.path.dirname(os.path.abspath(__file__))
PARTS = ("fetching", "queues", "backlog", "startup", "memory", "counts")
SKIPPED = 77
INTERRUPTED = 130
PATIENCE = 3  # seconds in which a part ends by itself


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def output_of(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          check=True)
    return done.stdout.strip()


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        model = re.search(r"^model name\s*:\s*(.*)", lines.read(), re.M)
    return model[1] if model else platform.machine()


def libraries(program):
    """The files of what it asks for itself, whose names tell the versions."""
    wanted = set(re.findall(r"NEEDED +(\S+)", output_of("objdump", "-p", program)))
    found = dict(re.findall(r"(\S+) => (/\S+)", output_of("ldd", program)))
    return ", ".join(sorted(os.path.basename(os.path.realpath(path))
                            for name, path in found.items() if name in wanted))


def commit():
    """Of the sources, where they are under version control."""
    done = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"],
                          capture_output=True, text=True) if shutil.which("git") else None
    return f", commit {done.stdout.strip()}" if done and done.returncode == 0 else ""


def conditions():
    with open("/etc/os-release", encoding="utf-8") as lines:
        system = re.search(r'^PRETTY_NAME="(.*)"', lines.read(), re.M)
    program = os.environ.get("PENSTOCK", "./penstock")
    return {
        "processors": f"{os.cpu_count()} of {processor()}",
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "system": system[1] if system else "unknown",
        "program": output_of(program, "--version") + commit(),
        "its libraries": libraries(os.environ.get("PENSTOCKD", "./penstockd")),
    }


def wait_for(child):
    """Its status.  Of a Ctrl-C it knows itself, else it is told; it ends what it has started."""
    try:
        return child.wait()
    except KeyboardInterrupt:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=PATIENCE)
        child.terminate()
        child.wait()
        raise


def run_part(name, options):
    """What a part reports; if it fails, why, in the same form."""
    argv = [sys.executable, os.path.join(HERE, name + ".py")]
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        path = os.path.join(folder, "tables.json")
        argv += ["--json", path, *(["--quick"] if options.quick else []),
                 *(["--runs", str(options.runs)] if options.runs else [])]
        start, load = time.monotonic(), os.getloadavg()[0]
        status = wait_for(subprocess.Popen(argv, stdin=subprocess.DEVNULL,
                                           stdout=subprocess.DEVNULL))
        measured = {"measured": f"{datetime.date.today()}, in {time.monotonic() - start:.0f} s, "
                                f"load at the start {load:.1f}"}
        part = {"name": name, "title": name, "tables": [],
                "failure": f"FAILED with exit status {status}"}
        if status in (0, SKIPPED):
            with open(path, encoding="utf-8") as file:
                part = json.load(file)
    if "failure" in part:
        say(f"{name}: {part['failure']}")
    return part | measured


def recorded_parts(options):
    """What is in the directory of parts that are not run now, by name."""
    path = os.path.join(options.directory, "results.json")
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        record = json.load(file)
    return {part["name"]: part for part in record["parts"]} \
        if record["quick"] == options.quick else {}


def markdown(record, plots):
    kind = " (quick: the shape, not the figures)" if record["quick"] else ""
    text = f"# Results of the benchmark{kind}\n\n"
    text += "Made by `make bench`; the method is in tests/bench/README.md. Compare within a table "
    text += "only.\n\n"
    text += "".join(f"- {key}: {value}\n" for key, value in record["conditions"].items())
    for part in record["parts"]:
        text += f"\n## {part['title']}\n\n"
        text += f"Measured {part.get('measured')}.\n\n"
        if "failure" in part:
            text += f"{part['failure']}\n"
        if part["name"] == "fetching":
            text += "".join(f"![{name.split('.')[0]}]({name})\n\n" for name in plots)
        text += "\n".join(report.markdown(table) for table in part["tables"])
    return text


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def main():
    parser = argparse.ArgumentParser(description="All parts of the benchmark, one by one.")
    parser.add_argument("directory", help="where the results go; it is made if it is not there")
    parser.add_argument("--quick", action="store_true", help="the shape, in a few minutes")
    parser.add_argument("--runs", type=int, help="rounds, of which the median counts")
    parser.add_argument("--parts", default=",".join(PARTS),
                        help="only these, the others stay as they are there: %(default)s")
    options = parser.parse_args()
    unknown = sorted(set(options.parts.split(",")) - set(PARTS))
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")

    os.makedirs(options.directory, exist_ok=True)
    record = {"quick": options.quick, "conditions": conditions()}
    parts, failures = recorded_parts(options), 0
    for name in options.parts.split(","):
        say(f"{name}…")
        parts[name] = run_part(name, options)
        failures += "FAILED" in parts[name].get("failure", "")
        record["parts"] = [parts[name] for name in PARTS if name in parts]
        write_all(record, options.directory)
    say(f"the results are in {os.path.join(options.directory, 'RESULTS.md')}")
    return 1 if failures > 0 else 0


def write_all(record, directory):
    """After each part, so that what is done is there, whatever becomes of the next."""
    plots = plot.draw(record, directory)
    write(os.path.join(directory, "results.json"),
          json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    write(os.path.join(directory, "RESULTS.md"), markdown(record, plots))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
