"""Postfix as the comparison runs it: Debian's package with its defaults but for what the work needs,
or set up the way an administrator would who wants it fast; with OpenDKIM, OpenDMARC and policyd-spf
where the row asks for what they do.

All of it sees the resolv.conf of the comparison in place of the machine's (a mount namespace of its
own), so that its filters ask the same name server as relayd and never the network.
"""

import shutil

from bench.comparison.world import DOMAIN
from tests.support.postfix import SERVICES, Instance
from tests.support.process import Server, free_port, tail
from tests.support.signing import Key

HOSTNAME = "mail.acme.example"
USERNAME, PASSWORD = "bench", "bench secret"

_MAIN = """\
compatibility_level = 3.6
config_directory = {directory}/config
queue_directory = {directory}/queue
data_directory = {directory}/data
mail_owner = postfix
maillog_file = {directory}/log/mail.log
maillog_file_prefixes = {directory}
myhostname = {hostname}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
local_recipient_maps =
relayhost = [127.0.0.1]:{sink_port}
# There is no name server to ask for what this mail goes to.
disable_dns_lookups = yes
smtp_host_lookup = native
"""

_TUNED = """# No look-ups, no waiting, no limits on the one client there is.
smtpd_peername_lookup = no
in_flow_delay = 0s
smtpd_client_connection_count_limit = 0
# Nothing is rewritten and nothing in the content is looked at.
local_header_rewrite_clients =
disable_mime_input_processing = yes
receive_override_options = no_address_mappings
# Processes live longer than for 100 messages.
max_use = 10000
# Out: many connections at once from the first message on, kept open.
smtp_destination_concurrency_limit = {concurrency}
initial_destination_concurrency = {concurrency}
smtp_connection_cache_destinations = [127.0.0.1]:{sink_port}
smtp_connection_reuse_time_limit = 3600s
"""

_LOGIN = """\
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_sasl_auth_enable = yes
cyrus_sasl_config_path = {directory}/config/sasl
smtpd_sasl_path = smtpd
smtpd_sasl_local_domain = {hostname}
smtpd_sasl_security_options = noanonymous
smtpd_relay_restrictions = permit_sasl_authenticated, reject
"""

_JUDGED = """\
relay_domains = {domain}
relay_transport = smtp
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = check_policy_service unix:private/policyd-spf
policyd-spf_time_limit = 3600
smtpd_policy_service_request_limit = 0
smtpd_milters = unix:{directory}/sockets/opendkim, unix:{directory}/sockets/opendmarc
"""

_SIGNED = "smtpd_milters = unix:{directory}/sockets/opendkim\n"

_MASTER = "127.0.0.1:{port} inet n - n - - smtpd\n" + SERVICES

_MASTER_JUDGED = """\
policyd-spf unix - n n - 0 spawn
  user=nobody argv=/usr/bin/policyd-spf {directory}/config/policyd-spf.conf
"""

_POLICYD_SPF = """\
debugLevel = 0
HELO_reject = False
Mail_From_reject = Fail
# As it comes it would not look at mail from this machine.
skip_addresses = 192.0.2.1/32
"""

_OPENDKIM = """\
Socket local:{directory}/sockets/opendkim
UserID postfix
UMask 007
Background no
Syslog no
Canonicalization relaxed/relaxed
"""

_OPENDKIM_SIGNS = """\
Mode s
Domain {domain}
Selector s1
KeyFile {directory}/rsa.pem
# In a temporary directory no file is safe to it.
RequireSafeKeys no
"""

_OPENDKIM_VERIFIES = """\
Mode v
Nameservers {name_server}
# As it comes it would take this machine for its own network.
InternalHosts {directory}/config/nobody
"""

_OPENDMARC = """\
Socket local:{directory}/sockets/opendmarc
UserID postfix
UMask 007
Background false
Syslog false
AuthservID {hostname}
TrustedAuthservIDs {hostname}
PublicSuffixList /usr/share/publicsuffix/public_suffix_list.dat
# As it comes it would not look at mail from this machine.
IgnoreHosts {directory}/config/nobody
"""


class PostfixSide:
    """One Postfix with its filters that does the work of one row into the sink at the port; made
    anew for each run."""

    name = "postfix"
    tuned = False

    def __init__(self, directory, row, world, sink_port):
        self.port = free_port()
        self.login = (f"{USERNAME}@{HOSTNAME}", PASSWORD) if row.login else None
        self._directory, self._row = directory, row
        self._prefix = ["unshare", "--mount", "sh", "-c",
                        'mount --bind "$0" /etc/resolv.conf && exec "$@"', world.resolv_conf]
        self._postfix = Instance(directory, self._prefix)
        self._filters = []
        (directory / "sockets").mkdir()
        shutil.chown(directory / "sockets", "postfix")
        identity = world.authority.issue(HOSTNAME)
        self._values = {
            "directory": directory, "hostname": HOSTNAME, "domain": DOMAIN, "port": self.port,
            "sink_port": sink_port, "concurrency": 20, "name_server": world.dns.host,
            "certificate": identity.certificate, "key": identity.key}
        if row.login:
            self._postfix.add_login(HOSTNAME, USERNAME, PASSWORD, "PLAIN")
        self._write("main.cf", _MAIN + _TUNED * self.tuned + _LOGIN * row.login + _JUDGED * row.judged
                    + _SIGNED * bool(row.signed))
        self._write("master.cf", _MASTER + _MASTER_JUDGED * row.judged)

    def start(self):
        if self._row.signed:
            Key(self._directory)
            shutil.chown(self._directory / "rsa.pem", "postfix")
            self._start_filter("opendkim", _OPENDKIM + _OPENDKIM_SIGNS)
        if self._row.judged:
            self._write("nobody", "192.0.2.1\n")
            self._write("policyd-spf.conf", _POLICYD_SPF)
            self._start_filter("opendkim", _OPENDKIM + _OPENDKIM_VERIFIES)
            self._start_filter("opendmarc", _OPENDMARC)
        self._postfix.start(self.port)

    def stop(self):
        self._postfix.stop()
        for one in self._filters:
            one.stop()

    def pids(self):
        return [self._postfix.pid, *(one.pid for one in self._filters)]

    def log(self):
        return "\n".join([self._postfix.log(), *(tail(one.log_path) for one in self._filters)])

    def _write(self, name, text):
        (self._postfix.config / name).write_text(text.format(**self._values))

    def _start_filter(self, name, configuration):
        self._write(f"{name}.conf", configuration)
        command = [*self._prefix, name, "-f", "-c" if name == "opendmarc" else "-x",
                   self._postfix.config / f"{name}.conf"]
        server = Server(name, command, self._directory / "log" / f"{name}.log")
        self._filters.append(server)
        server.start((self._directory / "sockets" / name).exists)


class TunedPostfixSide(PostfixSide):
    """The same, set up to be fast."""

    tuned = True
