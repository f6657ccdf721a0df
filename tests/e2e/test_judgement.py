"""The verdict in the running program (product rules A1 to A3 and A7): what arrives, who vouches for
it, and what the ticket says. Domains in three modes, a customer with p=reject, two forwarders.

Clients at 127.0.0.1 may send for customer.example by SPF; those at other addresses may not.
"""

import re
from dataclasses import dataclass, field
from typing import Callable

import pytest

from tests.support import messages
from tests.support.help_desk import raw
from tests.support.judging import JudgementScene
from tests.support.relayd import HOSTNAME
from tests.support.signing import Key, key_name, sealed, signed
from tests.support.smtp import Client, Refused

CUSTOMER, OUTSIDER, TRUSTED, UNTRUSTED = (
    "anna@customer.example", "mallory@outsider.example", "list@forwarder.example",
    "list@stranger.example")
OWN, ELSEWHERE = "127.0.0.1", "127.0.0.9"
STANDARD, ENHANCED, STRICT = (f"{mode}.example" for mode in ("standard", "enhanced", "strict"))
NATIVE, FOREIGN = "acme.provider.example", "foreign.example"
ORGANISATION = "mx.enhanced.example"  # whose Authentication-Results count behind its credential


@pytest.fixture(scope="module")
def scene():
    whole = JudgementScene("judgement", extra='\n[arc]\ntrusted_sealers = ["forwarder.example"]\n')
    whole.start(
        acme=[whole.domain(STANDARD, mode="outbound-only"),
              whole.domain(ENHANCED, mode="outbound-only", inbound="enhanced",
                           trusted_authserv_ids=[ORGANISATION]),
              whole.domain(STRICT, inbound="strict"),
              whole.domain(NATIVE, smarthost=False)],
        other=[whole.domain(FOREIGN)])
    whole.key = Key(whole.directory / "key")
    whole.dns.add("customer.example", "TXT", f"v=spf1 ip4:{OWN} -all")
    whole.dns.add("_dmarc.customer.example", "TXT", "v=DMARC1; p=reject")
    for domain in ("forwarder.example", "stranger.example", "outsider.example"):
        whole.dns.add(domain, "TXT", "v=spf1 ip4:127.0.0.0/8 -all")
    for domain in ("customer.example", "forwarder.example", "stranger.example"):
        whole.dns.add(key_name("s1", domain), "TXT", whole.key.record)
    yield whole
    whole.stop()


def _ticket(scene, marker):
    return scene.desk.wait_for_ticket(marker, 15)["data"]


# ---- Mail without a credential ------------------------------------------------------------------

def _plain(_, marker, recipient, author=CUSTOMER, extra=()):
    return messages.compose(marker, author, recipient, b"Hello\r\n", extra=extra)


def _signed(scene, marker, recipient):
    return signed(_plain(scene, marker, recipient), scene.key, "customer.example", "s1")


def _changed_after_signing(scene, marker, recipient):
    return _signed(scene, marker, recipient).replace(b"Hello\r\n", b"Hello\r\n-- \r\na list\r\n")


def _without_from(scene, marker, recipient):
    return re.sub(rb"From: [^\r]*\r\n", b"", _plain(scene, marker, recipient))


def _with_two_from(scene, marker, recipient):
    return f"From: <{OUTSIDER}>\r\n".encode() + _plain(scene, marker, recipient)


def _with_appended_text(scene, marker, recipient):
    content = signed(_plain(scene, marker, recipient), scene.key, "customer.example", "s1",
                     length=True)
    return content + b"Pay to my account instead\r\n"


def _forwarded_by(domain):
    def build(scene, marker, recipient):
        seen = ("spf=pass smtp.mailfrom=anna@customer.example; dkim=pass header.d=customer.example;"
                " dmarc=pass header.from=customer.example")
        content = _changed_after_signing(scene, marker, recipient)
        return sealed(content, scene.key, domain, "s1", seen)
    return build


def _forwarded_then_changed(scene, marker, recipient):
    content = _forwarded_by("forwarder.example")(scene, marker, recipient)
    return content.replace(b"a list", b"a lisp")


@dataclass
class Case:
    """What is sent and from where; what the ticket says of it."""
    build: Callable
    sender: str
    source: str
    spf: str
    dkim: list
    dmarc: str
    aligned: tuple = (False, False)  # SPF, DKIM
    suspended: bool = False          # in the mode enhanced
    reason: str = ""                 # words in one of the reasons; "": there is none
    arc: str = "none"
    more: dict = field(default_factory=dict)  # of `dmarc`


CASES = {
    "SPF passes and aligns": Case(
        _plain, CUSTOMER, OWN, "pass", [], "pass", (True, False),
        more={"policy": "reject", "policy_domain": "customer.example"}),
    "DKIM passes and aligns": Case(
        _signed, CUSTOMER, ELSEWHERE, "fail", ["pass"], "pass", (False, True)),
    "both": Case(_signed, CUSTOMER, OWN, "pass", ["pass"], "pass", (True, True)),
    "SPF passes for somebody else": Case(
        _plain, OUTSIDER, ELSEWHERE, "pass", [], "fail", suspended=True,
        reason="proves.*customer.example.*reject", more={"policy": "reject"}),
    "changed after signing": Case(
        _changed_after_signing, CUSTOMER, ELSEWHERE, "fail", ["fail"], "fail", suspended=True,
        reason="proves.*customer.example"),
    "no policy, no proof": Case(
        lambda scene, marker, to: _plain(scene, marker, to, "eva@nowhere.example"),
        "eva@nowhere.example", ELSEWHERE, "none", [], "none", reason="no DMARC policy"),
    "no From": Case(
        _without_from, CUSTOMER, OWN, "pass", [], "none", suspended=True, reason="author",
        more={"from_domain": ""}),
    "two From fields": Case(
        _with_two_from, CUSTOMER, OWN, "pass", [], "none", suspended=True, reason="author",
        more={"from_domain": ""}),
    "text behind the l= of the signature": Case(
        _with_appended_text, CUSTOMER, ELSEWHERE, "fail", ["pass"], "pass", (False, True),
        suspended=True, reason="only the beginning"),
    "text behind the l=, but SPF passes": Case(
        _with_appended_text, CUSTOMER, OWN, "pass", ["pass"], "pass", (True, True)),
    "forwarded by a trusted sealer": Case(
        _forwarded_by("forwarder.example"), TRUSTED, ELSEWHERE, "pass", ["fail"], "fail",
        arc="pass", reason="forwarder.example.*trusted"),
    "forwarded by another sealer": Case(
        _forwarded_by("stranger.example"), UNTRUSTED, ELSEWHERE, "pass", ["fail"], "fail",
        arc="pass", suspended=True, reason="proves.*customer.example"),
    "changed behind a trusted sealer": Case(
        _forwarded_then_changed, TRUSTED, ELSEWHERE, "pass", ["fail"], "fail", arc="fail",
        suspended=True, reason="proves.*customer.example"),
}


@pytest.mark.parametrize("domain", [STANDARD, ENHANCED])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.deadline(30)
def test_mail_of_strangers(scene, case, domain):
    marker, recipient = messages.new_marker(), f"support@{domain}"
    content = case.build(scene, marker, recipient)
    # Never refused because of what its author's domain asks for (product rule A2).
    assert scene.send(content, case.sender, recipient, source=case.source).code == 250
    data = _ticket(scene, marker)
    found = data["authentication"]
    assert found["spf"]["result"] == case.spf, found
    assert found["spf"]["domain"] == case.sender.partition("@")[2]
    assert [one["result"] for one in found["dkim"]] == case.dkim, found
    assert found["dmarc"]["result"] == case.dmarc, found
    assert (found["dmarc"]["spf_aligned"], found["dmarc"]["dkim_aligned"]) == case.aligned
    assert found["arc"]["result"] == case.arc, found
    assert {key: found["dmarc"][key] for key in case.more} == case.more
    suspended = case.suspended and domain == ENHANCED
    assert data["disposition"] == ("suspended" if suspended else "accepted")
    if case.reason:
        assert re.search(case.reason, "\n".join(data["reasons"]), re.S), data["reasons"]
    else:
        assert data["reasons"] == []
    assert data["trust"] == "none" and data["tags"] == []
    check_results_field(raw({"data": data}), case)


# ---- Authentication-Results ----------------------------------------------------------------------

_TOKEN = r"[^\s()<>@,;:\\\"/\[\]?=]+"
_VALUE = rf'(?:"(?:[^"\\]|\\.)*"|(?:{_TOKEN})?@?{_TOKEN})'
_COMMENT = r"\([^()]*\)"
_PROPERTY = rf"(?:reason|[a-z]+\.[a-z-]+)={_VALUE}"
_METHOD = rf"([a-z]+)=([a-z]+)(?:\s+(?:{_PROPERTY}|{_COMMENT}))*"


def fields_of(content):
    """(name in lower case, unfolded body) of each field of the header."""
    header = content.partition(b"\r\n\r\n")[0].decode("utf-8", "surrogateescape")
    return [(name.lower(), value.strip()) for name, _, value in
            (line.partition(":") for line in re.sub(r"\r\n(?=[ \t])", "", header).split("\r\n"))]


def methods_of(body):
    """[(method, result, text)] of an Authentication-Results field; it must be as RFC 8601 2.2 says,
    as far as two regular expressions can see."""
    authserv_id, *parts = re.split(r';\s*(?=(?:[^"]*"[^"]*")*[^"]*$)', body)
    assert authserv_id == HOSTNAME
    if parts == ["none"]:
        return []
    for part in parts:
        assert re.fullmatch(_METHOD, part), part
    return [(*re.match(_METHOD, part).groups(), part) for part in parts]


def check_results_field(content, case):
    """It is the first field of all and says what the ticket says."""
    (name, body), (next_name, _) = fields_of(content)[:2]
    assert (name, next_name) == ("authentication-results", "received")
    assert not re.search(rb"[^\r]\n|\r[^\n]", content.partition(b"\r\n\r\n")[0])
    found = methods_of(body)
    results = [(method, result) for method, result, _ in found]
    spf = [text for method, _, text in found if method == "spf" and "smtp.mailfrom" in text]
    assert len(spf) == 1 and spf[0].startswith(f"spf={case.spf}") and case.sender in spf[0]
    assert [result for method, result in results if method == "dkim"] == (case.dkim or ["none"])
    assert ("dmarc", case.dmarc) in results
    assert [result for method, result in results if method == "arc"] == \
        ([] if case.arc == "none" else [case.arc])


OURS = [
    f"{HOSTNAME}; dmarc=pass header.from=customer.example",
    f"{HOSTNAME.upper()}; spf=pass",
    f"{HOSTNAME}.; spf=pass",
    f'"{HOSTNAME}" 1; spf=pass',
    f"(really (it is)) {HOSTNAME} (v1) 1; spf=pass",
    f"\r\n\t{HOSTNAME};\r\n\tspf=pass smtp.mailfrom=anna@customer.example",
    f"{HOSTNAME}",
]
OTHERS = [
    "mx.customer.example; spf=pass smtp.mailfrom=anna@customer.example",
    f"not-{HOSTNAME}; spf=pass",
    f"mx.other.example; none (not by {HOSTNAME})",
]


def test_results_that_carry_our_name_are_removed_wherever_they_stand(scene):
    marker, recipient = messages.new_marker(), f"support@{ENHANCED}"
    rows = [f"Authentication-Results: {body}" for body in OURS + OTHERS]
    content = _plain(scene, marker, recipient, extra=["X-Before: 1", *rows, "X-After: 1"])
    on_top = f"authentication-results : {OURS[0]}\r\nAUTHENTICATION-RESULTS:{OURS[1]}\r\n"
    scene.send(on_top.encode() + content, OUTSIDER, recipient, source=ELSEWHERE)
    data = _ticket(scene, marker)
    fields = fields_of(raw({"data": data}))
    results = [body for name, body in fields if name.strip() == "authentication-results"]
    assert results[1:] == OTHERS
    assert ("dmarc", "fail") in [(method, result) for method, result, _ in methods_of(results[0])]
    names = [name for name, _ in fields]
    assert names.index("x-before") < names.index("x-after")
    assert data["disposition"] == "suspended"


# ---- The credential and what it vouches for ------------------------------------------------------

def test_a_strict_domain_refuses_strangers_at_rcpt(scene):
    recipient = f"support@{STRICT}"
    with Client(scene.relayd.mx_port) as client:
        client.starttls()
        client.must(f"MAIL FROM:<{CUSTOMER}>")
        reply = client.command(f"RCPT TO:<{recipient}>")
        assert reply.code == 530 and reply.lines[0].startswith("5.7.0 "), reply
        assert client.command("DATA").code in (503, 554)


def test_a_strict_domain_takes_mail_of_its_own_server(scene):
    marker, recipient = messages.new_marker(), f"support@{STRICT}"
    content = _signed(scene, marker, recipient)
    assert scene.send(content, CUSTOMER, recipient, source=ELSEWHERE,
                      credential=scene.credentials[STRICT]).code == 250
    data = _ticket(scene, marker)
    assert (data["trust"], data["tags"]) == ("password", ["authenticated-relay"])
    assert data["disposition"] == "accepted" and data["reasons"] == []


def test_a_credential_opens_no_other_domain(scene):
    with pytest.raises(Refused) as refused:
        scene.send(b"", CUSTOMER, f"support@{STRICT}", credential=scene.credentials[STANDARD])
    assert refused.value.reply.code == 550


def test_behind_the_relay_spf_is_not_asked_and_dkim_counts(scene):
    marker, recipient = messages.new_marker(), f"support@{STRICT}"
    scene.dns.add("relayed.example", "TXT", "v=spf1 -all")
    scene.dns.add("_dmarc.relayed.example", "TXT", "v=DMARC1; p=reject")
    scene.dns.add(key_name("s1", "relayed.example"), "TXT", scene.key.record)
    content = signed(_plain(scene, marker, recipient, "anna@relayed.example"), scene.key,
                     "relayed.example", "s1")
    scene.dns.forget()
    scene.send(content, "anna@relayed.example", recipient, helo="mail.relayed.example",
               credential=scene.credentials[STRICT])
    data = _ticket(scene, marker)
    found = data["authentication"]
    assert found["spf"]["result"] == "none"
    assert found["dmarc"]["result"] == "pass" and found["dmarc"]["dkim_aligned"]
    asked = {query.name for query in scene.dns.asked("relayed.example")}
    assert asked == {"s1._domainkey.relayed.example", "_dmarc.relayed.example"}
    methods = methods_of(fields_of(raw({"data": data}))[0][1])
    assert methods[0][:2] == ("auth", "pass")
    assert "spf" not in [method for method, _, _ in methods]
    assert scene.credentials[STRICT]["username"] in methods[0][2]


SEEN = "spf=pass smtp.mailfrom=anna@customer.example; dmarc=pass header.from=customer.example"


@pytest.mark.parametrize("name,domain,logged_in,counts", [
    (ORGANISATION, ENHANCED, True, True),
    (ORGANISATION.upper(), ENHANCED, True, True),
    ("mx.elsewhere.example", ENHANCED, True, False),  # not one of its servers
    (ORGANISATION, STANDARD, True, False),            # another domain, which named none
    (ORGANISATION, ENHANCED, False, False),           # a stranger wrote it
    (HOSTNAME, ENHANCED, True, False),                # ours, forged
], ids=["trusted", "in capitals", "another server", "another domain", "a stranger's", "our name"])
def test_the_organisations_own_results_count_behind_its_credential(scene, name, domain, logged_in,
                                                                   counts):
    marker, recipient = messages.new_marker(), f"support@{domain}"
    content = _plain(scene, marker, recipient, extra=[f"Authentication-Results: {name}; {SEEN}"])
    scene.send(content, CUSTOMER, recipient, source=ELSEWHERE,
               credential=scene.credentials[domain] if logged_in else None)
    data = _ticket(scene, marker)
    assert data["authentication"]["dmarc"]["result"] == ("pass" if counts else "fail"), data
    suspended = not counts and domain == ENHANCED
    assert data["disposition"] == ("suspended" if suspended else "accepted")
    assert bool(data["reasons"]) != counts


# ---- To whom it was written ----------------------------------------------------------------------

@pytest.mark.parametrize("extra,expected", [
    ([f"Delivered-To: support@{STANDARD}"], f"support@{STANDARD}"),
    ([f"X-Original-To: SUPPORT@{STANDARD.upper()}"], f"support@{STANDARD}"),
    ([f"X-Forwarded-To: support@{ENHANCED}"], f"support@{ENHANCED}"),
    ([f"X-Forwarded-To: support@{ENHANCED}", f"Delivered-To: support@{STANDARD}"],
     f"support@{STANDARD}"),
    # The lowest was written first, by whoever forwarded first.
    ([f"Delivered-To: support@{ENHANCED}", f"Delivered-To: support@{STANDARD}"],
     f"support@{STANDARD}"),
    ([f"Delivered-To: sales@{STANDARD}"], f"support@{NATIVE}"),        # not connected
    ([f"Delivered-To: support@{FOREIGN}"], f"support@{NATIVE}"),       # another tenant's
    ([], f"support@{NATIVE}"),
], ids=["Delivered-To", "X-Original-To", "X-Forwarded-To", "the order", "the lowest",
        "not connected", "another tenant's", "nothing"])
def test_the_original_recipient_of_forwarded_mail(scene, extra, expected):
    marker = messages.new_marker()
    content = _plain(scene, marker, "somebody@else.example", extra=extra)
    scene.send(content, CUSTOMER, f"support@{NATIVE}")
    data = _ticket(scene, marker)
    assert data["recipient"] == expected
    assert data["domain"] == expected.partition("@")[2] and data["tenant"] == "acme"
    assert data["envelope"]["rcpt_to"] == [f"support@{NATIVE}"]


def test_the_original_recipient_stands_in_the_to_field(scene):
    marker = messages.new_marker()
    content = _plain(scene, marker, f"support@{STANDARD}")
    scene.send(content, CUSTOMER, f"support@{NATIVE}")
    assert _ticket(scene, marker)["recipient"] == f"support@{STANDARD}"


def test_the_envelope_comes_before_the_header(scene):
    marker = messages.new_marker()
    forwarded = f"support@{STANDARD}"
    content = _plain(scene, marker, forwarded, extra=[f"Delivered-To: {forwarded}"])
    scene.send(content, CUSTOMER, f"support@{ENHANCED}")
    assert _ticket(scene, marker)["recipient"] == f"support@{ENHANCED}"


@pytest.mark.parametrize("domain", [ENHANCED, STRICT])
def test_a_forged_author_is_suspended_whatever_domain_it_was_forwarded_by(scene, domain):
    """The native domain is in standard mode; the ticket is of one that is not."""
    marker = messages.new_marker()
    scene.send(_plain(scene, marker, f"support@{domain}"), CUSTOMER, f"support@{NATIVE}",
               source=ELSEWHERE)
    data = _ticket(scene, marker)
    assert data["recipient"] == f"support@{domain}"
    assert data["authentication"]["dmarc"]["result"] == "fail"
    assert data["disposition"] == "suspended"


def test_of_the_organisations_results_the_topmost_count(scene):
    """A server that does not remove what strangers wrote in its name writes its own on top."""
    marker = messages.new_marker()
    author = f"header.from={CUSTOMER.partition('@')[2]}"
    extra = [f"Authentication-Results: {ORGANISATION}; dmarc=fail {author}",
             f"Authentication-Results: {ORGANISATION}; dmarc=pass {author}"]
    scene.send(_plain(scene, marker, f"support@{ENHANCED}", extra=extra), CUSTOMER,
               f"support@{ENHANCED}", source=ELSEWHERE, credential=scene.credentials[ENHANCED])
    data = _ticket(scene, marker)
    assert data["authentication"]["dmarc"]["result"] == "fail"
    assert data["disposition"] == "suspended"


def test_signatures_past_the_limit_are_counted_not_named(scene):
    marker = messages.new_marker()
    signature = "DKIM-Signature: v=1; a=rsa-sha256; d=%s.example; s=%s; h=from; bh=AAAA; b=AAAA"
    extra = [signature % ("d" * 50, "s" * 60) for _ in range(240)] + ["Auto-Submitted: auto-replied"]
    scene.send(_plain(scene, marker, f"support@{STANDARD}", extra=extra), CUSTOMER,
               f"support@{STANDARD}")
    data = _ticket(scene, marker)
    assert len(data["authentication"]["dkim"]) == 10
    assert data["authentication"]["dkim_not_examined"] == 230
    assert data["automated"]["is"] and data["subject"]
