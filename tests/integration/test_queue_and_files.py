"""What a long queue costs the scheduler, and who may read the database's files."""

import asyncio
import stat
from pathlib import Path

from api.domain.entities import Workspace
from api.services import start_next_step
from tests.integration.api_in_process import api_in


def test_who_must_wait_is_no_work(tmp_path: Path) -> None:
    """A workspace whose runs all wait for one under way is not looked at again; a plan-only run of it is."""

    async def scenario() -> None:
        async with api_in(tmp_path) as api:
            workspace = await api.workspace()
            await api.uploaded(workspace)
            workspace_id = workspace.rpartition("/")[2]
            first = await api.job(workspace)
            for _ in range(3):
                await api.job(workspace)
            async with api.ports.database.reading() as tx:
                assert await tx.workspaces_with_work() == (workspace_id,)
                startable = await tx.startable_runs(workspace_id)
                assert [run.id for run in startable] == [first["attributes"]["runId"]]
            assert len(await start_next_step.start_next_step(api.ports, workspace_id)) == 1
            async with api.ports.database.reading() as tx:
                assert await tx.workspaces_with_work() == ()
                place = await tx.get(Workspace, workspace_id)
            assert place is not None
            assert place.taken_by == first["attributes"]["runId"]
            await api.job(workspace, templateReference="Plan")
            async with api.ports.database.reading() as tx:
                assert await tx.workspaces_with_work() == (workspace_id,)
            assert len(await start_next_step.start_next_step(api.ports, workspace_id)) == 1

    asyncio.run(scenario())


def test_the_database_is_its_owners(tmp_path: Path) -> None:
    """Whatever umask and directory it is given: nobody else can read the database's files."""
    tmp_path.chmod(0o755)
    (tmp_path / "podform.db").touch(mode=0o644)

    modes: dict[str, int] = {}

    def files() -> list[Path]:
        return list(tmp_path.glob("podform.db*"))

    async def scenario() -> None:
        async with api_in(tmp_path) as api:
            await api.workspace()
            modes.update({path.name: stat.S_IMODE(path.stat().st_mode) for path in files()})

    asyncio.run(scenario())
    assert len(modes) > 2
    assert set(modes.values()) == {0o600}
