"""Choose among kernels that compute the same, where only a measurement on a GPU tells which is fastest.

A choice holds for the whole process, not for a thread: a backward pass runs in threads of PyTorch's own.
"""

import contextlib
import os
from collections.abc import Generator, Mapping

from simcrop.core.errors import ConfigError

CHOICES: Mapping[str, tuple[str, ...]] = {
    "embed": ("gather", "fused"),
    "embed_product": ("triton", "cublas"),
}
"""What can be chosen, and among what; the first is taken unless `using` or SIMCROP_KERNELS says otherwise."""

UNDER: Mapping[str, tuple[str, str]] = {"embed_product": ("embed", "gather")}
"""Choices that nobody asks for but under one variant of another choice."""


def chosen(name: str) -> str:
    """The variant in use for one of `CHOICES`."""
    return _in_use[name]


@contextlib.contextmanager
def using(**choices: str) -> Generator[None]:
    """Use other variants for a while, e.g. `using(embed="fused")`.

    Raises:
        ConfigError: there is no such choice, or no such variant.
    """
    _check(choices)
    before = dict(_in_use)
    _in_use.update(choices)
    try:
        yield
    finally:
        _in_use.update(before)


def _check(choices: Mapping[str, str]) -> None:
    for name, variant in choices.items():
        if variant not in CHOICES.get(name, ()):
            known = ", ".join(f"{each}={'|'.join(variants)}" for each, variants in CHOICES.items())
            raise ConfigError(f"kernels: there is no variant {name}={variant}; there are {known}")


def _from_environment() -> dict[str, str]:
    """The defaults, changed by SIMCROP_KERNELS, e.g. `embed=gather,embed_product=cublas`."""
    written = os.environ.get("SIMCROP_KERNELS", "")
    choices = {name: variant for name, _, variant in (part.partition("=") for part in written.split(",") if part)}
    _check(choices)
    return {name: variants[0] for name, variants in CHOICES.items()} | choices


_in_use = _from_environment()
