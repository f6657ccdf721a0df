"""relayctl check: the judgement for one client or one file, without a daemon. JSON for scripts with
the members of the interface, a table for people, exit codes, and an end even where DNS has none.
"""

import json
import subprocess
import time

import pytest

from tests.support import messages
from tests.support.name_server import NameServer
from tests.support.process import free_port, remove_directory, temporary_directory
from tests.support.relayd import BUILD
from tests.support.scripted_name_server import ScriptedNameServer
from tests.support.signing import Key, key_name, sealed, signed

CUSTOMER = "anna@customer.example"
OWN, ELSEWHERE = "192.0.2.10", "192.0.2.99"


@pytest.fixture(scope="module")
def world():
    """NSD with a customer's domain, the key it signs with, and a directory for messages."""
    directory = temporary_directory("check")
    server = NameServer(directory / "dns")
    server.directory_of_messages = directory
    server.key = Key(directory / "key")
    server.add("customer.example", "TXT", "v=spf1 ip4:192.0.2.10 include:more.example "
               "exp=why.customer.example -all")
    server.add("more.example", "TXT", "v=spf1 ip6:2001:db8::/32 -all")
    server.add("why.customer.example", "TXT", "%{i} may not send for %{d}")
    server.add("_dmarc.customer.example", "TXT", "v=DMARC1; p=quarantine")
    server.add("soft.example", "TXT", "v=spf1 ~all")
    server.add("neutral.example", "TXT", "v=spf1 ?all")
    server.add("broken.example", "TXT", "v=spf1 ip4:300.0.0.1 -all")
    server.add("mail.customer.example", "TXT", "v=spf1 a -all")
    server.add("mail.customer.example", "A", OWN)
    for domain in ("customer.example", "forwarder.example"):
        server.add(key_name("s1", domain), "TXT", server.key.record)
    server.start()
    yield server
    server.stop()
    remove_directory(directory)


def _run(*arguments, seconds=30):
    return subprocess.run([str(word) for word in (BUILD / "relayctl", "check", *arguments)],
                          capture_output=True, text=True, timeout=seconds)


def _json(*arguments):
    done = _run(*arguments, "--json")
    assert (done.returncode, done.stderr) == (0, ""), done
    return json.loads(done.stdout)


# ---- check spf -----------------------------------------------------------------------------------

@pytest.mark.parametrize("ip,sender,expected", [
    (OWN, CUSTOMER, "pass"),
    ("2001:db8::1", CUSTOMER, "pass"),
    ("::ffff:192.0.2.10", CUSTOMER, "pass"),  # RFC 7208 5: the v4 address in it
    (ELSEWHERE, CUSTOMER, "fail"),
    (OWN, "x@soft.example", "softfail"),
    (OWN, "x@neutral.example", "neutral"),
    (OWN, "x@nowhere.example", "none"),
    (OWN, "x@broken.example", "permerror"),
    (OWN, "", "pass"),                        # the null sender: the HELO name
    (ELSEWHERE, "", "fail"),
])
def test_spf(world, ip, sender, expected):
    found = _json("spf", "--ip", ip, "--helo", "mail.customer.example", "--mail-from", sender,
                  "--dns", world.address)
    assert found["result"] == expected, found
    assert isinstance(found["explanation"], str)
    if (ip, sender) == (ELSEWHERE, CUSTOMER):
        assert found["explanation"] == f"{ELSEWHERE} may not send for customer.example"
    else:
        assert found["explanation"] == ""


def test_spf_for_people(world):
    done = _run("spf", "--ip", "2001:db8::1", "--helo", "h.example", "--mail-from", CUSTOMER,
                "--dns", world.address)
    assert (done.returncode, done.stderr) == (0, "")
    first, *steps = done.stdout.splitlines()
    assert first.split()[:3] == ["SPF", "pass", "customer.example"], first
    # Which record, which term, which lookup.
    for words in ("include:more.example", "ip6:2001:db8::/32", "TXT", "more.example"):
        assert any(words in line for line in steps), done.stdout


def test_spf_by_the_other_engine(world):
    for ip, expected in ((OWN, "pass"), (ELSEWHERE, "fail")):
        found = _json("spf", "--ip", ip, "--helo", "h.example", "--mail-from", CUSTOMER,
                      "--dns", world.address, "--spf-engine", "libspf2")
        assert found["result"] == expected, found


# ---- check message -------------------------------------------------------------------------------

def _file(world, content, name="message.eml"):
    path = world.directory_of_messages / name
    path.write_bytes(content)
    return path


def _message(author=CUSTOMER, extra=()):
    return messages.compose("m-check", author, "support@acme.example", b"Hello  there\r\n\r\n",
                            extra=extra)


def _check_message(world, content, *arguments, ip=OWN, sender=CUSTOMER):
    return _json("message", _file(world, content), "--ip", ip, "--helo", "mail.customer.example",
                 "--mail-from", sender, "--dns", world.address, *arguments)


def test_a_message_that_passes_everything(world):
    content = signed(_message(), world.key, "customer.example", "s1")
    content = sealed(content, world.key, "forwarder.example", "s1", "spf=pass")
    found = _check_message(world, content)
    assert found["spf"]["result"] == "pass" and found["spf"]["domain"] == "customer.example"
    assert len(found["dkim"]) == 1
    signature = dict(found["dkim"][0])
    assert isinstance(signature.pop("reason"), str)
    assert signature.items() >= {"domain": "customer.example", "selector": "s1",
                                 "algorithm": "rsa-sha256", "result": "pass"}.items()
    assert found["dmarc"].items() >= {
        "result": "pass", "from_domain": "customer.example", "policy": "quarantine",
        "policy_domain": "customer.example", "spf_aligned": True, "dkim_aligned": True}.items()
    assert found["arc"].items() >= {"result": "pass", "instances": 1}.items()
    assert isinstance(found["arc"]["instances"], int)


def test_a_message_that_passes_nothing(world):
    content = signed(_message(), world.key, "customer.example", "s1")
    content = sealed(content, world.key, "forwarder.example", "s1", "spf=pass")
    found = _check_message(world, content.replace(b"Hello", b"Hullo"), ip=ELSEWHERE)
    assert found["spf"]["result"] == "fail"
    assert found["dkim"][0]["result"] == "fail" and found["dkim"][0]["reason"]
    assert found["dmarc"]["result"] == "fail"
    assert (found["dmarc"]["spf_aligned"], found["dmarc"]["dkim_aligned"]) == (False, False)
    assert found["arc"]["result"] == "fail" and found["arc"]["instances"] == 1


def test_a_message_with_nothing_to_check(world):
    found = _check_message(world, _message("x@nowhere.example"), sender="x@nowhere.example")
    assert found["spf"]["result"] == "none" and found["dkim"] == []
    assert found["dmarc"]["result"] == "none" and found["dmarc"]["policy"] == "none"
    assert found["dmarc"]["from_domain"] == "nowhere.example"
    assert found["arc"].items() >= {"result": "none", "instances": 0}.items()


def test_without_a_client_there_is_no_spf(world):
    path = _file(world, signed(_message(), world.key, "customer.example", "s1"))
    found = _json("message", path, "--dns", world.address)
    assert found["spf"]["result"] == "none"
    assert found["dmarc"]["result"] == "pass" and not found["dmarc"]["spf_aligned"]


def test_the_return_path_is_the_sender_where_none_is_given(world):
    content = b"Return-Path: <anna@customer.example>\r\n" + _message()
    found = _json("message", _file(world, content), "--ip", OWN, "--helo", "h.example",
                  "--dns", world.address)
    assert found["spf"]["result"] == "pass" and found["spf"]["domain"] == "customer.example"


@pytest.mark.parametrize("before", [b"", b"From anna@customer.example Sat Jan 31 12:00:00 2026\n"],
                         ids=["a file", "of a mailbox"])
def test_files_with_lf(world, before):
    content = signed(_message(), world.key, "customer.example", "s1")
    content = sealed(content, world.key, "forwarder.example", "s1", "spf=pass")
    found = _check_message(world, before + content.replace(b"\r\n", b"\n"))
    assert [one["result"] for one in found["dkim"]] == ["pass"]
    assert found["arc"]["result"] == "pass"


def test_what_would_become_of_it(world):
    content = sealed(_message().replace(b"test message", b"[list] test"), world.key,
                     "forwarder.example", "s1",
                     "dkim=pass header.d=customer.example; dmarc=pass header.from=customer.example")
    standard = _check_message(world, content, ip=ELSEWHERE)
    enhanced = _check_message(world, content, "--inbound", "enhanced", ip=ELSEWHERE)
    trusted = _check_message(world, content, "--inbound", "enhanced", "--trusted-sealer",
                             "forwarder.example", ip=ELSEWHERE)
    assert [one["disposition"] for one in (standard, enhanced, trusted)] == \
        ["accepted", "suspended", "accepted"]
    assert any("forwarder.example" in reason for reason in trusted["reasons"])
    assert not any("forwarder.example" in reason for reason in enhanced["reasons"])


def test_behind_an_organisations_relay(world):
    seen = "Authentication-Results: mx.acme.example; spf=pass smtp.mailfrom=anna@customer.example"
    content = _message(extra=[seen])
    alone = _check_message(world, content, ip=ELSEWHERE)
    trusted = _check_message(world, content, "--trusted-authserv-id", "mx.acme.example",
                             ip=ELSEWHERE)
    assert (alone["dmarc"]["result"], trusted["dmarc"]["result"]) == ("fail", "pass")
    assert trusted["spf"]["result"] == "none"


def test_a_message_for_people(world):
    content = signed(_message(), world.key, "customer.example", "s1")
    done = _run("message", _file(world, content), "--ip", ELSEWHERE, "--helo", "h.example",
                "--mail-from", CUSTOMER, "--dns", world.address)
    assert (done.returncode, done.stderr) == (0, "")
    rows = {line[:13].strip(): line for line in done.stdout.splitlines()}
    for label, words in {"SPF": ("fail", "customer.example"),
                         "DKIM": ("pass", "customer.example", "s=s1", "rsa-sha256"),
                         "DMARC": ("pass", "customer.example"), "ARC": ("none",),
                         "Ticket": ("accepted",)}.items():
        assert all(word in rows[label] for word in words), done.stdout
    assert f"{ELSEWHERE} may not send for customer.example" in done.stdout
    for name in ("s1._domainkey.customer.example", "_dmarc.customer.example"):
        assert any(line.split()[:2] == ["TXT", name] for line in done.stdout.splitlines())


def test_nothing_from_outside_reaches_the_terminal_as_it_is(world):
    """Neither from the message nor from DNS."""
    content = b"DKIM-Signature: v=1; a=rsa-sha256; d=\x1b[31m.test; s=\x07; b=x; bh=x; h=from\r\n"
    path = _file(world, content + _message("x@evil.example"))
    with ScriptedNameServer() as server:
        server.add("evil.example", "TXT", b"v=spf1 exists:\x1b[31mcolour \x07 -all")
        server.add("_dmarc.evil.example", "TXT", b"v=DMARC1; p=none; x=\x1b]0;title\x07")
        command = [BUILD / "relayctl", "check", "message", path, "--ip", OWN, "--helo", "h.example",
                   "--mail-from", "x@evil.example", "--dns", server.address]
        done = subprocess.run(command, capture_output=True, timeout=30)
    assert done.returncode == 0
    assert b"colour" in done.stdout and b"title" in done.stdout
    assert not any(octet < 0x20 and octet != 0x0a for octet in done.stdout), done.stdout


# ---- Mistakes and dead servers -------------------------------------------------------------------

@pytest.mark.parametrize("arguments,code", [
    (("message", "/nowhere/message.eml"), 1),
    (("message", "/"), 1),
    (("spf", "--ip", "192.0.2.300", "--helo", "h.example", "--mail-from", CUSTOMER), 1),
    (("spf", "--ip", "mail.example", "--helo", "h.example", "--mail-from", CUSTOMER), 1),
    (("message", "/dev/null", "--ip", "192.0.2"), 1),
    (("spf", "--ip", OWN, "--mail-from", CUSTOMER, "--dns", "dns.example"), 1),
    (("spf", "--ip", OWN, "--mail-from", CUSTOMER, "--spf-engine", "guess"), 1),
    (("spf", "--helo", "h.example"), 2),
    (("spf", "--ip", OWN, "--colour"), 2),
    (("message",), 2),
    (("spf", "--ip", OWN, "--timeout", "0"), 2),
    (("virus", "message.eml"), 2),
    ((), 2),
], ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "")
def test_mistakes(arguments, code):
    for more in ((), ("--json",)):
        done = _run(*arguments, *more)
        assert (done.returncode, done.stdout) == (code, ""), done
        assert done.stderr.startswith("relayctl: ") and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize("manner", ["silent", "SERVFAIL", "garbage", "truncated, TCP silent"])
def test_an_end_although_dns_has_none(world, manner):
    content = signed(_message(), world.key, "customer.example", "s1")
    path = _file(world, content)
    with ScriptedNameServer() as server:
        server.script("example", manner)
        started = time.monotonic()
        found = _json("message", path, "--ip", OWN, "--helo", "mail.customer.example",
                      "--mail-from", CUSTOMER, "--dns", server.address, "--timeout", "1")
        assert time.monotonic() - started < 2.5
    assert found["spf"]["result"] == "temperror" and found["dkim"][0]["result"] == "temperror"
    assert found["dmarc"]["result"] == "temperror"


def test_an_end_although_nobody_listens():
    started = time.monotonic()
    found = _json("spf", "--ip", OWN, "--helo", "h.example", "--mail-from", CUSTOMER, "--dns",
                  f"127.0.0.1:{free_port()}", "--timeout", "1")
    assert found["result"] == "temperror" and time.monotonic() - started < 2.5


def test_a_slow_tree_of_includes_ends_with_the_time():
    """Each question is answered in time, all together are not."""
    with ScriptedNameServer() as server:
        for number in range(10):
            server.add(f"n{number}.example", "TXT", f"v=spf1 include:n{number + 1}.example -all")
        server.script("example", "late", 0.4)
        started = time.monotonic()
        found = _json("spf", "--ip", OWN, "--helo", "h.example", "--mail-from", "x@n0.example",
                      "--dns", server.address, "--timeout", "1")
        assert time.monotonic() - started < 2.5
    assert found["result"] == "temperror"
