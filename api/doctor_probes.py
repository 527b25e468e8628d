"""What the doctor asks beside database and store: disk, clock of the scheduler, engines, the executors' way to the API.

Put together by app.py, which alone knows what there is. Each probe answers with findings and changes nothing.
"""

import asyncio
import os
import shutil
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from api.domain.findings import FAILED, OK, WARNING, Finding
from api.services.doctor import Probe
from api.services.ports import Ports
from common.launcher_port import AsksRights, Launcher, Right

_REACH_SECONDS = 5
_LOOPBACK = ("localhost", "127.", "[::1]")


def probes(checks: Mapping[str, Callable[[], str]], data: Path, launchers: Mapping[str, Launcher]) -> dict[str, Probe]:
    """The probes by name; `checks` are those of `/readyz`, asked as they stand when the doctor comes."""

    async def parts(_ports: Ports) -> Sequence[Finding]:
        asked = {name: check() for name, check in checks.items() if name != "disk"}
        return [
            Finding(name, FAILED, said, "restart the API; its log says more") for name, said in asked.items() if said
        ]

    async def disk(_ports: Ports) -> Sequence[Finding]:
        problem = checks["disk"]()
        free = shutil.disk_usage(data).free // 1024**2
        advice = "make room where PODFORM_DATA_DIR lies"
        return [Finding("disk", FAILED, problem, advice) if problem else Finding("disk", OK, f"{free} MiB free")]

    async def cluster(_ports: Ports) -> Sequence[Finding]:
        asked = [launcher for launcher in launchers.values() if isinstance(launcher, AsksRights)]
        return [_of(right) for launcher in asked for right in await launcher.rights()]

    found: dict[str, Probe] = {"parts": parts, "disk": disk, "api_url": _api_url, "cluster": cluster}
    return found | ({"engines": _engines} if "process" in launchers else {})


async def _engines(_ports: Ports) -> Sequence[Finding]:
    there = [name for name in ("terraform", "tofu") if shutil.which(name, path=os.environ.get("PATH"))]
    if there:
        return [Finding("engines", OK, f"on PATH: {', '.join(there)}")]
    advice = "install one, or see that the executor finds one in its cache"
    return [Finding("engines", WARNING, "neither terraform nor tofu is on the API's PATH", advice)]


async def _api_url(ports: Ports) -> Sequence[Finding]:
    """Whether the address that executors are given leads here: exact on one machine, a hint in a cluster."""
    url = ports.rules.api_url
    name, setting = "executors' way to the API", "see AzBuilderApiUrl"
    if ports.rules.kubernetes_enabled and url.partition("://")[2].startswith(_LOOPBACK):
        return [Finding(name, FAILED, f"{url} means the pod itself to an executor in another pod", setting)]
    try:
        answer = await asyncio.to_thread(_asked, f"{url}/healthz")
    except (OSError, ValueError) as error:
        return [Finding(name, FAILED, f"{url} cannot be reached from here ({type(error).__name__})", setting)]
    if answer != 200:
        return [Finding(name, FAILED, f"{url}/healthz answers {answer}: something else is there", setting)]
    return [Finding(name, OK, f"{url} answers")]


def _asked(url: str) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=_REACH_SECONDS) as answer:
        return int(answer.status)


def _of(right: Right) -> Finding:
    name = f"cluster: {right.what}"
    if right.allowed:
        return Finding(name, OK, "allowed")
    said = f"not allowed{f' ({right.reason})' if right.reason else ''}"
    if right.needed:
        return Finding(name, FAILED, said, "add it to the API's Role: k8s/manifests/role.yaml")
    return Finding(
        name, WARNING, said, "why a pod does not start is not told without: k8s/manifests/role-diagnosis.yaml"
    )
