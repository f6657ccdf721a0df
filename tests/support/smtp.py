"""An SMTP client that does exactly what it is told: pipelining, BDAT, any split, any nonsense."""

import base64
import functools
import re
import socket
import ssl
from typing import NamedTuple


class Reply(NamedTuple):
    """A whole reply: its code and the text of each line."""
    code: int
    lines: list

    @property
    def text(self):
        return "\n".join(self.lines)

    @property
    def good(self):
        return 200 <= self.code < 400


class Refused(Exception):
    """A reply other than 2xx or 3xx to a command that was meant to succeed."""

    def __init__(self, command, reply):
        super().__init__(f"{command}: {reply.code} {reply.text}")
        self.reply = reply


def stuffed(message):
    """The message as DATA carries it (RFC 5321 4.5.2), with the final dot."""
    ended = message if message.endswith(b"\r\n") or not message else message + b"\r\n"
    return re.sub(rb"(?m)^\.", b"..", ended) + b".\r\n"


@functools.lru_cache
def server_context(authority=None):
    """TLS that verifies the server against the authority, or takes any certificate."""
    if authority is not None:
        return ssl.create_default_context(cafile=str(authority.certificate))
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Client:
    """One connection. Methods named after commands raise Refused; command() and reply() do not."""

    def __init__(self, port, *, implicit_tls=False, authority=None, server_name="relay.example.net",
                 name="client.example", timeout=30, source=None, greeting=True):
        self._context = server_context(authority)
        self._server_name = server_name
        self._name = name
        self._buffer = b""
        self.features = {}
        self.socket = socket.create_connection(("127.0.0.1", port), timeout,
                                               source_address=(source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if implicit_tls:
            self.wrap()
        self.greeting = self.reply() if greeting else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- bytes

    def write(self, octets):
        self.socket.sendall(octets)

    def read_line(self):
        """A line without its CRLF; EOFError at the end of the connection."""
        while b"\r\n" not in self._buffer:
            octets = self.socket.recv(65536)
            if not octets:
                raise EOFError(f"the server closed the connection behind {self._buffer!r}")
            self._buffer += octets
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line

    def reply(self):
        """The next whole reply."""
        lines = []
        while True:
            line = self.read_line().decode("utf-8", "replace")
            lines.append(line[4:])
            if line[3:4] != "-":
                return Reply(int(line[:3]), lines)

    def close(self):
        self.socket.close()

    # --- commands

    def command(self, line):
        """Sends a command line (str or bytes, without CRLF); its reply, whatever it is."""
        self.write((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return self.reply()

    def must(self, line):
        reply = self.command(line)
        if not reply.good:
            raise Refused(line, reply)
        return reply

    def ehlo(self):
        reply = self.must(f"EHLO {self._name}")
        self.features = {line.split(" ")[0].upper(): line.split(" ")[1:] for line in reply.lines[1:]}
        return self.features

    def starttls(self):
        """EHLO, STARTTLS, EHLO."""
        self.ehlo()
        self.must("STARTTLS")
        self.wrap()
        return self.ehlo()

    def login(self, username, password):
        token = base64.b64encode(f"\0{username}\0{password}".encode()).decode()
        reply = self.command(f"AUTH PLAIN {token}")
        if reply.code != 235:
            raise Refused("AUTH PLAIN", reply)
        return reply

    def send(self, sender, recipients, message, *, options="", bdat=0, split=0):
        """One transaction, pipelined; the reply to the end of the message.

        bdat: chunks of that many octets instead of DATA; split: octets a write for the content.
        """
        recipients = [recipients] if isinstance(recipients, str) else recipients
        commands = [f"MAIL FROM:<{sender}>{options and ' ' + options}"]
        commands += [f"RCPT TO:<{recipient}>" for recipient in recipients]
        if not bdat:
            commands.append("DATA")
        self.write("".join(line + "\r\n" for line in commands).encode())
        replies = [self.reply() for _ in commands]
        for line, reply in zip(commands, replies):
            if not reply.good:
                if replies[-1].code == 354 and not bdat:
                    self.command(".")
                raise Refused(line, reply)
        reply = self._bdat(message, bdat) if bdat else self._data(message, split)
        if not reply.good:
            raise Refused("end of data", reply)
        return reply

    def quit(self):
        reply = self.command("QUIT")
        self.close()
        return reply

    def _data(self, message, split):
        content = stuffed(message)
        for start in range(0, len(content), split or len(content)):
            self.write(content[start:start + (split or len(content))])
        return self.reply()

    def _bdat(self, message, size):
        chunks = [message[start:start + size] for start in range(0, len(message), size)] or [b""]
        for number, chunk in enumerate(chunks, 1):
            last = " LAST" if number == len(chunks) else ""
            self.write(f"BDAT {len(chunk)}{last}\r\n".encode() + chunk)
            reply = self.reply()
            if not reply.good:
                break
        return reply

    def wrap(self):
        """The TLS handshake, at once."""
        self.socket = self._context.wrap_socket(self.socket, server_hostname=self._server_name)


def submit(relayd, credential, sender, recipients, message, **options):
    """Logs in at relayd's submission listener and sends one message."""
    return _deliver(relayd.submission_port, credential, sender, recipients, message, options)


def deliver(relayd, credential, sender, recipients, message, **options):
    """The same at the mx listener; without a credential as a stranger."""
    return _deliver(relayd.mx_port, credential, sender, recipients, message, options)


def _deliver(port, credential, sender, recipients, message, options):
    with Client(port) as client:
        client.starttls()
        if credential:
            client.login(credential["username"], credential["password"])
        reply = client.send(sender, recipients, message, **options)
        client.quit()
        return reply
