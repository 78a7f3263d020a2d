"""The paper's numbers: typed rightly as far as they can be computed from each other."""

from __future__ import annotations

import pytest

from plr_fast.experiment.evidence.paper import paper_table

METRICS = {"accuracy", "precision", "recall", "f1", "paper_auc"}


def balanced_accuracy(accuracy: float, recall: float, positives: int, negatives: int) -> float:
    """(TPR + TNR) / 2 from accuracy and recall, in [0, 1], on a test set of these counts."""
    true_positives = recall * positives
    true_negatives = accuracy * (positives + negatives) - true_positives
    return 0.5 * (recall + true_negatives / negatives)


@pytest.mark.parametrize(("name", "fractions"), [("IV", (1.0, 0.5, 0.3, 0.1)), ("V", (1.0, 0.5, 0.3))])
def test_every_method_at_every_fraction(name, fractions) -> None:
    table = paper_table(name)
    for fraction in fractions:
        methods = [row.method for row in table.at(fraction) if not row.method.startswith("DANet")]
        assert methods == ["RI", "ImageNet", "PneuXray", "PLR-L", "PLR-G", "PLR-P"]
    assert len(table.rows) == 6 * len(fractions) + (name == "V")
    assert table.at(0.2) == ()


@pytest.mark.parametrize("name", ["IV", "V"])
def test_its_auc_is_the_balanced_accuracy_of_hard_labels(name) -> None:
    """Averages only: a highest of each metric need not come from one run. A wrong digit moves this by 0.0005 or more,
    but for those of precision and F1, which the next test looks at."""
    table = paper_table(name)
    for row in table.rows:
        values = row.average
        found = balanced_accuracy(values["accuracy"], values["recall"], table.positives, table.negatives)
        if row.auc_is_balanced_accuracy:
            assert found == pytest.approx(values["paper_auc"], abs=1.6e-4), row
        else:
            assert row.method.startswith("DANet")
            assert abs(found - values["paper_auc"]) > 0.05


@pytest.mark.parametrize("name", ["IV", "V"])
def test_precision_and_f1_fit_the_rest(name) -> None:
    """Means of ratios are not ratios of means: they are so only nearly, over three runs."""
    table = paper_table(name)
    for row in table.rows:
        values = row.average
        if "f1" not in values:
            continue
        precision, recall = values["precision"], values["recall"]
        assert values["f1"] == pytest.approx(2 * precision * recall / (precision + recall), abs=4e-3), row
        true_positives = recall * table.positives
        called = true_positives + table.negatives * (1 - (2 * values["paper_auc"] - recall))
        assert precision == pytest.approx(true_positives / called, abs=5e-3), row


@pytest.mark.parametrize("name", ["IV", "V"])
def test_the_highest_is_no_lower_than_the_average(name) -> None:
    """But for three places of table V, whose highest rows are of single runs: those with the best accuracy."""
    lower = {(1.0, "PneuXray", "precision"), (0.5, "PLR-P", "recall"), (0.3, "PneuXray", "recall")}
    found = set()
    for row in paper_table(name).rows:
        assert set(row.highest) == set(row.average) <= METRICS
        for key, value in row.highest.items():
            assert 0 < value <= 1
            if value < row.average[key]:
                found.add((row.fraction, row.method, key))
    assert found == (lower if name == "V" else set())


def test_a_single_run_is_consistent_in_itself() -> None:
    """The highest of table V are of one run each: they fit each other to the last digit."""
    table = paper_table("V")
    for row in table.rows:
        values = row.highest
        if "f1" not in values:
            continue
        true_positives = round(values["recall"] * table.positives)
        right = round(values["accuracy"] * (table.positives + table.negatives))
        false_positives = table.negatives - (right - true_positives)
        assert values["precision"] == pytest.approx(true_positives / (true_positives + false_positives), abs=6e-5)
        f1 = 2 * true_positives / (true_positives + false_positives + table.positives)
        assert values["f1"] == pytest.approx(f1, abs=6e-5)
        auc = balanced_accuracy(values["accuracy"], values["recall"], table.positives, table.negatives)
        assert values["paper_auc"] == pytest.approx(auc, abs=1.1e-4)


def test_an_unknown_table_names_the_known() -> None:
    with pytest.raises(ValueError, match="IV, V"):
        paper_table("VI")  # type: ignore[arg-type]
