"""What both servers share: certificates, DNS, the mails to be judged, and who loads them how."""

from pathlib import Path

from tests.support import messages
from tests.support.certificates import Authority
from tests.support.name_server import NameServer
from tests.support.signing import Key, key_name, signed

SESSIONS = 10
DOMAIN, SENDER = "acme.example", "support@acme.example"
CUSTOMER_DOMAIN = "customer.example"
CUSTOMERS = [f"c{n}@{CUSTOMER_DOMAIN}" for n in range(1, 31)]
CLIENT = f"client.{CUSTOMER_DOMAIN}"  # the name in EHLO


class World:
    """Files in `directory`; the name server runs from start() to stop()."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.authority = Authority(self.directory / "ca")
        # Port 53, because resolv.conf, which the filters of Postfix go by, knows no other.
        self.dns = NameServer(self.directory / "dns", host="127.0.25.53", port=53)
        self.resolv_conf = self.directory / "resolv.conf"
        self.resolv_conf.write_text(f"nameserver {self.dns.host}\n")
        self.mails = self.directory / "mails"
        self._write_mails()

    def start(self):
        self.dns.start()

    def stop(self):
        self.dns.stop()

    def _write_mails(self):
        """One of each customer, signed; and what DNS must say so that SPF, DKIM and DMARC pass."""
        key = Key(self.directory / "customer-key")
        for name in (CUSTOMER_DOMAIN, CLIENT):
            self.dns.add(name, "TXT", "v=spf1 ip4:127.0.0.1 -all")
        self.dns.add(key_name("s1", CUSTOMER_DOMAIN), "TXT", key.record)
        self.dns.add(f"_dmarc.{CUSTOMER_DOMAIN}", "TXT", "v=DMARC1; p=reject")
        self.mails.mkdir()
        for number, customer in enumerate(CUSTOMERS):
            mail = messages.compose(f"mail{number:02}", customer, SENDER,
                                    messages.text(3500, number))
            (self.mails / f"{number:02}.eml").write_bytes(signed(mail, key, CUSTOMER_DOMAIN, "s1"))

    def load_options(self, row, login):
        """Of `relaybench send`, the same for both servers; `login`: name and password, or None."""
        options = ["--sessions", SESSIONS, "--helo", CLIENT]
        if row.judged:
            options += ["--folder", self.mails, "--from", *CUSTOMERS, "--rcpt", SENDER]
        else:
            options += [*row.load, "--from", SENDER, "--rcpt", *CUSTOMERS]
        if row.login:
            options += ["--starttls", "--ca", self.authority.certificate]
        if login:
            password = self.directory / "password"
            password.write_text(login[1] + "\n")
            options += ["--user", login[0], "--password-file", password]
        return options
