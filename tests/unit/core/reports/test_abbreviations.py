"""The tables of abbreviations agree with one another."""

from simcrop.core.reports.abbreviations import BEFORE_NUMBERS, NEVER_LAST, SOMETIMES_LAST, STARTERS, TERMINAL

WORDS_OF_REPORTS = (
    "no in clear normal left right lung heart mm cm links rechts droit gauche direita esquerda sağ sol нет см мм"
)


def test_no_usual_last_word_of_a_report_is_an_abbreviation() -> None:
    assert (NEVER_LAST | SOMETIMES_LAST | TERMINAL).isdisjoint(WORDS_OF_REPORTS.split())


def test_a_word_stands_in_one_table() -> None:
    assert not (NEVER_LAST | SOMETIMES_LAST) & TERMINAL
    assert not NEVER_LAST & BEFORE_NUMBERS
    assert not (NEVER_LAST | SOMETIMES_LAST) & STARTERS - {"der", "sin"}  # Spanish and Italian sides


def test_they_are_written_as_they_are_compared() -> None:
    for table in (NEVER_LAST, SOMETIMES_LAST, TERMINAL, BEFORE_NUMBERS, STARTERS):
        assert all(word == word.casefold().strip(".") for word in table)
