"""Our patch embedding inside other libraries' models: nothing that the host promised may change."""

import copy

import pytest
import torch
from support.kernel_inputs import Draw
from torch import Tensor, nn
from transformers import VideoMAEConfig, VideoMAEModel

from simcrop.core.errors import InputError
from simcrop.kernels import MaskedPatchEmbed3d, accelerate_

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


@pytest.mark.parametrize("backend", BACKENDS)
def test_from_conv3d_shares_parameters_under_its_own_keys(backend: str) -> None:
    conv = nn.Conv3d(2, 10, (4, 3, 2), stride=(4, 3, 2))
    embed = MaskedPatchEmbed3d.from_conv3d(conv, backend=backend)
    assert list(embed.state_dict()) == ["proj.weight", "proj.bias"]
    assert embed.proj.weight is conv.weight
    volume, pos = Draw().normal(2, 2, 8, 9, 10), Draw(1).normal(30, 10)
    wanted = conv(volume).flatten(2).transpose(1, 2)
    torch.testing.assert_close(embed(volume), wanted)
    ids = torch.tensor([[3, 29, 0], [7, 7, 1]])
    picked = (wanted + pos).gather(1, ids[..., None].expand(-1, -1, 10))
    torch.testing.assert_close(embed(volume, ids, pos), picked)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_new_embedding_takes_hu(backend: str) -> None:
    embed = MaskedPatchEmbed3d(1, 10, (4, 3, 2), bias=False, window=(-1000.0, 400.0), backend=backend)
    assert list(embed.state_dict()) == ["proj.weight"]
    volume = torch.randint(-1300, 1300, (1, 1, 8, 9, 10), generator=Draw().generator).short()
    scaled = ((volume.float() + 1000) / 700 - 1).clamp(-1, 1)
    torch.testing.assert_close(embed(volume), embed.proj(scaled).flatten(2).transpose(1, 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 2}, r"stride \(2, 2, 2\) \(must be \(4, 4, 4\)\)"),
        ({"stride": 4, "padding": 1}, r"padding \(1, 1, 1\)"),
        ({"stride": 4, "dilation": 2}, r"dilation \(2, 2, 2\)"),
        ({"stride": 4, "groups": 2}, r"groups 2"),
    ],
)
def test_other_convolutions_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=f"conv: not a patch embedding: {message}"):
        MaskedPatchEmbed3d.from_conv3d(nn.Conv3d(2, 4, 4, **options))


def test_auto_says_what_it_chose_once(caplog: pytest.LogCaptureFixture) -> None:
    from simcrop.kernels import patch_embed_module

    patch_embed_module.say_once.cache_clear()
    embed, volume = MaskedPatchEmbed3d(1, 4, (4, 3, 2)), torch.zeros(1, 1, 8, 9, 10)
    with caplog.at_level("INFO", logger="simcrop"):
        embed(volume)
        embed(volume)
    said = [record.message for record in caplog.records]
    assert said == ["patch embedding on cpu: plain torch, since its tensors are on the CPU"]
