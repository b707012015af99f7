"""A patch embedding for any model, of a convolution or new."""

import pytest
import torch
from support.kernel_inputs import Draw
from torch import nn

from simcrop.core.errors import InputError
from simcrop.kernels import MaskedPatchEmbed3d

BACKENDS = ["triton", "reference", "auto"]


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


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_windows_have_channels_of_their_own(backend: str) -> None:
    windows = ((-1000.0, 400.0), (0.0, 200.0))
    embed = MaskedPatchEmbed3d(1, 10, (4, 3, 2), window=windows, backend=backend)
    assert embed.proj.weight.shape == (10, 2, 4, 3, 2)
    volume = torch.randint(-1300, 1300, (1, 1, 8, 9, 10), generator=Draw().generator).short()
    stacked = torch.cat([(volume.float() + 1000) / 700 - 1, volume / 100 - 1], 1).clamp(-1, 1)
    wanted = embed.proj(stacked).flatten(2).transpose(1, 2)
    torch.testing.assert_close(embed(volume), wanted)
    shared = MaskedPatchEmbed3d.from_conv3d(embed.proj, window=windows, backend=backend)
    torch.testing.assert_close(shared(volume), wanted)


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
