"""A smarthost that can be told what to say and when: what a real one does only on a bad day."""

import base64
import socket
import threading

from tests.support.process import free_port


class Smarthost:
    """Takes every login and every message. `gate` is held shut to keep the reply to the dot back;
    `replies` changes the reply to a verb ("RCPT", "DOT"); `tls` = (context, "implicit" or
    "starttls"), or None for a server that knows no TLS."""

    def __init__(self, tls=None):
        self.port = free_port()
        self.tls = tls
        self.gate = threading.Event()
        self.gate.set()
        self.at_dot = threading.Event()
        self.replies = {}
        self.messages = []  # contents whose reply was positive
        self.logins = []    # (inside TLS?, user name)
        self.sessions = 0
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
        try:
            with peer:
                peer.settimeout(60)
                self._talk(peer)
        except OSError:
            pass

    def _talk(self, peer):
        self.sessions += 1
        context, how = self.tls or (None, "none")
        inside = how == "implicit"
        if inside:
            peer = context.wrap_socket(peer, server_side=True)
        lines = peer.makefile("rb")

        def say(verb, text):
            peer.sendall(self.replies.get(verb, text).encode() + b"\r\n")

        say("CONNECT", "220 scripted ESMTP")
        while line := lines.readline():
            verb = line.split()[0].decode("latin-1").upper() if line.split() else ""
            if verb == "EHLO":
                more = ["AUTH PLAIN", "8BITMIME", "PIPELINING"]
                if how == "starttls" and not inside:
                    more.append("STARTTLS")
                say(verb, "\r\n".join(["250-scripted", *(f"250-{m}" for m in more), "250 SIZE"]))
            elif verb == "STARTTLS":
                say(verb, "220 go")
                peer = context.wrap_socket(peer, server_side=True)
                lines, inside = peer.makefile("rb"), True
            elif verb == "AUTH":
                user = base64.b64decode(line.split()[2]).split(b"\0")[1].decode()
                self.logins.append((inside, user))
                say(verb, "235 welcome")
            elif verb == "DATA":
                say(verb, "354 go on")
                content = b""
                while (line := lines.readline()) and line != b".\r\n":
                    content += line
                if not line:
                    return
                self.at_dot.set()
                self.gate.wait(60)
                reply = self.replies.get("DOT", "250 2.0.0 taken")
                if reply.startswith("2"):
                    self.messages.append(content)
                peer.sendall(reply.encode() + b"\r\n")
            elif verb == "QUIT":
                say(verb, "221 bye")
                return
            else:
                say(verb, "250 ok")
