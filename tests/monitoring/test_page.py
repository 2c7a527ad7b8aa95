"""The page of a model in use: of few cases and of many, on a telephone and on a screen."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from browsing import NEEDED, chromium, violations
from streams import drawn, report

from osler.monitoring.page import render
from osler.monitoring.watching import Watch

# The words of a heading that stand in two lines.
BROKEN = """cells => cells.flatMap(cell => {
  const range = document.createRange(), text = cell.firstChild, broken = [];
  for (const word of text?.data?.matchAll(/\\w+/g) ?? []) {
    range.setStart(text, word.index);
    range.setEnd(text, word.index + word[0].length);
    if (new Set([...range.getClientRects()].map(one => one.top)).size > 1) broken.push(word[0]);
  }
  return broken;
})"""


def test_one_window_is_told_in_tables_and_not_as_a_dot(watch: Watch) -> None:
    page = render(report(watch, drawn(watch, 250), verdicts=40))
    assert "<svg" not in page
    assert "drawn from the second window of 250 cases on" in page
    for feature in ("length of the texts", "first diagnoses"):
        assert re.search(rf">{feature}</th><td>\d\.\d{{3}}</td><td>\d\.\d{{3}}</td><td class=\"text\">within<", page)


def test_the_axis_ends_with_the_cases_and_a_window_on_its_way_is_open(watch: Watch) -> None:
    page = render(report(watch, drawn(watch, 620), verdicts=620))
    assert "The last window, still open, has 120 cases: its points are not filled." in page
    accuracy = page[page.index('id="accuracy-') : page.index('id="abstention-')]
    ticks = [int(tick) for tick in re.findall(r">(\d+)</text>", accuracy)]
    assert ticks
    assert max(ticks) <= 620
    assert "fill: #ffffff; stroke: #" in accuracy, "an open point"
    full = render(report(watch, drawn(watch, 500)))
    assert "still open" not in full


def test_subgroups_that_are_too_small_are_a_sentence_and_not_an_empty_table(watch: Watch) -> None:
    seen = replace(drawn(watch, 60), subgroups=({"sex": "female"},) * 5 + ({"sex": "male"},) * 55)
    page = render(report(watch, seen))
    assert "No subgroup has enough cases to tell how it differs from the others." in page
    assert "Difference to all other cases" not in page
    enough = replace(seen, subgroups=({"sex": "female"}, {"sex": "male"}) * 30)
    page = render(report(watch, enough))
    assert '<td class="text">share too unsure</td>' in page
    assert "abstained" not in page


@NEEDED
def test_on_a_telephone_no_heading_breaks_inside_a_word_and_an_alarm_is_as_wide_as_the_page(
    watch: Watch, tmp_path: Path
) -> None:
    sexes = ({"sex": "female", "age_band": "18-39"}, {"sex": "male", "age_band": "65 and more"}) * 300
    seen = replace(drawn(watch, 600), subgroups=sexes)
    file = tmp_path / "report.html"
    file.write_text(render(report(watch, replace(seen, tokens=np.asarray(seen.tokens * 3)), verdicts=60)))
    with chromium() as browser:
        for width in (400, 1200):
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.goto(file.as_uri())
            assert violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.locator("th[scope=col]").evaluate_all(BROKEN) == []
            box = page.locator("li", has_text="length of the texts").first.bounding_box()
            assert box is not None
            assert box["width"] > 300
