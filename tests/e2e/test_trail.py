"""Where is my message? `relayctl trail` and `relayctl explain` against real parts (issue 4, 9)."""

import ssl

import pytest

from tests.support import messages
from tests.support.postfix import HOSTNAME as MAIL_HOST
from tests.support.process import wait_until
from tests.support.relayd import RelayctlError
from tests.support.scene import CUSTOMER, SUPPORT, Scene
from tests.support.smarthost import Smarthost
from tests.support.smtp import deliver, submit


class Trailed(Scene):
    """relayd with a scripted smarthost and the help desk; of one tenant with one account."""

    def prepare(self, extra="", **smarthost):
        identity = self.authority.issue(MAIL_HOST)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.certificate, identity.key)
        self.server = Smarthost((context, "starttls"))
        self.start_relayd()
        self.apply(extra, **smarthost)
        self.server.start()
        return self

    def apply(self, extra="", **smarthost):
        settings = {"port": self.server.port, "password": "secret",
                    "reconnect_interval": "0s", **smarthost}
        text = self.plan(**settings)
        created = self.relayd.apply(
            text.replace("[tenant.domain.smarthost]\n", f"[tenant.domain.smarthost]\n{extra}\n"))
        if "credential" in created["tenants"][0]:
            self.outbound = created["tenants"][0]["credential"]
            self.inbound = created["domains"][0]["credential"]
            self.webhook_secret = created["tenants"][0]["webhook_secret"]
        return created

    def send(self, recipients=CUSTOMER):
        sample = messages.sample("plain", SUPPORT, CUSTOMER)
        submit(self.relayd, self.outbound, SUPPORT, recipients, sample.content)
        return sample.marker

    def deliver(self):
        sample = messages.sample("plain", CUSTOMER, SUPPORT)
        deliver(self.relayd, self.inbound, CUSTOMER, SUPPORT, sample.content)
        return sample.marker

    def trail(self, query):
        return self.relayd.ctl("trail", query)["messages"]

    def id_of(self, marker):
        """By the Message-ID, as a user has it."""
        found = self.trail(f"<{marker}@test.example>")
        assert len(found) == 1
        return found[0]["id"]

    def steps(self, query):
        found = self.trail(query)
        assert len(found) == 1, found
        return found[0]["steps"]

    def names(self, query):
        return [step["step"] for step in self.steps(query)]

    def explain(self, marker):
        return self.relayd.ctl("explain", self.id_of(marker))

    def waits_for(self, marker, what, text=""):
        """What explain says of the only delivery, once it is `what`."""
        def is_it():
            found = self.explain(marker)["deliveries"]
            return found and found[0]["waits_for"] == what and text in found[0]["text"] and found[0]
        try:
            found = wait_until(is_it, f"explain to say {what}", 20)
        except TimeoutError as error:
            raise AssertionError(f"{error}: {self.explain(marker)}") from None
        shown = self.relayd.ctl("queue", "show", self.id_of(marker))
        assert shown["deliveries"][0]["waits_for"] == what
        assert found["advice"] and found["advice"] in found["text"]
        return found

    def stop(self):
        if hasattr(self, "server"):
            self.server.stop()
        super().stop()


@pytest.fixture
def make():
    scenes = []

    def build(retry=("1s",), relayd_extra="", **options):
        scenes.append(Trailed("trail", retry=retry, extra=relayd_extra))
        return scenes[-1].prepare(**options)

    yield build
    for scene in scenes:
        scene.stop()


def test_one_message_each_way_and_every_term_that_finds_it(make):
    scene = make()
    scene.desk.start(scene.webhook_secret)
    scene.server.replies["DOT"] = "250 2.0.0 Ok: queued as 4FkX1c2Qz9"
    out = scene.send()
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty")
    steps = scene.steps(f"{out}@test.example")
    assert [step["step"] for step in steps] == ["received", "delivered"]
    assert steps[0]["trust"] == "password" and steps[0]["mail_from"] == SUPPORT
    assert steps[0]["recipients"] == [CUSTOMER] and steps[0]["kind"] == "outbound"
    assert steps[1]["remote_id"] == "4FkX1c2Qz9" and "queued as 4FkX1c2Qz9" in steps[1]["text"]
    assert steps[0]["time"] <= steps[1]["time"]
    identity = scene.id_of(out)
    for query in (identity, identity.lower(), CUSTOMER, SUPPORT.upper(), "4fkx1c2qz9"):
        assert [m["id"] for m in scene.trail(query)] == [identity], query
    gone = scene.relayd.ctl("explain", identity)
    assert gone["state"] == "gone" and gone["outcome"] == "delivered"
    assert "as 4FkX1c2Qz9" in gone["text"]

    into = scene.deliver()
    scene.desk.wait_for_ticket(into)
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty")
    taken, = scene.steps(f"<{into}@test.example>")[1:]
    assert taken["step"] == "delivered" and taken["destination"] == "backend:acme"
    assert taken["remote_id"].startswith("T-")
    assert scene.trail(taken["remote_id"])[0]["id"] == scene.id_of(into)
    # The latest first.
    assert [m["id"] for m in scene.trail(CUSTOMER)] == [scene.id_of(into), identity]
    with pytest.raises(RelayctlError, match="14d"):
        scene.relayd.ctl("trail", "nobody@nowhere.example")


def test_a_deferral_a_hold_a_release_and_a_restart(make):
    scene = make(retry=("1h",))
    scene.server.replies["DOT"] = ["451 4.3.2 try later\x07, please"]
    marker = scene.send()
    back_off = scene.waits_for(marker, "back-off", "try later")
    assert back_off["last_reply"].startswith("451 4.3.2 try later") and back_off["attempts"] == 1
    assert back_off["next_attempt"] > back_off["since"]
    identity = scene.id_of(marker)
    scene.relayd.ctl("queue", "hold", identity, "--reason", "asked by Anna")
    held = scene.waits_for(marker, "held", "held by the operator")
    assert held["last_reply"] == "asked by Anna" and held["next_attempt"] is None
    before = scene.trail(identity)
    scene.relayd.stop()
    scene.relayd.start()
    assert scene.trail(identity) == before
    scene.relayd.ctl("queue", "release", identity)
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty")
    assert scene.names(identity) == [
        "received", "deferred", "held by the operator", "released", "delivered"]
    deferred = scene.steps(identity)[1]
    assert deferred["next_attempt"] and "\x07" not in deferred["text"]


def test_a_bounce_and_its_event(make):
    scene = make()
    scene.desk.start(scene.webhook_secret)
    scene.server.replies["RCPT gone@customer.example"] = "550 5.1.1 no such user"
    marker = scene.send(["gone@customer.example"])
    scene.desk.wait_for(lambda e: e["type"] == "message.bounced", "a bounce")
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty")
    identity = scene.id_of(marker)
    steps = next(m for m in scene.trail(identity) if m["id"] == identity)["steps"]
    assert [step["step"] for step in steps] == ["received", "failed", "event"]
    assert "550 5.1.1 no such user" in steps[1]["text"]
    gone = scene.relayd.ctl("explain", identity)
    assert gone["outcome"] == "failed" and "message.bounced" in gone["text"]
    # The event has a trail of its own, and the original's id finds it too.
    event = steps[2]["event_id"]
    assert {m["id"] for m in scene.trail(identity)} == {identity, event}
    assert [m for m in scene.trail(event) if m["id"] == event][0]["steps"][-1]["step"] == "delivered"


def test_explain_a_locked_account_a_rate_and_a_back_end_that_refuses(make):
    scene = make(extra="messages_per_minute = 1")
    scene.send()
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty")
    limited = scene.send()
    rate = scene.waits_for(limited, "rate", "1 messages a minute")
    assert rate["next_attempt"]
    scene.relayd.ctl("queue", "remove", scene.id_of(limited))
    assert scene.names(scene.id_of(limited))[-1] == "removed"

    scene.server.replies["AUTH"] = "535 5.7.8 wrong password"
    scene.apply("messages_per_minute = 100", password="wrong")
    locked = scene.send()
    found = scene.waits_for(locked, "locked account", "535 5.7.8 wrong password")
    assert "smarthost unlock" in found["advice"] and found["next_attempt"] and found["since"]

    scene.desk.start(scene.webhook_secret, then="403")
    refused = scene.deliver()
    found = scene.waits_for(refused, "back end refuses", "backend resume")
    assert found["last_reply"].startswith("HTTP 403") and found["next_attempt"]


def test_a_trail_that_is_not_kept(make):
    scene = make(relayd_extra='\n[limits]\nstop_timeout = "1s"\n')
    text = scene.relayd.config.read_text().replace("[queue]\n", "[queue]\ntrail = 0\n")
    scene.relayd.stop()
    scene.relayd.config.write_text(text)
    scene.relayd.start()
    marker = scene.send()
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty")
    with pytest.raises(RelayctlError, match="no trail is kept"):
        scene.relayd.ctl("trail", f"{marker}@test.example")
