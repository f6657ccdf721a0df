"""The organisation's mail server: a private instance of Debian's Postfix.

One instance has three sides, each on a free loopback port or behind one:
  * `submit_port` takes the mail of the organisation's users and of the outside world;
  * mail for the addresses given to relay_to() goes to relayd, with STARTTLS, a verified
    certificate and AUTH PLAIN;
  * `smarthost_port` is the smarthost relayd sends through: STARTTLS, AUTH by Cyrus SASL's sasldb.
Everything that is not for relayd is delivered into one Maildir, `mailbox`.
"""

import os
import pwd
import shutil
import signal
from pathlib import Path

from tests.support.maildir import Mailbox
from tests.support.process import Server, accepts, free_port, run, tail, wait_until

HOSTNAME = "mail.acme.example"

_MAIN = """\
compatibility_level = 3.6
config_directory = {directory}/config
queue_directory = {directory}/queue
data_directory = {directory}/data
mail_owner = postfix
maillog_file = {directory}/log/mail.log
maillog_file_prefixes = {directory}
syslog_name = postfix
myhostname = {hostname}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
smtp_host_lookup = native
alias_maps =
alias_database =
local_recipient_maps =
biff = no
notify_classes =

# What is taken is passed on as it is.
local_header_rewrite_clients =
disable_mime_input_processing = yes
smtputf8_enable = yes
message_size_limit = 104857600
mailbox_size_limit = 0
virtual_mailbox_limit = 0
smtp_line_length_limit = 0

# No politeness among test programs.
in_flow_delay = 0s
queue_run_delay = 2s
minimal_backoff_time = 2s
maximal_backoff_time = 4s
smtpd_error_sleep_time = 0s
smtpd_client_connection_count_limit = 0
default_destination_concurrency_limit = 8

# Where mail goes.
transport_maps = texthash:{directory}/config/transport
virtual_transport = virtual
virtual_mailbox_domains = static:all
virtual_mailbox_base = {directory}/mail
virtual_mailbox_maps = static:all/
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}

# TLS and AUTH as a server.
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smarthost_tls_level = may
smtpd_tls_auth_only = yes
cyrus_sasl_config_path = {directory}/config/sasl
smtpd_sasl_path = smtpd
smtpd_sasl_local_domain = {hostname}
smtpd_sasl_security_options = noanonymous

# TLS and AUTH as relayd's client.
smtp_tls_CAfile = {authority}
smtp_sasl_password_maps = texthash:{directory}/config/passwords
smtp_sasl_security_options = noanonymous
smtp_sasl_mechanism_filter = plain
"""

_MASTER = """\
127.0.0.1:{submit_port} inet n - n - - smtpd
  -o smtpd_tls_security_level=none
  -o smtpd_relay_restrictions=permit_mynetworks,reject
127.0.0.1:{smarthost_port} inet n - n - - smtpd
  -o smtpd_tls_security_level=$smarthost_tls_level
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
  -o smtpd_sender_restrictions=check_sender_access,texthash:{directory}/config/sender_access
  -o smtpd_recipient_restrictions=check_recipient_access,texthash:{directory}/config/recipient_access
  -o smtpd_delay_reject=no
relayd unix - - n - - smtp
  -o smtp_sasl_auth_enable=yes
  -o smtp_tls_security_level=secure
  -o smtp_tls_secure_cert_match={relayd_name}
"""

# What every instance has behind its listeners, nothing in a chroot.
SERVICES = """\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

_QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming",
           "maildrop", "private", "public", "saved", "trace")

_SASL = """\
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {directory}/sasldb
mech_list: {mechanisms}
"""


class Instance:
    """The directories and processes of a private Postfix. Its main.cf and master.cf are to be in
    `config` before start(); `prefix` is a command that becomes master by exec."""

    def __init__(self, directory, prefix=()):
        self.directory = Path(directory)
        self.config = self.directory / "config"
        self._prefix = list(prefix)
        self._log = self.directory / "log" / "mail.log"
        self._server = None
        self._create_directories()

    @property
    def running(self):
        return self._server is not None and self._server.running

    @property
    def pid(self):
        """Of master."""
        return self._server.pid

    def start(self, *ports):
        """Starts master and waits until it listens on the ports."""
        environment = {**os.environ, "MAIL_CONFIG": str(self.config)}
        daemons = run("postconf", "-d", "-h", "daemon_directory").strip()
        # A process group of its own: the daemons master starts end with it, whatever happens.
        self._server = Server("postfix",
                              [*self._prefix, f"{daemons}/master", "-d", "-c", self.config],
                              self.directory / "log" / "master.log", env=environment,
                              start_new_session=True)
        try:
            self._server.start(lambda: all(map(accepts, ports)))
        except Exception as error:
            raise RuntimeError(f"{error}\n{self.log()}") from None

    def stop(self):
        """Master and all daemons of this instance, by their process group."""
        if self._server is None:
            return
        self._server.stop()
        try:
            os.killpg(self._server.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._server = None

    def log(self, lines=60):
        return tail(self._log, lines)

    def add_login(self, realm, username, password, mechanisms):
        """A user of sasldb, for an smtpd with cyrus_sasl_config_path = {config}/sasl."""
        (self.config / "sasl").mkdir(exist_ok=True)
        (self.config / "sasl" / "smtpd.conf").write_text(
            _SASL.format(directory=self.directory, mechanisms=mechanisms))
        run("saslpasswd2", "-p", "-c", "-f", self.directory / "sasldb", "-u", realm, username,
            input=password)
        shutil.chown(self.directory / "sasldb", "postfix", "postfix")

    def _create_directories(self):
        owner = pwd.getpwnam("postfix")
        for name in ("config", "queue", "data", "log"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        os.chown(self.directory / "data", owner.pw_uid, owner.pw_gid)
        for name in _QUEUES:
            (self.directory / "queue" / name).mkdir(parents=True)
            os.chown(self.directory / "queue" / name, owner.pw_uid, -1)
            (self.directory / "queue" / name).chmod(0o700)
        for name, mode in (("maildrop", 0o730), ("public", 0o710)):
            shutil.chown(self.directory / "queue" / name, group="postdrop")
            (self.directory / "queue" / name).chmod(mode)
        (self.directory / "queue" / "pid").mkdir()


class Postfix(Instance):
    """See the module. Ports and certificate are chosen at once; start() may come much later."""

    username = "relayd"
    password = "smarthost secret"

    def __init__(self, directory, authority, mechanisms="PLAIN LOGIN"):
        super().__init__(directory)
        self.submit_port = free_port()
        self.smarthost_port = free_port()
        self.mailbox = Mailbox(self.directory / "mail" / "all")
        self._authority = authority
        self._identity = authority.issue(HOSTNAME)
        self._settings = {}
        self._transport = self._passwords = ""
        self._access = {"sender": "", "recipient": ""}
        self._relayd_name = "relay.example.net"
        (self.directory / "mail").mkdir()
        os.chown(self.directory / "mail", _nobody().pw_uid, _nobody().pw_gid)
        self.add_login(HOSTNAME, self.username, self.password, mechanisms)
        self._write_configuration()

    # --- settings; those made while it runs count after restart()

    def relay_to(self, port, username, password, addresses, name="relay.example.net"):
        """Mail for the addresses (or domains) goes to relayd on the port, which must be `name`."""
        hop = f"[127.0.0.1]:{port}"
        self._relayd_name = name
        self._transport = "".join(f"{address} relayd:{hop}\n" for address in addresses)
        self._passwords = f"{hop} {username}:{password}\n"

    def pass_on(self, address, port):
        """Mail for the address goes to another server, which may refuse what Postfix has taken."""
        self._transport += f"{address} smtp:[127.0.0.1]:{port}\n"

    def refuse(self, kind, pattern, reply):
        """The smarthost answers MAIL FROM (kind "sender") or RCPT TO ("recipient") with the reply."""
        self._access[kind] += f"{pattern} {reply}\n"

    def accept_all(self):
        """Forgets what refuse() was told."""
        self._access = {"sender": "", "recipient": ""}

    def set(self, **settings):
        """Settings of main.cf, over those of this module."""
        self._settings.update(settings)

    # --- life

    def start(self):
        self._write_configuration()
        super().start(self.submit_port, self.smarthost_port)

    def restart(self):
        self.stop()
        self.start()

    def log_lines(self, text):
        """All lines of the log that hold the text."""
        try:
            content = self._log.read_text(errors="replace")
        except OSError:
            return []
        return [line for line in content.splitlines() if text in line]

    def waiting(self):
        """How many messages are in the queue, in any state."""
        return sum(len(files) for name in ("maildrop", "incoming", "active", "deferred", "hold")
                   for _, _, files in os.walk(self.directory / "queue" / name))

    def wait_until_empty(self, seconds=60):
        try:
            wait_until(lambda: self.waiting() == 0, "Postfix's queue to be empty", seconds, 0.1)
        except TimeoutError as error:
            raise TimeoutError(f"{error}:\n{self.log()}") from None

    # --- files

    def _write_configuration(self):
        main = _MAIN.format(directory=self.directory, hostname=HOSTNAME, uid=_nobody().pw_uid,
                            gid=_nobody().pw_gid, certificate=self._identity.certificate,
                            key=self._identity.key, authority=self._authority.certificate)
        main += "".join(f"{name} = {value}\n" for name, value in self._settings.items())
        (self.config / "main.cf").write_text(main)
        (self.config / "master.cf").write_text(_MASTER.format(
            directory=self.directory, submit_port=self.submit_port,
            smarthost_port=self.smarthost_port, relayd_name=self._relayd_name) + SERVICES)
        (self.config / "transport").write_text(self._transport)
        (self.config / "passwords").write_text(self._passwords)
        for kind, lines in self._access.items():
            (self.config / f"{kind}_access").write_text(lines)


def _nobody():
    return pwd.getpwnam("nobody")
