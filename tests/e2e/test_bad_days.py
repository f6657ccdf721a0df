"""What happens when the operator, the smarthost or a signal comes in the middle of a delivery."""

import os
import signal
import socket
import ssl
import threading
import time

import pytest

from tests.support import messages
from tests.support.process import wait_until
from tests.support.scene import CUSTOMER, SUPPORT, Scene
from tests.support.smarthost import Smarthost
from tests.support.smtp import Client, submit


class BadDay(Scene):
    """relayd with a scripted smarthost in place of Postfix."""

    def prepare(self, how="starttls"):
        identity = self.authority.issue("mail.acme.example")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.certificate, identity.key)
        self.smarthost_server = Smarthost((context, how))
        self.start_relayd()
        self.plan_of = lambda **more: self.plan(
            **{"port": self.smarthost_server.port, "tls": how, "password": "secret", **more})
        created = self.relayd.apply(self.plan_of())
        self.outbound = created["tenants"][0]["credential"]
        return self

    def send(self):
        sample = messages.sample("plain", SUPPORT, CUSTOMER)
        submit(self.relayd, self.outbound, SUPPORT, CUSTOMER, sample.content)
        return sample.marker.encode()

    def arrived(self, marker):
        return sum(marker in content for content in self.smarthost_server.messages)

    def stop(self):
        if hasattr(self, "smarthost_server"):
            self.smarthost_server.stop()
        super().stop()


@pytest.fixture
def make():
    scenes = []

    def build(retry=("1s", "2s"), limits=None, **options):
        scenes.append(BadDay("bad-day", retry=retry, limits=limits))
        return scenes[-1].prepare(**options)

    yield build
    for scene in scenes:
        scene.stop()


def test_implicit_tls_is_spoken_from_the_first_octet(make):
    scene = make(how="implicit")
    scene.smarthost_server.start()
    marker = scene.send()
    wait_until(lambda: scene.arrived(marker), "the message", 15)
    assert scene.smarthost_server.logins == [(True, "relayd")]


def test_no_password_goes_to_a_server_without_tls(make):
    scene = make(how="implicit")
    scene.smarthost_server.tls = None
    scene.smarthost_server.start()
    scene.send()
    wait_until(lambda: scene.relayd.queue()[0]["attempts"], "an attempt", 15)
    assert scene.smarthost_server.logins == []


def test_what_was_held_while_it_waited_goes_out_after_release(make):
    scene = make()
    scene.smarthost_server.gate.clear()
    scene.smarthost_server.start()
    first = scene.send()
    assert scene.smarthost_server.at_dot.wait(15)
    second = scene.send()  # waits behind the first, due already
    held = scene.relayd.queue()[1]["id"]
    scene.relayd.ctl("queue", "hold", held)
    scene.smarthost_server.gate.set()
    wait_until(lambda: scene.arrived(first), "the first message")
    wait_until(lambda: len(scene.relayd.queue()) == 1, "only the held one to be left")
    time.sleep(1)
    assert not scene.arrived(second)
    scene.relayd.ctl("queue", "release", held)
    wait_until(lambda: scene.arrived(second) == 1, "the second message", 15)


@pytest.mark.parametrize("order", ["retry", "hold", "remove"])
def test_orders_while_a_message_is_being_sent_do_not_double_it(make, order):
    scene = make()
    scene.smarthost_server.gate.clear()
    scene.smarthost_server.start()
    marker = scene.send()
    assert scene.smarthost_server.at_dot.wait(15)
    scene.relayd.ctl("queue", order, scene.relayd.queue()[0]["id"])
    scene.smarthost_server.gate.set()
    wait_until(lambda: scene.relayd.queue() == [], "the queue to be empty")
    time.sleep(1.5)
    assert scene.arrived(marker) == 1


def test_a_smarthost_changed_in_the_middle_serves_the_next_message(make):
    scene = make()
    old, new = scene.smarthost_server, Smarthost(scene.smarthost_server.tls)
    old.gate.clear()
    old.start()
    new.start()
    first = scene.send()
    assert old.at_dot.wait(15)
    second = scene.send()
    scene.relayd.apply(scene.plan_of(port=new.port))
    time.sleep(0.5)
    old.gate.set()
    wait_until(lambda: any(second in content for content in new.messages), "the second message", 15)
    assert scene.arrived(first) == 1 and not scene.arrived(second)
    new.stop()


def test_a_new_password_ends_the_pause_of_the_lane(make):
    scene = make(retry=("1h",))
    scene.smarthost_server.replies["AUTH"] = "535 5.7.8 no"
    scene.smarthost_server.start()
    scene.send()
    wait_until(lambda: scene.relayd.queue()[0]["attempts"], "a refused login", 15)
    del scene.smarthost_server.replies["AUTH"]
    scene.relayd.apply(scene.plan_of(password="better"))
    marker = scene.send()
    wait_until(lambda: scene.arrived(marker), "the new message", 15)


def test_sigterm_lets_the_message_in_hand_finish_and_keeps_the_rest(make):
    scene = make()
    scene.smarthost_server.gate.clear()
    scene.smarthost_server.start()
    first = scene.send()
    assert scene.smarthost_server.at_dot.wait(15)
    second = scene.send()
    os.kill(scene.relayd.pid, signal.SIGTERM)
    threading.Timer(1, scene.smarthost_server.gate.set).start()
    assert scene.relayd.stop() == 0
    assert scene.arrived(first) == 1 and not scene.arrived(second)
    scene.relayd.start()
    wait_until(lambda: scene.arrived(second) == 1, "the second message", 15)
    time.sleep(1)
    assert scene.arrived(first) == 1


def test_sigterm_does_not_wait_for_a_smarthost_that_says_nothing(make):
    scene = make()
    with socket.create_server(("127.0.0.1", scene.smarthost_server.port)) as silent:
        scene.send()
        peer, _ = silent.accept()
        started = time.monotonic()
        assert scene.relayd.stop() == 0
        assert time.monotonic() - started < 5
        peer.close()


def test_who_is_refused_at_the_door_is_shown_out(make):
    scene = make(limits={"sessions_per_address": 2})
    with Client(scene.relayd.mx_port), Client(scene.relayd.mx_port):
        for name in ("mx", "submissions"):
            with socket.create_connection(("127.0.0.1", scene.relayd.ports[name]), 10) as third:
                said = b""
                while octets := third.recv(4096):  # ends: the server closes by itself
                    said += octets
                assert said.startswith(b"421 4.7.0") if name == "mx" else said == b""


def test_a_small_output_buffer_stalls_nobody(make):
    scene = make(limits={"stream_output": "4KiB"})
    with Client(scene.relayd.mx_port, timeout=10) as client:
        client.ehlo()
        client.write(b"NOOP\r\n" * 3000)
        assert all(client.reply().code == 250 for _ in range(3000))
    scene.smarthost_server.start()
    sample = messages.compose("m-large", SUPPORT, CUSTOMER, messages.text(300_000))
    submit(scene.relayd, scene.outbound, SUPPORT, CUSTOMER, sample)
    wait_until(lambda: scene.arrived(b"m-large"), "the large message", 15)


@pytest.mark.parametrize("damage", ["this is no TOML", "[tls]\ncertificate = '/nowhere.pem'", ""])
def test_a_broken_configuration_changes_nothing(make, damage):
    scene = make()
    good = scene.relayd.config.read_text()
    scene.relayd.config.write_text(damage)
    scene.relayd.reload()
    wait_until(lambda: "not reloaded" in scene.relayd.log(), "the complaint", 10)
    scene.relayd.config.write_text(good)
    scene.smarthost_server.start()
    marker = scene.send()
    wait_until(lambda: scene.arrived(marker), "the message", 15)
