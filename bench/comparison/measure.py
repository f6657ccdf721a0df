"""One run of one server: how fast, how much CPU, how much memory; and that nothing was lost."""

import os
import select
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from bench.comparison.failure import Failed
from tests.support import relaybench
from tests.support.process import remove_directory, wait_until

_TICKS = os.sysconf("SC_CLK_TCK")
_WARM_UP_SHARE = 2  # half as many messages as are measured: caches and files are as they stay
_PATIENCE_SECONDS = 60
_SAMPLE_SECONDS = 1.0  # a look at 60 processes takes 20 ms, which are the server's loss
_SETTLE_SECONDS = 0.5  # after the last message; a server has something to clear away


@dataclass
class Result:
    """Of one run. Messages a second; CPU seconds of the server for 1,000 messages; MB."""
    rate: float
    cpu: float
    memory: float


def measure(side_class, row, world, directory):
    """Runs the server once; Result, or Failed."""
    count = row.messages[side_class.name]
    kind, bound = ("http-sink", "--requests") if row.tickets_from(side_class.name) else (
        "sink", "--messages")
    directory.mkdir()
    os.sync()  # what the server before has left in memory is not this one's to write
    warm_up = count // _WARM_UP_SHARE
    with relaybench.Sink(directory, bound, count + warm_up, kind=kind) as sink:
        side = side_class(directory / side_class.name, row, world, sink.port)
        try:
            side.start()
            return _measure(side, sink, world.load_options(row, side.login), directory,
                            (warm_up, count))
        except Exception as error:
            raise Failed(f"{side.name}, {row.name}: {error}\n{side.log()}") from error
        finally:
            side.stop()
            remove_directory(directory)


def _measure(side, sink, options, directory, numbers):
    warm_up, count = numbers

    def load(number, ids):
        return relaybench.Load(side.port, directory / ids, "--messages", number, *options)

    with load(warm_up, "warm-up.sent") as first:
        _check(first.report(_PATIENCE_SECONDS), warm_up)
    wait_until(lambda: _taken(sink) >= warm_up, "the warm-up to arrive", every=0.1)

    with Meter(side.pids()) as meter:
        begin = time.monotonic()
        with load(count, "run.sent") as run:
            _wait_for_last(run, sink, side, numbers)
            seconds = time.monotonic() - begin
            time.sleep(_SETTLE_SECONDS)
    _compare_ids(directory, sink)
    return Result(count / seconds, meter.cpu / count * 1000, meter.memory / 1e6)


def _check(report, number):
    if report["accepted"] != number:
        raise Failed(f"{report['accepted']} of {number} messages were accepted: {report['errors']}")


def _taken(sink):
    counts = sink.counts()
    return counts["messages"] if "messages" in counts else counts["taken"]


def _wait_for_last(load, sink, side, numbers):
    """Until the sink has ended, which it does with the last message. Asks nobody meanwhile."""
    pids = {"load": [load.pid], "sink": [sink.pid], "server": side.pids()}
    watched = {os.pidfd_open(pid): who for who in pids for pid in pids[who]}
    try:
        while True:
            ended = select.select(list(watched), [], [], _PATIENCE_SECONDS)[0]
            who = {watched[descriptor] for descriptor in ended}
            if "sink" in who:
                return
            if "server" in who:
                raise Failed("a process of the server ended")
            if not ended:
                raise Failed(f"{_taken(sink)} of {sum(numbers)} messages arrived, and then "
                             f"none for {_PATIENCE_SECONDS} s")
            _check(load.report(), numbers[-1])
            os.close(ended[0])
            del watched[ended[0]]
    finally:
        for descriptor in watched:
            os.close(descriptor)


def _compare_ids(directory, sink):
    sent = directory / "all.sent"
    sent.write_text("".join((directory / f"{name}.sent").read_text() for name in ("warm-up", "run")))
    relaybench.run("check", sent, sink.ids)


class Meter:
    """CPU time and memory of the processes given and of all below them, from entry to exit."""

    def __init__(self, pids):
        self._pids = pids
        self._end = threading.Event()
        self._sampler = threading.Thread(target=self._sample)
        self.cpu = 0.0     # seconds
        self.memory = 0    # octets, the most that was seen

    def __enter__(self):
        self._before = cpu_seconds(self._pids)
        self._sampler.start()
        return self

    def __exit__(self, *_):
        self.cpu = cpu_seconds(self._pids) - self._before
        self._end.set()
        self._sampler.join()

    def _sample(self):
        while True:
            self.memory = max(self.memory, memory(self._pids))
            if self._end.wait(_SAMPLE_SECONDS):
                return


def tree(pids):
    """pid -> fields of /proc/PID/stat from the third on, of the processes and all below them."""
    everyone, children = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        pid = int(path.parent.name)
        everyone[pid] = fields
        children.setdefault(int(fields[1]), []).append(pid)
    found, ahead = {}, list(pids)
    while ahead:
        pid = ahead.pop()
        if pid not in everyone:
            continue
        found[pid] = everyone[pid]
        ahead += children.get(pid, [])
    return found


def cpu_seconds(pids):
    """What the tree has used; utime, stime and those of children that have ended (proc(5))."""
    return sum(int(ticks) for fields in tree(pids).values() for ticks in fields[11:15]) / _TICKS


def memory(pids):
    """Proportional set size of the tree: pages shared by several processes count once."""
    octets = 0
    for pid in tree(pids):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        octets += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return octets
