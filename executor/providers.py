"""How terraform comes by its providers: the CLI configuration of one step, and what it leaves for later steps.

Called by the init action. A cached package is offered only where the lock file pins it by checksum, which
terraform itself checks again: so what another step may have put into the cache is never taken on trust.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from executor import engines, provider_lock, workdir
from executor.provider_cache import ProviderCache, directory_hash
from executor.provider_lock import LockedProvider
from executor.step import Step

LOCK_FILE_NAME = ".terraform.lock.hcl"

#: Where terraform looks by itself when nothing is configured: beside the configuration, and on the system.
_BUNDLED = "terraform.d/plugins"
_IMPLIED = (Path("/usr/local/share/terraform/plugins"), Path("/usr/share/terraform/plugins"))


def offer(step: Step) -> list[Path]:
    """Write the CLI configuration; the cached packages that it offers."""
    offered: dict[str, Path] = {}
    if step.settings.provider_cache is not None:
        cache = ProviderCache(step.settings.provider_cache)
        for locked in _locked(step):
            package = cache.find(locked.directory_hashes)
            if package is not None:
                _link(step.work.providers, locked, package)
                offered[locked.address] = package
    own = (step.directory / _BUNDLED, *_IMPLIED)  # an explicit configuration would leave them out
    mirrors = {path: mirrored(path) for path in (*step.settings.provider_mirrors, *own)}
    network = step.settings.provider_network_mirror
    text = cli_configuration(str(step.work.providers), sorted(offered), mirrors, network)
    workdir.write_private(step.work.cli_configuration, text.encode())
    return list(offered.values())


def withdraw(step: Step, offered: Sequence[Path]) -> bool:
    """After a failed init: take damaged packages out of the cache; whether there were any."""
    if step.settings.provider_cache is None or not offered:
        return False
    damaged = ProviderCache(step.settings.provider_cache).withdraw_damaged(offered)
    for path in damaged:
        step.log.say(f"the cached provider {path.name[:12]} was damaged and is left out from now on")
    if damaged:
        workdir.remove(step.work.providers)
        step.work.providers.mkdir(mode=0o700)
    return bool(damaged)


def keep(step: Step) -> None:
    """After init: keep what terraform has newly installed for later steps on this machine."""
    if step.settings.provider_cache is None:
        return
    cache = ProviderCache(step.settings.provider_cache)
    try:
        for locked in _locked(step):
            package = step.directory / ".terraform/providers" / locked.address / locked.version / engines.platform()
            # a link leads to the cache or to a mirror: it was not downloaded
            if package.is_symlink() or not package.is_dir() or cache.find(locked.directory_hashes):
                continue
            found = directory_hash(package)
            if found in locked.directory_hashes:
                cache.keep(package, found)
    except OSError as error:
        step.log.say(f"the providers could not be kept for later steps: {error.strerror}")


def mirrored(mirror: Path) -> list[str]:
    """The addresses of the providers in a mirror directory, packed or unpacked."""
    found = set()
    for path in mirror.glob("*/*/*"):
        if path.is_dir() and any(path.iterdir()):
            found.add(path.relative_to(mirror).as_posix())
    return sorted(found)


def cli_configuration(links: str, cached: Sequence[str], mirrors: dict[Path, list[str]], network: str = "") -> str:
    """Terraform's CLI configuration: cached packages from their links, mirrored ones from mirrors, the rest from
    the network mirror or, without one, from their registries.

    A provider that is in a place comes from that place alone: terraform would ask every other one for newer versions.
    """
    blocks = [_block("filesystem_mirror", path=links, include=cached)] if cached else []
    for mirror, addresses in mirrors.items():
        included = [address for address in addresses if address not in cached]
        if included:
            blocks.append(_block("filesystem_mirror", path=str(mirror), include=included))
    elsewhere = sorted({*cached, *(address for addresses in mirrors.values() for address in addresses)})
    if network:
        blocks.append(_block("network_mirror", url=network, exclude=elsewhere))
    else:
        blocks.append(_block("direct", exclude=elsewhere))
    return "provider_installation {\n" + "".join(blocks) + "}\n"


def _block(kind: str, include: Iterable[str] = (), exclude: Iterable[str] = (), **texts: str) -> str:
    lines = [f"    {name} = {_quoted(text)}\n" for name, text in texts.items()]
    for name, addresses in (("include", include), ("exclude", exclude)):
        quoted = ", ".join(_quoted(address) for address in addresses)
        lines += [f"    {name} = [{quoted}]\n"] if quoted else []
    return f"  {kind} {{\n{''.join(lines)}  }}\n"


def _quoted(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def _locked(step: Step) -> tuple[LockedProvider, ...]:
    data = workdir.read_regular(step.directory / LOCK_FILE_NAME) or b""
    return provider_lock.parse(data.decode("utf-8", "replace").replace("\r\n", "\n"))


def _link(links: Path, locked: LockedProvider, package: Path) -> None:
    link = links / locked.address / locked.version / engines.platform()
    link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.symlink(package, link)  # noqa: PTH211 - reads in the direction it is meant
