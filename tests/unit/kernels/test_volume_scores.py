"""The kernels of sentence_volume_scores against its definition; test_cosines has the rest."""

from support.kernel_inputs import pairs_call
from support.parity import assert_parity, on_device

from simcrop.kernels import TRITON

SCORES = "sentence_volume_scores"


def test_more_volumes_than_studies_and_more_sentences_than_a_program_takes() -> None:
    assert_parity(pairs_call(SCORES, studies=3, volumes=4, sentences=30, patches=40, features=12, k=2))


def test_no_volumes() -> None:
    scores = on_device(pairs_call(SCORES, volumes=0)).forward(TRITON)["result"]
    assert scores.shape == (2, 0, 5)
