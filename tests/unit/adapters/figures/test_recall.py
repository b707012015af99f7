"""Recall over the number of candidates."""

from simcrop.adapters.figures.recall import recall_figure


def test_both_directions_and_chance_are_drawn_from_one_candidate_on() -> None:
    chance = (0.25, 0.5, 0.75, 1.0)
    curves = {"a": (0.5, 0.5, 1.0, 1.0), "b": (0.25, 0.75, 0.75, 1.0)}
    [axes] = recall_figure(curves, chance, title="t").axes
    drawn = {line.get_label(): line.get_xydata().T.tolist() for line in axes.get_lines()}
    at = [1, 2, 3, 4]
    assert drawn == {"a": [at, [0.5, 0.5, 1, 1]], "b": [at, [0.25, 0.75, 0.75, 1]], "chance": [at, list(chance)]}
    assert axes.get_xscale() == "log"
    assert axes.get_xlim() == (1, 4)
