"""The header guard (product rule O6): a message that changed while it waited is held, never sent."""

import pytest

from tests.support import messages
from tests.support.process import wait_until
from tests.support.scene import CUSTOMER, SUPPORT, Scene
from tests.support.smtp import submit


@pytest.fixture
def scene():
    """The smarthost is down at first: messages wait in the queue."""
    whole = Scene("guard")
    try:
        whole.start_relayd()
        whole.connect()
        whole.desk.start(whole.webhook_secret)
        yield whole
    finally:
        whole.stop()


def _flip(scene, text):
    """Changes the last octet of the text, where it lies in a segment of the queue."""
    changed = 0
    for segment in (scene.relayd.state / "queue" / "segments").iterdir():
        with open(segment, "r+b") as file:
            position = file.read().find(text)
            if position >= 0:
                file.seek(position + len(text) - 1)
                file.write(bytes([text[-1] ^ 1]))
                changed += 1
    assert changed == 1, f"{text!r} is in {changed} segments"


def _submit(scene, body=b"the body\r\n"):
    marker = messages.new_marker()
    content = messages.compose(marker, SUPPORT, CUSTOMER, body, f"ticket {marker}")
    submit(scene.relayd, scene.outbound, SUPPORT, CUSTOMER, content)
    return marker


@pytest.mark.parametrize("what", ["Subject", "Message-ID", "body"])
def test_a_changed_message_is_held(scene, what):
    changed = _submit(scene, b"the body that matters\r\n")
    intact = _submit(scene)
    text = {"Subject": f"Subject: ticket {changed}", "Message-ID": f"Message-ID: <{changed}",
            "body": "the body that matters"}[what]
    _flip(scene, text.encode())
    scene.postfix.start()
    scene.postfix.mailbox.wait_for(intact)

    held = wait_until(lambda: [row for row in scene.relayd.queue() if row["state"] == "held"],
                      "the message to be held")
    assert len(held) == 1
    # The queue's own checksum sees a changed body first; a changed header field is named.
    named = "checksum" if what == "body" else what.lower()
    assert named in held[0]["last_reply"].lower()
    assert any(held[0]["id"] in line and named in line.lower()
               for line in scene.relayd.log(500).splitlines()), "logged with what was changed"

    # Asking again changes nothing: it never leaves.
    scene.relayd.ctl("queue", "release", held[0]["id"])
    wait_until(lambda: scene.relayd.queue()[0]["state"] == "held", "the message to be held again")
    scene.postfix.wait_until_empty()
    delivered = scene.postfix.mailbox.messages()
    assert len(delivered) == 1 and intact.encode() in delivered[0].content
