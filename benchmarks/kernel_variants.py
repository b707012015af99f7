"""Find the kernel variants that concern an operation, and what its kernels were compiled to."""

import inspect
import re
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from itertools import product
from types import ModuleType
from typing import Any

from simcrop.kernels import TRITON
from simcrop.kernels.support import is_interpreted, triton
from simcrop.kernels.variants import CHOICES, UNDER

_OURS = re.compile(r"simcrop\.kernels\.(\w+)")
_WAITS = re.compile(r"async_wait[^\n]*num = (\d+)")


def choices_of(op: str) -> dict[str, tuple[str, ...]]:
    """The choices that an operation's module, or one that it imports, asks for."""
    function: Any = getattr(TRITON, op)
    code = "".join(map(inspect.getsource, _with_imports(sys.modules[function.__module__], set())))
    return {name: variants for name, variants in CHOICES.items() if re.search(rf"chosen\(\s*[\"']{name}[\"']", code)}


def _with_imports(module: ModuleType, seen: set[str]) -> list[ModuleType]:
    """A module of the kernels, and those that it imports, at any distance."""
    seen.add(module.__name__)
    found = [module]
    for name in map("simcrop.kernels.{}".format, _OURS.findall(inspect.getsource(module))):
        if name in sys.modules and name not in seen:
            found += _with_imports(sys.modules[name], seen)
    return found


def variants_of(op: str) -> list[dict[str, str]]:
    """The combinations of choices that differ in what an operation runs, the defaults first."""
    choices = choices_of(op)
    found: list[dict[str, str]] = []
    for each in product(*choices.values()):
        combination = dict(zip(choices, each, strict=True))
        asked_for = {name: variant for name, variant in combination.items() if _matters(name, combination)}
        if asked_for not in found:
            found.append(asked_for)
    return found


def _matters(name: str, combination: Mapping[str, str]) -> bool:
    """Whether anybody asks for a choice under the others."""
    other, variant = UNDER.get(name, (name, combination[name]))
    return combination[other] == variant


def name_of(choices: Mapping[str, str]) -> str:
    """`embed=gather embed_product=cublas`; nothing where there is no choice."""
    return " ".join(f"{name}={variant}" for name, variant in choices.items())


@contextmanager
def launches() -> Generator[dict[str, dict[str, Any]]]:
    """The kernels that are launched meanwhile, by name; Triton's interpreter compiles none."""
    found: dict[str, dict[str, Any]] = {}
    if is_interpreted() or triton.__version__ is None:
        yield found
        return
    compiler = triton.runtime.jit.JITFunction
    original = compiler.run

    def run(kernel: Any, *args: Any, **kwargs: Any) -> Any:
        compiled = original(kernel, *args, **kwargs)
        if compiled is not None:
            found[kernel.fn.__name__.strip("_")] = described(compiled)
        return compiled

    compiler.run = run
    try:
        yield found
    finally:
        compiler.run = original


def described(compiled: Any) -> dict[str, Any]:
    """Registers, spilled ones, shared memory, warps, stages, and for how few copies in flight its loops wait."""
    metadata = compiled.metadata
    return {
        "registers": getattr(compiled, "n_regs", None),
        "spills": getattr(compiled, "n_spills", None),
        "shared_bytes": metadata.shared,
        "num_warps": metadata.num_warps,
        "num_stages": metadata.num_stages,
        "waits": sorted({int(number) for number in _WAITS.findall(compiled.asm.get("ttgir", ""))}),
    }
