"""Every misbehaviour of relaybench's sinks, as the smarthost or the back end of a real relayd: each
has one right outcome.

All cases run at once in one relayd, each with a domain and a sink of its own, which is also the
proof that none disturbs another. First every sink misbehaves, until each case has shown what it
does to its mail; then all of them behave, and what waited must arrive, once. The tests below look
at what was seen.
"""

import re
import time
from dataclasses import dataclass

import pytest

from tests.support import accounts, messages
from tests.support.certificates import Authority
from tests.support.help_desk import HelpDesk
from tests.support.process import remove_directory, temporary_directory, wait_until
from tests.support.relayd import Relayd
from tests.support.relaybench import Sink
from tests.support.scripted_name_server import ScriptedNameServer
from tests.support.smtp import Client

WAITS, ARRIVES, BOUNCES, PARTLY, HELD = "waits", "arrives", "bounces", "partly", "held"
FIRST_SECONDS, SECOND_SECONDS = 30, 30


@dataclass(frozen=True)
class Case:
    """`told` is what the waiting message, or its bounce, must say."""
    manner: str
    outcome: str = WAITS
    told: str = ""
    logs_in: bool = True  # False: it must not come to a login

    @property
    def name(self):
        return re.sub("[^a-z0-9]+", "-", self.manner)


SMARTHOSTS = [
    Case("well", ARRIVES),
    Case("greet-421", told="421 4.3.2", logs_in=False),
    Case("drop-at-greeting", told="lost|closed", logs_in=False),
    Case("ehlo-garbage", told="repl", logs_in=False),
    Case("no-starttls", told="STARTTLS", logs_in=False),
    Case("tls-fails", told="TLS|SSL|handshake", logs_in=False),
    Case("wrong-name", told="certificate|name", logs_in=False),
    Case("auth-535", told="locked"),
    Case("auth-454", told="454 4.7.0"),
    Case("mail-4xx", told="451 4.3.0.*mail-4xx"),
    Case("rcpt-4xx", told="450 4.2.1.*rcpt-4xx"),
    Case("rcpt-5xx", BOUNCES, "550 5.1.1.*rcpt-5xx"),
    Case("rcpt-mixed", PARTLY, "550 5.1.1.*rcpt-5xx"),
    Case("data-354-never", told="in time"),
    Case("drop-in-data", told="lost|closed"),
    Case("drop-after-dot", told="may arrive twice"),
    Case("dot-4xx", told="451 4.3.0.*dot-4xx"),
    Case("dot-5xx", BOUNCES, "554 5.6.0.*dot-5xx"),
    Case("dot-421", told="421 4.3.2.*dot-421"),
    *(Case(f"silent-at={stage}", told="in time", logs_in=False)
      for stage in ("greeting", "ehlo", "starttls")),
    *(Case(f"silent-at={stage}", told="in time") for stage in ("auth", "mail", "rcpt", "data", "dot")),
    Case("silent-at=quit", ARRIVES),
    *(Case(f"{manner}={stage}", told="repl|long", logs_in=False)
      for manner in ("malformed-multiline", "long-reply") for stage in ("greeting", "ehlo")),
    *(Case(f"{manner}={stage}", told="repl|long")
      for manner in ("malformed-multiline", "long-reply")
      for stage in ("auth", "mail", "rcpt", "data", "dot")),
    Case("malformed-multiline=quit", ARRIVES),
    Case("slow=150", ARRIVES),
    Case("one-connection-only", ARRIVES),
]

BACK_ENDS = [
    Case("well", ARRIVES),
    *(Case(f"status={code}", told=f"HTTP {code}") for code in (401, 403, 404, 410)),
    *(Case(f"status={code}", HELD, f"HTTP {code}") for code in (413, 415, 422)),
    *(Case(f"status={code}", told=f"HTTP {code}") for code in (400, 429, 500, 503)),
    Case("status=429 retry-after=4", told="HTTP 429"),
    Case("status=503 retry-after=4", told="HTTP 503"),
    Case("hang", told="time|answer|progress"),
    Case("drop", told="clos|empty|reply|receiv"),
    Case("redirect", told="HTTP 302"),
    Case("slow=500", ARRIVES),
    Case("huge-answer", ARRIVES),
]

MANY = 45  # messages, so that a further connection seems worth while
SHORT = {"connect_timeout": "2s", "greeting_timeout": "1s", "reply_timeout": "1s",
         "data_reply_timeout": "1s", "data_end_timeout": "1s", "tls_timeout": "2s",
         "close_timeout": "1s", "write_timeout": "2s", "http_timeout": "2s",
         "domains_per_tenant": 100}


class Day:
    """Runs both phases; keeps what was seen."""

    def __init__(self):
        self.directory = temporary_directory("peers")
        self.authority = Authority(self.directory / "ca")
        self.dns = ScriptedNameServer()
        for name in ("mail.acme.example", "wrong-name.example"):
            self.dns.add(name, "A", "127.0.0.1")
        self.relayd = Relayd(self.directory / "relayd", self.authority, self.dns.address,
                             retry=("2s",), limits=SHORT)
        self.events_desk = HelpDesk(self.directory / "desk")
        self.sinks = {}  # (side, case name) -> Sink
        self.ids = {}    # (side, case name) -> ids sent
        self.rows = {}   # (side, case name) -> row of the queue that fitted
        self.first_counts = {}
        self._number = 0

    # --- the scene

    def start(self):
        identity = self.authority.issue("mail.acme.example")
        for case in SMARTHOSTS:
            manner = [] if case.name in ("well", "wrong-name") else [case.manner]
            self.sinks["mail", case.name] = Sink(
                self.directory, "--tls", "starttls", "--certificate", identity.certificate,
                "--key", identity.key, "--auth-required", misbehave=manner)
        for case in BACK_ENDS:
            manner = [] if case.name == "well" else case.manner.split()
            self.sinks["desk", case.name] = Sink(self.directory, kind="http-sink", misbehave=manner)
        self.dns.start()
        self.relayd.start()
        created = self.relayd.apply(self.plan("wrong-name.example"))
        tenant = next(t for t in created["tenants"] if t["name"] == "acme")
        self.outbound = tenant["credential"]
        self.events_desk.start(tenant["webhook_secret"])

    def plan(self, host_of_wrong_name):
        domains = []
        for case in SMARTHOSTS:
            host = host_of_wrong_name if case.name == "wrong-name" else "mail.acme.example"
            smarthost = accounts.Smarthost(self.sinks["mail", case.name].port, host=host,
                                           username=f"user-{case.name}", password="secret",
                                           connections=4)
            domains.append(accounts.Domain(f"{case.name}.example", [f"support@{case.name}.example"],
                                           smarthost))
        tenants = [accounts.Tenant("acme", self.events_desk.url, domains)]
        for case in BACK_ENDS:
            port = self.sinks["desk", case.name].port
            name = f"desk-{case.name}"
            tenants.append(accounts.Tenant(
                name, f"http://127.0.0.1:{port}/tickets",
                [accounts.Domain(f"{name}.example", [f"support@{name}.example"])]))
        return accounts.plan(self.relayd.directory, *tenants)

    def send_all(self):
        with Client(self.relayd.submission_port) as client:
            client.starttls()
            client.login(self.outbound["username"], self.outbound["password"])
            for case in SMARTHOSTS:
                recipients = [f"{who}@customer.example"
                              for who in (("anna", "ben") if case.outcome == PARTLY else ("anna",))]
                for _ in range(MANY if case.name == "one-connection-only" else 1):
                    self._send(client, ("mail", case.name), f"support@{case.name}.example",
                               recipients)
            client.quit()
        with Client(self.relayd.mx_port) as client:
            client.ehlo()
            for case in BACK_ENDS:
                self._send(client, ("desk", case.name), "anna@customer.example",
                           [f"support@desk-{case.name}.example"])
            client.quit()

    def _send(self, client, key, sender, recipients):
        self._number += 1
        bench_id = f"0badcafe-{self._number:010d}-{0:016x}"
        content = messages.compose(bench_id, sender, recipients[0], messages.text(3000),
                                   extra=[f"X-Bench-Id: {bench_id}"])
        client.send(sender, recipients, content)
        self.ids.setdefault(key, []).append(bench_id)

    # --- what is seen

    def queue(self):
        """Rows by case."""
        rows = {}
        for row in self.relayd.queue():
            kind, _, name = row["destination"].partition(":")
            if kind == "smarthost":
                rows["mail", name.removesuffix(".example")] = row
            elif name.startswith("desk-"):
                rows["desk", name.removeprefix("desk-")] = row
        return rows

    def events(self, kind):
        return [r["event"] for r in self.events_desk.taken() if r["event"]["type"] == kind]

    def bounces(self, case):
        return [event for event in self.events("message.bounced")
                if self.ids["mail", case.name][0] in str(event)]

    def received(self, key):
        return [one for one in self.sinks[key].received() if one != "-"]

    def _all(self):
        return [("mail", case) for case in SMARTHOSTS] + [("desk", case) for case in BACK_ENDS]

    def _shown(self, side, case, rows):
        key = side, case.name
        if case.outcome == ARRIVES:
            return set(self.received(key)) >= set(self.ids[key])
        if case.outcome in (BOUNCES, PARTLY):
            return bool(self.bounces(case))
        row = rows.get(key)
        if row and row["attempts"] and re.search(case.told, row["last_reply"], re.IGNORECASE):
            self.rows[key] = row
        return key in self.rows

    def first_phase(self):
        """Until every case has shown itself, or the time is over: the tests say which has not."""
        left, end = self._all(), time.monotonic() + FIRST_SECONDS
        while left and time.monotonic() < end:
            rows = self.queue()
            left = [(side, case) for side, case in left if not self._shown(side, case, rows)]
            time.sleep(0.3)
        self.not_shown = {(side, case.name): self.queue().get((side, case.name))
                          for side, case in left}
        self.first_counts = {key: sink.counts() for key, sink in self.sinks.items()}
        self.first_received = {key: self.received(key) for key in self.sinks}
        self.locked = self.relayd.ctl("smarthost", "show", "auth-535.example")["locked"]

    def second_phase(self):
        for sink in self.sinks.values():
            sink.misbehave()
        self.relayd.apply(self.plan("mail.acme.example"))
        self.relayd.ctl("smarthost", "unlock", "auth-535.example")
        for (side, name), row in self.queue().items():
            if row["state"] == "held":
                self.relayd.ctl("queue", "release", row["id"])
            elif side == "desk":
                self.relayd.relayctl("backend", "resume", f"desk-{name}")
        try:
            wait_until(lambda: not self.queue(), "the queue to be empty", SECOND_SECONDS, 0.3)
        except TimeoutError:
            pass  # the tests say what did not arrive
        self.left = self.queue()
        time.sleep(1.3)  # the sinks write once a second
        self.second_received = {key: self.received(key) for key in self.sinks}

    def stop(self):
        for part in (self.relayd, self.events_desk, self.dns):
            part.stop()
        for sink in self.sinks.values():
            sink.__exit__()
        remove_directory(self.directory)


@pytest.fixture(scope="module")
def day():
    whole = Day()
    try:
        whole.start()
        whole.send_all()
        whole.first_phase()
        whole.second_phase()
        yield whole
    finally:
        whole.stop()


def _look(day, side, case):
    """What holds for both sides."""
    key = side, case.name
    assert key not in day.not_shown, f"it never showed itself; its row: {day.not_shown[key]}"
    assert key not in day.left, f"still waits: {day.left[key]}"
    if case.outcome in (WAITS, HELD):
        assert day.first_received[key] == [], "taken in spite of it all"
        assert day.rows[key]["state"] == ("held" if case.outcome == HELD else "waiting")
    wanted = [] if case.outcome == BOUNCES else day.ids[key]
    assert sorted(day.second_received[key]) == sorted(wanted), "not exactly once"


# The whole day lies in the first test's set-up.
@pytest.mark.deadline(120)
@pytest.mark.parametrize("case", SMARTHOSTS, ids=lambda case: case.manner)
def test_a_smarthost(day, case):
    _look(day, "mail", case)
    counts = day.first_counts["mail", case.name]
    if not case.logs_in:
        assert counts["logins"] == 0
    bounces = day.bounces(case)
    assert len(bounces) == (1 if case.outcome in (BOUNCES, PARTLY) else 0)
    if bounces:
        (recipient,) = bounces[0]["data"]["recipients"]
        assert re.search(case.told, str(recipient))
    assert day.locked or case.name != "auth-535"
    if case.name == "auth-535":
        assert counts["misbehaved"]["auth-535"] == 3
        (locked,) = day.events("connector.locked")
        assert locked["data"]["username"] == "user-auth-535"


@pytest.mark.deadline(120)
@pytest.mark.parametrize("case", BACK_ENDS, ids=lambda case: case.manner)
def test_a_back_end(day, case):
    _look(day, "desk", case)
    if "retry-after" in case.manner:
        requests = day.first_counts["desk", case.name]["requests"]
        assert requests <= 1 + FIRST_SECONDS / 4
    log = (day.relayd.directory / "relayd.log").read_text()
    if case.manner in ("status=401", "status=403", "status=404", "status=410"):
        assert re.search(rf'"level":"error"[^\n]*backend:desk-{case.name}"', log)
