"""A real Chromium and the page of a collector.

`collector_url` is all that most tests need: they hold for any collector that shows these nodes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from fakes.fakecollector import FakeCollector

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE: ViewportSize = {"width": 1440, "height": 900}
CONTEXT: dict[str, Any] = {"locale": "en-US", "viewport": WIDE}
WATCH = """
window.violations = [];
window.longestTask = 0;
addEventListener("securitypolicyviolation", (event) => {
  violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
new PerformanceObserver((list) => {
  for (const task of list.getEntries()) longestTask = Math.max(longestTask, task.duration);
}).observe({ type: "longtask", buffered: true });
"""


@dataclass(slots=True)
class Watched:
    """A page, and what it did besides showing."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    outage: bool = False
    """True where a test makes requests fail: the browser then says so on its console."""

    def begin(self) -> None:
        self.page.add_init_script(WATCH)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(f"error {error}"))
        self.page.on("console", lambda message: self._said(message.type, message.text))

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not (self.outage and "Failed to load" in text):
            self.complaints.append(f"{kind} {text}")

    def forget(self) -> None:
        """Begin anew: what another test did is not this one's."""
        self.page.evaluate("window.violations?.splice(0)")
        self.requests.clear()
        self.complaints.clear()
        self.outage = False

    def strangers(self, base: str) -> list[str]:
        """Requests to anywhere but the collector."""
        own = (base + "/", "data:", "blob:" + base)
        return [url for url in self.requests if not url.startswith(own)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeCollector]:
    with FakeCollector() as collector:
        yield collector


@pytest.fixture
def collector_url(fake: FakeCollector) -> Iterator[str]:
    yield fake.url
    fake.down = fake.silent = False
    fake.local, fake.refusal = True, ""
    fake.broker_connected = True


def _opened(browser: Browser, options: dict[str, Any]) -> Watched:
    page = browser.new_context(**(CONTEXT | options)).new_page()
    page.set_default_timeout(20_000)
    made = Watched(page)
    made.begin()
    return made


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Watched]:
    """One page for the tests that leave nothing behind: it loads the chart library once."""
    made = _opened(browser, {})
    yield made
    made.page.context.close()


@pytest.fixture
def watched(browser: Browser, tab: Watched, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """A page; with an indirect parameter, such as `{"locale": "zh-CN"}`, a new one of its own."""
    own = getattr(request, "param", None)
    made = tab if own is None else _opened(browser, own)
    made.forget()
    yield made
    made.complaints += made.page.evaluate("window.violations ?? []")
    if made is not tab:
        made.page.context.close()
    assert made.complaints == []


@pytest.fixture
def page(watched: Watched) -> Page:
    return watched.page


def visit(page: Page, base: str, address: str = "#/") -> None:
    """Go to a view of the page, which is opened anew even where it is the one that is shown."""
    if not page.url.startswith(base + "/"):
        page.goto(f"{base}/{address}")
        return
    page.evaluate("(address) => { location.hash = '#/away'; location.hash = address; }", address)


def until(page: Page, expression: str, argument: Any = None) -> None:
    """Wait until the expression of `arg` is true. (`wait_for_function` needs 'unsafe-eval'.)"""
    program = """async (arg) => {
      const end = performance.now() + 20000;
      while (!(EXPRESSION)) {
        if (performance.now() > end) throw new Error("never true: " + `EXPRESSION`);
        await new Promise((resolve) => setTimeout(resolve, 40));
      }
    }"""
    page.evaluate(program.replace("EXPRESSION", expression), argument)
