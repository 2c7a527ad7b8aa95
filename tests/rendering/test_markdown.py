"""Whatever a label, a file's name or an author's sentence holds, a card shows it and does not obey it."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from osler.rendering import Markdown, bold, code, escaped, fenced, markdown_table

GITHUB = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
TEXTS = [
    "<script>alert(1)</script>",
    "<!-- the rest of the card",
    "<javascript:alert(1)>",
    "[click](javascript:alert(1))",
    "![x](https://example.org/counts-readers.png)",
    "[x]: javascript:alert(1)",
    "[a][x]",
    "# Results\n\nFDA cleared",
    "me\n\n## Results",
    "text\n===",
    "1. first",
    "- [ ] done",
    "---",
    "> quoted",
    "a | b\n---|---",
    "\\| \\",
    "*bold* __init__ _x_ ~~not~~ a_b **",
    "`code` ``two`` ```three",
    "&lt;b&gt; &copy; AT&T",
    "    indented",
    "p < 0.001, 0.308 [0.216, 0.417] (so)",
    "ER+/PR-/HER2-",
    "C:\\notes\\x_1.csv",
]


class Page(HTMLParser):
    """The elements and the words of a rendered page."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(GITHUB.render(markdown))

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words += data.split()


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_shown_as_it_is_wherever_it_stands(text: str) -> None:
    words = text.split()
    for markdown, tags in (
        (escaped(text), ["p"]),
        (f"* {escaped(text)}", ["ul", "li"]),
        (f"said: {escaped(text)} (so)", ["p"]),
        (bold(f"said: {text}."), ["p", "strong"]),
        (code(text), ["p", "code"]),
        (fenced(text, "yaml"), ["pre", "code"]),
    ):
        page = Page(markdown)
        assert page.tags == tags, markdown
        assert set(words) <= {word for shown in page.words for word in (shown, shown.removesuffix("."))}, markdown


@pytest.mark.parametrize("text", TEXTS)
def test_a_table_stays_one_whatever_its_cells_hold(text: str) -> None:
    page = Page(markdown_table(["system", "n"], [[text, 1], [code(text), Markdown("**2**")]]))
    assert [page.tags.count(tag) for tag in ("table", "tr", "th", "td", "strong", "code")] == [1, 3, 2, 4, 1, 1]
    assert not set(page.tags) - {"table", "thead", "tbody", "tr", "th", "td", "strong", "code"}
