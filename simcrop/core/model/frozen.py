"""Keep what autocast makes of weights that never change: it would cast them again in every step."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FrozenLinear(nn.Linear):
    """A linear layer whose weight is not trained. Under autocast it computes the same bits as any other.

    Autocast remembers its copies of trained weights until it ends, and none of frozen ones: a text encoder of BERT's
    size would cast 144 tensors in each of its passes.
    """

    _copies: tuple[Tensor, ...] = ()
    _copied: tuple[object, ...] = ()

    @classmethod
    def of(cls, linear: nn.Linear) -> "FrozenLinear":
        """The layer with the same parameters, not copies of them."""
        frozen = cls(linear.in_features, linear.out_features, linear.bias is not None, device="meta")  # pyright: ignore[reportUnnecessaryComparison]
        frozen.weight, frozen.bias = linear.weight, linear.bias
        return frozen.train(linear.training)

    def forward(self, input: Tensor) -> Tensor:
        """[.., in] -> [.., out]."""
        device = input.device.type
        if torch.compiler.is_compiling() or not torch.is_autocast_enabled(device):
            return super().forward(input)
        return F.linear(input, *self._in(torch.get_autocast_dtype(device)))

    def _in(self, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Weight and bias in a dtype, copied anew after another weight was loaded or moved."""
        parameters = [self.weight, *([] if self.bias is None else [self.bias])]  # pyright: ignore[reportUnnecessaryComparison]
        copied = dtype, *((each.data_ptr(), each._version) for each in parameters)  # pyright: ignore[reportPrivateUsage]
        if copied != self._copied:
            self._copies, self._copied = tuple(each.detach().to(dtype) for each in parameters), copied
        return self._copies


def freeze(module: nn.Module) -> None:
    """Take a module out of training; its linear layers keep what autocast makes of their weights."""
    module.requires_grad_(False)
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Linear:
                setattr(parent, name, FrozenLinear.of(child))
