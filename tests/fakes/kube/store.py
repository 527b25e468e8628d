"""The objects of the stand-in cluster, with resourceVersions and the history that watches read.

Used by the API, the Job controller and the kubelet of the stand-in. Everything given out is a copy.
"""

import copy
import datetime as dt
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
KINDS = {"jobs": ("batch/v1", "Job"), "pods": ("v1", "Pod"), "events": ("v1", "Event"), "secrets": ("v1", "Secret")}


def now() -> str:
    """The time as Kubernetes writes it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Change:
    """One entry of the history."""

    version: int
    type: str  # ADDED, MODIFIED, DELETED
    resource: str
    object: Json


class Store:
    """Objects by resource, namespace and name."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.version = 100
        self.oldest = 100  # watches from an earlier version are expired
        self.history: list[Change] = []
        self.listeners: list[Callable[[], None]] = []
        self._objects: dict[tuple[str, str, str], Json] = {}

    def add(self, resource: str, document: Json) -> Json:
        """Store a new object: uid, resourceVersion, creationTimestamp are set here."""
        document = copy.deepcopy(document)
        document["apiVersion"], document["kind"] = KINDS[resource]
        document["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
        return self._put("ADDED", resource, document)

    def change(self, resource: str, document: Json, edit: Callable[[Json], None]) -> Json | None:
        """Edit the stored object of this uid; None when it is gone. No event when nothing changed."""
        with self.lock:
            stored = self.find(resource, document["metadata"]["namespace"], document["metadata"]["name"])
            if stored is None or stored["metadata"]["uid"] != document["metadata"]["uid"]:
                return None
            before = copy.deepcopy(stored)
            edit(stored)
            return stored if stored == before else self._put("MODIFIED", resource, stored)

    def remove(self, resource: str, document: Json) -> None:
        """Remove an object for good; its DELETED event carries its last state."""
        with self.lock:
            key = (resource, document["metadata"]["namespace"], document["metadata"]["name"])
            stored = self._objects.get(key)
            if stored is not None and stored["metadata"]["uid"] == document["metadata"]["uid"]:
                self._record("DELETED", resource, stored)
                del self._objects[key]

    def find(self, resource: str, namespace: str, name: str) -> Json | None:
        """One object, or None."""
        with self.lock:
            return copy.deepcopy(self._objects.get((resource, namespace, name)))

    def all(self, resource: str, namespace: str | None = None) -> list[Json]:
        """All objects of a resource, oldest first."""
        with self.lock:
            return [
                copy.deepcopy(document)
                for (kind, space, _), document in self._objects.items()
                if kind == resource and namespace in (None, space)
            ]

    def since(self, resource: str, version: int) -> list[Change]:
        """Changes of a resource after a version."""
        with self.lock:
            return [change for change in self.history if change.version > version and change.resource == resource]

    def compact(self) -> None:
        """Forget the history: watches from before now are expired."""
        with self.lock:
            self.history.clear()
            self.version += 1
            self.oldest = self.version

    def _put(self, change: str, resource: str, document: Json) -> Json:
        with self.lock:
            metadata = document["metadata"]
            self._objects[(resource, metadata["namespace"], metadata["name"])] = document
            self._record(change, resource, document)
            return copy.deepcopy(document)

    def _record(self, change: str, resource: str, document: Json) -> None:
        self.version += 1
        document["metadata"]["resourceVersion"] = str(self.version)
        self.history.append(Change(self.version, change, resource, copy.deepcopy(document)))
        for listener in self.listeners:
            listener()


def matches(document: Json, label_selector: str, field_selector: str = "") -> bool:
    """Whether an object fits equality selectors on labels and on fields (dotted paths)."""
    labels = document["metadata"].get("labels") or {}
    wanted = [part.split("=", 1) for part in label_selector.split(",") if part]
    fields = [part.split("=", 1) for part in field_selector.split(",") if part]
    return all(labels.get(key) == value for key, value in wanted) and all(
        _field(document, path) == value for path, value in fields
    )


def _field(document: Json, path: str) -> Any:
    found: Any = document
    for part in path.split("."):
        found = (found or {}).get(part)
    return found
