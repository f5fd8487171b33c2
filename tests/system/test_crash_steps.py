#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""penstockd is killed at every step it takes on its files: before, after and in the middle of the
calls that change them.  What it has promised holds after each.

A small scenario is run once to find these steps; then once for each step that is chosen, evenly
from all kinds of steps: PENSTOCK_STEPS of them ("all" is exhaustive, and takes minutes).
PENSTOCK_STEPS_SEED says which."""
import collections
import concurrent.futures
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import unittest

import daemon_harness
import durable_harness
import harness
from durable_harness import BROKEN, LOG, Book, Job, log_files, request

STEPS = os.environ.get("PENSTOCK_STEPS", "30" if harness.SANITIZED else "90")
POWER_LOSSES = 8 if harness.SANITIZED else 16
RECOVERIES = 10 if harness.SANITIZED else 24
SEED = int(os.environ.get("PENSTOCK_STEPS_SEED", time.time_ns() % 1000000))
AT_ONCE = 4


class Scenario:
    """Some jobs of all kinds, a cancellation, a rotation and a stop, in a directory of its own."""

    def __init__(self, origin, directory, name, rotates=True):
        self.dir, self.origin, self.rotates = directory, origin, rotates
        self.book = Book()
        paths = (("/ok", "done"), ("/status/404", "dead"), ("/flaky/1/{}", "done"),
                 ("/ok", "done"), ("/ok", "done"), ("/flaky/1/{}", "done"),
                 ("/status/503", "dead"), ("/delay/0.02", "done"), ("/ok", "done"),
                 ("/ok", "done"), ("/status/404", "dead"))
        self.jobs = [self.make(f"{name}.{i}", target, outcome)
                     for i, (target, outcome) in enumerate(paths)]
        self.late = self.make(f"{name}.late", "/ok", "cancelled",
                              not_before="2100-01-01T00:00:00Z")
        self.nameless = self.make(f"{name}.nameless", "/ok", "done", has_id=False)
        durable_harness.write_config(self.dir)

    def make(self, key, target, outcome, has_id=True, **more):
        return self.book.add(Job(key, self.origin.url(target.format(key)),
                                 key if has_id else None, outcome, **more))

    def submit_open(self, daemon, *jobs):
        for job in jobs:
            if job.fate == Job.OPEN:
                durable_harness.submit(daemon, job)

    def cancel(self, daemon):
        answer = request(daemon.socket, "DELETE", f"/v1/jobs/{self.late.id}")
        if answer.status not in (202, 409):
            raise AssertionError(f"DELETE: {answer.status} {answer.body}")

    def play(self, daemon):
        """What a client does in its time; fails with BROKEN if the daemon dies."""
        self.submit_open(daemon, self.nameless, *self.jobs[:3], self.late)
        durable_harness.submit_many(daemon, self.jobs[3:8])
        self.cancel(daemon)
        daemon.await_records(2)
        if self.rotates:
            os.rename(os.path.join(self.dir, LOG), os.path.join(self.dir, LOG + ".1"))
            daemon.signal(signal.SIGUSR1)
        self.submit_open(daemon, *self.jobs[8:])
        return durable_harness.await_settled(daemon)

    def finish(self, daemon):
        """The same client after a crash: it sends again what had no answer."""
        self.submit_open(daemon, *self.jobs, self.late)
        self.cancel(daemon)
        return durable_harness.await_settled(daemon)

    def start(self, env=None):
        daemon = daemon_harness.Daemon(self.dir, env=env)
        try:
            return daemon.await_ready()
        except BaseException:
            daemon.kill()
            raise

    def check(self, daemon, ledger):
        """After the last stop: the proof."""
        durable_harness.check_sound(daemon)
        durable_harness.prove(self.book, durable_harness.log_records(self.dir), ledger)
        durable_harness.audit(self.dir)


def run_whole(scenario, env):
    """A run in which nobody dies."""
    daemon = scenario.start(env)
    try:
        ledger = scenario.play(daemon)
        daemon.stop()
    finally:
        daemon.kill()
    scenario.check(daemon, ledger)


def lose_power(scenario, trace, loss):
    """Undoes what the log got since it was synced, as a disk may that lost its power."""
    size = synced = 0
    for line in trace:
        _, call, file, n = line.split()
        if file == LOG:
            size += int(n) * (call == "write")
            synced = size if call == "sync" else synced
    path = os.path.join(scenario.dir, LOG)
    if not os.path.exists(path):
        return
    lost = os.path.getsize(path) - synced
    with open(path, "r+b") as file:
        if loss == "cut":
            file.truncate(synced + lost // 2)
        else:
            file.seek(synced + lost // 3)
            file.write(bytes(lost - lost // 3))


def live_and_die(scenario, env):
    """A life that ends by a fault, or by the stop.  Returns whether it was the fault."""
    daemon = daemon_harness.Daemon(scenario.dir, env=env)
    try:
        daemon.await_ready()
        scenario.play(daemon)
        daemon.signal(signal.SIGTERM)
        daemon.wait()
    except BROKEN:  # perhaps before the process is quite gone
        daemon.process.wait(timeout=harness.PATIENCE)
    except AssertionError:
        if daemon.process.poll() is None:
            raise
    finally:
        code = daemon.process.poll()
        daemon.kill()
    if code not in (harness.OK, -signal.SIGKILL):
        raise AssertionError(f"it ended with {code}: {daemon.err.text}")
    return code != harness.OK


def start_and_die(scenario, env):
    """A start that ends by a fault, or else by a kill.  Returns whether it was the fault."""
    daemon = daemon_harness.Daemon(scenario.dir, env=env)
    try:
        harness.eventually(lambda: daemon.process.poll() is not None or daemon.is_ready(),
                           "it is killed, or ready")
        code = daemon.process.poll()
    finally:
        daemon.kill()
    if code not in (None, -signal.SIGKILL):
        raise AssertionError(f"it ended with {code}: {daemon.err.text}")
    return code is not None


def finish_and_prove(scenario, before):
    """A life without faults; the log still has all that it had before."""
    daemon = scenario.start()
    try:
        ledger = scenario.finish(daemon)
        daemon.stop()
    finally:
        daemon.kill()
    durable_harness.check_grown(before, log_files(scenario.dir))
    scenario.check(daemon, ledger)


def choose(steps, n, rng):
    """So many of the steps: the same number of each kind, as far as there are."""
    kinds = collections.defaultdict(list)
    for step in steps:
        kinds[step[1:]].append(step)
    for kind in kinds.values():
        rng.shuffle(kind)
    chosen = []
    while len(chosen) < n and any(kinds.values()):
        for kind in kinds.values():
            if kind and len(chosen) < n:
                chosen.append(kind.pop())
    return chosen


@unittest.skipUnless(os.path.exists(durable_harness.FAULTS), "tests/system/faults.so is not built")
class Steps(daemon_harness.Case):
    def scenario(self, name, **options):
        directory = tempfile.mkdtemp(prefix="penstock-test-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        return Scenario(self.origin, directory, name, **options)

    def find_steps(self, **options):
        """[(number, how to die, kind of call, file)], of a run in which nobody dies."""
        scenario = self.scenario("count", **options)
        trace = self.path("trace")
        run_whole(scenario, durable_harness.faulty([scenario.dir + "/"], TRACE=trace))
        steps = []
        for line in self.read("trace").splitlines():
            number, call, file, _ = line.split()
            for how in ("kill-before", "kill-after") + ("kill-middle",) * (call == "write"):
                steps.append((int(number), how, call, file))
        return steps

    def environment(self, scenario, step, name="trace"):
        """With a fault at this step, and where the calls are traced."""
        trace = os.path.join(scenario.dir, name)
        return durable_harness.faulty([scenario.dir + "/"], AT=step[0], DO=step[1],
                                      TRACE=trace), trace

    def try_step(self, scenario, step):
        died = live_and_die(scenario, self.environment(scenario, step)[0])
        finish_and_prove(scenario, log_files(scenario.dir))
        return died

    def try_power_loss(self, scenario, step, loss):
        env, trace = self.environment(scenario, step)
        died = live_and_die(scenario, env)
        with open(trace, encoding="utf-8") as file:
            made = file.readlines()
        lose_power(scenario, made[:-1] if died else made, loss)
        finish_and_prove(scenario, {})
        return died

    def try_recovery(self, scenario, step, second_step):
        """A crash, a rotation that nobody was told of, and a crash at the next start."""
        live_and_die(scenario, self.environment(scenario, step)[0])
        with contextlib.suppress(FileNotFoundError):
            os.rename(os.path.join(scenario.dir, LOG), os.path.join(scenario.dir, LOG + ".2"))
        before = log_files(scenario.dir)
        died = start_and_die(scenario, self.environment(scenario, second_step, "trace2")[0])
        durable_harness.check_grown(before, log_files(scenario.dir))
        finish_and_prove(scenario, log_files(scenario.dir))
        return died

    def try_one(self, attempt, index, step, *args):
        scenario = self.scenario(f"s{index}", rotates=attempt != self.try_power_loss)
        try:
            died = attempt(scenario, step, *args)
        except Exception as error:
            with open(os.path.join(scenario.dir, "trace"), encoding="utf-8") as file:
                last = file.read().splitlines()[-3:]
            raise AssertionError(f"{step}, {args}, seed {SEED}; died at {last}: {error}") from error
        shutil.rmtree(scenario.dir)
        return died

    def try_all(self, attempt, arguments):
        """Returns how many died."""
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            tries = [pool.submit(self.try_one, attempt, i, *args)
                     for i, args in enumerate(arguments)]
            try:
                return sum(t.result() for t in concurrent.futures.as_completed(tries))
            finally:
                pool.shutdown(cancel_futures=True)

    def test_no_step_loses_or_doubles_a_job(self):
        print(f"seed {SEED}", file=sys.stderr, flush=True)
        all_steps = self.find_steps()
        n = len(all_steps) if STEPS == "all" else int(STEPS)
        steps = choose(all_steps, n, random.Random(SEED))
        died = self.try_all(self.try_step, [(step,) for step in steps])
        kinds = len({step[1:] for step in all_steps})
        print(f"{len(all_steps)} steps of {kinds} kinds; {len(steps)} tried, {died} kills, 0 lost, "
              "0 doubled", file=sys.stderr)
        self.assertGreater(died, 0.2 * len(steps))  # not every run takes as many steps

    def test_a_log_that_was_not_synced_is_made_whole_after_a_power_failure(self):
        steps = [step for step in self.find_steps(rotates=False) if step[1] == "kill-before"]
        rng = random.Random(SEED)
        late = steps[-len(steps) // 6:]  # the stop, where it is synced and marked
        chosen = rng.sample(steps, POWER_LOSSES // 2) + rng.sample(late, POWER_LOSSES // 2)
        died = self.try_all(self.try_power_loss, [(step, ("cut", "zeros")[i % 2])
                                                  for i, step in enumerate(chosen)])
        self.assertGreater(died, 0)

    def test_a_crash_while_it_recovers(self):
        steps = self.find_steps()
        rng = random.Random(SEED)
        late = steps[len(steps) // 3:]  # there is something to recover
        first = [step for step in steps if step[0] <= 80]  # the start takes fewer
        died = self.try_all(self.try_recovery, [(rng.choice(late), step[:2])
                                                for step in choose(first, RECOVERIES, rng)])
        self.assertGreater(died, 0)


if __name__ == "__main__":
    harness.main()
