"""DKIM signatures by Debian's python3-dkim, and ARC seals (RFC 8617 5.1) for tests.

python3-dkim seals only with a module that Debian does not have, so the seal is made here, from its
RSA and the canonical forms of RFC 6376 3.4 written down once more.
"""

import base64
import hashlib
import re
from pathlib import Path

import dkim
import dkim.crypto

from tests.support.process import run

_SEALED = ("from", "to", "subject", "date", "message-id")


class Key:
    """An RSA key; `record` is the text of its TXT record at SELECTOR._domainkey.DOMAIN."""

    def __init__(self, directory, bits=2048):
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        private, public = directory / "rsa.pem", directory / "rsa.pub"
        run("openssl", "genrsa", "-traditional", "-out", private, bits)
        run("openssl", "rsa", "-in", private, "-pubout", "-out", public)
        self.pem = private.read_bytes()
        text = "".join(line for line in public.read_text().split("\n") if "-----" not in line)
        self.record = f"v=DKIM1; k=rsa; p={text}"
        self._parsed = dkim.crypto.parse_pem_private_key(self.pem)

    def sign(self, octets):
        """RSASSA-PKCS1-v1_5 with SHA-256, in base64."""
        signature = dkim.crypto.RSASSA_PKCS1_v1_5_sign(hashlib.sha256(octets), self._parsed)
        return base64.b64encode(signature).decode()


def key_name(selector, domain):
    return f"{selector}._domainkey.{domain}"


def signed(message, key, domain, selector, *, length=False):
    """The message with a DKIM-Signature on top; `length`: with l=, so that text can be added."""
    field = dkim.sign(message, selector.encode(), domain.encode(), key.pem,
                      canonicalize=(b"relaxed", b"relaxed"), length=length)
    return field + message


def sealed(message, key, domain, selector, results, *, instance=1, cv=None, seal_selector=None):
    """The message with one more ARC set on top.

    `results`: what the sealer found, as in Authentication-Results; `cv`: "none" for the first set
    and "pass" for later ones unless said otherwise.
    """
    fields, body = _parsed(message)
    body_hash = base64.b64encode(hashlib.sha256(_relaxed_body(body)).digest()).decode()
    results_field = _field("ARC-Authentication-Results", f"i={instance}; {domain}; {results}")
    tags = (f"i={instance}; a=rsa-sha256; c=relaxed/relaxed; d={domain}; s={selector}; "
            f"h={':'.join(_SEALED)}; bh={body_hash}; b=")
    signature = _signed_field("ARC-Message-Signature", tags, _selected(fields), key)
    earlier = [field for number in range(1, instance) for field in _arc_set(fields, number)]
    tags = (f"i={instance}; a=rsa-sha256; cv={cv or ('none' if instance == 1 else 'pass')}; "
            f"d={domain}; s={seal_selector or selector}; b=")
    seal = _signed_field("ARC-Seal", tags, [*earlier, results_field, signature], key)
    return seal + signature + results_field + message


def _parsed(message):
    """The whole header fields and the body."""
    header, _, body = message.partition(b"\r\n\r\n")
    return re.findall(rb"[^\r\n]+\r\n(?:[ \t][^\r\n]*\r\n)*", header + b"\r\n"), body


def _field(name, value):
    return f"{name}: {value}\r\n".encode()


def _signed_field(name, tags, fields_before, key):
    text = b"".join(map(_relaxed_field, fields_before)) + _relaxed_field(_field(name, tags))
    return _field(name, tags + key.sign(text.removesuffix(b"\r\n")))


def _name(field):
    return field.partition(b":")[0].strip().lower().decode()


def _selected(fields):
    """The last of each name, in the order of h= (RFC 6376 5.4.2)."""
    for name in _SEALED:
        found = [field for field in fields if _name(field) == name]
        if found:
            yield found[-1]


def _arc_set(fields, instance):
    """In the order of RFC 8617 5.1.1."""
    for name in ("arc-authentication-results", "arc-message-signature", "arc-seal"):
        yield from (field for field in fields if _name(field) == name
                    and re.match(rb"[^:]*:\s*i=%d;" % instance, field))


def _relaxed_field(field):
    """RFC 6376 3.4.2."""
    value = re.sub(rb"[ \t]+", b" ", field.partition(b":")[2].replace(b"\r\n", b"")).strip()
    return _name(field).encode() + b":" + value + b"\r\n"


def _relaxed_body(body):
    """RFC 6376 3.4.4."""
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)
