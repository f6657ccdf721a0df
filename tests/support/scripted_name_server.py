"""A DNS server that does what it is told: it answers, is late, says nothing, lies. UDP and TCP.

It stands where a resolver stands: it knows every name, what was not added does not exist, and it
follows CNAMEs as far as its records go. script() gives a name and everything below it another
manner. It writes down every query, so that tests can count what one message costs.

One thread of the test's process does it all; answers are rendered once and kept, so that it hardly
disturbs what the test measures.
"""

import heapq
import itertools
import selectors
import socket
import struct
import threading
import time
from typing import NamedTuple

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.rrset

from tests.support.process import free_port

_TTL = 60
_CNAMES_MAX = 16
_IN = dns.rdataclass.IN


class Query(NamedTuple):
    """What somebody asked."""
    name: str  # lower case, no trailing dot
    kind: str  # "TXT"
    over: str  # "UDP" or "TCP"
    time: float = 0.0  # monotonic


class ScriptedNameServer:
    """Started and stopped by the test; add() and script() count at once, also while it runs."""

    def __init__(self):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.queries = []
        self._records = {}
        self._manners = {}
        self._rendered = {}
        self._thread = None
        self._stopping = threading.Event()
        self._selector = self._udp = self._tcp = None
        self._later = []  # (when, number, what): a heap
        self._number = itertools.count()

    # --- what it knows

    def add(self, name, kind, *values):
        """Records, e.g. add("acme.example", "MX", "10 mx.acme.example."); TXT values unquoted."""
        self._rendered.clear()
        self._records.setdefault((_plain(name), kind), []).extend(
            _record(kind, value) for value in values)

    def script(self, name, manner, seconds=0.0):
        """How it treats the name and all names below it: a key of MANNERS; `seconds` for "late"."""
        self._manners[_plain(name)] = (MANNERS[manner], seconds)

    # --- what it heard

    def asked(self, under="", kind=None):
        """The queries for names at or below `under`, of one type or of all."""
        return [query for query in list(self.queries)
                if (not under or query.name == under or query.name.endswith("." + under))
                and kind in (None, query.kind)]

    def forget(self):
        """Begins to count anew."""
        self.queries.clear()

    # --- life

    def start(self):
        self._stopping.clear()
        self._udp = socket.socket(type=socket.SOCK_DGRAM)
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._udp.bind(("127.0.0.1", self.port))
        self._tcp = socket.create_server(("127.0.0.1", self.port), backlog=1024)
        self._selector = selectors.DefaultSelector()
        for listener, read in ((self._udp, self._read_udp), (self._tcp, self._accept)):
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, read)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self):
        if self._thread is None:
            return
        self._stopping.set()
        self._thread.join()
        self._thread = None
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def _serve(self):
        while not self._stopping.is_set():
            wait = 0.1
            if self._later:
                wait = min(wait, max(self._later[0][0] - time.monotonic(), 0))
            for key, _ in self._selector.select(wait):
                key.data()
            while self._later and self._later[0][0] <= time.monotonic():
                heapq.heappop(self._later)[2]()

    def _read_udp(self):
        for _ in range(100):
            try:
                octets, peer = self._udp.recvfrom(65535)
            except OSError:
                return
            self._handle(octets, "UDP", lambda answer, to=peer: self._send_udp(answer, to), None)

    def _send_udp(self, octets, peer):
        try:
            self._udp.sendto(octets, peer)
        except OSError:
            pass  # who asked is gone, or has no room

    def _accept(self):
        try:
            connection, _ = self._tcp.accept()
        except OSError:
            return
        buffer = bytearray()
        self._selector.register(connection, selectors.EVENT_READ,
                                lambda: self._read_tcp(connection, buffer))

    def _read_tcp(self, connection, buffer):
        def close():
            try:
                self._selector.unregister(connection)
            except (KeyError, ValueError):
                return
            connection.close()

        def send(octets):
            try:
                connection.settimeout(2)
                connection.sendall(struct.pack("!H", len(octets)) + octets)
            except OSError:
                close()

        try:
            octets = connection.recv(65535)
        except OSError:
            octets = b""
        if not octets:
            close()
            return
        buffer += octets
        while len(buffer) >= 2 and len(buffer) >= 2 + (size := int.from_bytes(buffer[:2], "big")):
            question = bytes(buffer[2:2 + size])
            del buffer[:2 + size]
            self._handle(question, "TCP", send, close)

    def _handle(self, octets, over, send, close):
        try:
            request = dns.message.from_wire(octets)
            asked = request.question[0]
        except (dns.exception.DNSException, IndexError):
            return
        query = Query(_plain(asked.name.to_text()), dns.rdatatype.to_text(asked.rdtype), over,
                      time.monotonic())
        self.queries.append(query)
        manner, seconds = self._manner(query.name)
        manner(_Turn(self, request, query, send, close, seconds))

    def _manner(self, name):
        while name:
            if name in self._manners:
                return self._manners[name]
            name = name.partition(".")[2]
        return MANNERS["good"], 0.0

    # --- for the manners

    def later(self, seconds, what):
        """what() after `seconds`, in the server's thread."""
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._number), what))

    def rendered(self, request, query):
        """The right answer as octets behind the id."""
        room = 65535 if query.over == "TCP" else max(request.payload, 512)
        key = (request.question[0].name.to_wire(), query.kind, query.over, room)
        if key not in self._rendered:
            self._rendered[key] = _wire(self._answer(request, query), room)
        return self._rendered[key]

    def _answer(self, request, query):
        response = _response(request)
        name = query.name
        for _ in range(_CNAMES_MAX):
            records = self._records.get((name, query.kind))
            alias = self._records.get((name, "CNAME"))
            if records or not alias:
                break
            response.answer.append(_rrset(name, alias))
            name = _plain(alias[0].to_text())
        if records:
            response.answer.append(_rrset(name, records))
        elif not self._exists(name):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response

    def _exists(self, name):
        return any(one == name or one.endswith("." + name) for one, _ in self._records)


class _Turn(NamedTuple):
    """One query and the ways to treat it."""
    server: ScriptedNameServer
    request: dns.message.Message
    query: Query
    send: object   # takes octets
    close: object  # of a TCP connection
    seconds: float

    def answer(self):
        octets = self.server.rendered(self.request, self.query)
        self.send(struct.pack("!H", self.request.id) + octets)

    def send_empty(self, rcode=dns.rcode.NOERROR, flags=0):
        response = _response(self.request)
        response.set_rcode(rcode)
        response.flags |= flags
        self.send(response.to_wire())


def _truncated(over_tcp):
    def act(turn):
        if turn.query.over == "UDP":
            turn.send_empty(flags=dns.flags.TC)
        else:
            over_tcp(turn)
    return act


def _say_nothing(_):
    pass


def _garbage(turn):
    # The right id, then what nobody can read: counts of records that are not there.
    turn.send(struct.pack("!H", turn.request.id) + b"\x85\x80" + b"\xff" * 40)


def _wrong_id(turn):
    turn.send(struct.pack("!H", turn.request.id ^ 0x5555) +
              turn.server.rendered(turn.request, turn.query))


def _wrong_question(turn):
    other = dns.message.make_query("other.invalid", turn.query.kind, id=turn.request.id)
    response = _response(other)
    response.answer.append(_rrset("other.invalid", [_record("TXT", "v=spf1 +all")]))
    turn.send(response.to_wire())


def _cname_loop(turn):
    response = _response(turn.request)
    owner = turn.query.name
    other = owner.removeprefix("loop.") if owner.startswith("loop.") else "loop." + owner
    response.answer.append(_rrset(owner, [_record("CNAME", other + ".")]))
    response.answer.append(_rrset(other, [_record("CNAME", owner + ".")]))
    turn.send(response.to_wire())


MANNERS = {
    "good": lambda turn: turn.answer(),
    "late": lambda turn: turn.server.later(turn.seconds, turn.answer),
    "silent": _say_nothing,
    "SERVFAIL": lambda turn: turn.send_empty(dns.rcode.SERVFAIL),
    "REFUSED": lambda turn: turn.send_empty(dns.rcode.REFUSED),
    "NXDOMAIN": lambda turn: turn.send_empty(dns.rcode.NXDOMAIN),
    "empty": lambda turn: turn.send_empty(),
    "truncated": _truncated(lambda turn: turn.answer()),
    "truncated, TCP closed": _truncated(lambda turn: turn.close()),
    "truncated, TCP silent": _truncated(_say_nothing),
    "garbage": _garbage,
    "wrong id": _wrong_id,
    "wrong question": _wrong_question,
    "CNAME loop": _cname_loop,
}


def _plain(name):
    return name.rstrip(".").lower()


def _record(kind, value):
    if kind == "TXT":
        octets = value if isinstance(value, bytes) else value.encode()
        strings = [octets[start:start + 255] for start in range(0, len(octets), 255)] or [b""]
        return dns.rdtypes.ANY.TXT.TXT(_IN, dns.rdatatype.TXT, strings)
    return dns.rdata.from_text(_IN, dns.rdatatype.from_text(kind), value)


def _rrset(name, records):
    return dns.rrset.from_rdata_list(dns.name.from_text(name + "."), _TTL, records)


def _response(request):
    """As a resolver says it."""
    response = dns.message.make_response(request)
    response.flags |= dns.flags.AA | dns.flags.RA
    return response


def _wire(response, room):
    try:
        return response.to_wire(max_size=room)[2:]
    except dns.exception.TooBig:
        response.answer = []
        response.flags |= dns.flags.TC
        return response.to_wire(max_size=room)[2:]
