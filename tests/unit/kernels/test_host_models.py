"""Our patch embedding inside other libraries' models: nothing that the host promised may change."""

import copy

import pytest
import torch
from support.kernel_inputs import Draw
from torch import Tensor, nn
from transformers import VideoMAEConfig, VideoMAEModel

from simcrop.core.errors import InputError
from simcrop.kernels import accelerate_

monai = pytest.importorskip("monai.networks.nets")
BACKENDS = ["triton", "reference", "auto"]


def monai_vit() -> nn.Module:
    torch.manual_seed(0)
    return monai.ViT(
        in_channels=1,
        img_size=(16, 12, 8),
        patch_size=(8, 6, 4),
        hidden_size=24,
        mlp_dim=32,
        num_layers=2,
        num_heads=3,
        proj_type="conv",
    )


def videomae() -> VideoMAEModel:
    torch.manual_seed(0)
    config = VideoMAEConfig(
        image_size=16,
        patch_size=8,
        num_channels=2,
        num_frames=6,
        tubelet_size=2,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=32,
    )
    return VideoMAEModel(config)


def run(model: nn.Module, *inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Result and gradients."""
    model.zero_grad()
    result = model(*inputs)
    tokens = result[0]
    tokens.square().mean().backward()
    return tokens.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("host", ["monai", "videomae", "videomae, half of it masked"])
def test_state_dict_outputs_and_gradients_stay_the_hosts(host: str, backend: str) -> None:
    draw = Draw(1)
    if host == "monai":
        model, inputs = monai_vit(), (draw.normal(2, 1, 16, 12, 8),)
    else:
        # Each study hides other tubelets, and as many.
        mask = torch.stack([torch.randperm(12, generator=draw.generator) < 6 for _ in range(2)])
        model, inputs = videomae(), (draw.normal(2, 6, 2, 16, 16), *((mask,) if "masked" in host else ()))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    pointers = {name: p.data_ptr() for name, p in model.named_parameters()}
    names = [name for name, _ in model.named_modules()]
    wanted, wanted_gradients = run(model, *inputs)

    assert accelerate_(model, backend=backend) is model
    tokens, gradients = run(model, *inputs)

    assert {name: p.data_ptr() for name, p in model.named_parameters()} == pointers
    assert [name for name, _ in model.named_modules()] == names
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())
    torch.testing.assert_close(tokens, wanted)
    assert gradients.keys() == wanted_gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, wanted_gradients[name], msg=lambda text, name=name: f"{name}: {text}")


def test_it_is_our_embedding_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's convolution is not called any more."""
    model = accelerate_(monai_vit(), backend="reference")

    def refuse(*_: object) -> None:
        raise AssertionError("the Conv3d was called")

    monkeypatch.setattr(nn.Conv3d, "forward", refuse)
    assert model(Draw().normal(1, 1, 16, 12, 8))[0].shape == (1, 8, 24)


def test_a_copy_has_weights_of_its_own() -> None:
    """As for averaged weights: a copy that went on using the original's would look right and be wrong."""
    model = accelerate_(monai_vit(), backend="reference")
    volume = Draw().normal(1, 1, 16, 12, 8)
    before = model(volume)[0]
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(copied(volume)[0], before)


def test_an_unknown_host_is_refused() -> None:
    with pytest.raises(InputError, match=r"Linear holds no patch embedding that is known here \(monai's"):
        accelerate_(nn.Linear(1, 1))


def test_a_projection_that_is_no_convolution_is_refused() -> None:
    model = monai_vit()
    model.get_submodule("patch_embedding").patch_embeddings = nn.Sequential(nn.Linear(192, 24))
    with pytest.raises(InputError, match="the patch embedding projects by Sequential; needs a Conv3d"):
        accelerate_(model)


def test_rows_that_mask_unequally_are_refused() -> None:
    model = accelerate_(videomae())
    mask = torch.zeros(2, 12, dtype=torch.bool)
    mask[0, 0] = True
    with pytest.raises(InputError, match=r"bool_masked_pos: every row must leave equally many visible, got \[11, 12\]"):
        model(Draw().normal(2, 6, 2, 16, 16), mask)
