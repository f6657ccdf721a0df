"""One message through each server before its runs: that it signs, or judges, as the row says. A
benchmark of filters that look away is easily made."""

import json
import re

from bench.comparison.failure import Failed
from tests.support import relaybench
from tests.support.help_desk import HelpDesk
from tests.support.process import remove_directory, wait_until
from tests.support.smarthost import Smarthost


def prove(side_class, row, world, directory):
    """Failed, if what came out does not show the work."""
    directory.mkdir()
    peer = _Desk(directory) if row.tickets_from(side_class.name) else _Mail()
    side = side_class(directory / side_class.name, row, world, peer.port)
    try:
        side.start()
        peer.start(side)
        relaybench.send(side.port, "--messages", 1, *world.load_options(row, side.login))
        _look(row, side.name, peer.received())
    except Exception as error:
        raise Failed(f"{side.name}, {row.name}, proof: {error}\n{side.log()}") from error
    finally:
        side.stop()
        peer.stop()
        remove_directory(directory)


def _look(row, server, text):
    wanted = []
    if row.signed:
        algorithm = row.signed if server == "relayd" else "rsa-sha256"
        wanted = [rf"DKIM-Signature:[^:]*a={algorithm};[^:]*d=acme\.example;"]
    if row.judged:
        wanted = ([rf'"{what}": {{[^{{}}]*"result": "pass"' for what in ("spf", "dmarc")]
                  + [r'"dkim": \[{[^{}]*"result": "pass"'] if server == "relayd" else
                  ["Received-SPF: Pass", "dkim=pass", "dmarc=pass"])
    for pattern in wanted:
        if not re.search(pattern, text, re.IGNORECASE):
            raise Failed(f"{pattern} is not in what arrived:\n{text[:3000]}")


class _Mail:
    """A smarthost that keeps what it gets."""

    def __init__(self):
        self._smarthost = Smarthost()
        self.port = self._smarthost.port
        self._smarthost.start()

    def start(self, side):
        pass

    def stop(self):
        self._smarthost.stop()

    def received(self):
        return wait_until(lambda: self._smarthost.messages, "a message")[0].decode()


class _Desk:
    """A help desk; what it gets is the verdict of its ticket."""

    def __init__(self, directory):
        self._desk = HelpDesk(directory / "desk")
        self.port = self._desk.port

    def start(self, side):
        self._desk.start(side.webhook_secret)

    def stop(self):
        self._desk.stop()

    def received(self):
        ticket = self._desk.wait_for(lambda event: event["type"] == "message.received", "a ticket")
        return json.dumps(ticket["event"]["data"]["authentication"])
