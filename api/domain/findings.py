"""What the doctor finds: one record per part that was asked. Pure; made by services/doctor and doctor_probes."""

from dataclasses import dataclass

OK, WARNING, FAILED = "ok", "warning", "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """How one part stands, and what to do about it."""

    name: str
    status: str
    message: str
    advice: str = ""
