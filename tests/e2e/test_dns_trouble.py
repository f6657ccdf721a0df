"""DNS servers that are slow, dead, lying, and senders who want many questions asked: nobody else
waits, every reply comes in time, every verdict is the one the standards name, and one message costs
a bounded number of queries, counted where they arrive.
"""

import selectors
import statistics
import threading
import time

import pytest

from tests.support import messages
from tests.support.judging import JudgementScene
from tests.support.signing import Key, key_name, sealed, signed
from tests.support.smtp import Client, stuffed

DOMAIN = "standard.example"
SUPPORT = f"support@{DOMAIN}"
DNS_TIMEOUT_S, JUDGEMENT_TIMEOUT_S = 2, 3
SLACK_S = 1.5
DNS_QUERIES = 80  # the default of limits.dns_queries


@pytest.fixture(scope="module")
def scene():
    whole = JudgementScene("dns-trouble", limits={
        "dns_timeout": f"{DNS_TIMEOUT_S}s", "judgement_timeout": f"{JUDGEMENT_TIMEOUT_S}s"})
    whole.start(acme=[whole.domain(DOMAIN, mode="outbound-only", inbound="enhanced")])
    whole.key = Key(whole.directory / "key", 1024)
    yield whole
    whole.stop()


def _publish(scene, domain, junk=0):
    """All that mail from this domain needs to pass; `junk`: octets of other TXT beside it."""
    others = [f"junk{number}=" + "x" * 2000 for number in range(junk // 2000)]
    scene.dns.add(domain, "TXT", *others, "v=spf1 ip4:127.0.0.0/8 -all")
    scene.dns.add(key_name("s1", domain), "TXT", scene.key.record)
    scene.dns.add(f"_dmarc.{domain}", "TXT", "v=DMARC1; p=reject")


def _message(scene, domain):
    marker = messages.new_marker()
    content = messages.compose(marker, f"anna@{domain}", SUPPORT, b"Hello\r\n")
    return marker, signed(content, scene.key, domain, "s1")


def _found(scene, marker):
    return scene.desk.wait_for_ticket(marker, 15)["data"]["authentication"]


# ---- Trouble, and who else is served meanwhile ---------------------------------------------------

# The manner of the names, then the results of SPF, DKIM and DMARC.
PASS, ERROR, NOTHING = ("pass",) * 3, ("temperror",) * 3, ("none", "permerror", "none")
TROUBLES = {
    "late": PASS,  # half a second: slow, but in time
    "silent": ERROR,
    "SERVFAIL": ERROR,
    "REFUSED": ERROR,
    "garbage": ERROR,
    "wrong id": ERROR,
    "wrong question": ERROR,
    "CNAME loop": ERROR,
    "truncated, TCP silent": ERROR,
    "truncated": PASS,
    "NXDOMAIN": NOTHING,  # RFC 7208 4.3, RFC 6376 6.1.2, RFC 9989 4.10
    "empty": NOTHING,
    "huge": PASS,
}
MESSAGES = 50
SAMPLES = 30


class _Mail:
    """One message on a session of its own, everything but the message itself already said."""

    def __init__(self, scene, manner, domain):
        self.manner = manner
        self.marker, self._content = _message(scene, domain)
        self.seconds = self.reply = None
        self.client = Client(scene.relayd.mx_port, timeout=30)
        self.client.ehlo()
        self.client.must(f"MAIL FROM:<anna@{domain}>")
        self.client.must(f"RCPT TO:<{SUPPORT}>")
        self.client.must("DATA")

    def send(self):
        self.client.write(stuffed(self._content))

    def take_reply(self, started):
        self.reply = self.client.reply()
        self.seconds = time.monotonic() - started
        self.client.close()


def _troubled(scene, number):
    manner = list(TROUBLES)[number % len(TROUBLES)]
    domain = f"d{number}.trouble.example"
    if manner == "huge":
        _publish(scene, domain, junk=50_000)
    else:
        _publish(scene, domain)
        scene.dns.script(domain, manner, 0.5)
    return _Mail(scene, manner, domain)


class _Others:
    """A client whose names are good sends one message after the other, and idle sessions say NOOP
    and EHLO; how long each of it took, in seconds."""

    def __init__(self, scene, prefix):
        self.deliveries, self.round_trips = [], []
        self._scene, self._prefix = scene, prefix
        self._prepared = []
        for number in range(SAMPLES):
            domain = f"{prefix}{number}.good.example"
            _publish(scene, domain)
            self._prepared.append((domain, *_message(scene, domain)))
        self._idle = [Client(scene.relayd.mx_port) for _ in range(4)]

    def run(self, seconds):
        """All of it, spread over that many seconds."""
        threads = [threading.Thread(target=self._deliver, args=(seconds,)),
                   threading.Thread(target=self._round_trips, args=(seconds,))]
        for thread in threads:
            thread.start()
        return threads

    def _deliver(self, seconds):
        with Client(self._scene.relayd.mx_port) as client:
            client.ehlo()
            for domain, _, content in self._prepared:
                started = time.monotonic()
                client.send(f"anna@{domain}", SUPPORT, content)
                self.deliveries.append(time.monotonic() - started)
                time.sleep(max(seconds / SAMPLES - self.deliveries[-1], 0))
            client.quit()

    def _round_trips(self, seconds):
        for number in range(SAMPLES):
            started = time.monotonic()
            self._idle[number % len(self._idle)].must("EHLO idle.example" if number % 2 else "NOOP")
            self.round_trips.append(time.monotonic() - started)
            time.sleep(max(seconds / SAMPLES - self.round_trips[-1], 0))

    def check(self, scene):
        for _, marker, _ in self._prepared:
            found = _found(scene, marker)
            assert _results(found) == PASS, found
        for client in self._idle:
            client.close()


def _results(found):
    return found["spf"]["result"], found["dkim"][0]["result"], found["dmarc"]["result"]


def _send_at_once(mails):
    """Sends all of them and notes when each has its reply."""
    with selectors.DefaultSelector() as waiting:
        for mail in mails:
            waiting.register(mail.client.socket, selectors.EVENT_READ, mail)
        started = time.monotonic()
        for mail in mails:
            mail.send()
        while waiting.get_map():
            ready = waiting.select(JUDGEMENT_TIMEOUT_S + 10)
            assert ready, f"{len(waiting.get_map())} messages have no reply"
            for key, _ in ready:
                waiting.unregister(key.fileobj)
                key.data.take_reply(started)


def _milliseconds(seconds):
    return f"{statistics.median(seconds) * 1000:.1f} ms (longest {max(seconds) * 1000:.0f} ms)"


@pytest.mark.deadline(60)
def test_trouble_of_some_senders_is_nobody_elses(scene):
    before, during = _Others(scene, "before"), _Others(scene, "during")
    mails = [_troubled(scene, number) for number in range(MESSAGES)]
    for thread in before.run(1):
        thread.join()
    threads = during.run(JUDGEMENT_TIMEOUT_S)
    _send_at_once(mails)
    for thread in threads:
        thread.join()

    print(f"\na good message: {_milliseconds(before.deliveries)} alone, "
          f"{_milliseconds(during.deliveries)} beside {MESSAGES} troubled ones; NOOP and EHLO: "
          f"{_milliseconds(before.round_trips)}, {_milliseconds(during.round_trips)}")
    for manner in TROUBLES:
        print(f"{manner}: {max(m.seconds for m in mails if m.manner == manner):.2f} s")

    wrong = []
    for mail in mails:
        if mail.reply.code != 250 or mail.seconds > JUDGEMENT_TIMEOUT_S + SLACK_S:
            wrong.append(f"{mail.manner}: {mail.reply} after {mail.seconds:.1f} s")
        found = _found(scene, mail.marker)
        if _results(found) != TROUBLES[mail.manner]:
            wrong.append(f"{mail.manner}: {_results(found)} {found}")
    assert not wrong, "\n".join(wrong)
    before.check(scene)
    during.check(scene)
    for number in range(10):  # nor afterwards, on any of the event loops
        domain = f"after{number}.good.example"
        _publish(scene, domain)
        marker, content = _message(scene, domain)
        scene.send(content, f"anna@{domain}", SUPPORT)
        assert _results(_found(scene, marker)) == PASS, _found(scene, marker)
    assert statistics.median(during.deliveries) <= 3 * statistics.median(before.deliveries) + 0.05
    assert max(during.deliveries) <= 1
    assert statistics.median(during.round_trips) <= 0.02
    assert max(during.round_trips) <= 0.5


@pytest.mark.deadline(30)
def test_all_questions_go_out_together(scene):
    """Both SPF identities, the key, and where a DMARC record may stand: one round, not several."""
    domain, helo = "together.example", "mail.together.example"
    _publish(scene, domain)
    scene.dns.script(domain, "late", 1)
    marker, content = _message(scene, domain)
    scene.dns.forget()
    scene.send(content, f"anna@{domain}", SUPPORT, helo=helo)
    assert _results(_found(scene, marker)) == PASS
    asked = scene.dns.asked(domain)
    first_round = {query.name for query in asked if query.time < asked[0].time + 0.5}
    assert first_round >= {domain, helo, f"_dmarc.{domain}", key_name("s1", domain)}


@pytest.mark.deadline(30)
def test_who_is_slow_is_waited_for_and_not_asked_again(scene):
    """A resolver that has most answers at hand needs a second for others; asking anew at short
    intervals only makes it slower, and throws away the answer to the question before."""
    for chain in range(6):  # on every event loop
        for number in range(10):
            scene.dns.add(f"n{number}.quick{chain}.example", "TXT",
                          f"v=spf1 include:n{number + 1}.quick{chain}.example -all")
        domain = f"n0.quick{chain}.example"
        scene.send(_message(scene, domain)[1], f"anna@{domain}", SUPPORT)
    domain = "slow.example"
    _publish(scene, domain)
    scene.dns.script(domain, "late", 0.9)
    marker, content = _message(scene, domain)
    scene.dns.forget()
    scene.send(content, f"anna@{domain}", SUPPORT)
    assert _results(_found(scene, marker)) == PASS
    asked = [query[:2] for query in scene.dns.asked(domain)]
    assert len(asked) == len(set(asked)), asked


@pytest.mark.deadline(30)
def test_a_server_that_closes_its_tcp_connections(scene):
    domain = "closed.example"
    _publish(scene, domain)
    scene.dns.script(domain, "truncated, TCP closed")
    marker, content = _message(scene, domain)
    started = time.monotonic()
    assert scene.send(content, f"anna@{domain}", SUPPORT).code == 250
    assert time.monotonic() - started < JUDGEMENT_TIMEOUT_S + SLACK_S
    assert _results(_found(scene, marker)) == ERROR


@pytest.mark.parametrize("manner", ["silent", "SERVFAIL"])
@pytest.mark.deadline(30)
def test_suspended_with_words_where_dns_did_not_answer(scene, manner):
    domain = f"{manner.lower()}.words.example"
    _publish(scene, domain)
    scene.dns.script(domain, manner)
    marker, content = _message(scene, domain)
    scene.send(content, f"anna@{domain}", SUPPORT)
    data = scene.desk.wait_for_ticket(marker, 15)["data"]
    assert data["disposition"] == "suspended"
    assert any("could not be checked" in reason and domain in reason for reason in data["reasons"])


@pytest.mark.deadline(30)
def test_a_server_that_comes_back_is_asked_again(scene):
    """Nothing of a failure is kept for long: the same names are good a few seconds later."""
    domain = "back.example"
    _publish(scene, domain)
    scene.dns.script(domain, "SERVFAIL")
    marker, content = _message(scene, domain)
    scene.send(content, f"anna@{domain}", SUPPORT)
    assert _results(_found(scene, marker)) == ERROR
    scene.dns.script(domain, "good")
    end = time.monotonic() + 15
    while True:
        marker, content = _message(scene, domain)
        scene.send(content, f"anna@{domain}", SUPPORT)
        if _results(_found(scene, marker)) == PASS:
            return
        assert time.monotonic() < end, "still in error"
        time.sleep(1)


# ---- What one message may cost -------------------------------------------------------------------

def _queries(scene):
    """Those of the message in hand: names that got no answer in tests before may be asked still."""
    return [query for query in scene.dns.asked()
            if not query.name.endswith((".trouble.example", ".words.example"))]


def _include_tree(scene):
    """Ten includes in each record, twelve levels: a billion records, if somebody followed."""
    def name(level, number):
        return f"n{level}-{number}.tree.example" if level else "tree.example"

    for level in range(12):
        includes = " ".join(f"include:{name(level + 1, number)}" for number in range(10))
        for number in range(10 if level else 1):
            scene.dns.add(name(level, number), "TXT", f"v=spf1 {includes} -all")
    return "tree.example"


def _deep_includes(scene):
    for number in range(40):
        scene.dns.add(f"n{number}.deep.example", "TXT",
                      f"v=spf1 include:n{number + 1}.deep.example")
    return "n0.deep.example"


def _redirects(scene):
    for number in range(40):
        scene.dns.add(f"n{number}.redirect.example", "TXT",
                      f"v=spf1 redirect=n{number + 1}.redirect.example")
    return "n0.redirect.example"


def _own_include(scene):
    scene.dns.add("self.example", "TXT", "v=spf1 include:self.example -all")
    return "self.example"


def _mx_lists(domain, hosts, terms=10):
    def build(scene):
        scene.dns.add(domain, "TXT",
                      "v=spf1 " + " ".join(f"mx:m{n}.{domain}" for n in range(terms)) + " -all")
        for term in range(terms):
            names = [f"h{term}-{number}.{domain}" for number in range(hosts)]
            scene.dns.add(f"m{term}.{domain}", "MX", *(f"10 {name}." for name in names))
            for name in names:
                scene.dns.add(name, "A", "192.0.2.1")
        return domain
    return build


def _client_name(address):
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


def _ptr(domain, address, record):
    """The client's address has 2,000 names, none of which leads back."""
    def build(scene):
        scene.dns.add(domain, "TXT", record)
        names = [f"h{number}.{domain}" for number in range(2000)]
        scene.dns.add(_client_name(address), "PTR", *(f"{name}." for name in names))
        for name in names[:50]:
            scene.dns.add(name, "A", "192.0.2.1")
        return domain
    return build


def _void_lookups(scene):
    scene.dns.add("void.example", "TXT",
                  "v=spf1 " + " ".join(f"a:n{n}.void.example" for n in range(10)) + " -all")
    return "void.example"


def _macros(scene):
    """exists with names made of the client and the sender: no two the same, no cache helps."""
    terms = " ".join(f"exists:{n}.%{{ir}}.%{{l}}.%{{h}}.%{{d}}" for n in range(11))
    scene.dns.add("macro.example", "TXT", f"v=spf1 {terms} -all")
    for number in range(11):
        scene.dns.add(f"{number}.13.0.0.127.anna.client.example.macro.example", "TXT", "there")
        scene.dns.add(f"{number}.13.0.0.127.anna.client.example.macro.example", "A", "127.0.0.2")
    return "macro.example"


NAMES_OF_P = "v=spf1 " + " ".join(f"include:%{{p}}.{n}.p.example" for n in range(11)) + " -all"

# Who sends from where, the verdict of RFC 7208, and the most queries that SPF may cost: one for the
# record, and what the comment says. RFC 7208 4.6.4 has the numbers.
CRAFTED = {
    # 10 terms, then it is over.
    "include tree": (_include_tree, "127.0.0.2", "permerror", 1 + 10),
    "includes of includes": (_deep_includes, "127.0.0.3", "permerror", 1 + 10),
    "redirects": (_redirects, "127.0.0.4", "permerror", 1 + 10),
    "a record that includes itself": (_own_include, "127.0.0.5", "permerror", 1),
    # 11 exchangers at the first term.
    "mx with 11 hosts": (_mx_lists("mx11.example", 11), "127.0.0.6", "permerror", 1 + 1),
    # Every mx as large as it may be: 111 queries by the RFC, more than one message may cause.
    "10 mx with 10 hosts": (_mx_lists("mx10.example", 10), "127.0.0.7", "permerror", DNS_QUERIES),
    "11 mx": (_mx_lists("mx1.example", 1, terms=11), "127.0.0.8", "permerror", 1 + 2 * 10),
    # The first 10 names of the client count, further ones are not looked at (RFC 7208 5.5).
    "ptr with 2,000 names": (_ptr("ptr.example", "127.0.0.10", "v=spf1 ptr -all"), "127.0.0.10",
                             "fail", 1 + 1 + 10),
    "ptr again and again": (_ptr("ptrs.example", "127.0.0.11", "v=spf1 " + "ptr:x.example " * 11 +
                                 "-all"), "127.0.0.11", "permerror", 1 + 1 + 10),
    # No name leads back: %{p} is "unknown", and there is no unknown.0.p.example to include.
    "%{p} in includes": (_ptr("p.example", "127.0.0.12", NAMES_OF_P), "127.0.0.12", "permerror",
                         1 + 1 + 10 + 1),
    "exists with macros": (_macros, "127.0.0.13", "pass", 1 + 1),
    "nothing where it asks": (_void_lookups, "127.0.0.14", "permerror", 1 + 3),
}


@pytest.mark.parametrize("build,source,verdict,most", CRAFTED.values(), ids=CRAFTED)
@pytest.mark.deadline(30)
def test_crafted_spf(scene, build, source, verdict, most):
    domain = build(scene)
    marker = messages.new_marker()
    content = messages.compose(marker, f"anna@{domain}", SUPPORT, b"Hello\r\n")
    scene.dns.forget()
    scene.send(content, f"anna@{domain}", SUPPORT, source=source)
    found = _found(scene, marker)
    assert found["spf"]["result"] == verdict, found
    # What was truncated and asked again by TCP is one question.
    of_spf = {(query.name, query.kind) for query in _queries(scene)
              if not query.name.startswith("_dmarc.") and query.name != "client.example"}
    assert 0 < len(of_spf) <= most, of_spf
    assert len(_queries(scene)) <= DNS_QUERIES


@pytest.mark.deadline(30)
def test_the_same_record_for_the_helo_name(scene):
    """Both identities are checked; together they stay under the limit."""
    domain, helo = _mx_lists("mail-from.example", 10)(scene), _mx_lists("helo.example", 10)(scene)
    marker = messages.new_marker()
    content = messages.compose(marker, f"anna@{domain}", SUPPORT, b"Hello\r\n")
    scene.dns.forget()
    scene.send(content, f"anna@{domain}", SUPPORT, helo=helo)
    found = _found(scene, marker)
    assert found["spf"]["result"] in ("permerror", "temperror"), found
    assert 0 < len(_queries(scene)) <= DNS_QUERIES


def _alias(scene, name, length, kind, value):
    """`value` at the end of a chain of that many CNAMEs."""
    for step in range(length):
        scene.dns.add(f"{'x' * step}{name}", "CNAME", f"{'x' * (step + 1)}{name}.")
    scene.dns.add(f"{'x' * length}{name}", kind, value)


@pytest.mark.deadline(30)
def test_short_chains_of_aliases_are_followed(scene):
    """Keys and records are often a CNAME to those of a mail provider."""
    domain = "alias.example"
    _alias(scene, key_name("s1", domain), 2, "TXT", scene.key.record)
    _alias(scene, f"_dmarc.{domain}", 2, "TXT", "v=DMARC1; p=reject")
    _alias(scene, f"spf.{domain}", 2, "TXT", "v=spf1 ip4:127.0.0.1 -all")
    scene.dns.add(domain, "TXT", f"v=spf1 include:spf.{domain} -all")
    marker, content = _message(scene, domain)
    scene.send(content, f"anna@{domain}", SUPPORT)
    found = _found(scene, marker)
    assert _results(found) == PASS and found["dmarc"]["policy"] == "reject"


@pytest.mark.deadline(30)
def test_long_chains_of_aliases_do_not_multiply_the_queries(scene):
    domain, marker = "aliases.example", messages.new_marker()
    terms = " ".join(f"a:a{n}.{domain}" for n in range(9))
    scene.dns.add(domain, "TXT", f"v=spf1 {terms} -all")
    for number in range(9):
        _alias(scene, f"a{number}.{domain}", 10, "A", "192.0.2.1")
    content = messages.compose(marker, f"anna@{domain}", SUPPORT, b"Hello\r\n")
    scene.dns.forget()
    assert scene.send(content, f"anna@{domain}", SUPPORT).code == 250
    assert 0 < len(_queries(scene)) <= DNS_QUERIES


def _with_signatures(scene, content, domain, count):
    for number in range(count):
        scene.dns.add(key_name(f"s{number}", domain), "TXT", scene.key.record)
        content = signed(content, scene.key, domain, f"s{number}")
    return content


def _with_chain(scene, content, domain, sets):
    for number in range(1, sets + 1):
        for selector in (f"m{number}", f"a{number}"):
            scene.dns.add(key_name(selector, domain), "TXT", scene.key.record)
        content = sealed(content, scene.key, domain, f"m{number}", "spf=none", instance=number,
                         seal_selector=f"a{number}")
    return content


@pytest.mark.deadline(30)
def test_many_signatures(scene):
    domain, marker = "signatures.example", messages.new_marker()
    content = messages.compose(marker, f"anna@{domain}", SUPPORT, b"Hello\r\n")
    content = _with_signatures(scene, content, domain, 40)
    scene.dns.forget()
    scene.send(content, f"anna@{domain}", SUPPORT)
    found = _found(scene, marker)
    results = [one["result"] for one in found["dkim"]]
    assert results == ["pass"] * 10, found["dkim"]  # limits.dkim_signatures
    assert found["dkim_not_examined"] == 30
    assert len(scene.dns.asked(f"_domainkey.{domain}")) == 10
    assert len(_queries(scene)) <= DNS_QUERIES


@pytest.mark.parametrize("sets,expected", [(5, "pass"), (50, "pass"), (51, "fail")])
@pytest.mark.deadline(30)
def test_long_arc_chains(scene, sets, expected):
    domain, marker = f"arc{sets}.example", messages.new_marker()
    content = messages.compose(marker, f"anna@{domain}", SUPPORT, b"Hello\r\n")
    content = _with_chain(scene, content, domain, sets)
    scene.dns.forget()
    scene.send(content, f"anna@{domain}", SUPPORT)
    found = _found(scene, marker)
    assert found["arc"]["result"] == expected, found["arc"]
    assert found["arc"]["instances"] == min(sets, 50)  # RFC 8617 4.2.1: there is no i=51
    keys = scene.dns.asked(f"_domainkey.{domain}")
    # Each seal, and the newest message signature; nothing for a chain that is too long.
    assert len(keys) == (sets + 1 if expected == "pass" else 0)
    assert len(_queries(scene)) <= DNS_QUERIES


@pytest.mark.deadline(30)
def test_all_of_it_in_one_message(scene):
    domain, marker = _mx_lists("everything.example", 10)(scene), messages.new_marker()
    scene.dns.add(f"_dmarc.{domain}", "TXT", "v=DMARC1; p=reject")
    content = messages.compose(marker, f"anna@{domain}", SUPPORT, b"Hello\r\n")
    content = _with_chain(scene, _with_signatures(scene, content, domain, 20), domain, 50)
    scene.dns.forget()
    started = time.monotonic()
    reply = scene.send(content, f"anna@{domain}", SUPPORT)
    assert reply.code == 250 and time.monotonic() - started < JUDGEMENT_TIMEOUT_S + SLACK_S
    found = _found(scene, marker)
    assert found["spf"]["result"] in ("permerror", "temperror"), found
    assert 0 < len(_queries(scene)) <= DNS_QUERIES


@pytest.mark.deadline(30)
def test_signatures_of_one_domain_do_not_hide_the_policy_of_another(scene):
    """Whoever writes in another's name must not be able to use up the questions that show it."""
    domain, author, marker = "hiding.example", "victim.example", messages.new_marker()
    scene.dns.add(domain, "TXT", "v=spf1 ip4:127.0.0.1 -all")
    scene.dns.add(f"_dmarc.{author}", "TXT", "v=DMARC1; p=reject")
    content = messages.compose(marker, f"anna@{author}", SUPPORT, b"Hello\r\n")
    content = _with_chain(scene, _with_signatures(scene, content, domain, 10), domain, 50)
    scene.send(content, f"anna@{domain}", SUPPORT)
    found = _found(scene, marker)
    assert found["spf"]["result"] == "pass", found["spf"]
    dmarc = found["dmarc"]
    assert (dmarc["result"], dmarc["policy"]) == ("fail", "reject"), dmarc
