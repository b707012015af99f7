"""Several texts side by side."""

from simcrop.core.reports.tokens import Encoding, padded


def test_texts_are_padded_to_the_longest() -> None:
    tokens = padded([Encoding((2, 3), (-1, -1), 0), Encoding((2, 8, 9, 3), (-1, 0, 1, -1), 1)], pad_id=7)
    assert tokens.ids.tolist() == [[2, 3, 7, 7], [2, 8, 9, 3]]
    assert tokens.mask.tolist() == [[True, True, False, False], [True] * 4]
    assert tokens.sentence_of_token.tolist() == [[-1, -1, -1, -1], [-1, 0, 1, -1]]
