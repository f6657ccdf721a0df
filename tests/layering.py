#!/usr/bin/python3
"""The include graph keeps the layers: a room includes itself and rooms below it, and a third-party
library only where it has its home. First proves on a small tree that it finds what it should.

    tests/layering.py [ROOT]      exit code 1 and one line for each wrong include
"""

import re
import sys
import tempfile
from pathlib import Path

# From the ground up; rooms of one layer do not include each other.
LAYERS = [
    ["core/base"],
    ["core/mail"],
    ["core/smtp"],
    ["core/net", "certs"],
    ["core/dns"],
    ["spf", "dkim", "queue"],
    ["policy"],
    ["relayd/ingress", "relayd/egress", "relayd/tickets", "relayd/admin"],
    ["relayd/main"],
]

# Beginning of a library's header names -> the rooms that may include them.
LIBRARIES = {
    "event2/": {"core/net", "relayd/admin"},
    "openssl/": {"core/net", "certs", "dkim", "policy", "relayd/tickets"},
    "unbound.h": {"core/dns"},
    "spf2/": {"spf"},
    "opendkim/": {"dkim"},
    "lmdb.h": {"queue", "policy"},
    "idn2.h": {"core/mail"},
    "sasl/": {"policy", "relayd/egress", "relayd/main"},
    "curl/": {"relayd/tickets", "relayd/main"},
    "gmime/": {"relayd/tickets", "relayd/main"},
    "prometheus/": {"core/base", "relayd/admin"},
    "toml++/": {"policy", "relayd/admin", "relayd/main"},
    "CLI/": {"relayd/main"},
    "spdlog/": {"core/base", "relayd/main"},
    "systemd/": {"relayd/main"},
}

ROOMS = [room for layer in LAYERS for room in layer]
_INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def allowed(room):
    """The rooms that `room` may include."""
    level = next(n for n, layer in enumerate(LAYERS) if room in layer)
    return {room, *(lower for layer in LAYERS[:level] for lower in layer)}


def wrong_includes(root):
    """Yields a line for each include that breaks the rules, and for sources outside any room."""
    tops = sorted({Path(room).parts[0] for room in ROOMS})
    sources = [path for top in tops for end in ("*.h", "*.cc")
               for path in sorted((Path(root) / top).rglob(end))]
    for path in sources:
        name = path.relative_to(root)
        room = next((room for room in ROOMS if name.is_relative_to(room)), None)
        if room is None:
            yield f"{name}: lies in no room"
            continue
        for kind, target in _INCLUDE.findall(path.read_text(encoding="utf-8")):
            if kind == '"':
                home = next((other for other in ROOMS if target.startswith(other + "/")), None)
                if home is None:
                    yield f'{name}: "{target}" is not written from the root'
                elif home not in allowed(room):
                    yield f'{name}: {room} may not include "{target}"'
            else:
                for start, homes in LIBRARIES.items():
                    if target.startswith(start) and room not in homes:
                        yield f"{name}: <{target}> has its home in {', '.join(sorted(homes))}"


_SELF_TEST = {
    "queue/good.cc": ('#include "queue/good.h"\n#include "core/mail/address.h"\n'
                      "#include <lmdb.h>\n#include <vector>\n", 0),
    "core/mail/upward.h": ('#include "queue/store.h"\n', 1),
    "relayd/ingress/beside.cc": ('  #  include "relayd/egress/scheduler.h"\n', 1),
    "relayd/egress/beside.cc": ('#include "relayd/ingress/session.h"\n', 1),
    "core/smtp/library.cc": ("#include <openssl/ssl.h>\n", 1),
    "policy/relative.cc": ('#include "accounts.h"\n', 1),
    "relayd/stray.cc": ("", 1),
}


def self_test():
    """Each of the small files gives exactly the number of findings it should."""
    with tempfile.TemporaryDirectory() as root:
        for name, (content, _) in _SELF_TEST.items():
            path = Path(root) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        findings = list(wrong_includes(root))
    for name, (_, count) in _SELF_TEST.items():
        found = [line for line in findings if line.startswith(name + ":")]
        if len(found) != count:
            sys.exit(f"layering.py does not see what it should: {name}: {found}")


def main():
    self_test()
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]
    findings = list(wrong_includes(root))
    print("\n".join(findings) if findings else f"{len(ROOMS)} rooms, layers kept")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
