"""The whole scene: DNS, the organisation's Postfix, the help desk and relayd between them."""

from tests.support import accounts
from tests.support.certificates import Authority
from tests.support.help_desk import HelpDesk
from tests.support.name_server import NameServer
from tests.support.postfix import HOSTNAME as MAIL_HOST
from tests.support.postfix import Postfix
from tests.support.process import remove_directory, temporary_directory
from tests.support.relayd import HOSTNAME as RELAY_HOST
from tests.support.relayd import Relayd

DOMAIN = "acme.example"
SUPPORT = "support@acme.example"
CUSTOMER = "anna@customer.example"


class Scene:
    """Everything of tenant acme in one temporary directory. start() is in steps, for tests that
    need a part of it to be away; stop() stops what runs and is always safe.

    After connect(): `inbound` is the domain's credential, `outbound` the tenant's.
    """

    def __init__(self, name, mechanisms="PLAIN LOGIN", **relayd_options):
        self.directory = temporary_directory(name)
        self.authority = Authority(self.directory / "ca")
        self.dns = NameServer(self.directory / "dns")
        self.postfix = Postfix(self.directory / "postfix", self.authority, mechanisms)
        self.desk = HelpDesk(self.directory / "desk")
        self.relayd = Relayd(self.directory / "relayd", self.authority, self.dns.address,
                             **relayd_options)
        self.inbound = self.outbound = self.webhook_secret = None

    def start(self):
        """All of it, connected."""
        try:
            self.start_relayd()
            self.connect()
            self.desk.start(self.webhook_secret)
            self.postfix.start()
        except BaseException:
            self.stop()
            raise
        return self

    def start_relayd(self):
        """DNS and relayd; nothing is known to it yet."""
        self.dns.add(MAIL_HOST, "A", "127.0.0.1")
        self.dns.add(RELAY_HOST, "A", "127.0.0.1")
        self.dns.start()
        self.relayd.start()

    def smarthost(self, **changes):
        """Postfix as a smarthost in an account plan."""
        settings = {"port": self.postfix.smarthost_port, "username": self.postfix.username,
                    "password": self.postfix.password, **changes}
        return accounts.Smarthost(**settings)

    def plan(self, *more_tenants, addresses=(SUPPORT,), inbound="standard", **smarthost):
        """The account plan of tenant acme, and of others beside it."""
        domain = accounts.Domain(DOMAIN, list(addresses), self.smarthost(**smarthost),
                                 inbound=inbound)
        acme = accounts.Tenant("acme", self.desk.url, [domain])
        return accounts.plan(self.relayd.directory, acme, *more_tenants)

    def connect(self, *more_tenants, **options):
        """Applies the plan; what `apply` printed. Postfix is told its credential."""
        created = self.relayd.apply(self.plan(*more_tenants, **options))
        tenant = next(t for t in created["tenants"] if t["name"] == "acme")
        domain = next(d for d in created["domains"] if d["name"] == DOMAIN)
        self.outbound, self.inbound = tenant["credential"], domain["credential"]
        self.webhook_secret = tenant["webhook_secret"]
        self.postfix.relay_to(self.relayd.mx_port, self.inbound["username"],
                              self.inbound["password"], [SUPPORT], RELAY_HOST)
        return created

    def connect_again(self, **options):
        """Applies the plan anew, with the Postfix there is now; no secrets come back."""
        self.relayd.apply(self.plan(**options))

    def stop(self):
        for part in (self.relayd, self.desk, self.postfix, self.dns):
            part.stop()
        remove_directory(self.directory)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print(self.logs())
        self.stop()

    def logs(self):
        """The end of every log, for a failure report."""
        return (f"--- relayd ({self.directory})\n{self.relayd.log()}\n"
                f"--- Postfix\n{self.postfix.log()}")
