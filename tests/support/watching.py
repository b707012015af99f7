"""Watch what a piece of work asks of a device: its launches, and the moments at which the CPU would wait for it."""

import traceback
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from simcrop.core.ops import Ops

_VIEWS = frozenset(
    {"view", "expand", "permute", "transpose", "t", "slice", "select", "unsqueeze", "squeeze", "unbind", "detach"}
    | {"alias", "as_strided", "unfold", "split", "split_with_sizes", "diagonal", "_unsafe_view", "_reshape_alias"}
    | {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "lift_fresh", "_local_scalar_dense"}
)
"""Operations that launch nothing."""
_WAITING = frozenset(["_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select"])
_INDEXING = frozenset(["index", "index_put", "index_put_", "_index_put_impl_"])
_READING = frozenset(["tolist", "numpy", "cpu"])
"""Methods that the dispatcher does not see on a CPU."""


class Watch:
    """Counts of what is done within `watching`.

    Attributes:
        launches: by operation; views and empty tensors launch nothing.
        waits: by operation and the line that asked for it.
    """

    def __init__(self) -> None:
        self.launches: Counter[str] = Counter()
        self.waits: Counter[tuple[str, str]] = Counter()
        self._optimizers: Sequence[Optimizer] = ()
        self._looks = True

    @contextmanager
    def watching(self, optimizers: Sequence[Optimizer] = ()) -> Generator[None]:
        """Count meanwhile; optimizers keep their counters of steps on the CPU, where to read them waits for nothing."""
        self._optimizers = optimizers
        with _Functions(self), _Operations(self):
            yield

    def blind(self, ops: Ops) -> Ops:
        """The operations, which are not looked into, neither forward nor backward: on a GPU they are kernels."""

        def hidden(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                looked, self._looks = self._looks, False
                try:
                    result = function(*args, **kwargs)
                finally:
                    self._looks = looked  # a backward pass that calls it again does not look
                for node in _between(args, result if isinstance(result, tuple) else (result,)):
                    node.register_prehook(lambda gradients: setattr(self, "_looks", False))
                    node.register_hook(lambda *gradients: setattr(self, "_looks", True))
                return result

            return call

        names = [each.name for each in fields(ops) if each.name != "name"]
        return replace(ops, **{name: hidden(getattr(ops, name)) for name in names})

    def note_function(self, function: Any, kwargs: dict[str, Any]) -> None:
        """A call of torch from Python."""
        # torch's optimizers write "cpu" for their counters.
        sends = function in (torch.tensor, torch.as_tensor) and isinstance(kwargs.get("device"), torch.device)
        if self._looks and (sends or getattr(function, "__name__", "") in _READING):
            self.waits[function.__name__, _asker()] += 1

    def note_operation(self, operation: Any, args: Sequence[Any]) -> None:
        """What such a call, or autograd, runs."""
        if not self._looks:
            return
        name = operation.overloadpacket.__name__
        self.launches[name] += name not in _VIEWS
        if (name in _WAITING and not self._is_counter(args[0])) or (name in _INDEXING and _has_mask(args[1])):
            self.waits[name, _asker()] += 1

    def _is_counter(self, tensor: Tensor) -> bool:
        states = (state for optimizer in self._optimizers for state in optimizer.state.values())
        return any(state.get("step") is tensor for state in states)


class _Functions(TorchFunctionMode):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._watch.note_function(func, kwargs or {})
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._watch.note_operation(func, args)
        return func(*args, **(kwargs or {}))


def _between(inputs: Sequence[Any], outputs: Sequence[Tensor]) -> set[Node]:
    """The nodes of autograd's graph that lead from the outputs to the inputs."""
    ends = {each.grad_fn for each in inputs if isinstance(each, Tensor)}
    waiting, found = [each.grad_fn for each in outputs], set[Node]()
    while waiting:
        node = waiting.pop()
        # A node with a variable adds up the gradient of a parameter.
        if node is not None and node not in ends and node not in found and not hasattr(node, "variable"):
            found.add(node)
            waiting += [following for following, _ in node.next_functions]
    return found


def _has_mask(indices: Sequence[Tensor | None]) -> bool:
    return any(index is not None and index.dtype == torch.bool for index in indices)


def _asker() -> str:
    frames = [frame for frame in traceback.extract_stack() if "support" not in frame.filename]
    ours = [frame for frame in frames if "/simcrop/" in frame.filename or "/transformers/" in frame.filename]
    frame = (ours or frames)[-1]
    return f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno}"
