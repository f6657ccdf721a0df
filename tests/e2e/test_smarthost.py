"""Sending through a real smarthost: what it offers, refuses and forgets (product rules O1, O2)."""

import re
import time

import dkim
import pytest

from tests.support import messages
from tests.support.certificates import Authority
from tests.support.postfix import Postfix
from tests.support.process import wait_until
from tests.support.relayd import RelayctlError
from tests.support.scene import CUSTOMER, SUPPORT, Scene
from tests.support.smtp import submit


class Smarthost(Scene):
    """Postfix is configured by each test and started when it says so."""

    def prepare(self, **smarthost):
        self.start_relayd()
        self.connect(**smarthost)
        self.desk.start(self.webhook_secret)
        return self


@pytest.fixture
def make():
    scenes = []

    def build(mechanisms="PLAIN LOGIN", **smarthost):
        scene = Smarthost("smarthost", mechanisms)
        scenes.append(scene)
        return scene.prepare(**smarthost)

    yield build
    for scene in scenes:
        scene.stop()


def _submit(scene, recipients=CUSTOMER, **options):
    sample = messages.sample("plain", SUPPORT, CUSTOMER)
    submit(scene.relayd, scene.outbound, SUPPORT, recipients, sample.content, **options)
    return sample.marker


def _waiting_with(scene, pattern):
    """The only row of the queue, once its last reply fits."""
    def fits():
        rows = scene.relayd.queue()
        return rows and re.search(pattern, rows[0]["last_reply"], re.IGNORECASE) and rows[0]
    try:
        row = wait_until(fits, f"a waiting message with /{pattern}/", 20)
    except TimeoutError as error:
        raise AssertionError(f"{error}: {scene.relayd.queue()}") from None
    assert row["state"] == "waiting"
    return row


def _bounces(scene):
    return [r["event"] for r in scene.desk.taken() if r["event"]["type"] == "message.bounced"]


# --- TLS and AUTH

def test_without_starttls_nothing_is_sent(make):
    scene = make()
    scene.postfix.set(smarthost_tls_level="none")
    scene.postfix.start()
    marker = _submit(scene)
    _waiting_with(scene, "STARTTLS|TLS")
    assert not scene.postfix.log_lines("sasl_method") and not scene.postfix.mailbox.messages()
    scene.postfix.set(smarthost_tls_level="may")
    scene.postfix.restart()
    scene.postfix.mailbox.wait_for(marker)


def test_a_certificate_of_a_strange_ca_is_refused(make):
    scene = make()
    trusted = scene.postfix
    strange = Postfix(scene.directory / "strange", Authority(scene.directory / "strange-ca", "Strange"))
    scene.postfix = strange
    scene.connect_again()
    strange.start()
    marker = _submit(scene)
    _waiting_with(scene, "certificate|verif")
    assert not strange.log_lines("sasl_method") and not strange.mailbox.messages()
    strange.stop()
    scene.postfix = trusted
    scene.connect_again()
    trusted.start()
    trusted.mailbox.wait_for(marker)


def test_a_certificate_of_another_name_is_refused(make):
    scene = make(host="localhost.acme.example")
    scene.dns.add("localhost.acme.example", "A", "127.0.0.1")
    scene.postfix.start()
    _submit(scene)
    _waiting_with(scene, "certificate|host ?name|verif")
    assert not scene.postfix.log_lines("sasl_method")


def test_a_server_that_knows_only_login(make):
    scene = make(mechanisms="LOGIN")
    scene.postfix.start()
    scene.postfix.mailbox.wait_for(_submit(scene))
    assert scene.postfix.log_lines("sasl_method=LOGIN")


def test_a_wrong_password_makes_mail_wait(make):
    scene = make(password="wrong")
    scene.postfix.start()
    marker = _submit(scene)
    _waiting_with(scene, "535|authentication")
    assert not _bounces(scene)
    scene.connect_again()
    scene.relayd.ctl("queue", "retry", scene.relayd.queue()[0]["id"])
    scene.postfix.mailbox.wait_for(marker)


# --- Refusals

def test_a_permanent_refusal_becomes_a_bounce_event(make):
    scene = make()
    scene.postfix.refuse("recipient", "gone@customer.example", "550 5.1.1 No such user here")
    scene.postfix.start()
    marker = _submit(scene, ["gone@customer.example", CUSTOMER])
    scene.postfix.mailbox.wait_for(marker)
    event = scene.desk.wait_for(lambda e: e["type"] == "message.bounced", "a bounce")["event"]
    text = str(event["data"])
    assert "gone@customer.example" in text and "No such user here" in text and marker in text
    assert CUSTOMER not in str(event["data"]["recipients"])
    assert re.search(r"5\.1\.1", str(event["data"]["recipients"]))
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty")
    assert len(scene.postfix.mailbox.messages()) == 1
    assert not [r for r in scene.desk.taken() if r["event"]["type"] == "message.received"]


def test_a_refused_sender_bounces_every_recipient(make):
    scene = make()
    scene.postfix.refuse("sender", SUPPORT, "554 5.7.1 You may not send")
    scene.postfix.start()
    _submit(scene, [CUSTOMER, "ben@customer.example"])
    event = scene.desk.wait_for(lambda e: e["type"] == "message.bounced", "a bounce")["event"]
    assert len(event["data"]["recipients"]) == 2
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty")


def test_a_temporary_refusal_waits(make):
    scene = make()
    scene.postfix.refuse("recipient", CUSTOMER, "452 4.2.2 Mailbox full")
    scene.postfix.start()
    marker = _submit(scene)
    row = _waiting_with(scene, "Mailbox full")
    assert row["attempts"] >= 1 and not _bounces(scene)
    scene.postfix.accept_all()
    scene.postfix.restart()
    scene.postfix.mailbox.wait_for(marker)
    assert not _bounces(scene)


def test_of_two_recipients_one_waits_and_one_is_served_once(make):
    scene = make()
    scene.postfix.refuse("recipient", "busy@customer.example", "450 4.2.0 Busy")
    scene.postfix.start()
    marker = _submit(scene, [CUSTOMER, "busy@customer.example"])
    scene.postfix.mailbox.wait_for(marker)
    _waiting_with(scene, "Busy")
    scene.postfix.accept_all()
    scene.postfix.restart()
    wait_until(lambda: len(scene.postfix.mailbox.containing(marker)) == 2, "both")
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty")
    assert sorted(m.recipient for m in scene.postfix.mailbox.messages()) == [
        CUSTOMER, "busy@customer.example"]


# --- Connections (O1)

def test_all_that_is_queued_goes_over_one_connection(make):
    scene = make(connections=1, reconnect_interval="3s")
    markers = [_submit(scene) for _ in range(25)]
    scene.postfix.start()
    for marker in markers:
        scene.postfix.mailbox.wait_for(marker)
    wait_until(lambda: scene.postfix.log_lines("quit=1"), "relayd to say QUIT")
    sessions = [line for line in scene.postfix.log_lines("disconnect from") if "auth=1" in line]
    assert sum(int(re.search(r" mail=(\d+)", line).group(1)) for line in sessions) == 25
    # Messages that become due a moment after the first session go in the next one, all together.
    assert len(sessions) <= 3 and all("quit=1" in line for line in sessions)


def test_connections_are_made_on_demand_and_not_sooner_than_the_interval(make):
    scene = make(reconnect_interval="4s", connections=1)
    scene.postfix.start()
    first = _submit(scene)
    scene.postfix.mailbox.wait_for(first)
    wait_until(lambda: scene.postfix.log_lines("quit=1"), "relayd to say QUIT")
    closed = time.monotonic()
    second = _submit(scene)
    scene.postfix.mailbox.wait_for(second)
    assert 3 <= time.monotonic() - closed <= 8


def test_what_the_smarthost_offers_is_used(make):
    scene = make()
    scene.postfix.start()
    sample = messages.sample("smtputf8", SUPPORT, "grüße@customer.example")
    submit(scene.relayd, scene.outbound, SUPPORT, "grüße@customer.example", sample.content,
           options=sample.options)
    assert scene.postfix.mailbox.wait_for(sample.marker).recipient == "grüße@customer.example"
    wait_until(lambda: scene.postfix.log_lines("quit=1"), "relayd to say QUIT")
    assert "bdat=1" in scene.postfix.log_lines("quit=1")[0]


# --- DKIM

def test_outbound_mail_is_signed_for_the_customers_domain(make):
    scene = make()
    scene.postfix.start()
    for selector, algorithm in (("r1", "rsa-sha256"), ("e1", "ed25519-sha256")):
        record = scene.relayd.ctl("dkim", "add", "acme.example", "--selector", selector,
                                  "--algorithm", algorithm)
        assert record["name"] == f"{selector}._domainkey.acme.example" and record["type"] == "TXT"
        scene.dns.add(record["name"], "TXT", record["value"])
        scene.relayd.ctl("dkim", "activate", "acme.example", selector)
    marker = _submit(scene)
    content = scene.postfix.mailbox.wait_for(marker).as_relayed().replace(b"\n", b"\r\n")
    signatures = re.findall(rb"(?m)^DKIM-Signature:", content)
    assert len(signatures) == 2
    verifier = dkim.DKIM(content)
    for number in range(2):
        assert verifier.verify(idx=number, dnsfunc=scene.dns.txt)
        assert verifier.domain == b"acme.example"


def test_dkim_activate_looks_into_dns(make):
    scene = make()
    scene.relayd.ctl("dkim", "add", "acme.example", "--selector", "s1")
    with pytest.raises(RelayctlError) as refused:
        scene.relayd.ctl("dkim", "activate", "acme.example", "s1")
    assert "s1._domainkey.acme.example" in str(refused.value)
    scene.relayd.ctl("dkim", "activate", "acme.example", "s1", "--force")
