"""Read from compiled code what its speed depends on: loops, their instructions, and how their loads are pipelined.

`code` reads machine code (SASS), `hot_loops` Triton's last layer before it (TTGIR), where buffers and waits have names.
"""

import re
from dataclasses import dataclass
from math import prod

TENSOR = re.compile(r"\b(HGMMA|HMMA|UTC\w*MMA)\b")
_READ = re.compile(r"\bLDG\b")
_WAITING = 8
_INSTRUCTION = re.compile(r"/\*([0-9a-f]{4,})\*/\s+([^;]*?)\s*;")
_JUMP = re.compile(r"\bBRA\b.*?0x([0-9a-f]+)")
_FOR = re.compile(r"^( *)(?:%\S+ = )?scf\.for .*?^\1\}", re.M | re.S)
_PRODUCT = re.compile(r"\btt\.dot |warp_group_dot |tc_gen5_mma")
_COPY = re.compile(r"async_copy_global_to_local %\w+, (%\w+) .*-> <([0-9x]+)x(\w+),")
_TMA = re.compile(r"async_tma_copy_global_to_local %\w+\[.*?\] (%\w+), .*-> !ttg\.memdesc<([0-9x]+)x(\w+),")
_INDEX = re.compile(r"(%\w+) = ttg\.memdesc_index (%\w+)\[")
_ALLOC = re.compile(r"(%\w+) = ttg\.local_alloc : \(\) -> !ttg\.memdesc<(\d+)x")
_LOAD = re.compile(r"%(\w+) = tt\.load .*: tensor<(\d+x[0-9x]*\d)x!tt\.ptr<(\w+)>")


@dataclass(frozen=True)
class Loop:
    """A loop of machine code: how many instructions it has of its own, without those of loops inside it."""

    instructions: int
    tensor: int
    loads: int
    depth: int


@dataclass(frozen=True)
class Code:
    """A kernel's machine code: instructions outside loops, and the loops in order of address."""

    straight: int
    loops: tuple[Loop, ...]


@dataclass(frozen=True)
class HotLoop:
    """An innermost loop with a product, as Triton has pipelined it."""

    buffers: tuple[tuple[str, int], ...]
    """Each operand that is read from memory, and how many of its tiles are held at once; 0 for one in registers."""
    copy_waits: tuple[int, ...]
    """Copies (cp.async groups) that may still be under way when the loop goes on."""
    product_waits: tuple[int, ...]
    """Products (wgmma) that may still be under way when the loop goes on."""
    num_bytes: int
    """Read in one round."""

    @property
    def is_pipelined(self) -> bool:
        """Whether tiles of later rounds are read while this one is computed."""
        in_flight = not self.copy_waits or max(self.copy_waits) > 0
        return in_flight and all(count >= 2 for _, count in self.buffers)

    @property
    def waits_for_products(self) -> bool:
        """Whether each round's products are finished before the next round begins."""
        return bool(self.product_waits) and max(self.product_waits) == 0


@dataclass(frozen=True)
class Binary:
    """What the compiler made of a kernel."""

    num_warps: int
    num_stages: int
    registers: int
    spilled_bytes: int
    shared_bytes: int
    tensor_instructions: str
    loads_128_bit: int
    code: Code
    hot_loops: tuple[HotLoop, ...]


def code(sass: str) -> Code:
    """Loops of machine code: a jump backwards closes one. Those that only wait for a barrier are not counted."""
    listing = [(int(address, 16), text) for address, text in _INSTRUCTION.findall(sass)]
    place = {address: index for index, (address, _) in enumerate(listing)}
    ends: dict[int, int] = {}
    for index, (_, text) in enumerate(listing):
        jump = _JUMP.search(text)
        head = place.get(int(jump[1], 16), index) if jump else index
        if index - head >= _WAITING:
            ends[head] = index
    owner: list[int | None] = [None] * len(listing)
    for head, end in sorted(ends.items(), key=lambda span: span[0] - span[1]):
        owner[head : end + 1] = [head] * (end + 1 - head)
    real = [(text, head) for (_, text), head in zip(listing, owner, strict=True) if not re.match(r"NOP|BRA 0x", text)]
    loops = [
        Loop(
            instructions=sum(own == head for _, own in real),
            tensor=sum(own == head and bool(TENSOR.search(text)) for text, own in real),
            loads=sum(own == head and bool(_READ.search(text)) for text, own in real),
            depth=sum(other < head and end <= ends[other] for other in ends),
        )
        for head, end in sorted(ends.items())
    ]
    return Code(sum(own is None for _, own in real), tuple(loops))


def hot_loops(ttgir: str) -> list[HotLoop]:
    """The innermost loops that have a product."""
    buffers = {name: int(count) for name, count in _ALLOC.findall(ttgir)}
    index = dict(_INDEX.findall(ttgir))
    return [_hot_loop(body, buffers, index) for body in _innermost(ttgir)]


def _innermost(ttgir: str) -> list[str]:
    bodies: list[str] = []
    for found in _FOR.finditer(ttgir):
        inside = found[0].partition("\n")[2]
        if _PRODUCT.search(inside):
            bodies += _innermost(inside) or [inside]
    return bodies


def _hot_loop(body: str, buffers: dict[str, int], index: dict[str, str]) -> HotLoop:
    copies = [
        (index[place], shape, dtype) for pattern in (_COPY, _TMA) for place, shape, dtype in pattern.findall(body)
    ]
    loads = _LOAD.findall(body)
    held = {_plain(name): buffers.get(name, 1) for name, _, _ in copies} | {_plain(name): 0 for name, _, _ in loads}
    return HotLoop(
        buffers=tuple(sorted(held.items())),
        copy_waits=tuple(int(n) for n in re.findall(r"async_wait .*?num = (\d+)", body)),
        product_waits=tuple(int(n) for n in re.findall(r"warp_group_dot_wait .*?pendings = (\d+)", body)),
        num_bytes=sum(_num_bytes(shape, dtype) for _, shape, dtype in (*copies, *loads)),
    )


def _num_bytes(shape: str, dtype: str) -> int:
    """2048 for "64x16" and "bf16"."""
    return prod(int(size) for size in shape.split("x")) * int(re.sub(r"\D", "", dtype)) // 8


def _plain(name: str) -> str:
    """b_x for %b_x_59."""
    return re.sub(r"_\d+$", "", name.lstrip("%"))
