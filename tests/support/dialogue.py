"""The dialogues of tests/smtp, over a socket: their format is described in tests/smtp/README.md."""

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.smtp import Client

_LINE = re.compile(r"(C|C raw|S|delivered|envelope): ?(.*)$", re.DOTALL)
_SIMPLE = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}


class Mismatch(Exception):
    """The server did not do what the script has; names script and line."""


@dataclass
class Dialogue:
    """A parsed script. `steps` are (line number, kind, text)."""
    name: str
    role: str = "mx"
    tls: str = "default"
    machine_only: str = None
    steps: list = field(default_factory=list)


def parse(path):
    """Reads a script."""
    path = Path(path)
    dialogue = Dialogue(path.name)
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.match(line)
        if line in ("TLS", "closed"):
            dialogue.steps.append((number, line, ""))
        elif match:
            dialogue.steps.append((number, match.group(1), match.group(2)))
        else:
            key, _, value = line.partition(":")
            if key == "limit":
                dialogue.machine_only = dialogue.machine_only or "needs a limit of its own"
            elif key != "feed":
                setattr(dialogue, key.replace("-", "_"), value.strip())
    return dialogue


def unescape(text, login=None):
    """The octets of a script's text. `login`: (username, password) that stand for the fixed owner's
    acme.example and secret wherever a login is encoded."""
    out, at = b"", 0
    while at < len(text):
        if text[at] != "\\":
            out += text[at].encode()
            at += 1
        elif text[at + 1] == "x":
            out += bytes.fromhex(text[at + 2:at + 4])
            at += 4
        elif text[at + 1] in "b{":
            opening = text.index("{", at)
            closing = _matching_brace(text, opening)
            inside = text[opening + 1:closing]
            if text[at + 1] == "b":
                out += base64.b64encode(unescape(_with_login(inside, login)))
            else:
                times, _, repeated = inside.partition("*")
                out += unescape(repeated, login) * int(times)
            at = closing + 1
        else:
            out += _SIMPLE[text[at + 1]]
            at += 2
    return out


def _with_login(text, login):
    if login is None:
        return text
    return text.replace("acme.example", login[0]).replace(r"\0secret", rf"\0{login[1]}")


def _matching_brace(text, opening):
    depth = 0
    for at in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    raise ValueError(f"a {{ without }} in {text!r}")


class Run:
    """Plays one dialogue against a port; delivered() are the messages it must have made."""

    def __init__(self, dialogue, port, login, implicit_tls, server_name="relay.example.net"):
        self._dialogue = dialogue
        self._login = login
        self._client = Client(port, implicit_tls=implicit_tls, timeout=15, greeting=False,
                              server_name=server_name)
        self._line = 0
        self._held = None  # a line that was read and belongs to the next S:

    def play(self):
        """Raises Mismatch at the first thing that is not as the script has it."""
        turn = b""
        try:
            for self._line, kind, text in self._dialogue.steps:
                if kind in ("C", "C raw"):
                    turn += unescape(text, self._login) + (b"\r\n" if kind == "C" else b"")
                    continue
                if turn:
                    self._client.write(turn)
                    turn = b""
                if kind == "S":
                    self._expect(text)
                elif kind == "TLS":
                    self._client.wrap()
                elif kind == "closed":
                    self._expect_end()
        except (EOFError, OSError) as error:
            self._fail(str(error))
        finally:
            self._client.close()

    def delivered(self):
        return [unescape(text) for _, kind, text in self._dialogue.steps if kind == "delivered"]

    def _read(self):
        if self._held is not None:
            line, self._held = self._held, None
            return line
        return self._client.read_line().decode("utf-8", "backslashreplace")

    def _expect(self, pattern):
        if pattern[3:] == "-...":
            while (line := self._read()).startswith(pattern[:4]):
                pass
            self._held = line
            return
        line = self._read()
        fits = line.startswith(pattern[:-1]) if pattern.endswith("*") else line == pattern
        if not fits:
            self._fail(f'wanted "{pattern}", the server said "{line}"')

    def _expect_end(self):
        try:
            line = self._read()
        except (EOFError, ConnectionError):
            return
        self._fail(f'the server should have closed; it said "{line}"')

    def _fail(self, what):
        raise Mismatch(f"{self._dialogue.name}:{self._line}: {what}")
