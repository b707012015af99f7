"""How long work ends early when somebody asked it to."""


class Stopped(Exception):  # noqa: N818 (it is no error)
    """Raised by work that was asked to stop and has put what it had made in a safe place."""
