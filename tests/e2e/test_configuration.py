"""relayd --check-config names file, line, key and what is expected, for every mistake there is."""

import subprocess

import pytest

from tests.support.certificates import Authority
from tests.support.process import remove_directory, temporary_directory
from tests.support.relayd import BUILD

GOOD = """\
hostname  = "relay.example.net"
state_dir = "state"

[[listener]]
address = "127.0.0.1:2525"
role    = "mx"
tls     = "starttls"

[tls]
certificate = "relay.example.net.pem"
key         = "relay.example.net.key"

[dns]
servers = ["127.0.0.1:5353"]

[admin]
socket = "admin.sock"

[limits]
message_size = "50MiB"

[queue]
retry  = ["1m", "5m"]
expire = "5d"

[verification]
required = true
"""

# What is changed, to what, the key the message must name, and words of what is expected.
MISTAKES = [
    ('hostname  = "relay.example.net"', 'hostname = "localhost"', "hostname", "host name"),
    ('address = "127.0.0.1:2525"', 'address = "mx.example.net"', "listener.address", "port"),
    ('role    = "mx"', 'role = "relay"', "listener.role", "submission"),
    ('tls     = "starttls"', 'tls = "ssl"', "listener.tls", "implicit"),
    ('certificate = "relay.example.net.pem"', 'certificate = "missing.pem"', "tls.certificate",
     "missing.pem"),
    ('key         = "relay.example.net.key"', "key = 7", "tls.key", "expected"),
    ('servers = ["127.0.0.1:5353"]', 'servers = "127.0.0.1"', "dns.servers", "list"),
    ('message_size = "50MiB"', 'message_size = "fifty"', "limits.message_size", "size"),
    ('message_size = "50MiB"', "mesage_size = 1", "limits.mesage_size", "message_size"),
    ('retry  = ["1m", "5m"]', "retry = []", "queue.retry", "durations"),
    ('expire = "5d"', "expire = 5", "queue.expire", "duration"),
    ("required = true", 'required = "yes"', "verification.required", "true or false"),
    ('socket = "admin.sock"', 'sokcet = "admin.sock"', "admin.sokcet", ""),
    ("[verification]", "[verificatoin]", "verificatoin", ""),
    ('state_dir = "state"', 'state_dir = "state', "", ""),
]


@pytest.fixture(scope="module")
def directory():
    path = temporary_directory("configuration")
    Authority(path).issue("relay.example.net")
    yield path
    remove_directory(path)


def _check(directory, text):
    path = directory / "relayd.toml"
    path.write_text(text)
    done = subprocess.run([BUILD / "relayd", "--config", path, "--check-config"],
                          capture_output=True, text=True, timeout=20)
    return done.returncode, done.stdout + done.stderr


def test_a_good_one_passes(directory):
    code, output = _check(directory, GOOD)
    assert code == 0, output


@pytest.mark.parametrize("right,wrong,key,expected", MISTAKES, ids=lambda value: value[:24])
def test_a_mistake_is_named(directory, right, wrong, key, expected):
    assert right in GOOD
    line = GOOD[:GOOD.index(right)].count("\n") + 1
    code, output = _check(directory, GOOD.replace(right, wrong))
    assert code == 1, output
    told = next((one for one in output.splitlines() if f"relayd.toml:{line}:" in one), None)
    assert told, f"no message for line {line}:\n{output}"
    assert key in told and expected in told


def test_what_is_missing_is_named(directory):
    code, output = _check(directory, GOOD.replace('hostname  = "relay.example.net"\n', ""))
    assert code == 1 and "hostname" in output


def test_all_mistakes_are_said_at_once(directory):
    text = GOOD
    for right, wrong, _, _ in MISTAKES[:6]:
        text = text.replace(right, wrong)
    code, output = _check(directory, text)
    assert code == 1
    for _, _, key, _ in MISTAKES[:6]:
        assert key in output, output


def test_relayd_does_not_start_with_a_mistake(directory):
    path = directory / "relayd.toml"
    path.write_text(GOOD.replace('expire = "5d"', "expire = 5"))
    done = subprocess.run([BUILD / "relayd", "--config", path], capture_output=True, text=True,
                          timeout=20)
    assert done.returncode == 1 and "queue.expire" in done.stdout + done.stderr
