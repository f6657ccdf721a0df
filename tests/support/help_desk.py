"""The help desk: tests/support/backend.py as a process, and the tickets it has written down."""

import base64
import json
import sys
from pathlib import Path

from tests.support.process import Server, accepts, free_port, wait_until


class HelpDesk:
    """The URL is known at once; start() comes when the webhook secret is."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/tickets"
        self._out = self.directory / "tickets.jsonl"
        self._server = None
        self._requests = []
        self._offset = 0

    def start(self, secret, answers="", then="200"):
        """`answers`: scripted, one a request (see backend.py); `then` afterwards."""
        script = Path(__file__).with_name("backend.py")
        command = [sys.executable, script, "--port", self.port, "--out", self._out,
                   "--secret", secret, "--answers", answers, "--then", then]
        self._server = Server("help desk", command, self.directory / "backend.log")
        self._server.start(lambda: accepts(self.port))

    def stop(self):
        if self._server is not None:
            self._server.stop()

    def requests(self):
        """Every request so far, whatever was answered; a line being written is left for later."""
        if self._out.exists():
            with open(self._out, "rb") as out:
                out.seek(self._offset)
                for line in out:
                    if not line.endswith(b"\n"):
                        break
                    self._requests.append(json.loads(line))
                    self._offset += len(line)
        return self._requests

    def taken(self):
        """Those that were verified and answered with 200: the tickets there are."""
        return [r for r in self.requests() if r["verified"] and r["answer"].startswith("2")]

    def wait_for(self, condition, what, seconds=30):
        """The first taken request whose event fits."""
        def search():
            return next((r for r in self.taken() if "event" in r and condition(r["event"])), None)
        try:
            return wait_until(search, what, seconds, 0.1)
        except TimeoutError as error:
            seen = [(r["answer"], r["problem"], r.get("event", {}).get("type"))
                    for r in self.requests()]
            raise TimeoutError(f"{error}; requests so far: {seen}") from None

    def wait_for_ticket(self, text, seconds=30):
        """The ticket (its event) whose raw message contains the text."""
        text = text.encode() if isinstance(text, str) else text
        request = self.wait_for(
            lambda event: event["type"] == "message.received" and text in raw(event),
            f"a ticket with {text!r}", seconds)
        return request["event"]


def raw(event):
    """The message of a message.received event, as it was received."""
    return base64.b64decode(event["data"]["raw"])
