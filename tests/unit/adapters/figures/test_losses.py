"""Losses over the steps of a run, as curves."""

from simcrop.adapters.figures.losses import curves_figure


def test_curves_skip_what_a_step_lacks() -> None:
    rows = [{"step": 1, "loss": 3.0, "loss_report": 2.0}, {"step": 2, "loss": None, "loss_report": 1.5}]
    rows += [{"step": 3, "loss": 1.0, "loss_report": 1.0, "validation_loss": 4.0}]
    figure = curves_figure(rows, title="t")
    total, report = figure.axes
    assert [axes.get_title() for axes in (total, report)] == ["total", "report"]
    assert total.get_lines()[0].get_xydata().tolist() == [[1, 3], [3, 1]]
    assert total.get_lines()[1].get_xydata().tolist() == [[3, 4]]
    assert report.get_lines()[0].get_xydata().tolist() == [[1, 2], [2, 1.5], [3, 1]]
