"""Accounts through the running program: product rules D1 to D8, D11 as far as they go."""

import base64
import json
import os

import pytest

from tests.support import accounts, messages
from tests.support.process import wait_until
from tests.support.relayd import RelayctlError
from tests.support.scene import CUSTOMER, DOMAIN, SUPPORT, Scene
from tests.support.smtp import Client, Refused, deliver, submit

OTHER_SUPPORT = "help@other.example"
SECOND_DOMAIN = "shop.example"


class Accounts(Scene):
    """Tenant acme with two domains, tenant other with one; nobody to send to."""

    def __init__(self):
        super().__init__("accounts", limits={"login_backoff_after": 1000})
        self.other = None

    def prepare(self):
        self.start_relayd()
        created = self.connect(accounts.Tenant(
            "other", self.desk.url, [accounts.Domain("other.example", [OTHER_SUPPORT])]))
        self.other = {
            "outbound": next(t for t in created["tenants"] if t["name"] == "other")["credential"],
            "inbound": next(d for d in created["domains"] if d["name"] == "other.example")["credential"],
            "secret": next(t for t in created["tenants"] if t["name"] == "other")["webhook_secret"]}
        self.relayd.ctl("domain", "add", SECOND_DOMAIN, "--tenant", "acme")
        self.relayd.ctl("address", "add", f"buy@{SECOND_DOMAIN}")


@pytest.fixture
def scene():
    whole = Accounts()
    try:
        whole.prepare()
        yield whole
    finally:
        whole.stop()


def _message(sender=SUPPORT, recipient=CUSTOMER):
    return messages.sample("plain", sender, recipient).content


def _refusal(send, *arguments):
    with pytest.raises(Refused) as refused:
        send(*arguments)
    return refused.value.reply


# --- D1: secrets are shown once

def test_apply_again_changes_nothing_and_shows_nothing(scene):
    shown = scene.relayd.apply(scene.plan())
    text = json.dumps(shown)
    assert "password" not in text and "whsec_" not in text
    submit(scene.relayd, scene.outbound, SUPPORT, CUSTOMER, _message())


def test_no_secret_lies_in_the_state_or_is_listed(scene):
    listed = json.dumps([scene.relayd.ctl("credential", "list", DOMAIN),
                         scene.relayd.ctl("domain", "show", DOMAIN),
                         scene.relayd.ctl("tenant", "show", "acme")])
    stored = b"".join(path.read_bytes() for path in scene.relayd.state.rglob("*") if path.is_file())
    stored += scene.relayd.log(10000).encode()
    secrets = [scene.inbound["password"], scene.outbound["password"], scene.webhook_secret,
               scene.postfix.password]
    for secret in secrets:
        assert secret not in listed
        assert secret.encode() not in stored
    key = base64.b64decode(scene.webhook_secret.removeprefix("whsec_"))
    assert key not in stored
    master = scene.relayd.state / "secrets" / "master.key"
    assert os.stat(master).st_mode & 0o777 == 0o600


# --- D2: PLAIN, only inside TLS

def test_plain_is_offered_only_inside_tls(scene):
    with Client(scene.relayd.mx_port) as client:
        assert "AUTH" not in client.ehlo()
        with pytest.raises(Refused) as refused:
            client.login(scene.inbound["username"], scene.inbound["password"])
        # RFC 4954 section 4: encryption required, or the command is not known here.
        assert refused.value.reply.code in (502, 503, 530, 538)
        assert client.starttls()["AUTH"] == ["PLAIN"]
        client.login(scene.inbound["username"], scene.inbound["password"])


def test_another_identity_is_refused(scene):
    token = base64.b64encode(f"{scene.other['inbound']['username']}\0{scene.inbound['username']}\0"
                             f"{scene.inbound['password']}".encode()).decode()
    with Client(scene.relayd.mx_port) as client:
        client.starttls()
        assert client.command(f"AUTH PLAIN {token}").code == 535


def test_wrong_password(scene):
    with Client(scene.relayd.mx_port) as client:
        client.starttls()
        with pytest.raises(Refused) as refused:
            client.login(scene.inbound["username"], "wrong")
        reply = refused.value.reply
        assert reply.code == 535 and reply.text.startswith("5.7.8")


# --- D3: rotation and revocation

def test_two_credentials_and_no_third(scene):
    second = scene.relayd.ctl("credential", "rotate", DOMAIN)["credential"]
    for credential in (scene.inbound, second):
        deliver(scene.relayd, credential, CUSTOMER, SUPPORT, _message(CUSTOMER, SUPPORT))
    with pytest.raises(RelayctlError) as refused:
        scene.relayd.ctl("credential", "rotate", DOMAIN)
    assert "revoke" in str(refused.value)
    scene.relayd.ctl("credential", "revoke", DOMAIN, scene.inbound["id"])
    scene.relayd.ctl("credential", "rotate", DOMAIN)


def test_a_revoked_credential_ends_its_open_sessions(scene):
    second = scene.relayd.ctl("credential", "rotate", DOMAIN)["credential"]
    with Client(scene.relayd.mx_port) as old, Client(scene.relayd.mx_port) as new:
        for client, credential in ((old, scene.inbound), (new, second)):
            client.starttls()
            client.login(credential["username"], credential["password"])
            client.must(f"MAIL FROM:<{CUSTOMER}>")
        scene.relayd.ctl("credential", "revoke", DOMAIN, scene.inbound["id"])
        try:
            assert old.command(f"RCPT TO:<{SUPPORT}>").code == 421
        except (EOFError, OSError):
            pass  # closed at once is as good
        new.must(f"RCPT TO:<{SUPPORT}>")
    assert _refusal(deliver, scene.relayd, scene.inbound, CUSTOMER, SUPPORT, _message()).code == 535


# --- D4, D5: one domain, one direction

def test_an_inbound_credential_never_sends_outward(scene):
    reply = _refusal(deliver, scene.relayd, scene.inbound, SUPPORT, CUSTOMER, _message())
    assert 550 <= reply.code <= 554


@pytest.mark.parametrize("recipient", [OTHER_SUPPORT, f"buy@{SECOND_DOMAIN}", f"nobody@{DOMAIN}"])
def test_an_inbound_credential_delivers_only_to_its_own_addresses(scene, recipient):
    reply = _refusal(deliver, scene.relayd, scene.inbound, CUSTOMER, recipient, _message())
    assert 550 <= reply.code <= 554


@pytest.mark.parametrize("sender", [CUSTOMER, OTHER_SUPPORT, f"nobody@{DOMAIN}"])
def test_a_tenant_sends_only_from_its_addresses(scene, sender):
    reply = _refusal(submit, scene.relayd, scene.outbound, sender, CUSTOMER, _message(sender))
    assert 550 <= reply.code <= 554


@pytest.mark.parametrize("author", [CUSTOMER, OTHER_SUPPORT, f"buy@{SECOND_DOMAIN}",
                                    f"{SUPPORT}>, <{OTHER_SUPPORT}", f"{SUPPORT}>, <{CUSTOMER}"])
def test_every_author_is_of_the_senders_domain(scene, author):
    reply = _refusal(submit, scene.relayd, scene.outbound, SUPPORT, CUSTOMER, _message(author))
    assert 530 <= reply.code <= 554 and reply.text.startswith("5.7.")


def test_a_message_with_two_from_fields_is_refused(scene):
    content = b"From: <support@acme.example>\r\n" + _message(OTHER_SUPPORT)
    reply = _refusal(submit, scene.relayd, scene.outbound, SUPPORT, CUSTOMER, content)
    assert 550 <= reply.code <= 554


def test_strangers_never_relay(scene):
    reply = _refusal(deliver, scene.relayd, None, SUPPORT, CUSTOMER, _message())
    assert 550 <= reply.code <= 554
    with Client(scene.relayd.submission_port) as client:
        client.starttls()
        reply = client.command(f"MAIL FROM:<{SUPPORT}>")
        assert reply.code == 530 and reply.text.startswith("5.7.0")


def test_a_strict_domain_takes_no_strangers_mail(scene):
    deliver(scene.relayd, None, CUSTOMER, SUPPORT, _message(CUSTOMER, SUPPORT))
    scene.relayd.apply(scene.plan(inbound="strict"))
    reply = _refusal(deliver, scene.relayd, None, CUSTOMER, SUPPORT, _message(CUSTOMER, SUPPORT))
    assert 530 <= reply.code <= 554 and reply.text.startswith("5.7.")
    deliver(scene.relayd, scene.inbound, CUSTOMER, SUPPORT, _message(CUSTOMER, SUPPORT))


def test_tickets_say_how_they_came(scene):
    scene.desk.start(scene.webhook_secret)
    for credential, trust, tags in ((scene.inbound, "password", ["authenticated-relay"]),
                                    (None, "none", [])):
        sample = messages.sample("plain", CUSTOMER, SUPPORT)
        deliver(scene.relayd, credential, CUSTOMER, SUPPORT, sample.content)
        data = scene.desk.wait_for_ticket(sample.marker)["data"]
        assert (data["trust"], data["tags"]) == (trust, tags)
        assert (data["tenant"], data["domain"], data["recipient"]) == ("acme", DOMAIN, SUPPORT)


# --- D7: limits

def test_a_fifth_domain_is_refused(scene):
    for name in ("third.example", "fourth.example"):
        scene.relayd.ctl("domain", "add", name, "--tenant", "acme")
    with pytest.raises(RelayctlError) as refused:
        scene.relayd.ctl("domain", "add", "fifth.example", "--tenant", "acme")
    assert "4" in str(refused.value)
    assert "fifth.example" not in json.dumps(scene.relayd.ctl("domain", "list"))


def test_a_51st_address_is_refused_and_nothing_of_the_plan_is_done(scene):
    many = [SUPPORT, *(f"a{n}@{DOMAIN}" for n in range(50))]
    with pytest.raises(RelayctlError) as refused:
        scene.relayd.apply(scene.plan(addresses=many))
    assert "50" in str(refused.value)
    assert len(scene.relayd.ctl("address", "list", "--domain", DOMAIN)["addresses"]) == 1
    scene.relayd.apply(scene.plan(addresses=many[:50]))
    assert len(scene.relayd.ctl("address", "list", "--domain", DOMAIN)["addresses"]) == 50


# --- D11: removal

def test_a_removed_address_is_out_of_use_at_once(scene):
    with Client(scene.relayd.mx_port) as client:
        client.starttls()
        client.login(scene.inbound["username"], scene.inbound["password"])
        scene.relayd.ctl("address", "remove", SUPPORT)
        client.must(f"MAIL FROM:<{CUSTOMER}>")
        assert client.command(f"RCPT TO:<{SUPPORT}>").code == 550
    reply = _refusal(submit, scene.relayd, scene.outbound, SUPPORT, CUSTOMER, _message())
    assert 550 <= reply.code <= 554


def test_a_removed_domain_says_what_is_queued_for_it(scene):
    submit(scene.relayd, scene.outbound, SUPPORT, CUSTOMER, _message())
    wait_until(scene.relayd.queue, "the message in the queue")
    answer = scene.relayd.ctl("domain", "remove", DOMAIN)
    assert "1" in json.dumps(answer)
    assert _refusal(deliver, scene.relayd, scene.inbound, CUSTOMER, SUPPORT, _message()).code == 535


# --- Accounts outlive the process

def test_accounts_survive_a_restart(scene):
    scene.relayd.kill9()
    scene.relayd.start()
    submit(scene.relayd, scene.outbound, SUPPORT, CUSTOMER, _message())
    deliver(scene.relayd, scene.inbound, CUSTOMER, SUPPORT, _message(CUSTOMER, SUPPORT))
