"""The demo behind scripts/demo: one mail each way through real servers, shown and checked."""

import argparse
import json
import signal
import sys
import textwrap
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import dkim  # noqa: E402

from tests.support import messages  # noqa: E402
from tests.support.comparison import check_only_added  # noqa: E402
from tests.support.help_desk import raw  # noqa: E402
from tests.support.maildir import as_stored  # noqa: E402
from tests.support.process import run, wait_until  # noqa: E402
from tests.support.relayd import BUILD  # noqa: E402
from tests.support.scene import CUSTOMER, DOMAIN, SUPPORT, Scene  # noqa: E402
from tests.support.smtp import Client, submit  # noqa: E402

_COLOURS = sys.stdout.isatty()


def _styled(text, code):
    return f"\033[{code}m{text}\033[0m" if _COLOURS else text


def heading(text):
    print("\n" + _styled(text, "1") + "\n" + _styled("─" * len(text), "2"), flush=True)


def show(text):
    print(textwrap.indent(text, "    "), flush=True)


class Step:
    """`with Step("what"):` prints what is done and how long it took."""

    def __init__(self, text):
        self._text = text

    def __enter__(self):
        print(f"  {self._text:<68}", end=" ", flush=True)
        self._started = time.monotonic()

    def __exit__(self, kind, *_):
        mark = _styled("✓", "32") if kind is None else _styled("✗", "31")
        print(f"{mark} {time.monotonic() - self._started:7.3f} s", flush=True)


def check(right, what):
    """What the demo promises; the first thing that is not right ends it."""
    if not right:
        raise AssertionError(f"not right: {what}")


def publish_dkim_key(scene, algorithm, selector):
    record = scene.relayd.ctl("dkim", "add", DOMAIN, "--selector", selector, "--algorithm", algorithm)
    scene.dns.add(record["name"], record["type"], record["value"])
    scene.relayd.ctl("dkim", "activate", DOMAIN, selector)
    return record


def customers_mail(scene, marker):
    """A mail as a customer's provider would send it: signed, with SPF and DMARC in DNS."""
    key = scene.directory / "customer.key"
    run("openssl", "genrsa", "-out", key, "2048")
    public = run("openssl", "rsa", "-in", key, "-pubout", "-outform", "PEM")
    encoded = "".join(line for line in public.splitlines() if line and " " not in line
                      and not line.startswith("-"))
    scene.dns.add("s1._domainkey.customer.example", "TXT", f"v=DKIM1; k=rsa; p={encoded}")
    scene.dns.add("customer.example", "TXT", "v=spf1 ip4:192.0.2.1 -all")
    scene.dns.add("_dmarc.customer.example", "TXT", "v=DMARC1; p=reject")
    body = "Hello,\r\n\r\nmy order 4711 has not arrived. Grüße, Anna\r\n".encode()
    content = messages.compose(marker, CUSTOMER, SUPPORT, body, "Where is my order?", (
        "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit"))
    signature = dkim.sign(content, b"s1", b"customer.example", key.read_bytes(),
                          canonicalize=(b"relaxed", b"relaxed"))
    return signature + content


def agents_answer(marker, ticket):
    """What the help desk sends for its agent."""
    body = ("Dear Anna,\r\n\r\nyour parcel left today.\r\n.\r\n(a line with a dot alone, "
            "to see it survive)\r\n").encode()
    return messages.compose(marker, SUPPORT, CUSTOMER, body, f"Re: {ticket['subject']}", (
        f"In-Reply-To: {ticket['message_id']}", "Auto-Submitted: no", "X-Mailer: help desk",
        f"X-Desk-Email-Id: {marker}"))


def shortened(event):
    """The ticket for people: raw cut, and only the headers one looks for."""
    data = dict(event["data"])
    data["raw"] = data["raw"][:60] + f"… ({len(data['raw'])} characters)"
    data["headers"] = [[name, value] for name, value in data["headers"]
                       if name.lower() in ("from", "to", "subject")] + ["…"]
    return json.dumps({**event, "data": data}, indent=2, ensure_ascii=False)


def inbound(scene):
    """Customer → Postfix → relayd → ticket."""
    heading("1. A customer's mail becomes a ticket")
    marker = messages.new_marker()
    content = customers_mail(scene, marker)
    with Step("customer → organisation's Postfix → relayd → help desk"):
        with Client(scene.postfix.submit_port) as client:
            client.ehlo()
            client.send(CUSTOMER, SUPPORT, content, options="BODY=8BITMIME")
            client.quit()
        event = scene.desk.wait_for_ticket(marker)
    print("\n  The ticket, as the help desk got it (webhook signature verified):\n")
    show(shortened(event))
    print()
    data = event["data"]
    with Step("the ticket is right: trust, sender, text, authentication"):
        check(data["trust"] == "password" and data["tags"] == ["authenticated-relay"], "the trust")
        check(data["envelope"]["mail_from"] == CUSTOMER, "the envelope")
        check("Grüße, Anna" in data["text"], "the text")
        check([one["result"] for one in data["authentication"]["dkim"]] == ["pass"], "DKIM")
        check(data["authentication"]["dmarc"]["result"] == "pass", "DMARC")
    with Step("the message in it is what the customer sent, byte for byte"):
        check_only_added(raw(event), content)
    return data


def outbound(scene, ticket, records):
    """Help desk → relayd → Postfix → mailbox."""
    heading("2. The help desk's answer goes out, signed for the organisation")
    marker = messages.new_marker()
    content = agents_answer(marker, ticket)
    with Step("help desk → relayd → organisation's Postfix → mailbox"):
        submit(scene.relayd, scene.outbound, SUPPORT, CUSTOMER, content)
        delivered = scene.postfix.mailbox.wait_for(marker)
    print("\n  The message in Anna's mailbox:\n")
    show(delivered.content.decode("utf-8", "replace").rstrip())
    print()
    with Step("it is what the help desk sent, byte for byte, behind added fields"):
        check_only_added(delivered.as_relayed(), as_stored(content))
    relayed = delivered.as_relayed().replace(b"\n", b"\r\n")
    for number, record in enumerate(records):
        verifier = dkim.DKIM(relayed)
        verified = verifier.verify(idx=number, dnsfunc=scene.dns.txt)
        fields = {k.decode(): v.decode() for k, v in verifier.signature_fields.items()}
        with Step(f"DKIM signature d={fields['d']} s={fields['s']} a={fields['a']} verifies"):
            check(verified and fields["d"] == DOMAIN, f"signature of {record['name']}")
    with Step("nothing is left in relayd's queue"):
        wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty")


def how_to_play(scene):
    relayd, postfix = scene.relayd, scene.postfix
    heading("It goes on running. Ctrl-C stops it")
    show(f"""\
Become a customer who writes to {SUPPORT} (through the organisation's Postfix):
  swaks --server 127.0.0.1:{postfix.submit_port} --from {CUSTOMER} --to {SUPPORT}

Be the help desk and answer (STARTTLS and AUTH PLAIN at relayd):
  swaks --server 127.0.0.1:{relayd.submission_port} --tls --auth PLAIN \\
    --auth-user '{scene.outbound['username']}' --auth-password '{scene.outbound['password']}' \\
    --from {SUPPORT} --to {CUSTOMER}

See what became of it:
  tail -f {scene.desk.directory}/tickets.jsonl
  ls -t {postfix.mailbox.path}/new
  tail -f {scene.directory}/relayd/relayd.log {scene.directory}/postfix/log/mail.log

Ask relayd:
  {BUILD}/relayctl --config {relayd.config} status
  {BUILD}/relayctl --config {relayd.config} queue list
  {BUILD}/relayctl --config {relayd.config} domain show {DOMAIN}
""")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while scene.relayd.running:
            time.sleep(0.5)
        print("relayd has ended:", scene.relayd.log())
    except KeyboardInterrupt:
        print("\nStopping.")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave it running at the end")
    keep = parser.parse_args().keep
    started = time.monotonic()
    heading("The scene")
    with Scene("demo") as scene:
        with Step("test CA, name server, relayd"):
            scene.start_relayd()
        with Step("relayctl apply: tenant, domain, support address, smarthost"):
            scene.connect()
        with Step("help-desk stub that verifies webhook signatures"):
            scene.desk.start(scene.webhook_secret)
        with Step("Debian's Postfix: logs in to relayd, and is its smarthost"):
            scene.postfix.start()
        with Step("relayctl dkim add, the keys into DNS, relayctl dkim activate"):
            records = [publish_dkim_key(scene, "rsa-sha256", "r1"),
                       publish_dkim_key(scene, "ed25519-sha256", "e1")]
        ticket = inbound(scene)
        outbound(scene, ticket, records)
        print("\n" + _styled(f"OK: both ways work ({time.monotonic() - started:.1f} s)", "1;32"))
        if keep:
            how_to_play(scene)


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # the logs are already shown; say in one line what it was
        print(_styled(f"\nFAILED: {error}", "1;31"), file=sys.stderr)
        sys.exit(1)
