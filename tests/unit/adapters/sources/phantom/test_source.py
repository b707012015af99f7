"""Phantoms as a data set of a run."""

from pathlib import Path

from simcrop.adapters.config.run import DataSettings
from simcrop.adapters.sources.ct_rate import CTRateSource
from simcrop.adapters.sources.phantom.source import PhantomSource
from simcrop.core.data.problems import refuse
from simcrop.core.evaluation.published import UNPUBLISHED


def test_phantoms_are_made_once_and_read_as_ct_rate_is(tmp_path: Path) -> None:
    data = DataSettings(root=tmp_path / "chests", cases=2, validation_fraction=0.5)
    source = PhantomSource.build(data, refuse)
    times = {path: path.stat().st_mtime_ns for path in source.files()}
    again = PhantomSource.build(data, refuse)
    assert {path: path.stat().st_mtime_ns for path in again.files()} == times
    assert len(source.studies()) == 2
    assert source.studies() == CTRateSource(tmp_path / "chests").studies()
    assert source.identity == CTRateSource(tmp_path / "chests").identity


def test_phantoms_have_a_licence_and_words_of_their_own_and_no_published_probe() -> None:
    described = PhantomSource.described(DataSettings(cases=8, validation_fraction=0.25))
    assert described == "8 generated phantom chests, 25% of their patients held out"
    assert PhantomSource.published is UNPUBLISHED
    assert "bind nobody" in PhantomSource.licence
    assert "CC BY-NC-SA and gated" in CTRateSource.licence
