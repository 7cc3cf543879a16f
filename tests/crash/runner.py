"""Runs campaigns: each round in a process of its own, two at a time, from a seed.

A campaign is a function with the decorator @campaign_of; it takes one Job and returns nothing. It
fails by any exception and is skipped by case.Skip. In the short run each is done as often as its
`short` says, in the long one rounds are chosen by weight until the time is over.
"""

import argparse
import multiprocessing
import os
import random
import signal
import sys
import time
import traceback

import campaign
import power
from case import Skip

PASSED, FAILED, SKIPPED = "ok", "FAIL", "skip"


class Job:
    """One round to be done. `number`: which of the short run's rounds of this campaign."""

    def __init__(self, name, build, seed, number, short, keep_points):
        self.name, self.build, self.seed = name, build, seed
        self.number, self.short = number, short
        self.points = keep_points
        self.figures = campaign.Figures()
        self.notes = []

    def note(self, text):
        self.notes.append(text)

    def round(self, **options):
        """A campaign.Round in a `with`: closed at the end, its logs kept when it failed."""
        return _Open(self, options)


class _Open:
    def __init__(self, job, options):
        self.job, self.options, self.round = job, options, None

    def __enter__(self):
        round_ = campaign.Round.__new__(campaign.Round)
        self.round = round_
        try:
            round_.__init__(self.job.name, self.job.build, self.job.seed, self.job.figures,
                            **self.options)
        except BaseException as error:
            if getattr(round_, "case", None) is not None:
                self._close(not isinstance(error, Skip))
            raise
        return round_

    def __exit__(self, kind, _value, _trace):
        self._close(kind is not None and not issubclass(kind, Skip))

    def _close(self, failed):
        kept, trouble = self.round.close(failed)
        if kept is not None:
            self.job.note("logs in %s" % kept)
        if trouble is not None:
            raise trouble


def campaign_of(function=None, short=1, weight=1, limit=120):
    """Marks a campaign. `short`: rounds of it in the short run; `limit`: seconds for one round."""
    def mark(marked):
        marked.is_campaign = True
        marked.short, marked.weight, marked.limit = short, weight, limit
        return marked
    return mark(function) if function is not None else mark


def _child(function, job, pipe):
    os.setsid()
    result, text = PASSED, ""
    try:
        function(job)
    except Skip as skip:
        result, text = SKIPPED, str(skip)
    except BaseException:  # pylint: disable=broad-except
        result, text = FAILED, traceback.format_exc()
    pipe.send((result, text, job.figures, job.notes))
    pipe.close()
    os._exit(0)  # helper threads of a failed round may still wait for something


class _Running:
    def __init__(self, function, job):
        self.function, self.job = function, job
        self.begin = time.monotonic()
        self.pipe, end = multiprocessing.Pipe(duplex=False)
        self.process = multiprocessing.Process(target=_child, args=(function, job, end))
        self.process.start()
        end.close()

    def poll(self):
        """None while it runs, else (result, text, figures, notes)."""
        if self.pipe.poll(0):
            try:
                answer = self.pipe.recv()
            except EOFError:
                answer = (FAILED, "the round's process died", campaign.Figures(), [])
            self.process.join()
            return answer
        if time.monotonic() - self.begin > self.function.limit:
            self.end()
            return (FAILED, "not done in %d s" % self.function.limit, campaign.Figures(), [])
        return None

    def end(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.join()
        power.forget(self.process.pid)


class Runner:
    def __init__(self, campaigns, arguments):
        self.campaigns, self.arguments = campaigns, arguments
        self.total = campaign.Figures()
        self.counts = {PASSED: 0, FAILED: 0, SKIPPED: 0}
        self.skips = set()
        self.random = random.Random(arguments.seed)

    def jobs(self):
        """(function, Job) without end, or those of the short run. A seed belongs to one round."""
        arguments = self.arguments
        number = 0

        def job(name, index):
            return self.campaigns[name], Job(name, arguments.build, arguments.seed * 1000 + number,
                                             index, arguments.minutes is None, arguments.points)
        if arguments.round is not None:
            for name in self.campaigns:
                yield self.campaigns[name], Job(name, arguments.build, arguments.round, 0,
                                                arguments.minutes is None, arguments.points)
            return
        for name, function in self.campaigns.items():
            for index in range(function.short):
                yield job(name, index)
                number += 1
        names = list(self.campaigns)
        weights = [self.campaigns[name].weight for name in names]
        while arguments.minutes is not None:
            name = self.random.choices(names, weights)[0]
            if name not in self.skips:
                yield job(name, number)
            number += 1

    def report(self, running, answer):
        result, text, figures, notes = answer
        seconds = time.monotonic() - running.begin
        job = running.job
        self.total.add(figures)
        if result != SKIPPED or job.name not in self.skips:
            self.counts[result] += 1
        if result == SKIPPED:
            if job.name not in self.skips:
                print("skip  %5.1f s  %s: %s" % (seconds, job.name, text), flush=True)
            self.skips.add(job.name)
            return
        print("%-5s %5.1f s  %s, round %d: %d faults, %d writes" % (
            result, seconds, job.name, job.seed, sum(figures.faults.values()),
            figures.operations["acknowledged"]), flush=True)
        for line in notes:
            print("                 %s" % line)
        if result == FAILED:
            print("".join("    | %s\n" % line for line in text.splitlines()), end="", flush=True)

    def run(self):
        begin = time.monotonic()
        minutes = self.arguments.minutes
        until = begin + minutes * 60 if minutes is not None else None
        running, jobs, more = [], self.jobs(), True
        try:
            while running or more:
                while more and len(running) < self.arguments.jobs:
                    following = next(jobs, None)
                    more = following is not None and (until is None or time.monotonic() < until)
                    if more:
                        running.append(_Running(*following))
                for each in list(running):
                    answer = each.poll()
                    if answer is not None:
                        running.remove(each)
                        self.report(each, answer)
                time.sleep(0.01)
        finally:
            for each in running:
                each.end()
        self.summary(time.monotonic() - begin)
        return 1 if self.counts[FAILED] else 0

    def summary(self, seconds):
        print("--- %.0f s, seed %d" % (seconds, self.arguments.seed))
        for line in self.total.lines():
            print(line)
        if self.total.points:
            rest = sorted(set(self.arguments.all_points) - set(self.total.points))
            print("%d of %d failpoints fired, %d times%s" % (
                len(self.total.points), len(self.arguments.all_points),
                sum(self.total.points.values()),
                "; not: " + " ".join(rest) if 0 < len(rest) <= 20 else ""))
        print("%d passed, %d failed, %d skipped" % (
            self.counts[PASSED], self.counts[FAILED], self.counts[SKIPPED]), flush=True)


def main(module, description, all_points, checks=None):
    """`checks`: returns (done, failed) of what is run before the rounds."""
    campaigns = {name: value for name, value in vars(module).items()
                 if getattr(value, "is_campaign", False) and value.__module__ == module.__name__}
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--build", required=True, metavar="DIR", help="where the programs are")
    parser.add_argument("--minutes", type=float, help="the long run; without it the short one")
    parser.add_argument("--only", action="append", metavar="NAME", choices=sorted(campaigns))
    parser.add_argument("--seed", type=int, default=random.randrange(1000000))
    parser.add_argument("--round", type=int, metavar="SEED", help="just this one of --only")
    parser.add_argument("--points", metavar="NAME,…", help="failpoints to kill at, instead of all")
    parser.add_argument("--jobs", type=int, default=2, help="rounds at a time (2)")
    arguments = parser.parse_args()
    arguments.build = os.path.abspath(arguments.build)
    if arguments.only:
        campaigns = {name: campaigns[name] for name in arguments.only}
    if not os.access(os.path.join(arguments.build, "synclogd"), os.X_OK):
        print("%s/synclogd is not there; build it first: make FAILPOINTS=1" % arguments.build)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    arguments.all_points = all_points(arguments.build)
    print("%s: seed %d" % (", ".join(campaigns), arguments.seed), flush=True)
    runner = Runner(campaigns, arguments)
    if checks is not None and arguments.round is None:
        done, failed = checks()
        runner.counts[PASSED] += done - failed
        runner.counts[FAILED] += failed
    return runner.run()
