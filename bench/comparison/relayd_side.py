"""relayd as the comparison runs it: its defaults, but for what stands here."""

from bench.comparison.world import DOMAIN, SENDER
from tests.support import accounts
from tests.support.relayd import Relayd


class RelaydSide:
    """One relayd that does the work of one row into the sink at the port; new for each run."""

    name = "relayd"

    def __init__(self, directory, row, world, sink_port):
        tls = "starttls" if row.login else "none"
        # 30 customers who write a thousand mails a second are a loop to relayd; here they are not.
        self._relayd = Relayd(directory, world.authority, world.dns.address,
                              listeners={"mx": ("mx", "none"), "submission": ("submission", tls)},
                              limits={"loop_pair_messages": 100_000_000})
        self._row, self._sink_port = row, sink_port
        self.port = self._relayd.mx_port if row.judged else self._relayd.submission_port
        self.login = self.webhook_secret = None

    def start(self):
        self._relayd.start()
        self._add_accounts()
        if self._row.signed:
            self._relayd.ctl("dkim", "add", DOMAIN, "--selector", "s1", "--algorithm",
                             self._row.signed)
            self._relayd.ctl("dkim", "activate", DOMAIN, "s1", "--force")

    def stop(self):
        self._relayd.stop()

    def pids(self):
        return [self._relayd.pid]

    def log(self):
        return self._relayd.log()

    def _add_accounts(self):
        # Of the two ways only the one that the row measures leads to the sink.
        smarthost = accounts.Smarthost(self._sink_port, host="127.0.0.1", tls="none", username="",
                                       connections=10)
        domain = accounts.Domain(DOMAIN, [SENDER], smarthost, mode="outbound-only")
        created = self._relayd.apply(accounts.plan(self._relayd.directory, accounts.Tenant(
            "acme", f"http://127.0.0.1:{self._sink_port}/tickets", [domain])))
        self.webhook_secret = created["tenants"][0]["webhook_secret"]
        credential = created["tenants"][0]["credential"]
        if not self._row.judged:
            self.login = credential["username"], credential["password"]
