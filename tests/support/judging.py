"""A scene for judgement: relayd on a scripted name server, and the help desk; nobody sends out."""

from tests.support import accounts
from tests.support.certificates import Authority
from tests.support.help_desk import HelpDesk
from tests.support.process import free_port, remove_directory, temporary_directory
from tests.support.relayd import Relayd
from tests.support.scene import Scene
from tests.support.scripted_name_server import ScriptedNameServer
from tests.support.smtp import Client

HELO = "client.example"


class JudgementScene(Scene):
    """start() with the tenants; then `credentials` has the inbound credential of each domain."""

    def __init__(self, name, **relayd_options):  # its parts are others than those of Scene
        self.directory = temporary_directory(name)
        self.authority = Authority(self.directory / "ca")
        self.dns = ScriptedNameServer()
        self.desk = HelpDesk(self.directory / "desk")
        self.relayd = Relayd(self.directory / "relayd", self.authority, self.dns.address,
                             **relayd_options)
        self.credentials = {}

    def domain(self, name, smarthost=True, **options):
        """A domain with the address support@; its smarthost is named and never asked."""
        return accounts.Domain(name, [f"support@{name}"],
                               accounts.Smarthost(free_port(), password="secret")
                               if smarthost else None, **options)

    def start(self, **tenants):
        """The domains of each tenant; their tickets all go to one desk, which knows the first's
        secret."""
        try:
            self.dns.start()
            self.relayd.start()
            plan = accounts.plan(self.relayd.directory,
                                 *(accounts.Tenant(name, self.desk.url, domains)
                                   for name, domains in tenants.items()))
            created = self.relayd.apply(plan)
            self.credentials = {one["name"]: one["credential"] for one in created["domains"]}
            self.desk.start(created["tenants"][0]["webhook_secret"])
        except BaseException:
            self.stop()
            raise
        return self

    def send(self, content, sender, recipient, *, source="127.0.0.1", credential=None, helo=HELO):
        """One message, as a stranger from that address or logged in; the reply to its end."""
        with Client(self.relayd.mx_port, source=source, name=helo) as client:
            client.starttls()
            if credential:
                client.login(credential["username"], credential["password"])
            reply = client.send(sender, recipient, content)
            client.quit()
            return reply

    def stop(self):
        for part in (self.relayd, self.desk, self.dns):
            part.stop()
        remove_directory(self.directory)

    def logs(self):
        return f"--- relayd ({self.directory})\n{self.relayd.log()}"
