"""What ends a comparison."""


class Failed(Exception):
    """A run that does not count: a server failed, or a message was lost."""
