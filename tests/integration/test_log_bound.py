"""A log has a bound: what is kept of a longer one ends with a line that says so, and its step is never held up."""

import asyncio
import random
from pathlib import Path

import pytest

from api.persistence.logs import FileLogs
from api.services.ports import LogGapError

BOUND = 5000


@pytest.mark.parametrize("seed", range(20))
def test_a_log_is_cut_once_however_it_arrives(tmp_path: Path, seed: int) -> None:
    """Chunks of any size, each perhaps repeated, and a crash anywhere behind the bound: the same bytes are kept."""
    chance = random.Random(seed)
    whole = chance.randbytes(chance.choice([BOUND - 1, BOUND, BOUND + 1, 4 * BOUND]))

    async def story() -> bytes:
        offset = 0
        while offset < len(whole):
            logs = FileLogs(tmp_path, BOUND)
            begin = chance.randint(max(0, offset - 300), offset)  # a repeat of what was acknowledged already
            chunk = whole[begin : offset + chance.randint(1, 2000)]
            offset = max(offset, await logs.append("a", begin, chunk))
            path = tmp_path / "a.log"
            if path.stat().st_size > BOUND and chance.random() < 0.5:
                with path.open("r+b") as file:  # the line was being written when the process ended
                    file.truncate(chance.randint(BOUND, path.stat().st_size))
                await FileLogs(tmp_path, BOUND).append("a", begin, chunk)
        assert offset == len(whole)
        return await FileLogs(tmp_path, BOUND).read("a", 0, 10 * BOUND)

    kept = asyncio.run(story())
    assert kept[:BOUND] == whole[:BOUND]
    line = kept[BOUND:]
    assert (b"the log was cut here: it has 5000 bytes" in line) == (len(whole) > BOUND)
    assert line.count(b"\n") == (2 if len(whole) > BOUND else 0)


def test_a_gap_below_the_bound_is_refused(tmp_path: Path) -> None:
    """As in any log; the offset to go on at is told."""

    async def story() -> None:
        logs = FileLogs(tmp_path, BOUND)
        assert await logs.append("a", 0, b"12345") == 5
        with pytest.raises(LogGapError) as gap:
            await logs.append("a", 6, b"7")
        assert gap.value.expected == 5
        assert await logs.append("a", 1, b"23") == 5

    asyncio.run(story())
