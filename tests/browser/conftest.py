"""A headless Chromium, and pages of which everything is watched."""

import shutil

import pytest
import watching
from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser():
    path = next(filter(None, map(shutil.which, NAMES)), None)
    assert path, f"these tests need a browser, one of {', '.join(NAMES)}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Return what opens a page; when the test ends, it must have been quiet and alone."""
    contexts, errors, requests = [], [], []

    def listen(text):
        if "willReadFrequently" not in text:  # it is the test that reads what is drawn
            errors.append(text)

    def open_page(path, width=1600, height=1000, fragment="", **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: listen(message.text))
        page.on("request", lambda request: requests.append(request.url))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        page.goto(f"{path.as_uri()}{fragment}")
        watching.wait(page, "intgrad.about !== null && list.started")
        return page

    open_page.errors = errors
    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
