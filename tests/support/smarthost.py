"""A smarthost that can be told what to say and when: what a real one does only on a bad day."""

import base64
import socket
import ssl
import threading

from tests.support.process import free_port


CLOSE = object()   # in place of a reply: the connection ends
SILENT = object()  # in place of a reply: nothing, ever


class _Closed(Exception):
    pass


class Smarthost:
    """Takes every login and every message. `gate` is held shut to keep the reply to the dot back;
    `tls` = (context, "implicit" or "starttls"), or None for a server that knows no TLS.

    `replies` changes what is said to a verb ("CONNECT", "RCPT", "RCPT anna@x.example", "CONTENT"
    for the middle of the content, "DOT"): a text, octets as they are, CLOSE, SILENT, or a list of
    these, one each time, and then as usual. After 421 the connection ends. `offers` is what EHLO
    names; `break_tls` answers STARTTLS with 220 and then speaks no TLS; more sessions at once than
    `sessions_max` are refused with 421."""

    def __init__(self, tls=None):
        self.port = free_port()
        self.tls = tls
        self.gate = threading.Event()
        self.gate.set()
        self.at_dot = threading.Event()
        self.replies = {}
        self.messages = []  # contents whose reply was positive
        self.logins = []    # (inside TLS?, user name)
        self.commands = []  # every line that was read outside content
        self.sessions = 0
        self.at_once = self.at_once_max = 0
        self.sessions_max = 1000
        self.offers = ["AUTH PLAIN", "8BITMIME", "PIPELINING", "SIZE"]
        self.break_tls = False
        self._listener = None

    def start(self):
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        if self._listener:
            self._listener.close()
        self.gate.set()

    def _accept(self):
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        try:
            with peer:
                peer.settimeout(60)
                self._talk(peer)
        except (OSError, ssl.SSLError, _Closed):
            pass
        finally:
            self.at_once -= 1

    def _reply(self, text, *verbs):
        """What is to be said: the first of the verbs that was changed, else the text."""
        for verb in verbs:
            changed = self.replies.get(verb)
            if isinstance(changed, list):
                changed = changed.pop(0) if changed else None
            if changed is not None:
                return changed
        return text

    def _say(self, peer, text, *verbs):
        return self._send(peer, self._reply(text, *verbs))

    def _send(self, peer, reply):
        if reply is CLOSE:
            raise _Closed
        if reply is SILENT:
            while peer.recv(4096):
                pass
            raise _Closed
        peer.sendall(reply if isinstance(reply, bytes) else reply.encode() + b"\r\n")
        if not isinstance(reply, bytes) and reply.startswith("421"):
            raise _Closed
        return reply

    def _talk(self, peer):
        self.sessions += 1
        context, how = self.tls or (None, "none")
        inside = how == "implicit"
        if inside:
            peer = context.wrap_socket(peer, server_side=True)
        lines = peer.makefile("rb")
        if self.at_once > self.sessions_max:
            self._say(peer, "421 4.7.0 too many concurrent connections")
        self._say(peer, "220 scripted ESMTP", "CONNECT")
        while line := lines.readline():
            self.commands.append(line.rstrip(b"\r\n").decode("utf-8", "replace"))
            verb = line.split()[0].decode("latin-1").upper() if line.split() else ""
            if verb == "EHLO":
                more = list(self.offers)
                if how == "starttls" and not inside:
                    more.append("STARTTLS")
                rows = ["scripted", *more]
                text = "\r\n".join([*(f"250-{row}" for row in rows[:-1]), f"250 {rows[-1]}"])
                self._say(peer, text, verb)
            elif verb == "STARTTLS":
                self._say(peer, "220 go", verb)
                if self.break_tls:
                    peer.sendall(b"this is no TLS\r\n" * 20)
                    raise _Closed
                peer = context.wrap_socket(peer, server_side=True)
                lines, inside = peer.makefile("rb"), True
            elif verb == "AUTH":
                user = base64.b64decode(line.split()[2]).split(b"\0")[1].decode()
                self.logins.append((inside, user))
                self._say(peer, "235 welcome", f"AUTH {user}", verb)
            elif verb == "DATA":
                if not self._say(peer, "354 go on", verb).startswith("354"):
                    continue
                if self._reply("", "CONTENT") is CLOSE:
                    lines.readline()
                    raise _Closed
                content = b""
                while (line := lines.readline()) and line != b".\r\n":
                    content += line
                if not line:
                    return
                self.at_dot.set()
                self.gate.wait(60)
                reply = self._reply("250 2.0.0 taken", "DOT")
                if isinstance(reply, str) and reply.startswith("2"):
                    self.messages.append(content)
                self._send(peer, reply)
            elif verb == "RCPT":
                address = line.partition(b"<")[2].partition(b">")[0].decode("utf-8", "replace")
                self._say(peer, "250 2.1.5 ok", f"RCPT {address}", verb)
            elif verb == "QUIT":
                self._say(peer, "221 bye", verb)
                return
            else:
                self._say(peer, "250 ok", verb)
