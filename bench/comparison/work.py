"""The rows of the comparison: what both servers are given to do."""

from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Row:
    """One kind of work. `messages`: a run's, for each server so many that it takes some seconds."""
    name: str
    title: str
    messages: dict
    load: tuple = ("--size", "4KiB")  # more options of `relaybench send`
    signed: str = ""       # relayd's algorithm; Postfix has OpenDKIM, which in Debian means RSA
    login: bool = False    # clients come with STARTTLS and AUTH PLAIN
    judged: bool = False   # inbound mail of strangers: SPF, DKIM, DMARC

    def tickets_from(self, server):
        """Whether the server hands on by HTTP what it takes; else by SMTP."""
        return self.judged and server == "relayd"


ROWS = (
    Row("relay-4k", "relay, 4 KiB", {"relayd": 24_000, "postfix": 2500}),
    Row("relay-64k", "relay, 64 KiB", {"relayd": 5000, "postfix": 1500}, ("--size", "64KiB")),
    Row("signed-rsa", "signed with RSA-2048", {"relayd": 16_000, "postfix": 1800},
        signed="rsa-sha256"),
    Row("signed-ed25519", "signed with Ed25519 (Postfix: RSA-2048)",
        {"relayd": 20_000, "postfix": 1800}, signed="ed25519-sha256"),
    Row("login", "STARTTLS and AUTH, many messages a connection",
        {"relayd": 24_000, "postfix": 2500}, login=True),
    Row("login-each", "STARTTLS and AUTH, one message a connection",
        {"relayd": 4000, "postfix": 1000},
        ("--size", "4KiB", "--messages-per-connection", "1"), login=True),
    Row("judged", "inbound, judged: SPF, DKIM, DMARC", {"relayd": 8000, "postfix": 1000},
        judged=True),
)
