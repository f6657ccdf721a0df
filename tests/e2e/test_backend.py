"""A back end in trouble costs time and never a ticket (product rules T1, T4)."""

import time

import pytest

from tests.support import messages
from tests.support.process import wait_until
from tests.support.scene import CUSTOMER, SUPPORT, Scene
from tests.support.smtp import deliver


@pytest.fixture
def scene():
    """Without Postfix, and with the help desk still to be started."""
    whole = Scene("backend", limits={"http_timeout": "3s"})
    try:
        whole.start_relayd()
        whole.connect()
        yield whole
    finally:
        whole.stop()


def _send(scene, count=1):
    samples = [messages.sample("plain", CUSTOMER, SUPPORT, n) for n in range(count)]
    for sample in samples:
        deliver(scene.relayd, scene.inbound, CUSTOMER, SUPPORT, sample.content)
    return samples


def _only_row(scene):
    rows = scene.relayd.queue()
    assert len(rows) == 1, rows
    return rows[0]


def test_down_all_the_time_then_up(scene):
    samples = _send(scene, 40)
    # Nobody there: the back end is asked again by one ticket after the other, for all that wait.
    wait_until(lambda: sum(row["attempts"] for row in scene.relayd.queue()) >= 3, "attempts", 20)
    assert len(scene.relayd.queue()) == 40
    scene.desk.start(scene.webhook_secret)
    for sample in samples:
        scene.desk.wait_for_ticket(sample.marker, 30)
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty")


def test_500_is_tried_again_with_the_same_id(scene):
    scene.desk.start(scene.webhook_secret, answers="500,500,200")
    sample, = _send(scene)
    scene.desk.wait_for_ticket(sample.marker)
    requests = scene.desk.requests()
    assert [request["answer"] for request in requests] == ["500", "500", "200"]
    assert len({request["headers"]["webhook-id"] for request in requests}) == 1
    assert all(request["verified"] for request in requests), "each attempt is signed anew"
    # queue.retry of the scene: 1 s, then 2 s.
    assert requests[1]["time"] - requests[0]["time"] >= 0.8
    assert requests[2]["time"] - requests[1]["time"] >= 1.6


def test_the_id_outlives_a_restart(scene):
    scene.desk.start(scene.webhook_secret, answers="500")
    sample, = _send(scene)
    wait_until(scene.desk.requests, "the first attempt")
    wait_until(lambda: scene.relayd.queue()[0]["attempts"] == 1, "its outcome on disk")
    scene.relayd.kill9()
    scene.relayd.start()
    scene.desk.wait_for_ticket(sample.marker)
    ids = {request["headers"]["webhook-id"] for request in scene.desk.requests()}
    assert len(ids) == 1 and len(scene.desk.requests()) == 2


def test_a_paused_back_end_is_shown_and_resumed_by_hand():
    with Scene("resume", retry=("1h",)) as scene:
        scene.start_relayd()
        scene.connect()
        scene.desk.start(scene.webhook_secret, answers="404")
        sample, = _send(scene)
        wait_until(lambda: scene.relayd.ctl("status")["paused_backends"] == ["acme"], "the pause")
        shown = scene.relayd.ctl("backend", "list")["backends"][0]
        assert (shown["paused"], shown["reason"]) == (True, "refused"), shown
        assert shown["last_reply"].startswith("HTTP 404"), shown
        assert scene.relayd.ctl("backend", "resume", "acme")["was_paused"]
        scene.desk.wait_for_ticket(sample.marker)
        wait_until(lambda: not scene.relayd.ctl("backend", "show", "acme")["paused"], "its end")


@pytest.mark.parametrize("answer", ["429:4", "503:4", "429@5"])
def test_retry_after_is_obeyed(scene, answer):
    scene.desk.start(scene.webhook_secret, answers=f"{answer},200")
    sample, = _send(scene)
    scene.desk.wait_for_ticket(sample.marker)
    first, second = scene.desk.requests()
    assert second["time"] - first["time"] >= 3.5


@pytest.mark.parametrize("answer", ["401", "403", "404", "410"])
def test_a_refused_endpoint_is_paused_and_nothing_is_lost(scene, answer):
    scene.desk.start(scene.webhook_secret, then=answer)
    samples = _send(scene, 8)
    wait_until(scene.desk.requests, "a request")
    first = time.monotonic()
    time.sleep(5)
    # All wait; one ticket asks again at the retry times (1 s, 2 s, 2 s, ...). Without a pause each
    # of the eight would, 24 times together.
    asked = len(scene.desk.requests())
    assert asked <= 8 + (time.monotonic() - first) / 1.5
    rows = scene.relayd.queue()
    assert len(rows) == 8 and all(row["state"] == "waiting" for row in rows)
    assert any(answer in row["last_reply"] for row in rows)
    scene.desk.stop()
    scene.desk.start(scene.webhook_secret)
    for sample in samples:
        scene.desk.wait_for_ticket(sample.marker)


@pytest.mark.parametrize("answer", ["413", "415", "422"])
def test_a_refused_message_is_parked_for_the_operator(scene, answer):
    scene.desk.start(scene.webhook_secret, answers=answer)
    parked, = _send(scene)
    wait_until(lambda: scene.desk.requests() and _only_row(scene)["state"] == "held",
               "the message to be held")
    row = _only_row(scene)
    assert answer in row["last_reply"]
    after, = _send(scene)
    scene.desk.wait_for_ticket(after.marker)
    assert len(scene.desk.requests()) == 2, "a parked message is not tried again by itself"
    scene.relayd.ctl("queue", "release", row["id"])
    scene.desk.wait_for_ticket(parked.marker)


def test_one_that_hangs_does_not_stop_the_others(scene):
    scene.desk.start(scene.webhook_secret, answers="hang")
    samples = _send(scene, 6)
    for sample in samples:
        scene.desk.wait_for_ticket(sample.marker, 30)
    hung, = [r for r in scene.desk.requests() if r["answer"] == "hang"]
    again = [r for r in scene.desk.requests()
             if r["headers"]["webhook-id"] == hung["headers"]["webhook-id"]]
    assert len(again) == 2 and again[1]["answer"] == "200"


def test_one_that_closes_or_drops(scene):
    scene.desk.start(scene.webhook_secret, answers="close,drop")
    samples = _send(scene, 3)
    for sample in samples:
        scene.desk.wait_for_ticket(sample.marker, 30)
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty")
