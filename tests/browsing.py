"""The machine's own Chromium, for tests of web pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install 'osler[dev]'")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium")
NEEDED = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
OPTIONS = ("gpu", "quic", "background-networking", "component-update", "sync")
# What a page's policy did not allow; for add_init_script.
WATCH = "window.refused = []; addEventListener('securitypolicyviolation', e => refused.push(e.blockedURI))"


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """A headless browser, with further ``arguments``."""
    expect.set_options(timeout=20_000)  # a busy machine is no fault of the page
    quiet = ["--no-first-run", "--no-proxy-server", *(f"--disable-{name}" for name in OPTIONS)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*quiet, *arguments])
        yield browser
        browser.close()


def violations(page: Page) -> list[str]:
    """What shuts people out, by axe-core's rules."""
    return [f"{one['id']}: {node['html']}" for one in Axe().run(page).response["violations"] for node in one["nodes"]]
