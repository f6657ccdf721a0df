"""The world's DNS, as far as a test needs it: Debian's NSD serving the root zone on a free port.

Being the root, it answers for every name: what is not written here does not exist, and nothing
ever asks the network.
"""

from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rdatatype

from tests.support.process import Server, free_port

_CONFIGURATION = """\
server:
  ip-address: {address}
  port: {port}
  username: ""
  chroot: ""
  database: ""
  zonesdir: "{directory}"
  zonelistfile: "{directory}/zone.list"
  xfrdfile: "{directory}/xfrd.state"
  xfrdir: "{directory}"
  pidfile: ""
  hide-version: yes
  server-count: 1
  do-ip6: no
remote-control:
  control-enable: no
zone:
  name: "."
  zonefile: "root.zone"
"""

_ZONE = """\
$ORIGIN .
$TTL 1
. IN SOA ns.test. hostmaster.test. {serial} 3600 600 86400 1
. IN NS ns.test.
ns.test. IN A 127.0.0.1
{records}"""


class NameServer:
    """NSD with the records given; add() and remove() count after at most a second."""

    def __init__(self, directory, host="127.0.0.1", port=None):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.host = host
        self.port = port or free_port()
        self.address = f"{self.host}:{self.port}"
        self._records = []
        self._serial = 1
        self._server = Server("nsd", ["nsd", "-d", "-c", self.directory / "nsd.conf"],
                              self.directory / "nsd.log")

    def add(self, name, kind, value):
        """A record, e.g. add("acme.example", "MX", "10 relay.example.net."); TXT values unquoted."""
        if kind == "TXT":
            value = " ".join(f'"{part}"' for part in _chunks(value.replace('"', '\\"')))
        self._records.append(f"{name.rstrip('.')}. IN {kind} {value}\n")
        if self._server.running:
            self._publish()

    def remove(self, name, kind):
        """All records of that name and type."""
        start = f"{name.rstrip('.')}. IN {kind} "
        self._records = [record for record in self._records if not record.startswith(start)]
        if self._server.running:
            self._publish()

    def start(self):
        (self.directory / "nsd.conf").write_text(
            _CONFIGURATION.format(address=self.host, port=self.port, directory=self.directory))
        self._write_zone()
        self._server.start(lambda: self._served_serial() == self._serial)

    def stop(self):
        self._server.stop()

    def txt(self, name, timeout=5):
        """The text of a TXT record as bytes, or None; the shape python3-dkim wants for dnsfunc."""
        name = name.decode() if isinstance(name, bytes) else name
        for record in self._ask(name, "TXT", timeout):
            return b"".join(record.strings)
        return None

    def _publish(self):
        """NSD has no command channel here, and its restart takes less than a tenth of a second."""
        self._server.stop()
        self._serial += 1
        self.start()

    def _write_zone(self):
        (self.directory / "root.zone").write_text(
            _ZONE.format(serial=self._serial, records="".join(self._records)))

    def _served_serial(self):
        return next((record.serial for record in self._ask(".", "SOA", 0.5)), None)

    def _ask(self, name, kind, timeout):
        question = dns.message.make_query(name, kind)
        try:
            answer = dns.query.udp(question, self.host, port=self.port, timeout=timeout)
            if answer.flags & dns.flags.TC:
                answer = dns.query.tcp(question, self.host, port=self.port, timeout=timeout)
        except (dns.exception.Timeout, OSError):
            return []
        return [record for records in answer.answer
                if records.rdtype == dns.rdatatype.from_text(kind) for record in records]


def _chunks(text, size=250):
    """A TXT record is strings of at most 255 octets."""
    return [text[start:start + size] for start in range(0, len(text), size)] or [""]
