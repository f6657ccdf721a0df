#!/usr/bin/python3
"""A help desk for tests and the demo: takes tickets over HTTP, verifies them, writes them down.

    backend.py [--host 127.0.0.1] [--port 0] [--secret whsec_...]... [--out FILE]
               [--answers "500,429:2,hang,200"] [--then 200] [--basic USER:PASSWORD]
               [--tls-cert FILE --tls-key FILE] [--exit-on-stdin-eof]

The port is printed on stdout as soon as it listens. Every request appends one JSON object as a line
to FILE, whole and flushed before the answer is sent:

    {"n": 1,                     counting from 1
     "time": 1769860800.25,      when the request was complete
     "connection": 1,            counting from 1: equal numbers shared one connection
     "method": "POST", "path": "/tickets", "headers": {"webhook-id": "...", ...}  (names lower case)
     "answer": "200",            what was answered (see --answers)
     "verified": true,           the signature was right; null where no --secret was given
     "problem": null,            why it was not right
     "event": {...},             application/json: the body
     "raw": "base64",            message/rfc822 and body-mime: the message
     "form": {...}}              multipart/form-data: its other fields

--answers is a comma-separated script, one entry a request; when it is used up --then answers:
    CODE           that status, with a short text
    CODE:SECONDS   and Retry-After in seconds
    CODE@SECONDS   and Retry-After as an HTTP date that long from now
    hang           no answer, until the other side gives up
    close          the connection is closed without an answer
    drop           the connection is closed at once, before the body is read
    flood          200 and a body without end
    trickle        one octet of a 200 each second
A 200 to a JSON event says X-Ticket-Id: T- and the event's data.id.
A request whose signature or password is wrong gets 401, whatever the script says, and does not use
up an entry. Standard library only.
"""

import argparse
import base64
import email.parser
import email.policy
import email.utils
import hashlib
import hmac
import http.server
import json
import os
import ssl
import sys
import threading
import time

TOLERANCE_SECONDS = 120  # as the strictest receivers have it


def webhook_problem(headers, body, secrets):
    """None where the Standard Webhooks signature is right, else what is wrong."""
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not message_id or not timestamp.isdigit():
        return "webhook-id or webhook-timestamp is missing"
    if abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return "webhook-timestamp is too far from now"
    signatures = headers.get("webhook-signature", "").split(" ")
    offered = [one[3:] for one in signatures if one.startswith("v1,")]
    content = message_id.encode() + b"." + timestamp.encode() + b"." + body
    for secret in secrets:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        wanted = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
        if any(hmac.compare_digest(wanted, one) for one in offered):
            return None
    return "no webhook-signature fits"


def form_problem(form, secrets):
    """The same for the form of a Mailgun route."""
    timestamp, token = form.get("timestamp", ""), form.get("token", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return "timestamp is missing or too far from now"
    for secret in secrets:
        wanted = hmac.new(secret.encode(), (timestamp + token).encode(), hashlib.sha256).hexdigest()
        if hmac.compare_digest(wanted, form.get("signature", "")):
            return None
    return "signature does not fit"


def parse_form(content_type, body):
    """multipart/form-data to {name: octets}; done by hand so that the octets stay as they came."""
    head = email.parser.HeaderParser().parsestr("Content-Type: " + content_type + "\n\n")
    delimiter = b"\r\n--" + head.get_param("boundary").encode()
    fields = {}
    for part in (b"\r\n" + body).split(delimiter)[1:-1]:
        part_head, _, value = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        parsed = email.parser.BytesHeaderParser(policy=email.policy.HTTP).parsebytes(
            part_head + b"\r\n\r\n")
        fields[parsed["Content-Disposition"].params["name"]] = value
    return fields


class Desk:
    """What all connections share."""

    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.script = [a.strip() for a in options.answers.split(",") if a.strip()]
        self.requests = 0
        self.connections = 0
        self.out = open(options.out, "a", encoding="utf-8") if options.out else None

    def next_answer(self):
        with self.lock:
            return self.script.pop(0) if self.script else self.options.then

    def peek_answer(self):
        with self.lock:
            return self.script[0] if self.script else self.options.then

    def count_connection(self):
        with self.lock:
            self.connections += 1
            return self.connections

    def write(self, record):
        with self.lock:
            self.requests += 1
            if self.out:
                self.out.write(json.dumps({"n": self.requests, **record}) + "\n")
                self.out.flush()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 300
    desk = None

    def setup(self):
        super().setup()
        self.number = self.desk.count_connection()

    def log_message(self, *_):
        pass

    ticket = ""

    def do_GET(self):
        self.answer("200")

    def do_POST(self):
        if self.desk.peek_answer() == "drop":
            self.desk.next_answer()
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        record = {"time": time.time(), "connection": self.number, "method": self.command,
                  "path": self.path, "headers": headers}
        verified, problem = self.examine(record, headers, body)
        answer = "401" if problem else self.desk.next_answer()
        self.desk.write({**record, "answer": answer, "verified": verified, "problem": problem})
        self.ticket = str((record.get("event") or {}).get("data", {}).get("id", ""))
        self.answer(answer)

    def examine(self, record, headers, body):
        secrets, problem, verified = self.desk.options.secret, None, None
        content_type = headers.get("content-type", "")
        try:
            if content_type.startswith("application/json"):
                record["event"] = json.loads(body)
            elif content_type.startswith("message/rfc822"):
                record["raw"] = base64.b64encode(body).decode()
            elif content_type.startswith("multipart/form-data"):
                fields = parse_form(content_type, body)
                record["raw"] = base64.b64encode(fields.pop("body-mime", b"")).decode()
                record["form"] = {k: v.decode("utf-8", "replace") for k, v in fields.items()}
            if secrets:
                problem = form_problem(record["form"], secrets) if "form" in record \
                    else webhook_problem(headers, body, secrets)
                verified = problem is None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problem = "the body cannot be read: %s" % error
        basic = self.desk.options.basic
        wanted = "Basic " + base64.b64encode(basic.encode()).decode() if basic else None
        if basic and headers.get("authorization") != wanted:
            problem = "user name or password is wrong"
        return verified, problem

    def answer(self, answer):
        if answer == "hang":
            self.connection.settimeout(self.timeout)
            try:
                while self.connection.recv(4096):
                    pass
            except OSError:
                pass
            self.close_connection = True
        elif answer == "close":
            self.close_connection = True
        elif answer in ("flood", "trickle"):
            self.close_connection = True
            try:
                start = b"Connection: close\r\n\r\n" if answer == "flood" else b"X-Slow: "
                self.wfile.write(b"HTTP/1.1 200 OK\r\n" + start)
                for _ in range(100000 if answer == "flood" else 300):
                    self.wfile.write(b"x" * (65536 if answer == "flood" else 1))
                    time.sleep(0 if answer == "flood" else 1)
            except OSError:
                pass
        else:
            self.answer_status(answer)

    def answer_status(self, answer):
        code, text = int(answer[:3]), b"this is answer " + answer.encode() + b"\n"
        if code == 204:
            text = b""
        try:
            self.send_response(code)
            if answer[3:4] == ":":
                self.send_header("Retry-After", answer[4:])
            elif answer[3:4] == "@":
                moment = time.time() + float(answer[4:])
                self.send_header("Retry-After", email.utils.formatdate(moment, usegmt=True))
            if code in (301, 302, 303, 307, 308):
                self.send_header("Location", "/elsewhere")
            if code == 200 and self.ticket:
                self.send_header("X-Ticket-Id", "T-" + self.ticket)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
        except OSError:
            self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def handle_error(self, request, client_address):
        pass  # a client that goes away is part of the game


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--secret", action="append", default=[])
    parser.add_argument("--out")
    parser.add_argument("--answers", default="")
    parser.add_argument("--then", default="200")
    parser.add_argument("--basic")
    parser.add_argument("--tls-cert")
    parser.add_argument("--tls-key")
    parser.add_argument("--exit-on-stdin-eof", action="store_true")
    options = parser.parse_args()
    Handler.desk = Desk(options)
    server = Server((options.host, options.port), Handler)
    if options.tls_cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.tls_cert, options.tls_key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    # One write: whoever reads the port may close the pipe at once.
    os.write(1, b"%d\n" % server.server_address[1])
    if options.exit_on_stdin_eof:
        threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
