"""What may differ between a message sent and a message received: fields in front, nothing else."""

import re

_FIELD = re.compile(rb"[!-9;-~]+:[^\r\n]*(\r?\n)(?:[ \t][^\r\n]*\1)*")

# What relayd itself writes above a message.
ADDED_BY_RELAYD = {"received", "authentication-results", "dkim-signature", "return-path"}


def added_fields(received, sent):
    """The names, in lower case, of the fields in front of `sent` in `received`.

    ValueError unless `received` is exactly whole header fields followed by `sent`.
    """
    if not received.endswith(sent):
        position = next((n for n, (a, b) in enumerate(zip(reversed(received), reversed(sent)))
                         if a != b), min(len(received), len(sent)))
        raise ValueError(f"differs from what was sent {position} octets before its end: "
                         f"{received[-position - 40:][:80]!r} instead of {sent[-position - 40:][:80]!r}")
    front, names = received[:len(received) - len(sent)], []
    while front:
        match = _FIELD.match(front)
        if not match:
            raise ValueError(f"what stands in front is no header field: {front[:200]!r}")
        names.append(match.group(0).split(b":", 1)[0].decode().lower())
        front = front[match.end():]
    return names


def check_only_added(received, sent):
    """ValueError unless `received` is `sent` behind fields that relayd writes."""
    others = set(added_fields(received, sent)) - ADDED_BY_RELAYD
    if others:
        raise ValueError(f"fields in front that relayd does not write: {others}")


def ended(message):
    """The message as DATA can carry it: its last line has an end."""
    return message if not message or message.endswith(b"\r\n") else message + b"\r\n"
