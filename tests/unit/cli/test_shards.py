"""Parts of a job, as they are typed."""

import pytest

from simcrop.core.errors import ConfigError
from simcrop_cli.shards import parse_shard


@pytest.mark.parametrize(("text", "part"), [(None, (0, 1)), ("1/1", (0, 1)), ("1/8", (0, 8)), ("08/8", (7, 8))])
def test_parts_are_counted_from_one(text: str | None, part: tuple[int, int]) -> None:
    assert parse_shard(text) == part


@pytest.mark.parametrize("text", ["", "0/8", "9/8", "1", "1/0", "-1/8", "1/8/9", "a/b", "1/12345678"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--shard .*: parts are numbered 1/N to N/N, such as 1/8$"):
        parse_shard(text)
