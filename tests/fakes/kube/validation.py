"""What the stand-in accepts as a Job: the real schema first, then the rules that no schema holds."""

import functools
import importlib.resources
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # ships no types; its stubs are another package
from referencing import Registry, Resource

from tests.fakes.kube.answers import bad_request, invalid, too_large

Json = dict[str, Any]
Cause = tuple[str, str, str]
VERSION = "1.36.0"
BODY_LIMIT = 3_145_728
ANNOTATIONS_LIMIT = 262_144
ENVIRONMENT_LIMIT = 1_572_864  # etcd's limit on an object, roughly

_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?")
_JOB_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_QUANTITY = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(m|u|n|k|[MGTPE]i?|Ki|[eE][+-]?\d+)?")


@functools.cache
def _validator(strict: bool) -> Any:
    folder = importlib.resources.files("kubernetes_validate") / "kubernetes-json-schema"
    folder = folder / f"v{VERSION}-local{'-strict' if strict else ''}"
    schema = json.loads((folder / "job-batch-v1.json").read_text())
    definitions = Resource.from_contents(json.loads((folder / "_definitions.json").read_text()))
    registry: Any = definitions @ (Resource.from_contents(schema) @ Registry())
    return jsonschema.validators.Draft202012Validator(schema, registry=registry)


def check(body: bytes, *, strict: bool) -> tuple[Json, list[str]]:
    """The Job in a body and the warnings about it, or Refused."""
    if len(body) > BODY_LIMIT:
        raise too_large(BODY_LIMIT)
    try:
        job = json.loads(body)
    except ValueError as error:
        raise bad_request(f"the object provided is unrecognized: {error}") from error
    _check_types(job)
    warnings = [f'unknown field "{field}"' for field in _unknown_fields(job)]
    if warnings and strict:
        raise bad_request(f"strict decoding error: {', '.join(warnings)}")
    causes = [*_metadata_causes(job["metadata"], "metadata"), *_spec_causes(job)]
    if causes:
        raise invalid(job["metadata"].get("name", ""), causes)
    return job, warnings


def _check_types(job: Any) -> None:
    problem = next(iter(_validator(False).iter_errors(job)), None)
    if problem is not None:
        path = ".".join(str(part) for part in problem.path)
        raise bad_request(f'Job in version "v1" cannot be handled as a Job: {path}: {problem.message}')
    for container in job["spec"]["template"]["spec"]["containers"]:
        for values in (container.get("resources") or {}).values():
            for quantity in values.values():
                if _QUANTITY.fullmatch(str(quantity)) is None:
                    raise bad_request(
                        'Job in version "v1" cannot be handled as a Job: quantities must match the regular expression '
                        "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
                    )


def _unknown_fields(job: Json) -> Iterator[str]:
    for problem in _validator(True).iter_errors(job):
        if problem.validator == "additionalProperties":
            known = problem.schema.get("properties", {})
            prefix = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem.absolute_path)
            yield from (f"{prefix}.{name}".lstrip(".") for name in problem.instance if name not in known)


def _metadata_causes(metadata: Json, where: str) -> Iterator[Cause]:
    for value in (metadata.get("labels") or {}).values():
        if len(value) > 63:
            yield (
                f"{where}.labels",
                "FieldValueInvalid",
                f'Invalid value: "{value}": must be no more than 63 bytes',
            )
        elif _LABEL.fullmatch(value) is None:
            yield (
                f"{where}.labels",
                "FieldValueInvalid",
                f'Invalid value: "{value}": a valid label must consist of alphanumeric characters',
            )
    annotations = metadata.get("annotations") or {}
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > ANNOTATIONS_LIMIT:
        message = f"Too long: may not be more than {ANNOTATIONS_LIMIT} bytes"
        yield f"{where}.annotations", "FieldValueTooLong", message


def _spec_causes(job: Json) -> Iterator[Cause]:
    name = job["metadata"].get("name", "")
    if not name:
        yield "metadata.name", "FieldValueRequired", "Required value: name or generateName is required"
    elif _JOB_NAME.fullmatch(name) is None or len(name) > 63:
        rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"
        text = "must be no more than 63 characters" if len(name) > 63 else rule
        yield "metadata.name", "FieldValueInvalid", f'Invalid value: "{name}": {text}'
    template = job["spec"]["template"]
    yield from _metadata_causes(template.get("metadata") or {}, "spec.template")
    yield from _pod_causes(job["spec"], template["spec"])


def _pod_causes(spec: Json, pod: Json) -> Iterator[Cause]:
    policy = pod.get("restartPolicy", "Always")
    where = "spec.template.spec.restartPolicy"
    if policy not in ("Never", "OnFailure"):
        message = f'Required value: valid values: "OnFailure", "Never" (found "{policy}")'
        yield where, "FieldValueRequired", message
    if spec.get("podFailurePolicy"):
        if policy != "Never":
            message = f'Invalid value: "{policy}": only "Never" is supported when podFailurePolicy is specified'
            yield where, "FieldValueInvalid", message
        if spec.get("podReplacementPolicy", "Failed") != "Failed":
            message = 'Unsupported value: "TerminatingOrFailed": supported values: "Failed"'
            yield "spec.podReplacementPolicy", "FieldValueNotSupported", message
    for index, toleration in enumerate(pod.get("tolerations") or []):
        if toleration.get("operator") == "Exists" and toleration.get("value"):
            field = f"spec.template.spec.tolerations[{index}].operator"
            yield field, "FieldValueInvalid", "Invalid value: value must be empty when `operator` is 'Exists'"
    for index, container in enumerate(pod["containers"]):
        yield from _container_causes(container, f"spec.template.spec.containers[{index}]")


def _container_causes(container: Json, where: str) -> Iterator[Cause]:
    if not container.get("image"):
        yield f"{where}.image", "FieldValueRequired", "Required value"
    total = 0
    for index, entry in enumerate(container.get("env") or []):
        name = entry.get("name", "")
        total += len(name) + len(entry.get("value") or "")
        if not name:
            yield f"{where}.env[{index}].name", "FieldValueRequired", "Required value"
        elif "=" in name or not name.isascii():
            message = f'Invalid value: "{name}": a valid environment variable name must consist only of printable ASCII'
            yield f"{where}.env[{index}].name", "FieldValueInvalid", message
    if total > ENVIRONMENT_LIMIT:
        yield "spec.selector", "FieldValueInvalid", "Invalid value: selector not auto-generated"
