"""kill -9 in the middle of the load: a message that got its 250 is delivered once or more.

Twenty rounds, both directions at once. In each, several clients send as fast as they are answered;
relayd is killed after a moment that differs from round to round, and started again. What matters is
counted by the senders: only a 250 to the end of data is a promise.
"""

import random
import threading
import time

import pytest

from tests.support import messages
from tests.support.process import wait_until
from tests.support.scene import CUSTOMER, SUPPORT
from tests.support.smtp import Client, Refused

ROUNDS = 20
SENDERS = 2  # in each direction


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


@pytest.mark.deadline(170)
def test_what_was_promised_is_delivered(scene, request):
    generator = random.Random(2)
    end = time.monotonic() + (request.config.getoption("--soak") or 0)
    senders = _start_senders(scene)
    rounds = 0
    while rounds < ROUNDS or time.monotonic() < end:
        time.sleep(generator.uniform(0.2, 1.2))
        scene.relayd.kill9()
        scene.relayd.start()
        rounds += 1
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
        print(f"\n{rounds} times kill -9; {attempted} attempts, {len(inbound)} inbound and "
              f"{len(outbound)} outbound messages got 250; lost: "
              f"{sum(not n for n in arrived_in.values())} and "
              f"{sum(not n for n in arrived_out.values())}; delivered more than once: "
              f"{sum(n > 1 for n in arrived_in.values())} and "
              f"{sum(n > 1 for n in arrived_out.values())}")
    assert len(inbound) > ROUNDS and len(outbound) > ROUNDS, "hardly any load"
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty", 30, 0.5)
