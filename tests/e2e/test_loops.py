"""Loops end, and say so (product rule A5): automatic mail flagged, partners, hops, the rate of a pair."""

import pytest

from tests.support import messages
from tests.support.process import wait_until
from tests.support.scene import CUSTOMER, DOMAIN, SUPPORT
from tests.support.smtp import Client, Refused, deliver
from tests.e2e.test_reports import MARKER, Reports

PAIR = 3  # limits.loop_pair_messages of the scene


@pytest.fixture(scope="module")
def scene():
    whole = Reports("loops", limits={"loop_pair_messages": PAIR},
                    extra=f'\n[outbound]\nmarker_headers = ["{MARKER}"]\n')
    try:
        yield whole.begin()
    finally:
        whole.stop()


def _metric(scene, name):
    import http.client
    import socket
    connection = http.client.HTTPConnection("relayd")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(scene.relayd.directory / "admin.sock"))
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def _inbound(scene, sender, extra=(), mail_from=None):
    """The ticket of a message from `sender`."""
    marker = messages.new_marker()
    content = messages.compose(marker, sender, SUPPORT, b"x\r\n", extra=extra)
    deliver(scene.relayd, scene.inbound, sender if mail_from is None else mail_from, SUPPORT, content)
    return scene.desk.wait_for_ticket(marker)["data"]


def _outbound(scene, recipients, extra=()):
    marker = messages.new_marker()
    content = messages.compose(marker, SUPPORT, recipients[0], b"x\r\n", extra=extra)
    with Client(scene.relayd.submission_port) as client:
        client.starttls()
        client.login(scene.outbound["username"], scene.outbound["password"])
        reply = client.send(SUPPORT, recipients, content)
    return marker, reply


@pytest.mark.parametrize("number,mail_from,extra,reason", [
    (1, "", (), "null-sender"),
    (2, None, ("Auto-Submitted: auto-replied (vacation)",), "auto-submitted: auto-replied"),
    (3, None, ("List-Unsubscribe: <mailto:x@y.example>",), "list: list-unsubscribe"),
    (4, None, ("Precedence: bulk",), "precedence: bulk"),
    (5, None, ("X-Auto-Response-Suppress: DR, OOF",), "x-auto-response-suppress: oof"),
    (6, None, (f"{MARKER}: 7",), f"marker: {MARKER.lower()}"),
    (7, None, ("Content-Type: multipart/report; boundary=x",), "report"),
    (8, None, ("Auto-Submitted: no",), None)])
def test_automatic_mail_is_flagged_with_its_reason(scene, number, mail_from, extra, reason):
    data = _inbound(scene, f"a{number}@customer.example", extra, mail_from)
    assert data["automated"] == {"is": reason is not None, "reason": reason}
    if reason:
        kind = reason.split(":")[0]
        wait_until(lambda: _metric(scene, f'relayd_tickets_automated_total{{reason="{kind}"') >= 1,
                   "the metric")


def test_a_pair_past_its_rate_is_flagged_and_gets_no_automatic_mail(scene):
    fast = "machine@fast.example"
    for _ in range(PAIR):
        assert _inbound(scene, fast)["automated"]["is"] is False
    # Mail of a machine still passes, the bound is not exceeded.
    automatic = ("Auto-Submitted: auto-generated",)
    marker, _ = _outbound(scene, [fast], automatic)
    wait_until(lambda: any(marker.encode() in m for m in scene.server.messages), "the first one")
    assert _inbound(scene, fast)["automated"] == {"is": True, "reason": "loop: rate"}
    with pytest.raises(Refused) as refused:
        _outbound(scene, [fast], automatic)
    assert refused.value.reply.code == 550 and "5.7.1 Suppressed" in refused.value.reply.text
    # The others of the same message get it, and the reply says who does not.
    before = len(scene.server.commands)
    marker, reply = _outbound(scene, [fast, CUSTOMER], automatic)
    assert "not for 1 recipients" in reply.text
    wait_until(lambda: any(marker.encode() in m for m in scene.server.messages), "the message")
    assert not [c for c in scene.server.commands[before:] if fast in c]
    # Written by a person.
    marker, _ = _outbound(scene, [fast])
    wait_until(lambda: any(marker.encode() in m for m in scene.server.messages), "the agent's")
    assert _metric(scene, 'relayd_loops_total{reason="rate"') == 3


def test_too_many_hops_are_refused_and_counted(scene):
    with pytest.raises(Refused) as refused:
        _inbound(scene, CUSTOMER, ["Received: by x.example; Sat, 31 Jan 2026 12:00:00 +0000"] * 101)
    assert "5.4.6" in refused.value.reply.text
    assert _metric(scene, 'relayd_loops_total{reason="hops"') == 1


def test_partners_are_refused_both_ways(scene):
    ctl = scene.relayd.ctl
    assert ctl("partner", "add", DOMAIN, "Desk.Example")["partners"] == ["desk.example"]
    with pytest.raises(Refused) as refused:
        _inbound(scene, "help@eu.desk.example")
    assert refused.value.reply.code == 550 and "5.7.1" in refused.value.reply.text
    assert "partner" in refused.value.reply.text
    with pytest.raises(Refused) as refused:  # a list's or a forwarder's envelope in front of it
        _inbound(scene, "help@desk.example", mail_from="bounces@forwarder.example")
    assert "5.7.1" in refused.value.reply.text
    with pytest.raises(Refused) as refused:
        _outbound(scene, ["help@desk.example"])
    assert refused.value.reply.code == 550 and "Suppressed" in refused.value.reply.text
    assert _metric(scene, 'relayd_loops_total{reason="partner"') == 3
    assert _inbound(scene, "help@otherdesk.example")["automated"]["is"] is False
    ctl("partner", "remove", DOMAIN, "desk.example")
    assert _inbound(scene, "help@desk.example")["automated"]["is"] is False
