"""YAML as text: what stays as it was written, and what is refused with its place."""

import pytest

from simcrop.adapters.config.yaml_text import format_yaml, parse_yaml
from simcrop.core.errors import ConfigError


def test_scalars_stay_text_and_plain_nulls_alone_become_none() -> None:
    tree = parse_yaml("a: 1e-3\nb: no\nc: [~, null, 'null', '']\nd: !!int 3\ne:", "here")
    assert tree == {"a": "1e-3", "b": "no", "c": [None, None, "null", ""], "d": "3", "e": None}


def test_a_tag_constructs_nothing() -> None:
    assert parse_yaml("!!python/object/apply:os.getcwd []", "here") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "here: line 3, column 1: not valid YAML (the key 'a' stands twice)"),
        ("a: [1", "here: line 1, column 6: not valid YAML (expected ',' or ']'"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_yaml(text, "here")
    assert str(refused.value).startswith(message)


def test_written_text_keeps_the_order_and_puts_a_list_on_one_line() -> None:
    assert format_yaml({"b": {"size": [1, 2.5]}, "a": None, "c": "ü"}) == "b:\n  size: [1, 2.5]\na: null\nc: ü\n"
