"""The compile matrix: every kernel, as it is launched, compiled for GPUs that need not be there.

    python benchmarks/compile_matrix.py [--arch 90 ...] [--all] [--only OPERATION] [--json FILE]

Each operation is called with tensors that have shapes but no memory; its launches are caught, and compiled with the
types, alignments and options they would have run with. A row fails if registers spill, if shared memory exceeds what
the architecture has, if a loop with a product does not read its next tiles while it computes, or if it may read them
over tiles that a product still reads, which gives wrong results. For sm_90 a second table predicts times
(benchmarks/predictions.py). Needs ptxas and cuobjdump, which come with Triton.
"""

import argparse
import inspect
import json
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

# Kernels must be Triton's own when they are defined below, and the assembler must tell of registers and spills.
os.environ.pop("TRITON_INTERPRET", None)
os.environ.update(TRITON_ALWAYS_COMPILE="1", TRITON_DUMP_PTXAS_LOG="1")

import triton
from compile_cases import Case, cases
from compiling import OPTIONS, Source, compiled, source
from machine_code import Binary
from predictions import Call, predictions
from throughput import SMS, TorchWork
from triton.runtime.jit import JITFunction

SHARED_BYTES = {80: 166912, 89: 101376, 90: 232448, 100: 232448, 120: 101376}


@dataclass(frozen=True)
class Row:
    """What became of one kernel."""

    kernel: str
    case: str
    arch: int
    num_warps: int
    num_stages: int
    registers: int
    spilled_bytes: int
    shared_bytes: int
    tensor_instructions: str
    loads_128_bit: int
    buffers: str
    copy_waits: str
    product_waits: str
    loop_instructions: str
    pipelined: bool
    overwritten: str

    @property
    def is_clean(self) -> bool:
        fits = self.spilled_bytes == 0 and self.shared_bytes <= SHARED_BYTES[self.arch]
        return fits and self.pipelined and self.overwritten == "-"


def launches(case: Case, arch: int) -> list[tuple[JITFunction, dict[str, Any]]]:
    """The kernels that a call would launch on an architecture, with their arguments, options and `grid` by name."""
    found: list[tuple[JITFunction, dict[str, Any]]] = []

    def catch(kernel: JITFunction, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        options = {name: kwargs.pop(name) for name in OPTIONS if name in kwargs}
        bound = inspect.signature(kernel.fn).bind(*args, **kwargs)
        found.append((kernel, {**bound.arguments, **options, "grid": grid}))

    with ExitStack() as patches:
        patches.enter_context(patch.object(JITFunction, "run", catch))
        for module in [each for name, each in sys.modules.items() if name.startswith("simcrop.kernels.")]:
            for name, value in (("architecture", arch), ("num_multiprocessors", SMS)):
                if hasattr(module, name):
                    patches.enter_context(patch.object(module, name, lambda device, value=value: value))
        case.call()
    return found


def row(case: str, given: Source, binary: Binary) -> Row:
    """What the matrix says of one kernel."""
    loops = binary.hot_loops
    return Row(
        kernel=given.kernel.strip("_"),
        case=case,
        arch=given.arch,
        **{name: getattr(binary, name) for name in Row.__dataclass_fields__ if hasattr(binary, name)},
        buffers=listed(f"{name} {count}" for loop in loops for name, count in loop.buffers),
        copy_waits=listed(wait for loop in loops for wait in loop.copy_waits),
        product_waits=listed(wait for loop in loops for wait in loop.product_waits),
        loop_instructions=listed(
            f"{loop.instructions} ({loop.tensor} tensor)" for loop in binary.code.loops if loop.tensor
        ),
        pipelined=all(loop.is_pipelined for loop in loops),
        overwritten=listed(name for loop in loops for name in loop.overwritten),
    )


def listed(values: Iterable[object]) -> str:
    """Values in a cell."""
    return ", ".join(map(str, values)) or "-"


def main() -> None:
    """Compile all, print the tables, and leave with status 1 if a kernel is not clean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", type=int, nargs="*", default=list(SHARED_BYTES))
    parser.add_argument("--all", action="store_true", help="every set of dtypes")
    parser.add_argument("--only", default="", help="operations whose name contains this")
    parser.add_argument("--json", type=Path, help="write the rows here too")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    calls = [caught(case, arch) for case in cases(options.all, options.only) for arch in options.arch]
    sources = list(dict.fromkeys(given for call in calls for given in call.sources))
    with ProcessPoolExecutor(options.workers) as pool:
        binaries = dict(zip(sources, pool.map(compiled, sources), strict=True))
    rows = list(dict.fromkeys(row(call.case, given, binaries[given]) for call in calls for given in call.sources))
    print(table(rows))
    print(predictions([call for call in calls if call.arch == 90], binaries))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows]), encoding="utf-8")
    sys.exit(any(not row.is_clean for row in rows))


def caught(case: Case, arch: int) -> Call:
    """A call's launches, kernels and torch's own."""
    with TorchWork() as torch_work:
        found = launches(case, arch)
    sources = [source(kernel, arguments, arch) for kernel, arguments in found]
    function = case.call.func
    operation = f"{function.__module__.rpartition('.')[2]}.{function.__name__.strip('_')}"
    return Call(operation, case.name, arch, sources, [arguments for _, arguments in found], torch_work.found)


def table(rows: list[Row]) -> str:
    """As markdown."""
    lines = [f"Triton {triton.__version__}\n", "| " + " | ".join(Row.__dataclass_fields__) + " | clean |"]
    lines.append("|---" * (len(Row.__dataclass_fields__) + 1) + "|")
    for each in sorted(rows, key=lambda r: (r.kernel, r.case, r.arch)):
        lines.append("| " + " | ".join(str(value) for value in asdict(each).values()) + f" | {each.is_clean} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
