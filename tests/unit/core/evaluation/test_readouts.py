"""Read-outs of a model: their columns, and one pass for all."""

import pytest
import torch
from support.tiny import MODEL, make_model

from simcrop.core.evaluation.features import probe_features
from simcrop.core.evaluation.prototypes import prototype_scores
from simcrop.core.evaluation.readouts import model_rows, read_depths, read_out, token_rows


@pytest.mark.parametrize(("depth", "read"), [(1, [1]), (2, [1, 2]), (4, [1, 2, 3, 4]), (12, [3, 6, 9, 12])])
def test_the_blocks_that_end_a_quarter_are_read(depth: int, read: list[int]) -> None:
    assert read_depths(depth) == read


def test_each_read_out_is_what_it_says() -> None:
    model = make_model().eval()
    volume = torch.randint(-1000, 1000, (2, 1, 8, 8, 8), dtype=torch.int16)
    centres = torch.eye(8)[:3]
    passes: list[int] = []
    model.encoder.patch_embed.register_forward_hook(lambda *_: passes.append(1))
    rows = model_rows(model, volume, centres)
    assert len(passes) == 1
    tokens = model.encoder.encode(volume, normalized=False)[:, 1:]
    mean = probe_features(model.encoder, volume)
    torch.testing.assert_close(read_out(rows, "encoder", MODEL), mean)
    torch.testing.assert_close(read_out(rows, "max", MODEL), torch.cat([mean, tokens.amax(1)], 1))
    torch.testing.assert_close(read_out(rows, "layers", MODEL), mean)
    scores = prototype_scores(model.patch_features(volume), centres)
    torch.testing.assert_close(read_out(rows, "prototypes", MODEL), scores)
    torch.testing.assert_close(token_rows(model.encoder, volume), rows[:, : 2 * MODEL.embed_dim])
