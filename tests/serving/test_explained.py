"""An answer with its explanation, for a terminal and as a page that needs nothing else."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from served import explanation

from osler.serving.diagnosis import Diagnosis, ModelName, RankedLabel
from osler.serving.explained import pieces, render_explained, render_explained_page

TEXT = "A <b>boy</b> with a heart murmur, no fever"
NAME = ModelName(name="made-up", version="1.0.0", recipe_sha256="a" * 64, weights_sha256="b" * 64)


@pytest.fixture
def answer() -> Diagnosis:
    told = explanation(TEXT)
    first = RankedLabel(label="OMIM:163950", name="Noonan syndrome", probability=0.8, link=None)
    return Diagnosis(
        diagnoses=(first,),
        abstained=False,
        reason=None,
        calibrated=True,
        warnings=(),
        words=told.units,
        explanation=told,
        model=NAME,
    )


def test_lines_say_what_carried_it_what_would_change_it_and_who_is_like_this(answer: Diagnosis) -> None:
    lines = render_explained(TEXT, answer).splitlines()
    assert "    +0.700  ++++++++++++++++++++  heart murmur" in lines
    assert any(line.startswith("    -0.200  ------  ") and line.endswith("no fever") for line in lines)
    assert "It would answer Duchenne muscular dystrophy (60.0%) without “heart murmur”" in lines
    assert "  for: Heart murmur 41%" in lines
    assert "  Noonan syndrome (PMID:123; not learnt from), similarity 0.50: Heart murmur" in lines
    assert lines[-1] == "This explains the model, not the patient: what moved its answer is no medical evidence."


def test_the_text_is_cut_in_pieces_and_none_of_it_is_lost(answer: Diagnosis) -> None:
    assert answer.words is not None
    cut = pieces(TEXT, answer.words)
    assert "".join(piece for piece, _, _ in cut) == TEXT
    assert [weight for _, weight, _ in cut] == [None, 0.7, None, -0.2, None]
    strong = pieces(TEXT, answer.words, 0.5)
    assert "".join(piece for piece, _, _ in strong) == TEXT
    assert [weight for _, weight, _ in strong] == [None, 0.7, None], "0.2 is less than half of 0.7"


def test_the_page_shows_the_text_as_it_is_and_loads_nothing(answer: Diagnosis) -> None:
    page = render_explained_page(TEXT, answer)
    assert "&lt;b&gt;boy&lt;/b&gt;" in page
    assert not re.findall(r'(?:src|href)="(?!https://pubmed\.ncbi\.nlm\.nih\.gov/123/")', page)
    assert "This explains the model, not the patient" in page
    assert "<b>−0.200</b>" in page, "the minus of the legend"


def test_the_page_shuts_nobody_out(answer: Diagnosis, tmp_path: Path) -> None:
    pytest.importorskip("playwright", reason="playwright is not installed: pip install 'osler[dev]'")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on PATH")
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    file = tmp_path / "answer.html"
    file.write_text(render_explained_page(TEXT, answer), encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        for width in (400, 1200):
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.goto(file.as_uri())
            assert Axe().run(page).response["violations"] == []
            assert page.evaluate("document.documentElement.scrollWidth") == width
            styles = page.locator("mark").evaluate_all(
                "all => all.map(one => getComputedStyle(one).textDecorationStyle)"
            )
            assert styles == ["solid", "dashed"], "colour is not the only sign"
        browser.close()
