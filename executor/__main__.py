"""The executor's process: `env --block-signal=TERM python3 -I -m executor`.

Carries out one step and exits with one of exit_codes. SIGTERM and SIGINT cancel the step gracefully.
"""

import gc
import importlib
import os
import signal
import sys
import threading
from types import FrameType

from executor import hardening, settings
from executor.cancellation import Cancellation, Stop
from executor.errors import SettingsError
from executor.exit_codes import ExitCode
from executor.settings import Settings

_FIRST_NAMES = settings.SECRET_NAMES
# a step makes little garbage, and most of it while modules load: looking for it at the usual rate costs 5 ms there
gc.set_threshold(20_000)


def main() -> int:
    """Run the executor; its exit code."""
    cancellation = Cancellation()
    _install_signals(cancellation)
    environ = dict(os.environ)
    hardening.protect(_FIRST_NAMES)
    try:
        wanted = settings.read(environ)
    except SettingsError as error:
        return _end(ExitCode.BAD_SETTINGS, str(error))
    if wanted.online:
        return _end(
            ExitCode.ONLINE_UNSUPPORTED,
            "EphemeralFlagBatch: must be true; this executor carries out one step and has no online mode",
        )
    return _carry_out(wanted, cancellation)


def _install_signals(cancellation: Cancellation) -> None:
    """Handlers first, then let the signals through that came while Python started (the entry point blocks TERM)."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        cancellation.request(Stop.GRACEFUL)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})


def _carry_out(wanted: Settings, cancellation: Cancellation) -> int:
    from common import job_data
    from common.errors import BadInputError
    from executor.api_client import ApiClient
    from executor.claim import claim
    from executor.delivery import Delivery
    from executor.errors import RefusedError, UndeliveredError

    delivery = Delivery(wanted.delivery_seconds)
    try:
        job = job_data.decode(wanted.job_data)
        api = ApiClient(job.api_url, job.step_id, wanted.ca_file)
    except BadInputError as error:
        return _end(ExitCode.BAD_JOB_DATA, f"EphemeralJobData cannot be used: {error}")
    except SettingsError as error:
        return _end(ExitCode.BAD_SETTINGS, str(error))
    _load_ahead("executor.conduct")
    try:
        answer = claim(job, wanted.internal_secret, api, cancellation, delivery)
    except RefusedError as error:
        return _end(ExitCode.CLAIM_REFUSED, f"the claim was refused: {error}")
    except UndeliveredError as error:
        if cancellation.stop is not Stop.NONE:
            return _end(ExitCode.CANCELED, "stopped before the step was claimed: nothing was touched")
        return _end(ExitCode.NEVER_CLAIMED, f"the claim could not be delivered: {error}")

    from executor.conduct import conduct  # loaded by now, or waited for

    return conduct(wanted, job, answer, api, delivery, cancellation)


def _load_ahead(module: str) -> None:
    """Load what a granted claim needs while the claim is on its way: 15 ms of every step."""
    # the default of 5 ms would let the loading thread hold up the claim at each of its waits
    sys.setswitchinterval(0.0005)
    threading.Thread(target=importlib.import_module, args=(module,), name="load", daemon=True).start()


def _end(code: ExitCode, text: str) -> int:
    print(f"podform executor: {text}", file=sys.stderr)
    return code


if __name__ == "__main__":
    try:
        code = main()
    except Exception:  # noqa: BLE001 - whatever it is: its own exit code, and the reason for whoever reads the output
        import traceback  # 3 ms that no other step needs to spend

        traceback.print_exc()
        code = ExitCode.FAILED
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # a thread in a long-poll must not delay the end
