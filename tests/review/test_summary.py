"""The summary says what raters said, and how far they agree."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from kept import MODEL, prediction, verdict

from osler.errors import InputError
from osler.feedback import Quest
from osler.feedback.store import Store, open_store
from osler.review.summary import Share, summarise, write_summary

FIRST, OTHER = "OMIM:154700", "OMIM:163950"
HOSTILE = "<img src=x onerror=alert(1)> no lens"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Ten answers; ada and bo judge eight of them, disagree on two, and cy settles one of those."""
    store = open_store(str(tmp_path / "answers.db"), create=True)
    store.add_model(MODEL)
    store.add_predictions([prediction(n) for n in range(10)])
    for n in range(8):
        own = FIRST if n < 6 else OTHER
        quest = Quest(information=4 if n % 2 else 5, trust=3)
        store.add_verdict(verdict(n, "ada", n < 5, blinded=True, own_label=own, quest=quest))
        right = n < 5 if n not in (4, 5) else n == 5
        codes = ("dangerous_miss",) if not right else ("plausible",)
        comment = HOSTILE if n == 7 else None
        store.add_verdict(verdict(n, "bo", right, blinded=True, own_label=FIRST, codes=codes, comment=comment))
    store.add_verdict(verdict(4, "cy", True, adjudicated=True))
    store.add_predictions([prediction(50, version="2.0.0")])
    return store


def test_counts_shares_and_kappas(store: Store) -> None:
    (model,) = summarise(store)
    assert (model.name, model.answers, model.judged, model.settled, model.disputed) == ("canned@1.0.0", 10, 8, 7, 1)
    assert model.right == Share(5, 7)
    ada, bo = model.raters
    assert (ada.name, ada.right, ada.own, ada.unknown, ada.same) == ("ada", Share(5, 8), 8, 0, Share(6, 8))
    assert bo.kappa is not None
    assert bo.kappa.value is None, "he always thought what the model said"
    ((first, second, kappa, own),) = model.pairs
    assert (first, second, kappa.n, kappa.agreement) == ("ada", "bo", 8, 0.75)
    # 5 and 5 of 8 are right: by chance they agree in (25 + 9) / 64.
    assert kappa.value == pytest.approx((0.75 - 34 / 64) / (1 - 34 / 64))
    assert own is not None
    assert own.agreement == 0.75
    assert model.together is not None
    assert model.together[1:] == (2, 0)
    assert model.adjudicated == 1
    assert model.codes["dangerous_miss"] == Share(3, 16)
    information, expression = model.quest["information"], model.quest["expression"]
    assert information is not None
    assert (information.n, information.value, expression) == (8, 4.5, None)
    assert model.comments == [("case-7", HOSTILE)]


def test_the_page_has_them_in_words_and_obeys_nothing(store: Store, tmp_path: Path) -> None:
    write_summary(store, tmp_path / "review.html")
    page = (tmp_path / "review.html").read_text()
    for said in ("5 of 7: 71%", "canned@1.0.0", "ada, bo", "undefined, all said the same", "3 of 16: 19%", "4.5 ["):
        assert said in page, said
    assert "1 more settles what raters disagreed on" in page
    assert "dates are shifted" in page
    assert "left out" not in page
    assert "<img" not in page
    assert "<script" not in page


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on PATH")
def test_chromium_prints_it(store: Store, tmp_path: Path) -> None:
    write_summary(store, tmp_path / "review.pdf")
    assert (tmp_path / "review.pdf").read_bytes().startswith(b"%PDF-")


def test_what_cannot_be_written_is_said_in_a_line(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    empty = open_store(str(tmp_path / "empty.db"), create=True)
    for where, name, said in (
        (store, "review.txt", "expected a name that ends in .html or .pdf"),
        (store, "review.pdf", "Chromium, which prints it, is not installed; take .html"),
        (empty, "review.html", "nobody has judged an answer yet"),
    ):
        with pytest.raises(InputError, match=said):
            write_summary(where, tmp_path / name)
        assert not (tmp_path / name).exists()


def test_cases_with_another_number_of_raters_are_told(store: Store, tmp_path: Path) -> None:
    store.add_verdict(verdict(0, "di"))
    (model,) = summarise(store)
    assert model.together is not None
    assert (model.together[0].n, *model.together[1:]) == (7, 2, 1)
    write_summary(store, tmp_path / "review.html")
    assert "left out with another number: 1 of 8" in (tmp_path / "review.html").read_text()
