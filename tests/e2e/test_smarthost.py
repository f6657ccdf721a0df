"""Sending through a real smarthost: what it offers, refuses and forgets (product rules O1, O2)."""

import re
import ssl
import time

import dkim
import pytest

from tests.support import accounts, messages
from tests.support.certificates import Authority
from tests.support.postfix import Postfix
from tests.support.process import wait_until
from tests.support.relayd import RelayctlError
from tests.support.scene import CUSTOMER, SUPPORT, Scene
from tests.support.smarthost import CLOSE, SILENT
from tests.support.smarthost import Smarthost as ScriptedSmarthost
from tests.support.smtp import Client, submit


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
    scene.connect_again()  # a new password ends the pause
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


# --- A smarthost on a bad day: one right outcome each. What is said to a login or a connection is no
# verdict on a message: it waits. What is said to a message is.

LIMITS = {"connect_timeout": "1s", "greeting_timeout": "1s", "reply_timeout": "1s",
          "data_reply_timeout": "1s", "data_end_timeout": "1s", "tls_timeout": "1s",
          "close_timeout": "1s", "write_timeout": "1s"}


class Scripted(Scene):
    """relayd with a scripted smarthost in place of Postfix; its back end is there."""

    def prepare(self, how="starttls", offers=None, **smarthost):
        self.server = ScriptedSmarthost((self.tls_context(), how))
        if offers is not None:
            self.server.offers = offers
        self.start_relayd()
        created = self.relayd.apply(self.plan_of(**smarthost))
        self.outbound = created["tenants"][0]["credential"]
        self.desk.start(created["tenants"][0]["webhook_secret"])
        self.server.start()
        return self

    def tls_context(self, name="mail.acme.example"):
        identity = self.authority.issue(name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.certificate, identity.key)
        return context

    def plan_of(self, extra="", **changes):
        settings = {"port": self.server.port, "password": "secret", **changes}
        text = self.plan(**settings)
        return text.replace("[tenant.domain.smarthost]\n", f"[tenant.domain.smarthost]\n{extra}\n")

    def send(self, recipients=CUSTOMER, **options):
        return _submit(self, recipients, **options).encode()

    def arrived(self, marker):
        return sum(marker in content for content in self.server.messages)

    def events(self, kind):
        return [r["event"] for r in self.desk.taken() if r["event"]["type"] == kind]

    def lock(self):
        return self.relayd.ctl("smarthost", "show", "acme.example")

    def stop(self):
        if hasattr(self, "server"):
            self.server.stop()
        super().stop()


@pytest.fixture
def scripted():
    scenes = []

    def build(retry=("1s",), limits=None, **options):
        scenes.append(Scripted("smarthost", retry=retry, limits=limits or LIMITS))
        return scenes[-1].prepare(**options)

    yield build
    for scene in scenes:
        scene.stop()


# What relaybench's sink does on command is in test_misbehaving_peers.py, all at once.
TROUBLE = [  # where, what is said once there, what the waiting message's last reply says
    ("CONNECT", "554 5.3.2 no service here", "554"),
    ("EHLO", "421 4.3.2 closing", "421 4.3.2"),
    ("MAIL", "421 4.3.2 closing", "421 4.3.2"),
    ("RCPT", "421 4.3.2 closing", "421 4.3.2"),
    ("DATA", "421 4.3.2 closing", "421 4.3.2"),
    ("CONNECT", b"SSH-2.0-OpenSSH_9.2\r\n", "repl|greet|SMTP|code"),
    ("MAIL", b"2500 what\r\n", "repl"),
    ("MAIL", b"250-never\r\n" * 200, "repl|lines"),
    ("STARTTLS", "454 4.7.0 no TLS now", "454 4.7.0"),
]


@pytest.mark.parametrize("where, said, reason", TROUBLE,
                         ids=[f"{w}-{s if isinstance(s, str) else i}"
                              for i, (w, s, _) in enumerate(TROUBLE)])
def test_trouble_makes_mail_wait_and_then_it_arrives_once(scripted, where, said, reason):
    scene = scripted(retry=("3s",))
    scene.server.replies[where] = [said]
    marker = scene.send()
    row = _waiting_with(scene, reason)
    assert row["attempts"] == 1
    wait_until(lambda: scene.arrived(marker), "the message", 20)
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty")
    assert scene.arrived(marker) == 1
    assert not scene.events("message.bounced") and not scene.lock()["locked"]


def test_silence_after_quit_holds_nothing_up(scripted):
    scene = scripted(limits={**LIMITS, "reply_timeout": "5m"}, connections=1)
    scene.server.replies["QUIT"] = [SILENT]
    first = scene.send()
    wait_until(lambda: "QUIT" in scene.server.commands, "relayd to say QUIT")
    assert scene.arrived(first)
    second = scene.send()
    wait_until(lambda: scene.arrived(second), "the second message", 10)


def test_a_permanent_refusal_after_the_dot_bounces(scripted):
    scene = scripted()
    scene.server.replies["DOT"] = ["554 5.6.0 not this"]
    scene.send()
    event = scene.desk.wait_for(lambda e: e["type"] == "message.bounced", "a bounce")["event"]
    assert "not this" in str(event["data"]["recipients"])
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty")


def test_each_recipient_has_its_own_fate(scripted):
    scene = scripted(retry=("3s",))
    scene.server.replies["RCPT gone@customer.example"] = "550 5.1.1 nobody"
    scene.server.replies["RCPT busy@customer.example"] = ["451 4.2.1 busy"]
    scene.server.replies["RCPT late@customer.example"] = ["552 too many recipients"]
    marker = scene.send([CUSTOMER, "gone@customer.example", "busy@customer.example",
                         "late@customer.example"])
    _waiting_with(scene, "busy|too many")
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty", 20)
    assert scene.arrived(marker) == 2
    (bounce,) = scene.events("message.bounced")
    assert [r["address"] for r in bounce["data"]["recipients"]] == ["gone@customer.example"]
    asked = [c for c in scene.server.commands if c.startswith("RCPT")]
    assert sum(CUSTOMER in c for c in asked) == 1 and sum("gone@" in c for c in asked) == 1
    assert sum("busy@" in c for c in asked) == 2 and sum("late@" in c for c in asked) == 2


def test_tls_that_fails_after_starttls_is_not_followed_by_plaintext(scripted):
    scene = scripted()
    scene.server.break_tls = True
    marker = scene.send()
    _waiting_with(scene, "TLS|SSL|handshake")
    assert not scene.server.logins and not scene.server.messages
    assert not any(c.startswith(("AUTH", "MAIL")) for c in scene.server.commands)
    scene.server.break_tls = False
    wait_until(lambda: scene.arrived(marker), "the message", 15)


def test_no_login_where_auth_is_not_offered(scripted):
    scene = scripted(offers=["PIPELINING", "8BITMIME"])
    scene.send()
    _waiting_with(scene, "no login|AUTH")
    time.sleep(4)
    assert not scene.server.logins and not scene.lock()["locked"]
    assert not scene.events("message.bounced")


@pytest.mark.parametrize("offers, kind, status", [
    (["AUTH PLAIN", "8BITMIME", "SIZE 100"], "plain", "5.3.4"),
    (["AUTH PLAIN", "SIZE"], "8bit", "5.6.3"),
    (["AUTH PLAIN", "8BITMIME", "SIZE"], "smtputf8", "5.6.7"),
])
def test_what_the_smarthost_cannot_take_bounces_at_once(scripted, offers, kind, status):
    scene = scripted(offers=offers)
    recipient = "grüße@customer.example" if kind == "smtputf8" else CUSTOMER
    options = {"plain": "", "8bit": "BODY=8BITMIME", "smtputf8": "SMTPUTF8 BODY=8BITMIME"}[kind]
    sample = messages.sample("plain", SUPPORT, CUSTOMER)
    submit(scene.relayd, scene.outbound, SUPPORT, recipient, sample.content, options=options)
    event = scene.desk.wait_for(lambda e: e["type"] == "message.bounced", "a bounce")["event"]
    assert event["data"]["recipients"][0]["status"] == status
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty")


# --- A connection without mail rests for limits.smarthost_idle

def test_what_comes_soon_goes_over_the_connection_that_rests(scripted):
    scene = scripted(reconnect_interval="1h")
    for _ in range(3):
        marker = scene.send()
        wait_until(lambda marker=marker: scene.arrived(marker), "the message")
        time.sleep(0.5)
    assert scene.server.sessions == 1 and "QUIT" not in scene.server.commands
    wait_until(lambda: scene.server.commands[-1] == "QUIT", "relayd to say QUIT", 4)


def test_a_resting_connection_that_the_peer_ends_is_no_failure(scripted):
    scene = scripted(retry=("1h",))
    for _ in range(2):
        # 421 is what a server says when it has waited long enough.
        scene.server.replies["DOT"] = [b"250 2.0.0 taken\r\n421 4.4.2 idle for too long\r\n"]
        sent = scene.server.commands.count("DATA")
        scene.send()
        wait_until(lambda sent=sent: scene.server.commands.count("DATA") > sent, "the message")
        wait_until(lambda: scene.server.at_once == 0, "the end of the session", 1)
        wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty")
    assert scene.server.sessions == 2 and "smarthost cannot be used" not in scene.relayd.log()


def test_mail_that_met_the_end_of_a_resting_connection_was_not_tried(scripted):
    scene = scripted(retry=("1h",))
    scene.server.replies["MAIL"] = ["250 ok", CLOSE]
    for _ in range(2):
        marker = scene.send()
        wait_until(lambda marker=marker: scene.arrived(marker), "the message")
    assert scene.server.sessions == 2 and len(scene.server.messages) == 2


def test_who_rests_gives_way_to_who_waits_for_a_turn(scripted):
    limits = {**LIMITS, "smarthost_idle": "1h", "smarthost_connections_total": 1}
    scene = scripted(limits=limits)
    address = "support@other.example"
    smarthost = scene.smarthost(port=scene.server.port, username="other", password="secret")
    other = accounts.Tenant("other", scene.desk.url,
                            [accounts.Domain("other.example", [address], smarthost)])
    created = scene.relayd.apply(scene.plan(other, port=scene.server.port, password="secret"))
    credential = next(t for t in created["tenants"] if t["name"] == "other")["credential"]
    marker = scene.send()
    wait_until(lambda: scene.arrived(marker), "the message")
    sample = messages.sample("plain", address, CUSTOMER)
    submit(scene.relayd, credential, address, CUSTOMER, sample.content)
    wait_until(lambda: scene.arrived(sample.marker.encode()), "the other's message", 5)
    assert scene.server.at_once_max <= 2 and "QUIT" in scene.server.commands


def test_a_resting_connection_ends_with_relayd_and_its_smarthost(scripted):
    scene = scripted(limits={**LIMITS, "smarthost_idle": "1h"})
    for number, change in enumerate([lambda: scene.relayd.apply(scene.plan_of(password="other")),
                                     scene.relayd.stop], 1):
        marker = scene.send()
        wait_until(lambda marker=marker: scene.arrived(marker), "the message")
        change()
        wait_until(lambda number=number: scene.server.commands.count("QUIT") == number, "QUIT", 3)


# --- The lock (O3)

def test_an_account_is_locked_after_three_failures_and_its_mail_waits(scripted):
    scene = scripted()
    scene.server.replies["AUTH"] = "535 5.7.8 wrong password"
    marker = scene.send()
    event = scene.desk.wait_for(lambda e: e["type"] == "connector.locked", "the lock")["event"]
    data = event["data"]
    assert data["host"] == "mail.acme.example" and data["username"] == "relayd"
    assert "wrong password" in data["reason"] and data["next_probe"] and data["what_to_do"]
    row = _waiting_with(scene, "locked")
    assert row["next_attempt"] >= data["next_probe"][:19]
    late = scene.send()
    wait_until(lambda: all("locked" in r["last_reply"] for r in scene.relayd.queue()), "both told")
    time.sleep(3)
    assert len(scene.server.logins) == 3
    lock = scene.lock()
    assert lock["locked"] and lock["next_probe"] and "wrong password" in lock["last_reply"]
    assert scene.relayd.ctl("smarthost", "list")["smarthosts"][0]["locked"]

    scene.relayd.kill9()
    scene.relayd.start()
    time.sleep(3)
    assert scene.lock()["locked"] and len(scene.server.logins) == 3

    scene.server.replies.pop("AUTH")
    assert scene.relayd.ctl("smarthost", "unlock", "acme.example")["was_locked"]
    for one in (marker, late):
        wait_until(lambda one=one: scene.arrived(one), "the message", 15)
    scene.desk.wait_for(lambda e: e["type"] == "connector.unlocked", "the end of the lock")
    assert not scene.lock()["locked"] and not scene.events("message.bounced")
    assert len(scene.events("connector.locked")) == 1


def test_a_new_password_unlocks(scripted):
    scene = scripted()
    scene.server.replies["AUTH"] = "535 5.7.8 wrong password"
    marker = scene.send()
    wait_until(lambda: scene.lock()["locked"], "the lock")
    scene.server.replies.pop("AUTH")
    scene.relayd.apply(scene.plan_of())  # the same again: no reason to try
    time.sleep(1)
    assert scene.lock()["locked"]
    scene.relayd.apply(scene.plan_of(password="better"))
    wait_until(lambda: scene.arrived(marker), "the message", 15)
    scene.desk.wait_for(lambda e: e["type"] == "connector.unlocked", "the end of the lock")


def test_a_login_that_may_not_send_is_locked_too(scripted):
    scene = scripted()
    scene.server.replies["MAIL"] = "530 5.7.57 Client not authenticated to send mail"
    scene.send()
    wait_until(lambda: scene.lock()["locked"], "the lock")
    assert not scene.events("message.bounced")


def test_what_expires_while_locked_does_not_bounce(scripted):
    scene = scripted()
    scene.relayd.stop()
    text = scene.relayd.config.read_text()
    scene.relayd.config.write_text(text.replace("[queue]", "[queue]\nexpire = \"2s\""))
    scene.relayd.start()
    scene.server.replies["AUTH"] = "535 5.7.8 wrong password"
    marker = scene.send()
    wait_until(lambda: scene.lock()["locked"], "the lock")
    time.sleep(3)
    assert len(scene.relayd.queue()) == 1 and not scene.events("message.bounced")
    scene.server.replies.pop("AUTH")
    scene.relayd.ctl("smarthost", "unlock", "acme.example")
    wait_until(lambda: scene.arrived(marker), "the message", 15)


# --- Rates, connection limits, fail-over, events

def test_what_the_rate_holds_back_says_so(scripted):
    scene = scripted(extra="messages_per_minute = 5")
    for _ in range(8):
        scene.send()
    wait_until(lambda: len(scene.server.messages) == 5, "the first five")
    wait_until(lambda: len(scene.relayd.queue()) == 3 and all(
        "waits for the rate of 5 messages a minute until" in row["last_reply"]
        for row in scene.relayd.queue()), "the others told")
    time.sleep(3)
    assert len(scene.server.messages) == 5


def test_presets_fill_in_what_is_not_said(scripted):
    scene = scripted(extra='preset = "exchange-online"', connections=2)
    shown = scene.lock()
    assert shown["messages_per_minute"] == 30 and shown["recipients_per_day"] == 10000
    assert shown["connections"] == 2 and shown["preset"] == "exchange-online"


def test_fewer_connections_where_the_peer_says_so(scripted):
    scene = scripted(connections=4)
    scene.server.sessions_max = 2
    scene.server.gate.clear()
    markers = [scene.send() for _ in range(100)]
    scene.server.gate.set()
    wait_until(lambda: len(scene.server.messages) == len(markers), "all", 60)
    assert "fewer connections" in scene.relayd.log(2000)
    assert not scene.events("message.bounced")


def test_the_next_host_serves_where_the_first_cannot(scripted):
    scene = scripted(extra='hosts = ["dead.acme.example", "mail.acme.example"]',
                     host="dead.acme.example")
    scene.dns.add("dead.acme.example", "A", "127.0.0.9")
    marker = scene.send()
    wait_until(lambda: scene.arrived(marker), "the message", 20)
    assert not scene.events("message.bounced")


def test_both_address_families_are_tried(scripted):
    scene = scripted(limits={**LIMITS, "connect_timeout": "30s"}, host="both.acme.example")
    scene.server.tls = (scene.tls_context("both.acme.example"), "starttls")
    scene.dns.add("both.acme.example", "AAAA", "2001:db8::1")  # goes nowhere
    scene.dns.add("both.acme.example", "A", "127.0.0.1")
    marker = scene.send()
    wait_until(lambda: scene.arrived(marker), "the message", 10)


def test_delivery_is_reported_where_success_was_asked_for(scripted):
    scene = scripted()
    scene.send()
    sample = messages.sample("plain", SUPPORT, CUSTOMER)
    with Client(scene.relayd.submission_port) as client:
        client.starttls()
        client.login(scene.outbound["username"], scene.outbound["password"])
        client.must(f"MAIL FROM:<{SUPPORT}>")
        client.must(f"RCPT TO:<{CUSTOMER}> NOTIFY=SUCCESS,FAILURE")
        client.command("DATA")
        client.write(sample.content + b".\r\n")
        assert client.reply().good
        client.quit()
    event = scene.desk.wait_for(lambda e: e["type"] == "message.delivered", "the report")["event"]
    assert event["data"]["recipients"][0]["address"] == CUSTOMER
    assert event["data"]["original_message_id"] and event["data"]["related_id"]
    time.sleep(1)
    assert len(scene.events("message.delivered")) == 1
