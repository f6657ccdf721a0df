"""Bounces to the letter (RFC 3461, 3464, 6522, 6533) and delivery reports that come back (O7).

The reports are read by Python's email package, which knows nothing of ours."""

import base64
import email
import email.policy
import re

import pytest

from tests.support import accounts, messages
from tests.support.process import wait_until
from tests.support.scene import CUSTOMER, SUPPORT, Scene
from tests.support.smarthost import Smarthost
from tests.support.smtp import Client, deliver

MARKER = "X-Desk-Email-Id"


class Reports(Scene):
    """relayd, a scripted smarthost that knows DSN, and the help desk."""

    def begin(self):
        self.server = Smarthost()
        self.server.offers = ["8BITMIME", "PIPELINING", "SIZE", "DSN", "SMTPUTF8"]
        self.start_relayd()
        self.server.start()
        host = {"port": self.server.port, "username": "", "tls": "none", "host": "127.0.0.1"}
        other = accounts.Tenant("other", self.desk.url, [
            accounts.Domain("other.example", ["help@other.example"])], format="rfc822")
        created = self.connect(other, **host)
        self.desk.start(self.webhook_secret)
        self.other = next(d for d in created["domains"] if d["name"] == "other.example")["credential"]
        return self

    def submit(self, recipients, content, mail="", rcpt=""):
        """The queue id."""
        with Client(self.relayd.submission_port) as client:
            client.starttls()
            client.login(self.outbound["username"], self.outbound["password"])
            client.must(f"MAIL FROM:<{SUPPORT}> {mail}".rstrip())
            for recipient in recipients:
                client.must(f"RCPT TO:<{recipient}> {rcpt}".rstrip())
            client.command("DATA")
            client.write(content + b".\r\n")
            reply = client.reply()
            assert reply.good, reply
            client.quit()
            return reply.text.split()[-1]

    def event_about(self, related_id, seconds=20):
        return self.desk.wait_for(lambda e: e["data"].get("related_id") == related_id,
                                  "the event", seconds)["event"]

    def events_about(self, related_id):
        return [r["event"] for r in self.desk.taken()
                if "event" in r and r["event"]["data"].get("related_id") == related_id]

    def envid_of(self, queue_id):
        """The one it was sent with."""
        def search():
            return [found for command in self.server.commands
                    for found in re.findall(rf"ENVID=(relayd\.{queue_id}\.\S+)", command)]
        return wait_until(search, "MAIL FROM with an ENVID")[-1]

    def stop(self):
        if hasattr(self, "server"):
            self.server.stop()
        super().stop()


@pytest.fixture(scope="module")
def scene():
    whole = Reports("reports", extra=f'\n[outbound]\nmarker_headers = ["{MARKER}"]\n')
    try:
        yield whole.begin()
    finally:
        whole.stop()


@pytest.fixture(autouse=True)
def usual(scene):
    scene.server.replies = {}


def sample(recipient=CUSTOMER, extra=()):
    marker = messages.new_marker()
    return marker, messages.compose(marker, SUPPORT, recipient, b"the body of the original\r\n",
                                    extra=extra)


def parsed(event):
    return email.message_from_bytes(base64.b64decode(event["data"]["raw"]),
                                    policy=email.policy.default)


def groups(status_part):
    """The field groups of a delivery-status part."""
    return status_part.get_payload()


def test_a_bounce_is_a_report_of_rfc_3464(scene):
    scene.server.replies = {"RCPT": "550 5.1.1 No such user here"}
    marker, content = sample("gone+x@customer.example")
    queue_id = scene.submit(["gone+x@customer.example"], content, "RET=HDRS ENVID=QQ+2B314159",
                            "NOTIFY=FAILURE ORCPT=rfc822;gone+2Bx@customer.example")
    event = scene.event_about(queue_id)
    assert event["type"] == "message.bounced"
    report = parsed(event)
    assert not report.defects
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    assert report["Auto-Submitted"].startswith("auto-") and report["To"] == SUPPORT
    text, status, returned = report.get_payload()
    assert [p.get_content_type() for p in (text, status, returned)] == [
        "text/plain", "message/delivery-status", "text/rfc822-headers"]
    assert not any(p.defects for p in (text, status, returned))
    message, recipient = groups(status)
    assert message["Reporting-MTA"] == "dns; relay.example.net"
    assert message["Original-Envelope-Id"] == "QQ+314159"
    assert email.utils.parsedate_to_datetime(message["Arrival-Date"])
    assert recipient["Original-Recipient"] == "rfc822; gone+x@customer.example"
    assert recipient["Final-Recipient"] == "rfc822; gone+x@customer.example"
    assert recipient["Action"] == "failed" and recipient["Status"] == "5.1.1"
    assert recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 No such user here"
    assert recipient["Remote-MTA"] == "dns; [127.0.0.1]"
    assert email.utils.parsedate_to_datetime(recipient["Last-Attempt-Date"])
    assert marker in returned.get_payload() and "the body" not in returned.get_payload()
    assert "Original-Envelope-Id" in str(message) and event["data"]["recipients"][0]["status"] == "5.1.1"


def test_ret_full_returns_the_whole_message(scene):
    scene.server.replies = {"RCPT": "550 5.1.1 No such user here"}
    marker, content = sample()
    report = parsed(scene.event_about(scene.submit([CUSTOMER], content, "RET=FULL")))
    returned = report.get_payload()[2]
    assert returned.get_content_type() == "message/rfc822"
    inner = returned.get_payload()[0]
    assert marker in inner["Message-ID"] and inner.get_payload() == "the body of the original\r\n"
    assert inner["Received"] is None, "as it came in"
    # Ours says nothing to who did not choose it.
    assert groups(report.get_payload()[1])[0]["Original-Envelope-Id"] is None


def test_internationalized(scene):
    scene.server.replies = {"RCPT": "550 5.1.1 unbekannt"}
    to = "jürgen@müller.example"
    content = messages.compose(messages.new_marker(), SUPPORT, to, b"x\r\n", "Grüße")
    queue_id = scene.submit([to], content, "BODY=8BITMIME SMTPUTF8",
                            r"ORCPT=utf-8;j\x{FC}rgen@m\x{FC}ller.example")
    raw = base64.b64decode(scene.event_about(queue_id)["data"]["raw"]).decode()
    types = re.findall(r"(?m)^Content-Type: (message/[a-z-]+)", raw)
    assert types == ["message/global-delivery-status", "message/global-headers"]
    assert f"Final-Recipient: utf-8; {to}\r\n" in raw
    assert f"Original-Recipient: utf-8; {to}\r\n" in raw


@pytest.mark.parametrize("notify", ["NEVER", "SUCCESS"])
def test_nobody_is_told_who_did_not_ask(scene, notify):
    scene.server.replies = {"RCPT": "550 5.1.1 No such user here"}
    _, content = sample()
    queue_id = scene.submit([CUSTOMER], content, "", f"NOTIFY={notify}")
    wait_until(lambda: "no bounce, as NOTIFY asks" in scene.relayd.log(), "the log line")
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty")
    assert not scene.events_about(queue_id)


def test_a_bounce_of_a_bounce_is_dropped_with_a_line(scene):
    scene.server.replies = {"RCPT": "550 5.1.1 No such user here"}
    with Client(scene.relayd.submission_port) as client:
        client.starttls()
        client.login(scene.outbound["username"], scene.outbound["password"])
        client.send("", [CUSTOMER], sample()[1])
    wait_until(lambda: "bounce of a bounce dropped" in scene.relayd.log(), "the log line")
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty")


@pytest.mark.parametrize("form", ["rfc822", "mailgun"])
def test_back_ends_without_json_get_the_report_as_a_message(scene, form):
    plan = (f'[[tenant]]\nname = "acme"\n[tenant.backend]\nurl = "{scene.desk.url}"\n'
            'format = "%s"\n')
    scene.relayd.apply(plan % form, "format.toml")
    try:
        scene.server.replies = {"RCPT": "550 5.1.1 No such user here"}
        marker, content = sample()
        queue_id = scene.submit([CUSTOMER], content)
        request = wait_until(lambda: [r for r in scene.desk.requests() if marker.encode() in
                                      base64.b64decode(r.get("raw") or "")], "the report")[0]
        assert request["verified"]
        if form == "rfc822":
            assert request["headers"]["x-relayd-event"] == "message.bounced"
            assert request["headers"]["x-relayd-related-id"] == queue_id
        else:
            assert request["form"]["relayd-event"] == "message.bounced"
            assert request["form"]["relayd-related-id"] == queue_id
        report = email.message_from_bytes(base64.b64decode(request["raw"]),
                                          policy=email.policy.default)
        assert report.get_content_type() == "multipart/report"
    finally:
        scene.relayd.apply(plan % "json", "format.toml")


# --- Reports that come back

def report_for(envid, recipient=CUSTOMER, action="failed", status="5.2.2", original=b""):
    """What a mail server sends back, written by hand after RFC 3464."""
    marker = messages.new_marker()
    head = (f"From: MAILER-DAEMON@mail.acme.example\r\nTo: <{SUPPORT}>\r\nSubject: Undelivered\r\n"
            f"Message-ID: <{marker}@mail.acme.example>\r\nMIME-Version: 1.0\r\n"
            "Content-Type: multipart/report; report-type=delivery-status; boundary=\"B\"\r\n\r\n")
    envelope = f"Original-Envelope-Id: {envid}\r\n" if envid else ""
    body = ("--B\r\n\r\nSorry.\r\n--B\r\nContent-Type: message/delivery-status\r\n\r\n"
            f"Reporting-MTA: dns; mail.acme.example\r\n{envelope}\r\n"
            f"Final-Recipient: rfc822; {recipient}\r\nAction: {action}\r\nStatus: {status}\r\n"
            "Diagnostic-Code: smtp; 552 mailbox full\r\n\r\n"
            "--B\r\nContent-Type: text/rfc822-headers\r\n\r\n")
    return marker, (head + body).encode() + original.split(b"\r\n\r\n")[0] + b"\r\n\r\n--B--\r\n"


@pytest.mark.parametrize("action,status,kind", [
    ("failed", "5.2.2", "message.bounced"), ("delayed", "4.2.2", "message.delayed"),
    ("delivered", "2.0.0", "message.delivered"), ("relayed", "2.0.0", "message.delivered")])
def test_a_report_that_is_ours_becomes_an_event(scene, action, status, kind):
    marker, content = sample(extra=(f"{MARKER}: 4711",))
    queue_id = scene.submit([CUSTOMER], content)
    envid = scene.envid_of(queue_id)
    arrived, = wait_until(lambda: [c for c in scene.server.messages if marker.encode() in c], "it")
    _, report = report_for(envid, action=action, status=status, original=arrived)
    deliver(scene.relayd, scene.inbound, "", SUPPORT, report)
    event = scene.event_about(queue_id)
    assert event["type"] == kind
    data = event["data"]
    assert data["tied_by"] == "envelope-id" and marker in data["original_message_id"]
    assert data["markers"] == {MARKER: "4711"}
    assert data["trust"] == "password" and data["disposition"] == "accepted"
    assert data["recipients"] == [{"address": CUSTOMER, "action": action, "status": status,
                                   "diagnostic": "552 mailbox full", "remote": ""}]
    assert report in base64.b64decode(data["raw"])


def test_what_cannot_be_tied_stays_a_flagged_ticket(scene):
    _, content = sample()
    envid = scene.envid_of(scene.submit([CUSTOMER], content))
    wrong = envid[:-1] + ("0" if envid[-1] != "0" else "1")
    strange = sample()[1]  # relayd never sent it
    for tag in (wrong, "", "QQ314159"):
        marker, report = report_for(tag, original=strange)
        deliver(scene.relayd, scene.inbound, "", SUPPORT, report)
        ticket = scene.desk.wait_for_ticket(marker)
        assert ticket["data"]["automated"] == {"is": True, "reason": "null-sender"}


def test_without_the_envelope_id_the_message_id_ties_where_the_sender_is_null(scene):
    marker, content = sample()
    queue_id = scene.submit([CUSTOMER], content)
    claimed, report = report_for("", original=content)
    deliver(scene.relayd, scene.inbound, CUSTOMER, SUPPORT, report)
    assert scene.desk.wait_for_ticket(claimed)["data"]["envelope"]["mail_from"] == CUSTOMER
    _, report = report_for("", original=content)
    deliver(scene.relayd, scene.inbound, "", SUPPORT, report)
    event = scene.event_about(queue_id)
    assert event["type"] == "message.bounced"
    assert event["data"]["tied_by"] == "message-id"
    assert marker in event["data"]["original_message_id"]


def test_another_tenants_message_is_none_of_theirs(scene):
    """Its address gets a ticket: a forged or misdirected report is no event of acme's either."""
    _, content = sample()
    queue_id = scene.submit([CUSTOMER], content)
    marker, report = report_for(scene.envid_of(queue_id), original=content)
    deliver(scene.relayd, scene.other, "", "help@other.example", report)
    got = wait_until(lambda: [r for r in scene.desk.requests() if marker.encode() in
                              base64.b64decode(r.get("raw") or "")], "the other tenant's ticket")[0]
    assert got["headers"]["x-relayd-event"] == "message.received"
    assert got["headers"]["x-relayd-automated"] == "null-sender"
    assert not scene.events_about(queue_id)


def test_what_postfix_reports_later_becomes_events():
    """Postfix takes the message, gives up on one recipient and delivers to the other: its own reports,
    sent through its own relay to the support address."""
    gone = "gone@customer.example"
    with Scene("later", extra=f'\n[outbound]\nmarker_headers = ["{MARKER}"]\n') as whole:
        whole.start_relayd()
        whole.connect()
        theirs = Smarthost()
        theirs.replies = {"RCPT": "550 5.1.1 moved away"}
        theirs.start()
        whole.postfix.pass_on(gone, theirs.port)
        whole.desk.start(whole.webhook_secret)
        whole.postfix.start()
        marker, content = sample(extra=(f"{MARKER}: 4711",))
        queue_id = Reports.submit(whole, [gone, CUSTOMER], content, "", "NOTIFY=SUCCESS,FAILURE")
        for kind, address, status in (("message.bounced", gone, "5.1.1"),
                                      ("message.delivered", CUSTOMER, "2.0.0")):
            data = whole.desk.wait_for(lambda e: e["type"] == kind and "tied_by" in e["data"],
                                       kind)["event"]["data"]
            assert data["related_id"] == queue_id and data["tied_by"] == "envelope-id"
            assert [r["address"] for r in data["recipients"]] == [address]
            assert data["recipients"][0]["status"] == status
            assert marker in data["original_message_id"] and data["markers"] == {MARKER: "4711"}
        assert not [r for r in whole.desk.taken() if r["event"]["type"] == "message.received"]
        theirs.stop()
