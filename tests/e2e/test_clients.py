"""curl and swaks submit; the tickets are compared with expected documents, tests/e2e/expected/*.json.

In those documents "*" stands for any text: ids, times, and what the client makes up.
"""

import json
import subprocess
from pathlib import Path

from tests.support import messages
from tests.support.comparison import check_only_added
from tests.support.help_desk import raw
from tests.support.scene import CUSTOMER, SUPPORT

EXPECTED = Path(__file__).with_name("expected")

MULTIPART = b"""\
From: "Anna Example" <anna@customer.example>\r
To: Support <support@acme.example>\r
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= from curl\r
Date: Sat, 31 Jan 2026 12:00:00 +0000\r
Message-ID: <%(marker)s@customer.example>\r
In-Reply-To: <earlier@acme.example>\r
References: <first@acme.example>\r
 <earlier@acme.example>\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary="outer"\r
\r
--outer\r
Content-Type: multipart/alternative; boundary="inner"\r
\r
--inner\r
Content-Type: text/plain; charset=iso-8859-1\r
Content-Transfer-Encoding: quoted-printable\r
\r
Sch=F6ne Gr=FC=DFe\r
--inner\r
Content-Type: text/html; charset=utf-8\r
\r
<p>Sch\xc3\xb6ne Gr\xc3\xbc\xc3\x9fe</p>\r
--inner--\r
--outer\r
Content-Type: application/pdf; name="bill.pdf"\r
Content-Disposition: attachment; filename="bill.pdf"\r
Content-Transfer-Encoding: base64\r
\r
JVBERi0xLjQK\r
--outer--\r
"""


def _matches(expected, actual, where="event"):
    """Yields what differs."""
    if expected == "*" and isinstance(actual, str) and actual:
        return
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in sorted(expected.keys() | actual.keys()):
            if key not in expected or key not in actual:
                yield f"{where}.{key}: only in {'expected' if key in expected else 'actual'}"
            else:
                yield from _matches(expected[key], actual[key], f"{where}.{key}")
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        for number, (one, other) in enumerate(zip(expected, actual)):
            yield from _matches(one, other, f"{where}[{number}]")
    elif expected != actual:
        yield f"{where}: expected {expected!r}, got {actual!r}"


def _check(scene, marker, sent, name):
    event = scene.desk.wait_for_ticket(marker)
    check_only_added(raw(event), sent)
    expected = json.loads((EXPECTED / name).read_text(encoding="utf-8").replace("MARKER", marker))
    differences = list(_matches(expected, event))
    assert not differences, "\n".join(differences) + "\n" + json.dumps(event, indent=1)[:6000]


def _run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, timeout=30, **options)
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")


def test_curl(scene, tmp_path):
    marker = messages.new_marker()
    message = MULTIPART.replace(b"%(marker)s", marker.encode())
    (tmp_path / "message.eml").write_bytes(message)
    _run("curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", scene.authority.certificate,
         "--url", f"smtp://127.0.0.1:{scene.relayd.mx_port}/curl.client.example",
         "--user", f"{scene.inbound['username']}:{scene.inbound['password']}",
         "--login-options", "AUTH=PLAIN",
         "--mail-from", CUSTOMER, "--mail-rcpt", SUPPORT, "--upload-file", tmp_path / "message.eml")
    _check(scene, marker, message, "curl.json")


def test_curl_over_implicit_tls_to_the_outside(scene, tmp_path):
    sample = messages.sample("plain", SUPPORT, CUSTOMER)
    (tmp_path / "message.eml").write_bytes(sample.content)
    _run("curl", "--silent", "--show-error", "--cacert", scene.authority.certificate,
         "--url", f"smtps://127.0.0.1:{scene.relayd.ports['submissions']}/curl.client.example",
         "--user", f"{scene.outbound['username']}:{scene.outbound['password']}",
         "--mail-from", SUPPORT, "--mail-rcpt", CUSTOMER, "--upload-file", tmp_path / "message.eml")
    assert scene.postfix.mailbox.wait_for(sample.marker).recipient == CUSTOMER


def _swaks(scene, port, credential, sender, recipient, message):
    _run("swaks", "--server", "127.0.0.1", "--port", port, "--ehlo", "swaks.client.example",
         "--tls", "--tls-ca-path", scene.authority.certificate, "--tls-verify",
         "--auth", "PLAIN", "--auth-user", credential["username"],
         "--auth-password", credential["password"], "--from", sender, "--to", recipient,
         "--data", "-", input=message.replace(b"\r\n", b"\n"))


def test_swaks(scene):
    marker = messages.new_marker()
    message = messages.compose(marker, CUSTOMER, SUPPORT, b"hello\r\n..dots\r\n.\r\nend\r\n", "from swaks",
                               ("Auto-Submitted: auto-replied",))
    _swaks(scene, scene.relayd.mx_port, scene.inbound, CUSTOMER, SUPPORT, message)
    # swaks sends an empty line after what it was given.
    _check(scene, marker, message + b"\r\n", "swaks.json")


def test_swaks_to_the_outside(scene):
    sample = messages.sample("odd header", SUPPORT, CUSTOMER)
    _swaks(scene, scene.relayd.submission_port, scene.outbound, SUPPORT, CUSTOMER, sample.content)
    assert scene.postfix.mailbox.wait_for(sample.marker).recipient == CUSTOMER
