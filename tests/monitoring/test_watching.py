"""A model in use, from what a service kept to a report and its alarms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import streams
from streams import drawn, report

from osler.errors import InputError
from osler.monitoring.alarms import email, exposition, lines
from osler.monitoring.drift import WINDOW
from osler.monitoring.page import render, write
from osler.monitoring.records import Monitoring
from osler.monitoring.watching import Watch
from osler.storage.contracts import read_model


def test_cases_like_those_of_the_evaluation_are_quiet(watch: Watch) -> None:
    told = report(watch, drawn(watch, 620), verdicts=40)
    assert told.alarms == ()
    assert [window.n for window in told.windows] == [WINDOW, WINDOW, 120]
    assert set(told.windows[0].drift) == set(watch.detectors.reference.watched)
    assert told.windows[2].drift == {}
    assert told.accuracy.judged == 40
    assert told.accuracy.realised is not None
    assert any("40 judged of 620" in line for line in lines(told))
    assert lines(told)[-1] == "no alarm; not watched: findings", "the task names no ontology"
    assert "selection" in email(told)


def test_no_alarm_is_not_said_of_what_nobody_looked_at(watch: Watch) -> None:
    early = report(watch, drawn(watch, 127))
    said = "no alarm yet: drift was not looked at (127 of 250 cases); not watched: findings"
    assert lines(early)[-1] == said
    assert email(early).startswith(f"Subject: tiny-made-up: {said}\n")
    assert f'<p class="headline">N{said[1:]}.</p>' in render(early)
    seen = drawn(watch, 250)
    longer = report(watch, replace(seen, tokens=seen.tokens * 3))
    loud = early.model_copy(update={"alarms": longer.alarms[:1]})
    assert "drift was not looked at (127 of 250 cases)" in lines(loud)
    assert email(loud).startswith("Subject: tiny-made-up: 1 alarm; drift was not looked at (127 of 250 cases); ")
    quiet = report(watch, drawn(watch, 260))
    for unwatched, said in (
        ({"length": "no texts here", "language": "the same"}, "no alarm; not watched: length, language"),
        ({}, "no alarm"),
    ):
        told = quiet.model_copy(update={"reference": quiet.reference.model_copy(update={"not_watched": unwatched})})
        assert lines(told)[-1] == said
        assert email(told).startswith(f"Subject: tiny-made-up: {said}\n")
        assert f'<p class="headline">N{said[1:]}.</p>' in render(told)


def test_longer_texts_are_told_once_with_what_moved(watch: Watch) -> None:
    seen = drawn(watch, 1000)
    longer = replace(seen, tokens=np.where(np.arange(1000) < 250, seen.tokens, seen.tokens * 2))
    told = report(watch, longer)
    (drift,) = [one for one in told.alarms if one.kind == "drift"]
    assert drift.about == "length"
    assert drift.case == 500
    assert "mean" in drift.text
    assert any(one.kind == "change" and one.about == "length" for one in told.alarms)
    assert email(told).startswith("Subject: tiny-made-up: ")
    assert "length of the texts" in email(told)


def test_what_moved_is_named_with_its_id_where_they_differ(watch: Watch) -> None:
    before = watch.detectors.reference.cases
    label = next(one for one in before.label if one)
    now = replace(drawn(watch, 250), label=(label,) * 250)
    bins = next(one.bins for one in watch.detectors.watched if one.feature == "labels")
    assert bins.moved(before, now, {label: "a disease"}).startswith(f"a disease ({label}) ")
    assert bins.moved(before, now, {label: label}).startswith(f"{label} ")
    assert bins.moved(before, now, {}).startswith(f"{label} ")
    assert label in watch.detectors.reference.named


def test_answers_that_are_not_calibrated_give_no_estimate(watch: Watch) -> None:
    told = report(watch, drawn(watch, 260), verdicts=20, calibrated=False)
    assert told.accuracy.estimated is None
    assert told.accuracy.realised is not None


def test_a_store_without_this_model_is_an_error_that_names_what_there_is(watch: Watch) -> None:
    others = streams.stored(drawn(watch, 3), "other weights")
    with pytest.raises(InputError, match=r"tiny-made-up@1\.0\.0 alone.*name its run"):
        watch.report(others)
    with pytest.raises(InputError, match="no answers"):
        watch.report([])


def test_the_report_is_a_page_a_file_an_email_and_gauges(watch: Watch, tmp_path: Path) -> None:
    seen = drawn(watch, 600)
    told = report(watch, replace(seen, language=("de",) * 600, subgroups=tuple({"sex": "f"} for _ in range(600))), 30)
    write(tmp_path / "report.html", told)
    assert read_model(tmp_path / "report.json", Monitoring) == told
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") >= 3
    assert "src=" not in page
    assert "<li><b>drift</b>, at case 250 " in page
    gauges = (tmp_path / "report.prom").read_text()
    assert 'osler_monitored_alarms{kind="drift",model="tiny-made-up"}' in gauges
    assert exposition(told).decode() == gauges
    assert (tmp_path / "report.txt").read_text() == email(told)
