"""Messages for tests: every shape that has broken a mail server, each with a marker of its own."""

import random
import secrets
from dataclasses import dataclass

_WORDS = "the quick brown fox jumps over a lazy dog while mail waits for nobody at all".split()


@dataclass(frozen=True)
class Sample:
    """A message as it is sent, and how it must be sent."""
    marker: str        # appears in the header and nowhere else in the world
    kind: str
    content: bytes
    options: str = ""  # parameters of MAIL FROM
    bdat: int = 0      # chunk size, where DATA cannot carry it


def new_marker():
    return f"m{secrets.token_hex(8)}"


def compose(marker, sender, recipient, body, subject=None, extra=()):
    """A message of ordinary header fields and the body (octets) given."""
    fields = [f"From: Somebody <{sender}>", f"To: <{recipient}>",
              f"Subject: {subject or 'test message ' + marker}",
              "Date: Sat, 31 Jan 2026 12:00:00 +0000", f"Message-ID: <{marker}@test.example>",
              *extra]
    return "".join(line + "\r\n" for line in fields).encode() + b"\r\n" + body


def text(size, seed=0):
    """About `size` octets of short lines, the same for the same seed."""
    if size <= 0:
        return b""
    generator = random.Random(seed)
    block = "".join(" ".join(generator.choices(_WORDS, k=12)) + "\r\n" for _ in range(64)).encode()
    cut = (block * (size // len(block) + 1))[:max(size - 2, 0)]
    return cut.rstrip(b"\r\n") + b"\r\n"


def _plain(sender, recipient, marker, number):
    return compose(marker, sender, recipient, text(200 + 37 * number, number)), "", 0


def _eight_bit(sender, recipient, marker, _):
    body = "Grüße, 你好, привет\r\n".encode() + bytes(range(128, 256)) + b"\r\n"
    extra = ("MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8",
             "Content-Transfer-Encoding: 8bit")
    return compose(marker, sender, recipient, body, extra=extra), "BODY=8BITMIME", 0


def _smtputf8(sender, recipient, marker, _):
    return (compose(marker, sender, recipient, "Füße\r\n".encode(), f"Grüße aus Köln {marker}",
                    ("X-Note: ключ",)), "BODY=8BITMIME SMTPUTF8", 0)


def _no_final_crlf(sender, recipient, marker, number):
    body = text(300, number) + b"the last line has no end"
    return compose(marker, sender, recipient, body), "", 100 + number


def _dots(sender, recipient, marker, _):
    body = b".\r\n..\r\n...\r\n.leading\r\n\r\n.\r\n .\r\n.\t\r\nend.\r\n..\r\n.\r\n"
    return compose(marker, sender, recipient, body), "", 0


def _long_lines(sender, recipient, marker, number):
    """Lines of 1,000 octets with CRLF: the longest RFC 5321 lets everybody send."""
    line = text(3000, number).replace(b"\r\n", b" ")[:998]
    dotted = b"." + line[:996]  # 998 on the wire with its stuffing, CRLF not counted
    return compose(marker, sender, recipient, (line + b"\r\n" + dotted + b"\r\n") * 20), "", 0


def _empty_body(sender, recipient, marker, _):
    return compose(marker, sender, recipient, b""), "", 0


def _blank_lines(sender, recipient, marker, _):
    return compose(marker, sender, recipient, b"\r\n\r\n  \r\nx \t\r\n\r\n\r\n"), "", 0


def _odd_header(sender, recipient, marker, _):
    extra = ("X-Folded: one", "\ttwo", " three", "x-CASE:no space", "X-Empty:",
             "References: <a@b.example>", "\t<c@d.example>", "X-Empty:", "Auto-Submitted: no")
    return compose(marker, sender, recipient, b"odd\r\n", extra=extra), "", 0


def _controls(sender, recipient, marker, _):
    body = bytes(code for code in range(1, 32) if code not in (10, 13)) + b"\x7f\r\n"
    return compose(marker, sender, recipient, body), "", 0


KINDS = {"plain": _plain, "8-bit": _eight_bit, "smtputf8": _smtputf8,
         "no final CRLF": _no_final_crlf, "leading dots": _dots, "1,000-octet lines": _long_lines,
         "empty body": _empty_body, "blank lines": _blank_lines, "odd header": _odd_header,
         "control characters": _controls}


def sample(kind, sender, recipient, number=0):
    marker = new_marker()
    content, options, bdat = KINDS[kind](sender, recipient, marker, number)
    return Sample(marker, kind, content, options, bdat)


def large(size, sender, recipient, bdat=0):
    """About `size` octets."""
    marker = new_marker()
    content = compose(marker, sender, recipient, text(size, size))
    return Sample(marker, f"{size} octets", content, bdat=bdat)


def mixture(count, sender, recipient, large_sizes=()):
    """`count` samples: the large sizes, spread among all the kinds in turn."""
    kinds = list(KINDS)
    samples = [sample(kinds[n % len(kinds)], sender, recipient, n)
               for n in range(count - len(large_sizes))]
    for number, size in enumerate(large_sizes):
        bdat = 1 << 20 if number % 2 else 0
        samples.insert(number * count // len(large_sizes), large(size, sender, recipient, bdat))
    return samples
