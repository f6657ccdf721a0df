"""Processes, ports and waiting: the small things every real server of a test needs."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

# Below the kernel's range for outgoing connections, so that no client takes a port we have chosen.
_PORTS = range(11000, 32000)
_issued = set()


def free_port():
    """A loopback port nobody listens on; never the same one twice in this process."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        if port in _issued:
            continue
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
        _issued.add(port)
        return port


def accepts(port):
    """True when something listens on the loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def wait_until(condition, what, seconds=30.0, every=0.05):
    """Returns the first true value of condition(); TimeoutError naming `what` after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(every)


def temporary_directory(prefix):
    """A fresh directory that the servers' own users may enter, which pytest's tmp_path is not."""
    path = Path(tempfile.mkdtemp(prefix=f"relayd-{prefix}-"))
    path.chmod(0o755)
    return path


def remove_directory(path):
    """Removes a temporary_directory, unless RELAYD_KEEP asks to look at it afterwards."""
    if not os.environ.get("RELAYD_KEEP"):
        shutil.rmtree(path, ignore_errors=True)


def tail(path, lines=40):
    """The end of a log file, for failure messages."""
    try:
        return "\n".join(Path(path).read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"


def run(*command, **options):
    """Runs a command to its end; RuntimeError with its output when it fails."""
    options = {"timeout": 60, **options}
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


class Server:
    """One foreground process with a log file, started, awaited and stopped by its own pid."""

    def __init__(self, name, command, log_path, **options):
        self.name = name
        self.command = [str(word) for word in command]
        self.log_path = Path(log_path)
        self._options = options
        self._process = None

    @property
    def pid(self):
        return self._process.pid

    @property
    def running(self):
        return self._process is not None and self._process.poll() is None

    def start(self, ready, seconds=30.0):
        """Starts and waits until ready() is true."""
        with open(self.log_path, "ab") as log:
            self._process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                             stderr=subprocess.STDOUT, **self._options)

        def up():
            if not self.running:
                raise RuntimeError(f"{self.name} ended with {self._process.returncode}:\n"
                                   f"{tail(self.log_path)}")
            return ready()

        try:
            wait_until(up, f"{self.name} to be ready", seconds)
        except TimeoutError as error:
            self.kill()
            raise TimeoutError(f"{error}:\n{tail(self.log_path)}") from None

    def stop(self, seconds=20.0):
        """SIGTERM, then SIGKILL past the time; the exit code, or None when it was not running."""
        if self._process is None:
            return None
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()

    def kill(self):
        """SIGKILL, at once."""
        if self.running:
            self._process.send_signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
