"""File descriptors run out; the wall clock is set back and forth. Nothing is lost, nothing spins,
nothing stands still."""

import os
import re
import resource
import socket
import time

from tests.support.faults import Faults
from tests.support.process import wait_until
from tests.support.relaybench import CUSTOMER, SUPPORT, BetweenSinks
from tests.support.smtp import Client

WAYS = ("in", "out")


def _cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Crowd:
    """Connections that stay, and say nothing."""

    def __init__(self, port, count):
        self._port = port
        self.sockets = []
        for _ in range(count):
            self.sockets.append(self._connect())

    def _connect(self):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", self._port))
        return one

    def greetings(self):
        """What each was told so far: "220", "421", "closed" or "" for nothing."""
        told = []
        for one in self.sockets:
            try:
                text = one.recv(3, socket.MSG_PEEK).decode()
                told.append(text or "closed")
            except BlockingIOError:
                told.append("")
            except OSError:
                told.append("closed")
        return told

    def leave(self):
        for one in self.sockets:
            one.close()


FILES = 240


def _few_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))


def test_a_crowd_at_the_door_keeps_no_mail_from_going_out():
    """More connections than relayd may have files: those past the mark get 421 and the rest of the
    descriptors goes on carrying mail, both ways, over sessions that were there before."""
    with BetweenSinks("files", server_options={"preexec_fn": _few_files}) as scene:
        relayd = scene.relayd
        loads = {way: scene.load(way, "--sessions", "2", "--rate", "20", "--seconds", "4",
                                 "--size", "2KiB:5,400KiB:1") for way in WAYS}
        time.sleep(1)
        crowd = Crowd(relayd.mx_port, 400)
        wait_until(lambda: "" not in crowd.greetings(), "everybody to be told", 10)
        told = crowd.greetings()
        assert told.count("220") > 50 and told.count("421") > 50
        assert told.count("220") + told.count("421") == 400
        before = {way: len(scene.target(way).received()) for way in WAYS}
        cpu = _cpu_seconds(relayd.pid)
        wait_until(lambda: all(len(scene.target(way).received()) > before[way] + 10
                               for way in WAYS), "mail to go on both ways", 15)
        assert "turned away" in relayd.log(5000) and relayd.ctl("status")["ready"]
        reports = {way: load.report() for way, load in loads.items()}
        for report in reports.values():
            assert not report["errors"] and report["connections"] == 2, report
        idle = _cpu_seconds(relayd.pid)
        time.sleep(2)
        assert _cpu_seconds(relayd.pid) - idle < 0.5, "it spins"
        crowd.leave()
        wait_until(lambda: _descriptors(relayd.pid) < FILES // 2, "the crowd to be forgotten", 10)
        with Client(relayd.mx_port) as client:
            assert client.greeting.code == 220
        scene.wait_empty()
        doubled, unknown = scene.compare({way: load.sent() for way, load in loads.items()})
        assert not any(doubled.values()) and not any(unknown.values())
        print(f"{told.count('220')} sessions, {told.count('421')} turned away, "
              f"{idle - cpu:.1f} s CPU under load")


def test_without_any_descriptor_accepting_pauses_and_resumes():
    with BetweenSinks("files") as scene:
        relayd = scene.relayd
        loads = {way: scene.load(way, "--sessions", "2", "--rate", "20", "--seconds", "4.5")
                 for way in WAYS}
        time.sleep(0.7)
        before = resource.prlimit(relayd.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(relayd.pid, resource.RLIMIT_NOFILE, (_descriptors(relayd.pid), before[1]))
        crowd = Crowd(relayd.mx_port, 50)
        wait_until(lambda: "accept paused" in relayd.log(5000), "accepting to pause", 10)
        cpu = _cpu_seconds(relayd.pid)
        time.sleep(2)
        assert _cpu_seconds(relayd.pid) - cpu < 1, "it spins"
        assert relayd.running and crowd.greetings().count("220") < 50
        resource.prlimit(relayd.pid, resource.RLIMIT_NOFILE, before)
        wait_until(lambda: "" not in crowd.greetings(), "the others to be let in", 10)
        crowd.leave()
        reports = {way: load.report() for way, load in loads.items()}
        for report in reports.values():
            assert report["accepted"] > 20
            assert set(row["code"] for row in report["errors"]) <= {451, 452}, report["errors"]
        scene.wait_empty()
        doubled, unknown = scene.compare({way: load.sent() for way, load in loads.items()})
        assert not any(unknown.values())
        print(f"refused: { {way: r['failed'] for way, r in reports.items()} }; twice: {doubled}")


HOUR = 3600


def test_the_clock_is_set_back_and_forth(tmp_path):
    """Hours forward, hours back, under load, while every third message is put off: what is to be
    tried again in seconds is, nothing expires, ids stay unique. (Forward by less than the four
    hours after which a delay is reported: that clock counts.)"""
    faults = Faults(tmp_path)
    with BetweenSinks("clock", smarthost_tls="none", smarthost={"username": ""},
                      misbehave=["dot-4xx:30%"], extra="",
                      server_options={"env": {**os.environ, **faults.environment}}) as scene:
        relayd = scene.relayd
        relayd.stop()
        text = relayd.config.read_text()
        relayd.config.write_text(text.replace("[queue]", '[queue]\nexpire = "8h"'))
        relayd.start()
        loads = {way: scene.load(way, "--sessions", "2", "--rate", "25", "--seconds", "6")
                 for way in WAYS}
        for offset in (3 * HOUR, -6 * HOUR, 0, 2 * HOUR, -20 * HOUR):
            time.sleep(1)
            faults.set_clock(offset)
        reports = {way: load.report() for way, load in loads.items()}
        for report in reports.values():
            assert not report["errors"] and report["connections"] == 2, report
        scene.wait_empty(30)
        doubled, unknown = scene.compare({way: load.sent() for way, load in loads.items()})
        assert not any(doubled.values()) and not any(unknown.values())
        log = (relayd.directory / "relayd.log").read_text()
        ids = re.findall(r'"event":"received","id":"([^"]+)"', log)
        accepted = sum(report["accepted"] for report in reports.values())
        assert len(ids) == len(set(ids)) == accepted, (len(ids), len(set(ids)), accepted)
        assert scene.mail.counts()["refused"] > 10 
        with Client(relayd.mx_port) as client:
            client.ehlo()
            assert client.command(f"MAIL FROM:<{CUSTOMER}>").good
            assert client.command(f"RCPT TO:<{SUPPORT}>").good
