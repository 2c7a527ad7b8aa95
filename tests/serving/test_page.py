"""The web page as its users meet it, in headless Chromium: served by the real application, from a model whose answers
the tests choose."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from served import explanation, keeping, listening

from osler.errors import InputError
from osler.feedback.store import open_store
from osler.runs import Calibration
from osler.serving.access import Access, new_key
from osler.serving.app import Server
from osler.serving.batching import DeadlineError, QueueFullError
from osler.serving.diagnosis import Diagnosis, ModelName, RankedLabel, WordWeight, link
from osler.serving.model import Asked, ServedModel
from osler.serving.requests import EXAMPLE, EXAMPLE_IS

pytest.importorskip("playwright", reason="playwright is not installed: pip install 'osler[dev]'")
from browsing import NEEDED, WATCH, chromium, violations
from playwright.sync_api import Browser, Error, Page, expect

pytestmark = NEEDED

TEXT = "Patient 7 has a heart murmur and widely spaced eyes."
ELSEWHERE = "osler.test"  # for the browser another machine, whose connection would have to be encrypted
HOSTILE = "<img src=x onerror=document.title='run'><b>" + "Schimmelpenning-Feuerstein-Mims-" * 6
NAMES = {"OMIM:163950": "Noonan syndrome", "ORPHA:98896": "Duchenne muscular dystrophy", HOSTILE: HOSTILE}
SURE = (0.8125, 0.15, 0.0001)


class Canned(ServedModel):
    """A model that answers every text in the same way."""

    answers: Diagnosis

    def encode(self, text: str, explain: bool = False) -> Asked:
        if not text.strip() or len(text) > 1000:
            raise InputError("the text has 3,000 tokens with its prompt, and the model reads 1,024; shorten it")
        return Asked(None, [], ())

    def answer(self, asked: Sequence[Asked], top: int | None = None) -> list[Diagnosis]:
        return [self.answers] * len(asked)


def canned(name: str = "made-up", probabilities: Sequence[float | None] = SURE, **changes: Any) -> dict[str, Canned]:
    """A model of that name, whose answers are those with ``changes``."""
    called = ModelName(name=name, version="1.0.0", recipe_sha256="a" * 64, weights_sha256="b" * 64)
    model = Canned(called, "made_up", NAMES, 1024, Calibration(), None, None, None, None)  # type: ignore[arg-type]
    ranked = [
        RankedLabel(label=label, name=name, probability=p, link=link(label))
        for (label, name), p in zip(NAMES.items(), probabilities, strict=True)
    ]
    answer = {"diagnoses": tuple(ranked), "abstained": False, "reason": None, "calibrated": True, "warnings": ()}
    model.answers = Diagnosis(**answer | {"model": called} | changes)
    return {name: model}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1") as browser:
        yield browser


@contextmanager
def opened(browser: Browser, server: Server, host: str = "127.0.0.1", **options: Any) -> Iterator[Page]:
    """The page of ``server``; afterwards nothing else may have been asked, refused, or kept."""
    with listening(server) as address:
        address = address.replace("127.0.0.1", host)
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        context.add_init_script(WATCH)
        page, asked, faults = context.new_page(), [], []
        page.set_default_timeout(20_000)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text))
        page.goto(address)
        yield page
        assert page.evaluate("[...refused]") == []
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
        assert page.url == f"{address}/"
        context.close()
    # Chromium notes every status from 400 on in its console.
    assert [fault for fault in faults if not fault.startswith("Failed to load resource")] == []
    assert {url.partition("?")[0].removeprefix(address) for url in asked} <= {"/", "/version", "/diagnose", "/feedback"}
    assert not [url for url in asked if "Patient" in url or "murmur" in url]


def ask(page: Page, text: str = TEXT) -> None:
    page.get_by_label("The patient, in words").fill(text)
    page.get_by_role("button", name="Diagnose").click()


def get_answer(page: Page, text: str = TEXT) -> None:
    ask(page, text)
    expect(page.locator("#answer")).to_be_visible()


def test_a_text_is_answered_with_bars_and_numbers(browser: Browser) -> None:
    with opened(browser, Server(canned())) as page:
        assert page.locator("#example").inner_text() == EXAMPLE
        expect(page.get_by_text(f"Example ({EXAMPLE_IS}):")).to_be_visible()
        page.get_by_role("button", name="Use the example").click()
        expect(page.get_by_role("button", name="Use the example")).to_be_disabled()
        page.keyboard.press("Control+Enter")
        expect(page.get_by_role("heading", name="Most likely: Noonan syndrome, 81.3%")).to_be_focused()
        listed = page.get_by_role("list", name="Diagnoses").get_by_role("listitem")
        assert [text.split()[-1] for text in listed.all_inner_texts()] == ["81.3%", "15.0%", "0.1%"]
        widths = page.locator(".bar div").evaluate_all(
            "bars => (bars.forEach(b => b.getAnimations().forEach(a => a.finish())),"
            " bars.map(b => b.offsetWidth / b.parentNode.clientWidth))"
        )
        assert widths == pytest.approx(SURE, abs=0.01)
        first = page.get_by_role("link", name="OMIM:163950 (opens in a new tab)")
        assert [first.get_attribute(name) for name in ("href", "target", "rel")] == [
            "https://omim.org/entry/163950",
            "_blank",
            "noopener noreferrer",
        ]
        expect(page.get_by_text("made-up 1.0.0, recipe aaaaaaaaaaaa")).to_be_visible()
        expect(page.get_by_text("No medical device, for research only.")).to_be_visible()
        for hidden in (
            "#abstained",
            "#unusual",
            "#uncalibrated",
            "#carried",
            "#wrote",
            "#feedback",
            "#access",
            "#choice",
        ):
            expect(page.locator(hidden)).to_be_hidden()
        page.get_by_label("The patient, in words").fill("somebody else")
        expect(page.get_by_text("The text has changed since")).to_be_visible()


def test_a_label_is_shown_as_it_is_and_never_obeyed(browser: Browser) -> None:
    changes = {"warnings": (HOSTILE,), "text": HOSTILE, "abstained": True, "reason": HOSTILE}
    with opened(browser, Server(canned(**changes)), viewport={"width": 400, "height": 900}) as page:
        get_answer(page)
        expect(page.locator("#ranked li").nth(2)).to_contain_text(HOSTILE[:40])
        assert page.locator("#answer img, #answer li b b").count() == 0
        assert page.title() == "Osler: diagnoses for a text"
        assert page.evaluate("document.documentElement.scrollWidth") == 400, "long labels wrap"


def test_what_is_unsure_or_unusual_is_said_first(browser: Browser) -> None:
    changes = {
        "abstained": True,
        "reason": "the first diagnosis has a probability of 0.31; from 0.62 on, 90% were right",
        "warnings": ("12% of its words are rare or missing in the training texts", "it has 900 tokens"),
        "calibrated": False,
    }
    with opened(browser, Server(canned(probabilities=(0.31, 0.3, 0.29), **changes))) as page:
        get_answer(page)
        expect(page.get_by_role("heading", name="No diagnosis: too unsure")).to_be_focused()
        expect(page.get_by_text("Why: the first diagnosis has a probability of 0.31;")).to_be_visible()
        assert page.locator("#warnings li").all_inner_texts() == list(changes["warnings"])
        expect(page.locator("#uncalibrated")).to_be_visible()
        expect(page.locator("#calibrated")).to_be_hidden()
        tops = [page.locator(one).bounding_box()["y"] for one in ("#abstained", "#unusual", "#ranked")]  # type: ignore[index]
        assert tops == sorted(tops)


def test_a_model_that_writes_is_shown_with_what_it_wrote(browser: Browser) -> None:
    wrote = "Noonan syndrome,\nrather than Duchenne"
    with opened(browser, Server(canned(probabilities=(None, None, None), text=wrote))) as page:
        get_answer(page)
        assert page.locator("#written").inner_text() == wrote
        assert page.locator("#ranked .line b").all_inner_texts() == ["no probability"] * 3
        assert page.locator("#ranked .bar").count() == 0
        expect(page.locator("#calibrated, #uncalibrated").filter(visible=True)).to_have_count(0)


def test_words_are_marked_where_they_stand_and_not_by_colour_alone(browser: Browser) -> None:
    text = "👶🏽 with a heart murmur, no fever"
    words = [("no fever", -0.2), ("heart murmur", 0.7)]
    weights = [WordWeight(start=text.index(w), end=text.index(w) + len(w), weight=x) for w, x in words]
    with opened(browser, Server(canned(words=tuple(weights)))) as page:
        get_answer(page, text)
        assert page.locator("mark").all_text_contents() == ["heart murmur+ (for)", "no fever− (against)"]
        styles = page.locator("mark").evaluate_all("all => all.map(one => getComputedStyle(one).textDecorationStyle)")
        assert styles == ["solid", "dashed"]
        assert page.locator("#read").evaluate("e => e.firstChild.data") == "👶🏽 with a "


def test_why_is_asked_after_the_answer_and_told_with_bars_words_and_sources(browser: Browser) -> None:
    text = "👶🏽 with a heart murmur, no fever"
    models = canned()
    model = models["made-up"]
    plain = model.answers
    told = explanation(text)
    model.answer = lambda asked, top=None: [  # type: ignore[method-assign]
        plain.model_copy(update={"explanation": told, "words": told.units}) if one.planned else plain for one in asked
    ]
    model.encode = lambda text, explain=False: Asked(None, [], (), True if explain else None)  # type: ignore[method-assign,arg-type]
    for width in (400, 1200):
        with opened(browser, Server(models), viewport={"width": width, "height": 900}) as page:
            get_answer(page, text)
            expect(page.locator("#explained, #carried").filter(visible=True)).to_have_count(0)
            with page.expect_request("**/diagnose?model=made-up") as asked:
                page.get_by_role("button", name="Why this answer?").click()
            expect(page.get_by_text("This explains the model, not the patient")).to_be_visible()
            assert json.loads(asked.value.post_data or "") == {"text": text, "explain": True}
            assert page.locator("mark").all_text_contents() == ["heart murmur+ (for)", "no fever− (against)"]
            assert page.locator("#units .line b").all_inner_texts() == ["+0.70", "−0.20"]
            sides = page.locator("#units .bar div").evaluate_all("all => all.map(e => [e.className, e.style.width])")
            assert sides == [["for", "50%"], ["against", "14.2857%"]]
            expect(page.locator("#changes")).to_have_text("Duchenne muscular dystrophy (60.0%) without “heart murmur”")
            expect(page.locator("#hpo")).to_contain_text("for: Heart murmur 41%")
            link = page.get_by_role("link", name="PMID:123 (opens in a new tab)")
            assert link.get_attribute("href") == "https://pubmed.ncbi.nlm.nih.gov/123/"
            expect(page.get_by_role("button", name="Why this answer?")).to_be_hidden()
            assert violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") == width


def test_feedback_is_stored_with_the_label_instead(browser: Browser, tmp_path: Path) -> None:
    models = canned()
    with opened(browser, Server(models, keeper=keeping(models, tmp_path))) as page:
        get_answer(page)
        page.get_by_role("button", name="Wrong").click()
        expect(page.get_by_label("Which one is right?")).to_be_focused()
        page.get_by_label("Which one is right?").select_option("Duchenne muscular dystrophy")
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_text("Thank you: it is noted.")).to_be_focused()
        get_answer(page)
        page.get_by_role("button", name="Right").click()
        expect(page.get_by_text("Thank you: it is noted.")).to_be_focused()
    store = open_store(str(tmp_path / "answers.db"))
    assert [(one.right, one.label) for one in store.verdicts()] == [(False, "ORPHA:98896"), (True, None)]
    assert [one.prediction for one in store.verdicts()] == [one.id for one in store.predictions()]
    assert {one.text for one in store.predictions()} == {None}


def test_without_encryption_it_warns_and_still_answers(browser: Browser) -> None:
    with opened(browser, Server(canned()), ELSEWHERE) as page:
        get_answer(page)
        expect(page.get_by_text("This connection is not encrypted")).to_be_visible()
    with opened(browser, Server(canned())) as page:
        expect(page.get_by_text("This connection is not encrypted")).to_be_hidden()


def test_of_several_models_one_is_chosen(browser: Browser) -> None:
    with opened(browser, Server({**canned("one"), **canned("other")})) as page:
        page.get_by_label("Model").select_option("other 1.0.0 (made_up)")
        ask(page)
        expect(page.locator("#by")).to_contain_text("other 1.0.0")


def test_a_key_is_asked_for_where_one_is_needed(browser: Browser) -> None:
    key, line = new_key("ward-7")
    access = Access({line.split(":")[1]: "ward-7"})
    with opened(browser, Server(canned(), access)) as page:
        field = page.get_by_label("API key")
        expect(page.get_by_text("The server asks for an API key.")).to_be_visible()
        ask(page)
        expect(field).to_be_focused()
        for wrong, said in (
            ("guess", "does not take this key. It says: this key is not known"),
            ("schlüssel", "letters"),
        ):
            field.fill(wrong)
            page.keyboard.press("Enter")
            expect(page.get_by_role("alert")).to_contain_text(said)
        assert violations(page) == []
        field.fill(key)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Most likely: Noonan syndrome")).to_be_focused()
        expect(page.get_by_role("alert")).to_be_empty()
        assert key not in page.content()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (QueueFullError(7), "has too much to do just now. Try again in 7 seconds."),
        (DeadlineError("not answered in 30 s"), "could not answer in time, or is ending. Try again in a while."),
        (ZeroDivisionError("murmur"), "The server failed, with status 500. It says: something failed in the server"),
    ],
    ids=["busy", "late", "broken"],
)
def test_what_fails_is_said_in_plain_words(browser: Browser, error: Exception, said: str) -> None:
    server = Server(canned())

    async def fail(*_: object) -> list[Diagnosis]:
        raise error

    works = server.batcher.submit
    with opened(browser, server) as page:
        get_answer(page)
        server.batcher.submit = fail  # type: ignore[method-assign]
        ask(page)
        expect(page.get_by_role("alert")).to_contain_text(said)
        expect(page.locator("#answer")).to_be_hidden()  # nobody takes the last answer for this one
        server.batcher.submit = works  # type: ignore[method-assign]
        get_answer(page)
        expect(page.get_by_role("alert")).to_be_empty()


def test_a_text_that_is_missing_or_too_long_and_a_server_that_is_gone(browser: Browser) -> None:
    with opened(browser, Server(canned())) as page:
        ask(page, "  ")
        expect(page.get_by_role("alert")).to_contain_text("Describe the patient first.")
        ask(page, "fever " * 1000)
        expect(page.get_by_role("alert")).to_contain_text(
            "does not take this. It says: text: the text has 3,000 tokens"
        )
        page.route("**/diagnose*", lambda route: route.abort())
        ask(page)
        expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached.")
        page.unroute("**/diagnose*")
        page.route("**/diagnose*", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
        ask(page)
        expect(page.get_by_role("alert")).to_have_text("The server failed, with status 502.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_nobody_is_shut_out(browser: Browser, tmp_path: Path, width: int, scheme: str) -> None:
    weights = (WordWeight(start=16, end=28, weight=0.7), WordWeight(start=33, end=51, weight=-0.2))
    changes = {"abstained": True, "reason": "unsure", "warnings": ("long",), "calibrated": False, "words": weights}
    models = {**canned(**changes), **canned("other")}
    server = Server(models, keeper=keeping(models, tmp_path))
    screen = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme, "reduced_motion": "reduce"}
    with opened(browser, server, **screen) as page:
        expect(page.get_by_label("Model")).to_be_visible()
        assert violations(page) == []
        get_answer(page)
        page.get_by_role("button", name="Wrong").click()
        assert page.locator(".bar div").first.evaluate("e => e.getAnimations().length") == 0
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
        assert dark == (scheme == "dark")


def test_a_browser_runs_nothing_but_the_pages_own_script(browser: Browser) -> None:
    with listening(Server(canned())) as address, browser.new_context() as context:
        context.add_init_script(WATCH)
        page = context.new_page()
        answer = page.goto(address)
        assert answer
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"
        page.evaluate("fetch('http://127.0.0.2:9/').catch(() => 0)")
        assert page.evaluate("refused.splice(0)") == ["http://127.0.0.2:9/"]
        with pytest.raises(Error, match="requires 'TrustedHTML'"):
            page.evaluate("document.body.innerHTML = '<b>an answer</b>'")
        page.evaluate("""() => {
            const style = document.createElement("style");
            style.textContent = "body { display: none }";
            document.head.append(style);
        }""")
        assert page.evaluate("refused.includes('inline')")
        expect(page.get_by_label("The patient, in words")).to_be_visible()
