"""Labels that a model should not learn as they are."""

from __future__ import annotations

import time

from osler.preparation.label_checks import warn_of_labels


def test_cells_with_several_diagnoses_are_counted() -> None:
    (warning,) = warn_of_labels({"Mass": 9, "Edema": 5, "Mass|Edema": 2, "Edema|Hernia": 1, "Mass; edema": 4})
    assert warning.startswith("7 rows name several diagnoses in one cell (Mass|Edema, Mass; edema, Edema|Hernia)")


def test_signs_within_a_name_are_none_between_names() -> None:
    labels = ["ER+/PR-", "ER-/PR+", "Fracture, left", "Fracture, right", "Sprain, left", "Fever and rash", "and"]
    assert warn_of_labels(dict.fromkeys(labels, 1)) == []


def test_a_label_of_any_length_is_looked_at_in_no_time() -> None:
    worst = [" " * 50_000 + "x", " and" * 25_000, "; " * 50_000 + "x", "1" * 100_000, "a|" * 50_000]
    started = time.perf_counter()
    warn_of_labels(dict.fromkeys(worst, 1))
    assert time.perf_counter() - started < 2


def test_numbers_and_words_for_no_label_are_said() -> None:
    numbers, unsaid = warn_of_labels({"-1": 12, "0": 8, "1": 8, "gout": 3, "NaN": 2, "Unknown ": 1})
    assert numbers.startswith("28 rows have a number for a label (0, 1, -1)")
    assert "-1 often marks a label that is hidden" in numbers
    assert unsaid.startswith("3 rows have a label that may say that there is none (NaN, Unknown)")
