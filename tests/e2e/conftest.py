"""What every end-to-end test gets: the way to tests.support, and a deadline of its own.

A test may last 60 seconds; @pytest.mark.deadline(seconds) says otherwise. Past it the test fails
where it stands, so that a server that hangs never makes the run hang.
"""

import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.scene import Scene  # noqa: E402  (needs the path above)

_DEADLINE_SECONDS = 60


class DeadlinePassed(BaseException):
    """Not an Exception: no test code may take it for an answer of the server."""


def pytest_addoption(parser):
    parser.addoption("--soak", type=int, nargs="?", const=600, default=0, metavar="SECONDS",
                     help="let test_crash.py go on that long")


def pytest_configure(config):
    config.addinivalue_line("markers", "deadline(seconds): how long the test may last")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """Set-up, test and tear-down of one test together stay within the deadline."""
    mark = item.get_closest_marker("deadline")
    seconds = (mark.args[0] if mark else _DEADLINE_SECONDS) + item.config.getoption("--soak")

    def passed(*_):
        raise DeadlinePassed(f"{item.name} took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, passed)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the logs of its scene."""
    report = (yield).get_result()
    scenes = [value for value in item.funcargs.values() if isinstance(value, Scene)] \
        if hasattr(item, "funcargs") else []
    if report.failed and scenes:
        report.sections.append(("logs", "\n".join(scene.logs() for scene in scenes)))


@pytest.fixture(scope="module")
def scene(request):
    """The whole scene, running, for all tests of the file."""
    name = request.module.__name__.removeprefix("test_")
    whole = Scene(name).start()
    yield whole
    whole.stop()
