"""The review page as raters meet it, in headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kept import MODEL, prediction, verdict
from served import app_listening

from osler.feedback import Quest, RankedName
from osler.feedback.store import Store, open_store
from osler.review import app as module
from osler.review.app import Review, create_app

pytest.importorskip("playwright", reason="playwright is not installed: pip install 'osler[dev]'")
from browsing import NEEDED, WATCH, chromium, violations
from playwright.sync_api import Browser, Page, expect

pytestmark = NEEDED

HOSTILE = "<img src=x onerror=document.title='run'> tall, with a dislocated lens"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Two answers with texts, of which the second is surer, and one without."""
    monkeypatch.setattr(Review, "takes_comments", property(lambda self: True))
    monkeypatch.setattr(module, "unlinked", lambda: str.upper)
    store = open_store(str(tmp_path / "answers.db"), create=True)
    store.add_model(MODEL)
    store.add_predictions(
        [
            prediction(0, text=HOSTILE, abstained=True),
            prediction(1, text="Short, with a murmur."),
            prediction(2, diagnoses=(RankedName(label="OMIM:163950", probability=0.9),)),
        ]
    )
    return store


@contextmanager
def opened(
    browser: Browser, store: Store, *raters: str, adjudicator: str | None = None, **options: Any
) -> Iterator[Page]:
    """The page; afterwards nothing may have been refused or have failed, and nothing else been asked."""
    with app_listening(create_app(Review(store, raters, adjudicator, "unsure", {}))) as address:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        context.add_init_script(WATCH)
        page, faults, asked = context.new_page(), [], []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        if len(raters) + (adjudicator is not None) > 1:  # nobody judges under another's name because it stood first
            expect(page.get_by_text("Choose your name to begin.")).to_be_visible()
            expect(page.locator("#case")).to_be_hidden()
            page.locator("#rater").select_option(raters[0])
        yield page
        assert page.evaluate("[...refused]") == []
        assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
        assert set(page.evaluate("Object.keys(sessionStorage)")) <= {"rater"}
        assert page.title() == "Osler: review"
        context.close()
    assert faults == []
    assert all(url.startswith(address) for url in asked)


def test_a_case_is_judged_by_keyboard(browser: Browser, store: Store) -> None:
    with opened(browser, store, "ada", "bo") as page:
        expect(page.get_by_role("heading", name="Case case-0")).to_be_focused()
        assert page.locator("#text").inner_text() == HOSTILE
        expect(page.locator("#shown")).to_be_hidden()
        assert "Marfan" not in page.locator("main").inner_text()
        page.keyboard.press("Tab")
        page.keyboard.type("headache")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text(
            "“headache” is none of the 3 diagnoses that the model chose from."
        )
        page.keyboard.press("Control+A")
        page.keyboard.press("Delete")
        expect(page.get_by_role("alert")).to_have_text("")
        page.keyboard.type("noonan syndrome 1")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="What the model answered")).to_be_focused()
        expect(page.get_by_text("You thought: Noonan syndrome 1.")).to_be_visible()
        expect(page.get_by_text("The model abstained")).to_be_visible()
        listed = page.locator("#ranked").get_by_role("listitem").all_inner_texts()
        assert [text.split()[-1] for text in listed] == ["50.0%", "10.0%"]
        page.get_by_role("button", name="Save and go on").press("Enter")
        expect(page.get_by_role("alert")).to_have_text("Say whether the first diagnosis is right.")
        expect(page.get_by_label("Right", exact=True)).to_be_focused()
        page.keyboard.press("ArrowDown")
        expect(page.get_by_role("alert")).to_have_text("")
        expect(page.get_by_label("Which one is right?")).to_have_value("Noonan syndrome 1")
        page.get_by_role("checkbox", name="Dangerous miss").check()
        page.get_by_role("combobox", name="Safety and harm").select_option("2")
        page.get_by_label("Comment").fill("seen twice")
        page.keyboard.press("Control+Enter")
        expect(page.get_by_role("heading", name="Case case-1")).to_be_focused()
        expect(page.get_by_role("status")).to_have_text("You have judged 1 of 3 answers.")
    (kept,) = store.verdicts()
    assert (kept.rater, kept.right, kept.label, kept.own_label) == ("ada", False, "OMIM:163950", "OMIM:163950")
    assert (kept.codes, kept.comment, kept.quest) == (("dangerous_miss",), "SEEN TWICE", Quest(safety=2))


def test_not_knowing_skipping_and_another_rater(browser: Browser, store: Store) -> None:
    with opened(browser, store, "ada", "bo") as page:
        page.get_by_label("You are").select_option("bo")
        page.reload()
        expect(page.get_by_role("heading", name="Case case-0")).to_be_visible()
        expect(page.get_by_label("You are")).to_have_value("bo")
        tab = page.context.new_page()
        tab.goto(page.url)
        expect(tab.get_by_text("Choose your name to begin.")).to_be_visible()
        expect(tab.locator("#case")).to_be_hidden()
        tab.close()
        page.get_by_role("button", name="I don't know").click()
        expect(page.get_by_text("You thought: don't know.")).to_be_visible()
        page.get_by_label("Right", exact=True).check()
        page.get_by_role("button", name="Save and go on").click()
        expect(page.get_by_role("heading", name="Case case-1")).to_be_visible()
        page.locator("#blinded").get_by_role("button", name="Skip this case").click()
        expect(page.get_by_role("heading", name="Case case-2")).to_be_visible()
        expect(page.get_by_text("The text is not kept here.")).to_be_visible()
        page.locator("#blinded").get_by_role("button", name="Skip this case").click()
        expect(page.get_by_role("status")).to_have_text(
            "You have judged 1 of 3 answers. Nothing is left for you to judge."
        )
    assert [(one.rater, one.own_label, one.blinded) for one in store.verdicts()] == [("bo", None, True)]


def test_a_disagreement_is_settled(browser: Browser, store: Store) -> None:
    store.add_verdict(verdict(1, "ada", blinded=True, own_label="OMIM:154700"))
    store.add_verdict(verdict(1, "bo", False, label="OMIM:163950", comment=HOSTILE))
    with opened(browser, store, adjudicator="cy") as page:
        expect(page.get_by_role("heading", name="Case case-1")).to_be_visible()
        assert page.locator("#said").get_by_role("listitem").all_inner_texts() == [
            "right; thought of Marfan syndrome before",
            f"wrong, rather Noonan syndrome 1; “{HOSTILE}”",
        ]
        page.get_by_label("Right", exact=True).check()
        page.get_by_role("button", name="Save and go on").click()
        expect(page.get_by_role("status")).to_have_text(
            "You have settled 1. Raters disagree on no more. Nothing is left to settle."
        )
    assert [(one.id, by.rater, by.right) for one, by in store.settled()] == [("case-1", "cy", True)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_nobody_is_shut_out(browser: Browser, store: Store, width: int, scheme: str) -> None:
    screen = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme, "reduced_motion": "reduce"}
    with opened(browser, store, "ada", **screen) as page:
        expect(page.get_by_role("heading", name="Case case-0")).to_be_visible()
        assert violations(page) == []
        page.get_by_role("button", name="I don't know").click()
        page.get_by_label("Wrong", exact=True).check()
        expect(page.get_by_label("Which one is right?")).to_be_visible()
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_what_is_wrong_is_said_in_sight_of_whoever_has_to_mend_it(browser: Browser, store: Store) -> None:
    with opened(browser, store, "ada", viewport={"width": 400, "height": 640}) as page:
        problem = page.get_by_role("alert")
        page.get_by_role("button", name="Show the model's answer").click()
        expect(problem).to_have_text("Name a diagnosis, or say that you don't know.")
        expect(problem).to_be_in_viewport(ratio=1)
        expect(page.get_by_label("What do you think it is?")).to_be_focused()
        page.get_by_role("button", name="I don't know").click()
        page.get_by_role("button", name="Save and go on").click()
        expect(problem).to_have_text("Say whether the first diagnosis is right.")
        expect(problem).to_be_in_viewport(ratio=1)
        right = page.get_by_label("Right", exact=True)
        expect(right).to_be_focused()
        expect(right).to_be_in_viewport(ratio=1)
        assert right.evaluate("one => getComputedStyle(one).outlineStyle") == "solid", "after a click, too"
        assert violations(page) == []
        page.get_by_label("Wrong", exact=True).check()
        expect(problem).to_have_text("")
        page.get_by_label("Which one is right?").fill("Marfan syndrome")
        page.get_by_role("button", name="Save and go on").click()
        expect(problem).to_contain_text("is the answer's first diagnosis; say right, or name another")
        expect(problem).to_be_in_viewport(ratio=1)
    assert list(store.verdicts()) == []
