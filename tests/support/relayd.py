"""relayd itself, as a test runs it: a configuration of its own, free ports, and relayctl beside it."""

import json
import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.process import Server, accepts, free_port, tail

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("RELAYD_BUILD") or ROOT / "build")
HOSTNAME = "relay.example.net"

_CONFIGURATION = """\
hostname = "{hostname}"
state_dir = "state"

{listeners}
[tls]
certificate = "{certificate}"
key = "{key}"
trust = ["{trust}"]

[dns]
servers = ["{dns}"]

[admin]
socket = "admin.sock"

[queue]
retry = {retry}

[verification]
required = {verification}
{extra}"""


_LISTENER = """\
[[listener]]
address = "127.0.0.1:{port}"
role = "{role}"
tls = "{tls}"
"""

# Name -> role, tls. A test that needs others passes its own.
LISTENERS = {"mx": ("mx", "starttls"), "submission": ("submission", "starttls"),
             "submissions": ("submission", "implicit")}


@dataclass(frozen=True)
class Outcome:
    """What a run of relayctl gave."""
    code: int
    out: str
    error: str


class RelayctlError(Exception):
    """relayctl refused or failed; the text is what it said."""


class Relayd:
    """One relayd. Its files are in `directory`; its state outlives stop() and kill9()."""

    def __init__(self, directory, authority, dns_address, *, retry=("1s", "2s"),
                 verification=False, limits=None, listeners=None, extra="", server_options=None):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.config = self.directory / "relayd.toml"
        self.state = self.directory / "state"
        listeners = listeners or LISTENERS
        self.ports = {name: free_port() for name in listeners}
        self._log = self.directory / "relayd.log"
        self._server = Server("relayd", [BUILD / "relayd", "--config", self.config], self._log,
                              **(server_options or {}))
        identity = authority.issue(HOSTNAME)
        if limits:
            extra = "\n[limits]\n" + "".join(f"{k} = {_toml(v)}\n" for k, v in limits.items()) + extra
        self.config.write_text(_CONFIGURATION.format(
            hostname=HOSTNAME, certificate=identity.certificate,
            listeners="\n".join(_LISTENER.format(port=self.ports[name], role=role, tls=tls)
                                for name, (role, tls) in listeners.items()),
            key=identity.key, trust=authority.certificate, dns=dns_address, retry=_toml(list(retry)),
            verification=_toml(verification), extra=extra))

    # --- life

    @property
    def pid(self):
        return self._server.pid

    @property
    def mx_port(self):
        return self.ports["mx"]

    @property
    def submission_port(self):
        return self.ports["submission"]

    @property
    def running(self):
        return self._server.running

    def start(self, seconds=30):
        self._server.start(self._ready, seconds)

    def begin(self):
        """start() that does not wait until it is ready."""
        self._server.start(lambda: True)

    def stop(self):
        """SIGTERM and the exit code."""
        return self._server.stop()

    def kill9(self):
        self._server.kill()

    def reload(self):
        os.kill(self.pid, signal.SIGHUP)

    def _ready(self):
        return accepts(self.mx_port) and self.relayctl("status").code == 0

    def peak_rss(self):
        """The most memory it ever had, in octets (VmHWM)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024

    def rss(self):
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024

    def log(self, lines=60):
        return tail(self._log, lines)

    # --- relayctl

    relayctl_path = BUILD / "relayctl"

    def relayctl(self, *arguments, timeout=60):
        """Runs relayctl against this relayd, whatever comes of it."""
        command = [BUILD / "relayctl", "--config", self.config, *arguments, "--json"]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                              timeout=timeout)
        return Outcome(done.returncode, done.stdout, done.stderr.strip())

    def ctl(self, *arguments):
        """The same, parsed; RelayctlError when it does not exit with 0."""
        outcome = self.relayctl(*arguments)
        if outcome.code != 0:
            raise RelayctlError(f"relayctl {' '.join(map(str, arguments))}: {outcome.code} "
                                f"{outcome.error or outcome.out}")
        return json.loads(outcome.out) if outcome.out.strip() else None

    def apply(self, plan, name="accounts.toml"):
        """Applies an account plan (TOML text); what was created, secrets included."""
        path = self.directory / name
        path.write_text(plan)
        return self.ctl("apply", path)

    def queue(self):
        """The rows of `queue list`."""
        return self.ctl("queue", "list")["messages"]


def _toml(value):
    """Strings, numbers, booleans and lists are written the same way in JSON and TOML."""
    return json.dumps(value)
