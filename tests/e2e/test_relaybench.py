"""relaybench: load into its own sinks and through relayd, ids compared; every misbehaviour once."""

import http.client
import json
import socket
import ssl
import subprocess
import time

import pytest

from tests.support import accounts
from tests.support.certificates import Authority
from tests.support.process import free_port, remove_directory, temporary_directory, wait_until
from tests.support.relayd import Relayd
from tests.support.relaybench import RELAYBENCH, Sink, run, send
from tests.support.scripted_name_server import ScriptedNameServer
from tests.support.smtp import Client

SILENCE = 0.4  # seconds without a word


@pytest.fixture
def directory():
    path = temporary_directory("relaybench")
    yield path
    remove_directory(path)


# --- load into the sink

@pytest.mark.parametrize("sink_tls, arguments", [
    ("none", ()),
    ("none", ("--bdat",)),
    ("none", ("--messages-per-connection", "7")),
    ("none", ("--size", "1KiB:5,100KiB:2,2MiB:1")),
    ("none", ("--size", "2MiB", "--bdat", "--sessions", "2", "--messages", "10")),
    ("starttls", ("--starttls", "--insecure")),
    ("starttls", ("--starttls", "--insecure", "--bdat", "--size", "200KiB")),
    ("implicit", ("--tls", "--insecure", "--messages-per-connection", "5")),
], ids=lambda value: " ".join(value) or "plain" if isinstance(value, tuple) else value)
def test_all_that_is_sent_arrives_unaltered(directory, sink_tls, arguments):
    sent = directory / "sent.ids"
    if "--messages" not in arguments:
        arguments = ("--messages", "150", "--sessions", "4", *arguments)
    count = int(arguments[arguments.index("--messages") + 1])
    with Sink(directory, "--tls", sink_tls) as sink:
        report = send(sink.port, "--ids", sent, *arguments)
        counts = sink.stop()
    assert report["accepted"] == count and report["failed"] == 0 and not report["errors"]
    assert counts["messages"] == count and counts["altered"] == 0
    assert counts["octets"] == report["octets"]
    assert report["bdat"] == ("--bdat" in arguments)
    phases = report["phases"]
    assert phases["data"]["count"] == phases["envelope"]["count"] == count
    assert phases["data"]["p50_ms"] <= phases["data"]["p99.9_ms"] <= phases["data"]["max_ms"]
    assert ("tls" in phases) == (sink_tls != "none")
    checked = json.loads(run("check", sent, sink.ids, "--json"))
    assert checked == {"sent": count, "received": count, "without_id": 0, "lost": 0, "doubled": 0,
                       "altered": 0, "unknown": 0}


def test_auth(directory):
    password = directory / "password"
    password.write_text("secret word\n")
    with Sink(directory, "--tls", "starttls", "--auth-required") as sink:
        refused = send(sink.port, "--messages", "3", "--sessions", "1", code=1)
        assert refused["errors"][0]["code"] == 530 and refused["failed"] == 3
        report = send(sink.port, "--starttls", "--insecure", "--user", "anna", "--password-file",
                      password, "--messages", "20", "--sessions", "2")
        assert report["accepted"] == 20 and report["phases"]["auth"]["count"] == 2
        assert sink.stop()["logins"] == 2


def test_certificates_are_verified(directory):
    authority = Authority(directory / "ca")
    identity = authority.issue("sink.example")
    with Sink(directory, "--tls", "starttls", "--certificate", identity.certificate, "--key",
              identity.key) as sink:
        report = send(sink.port, "--starttls", "--ca", authority.certificate, "--messages", "5")
        assert report["accepted"] == 5
        report = send(sink.port, "--starttls", "--messages", "5", "--patience", "100ms", code=1)
        assert "certificate verify failed" in report["errors"][0]["example"]


def test_a_folder_of_messages(directory):
    folder = directory / "mail"
    folder.mkdir()
    (folder / "unix.eml").write_bytes(b"From: a@b.example\nSubject: x\n\n.a dot\nand a line\n")
    (folder / "dos.eml").write_bytes("Subject: y\r\n\r\nGrüße\r\n".encode())
    (folder / "bare.eml").write_bytes(b"Subject: z\r\n\r\na\rb\nno end")
    (folder / "other.txt").write_bytes(b"not this one")
    with Sink(directory) as sink:
        report = send(sink.port, "--folder", folder, "--messages", "30")
        assert report["accepted"] == 30, report
        assert sink.stop()["altered"] == 0
    assert "no .eml file" in subprocess.run(
        [RELAYBENCH, "send", "--to", "127.0.0.1:1", "--folder", directory], capture_output=True,
        text=True, timeout=10).stderr


def test_senders_and_recipients_in_turn(directory):
    with Sink(directory, "--misbehave", "slow=1") as sink:
        report = send(sink.port, "--from", "a@a.example", "--from", "b@b.example", "--rcpt",
                      "c@c.example", "--rcpt", "d@d.example", "--rcpt", "", "--messages", "9",
                      "--sessions", "1")
    # Every third recipient is the empty path, which is not one.
    assert (report["accepted"], report["failed"]) == (6, 3)


def test_rate_and_picture(directory):
    plot = directory / "out.svg"
    with Sink(directory) as sink:
        report = send(sink.port, "--rate", "100/s", "--seconds", "2", "--plot", plot)
    assert 150 <= report["accepted"] <= 215
    assert sum(point["accepted"] for point in report["over_time"]) == report["accepted"]
    picture = plot.read_text()
    assert picture.startswith("<svg") and picture.count("<polyline") == 5


def test_the_table_for_people(directory):
    with Sink(directory) as sink:
        out = run("send", "--to", f"127.0.0.1:{sink.port}", "--messages", "50", "--quiet")
    for word in ("accepted", "messages/s", "MB/s", "p99.9", "envelope", "data", "message"):
        assert word in out


def test_nobody_there():
    report = send(free_port(), "--messages", "5", "--sessions", "1", "--patience", "200ms", code=1)
    assert report["accepted"] == 0 and report["connections_failed"] > 1
    assert "refused" in report["errors"][0]["example"]


@pytest.mark.parametrize("arguments", [
    ("send",), ("send", "--to", "nowhere"), ("send", "--to", "a:1", "--tls", "--starttls"),
    ("send", "--to", "a:1", "--rate", "fast"), ("sink", "--listen", "127.0.0.1:0", "--tls", "x"),
    ("check", "one"), ("brew",)], ids=" ".join)
def test_usage(arguments):
    assert run(*arguments, code=2).startswith("relaybench: ")


# --- check

def test_check_finds_what_is_wrong(directory):
    sent, received = directory / "sent", directory / "received"
    sent.write_text("one\ntwo\nthree\nfour\n")
    received.write_text("two\nthree webhook-1\nthree webhook-1\nfour webhook-2 altered\nfive\n-\n")
    out = json.loads(run("check", sent, received, "--json", "--list", code=1))
    assert out["lost_ids"] == ["one"] and out["doubled_ids"] == ["three"]
    assert out["altered_ids"] == ["four"] and out["unknown_ids"] == ["five"]
    assert out["without_id"] == 1
    received.write_text("four\nthree\ntwo\none\none\n")
    assert "doubled     1" in run("check", sent, received)


# --- the sink misbehaves

def _outcome(action):
    """The code of the reply, or how it failed to come."""
    try:
        reply = action()
        return "long" if len(reply.text) > 100_000 else reply.code
    except ssl.SSLError:
        return "no tls"
    except (EOFError, ConnectionError):
        return "closed"
    except (socket.timeout, TimeoutError):
        return "silent"
    except ValueError:
        return "nonsense"


def _walk(port, starttls):
    """A whole session, command by command, until a reply does not come; stage -> outcome."""
    seen = {}

    def step(stage, action):
        seen[stage] = _outcome(action)
        return isinstance(seen[stage], int) and seen[stage] != 421

    with Client(port, timeout=SILENCE, greeting=False) as client:
        def tls():
            reply = client.command("STARTTLS")
            if reply.good:
                client.wrap()
            return reply

        steps = [("greeting", client.reply), ("ehlo", lambda: client.command("EHLO client.example"))]
        if starttls:
            steps += [("starttls", tls),
                      ("ehlo inside", lambda: client.command("EHLO client.example"))]
        steps += [("auth", lambda: client.command("AUTH PLAIN AGFubmEAc2VjcmV0")),
                  ("mail", lambda: client.command("MAIL FROM:<a@b.example>")),
                  ("rcpt", lambda: client.command("RCPT TO:<c@d.example>")),
                  ("second rcpt", lambda: client.command("RCPT TO:<e@d.example>")),
                  ("data", lambda: client.command("DATA"))]
        for stage, action in steps:
            if not step(stage, action):
                return seen
        if seen["data"] == 354:
            client.write(b"Subject: x\r\n\r\nbody\r\n" + b"x" * 70 + b"\r\n")
            time.sleep(0.02)
            if not step("dot", lambda: client.command(".")):
                return seen
        step("quit", lambda: client.command("QUIT"))
    return seen


_GOOD = {"greeting": 220, "ehlo": 250, "starttls": 220, "ehlo inside": 250, "auth": 235, "mail": 250,
         "rcpt": 250, "second rcpt": 250, "data": 354, "dot": 250, "quit": 221}


@pytest.mark.parametrize("misbehaviour, stage, outcome", [
    ("greet-421", "greeting", 421),
    ("drop-at-greeting", "greeting", "closed"),
    ("ehlo-garbage", "ehlo", "nonsense"),
    ("no-starttls", "starttls", 502),
    ("tls-fails", "starttls", "no tls"),
    ("auth-535", "auth", 535),
    ("auth-454", "auth", 454),
    ("mail-4xx", "mail", 451),
    ("rcpt-4xx", "rcpt", 450),
    ("rcpt-5xx", "rcpt", 550),
    ("rcpt-mixed", "second rcpt", 550),
    ("data-354-never", "data", "silent"),
    ("drop-in-data", "dot", "closed"),
    ("drop-after-dot", "dot", "closed"),
    ("dot-4xx", "dot", 451),
    ("dot-5xx", "dot", 554),
    ("dot-421", "dot", 421),
    ("silent-at=greeting", "greeting", "silent"),
    ("silent-at=ehlo", "ehlo", "silent"),
    ("silent-at=starttls", "starttls", "silent"),
    ("silent-at=auth", "auth", "silent"),
    ("silent-at=mail", "mail", "silent"),
    ("silent-at=rcpt", "rcpt", "silent"),
    ("silent-at=data", "data", "silent"),
    ("silent-at=dot", "dot", "silent"),
    ("silent-at=quit", "quit", "silent"),
    ("malformed-multiline", "mail", 550),
    ("malformed-multiline=dot", "dot", 550),
    ("long-reply", "mail", "long"),
    ("long-reply=ehlo", "ehlo", "long"),
])
def test_the_sink_misbehaves(directory, misbehaviour, stage, outcome):
    starttls = stage == "starttls"
    with Sink(directory, "--tls", "starttls", "--misbehave", misbehaviour) as sink:
        seen = _walk(sink.port, starttls)
        assert sink.stop()["misbehaved"][misbehaviour] >= 1
    assert seen[stage] == outcome, seen
    before = list(seen)[:list(seen).index(stage)]
    assert all(seen[one] == _GOOD[one] for one in before), seen


def test_the_sink_without_misbehaviour(directory):
    with Sink(directory, "--tls", "starttls") as sink:
        assert _walk(sink.port, True) == _GOOD


def test_slow_and_one_connection_only(directory):
    with Sink(directory, "--misbehave", "slow=150", "--misbehave", "one-connection-only") as sink:
        started = time.monotonic()
        with Client(sink.port) as first:
            first.ehlo()
            assert time.monotonic() - started > 0.28
            with Client(sink.port) as second:
                assert second.greeting.code == 421 and second.greeting.text.startswith("4.7.0")
            first.quit()


def test_a_share_of_misbehaviour(directory):
    sent = directory / "sent.ids"
    with Sink(directory, "--misbehave", "dot-4xx=20%", "--misbehave", "drop-in-data:5%") as sink:
        report = send(sink.port, "--messages", "400", "--sessions", "4", "--ids", sent)
        counts = sink.stop()
    errors = {row["what"]: row["count"] for row in report["errors"]}
    assert 40 < errors["451 at the end of the message"] < 130
    assert 5 < errors["connection lost"] < 45
    assert report["accepted"] + report["failed"] == 400
    assert counts["messages"] == report["accepted"]
    run("check", sent, sink.ids)


@pytest.mark.parametrize("text", ["dot-4xx=", "dot-4xx=11", "silent-at", "silent-at=lunch", "slow",
                                  "slow=x", "dot-4xx:120%", "nothing-like-it"])
def test_misbehaviours_that_are_not_known(text):
    done = subprocess.run([RELAYBENCH, "sink", "--listen", "127.0.0.1:0", "--misbehave", text],
                          capture_output=True, text=True, timeout=10)
    assert done.returncode == 1 and text in done.stderr, done.stderr


def test_the_sink_changes_its_mind(directory):
    with Sink(directory, misbehave=["dot-4xx  # for a while", "", "# nothing else"]) as sink:
        assert send(sink.port, "--messages", "3", "--sessions", "1", code=1)["failed"] == 3
        sink.misbehave("dot-5xx:100%")
        assert send(sink.port, "--messages", "2", "--sessions", "1", code=1)["failed"] == 2
        sink.misbehave()
        assert send(sink.port, "--messages", "4", "--sessions", "1")["accepted"] == 4
        with pytest.raises(AssertionError, match="nothing changed.*'nonsense'"):
            sink.misbehave("nonsense")
        assert send(sink.port, "--messages", "1", "--sessions", "1")["accepted"] == 1
        assert sink.stop()["misbehaved"] == {"dot-4xx": 3, "dot-5xx:100%": 2}


# --- the http-sink

def _post(port, body=b"{}", headers=None, timeout=SILENCE):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("POST", "/tickets", body, headers or {})
        answer = connection.getresponse()
        return answer, len(answer.read(1024 * 1024))
    finally:
        connection.close()


def test_the_http_sink_misbehaves(directory):
    """Each misbehaviour in turn; without any, what it takes is written down."""
    def told(*misbehaviours):
        words = [word for one in misbehaviours for word in ("--misbehave", one)]
        return Sink(directory, *words, kind="http-sink")

    with told("status=503", "retry-after=7") as sink:
        answer, _ = _post(sink.port)
        assert answer.status == 503 and answer.getheader("Retry-After") == "7"
        assert sink.stop()["taken"] == 0
    with told("hang") as sink, pytest.raises(TimeoutError):
        _post(sink.port)
    with told("drop") as sink, pytest.raises(ConnectionError):
        _post(sink.port)
    with told("redirect") as sink:
        answer, _ = _post(sink.port)
        assert answer.status == 302 and answer.getheader("Location")
    with told("slow=200") as sink:
        started = time.monotonic()
        assert _post(sink.port, timeout=5)[0].status == 200
        assert time.monotonic() - started >= 0.18
    with told("huge-answer") as sink:
        answer, size = _post(sink.port, timeout=5)
        assert answer.status == 200 and size == 1024 * 1024
        assert int(answer.getheader("Content-Length")) == 1024 ** 3
    with told("status=500:50%") as sink:
        assert {_post(sink.port)[0].status for _ in range(20)} == {200, 500}
    with Sink(directory, "--secret", "whsec_c2VjcmV0", kind="http-sink") as sink:
        assert _post(sink.port)[0].status == 401
        assert sink.stop()["bad_signatures"] == 1


# --- through relayd

SUPPORT, DOMAIN = "support@acme.example", "acme.example"
MESSAGES = 120


def test_through_relayd_both_ways(directory):
    """In: send, relayd, http-sink. Out: send, relayd, a sink that puts a fifth of the mail off."""
    authority = Authority(directory / "ca")
    dns = ScriptedNameServer()
    dns.add("mail.acme.example", "A", "127.0.0.1")
    relayd = Relayd(directory / "relayd", authority, dns.address)
    identity = authority.issue("mail.acme.example")
    http_port = free_port()
    smarthost = Sink(directory, "--tls", "starttls", "--certificate", identity.certificate, "--key",
                     identity.key, "--misbehave", "dot-4xx=20%")
    desk = None
    try:
        dns.start()
        relayd.start()
        domain = accounts.Domain(DOMAIN, [SUPPORT],
                                 accounts.Smarthost(smarthost.port, password="secret"))
        created = relayd.apply(accounts.plan(
            relayd.directory,
            accounts.Tenant("acme", f"http://127.0.0.1:{http_port}/tickets", [domain])))
        desk = Sink(directory, "--secret", created["tenants"][0]["webhook_secret"],
                    kind="http-sink", port=http_port)
        ways = [(relayd.mx_port, created["domains"][0], "anna@customer.example", SUPPORT, desk),
                (relayd.submission_port, created["tenants"][0], SUPPORT, "anna@customer.example",
                 smarthost)]
        for number, (port, owner, sender, recipient, target) in enumerate(ways):
            sent, password = directory / f"sent{number}", directory / f"password{number}"
            password.write_text(owner["credential"]["password"] + "\n")
            report = send(port, "--starttls", "--ca", authority.certificate, "--user",
                          owner["credential"]["username"], "--password-file", password, "--from",
                          sender, "--rcpt", recipient, "--messages", MESSAGES, "--sessions", "3",
                          "--ids", sent)
            assert report["accepted"] == MESSAGES, report
            wait_until(lambda t=target: len(set(t.received())) >= MESSAGES,
                       f"{MESSAGES} messages at {target.ids}", 30, 0.2)
            checked = json.loads(run("check", sent, target.ids, "--json"))
            assert (checked["lost"], checked["altered"], checked["unknown"]) == (0, 0, 0), checked
            assert checked["doubled"] == 0
        assert desk.stop()["bad_signatures"] == 0
        assert smarthost.stop()["refused"] > 0
    finally:
        for part in (desk, smarthost):
            if part:
                part.__exit__()
        relayd.stop()
        dns.stop()
