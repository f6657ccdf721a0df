"""A disk that fails, a disk that fills, a map that is too small: nothing that got 250 is lost, and
who is refused is told the right thing.

The disk fails by a small library preloaded into relayd (tests/support/faults.c), and fills on a
tmpfs of its own. The real relayd, the release build, load from both sides.
"""

import errno
import hashlib
import http.client
import os
import socket
import subprocess
import time

import pytest

from tests.support.faults import SYNCS, WRITES, Faults
from tests.support.process import wait_until
from tests.support.relaybench import CUSTOMER, SUPPORT, BetweenSinks
from tests.support.smtp import Client

WAYS = ("in", "out")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self._path)


def _get(relayd, path):
    connection = _UnixConnection(relayd.directory / "admin.sock")
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def _metric(relayd, name):
    _, text = _get(relayd, "/metrics")
    return next(float(line.split()[-1]) for line in text.splitlines()
                if line.startswith(name + " "))


def _codes(report):
    return {row["code"]: row["count"] for row in report["errors"]}


# --- a failed fsync

def _contents(relayd):
    """A digest of everything the queue has on disk, but for LMDB's table of readers."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (relayd.state / "queue").rglob("*")
            if path.is_file() and path.name != "lock.mdb"}


# Every call there is fails in tests/queue/injection_test.cc; here it is the whole program.
@pytest.mark.parametrize("what, calls, path, once", [
    ("fdatasync-of-a-segment", SYNCS, "/queue/segments/", True),
    ("write-of-the-database", WRITES, "/queue/data.mdb", True),
    ("sync-of-the-database-for-good", SYNCS, "/queue/data.mdb", False),
], ids=lambda value: value if isinstance(value, str) and "-of-" in value else "")
def test_after_a_failed_write_no_250_until_a_restart(tmp_path, what, calls, path, once):
    faults = Faults(tmp_path)
    environment = {**os.environ, **faults.environment}
    with BetweenSinks("disk", server_options={"env": environment}) as scene:
        relayd = scene.relayd
        # A smarthost that is away: what is sent out stays in the queue over the failure.
        scene.mail.__exit__()
        loads = {way: scene.load(way, "--sessions", "3", "--rate", "150", "--seconds", "2")
                 for way in WAYS}
        time.sleep(0.7)
        waiting = relayd.queue()[0]["id"]
        faults.fail_at(20, calls, path, errno.EIO, goes_on=not once)
        wait_until(lambda: "queue has failed" in relayd.log(3000), "the alarm", 20)
        before, writes = _contents(relayd), faults.writes
        reports = {way: load.report() for way, load in loads.items()}
        # Every refusal behind it is the one for a broken disk, and no session was dropped.
        for report in reports.values():
            assert set(_codes(report)) == {451}, report["errors"]
            assert all(" 4.3.0 " in row["example"] for row in report["errors"])
            assert report["accepted"] > 10 and report["connections_failed"] == 0
            assert report["connections"] == 3
        assert '"level":"error"' in next(line for line in relayd.log(3000).splitlines()
                                         if "queue has failed" in line).replace(" ", "")
        status, text = _get(relayd, "/readyz")
        assert status == 503 and "restart relayd" in text
        assert _get(relayd, "/healthz")[0] == 200
        assert _metric(relayd, "relayd_queue_failed") == 1
        said = relayd.ctl("status")
        assert not said["ready"] and "failed" in said["reason"]
        assert "restart relayd" in subprocess.run(
            [relayd.relayctl_path, "--config", relayd.config, "status"], capture_output=True,
            text=True, timeout=10).stdout
        # The disk is well again; nobody relies on it, and not an octet is written.
        faults.mend()
        for _ in range(3):
            with Client(relayd.mx_port) as client:
                client.ehlo()
                reply = client.command(f"MAIL FROM:<{CUSTOMER}>")
                assert (reply.code, reply.text[:6]) == (451, "4.3.0 ")
        assert relayd.relayctl("queue", "hold", waiting).code == 1
        # Where LMDB itself reads nothing any more, that is said; an empty queue is not shown.
        listed = relayd.relayctl("queue", "list")
        assert waiting in listed.out or "restart relayd" in listed.error
        time.sleep(0.5)
        assert (_contents(relayd), faults.writes) == (before, writes)

        relayd.stop()
        scene.mail.start()
        relayd.start()
        assert relayd.ctl("status")["ready"] and _metric(relayd, "relayd_queue_failed") == 0
        scene.wait_empty()
        sent = {way: load.sent() for way, load in loads.items()}
        doubled, unknown = scene.compare(sent)
        # What was on its way when nothing could be written down any more may come twice: at most
        # limits.http_connections tickets, and those answered since the failing sync began, here
        # what the load brings in 0.2 s, a slow sync. Nothing went out.
        assert doubled["in"] <= 8 + 150 * 0.2 and doubled["out"] == 0
        assert unknown["out"] <= 3 and unknown["in"] <= 3
        print(f"{what}: {[len(ids) for ids in sent.values()]} of them got 250, all there; "
              f"twice: {doubled}; without 250: {unknown}")


def test_a_sync_that_finds_no_room_is_not_a_failure(tmp_path):
    """Thin and copying file systems find the room only now: 452, and service comes back by itself."""
    faults = Faults(tmp_path)
    environment = {**os.environ, **faults.environment}
    with BetweenSinks("disk", server_options={"env": environment}) as scene:
        loads = {way: scene.load(way, "--sessions", "3", "--rate", "60", "--seconds", "4")
                 for way in WAYS}
        time.sleep(0.7)
        faults.fail_at(5, SYNCS, "/queue/segments", errno.ENOSPC, goes_on=True)
        wait_until(lambda: "queue is full" in scene.relayd.log(3000), "the complaint", 10)
        time.sleep(0.5)
        faults.mend()
        reports = {way: load.report() for way, load in loads.items()}
        for report in reports.values():
            assert set(_codes(report)) <= {452} and report["connections"] == 3, report["errors"]
        assert sum(report["failed"] for report in reports.values()) > 0
        wait_until(lambda: scene.relayd.ctl("status")["ready"], "room", 10)
        scene.wait_empty()
        scene.compare({way: load.sent() for way, load in loads.items()})


# --- a full disk

DISK = 32  # MiB


@pytest.fixture
def small_disk():
    mounted = []

    def mount(scene):
        scene.relayd.state.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs",
                               str(scene.relayd.state)], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"cannot mount a tmpfs here, the full disk is not tested: {done.stderr}")
        mounted.append(scene.relayd.state)

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=False)


def test_a_disk_that_fills_and_is_emptied_again(small_disk):
    """The smarthost and the back end are slow, so that mail piles up until the disk is full; who is
    refused comes again. Then somebody else takes what is left and gives it back."""
    with BetweenSinks("disk", prepare=small_disk, smarthost={"connections": 4}) as scene:
        relayd = scene.relayd
        scene.mail.__exit__()
        scene.desk.__exit__()
        loads = {way: scene.load(way, "--sessions", "3", "--rate", "60", "--seconds", "8",
                                 "--size", "64KiB:5,300KiB:2") for way in WAYS}
        wait_until(lambda: not relayd.ctl("status")["ready"], "the disk to be full", 20)
        assert "full" in relayd.ctl("status")["reason"] and _get(relayd, "/readyz")[0] == 503
        assert _metric(relayd, "relayd_queue_full") == 1
        full_at = relayd.ctl("status")["queue"]["messages"]
        # Now to the last octet: what only records or removes has to live with that too.
        filler = relayd.state / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4k"], capture_output=True)
        assert os.statvfs(relayd.state).f_bavail == 0
        time.sleep(1)
        assert relayd.running
        filler.unlink()
        # Deliveries go on, and with the room service comes back by itself, while the load goes on.
        scene.mail.start()
        scene.desk.start()
        wait_until(lambda: relayd.ctl("status")["ready"], "room", 30)
        reports = {way: load.report(90) for way, load in loads.items()}
        for report in reports.values():
            assert set(_codes(report)) == {452}, report["errors"]
            assert all(" 4.3.1 " in row["example"] for row in report["errors"])
            assert report["connections"] == 3 and report["connections_failed"] == 0
        assert "queue has room again" in relayd.log(100_000)
        scene.wait_empty()
        more = {way: scene.load(way, "--sessions", "1", "--messages", "20") for way in WAYS}
        for load in more.values():
            assert load.report()["accepted"] == 20
        scene.wait_empty()
        sent = {way: loads[way].sent() + more[way].sent() for way in WAYS}
        doubled, unknown = scene.compare(sent)
        assert not any(doubled.values()) and not any(unknown.values())
        print(f"full at {full_at} messages; got 250: { {way: len(ids) for way, ids in sent.items()} };"
              f" got 452: { {way: r['failed'] for way, r in reports.items()} }; lost 0")


def test_where_no_outcome_can_be_written_nothing_is_sent_again_and_again(small_disk):
    """The disk is full to the last octet while tickets are being handed over: each that was under
    way may come twice, and then it waits for room."""
    with BetweenSinks("disk", prepare=small_disk, desk_misbehave=["slow=100"]) as scene:
        load = scene.load("in", "--sessions", "4", "--rate", "150", "--seconds", "3")
        time.sleep(1.5)
        filler = scene.relayd.state / "filler"
        for _ in range(8):  # what is given back meanwhile is taken at once
            subprocess.run(f"dd if=/dev/zero bs=4k >> {filler}", shell=True, capture_output=True)
            time.sleep(0.5)
        requests = scene.desk.counts()["requests"]
        filler.unlink()
        load.report()
        scene.wait_empty()
        doubled, unknown = scene.compare({"in": load.sent()})
        print(f"{requests} requests before there was room again, {len(load.sent())} messages; "
              f"twice: {doubled['in']}")
        assert doubled["in"] <= 16 and unknown["in"] == 0


def test_a_map_that_is_too_small():
    """limits.queue_map_size is reached: 452 4.3.1, deliveries go on, and service with them."""
    with BetweenSinks("map", limits={"queue_map_size": "1MiB"}) as scene:
        relayd = scene.relayd
        scene.mail.__exit__()
        scene.desk.__exit__()
        loads = {way: scene.load(way, "--sessions", "3", "--rate", "150", "--seconds", "5",
                                 "--size", "1KiB") for way in WAYS}
        wait_until(lambda: not relayd.ctl("status")["ready"], "the map to be full", 20)
        assert "queue_map_size" in relayd.ctl("status")["reason"]
        time.sleep(1)
        scene.mail.start()
        scene.desk.start()
        wait_until(lambda: relayd.ctl("status")["ready"], "room", 30)
        reports = {way: load.report(60) for way, load in loads.items()}
        for report in reports.values():
            assert set(_codes(report)) == {452}, report["errors"]
            assert all(" 4.3.1 " in row["example"] for row in report["errors"])
            assert report["connections"] == 3 and report["connections_failed"] == 0
        scene.wait_empty()
        doubled, unknown = scene.compare({way: load.sent() for way, load in loads.items()})
        assert not any(doubled.values()) and not any(unknown.values())
        with Client(relayd.mx_port) as client:
            client.ehlo()
            assert client.command(f"MAIL FROM:<{CUSTOMER}>").good
            assert client.command(f"RCPT TO:<{SUPPORT}>").good
