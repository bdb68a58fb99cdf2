"""Rules on quality: what passes, what cannot be compared, in which order they stand."""

import polars as pl
import pytest
from pydantic import ValidationError

from curate.quality import QualityRules


def fails(values: pl.Series, **rules: object) -> list[bool]:
    (rule,) = QualityRules.model_validate(rules).cell_rules
    assert rule.fault(values) is None
    return rule.fails(values).to_list()


def test_thresholds_themselves_pass() -> None:
    counts = pl.Series([499, 500, 501])
    assert fails(counts, min_counts=500) == [True, False, False]
    assert fails(counts, max_counts=500) == [False, False, True]
    assert fails(pl.Series([0.1, 0.2, 0.3]), max_mito=0.2) == [False, False, True]


def test_a_cell_without_a_value_does_not_pass() -> None:
    assert fails(pl.Series([None, 1.0, float("nan")]), max_mito=5) == [True, False, True]
    assert fails(pl.Series([None, 7]), min_genes=5) == [True, False]
    assert fails(pl.Series([True, False, None]), primary_only=True) == [False, True, True]


def test_the_rules_stand_in_one_order_and_none_is_on_by_default() -> None:
    rules = QualityRules(
        max_doublet_score=0.3, max_mito=0.2, min_genes=200, min_counts=500, primary_only=True
    )
    assert [rule.name for rule in rules.cell_rules] == [
        "primary_only",
        "min_counts",
        "min_genes",
        "max_mito",
        "max_doublet_score",
    ]
    assert rules.are_any
    assert not QualityRules().are_any
    assert QualityRules(min_cells_per_donor=2).are_any


def test_per_cent_where_a_share_was_meant_is_told() -> None:
    (rule,) = QualityRules(max_mito=0.2, mito_column="percent_mt").cell_rules
    fault = rule.fault(pl.Series([0.0, 34.5]))
    assert fault is not None
    assert "percent_mt goes up to 34.5" in fault
    assert "give 20 for 20 %" in fault
    (rule,) = QualityRules(max_mito=20, mito_column="percent_mt").cell_rules
    assert rule.fault(pl.Series([0.0, 34.5])) is None


def test_text_cannot_be_compared() -> None:
    (rule,) = QualityRules(max_doublet_score=0.2).cell_rules
    assert (
        rule.fault(pl.Series(["high"])) == "doublet_score holds no numbers, which max_doublet_score compares"
    )


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            {"min_counts": 500, "max_counts": 100},
            "min_counts 500 is above max_counts 100: no cell would pass",
        ),
        ({"min_genes": 0}, "greater than or equal to 1"),
        ({"max_mito": -1}, "greater than or equal to 0"),
        ({"min_cell": 3}, "Extra inputs"),
    ],
)
def test_rules_that_cannot_be_are_refused(rules: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        QualityRules.model_validate(rules)
