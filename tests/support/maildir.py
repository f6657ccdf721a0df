"""The Maildir Postfix delivers into, and what Postfix itself does to a message on the way there.

virtual(8) writes lines ending in LF, ends the last line if the sender did not, and puts Return-Path,
X-Original-To and Delivered-To in front of the Received fields of Postfix's own. Nothing else is
altered: behind those fields lies the message as the smarthost was given it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.process import wait_until

_FIELD = re.compile(rb"([!-9;-~]+):[^\n]*\n(?:[ \t][^\n]*\n)*")
_OF_POSTFIX = (b"return-path", b"x-original-to", b"delivered-to", b"received")


def as_stored(message):
    """A message as sent (CRLF) the way it lies in a Maildir: LF, and the last line ended."""
    stored = message.replace(b"\r\n", b"\n")
    return stored if not stored or stored.endswith(b"\n") else stored + b"\n"


@dataclass(frozen=True)
class Delivered:
    """One message of the Maildir."""
    content: bytes

    def fields(self):
        """The (name, value) pairs of the header, unfolded, in order."""
        head = self.content.split(b"\n\n", 1)[0] + b"\n"
        pairs = []
        for match in _FIELD.finditer(head):
            name, _, value = match.group(0).partition(b":")
            pairs.append((name.decode(), re.sub(rb"\n[ \t]", b" ", value).strip().decode(
                "utf-8", "surrogateescape")))
        return pairs

    def field(self, name):
        """The value of the first field of that name, or None."""
        return next((value for key, value in self.fields() if key.lower() == name.lower()), None)

    @property
    def recipient(self):
        return self.field("X-Original-To") or self.field("Delivered-To")

    def as_relayed(self):
        """What the smarthost was given, with LF: the fields Postfix put in front are taken off.

        Postfix writes one Received of its own (each hop adds one): exactly that one goes.
        """
        position = 0
        while match := _FIELD.match(self.content, position):
            name = match.group(1).lower()
            if name not in _OF_POSTFIX:
                break
            position = match.end()
            if name == b"received":
                break
        return self.content[position:]


class Mailbox:
    """The one Maildir of a Postfix instance."""

    def __init__(self, path):
        self.path = Path(path)
        self._new = self.path / "new"
        self._read = {}

    def messages(self):
        """All messages delivered so far; each file is read once."""
        if self._new.exists():
            for path in self._new.iterdir():
                if path.name not in self._read:
                    self._read[path.name] = Delivered(path.read_bytes())
        return list(self._read.values())

    def containing(self, text):
        """Those with the text (str or bytes) anywhere in them."""
        text = text.encode() if isinstance(text, str) else text
        return [message for message in self.messages() if text in message.content]

    def wait_for(self, text, seconds=30.0):
        """The first message containing the text, once it is there."""
        return wait_until(lambda: self.containing(text), f"{text!r} in the mailbox", seconds)[0]
