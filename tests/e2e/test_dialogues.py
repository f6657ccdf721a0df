"""The dialogue scripts of tests/smtp against the real relayd, over a socket inside TLS.

The machine's own test feeds them whole, byte by byte and at random splits; here they meet TLS, the
event loop, real accounts and a queue. Scripts marked machine-only need an owner of fixed opinions.
"""

from pathlib import Path

import pytest

from tests.support import dialogue
from tests.support.comparison import check_only_added
from tests.support.help_desk import raw
from tests.support.process import wait_until
from tests.support.scene import Scene

SCRIPTS = sorted((Path(__file__).resolve().parents[1] / "smtp").glob("*.smtp"))
DIALOGUES = [dialogue.parse(script) for script in SCRIPTS]
PLAYABLE = [one for one in DIALOGUES if one.machine_only is None]

LISTENERS = {"mx": ("mx", "starttls"), "mx-inside": ("mx", "implicit"), "mx-none": ("mx", "none"),
             "submission": ("submission", "starttls"),
             "submission-inside": ("submission", "implicit"),
             "submission-none": ("submission", "none")}


def _listener(script):
    """Scripts that do not care about TLS are played inside it."""
    if script.tls == "offered":
        return script.role
    return f"{script.role}-none" if script.tls == "none" else f"{script.role}-inside"


@pytest.fixture(scope="module")
def scene():
    # Some scripts log in wrongly, and all come from one address.
    whole = Scene("dialogues", listeners=LISTENERS, limits={"login_backoff_after": 1000})
    try:
        whole.start_relayd()
        whole.connect(addresses=["support@acme.example", "sales@acme.example"])
        whole.desk.start(whole.webhook_secret)
        yield whole
    finally:
        whole.stop()


def test_there_are_enough():
    assert len(DIALOGUES) >= 60
    assert len(PLAYABLE) >= 60


@pytest.mark.deadline(40)
@pytest.mark.parametrize("script", PLAYABLE, ids=lambda script: script.name)
def test_dialogue(scene, script):
    before = len(scene.desk.taken())
    listener = _listener(script)
    login = (scene.inbound["username"], scene.inbound["password"])
    run = dialogue.Run(script, scene.relayd.ports[listener], login,
                       implicit_tls=listener.endswith("inside"))
    run.play()
    wanted = run.delivered()

    def arrived():
        tickets = [raw(request["event"]) for request in scene.desk.taken()[before:]]
        return all(any(_is(ticket, message) for ticket in tickets) for message in wanted)

    wait_until(arrived, f"the tickets of {script.name}", 15)


def _is(ticket, message):
    try:
        check_only_added(ticket, message)
        return True
    except ValueError:
        return False
