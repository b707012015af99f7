"""Two network namespaces joined by a cable, as two machines are; skipped where the system does not let them be made."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Machine:
    """A network namespace.

    Attributes:
        name: of the namespace.
        address: of its end of the cable.
        interface: name of that end.
    """

    name: str
    address: str
    interface: str

    @property
    def shell(self) -> tuple[str, ...]:
        """What goes ahead of a command, so that it runs there."""
        return ("ip", "netns", "exec", self.name)


@contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """The namespaces, until the block ends."""
    if shutil.which("ip") is None:
        pytest.skip("no network namespaces: there is no command ip")
    first, second = (Machine(f"simcrop{os.getpid()}{n}", f"10.231.7.{n}", f"sc{os.getpid()}{n}") for n in (1, 2))
    try:
        for machine in (first, second):
            _ip("netns", "add", machine.name)
        _ip("link", "add", first.interface, "type", "veth", "peer", "name", second.interface)
        for machine in (first, second):
            _ip("link", "set", machine.interface, "netns", machine.name)
            _ip("-n", machine.name, "addr", "add", f"{machine.address}/24", "dev", machine.interface)
            _ip("-n", machine.name, "link", "set", machine.interface, "up")
            _ip("-n", machine.name, "link", "set", "lo", "up")
        yield first, second
    finally:
        for machine in (first, second):
            subprocess.run(("ip", "netns", "del", machine.name), capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    done = subprocess.run(("ip", *arguments), capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no network namespaces: ip {' '.join(arguments)}: {done.stderr.strip()}")
