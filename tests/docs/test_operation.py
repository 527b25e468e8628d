"""The page on operation and the sample alerts say what the code says."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.routes import figure_tables
from api.routes.metrics import Metrics

ROOT = Path(__file__).parent.parent.parent
_FUNCTIONS = {"sum", "max", "rate", "increase", "absent", "by", "histogram_quantile"}


def figures() -> dict[str, set[str]]:
    """Every series that `/metrics` can show, by its name in a query, with its labels."""
    found: dict[str, set[str]] = {}
    metrics = Metrics()
    for name, collector in _collectors(metrics):
        labels = set(collector._labelnames)
        if collector._type == "histogram":
            found |= {f"{name}_count": labels, f"{name}_sum": labels, f"{name}_bucket": labels | {"le"}}
        else:
            found[f"{name}_total" if collector._type == "counter" else name] = labels
    return found


def _collectors(metrics: Metrics) -> Iterator[tuple[str, Any]]:
    yield from ((collector._name, collector) for collector in metrics.registry._collector_to_names)  # type: ignore[attr-defined]  # prometheus_client offers no list of them


RULES = [
    rule
    for group in yaml.safe_load((ROOT / "docs/operation/alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_there_is(rule: dict[str, object]) -> None:
    """Its expression is balanced, calls known functions, and names existing figures with labels that they have."""
    text, known = str(rule["expr"]), figures()
    bare = re.sub(r'"[^"]*"', '""', text)
    assert all(bare.count(one) == bare.count(other) for one, other in ("()", "{}", "[]"))
    named = re.findall(r"\b(podform_\w+)(?:\{([^}]*)\})?", bare)
    assert named
    for name, selector in named:
        assert name in known, name
        assert set(re.findall(r"(\w+)\s*=", selector)) <= known[name], selector
    grouped = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", bare) for label in labels.split(",")}
    assert grouped <= set().union(*(known[name] for name, _ in named))
    assert set(re.findall(r"\b([a-z_]+)\s*\(", bare)) <= _FUNCTIONS
    assert rule["annotations"]
    assert rule["labels"]


def test_every_figure_is_documented() -> None:
    """The table of figures has the names and labels of the code, and no others."""
    section = (ROOT / "docs/operation.md").read_text().partition("## Figures")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(podform_\w+)` \| (.*?) \|", section, re.MULTILINE)
    documented = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    code = {
        re.sub(r"_(count|bucket|sum)$", "", name): labels - {"le"}
        for name, labels in figures().items()
        if not name.endswith("_sum")
    }
    assert documented == code


def test_names_are_their_own() -> None:
    """No two figures share a name, and each says what it is."""
    rows = [*figure_tables.HISTOGRAMS.values(), *figure_tables.COUNTERS.values(), *figure_tables.GAUGES.values()]
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.meaning and list(row.buckets) == sorted(row.buckets) for row in rows)
