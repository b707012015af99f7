"""End long work early where somebody asked for that."""


class Stopped(Exception):  # noqa: N818 (it is no error)
    """Raised by work that was asked to stop and has put what it had made in a safe place."""
