"""kill -9 in the middle of the load: a message that got its 250 is delivered once or more.

Twenty rounds, both directions at once. In each, several clients send as fast as they are answered;
relayd is killed after a moment that differs from round to round, and started again. What matters is
counted by the senders: only a 250 to the end of data is a promise.

With --soak, two hundred rounds and more with the heavier load of relaybench, and a smarthost and a
back end that are away, refuse and drop connections at times. RELAYD_SEED repeats the moments of an
earlier run.
"""

import os
import random
import threading
import time

import pytest

from tests.support import messages
from tests.support.process import wait_until
from tests.support.relaybench import BetweenSinks
from tests.support.scene import CUSTOMER, SUPPORT
from tests.support.smtp import Client, Refused

ROUNDS = 20
SENDERS = 2  # in each direction
PAUSE = 0.005  # of a sender between two messages: the Postfix behind has to take them all
CONNECTIONS = 2       # to the smarthost: the plan's
HTTP_CONNECTIONS = 8  # to the back end: limits.http_connections


class Sender(threading.Thread):
    """Sends until told to stop; `promised` are the markers of messages that got 250."""

    def __init__(self, port, credential, sender, recipient, size):
        super().__init__(daemon=True)
        self._port, self._credential = port, credential
        self._sender, self._recipient, self._size = sender, recipient, size
        self.promised, self.attempted = [], 0
        self._stop_asked = threading.Event()

    def finish(self):
        self._stop_asked.set()
        self.join(30)
        assert not self.is_alive(), "a sender does not end"

    def run(self):
        while not self._stop_asked.is_set():
            try:
                self._session()
            except (OSError, EOFError, Refused):
                time.sleep(0.02)  # killed under us; the next session finds it up again

    def _session(self):
        with Client(self._port, timeout=10) as client:
            client.starttls()
            client.login(self._credential["username"], self._credential["password"])
            while not self._stop_asked.is_set():
                marker = messages.new_marker()
                content = messages.compose(marker, self._sender, self._recipient,
                                           messages.text(self._size, len(self.promised)))
                self.attempted += 1
                client.send(self._sender, self._recipient, content)
                self.promised.append(marker)
                time.sleep(PAUSE)


def _start_senders(scene):
    relayd = scene.relayd
    senders = [Sender(relayd.mx_port, scene.inbound, CUSTOMER, SUPPORT, 2000 + 30000 * n)
               for n in range(SENDERS)]
    senders += [Sender(relayd.submission_port, scene.outbound, SUPPORT, CUSTOMER, 2000 + 30000 * n)
                for n in range(SENDERS)]
    for sender in senders:
        sender.start()
    return senders


def _marker_counts(promised, contents):
    """How often each promised marker arrived; contents are headers as bytes."""
    counts = dict.fromkeys(promised, 0)
    for content in contents:
        start = content.find(b"Message-ID: <m")
        if start >= 0:
            marker = content[start + 13:start + 30].decode("ascii", "replace")
            if marker in counts:
                counts[marker] += 1
    return counts


def _seed():
    seed = int(os.environ.get("RELAYD_SEED") or random.SystemRandom().randrange(10 ** 6))
    print(f"RELAYD_SEED={seed}")
    return seed


@pytest.mark.deadline(170)
def test_what_was_promised_is_delivered(scene):
    generator = random.Random(_seed())
    senders = _start_senders(scene)
    for _ in range(ROUNDS):
        time.sleep(generator.uniform(0.2, 1.2))
        scene.relayd.kill9()
        scene.relayd.start()
    time.sleep(0.5)
    for sender in senders:
        sender.finish()

    inbound = [marker for sender in senders[:SENDERS] for marker in sender.promised]
    outbound = [marker for sender in senders[SENDERS:] for marker in sender.promised]
    attempted = sum(sender.attempted for sender in senders)

    def tickets():
        return _marker_counts(inbound, [(f"Message-ID: {r['event']['data']['message_id']}"
                                         if r["event"]["data"]["message_id"].startswith("<")
                                         else f"Message-ID: <{r['event']['data']['message_id']}>"
                                         ).encode() for r in scene.desk.taken()
                                        if r["event"]["type"] == "message.received"])

    def delivered():
        return _marker_counts(outbound, [m.content for m in scene.postfix.mailbox.messages()])

    def missing():
        return sum(not n for n in tickets().values()) + sum(not n for n in delivered().values())

    try:
        wait_until(lambda: missing() == 0, "all promised messages", 60, 0.5)
    finally:
        arrived_in, arrived_out = tickets(), delivered()
        print(f"\n{ROUNDS} times kill -9; {attempted} attempts, {len(inbound)} inbound and "
              f"{len(outbound)} outbound messages got 250; lost: "
              f"{sum(not n for n in arrived_in.values())} and "
              f"{sum(not n for n in arrived_out.values())}; delivered more than once: "
              f"{sum(n > 1 for n in arrived_in.values())} and "
              f"{sum(n > 1 for n in arrived_out.values())}")
    assert len(inbound) > ROUNDS and len(outbound) > ROUNDS, "hardly any load"
    # What was handed over and not yet written down at a kill: a message a connection, and what went
    # over it while a commit was under way, which is about what the senders have in hand.
    for arrived, connections in ((arrived_in, HTTP_CONNECTIONS), (arrived_out, CONNECTIONS)):
        assert sum(n - 1 for n in arrived.values() if n) <= \
            (2 * SENDERS + connections) * ROUNDS
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty", 30, 0.5)


# --- the long form

SOAK_KILLS = 200
SOAK_SESSIONS = 6     # of relaybench, in each direction
SOAK_CONNECTIONS = 4  # to the smarthost


def _trouble(scene, generator):
    """Now and then the peers have a bad day of their own; what it was."""
    kind = generator.choice(["restart", "refuse", "none", "none", "none", "none"])
    target = generator.choice([scene.mail, scene.desk])
    if kind == "restart":
        target.restart()
    elif kind == "refuse":
        manners = {scene.mail: ["dot-4xx:20%", "drop-after-dot:2%", "drop-in-data:2%"],
                   scene.desk: ["status=500:20%", "drop:5%"]}
        target.misbehave(*manners[target])
    else:
        scene.mail.misbehave()
        scene.desk.misbehave()
    return kind == "restart"


@pytest.mark.deadline(1200)
def test_two_hundred_kills(request):
    seconds = request.config.getoption("--soak")
    if not seconds:
        pytest.skip("the long form: --soak")
    generator = random.Random(_seed())
    end = time.monotonic() + seconds
    kills = restarts = 0
    with BetweenSinks("soak", smarthost={"connections": SOAK_CONNECTIONS}, misbehave=[]) as scene:
        loads = {way: scene.load(way, "--sessions", SOAK_SESSIONS, "--seconds", seconds + 3600,
                                 "--rate", "150", "--size", "1KiB:6,20KiB:3,400KiB:1")
                 for way in ("in", "out")}
        while kills < SOAK_KILLS or time.monotonic() < end:
            time.sleep(generator.uniform(0.0, 1.0))
            restarts += _trouble(scene, generator)
            scene.relayd.kill9()
            kills += 1
            if generator.random() < 0.1:  # and again while it recovers
                scene.relayd.begin()
                time.sleep(generator.uniform(0, 0.2))
                scene.relayd.kill9()
                kills += 1
            scene.relayd.start()
        scene.mail.misbehave()
        scene.desk.misbehave()
        for load in loads.values():
            load.finish()
        reports = {way: load.report() for way, load in loads.items()}
        scene.wait_empty(120)
        sent = {way: load.sent() for way, load in loads.items()}
        doubled, unknown = scene.compare(sent)
        print(f"{kills} times kill -9, {restarts} restarts of a peer; "
              f"attempts {({way: r['accepted'] + r['failed'] for way, r in reports.items()})}, "
              f"250 to {({way: len(ids) for way, ids in sent.items()})}, lost 0, "
              f"arrived more than once {doubled}, arrived without a 250 {unknown}")
        assert all(len(ids) > 10 * kills for ids in sent.values()), "hardly any load"
        # What was in flight at a kill: a session's message that was kept and not yet answered, and
        # as in the short form what was handed over and not yet written down.
        assert all(count <= SOAK_SESSIONS * kills for count in unknown.values())
        for way, connections in (("out", SOAK_CONNECTIONS), ("in", HTTP_CONNECTIONS)):
            assert doubled[way] <= (2 * SOAK_SESSIONS + connections) * (kills + restarts)
