"""What a log shows beyond the last delivered state."""

from typing import Any

import pytest

from api.domain.beyond_state import beyond_state

LOG = b"""terraform_data.a: Creating...
terraform_data.a: Creation complete after 0s [id=1]
\x1b[0m\x1b[1mmodule.m["x"].aws_thing.b["k.1"]: Creation complete after 3s [id=2]\x1b[0m
terraform_data.c[0]: Creation complete after 1s [id=3]
terraform_data.old: Destruction complete after 1s
terraform_data.d: Modifications complete after 1s [id=4]
terraform_data.e: Still creating... [10s elapsed]
"""


def state(*resources: tuple[str, str, str, Any], mode: str = "managed") -> dict[str, Any]:
    """A state with (module, type, name, index_key) instances."""
    return {
        "resources": [
            {"mode": mode, "module": module, "type": kind, "name": name, "instances": [{"index_key": key}]}
            for module, kind, name, key in resources
        ]
    }


WHOLE = state(
    ("", "terraform_data", "a", None), ('module.m["x"]', "aws_thing", "b", "k.1"), ("", "terraform_data", "c", 0)
)


@pytest.mark.parametrize(
    ("known", "sentence"),
    [
        (WHOLE, ""),
        (
            state(("", "terraform_data", "a", None), ("", "terraform_data", "c", 0)),
            'by its log these were created and are not in it: module.m["x"].aws_thing.b["k.1"]',
        ),
        (
            {"resources": WHOLE["resources"] + state(("", "terraform_data", "old", None))["resources"]},
            "by its log these were destroyed and are still in it: terraform_data.old",
        ),
    ],
)
def test_what_the_log_shows_beyond_the_state(known: dict[str, Any], sentence: str) -> None:
    """Resources that the log calls created or destroyed and the state does not show so are named."""
    assert beyond_state(LOG, known) == sentence


def test_without_a_state_everything_created_is_beyond_it() -> None:
    """No state was delivered: all that the log shows is named."""
    assert beyond_state(LOG, None).count(",") == 2
    assert beyond_state(b"", None) == ""


def test_data_sources_are_no_resources() -> None:
    """Only managed resources count."""
    reading = state(("", "terraform_data", "a", None), mode="data")

    assert "terraform_data.a" in beyond_state(LOG, reading)


def test_a_long_list_is_cut() -> None:
    """Twenty are named, the rest is counted."""
    log = b"".join(b"terraform_data.r[%d]: Creation complete after 0s [id=1]\n" % index for index in range(25))

    assert beyond_state(log, None).endswith("terraform_data.r[19] and 5 more")
