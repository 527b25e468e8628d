"""A kubelet that runs what a pod's manifest says: its own command and environment, as a real local process.

Driven by the stand-in cluster's tick. A pod's container is a session of its own; SIGTERM goes to its first
process alone and SIGKILL to all of it, as in a real pod. Faults decide what happens instead of a start.
"""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from tests.fakes.kube.job_controller import FINAL_PHASES
from tests.fakes.kube.store import Store, now

Json = dict[str, Any]
NODE = "node-1"
STRING_LIMIT = 131_072  # bytes of one environment string: name, '=', value and NUL
#: `python3` is this virtual environment's, as in the image it is the one with the executor
IMAGE_PATHS = (str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin")
_REFERENCE = re.compile(r"\$\$|\$\(([^)]+)\)")


class Fault(StrEnum):
    """What can be switched on; it holds for every container that has not been started yet."""

    UNSCHEDULABLE = "unschedulable"
    IMAGE_PULL = "image_pull"
    START_ERROR = "start_error"
    SLOW_START = "slow_start"  # ContainerCreating for as long as it is on


@dataclass
class Container:
    """One started container."""

    process: subprocess.Popen[bytes]
    sessions: set[int] = field(default_factory=set)
    terminating_since: float | None = None
    killed_for: str = ""


class NotStartable(Exception):  # noqa: N818 - a waiting reason, not an error of the stand-in
    """The container cannot be created: waiting reason and message."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Kubelet:
    """Runs the pods of a store; `tick` is called often."""

    def __init__(self, store: Store, root: Path) -> None:
        self.store = store
        self.root = root
        self.faults: set[Fault] = set()
        self.containers: dict[str, Container] = {}
        self._users: dict[Path, str] = {}  # directory -> uid of the pod that has it mounted
        self.extra_environment: dict[str, str] = {}  # what the image would set
        self.image_path: Path | None = None  # programs of the image, found before all others

    def tick(self) -> None:
        """Look at every pod once."""
        for pod in self.store.all("pods"):
            container = self.containers.get(pod["metadata"]["uid"])
            if container is not None:
                self._watch(pod, container)
            elif pod["status"]["phase"] in FINAL_PHASES or pod["metadata"].get("deletionTimestamp"):
                self._let_go(pod)
            else:
                self._bring_up(pod)

    def close(self) -> None:
        """Kill whatever still runs."""
        for container in self.containers.values():
            _kill_all(container)
            container.process.wait()

    def kill(self, pod: Json, reason: str) -> None:
        """Kill a running container at once (`OOMKilled`, or `Error` for a node that died)."""
        container = self.containers.get(pod["metadata"]["uid"])
        if container is not None:
            container.killed_for = reason
            _kill_all(container)

    def log_path(self, pod: Json) -> Path:
        """Where the container's output is."""
        return self.root / str(pod["metadata"]["name"]) / "log"

    def _bring_up(self, pod: Json) -> None:
        if Fault.UNSCHEDULABLE in self.faults:
            message = "0/1 nodes are available: 1 Insufficient memory. preemption: not eligible"
            self._set(pod, condition=_condition("PodScheduled", "False", "Unschedulable", message))
            return
        self._set(pod, node=NODE, condition=_condition("PodScheduled", "True", "", ""))
        if Fault.IMAGE_PULL in self.faults:
            image = pod["spec"]["containers"][0]["image"]
            self._waiting(pod, "ImagePullBackOff", f'Back-off pulling image "{image}": not found')
        elif Fault.SLOW_START in self.faults:
            self._waiting(pod, "ContainerCreating", "")
        elif Fault.START_ERROR in self.faults:
            message = "failed to create containerd task: failed to create shim task: OCI runtime create failed"
            self._ended(pod, 128, "StartError", message)
        else:
            self._start(pod)

    def _start(self, pod: Json) -> None:
        spec = pod["spec"]["containers"][0]
        directory = self.root / str(pod["metadata"]["name"])
        try:
            paths = self._mounts(pod, directory)
            environment = self._environment(pod, spec, paths)
        except NotStartable as reason:
            self._waiting(pod, reason.reason, str(reason))
            return
        if any("\0" in value for value in environment.values()):
            self._ended(pod, 128, "StartError", "error during container init: invalid environment: NUL in a value")
            return
        log = self.log_path(pod)
        if any(len(os.fsencode(f"{name}={value}")) + 1 > STRING_LIMIT for name, value in environment.items()):
            log.write_text(f"exec {spec['command'][0]}: argument list too long\n")
            self._ended(pod, 1, "Error", "")
            return
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*spec["command"], *spec.get("args", [])],
                env=environment,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.containers[pod["metadata"]["uid"]] = Container(process)
        self._set(pod, phase="Running", state={"running": {"startedAt": now()}})

    def _mounts(self, pod: Json, directory: Path) -> dict[str, str]:
        """mountPath -> directory on this machine; the work directory is mapped even without a volume."""
        (directory / "home").mkdir(parents=True, exist_ok=True)
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
        paths: dict[str, str] = {}
        for mount in pod["spec"]["containers"][0].get("volumeMounts", []):
            target = self._fresh(pod, mount["name"])
            paths[mount["mountPath"]] = str(target)
            secret = volumes[mount["name"]].get("secret")
            if secret:
                for key, value in self._mounted_secret(pod, mount["name"], secret["secretName"]).items():
                    (target / key).write_text(value)
        for entry in pod["spec"]["containers"][0].get("env", []):
            value = entry.get("value", "")
            if entry["name"].endswith("_DIR") and value.startswith("/") and value not in paths:
                paths[value] = str(self._fresh(pod, value.strip("/").replace("/", "-")))
        return paths

    def _fresh(self, pod: Json, name: str) -> Path:
        """An empty directory for a pod, at the same path for all pods of a run: in a real cluster every pod has the
        same paths, and a plan file holds some. What an earlier pod left is moved beside that pod's log."""
        run = (pod["metadata"].get("labels") or {}).get("podform.io/run", pod["metadata"]["name"])
        target = self.root.parent / "mounts" / str(run) / name
        user = self._users.get(target)
        if user is not None and user != pod["metadata"]["uid"]:
            other = self.containers.get(user)
            if other is not None and other.process.poll() is None:
                target = target.with_name(f"{name}-{pod['metadata']['uid']}")
            elif target.exists():
                target.rename(self.root / f"{name}-{user}")
        self._users[target] = pod["metadata"]["uid"]
        target.mkdir(parents=True, exist_ok=True)
        return target

    def _environment(self, pod: Json, spec: Json, paths: dict[str, str]) -> dict[str, str]:
        found = {
            "PATH": ":".join([*([str(self.image_path)] if self.image_path else []), *IMAGE_PATHS]),
            "HOME": str(self.root / str(pod["metadata"]["name"]) / "home"),
            "TMPDIR": paths.get("/tmp", str(self.root)),  # noqa: S108 - the pod's /tmp
            **self.extra_environment,
        }
        for source in spec.get("envFrom", []):
            found |= self._secret(pod, source["secretRef"]["name"])
        for entry in spec.get("env", []):
            reference = entry.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                found[entry["name"]] = self._secret_key(pod, reference)
            else:
                found[entry["name"]] = _mapped(_expanded(entry.get("value", ""), found), paths)
        return found

    def _secret(self, pod: Json, name: str) -> dict[str, str]:
        secret = self.store.find("secrets", pod["metadata"]["namespace"], name)
        if secret is None:
            raise NotStartable("CreateContainerConfigError", f'secret "{name}" not found')
        return dict(secret["data"])

    def _mounted_secret(self, pod: Json, volume: str, name: str) -> dict[str, str]:
        """A missing one leaves the container creating for ever; the words are in an event of the pod alone."""
        try:
            return self._secret(pod, name)
        except NotStartable as missing:
            self._event(pod, "FailedMount", f'MountVolume.SetUp failed for volume "{volume}" : {missing}')
            raise NotStartable("ContainerCreating", "") from missing

    def _event(self, pod: Json, reason: str, message: str) -> None:
        metadata = pod["metadata"]
        name = f"{metadata['name']}.{reason.lower()}"
        if self.store.find("events", metadata["namespace"], name) is None:
            involved = {"kind": "Pod", **{key: metadata[key] for key in ("name", "namespace", "uid")}}
            fields = {"involvedObject": involved, "type": "Warning", "reason": reason, "message": message}
            self.store.add("events", {"metadata": {"name": name, "namespace": metadata["namespace"]}, **fields})

    def _secret_key(self, pod: Json, reference: Json) -> str:
        data = self._secret(pod, reference["name"])
        if reference["key"] not in data:
            where = f"{pod['metadata']['namespace']}/{reference['name']}"
            message = f"couldn't find key {reference['key']} in Secret {where}"
            raise NotStartable("CreateContainerConfigError", message)
        return data[reference["key"]]

    def _watch(self, pod: Json, container: Container) -> None:
        code = container.process.poll()
        if code is None:
            container.sessions |= _sessions_below(container.process.pid)
            self._terminate(pod, container)
            return
        _kill_all(container)  # a PID namespace ends with its first process
        if pod["status"]["phase"] not in FINAL_PHASES:
            exit_code = 128 - code if code < 0 else code
            reason = container.killed_for or ("Completed" if exit_code == 0 else "Error")
            self._ended(pod, exit_code, reason, "")
        self._let_go(pod)

    def _terminate(self, pod: Json, container: Container) -> None:
        if not pod["metadata"].get("deletionTimestamp"):
            return
        if container.terminating_since is None:
            container.terminating_since = time.monotonic()
            container.process.send_signal(signal.SIGTERM)
        grace = pod["metadata"].get("deletionGracePeriodSeconds", 30)
        if time.monotonic() - container.terminating_since >= grace:
            _kill_all(container)

    def _let_go(self, pod: Json) -> None:
        if not pod["metadata"].get("deletionTimestamp"):
            return
        if pod["status"]["phase"] not in FINAL_PHASES:
            self._set(pod, phase="Failed")
        self.store.remove("pods", pod)

    def _waiting(self, pod: Json, reason: str, message: str) -> None:
        self._set(pod, state={"waiting": {"reason": reason, **({"message": message} if message else {})}})

    def _ended(self, pod: Json, exit_code: int, reason: str, message: str) -> None:
        terminated = {"exitCode": exit_code, "reason": reason, "finishedAt": now()}
        if message:
            terminated["message"] = message
        phase = "Succeeded" if exit_code == 0 else "Failed"
        self._set(pod, phase=phase, state={"terminated": terminated})

    def _set(
        self, pod: Json, *, phase: str = "", node: str = "", condition: Json | None = None, state: Json | None = None
    ) -> None:
        def edit(pod: Json) -> None:
            status = pod["status"]
            if phase:
                status["phase"] = phase
            if node:
                pod["spec"]["nodeName"] = node
            if condition:
                merge_condition(pod, condition)
            if state:
                container = pod["spec"]["containers"][0]
                status["containerStatuses"] = [
                    {"name": container["name"], "image": container["image"], "restartCount": 0, "state": state}
                ]

        self.store.change("pods", pod, edit)


def merge_condition(pod: Json, condition: Json) -> None:
    """Set a condition of a pod; an unchanged one keeps its time."""
    others = []
    for found in pod["status"].setdefault("conditions", []):
        if found["type"] != condition["type"]:
            others.append(found)
        elif all(found.get(name) == condition.get(name) for name in ("status", "reason", "message")):
            return
    pod["status"]["conditions"] = [*others, condition]


def _condition(kind: str, status: str, reason: str, message: str) -> Json:
    found = {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now()}
    return {name: value for name, value in found.items() if value}


def _expanded(value: str, known: dict[str, str]) -> str:
    """`$(NAME)` of an earlier variable, `$$` for a dollar; unknown references stay."""

    def replace(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return known.get(found[1], found[0])

    return _REFERENCE.sub(replace, value)


def _mapped(value: str, paths: dict[str, str]) -> str:
    for inside, outside in paths.items():
        if value == inside or value.startswith(inside + "/"):
            return outside + value[len(inside) :]
    return value


def _processes() -> dict[int, tuple[int, int]]:
    """pid -> (parent, session) of every process."""
    found: dict[int, tuple[int, int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended in between
        if fields[0] != "Z":
            found[int(path.parent.name)] = (int(fields[1]), int(fields[3]))
    return found


def _sessions_below(pid: int) -> set[int]:
    """The sessions of a process and of its descendants: some of them may have begun one of their own."""
    processes = _processes()
    members, before = {pid}, 0
    while len(members) > before:
        before = len(members)
        members |= {child for child, (parent, _) in processes.items() if parent in members}
    return {processes[member][1] for member in members if member in processes} | {pid}


def _kill_all(container: Container) -> None:
    pid = container.process.pid
    sessions = container.sessions | ({pid} if container.process.poll() is not None else _sessions_below(pid))
    for member, (_, session) in _processes().items():
        if session in sessions and session != os.getsid(0):
            try:
                os.kill(member, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it has ended in between
