"""Memory: 1,000 idle TLS sessions, then ten messages of nearly 50 MB at once. What a message costs
comes from the limits table, not from its size.

The bound, from core/base/limits.h:
  * an idle session: stream_input (64 KiB) at most, and what OpenSSL keeps, about as much again;
  * a message coming in: body_memory (256 KiB), header_size (256 KiB) and the stream's buffers
    (64 + 256 KiB);
  * a ticket going out: the same for each of http_connections (8);
  * the group commit: bodies past body_memory go to the segment as they come, so nothing more.
The bytes of messages are read back from the segment's file; pages of a mapped file are the kernel's
to take back, so anonymous memory (RssAnon) is what is bounded, and the peak (VmHWM) is printed.
"""

import http.server
import re
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import accounts, messages
from tests.support.process import wait_until
from tests.support.scene import CUSTOMER, DOMAIN, SUPPORT, Scene
from tests.support.smtp import Client, deliver

SESSIONS = 1000
AT_ONCE = 10
KIB, MIB = 1 << 10, 1 << 20
MESSAGE_SIZE = 49 * MIB

SESSION_BOUND = (64 + 64) * KIB
MESSAGE_BOUND = (256 + 256 + 64 + 256) * KIB
ALLOWANCE = 24 * MIB  # of the allocator: arenas of several threads, freed and not given back


class Sink(http.server.BaseHTTPRequestHandler):
    """A back end that reads tickets and forgets them."""
    protocol_version = "HTTP/1.1"
    octets = tickets = 0
    lock = threading.Lock()

    def do_POST(self):
        left = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(left, MIB)))
        with Sink.lock:
            Sink.tickets += 1
            Sink.octets += int(self.headers["Content-Length"])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def sink():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def scene():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    whole = Scene("memory")
    try:
        whole.start_relayd()
        yield whole
    finally:
        whole.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Watch(threading.Thread):
    """Samples the anonymous memory of a process; `peak` in octets."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self._status = Path(f"/proc/{pid}/status")
        self._done = threading.Event()
        self.peak = 0

    def now(self):
        text = self._status.read_text()
        field = re.search(r"RssAnon:\s+(\d+) kB", text) or re.search(r"VmRSS:\s+(\d+) kB", text)
        return int(field.group(1)) * KIB

    def run(self):
        while not self._done.wait(0.02):
            self.peak = max(self.peak, self.now())

    def stop(self):
        self._done.set()
        self.join()


def _idle_session(relayd):
    client = Client(relayd.mx_port)
    client.starttls()
    return client


@pytest.mark.deadline(150)
def test_memory_does_not_grow_with_messages(scene, sink):
    relayd = scene.relayd
    plan = accounts.plan(relayd.directory, accounts.Tenant(
        "acme", sink, [accounts.Domain(DOMAIN, [SUPPORT], scene.smarthost())]))
    inbound = relayd.apply(plan)["domains"][0]["credential"]
    watch = Watch(relayd.pid)
    at_start = watch.now()
    with ThreadPoolExecutor(8) as pool:
        idle = list(pool.map(lambda _: _idle_session(relayd), range(SESSIONS)))
    at_idle = watch.now()

    content = messages.compose(messages.new_marker(), CUSTOMER, SUPPORT, messages.text(MESSAGE_SIZE))
    watch.start()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda n: deliver(relayd, inbound, CUSTOMER, SUPPORT, content,
                                        bdat=MIB if n % 2 else 0), range(AT_ONCE)))
    wait_until(lambda: Sink.tickets == AT_ONCE, f"{AT_ONCE} tickets", 90)
    watch.stop()
    assert Sink.octets > AT_ONCE * MESSAGE_SIZE
    for client in idle[::100]:
        client.must("NOOP")
    for client in idle:
        client.close()

    print(f"\nanonymous memory: at start {at_start / MIB:.1f} MiB, with {SESSIONS} idle TLS sessions "
          f"{at_idle / MIB:.1f} MiB ({(at_idle - at_start) / SESSIONS / KIB:.1f} KiB each), peak with "
          f"{AT_ONCE} messages of {MESSAGE_SIZE / MIB:.0f} MiB {watch.peak / MIB:.1f} MiB; "
          f"peak RSS (VmHWM) {relayd.peak_rss() / MIB:.1f} MiB")
    assert at_idle - at_start <= SESSIONS * SESSION_BOUND
    assert watch.peak - at_idle <= 2 * AT_ONCE * MESSAGE_BOUND + ALLOWANCE
