"""Real Postfix in both directions: what arrives is what was sent, byte for byte, behind fields that
relayd and Postfix put in front.

What Postfix itself alters, and how it is compared:
  * its SMTP client sends with DATA, which cannot carry a last line without CRLF: such a message
    reaches relayd with one CRLF more (comparison.ended). BDAT straight to relayd has no such excuse;
  * virtual(8) stores LF for CRLF and ends the last line (maildir.as_stored);
  * Received, Return-Path, X-Original-To and Delivered-To of its own, in front.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import messages
from tests.support.comparison import added_fields, check_only_added, ended
from tests.support.help_desk import raw
from tests.support.maildir import as_stored
from tests.support.process import wait_until
from tests.support.scene import CUSTOMER, SUPPORT
from tests.support.smtp import Client, deliver

COUNT = 200
LARGE = (10_000_000, 5_000_000, 2_000_000, 1_000_000, 10_000_000, 300_000, 100_000, 70_000)
AT_ONCE = 4


def _send_all(samples, send):
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(send, samples))


def _check(samples, received, compare):
    """Each sample arrived once and is the same; a list of what is not."""
    wrong = []
    for sample in samples:
        arrived = received.get(sample.marker, [])
        if len(arrived) != 1:
            wrong.append(f"{sample.kind}: arrived {len(arrived)} times")
            continue
        try:
            compare(arrived[0], sample)
        except ValueError as error:
            wrong.append(f"{sample.kind}: {error}")
    assert not wrong, "\n".join(wrong)


def _by_marker(samples, contents):
    found = {}
    for content in contents:
        header = content[:20000]
        for sample in samples:
            if sample.marker.encode() in header:
                found.setdefault(sample.marker, []).append(content)
    return found


def _tickets(scene):
    return [raw(request["event"]) for request in scene.desk.taken()
            if request["event"]["type"] == "message.received"]


@pytest.mark.deadline(180)
def test_customers_mail_through_postfix_becomes_tickets(scene):
    samples = messages.mixture(COUNT, CUSTOMER, SUPPORT, LARGE)

    def send(sample):
        with Client(scene.postfix.submit_port) as client:
            client.ehlo()
            client.send(CUSTOMER, SUPPORT, sample.content, options=sample.options, bdat=sample.bdat)
            client.quit()

    before = len(scene.desk.taken())
    _send_all(samples, send)
    wait_until(lambda: len(scene.desk.taken()) - before >= COUNT, f"{COUNT} tickets", 120, 0.2)

    def compare(received, sample):
        # Postfix's Received fields (of its two services) stand between ours and the message.
        check_only_added(received, ended(sample.content))

    _check(samples, _by_marker(samples, _tickets(scene)), compare)
    scene.postfix.wait_until_empty()


@pytest.mark.deadline(180)
def test_the_help_desks_mail_goes_out_through_postfix(scene):
    samples = messages.mixture(COUNT, SUPPORT, CUSTOMER, LARGE)

    def send(sample):
        with Client(scene.relayd.submission_port) as client:
            client.starttls()
            client.login(scene.outbound["username"], scene.outbound["password"])
            client.send(SUPPORT, CUSTOMER, sample.content, options=sample.options, bdat=sample.bdat)
            client.quit()

    before = len(scene.postfix.mailbox.messages())
    _send_all(samples, send)
    wait_until(lambda: len(scene.postfix.mailbox.messages()) - before >= COUNT,
               f"{COUNT} messages in the mailbox", 120, 0.2)

    def compare(received, sample):
        check_only_added(received, as_stored(sample.content))

    contents = [message.content.partition(b"X-Original-To:")[2].split(b"\n", 1)[1]
                for message in scene.postfix.mailbox.messages()]
    # Delivered-To is Postfix's; the rest up to the message must be fields of relayd and Received.
    contents = [content.split(b"\n", 1)[1] for content in contents]
    _check(samples, _by_marker(samples, contents), compare)
    assert scene.relayd.queue() == []


def test_bdat_straight_to_relayd_keeps_a_last_line_without_end(scene):
    sample = messages.sample("no final CRLF", CUSTOMER, SUPPORT)
    deliver(scene.relayd, scene.inbound, CUSTOMER, SUPPORT, sample.content, bdat=sample.bdat)
    scene.desk.wait_for_ticket(sample.marker)
    received = next(r for r in _tickets(scene) if sample.marker.encode() in r)
    assert "received" in added_fields(received, sample.content)


@pytest.mark.parametrize("split", [1, 7, 1000])
def test_writes_of_any_size(scene, split):
    sample = messages.sample("leading dots", CUSTOMER, SUPPORT)
    deliver(scene.relayd, scene.inbound, CUSTOMER, SUPPORT, sample.content, split=split)
    scene.desk.wait_for_ticket(sample.marker)
    check_only_added(next(r for r in _tickets(scene) if sample.marker.encode() in r), sample.content)
