"""Configurations whose every applied resource writes one line into a ledger: what was applied twice shows."""

from pathlib import Path


def ledger_configuration(ledger: Path, *, count: int, seconds: float, tick: float = 0.5) -> dict[str, str]:
    """`count` resources, each after the one before, each working and printing for so many seconds."""
    blocks = []
    ticks = max(1, round(seconds / tick))
    for index in range(count):
        after = f"\n  depends_on = [terraform_data.step_{index - 1}]" if index else ""
        blocks.append(
            f"""
resource "terraform_data" "step_{index}" {{
  input = {index}{after}
  provisioner "local-exec" {{
    command = <<-EOT
      for i in $(seq {ticks}); do echo working $i; sleep {tick}; done
      echo {index} >> {ledger}
    EOT
  }}
}}
"""
        )
    return {"main.tf": "".join(blocks)}


def many_and_one_long(ledger: Path, *, count: int, long_seconds: float) -> dict[str, str]:
    """Many resources that are done at once and one that works long; all side by side."""
    return {
        "main.tf": f"""
resource "terraform_data" "short" {{
  count = {count}
  input = count.index
  provisioner "local-exec" {{
    command = "echo short-${{count.index}} >> {ledger}"
  }}
}}
resource "terraform_data" "long" {{
  input = "long"
  provisioner "local-exec" {{
    command = "sleep {long_seconds}; echo long >> {ledger}"
  }}
}}
"""
    }


def lines(ledger: Path) -> list[str]:
    """What the ledger holds so far."""
    return ledger.read_text().split() if ledger.exists() else []
