"""The Job of one attempt, whole, as the API server gets it.

Called by the launcher. Pure: order, shape and settings in, a dictionary out. Every line that Kubernetes
would default differently, and every line that safety rests on, has its reason beside it.
"""

from typing import Any

from common import environment
from common.errors import BadInputError
from common.launcher_port import LaunchOrder
from common.statuses import APPLY_KINDS
from k8s import naming
from k8s.ephemeral_config import PodShape, Toleration
from k8s.settings import EXECUTOR_UID, JobSettings

CONTAINER = "executor"
WORK_PATH = "/podform/work"
SECRET_PATH = "/podform/secret"  # noqa: S105 - a directory's name, not a secret

#: `env` blocks SIGTERM until the executor has its own answer to it: one that comes while Python starts would be
#: dropped, and the pod would run out its whole grace. `-I`: neither PYTHON* nor the directory steer the imports.
COMMAND = ("env", "--block-signal=TERM", "python3", "-I", "-m", "executor")


def build(order: LaunchOrder, shape: PodShape, settings: JobSettings) -> dict[str, Any]:
    """The whole Job; BadInputError names what of the order or shape cannot be put into one."""
    labels = {**shape.labels, **naming.labels(order, settings.installation)}
    annotations = naming.annotations(order)
    grace = grace_seconds(order, settings)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": naming.job_name(order),  # deterministic: creating twice is harmless
            "namespace": settings.namespace,
            "labels": labels,
            "annotations": {**shape.job_annotations, **annotations},
        },
        "spec": {
            "backoffLimit": 0,  # never a second pod after a failed container (the default is 6)
            "completions": 1,
            "parallelism": 1,
            # a pod that is deleted gracefully still runs: the default would start a second one beside it
            "podReplacementPolicy": "Failed",
            # eviction, preemption and node loss end the Job too; "Ignore" would start a second pod
            "podFailurePolicy": {
                "rules": [
                    {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            # the last resort: the executor's own timeout fires first and lets terraform save its state
            "activeDeadlineSeconds": (order.timeout_seconds or settings.default_timeout_seconds) + grace,
            "ttlSecondsAfterFinished": settings.ttl_seconds_after_finished,
            "template": {
                "metadata": {"labels": labels, "annotations": {**shape.pod_annotations, **_stay(), **annotations}},
                "spec": _pod(order, shape, settings, grace),
            },
        },
    }


def grace_seconds(order: LaunchOrder, settings: JobSettings) -> int:
    """From SIGTERM to SIGKILL: an apply may have to wait for its resource calls, a plan has nothing to lose."""
    return settings.apply_grace_seconds if order.job_data.kind in APPLY_KINDS else settings.plan_grace_seconds


def _stay() -> dict[str, str]:
    """Asks the cluster autoscaler and Karpenter not to move the pod: a moved apply is a broken one."""
    return {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false", "karpenter.sh/do-not-disrupt": "true"}


def _pod(order: LaunchOrder, shape: PodShape, settings: JobSettings, grace: int) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "restartPolicy": "Never",  # an executor is started once; podFailurePolicy demands it too
        "terminationGracePeriodSeconds": grace,
        # no token in the pod, unless the workspace names a service account to work with its rights
        "automountServiceAccountToken": bool(shape.service_account),
        "enableServiceLinks": False,  # each Service of the namespace would add variables
        "securityContext": {  # Pod Security "restricted"
            "runAsNonRoot": True,
            "runAsUser": EXECUTOR_UID,
            "runAsGroup": EXECUTOR_UID,
            "fsGroup": EXECUTOR_UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(order, shape, settings)],
    }
    optional: dict[str, Any] = {
        "serviceAccountName": shape.service_account,
        "nodeSelector": dict(shape.node_selector or settings.node_selector),
        "tolerations": [_toleration(toleration) for toleration in shape.tolerations],
        "imagePullSecrets": [{"name": name} for name in settings.image_pull_secrets],
        "volumes": _volumes(settings),
    }
    return pod | {name: value for name, value in optional.items() if value}


def _container(order: LaunchOrder, shape: PodShape, settings: JobSettings) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": settings.image,
        "command": list(COMMAND),  # no shell around it: SIGTERM reaches PID 1 alone
        "env": _environment(order, shape, settings),
        "resources": _resources(shape, settings),
        "securityContext": {  # Pod Security "restricted"
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            # without volumes the executor has nowhere else to write; "restricted" allows it
            "readOnlyRootFilesystem": settings.volumes,
        },
    }
    optional: dict[str, Any] = {
        "imagePullPolicy": settings.image_pull_policy,
        "envFrom": [{"secretRef": {"name": name}} for name in settings.secrets[1:]],
        "volumeMounts": _mounts(settings),
    }
    return container | {name: value for name, value in optional.items() if value}


def _environment(order: LaunchOrder, shape: PodShape, settings: JobSettings) -> list[dict[str, Any]]:
    if not settings.secrets:
        raise BadInputError("ExecutorEphemeralSecret", "names no Secret; the first one must hold InternalSecret")
    ours: dict[str, Any] = {
        environment.FLAG_BATCH: {"value": "true"},
        environment.JOB_DATA: {"value": order.job_data.encoded()},
        environment.WORK_DIRECTORY: {"value": WORK_PATH},
        **_secret(settings),
    }
    # `$$` is how Kubernetes writes a dollar: `$(NAME)` in a value would be expanded
    theirs = {name: {"value": value.replace("$", "$$")} for name, value in shape.environment.items()}
    return [{"name": name, **entry} for name, entry in (theirs | ours).items()]


def _secret(settings: JobSettings) -> dict[str, Any]:
    """InternalSecret by reference: its value is never in the Job, and the executor hides its own environment."""
    if settings.secret_as_file:
        return {environment.INTERNAL_SECRET_FILE: {"value": f"{SECRET_PATH}/{environment.INTERNAL_SECRET}"}}
    reference = {"name": settings.secrets[0], "key": environment.INTERNAL_SECRET}
    return {environment.INTERNAL_SECRET: {"valueFrom": {"secretKeyRef": reference}}}


def _resources(shape: PodShape, settings: JobSettings) -> dict[str, Any]:
    """Requests and limits. A workspace's limit without a request of its own is the request too, as in Kubernetes:
    the installation's default request could be above it, and the cluster would refuse the pod."""
    defaults = {name: value for name, value in settings.requests.items() if name not in shape.limits}
    found = {"requests": defaults | dict(shape.requests), "limits": dict(settings.limits) | dict(shape.limits)}
    return {name: values for name, values in found.items() if values}


def _volumes(settings: JobSettings) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if settings.volumes:
        found += [{"name": "work", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
    if settings.secret_as_file:
        items = [{"key": environment.INTERNAL_SECRET, "path": environment.INTERNAL_SECRET}]
        secret = {"secretName": settings.secrets[0], "items": items, "defaultMode": 0o440}
        found.append({"name": "secret", "secret": secret})
    return found


def _mounts(settings: JobSettings) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if settings.volumes:
        found += [{"name": "work", "mountPath": WORK_PATH}, {"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - in the pod
    if settings.secret_as_file:
        found.append({"name": "secret", "mountPath": SECRET_PATH, "readOnly": True})
    return found


def _toleration(toleration: Toleration) -> dict[str, str]:
    found = {
        "key": toleration.key,
        "operator": toleration.operator,
        "value": toleration.value,
        "effect": toleration.effect,
    }
    return {name: value for name, value in found.items() if value}
