"""relaybench as tests use it: load, sinks that change their mind, ids compared; and relayd between
two sinks."""

import itertools
import json
import os
import signal
import subprocess
import time

from tests.support import accounts
from tests.support.certificates import Authority
from tests.support.process import (Server, free_port, remove_directory, temporary_directory,
                                   wait_until)
from tests.support.relayd import BUILD, Relayd
from tests.support.scripted_name_server import ScriptedNameServer

RELAYBENCH = BUILD / "relaybench"


def run(*arguments, code=0, timeout=30):
    """Runs relaybench to its end; what it wrote to standard output."""
    done = subprocess.run([str(word) for word in (RELAYBENCH, *arguments)], capture_output=True,
                          text=True, timeout=timeout)
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout if code != 2 else done.stderr


def send(port, *arguments, code=0):
    """`relaybench send`, quietly; its report."""
    return json.loads(run("send", "--to", f"127.0.0.1:{port}", "--json", "--quiet", *arguments,
                          code=code))


class Sink:
    """A running `relaybench sink` or `http-sink`; stop() gives its counts. With `changes` its
    misbehaviours are those of misbehave() from then on."""

    _number = itertools.count()

    def __init__(self, directory, *arguments, kind="sink", port=0, misbehave=None):
        name = f"{kind}{next(self._number)}"
        self.ids = directory / f"{name}.ids"
        self._manners = directory / f"{name}.manners"
        command = [RELAYBENCH, kind, "--json", "--ids", self.ids, *arguments]
        if misbehave is not None:
            self._manners.write_text("\n".join(misbehave) + "\n")
            command += ["--misbehave-file", self._manners]
        self._command, self._kind, self.port = command, kind, port
        self._log_path = directory / f"{name}.log"
        self._earlier = []
        self.start()

    def start(self):
        self._server = Server(self._kind,
                              [*self._command, "--listen", f"127.0.0.1:{self.port}"],
                              self._log_path)
        self._log_path.unlink(missing_ok=True)
        self._server.start(lambda: "listening on" in self.log() and "\n" in self.log(), 10)
        self.port = int(self.log().split("\n")[0].rsplit(":", 1)[1])

    def restart(self):
        """SIGTERM, and a new one at the same port; what the old one took still counts."""
        self._server.stop()
        self._earlier = self.lines()
        self.start()

    def log(self):
        return self._log_path.read_text()

    @property
    def pid(self):
        return self._server.pid

    def misbehave(self, *misbehaviours):
        """From now on these alone; returns once the sink has read them."""
        def answers():
            return [line for line in self.log().splitlines()
                    if "read anew" in line or "nothing changed" in line]

        before = len(answers())
        self._manners.write_text("\n".join(misbehaviours) + "\n")
        os.kill(self.pid, signal.SIGHUP)
        wait_until(lambda: len(answers()) > before, "the sink to read anew", 10)
        assert "read anew" in answers()[-1], answers()[-1]

    def counts(self):
        """Its counts so far."""
        before = self.log().count("\n")
        os.kill(self.pid, signal.SIGUSR1)
        wait_until(lambda: self.log().count("\n") > before, "the sink's counts", 10)
        return json.loads([line for line in self.log().splitlines() if line.startswith("{")][-1])

    def lines(self):
        """What its file of ids says: an id a line, and words about it. Written once a second."""
        text = self.ids.read_text()
        return self._earlier + text[:text.rfind("\n") + 1].splitlines()

    def received(self):
        """The ids so far."""
        return [line.split(" ")[0] for line in self.lines()]

    def stop(self):
        assert self._server.stop() == 0, self.log()
        return json.loads(self.log().strip().split("\n")[-1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.stop()


class Load:
    """`relaybench send` behind the test, for as long as it is told; report() waits for its end.
    Its ids are whole after that."""

    def __init__(self, port, ids, *arguments):
        self.ids = ids
        command = (RELAYBENCH, "send", "--to", f"127.0.0.1:{port}", "--json", "--quiet", "--ids",
                   ids, *arguments)
        self._process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE, text=True)

    @property
    def pid(self):
        return self._process.pid

    def finish(self):
        """It ends sooner: what it has in hand is the last."""
        self._process.send_signal(signal.SIGINT)

    def report(self, seconds=60):
        out, error = self._process.communicate(timeout=seconds)
        assert out, error
        return json.loads(out)

    def kill(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def sent(self):
        return self.ids.read_text().split()


SUPPORT, DOMAIN, CUSTOMER = "support@acme.example", "acme.example", "anna@customer.example"


class BetweenSinks:
    """relayd with an http-sink as its back end and a sink as its smarthost, so that load goes
    through it both ways and every id can be compared. `server_options` are those of its process;
    `smarthost` changes the smarthost in the plan."""

    def __init__(self, name, smarthost_tls="starttls", prepare=None, smarthost=None,
                 server_options=None, misbehave=None, desk_misbehave=(),
                 **relayd_options):
        self.directory = temporary_directory(name)
        self.authority = Authority(self.directory / "ca")
        self.dns = ScriptedNameServer()
        self.dns.add("mail.acme.example", "A", "127.0.0.1")
        self.relayd = Relayd(self.directory / "relayd", self.authority, self.dns.address,
                             server_options=server_options, **relayd_options)
        self.desk = self.mail = None
        self._number = itertools.count()
        self._loads = []
        try:
            if prepare:
                prepare(self)
            self._start(smarthost_tls, smarthost or {}, misbehave, desk_misbehave)
        except BaseException:
            self.stop()
            raise

    def _start(self, tls, smarthost, misbehave, desk_misbehave):
        identity = self.authority.issue("mail.acme.example")
        arguments = ("--certificate", identity.certificate, "--key", identity.key)
        self.mail = Sink(self.directory, "--tls", tls, *(arguments if tls != "none" else ()),
                         misbehave=misbehave)
        self.dns.start()
        self.relayd.start()
        domain = accounts.Domain(DOMAIN, [SUPPORT], accounts.Smarthost(
            self.mail.port, tls=tls, password="secret", **smarthost))
        desk_port = free_port()
        created = self.relayd.apply(accounts.plan(
            self.relayd.directory,
            accounts.Tenant("acme", f"http://127.0.0.1:{desk_port}/tickets", [domain])))
        self.desk = Sink(self.directory, kind="http-sink", port=desk_port,
                         misbehave=desk_misbehave)
        self.inbound, self.outbound = (created[what][0]["credential"]
                                       for what in ("domains", "tenants"))
        for name, owner in (("in", self.inbound), ("out", self.outbound)):
            (self.directory / f"{name}.password").write_text(owner["password"] + "\n")

    def load(self, way, *arguments):
        """Load "in" (to the back end) or "out" (to the smarthost)."""
        port, owner, sender, recipient = {
            "in": (self.relayd.mx_port, self.inbound, CUSTOMER, SUPPORT),
            "out": (self.relayd.submission_port, self.outbound, SUPPORT, CUSTOMER)}[way]
        ids = self.directory / f"{way}-{next(self._number)}.sent"
        load = Load(port, ids, "--starttls", "--ca", self.authority.certificate, "--user",
                    owner["username"], "--password-file", self.directory / f"{way}.password",
                    "--from", sender, "--rcpt", recipient, *arguments)
        self._loads.append(load)
        return load

    def target(self, way):
        return self.desk if way == "in" else self.mail

    def wait_empty(self, seconds=60):
        """Until the queue is empty and the sinks have written down what they took."""
        wait_until(lambda: self.relayd.ctl("status")["queue"]["messages"] == 0,
                   "the queue to be empty", seconds, 0.2)
        time.sleep(1.3)

    def compare(self, sent):
        """`sent`: way -> ids that got 250. Nothing of it may be lost; what came more than once, and
        what came without a 250, by way."""
        doubled, unknown = {}, {}
        for way, ids in sent.items():
            received = self.target(way).received()
            assert "-" not in received and not [line for line in self.target(way).lines()
                                                if line.endswith("altered")]
            lost = set(ids) - set(received)
            assert not lost, f"{len(lost)} of {len(ids)} lost on the way {way}: {sorted(lost)[:5]}"
            doubled[way] = len(received) - len(set(received))
            unknown[way] = len(set(received) - set(ids))
        return doubled, unknown

    def stop(self):
        for load in self._loads:
            load.kill()
        for part in (self.desk, self.mail):
            if part:
                part.__exit__()
        self.relayd.stop()
        self.dns.stop()
        remove_directory(self.directory)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print(f"--- relayd ({self.directory})\n{self.relayd.log(80)}")
        self.stop()
