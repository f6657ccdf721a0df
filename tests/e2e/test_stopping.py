"""Stopping and starting: a SIGTERM in the middle of the load, SIGHUP with sessions open, a second
process, a store that is not ours to open."""

import os
import re
import shutil
import subprocess
import time

import pytest

from tests.support.faults import Faults
from tests.support.process import free_port, wait_until
from tests.support.relayd import BUILD
from tests.support.relaybench import CUSTOMER, SUPPORT, BetweenSinks
from tests.support.smtp import Client

WAYS = ("in", "out")


@pytest.fixture(scope="module")
def scene():
    with BetweenSinks("stopping", misbehave=[]) as whole:
        yield whole


def test_sigterm_under_load_leaves_no_message_half_said(scene):
    """Four stops in a row under load both ways. What got 250 arrives, once; what got none does not
    arrive at all: a reply that was promised is said before the door closes."""
    relayd = scene.relayd
    loads = {way: scene.load(way, "--sessions", "4", "--seconds", "5", "--rate", "150",
                             "--size", "2KiB:4,200KiB:1") for way in WAYS}
    took = []
    for _ in range(4):
        time.sleep(0.6)
        started = time.monotonic()
        assert relayd.stop() == 0
        took.append(time.monotonic() - started)
        relayd.start()
    reports = {way: load.report() for way, load in loads.items()}
    for report in reports.values():
        # Told to go (421), or not let in while nobody listened; never cut off behind a message.
        assert {row["code"] for row in report["errors"]} <= {421, 0}, report["errors"]
        assert report["accepted"] > 100
    scene.wait_empty()
    doubled, unknown = scene.compare({way: load.sent() for way, load in loads.items()})
    assert not any(doubled.values()) and not any(unknown.values()), (doubled, unknown)
    assert max(took) < 8
    print(f"4 stops, the longest took {max(took):.1f} s; "
          f"{ {way: r['accepted'] for way, r in reports.items()} } got 250, each arrived once")


def test_a_start_begins_with_the_old_queue_at_once(scene):
    relayd, before = scene.relayd, {way: len(scene.target(way).received()) for way in WAYS}
    scene.mail.misbehave("mail-4xx")
    load = scene.load("out", "--sessions", "4", "--messages", "300")
    assert load.report()["accepted"] == 300
    relayd.kill9()
    scene.mail.misbehave()
    started = time.monotonic()
    relayd.start()
    wait_until(lambda: scene.mail.counts()["messages"] >= before["out"] + 300, "the old queue", 20)
    print(f"300 messages of the queue that was there went out within "
          f"{time.monotonic() - started:.1f} s of the start")
    scene.wait_empty()


def test_sighup_with_sessions_open(scene):
    """Sessions go on with what they have; new ones see the new certificate and the new limits."""
    relayd = scene.relayd
    load = scene.load("out", "--sessions", "3", "--seconds", "2", "--rate", "100")
    with Client(relayd.mx_port) as old, Client(relayd.mx_port) as in_data:
        old.starttls()
        in_data.ehlo()
        for line in (f"MAIL FROM:<{CUSTOMER}>", f"RCPT TO:<{SUPPORT}>"):
            assert in_data.must(line)
        assert in_data.command("DATA").code == 354
        in_data.write(b"Subject: in the middle\r\n\r\nbegun before, ")
        before = old.socket.getpeercert(binary_form=True)
        text = relayd.config.read_text()
        identity = scene.authority.issue("renewed.example.net", "relay.example.net")
        assert "[limits]" not in text
        relayd.config.write_text(
            re.sub(r'key = "[^"]+"', f'key = "{identity.key}"',
                   re.sub(r'certificate = "[^"]+"', f'certificate = "{identity.certificate}"', text))
            + "\n[limits]\nmessage_size = \"1MiB\"\n")
        relayd.reload()
        wait_until(lambda: "configuration reloaded" in relayd.log(3000), "the reload", 10)
        for _ in range(5):
            assert old.command("NOOP").good
        in_data.write(b"ended after\r\n.\r\n")
        assert in_data.reply().code == 250
        with Client(relayd.mx_port, authority=scene.authority) as new:
            assert new.starttls()["SIZE"] == [str(1 << 20)]
            assert new.socket.getpeercert(binary_form=True) != before
        assert old.ehlo()["SIZE"] != [str(1 << 20)]
    report = load.report()
    assert not report["errors"] and report["connections"] == 3
    scene.wait_empty()


def _second(scene, name, state="state"):
    """Another configuration on the same state, or a copy: other ports, another socket."""
    text = scene.relayd.config.read_text()
    for port in scene.relayd.ports.values():
        text = text.replace(f":{port}", f":{free_port()}")
    text = text.replace("admin.sock", f"{name}.sock")
    text = text.replace('state_dir = "state"', f'state_dir = "{state}"')
    path = scene.relayd.directory / f"{name}.toml"
    path.write_text(text)
    return path


def _run(config, environment=None):
    return subprocess.run([BUILD / "relayd", "--config", config], capture_output=True, text=True,
                          timeout=20, env={**os.environ, **(environment or {})})


def test_a_second_process_on_the_same_state_refuses(scene):
    relayd = scene.relayd
    load = scene.load("in", "--sessions", "2", "--seconds", "1.5", "--rate", "100")
    second = _run(_second(scene, "second"))
    assert second.returncode == 1
    (line,) = [one for one in second.stderr.splitlines() if "cannot start" in one]
    assert f"another relayd (process {relayd.pid})" in line and str(relayd.state) in line
    assert relayd.running and relayd.ctl("status")["ready"]
    report = load.report()
    assert not report["errors"] and report["connections"] == 2
    scene.wait_empty()


def test_a_second_process_with_the_same_ports_refuses(scene):
    """By the same configuration, as when a unit is started twice."""
    second = _run(scene.relayd.config)
    assert second.returncode == 1 and "cannot start" in second.stderr
    assert scene.relayd.ctl("status")["ready"]


def _copy_of_state(scene, name):
    copy = scene.relayd.directory / name
    shutil.copytree(scene.relayd.state, copy)
    return _second(scene, name, state=name), copy


@pytest.mark.parametrize("room", ["queue", "accounts"])
def test_a_store_of_a_newer_schema_is_refused(scene, room):
    scene.relayd.stop()
    config, copy = _copy_of_state(scene, f"newer-{room}")
    scene.relayd.start()
    database = copy / room / "data.mdb"
    octets = database.read_bytes()
    newer = re.sub(rb"schema\d", b"schema9", octets)
    assert newer != octets
    database.write_bytes(newer)
    refused = _run(config)
    assert refused.returncode == 1
    (line,) = [one for one in refused.stderr.splitlines() if "cannot start" in one]
    assert "schema 9" in line and re.search("start the (version|relayd) that wrote it", line)
    assert database.read_bytes() == newer, "it was written to"


def test_a_network_file_system_is_refused(scene, tmp_path):
    """No real one here: statfs(2) says it is NFS, by the preloaded library."""
    scene.relayd.stop()
    config, _ = _copy_of_state(scene, "remote")
    scene.relayd.start()
    faults = Faults(tmp_path)
    faults.set_file_system(0x6969)
    refused = _run(config, faults.environment)
    assert refused.returncode == 1
    assert re.search(r"cannot start[^\n]*network", refused.stderr), refused.stderr
