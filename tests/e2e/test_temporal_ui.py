"""The Temporal UI as the status page, seen through a real browser."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, expect, sync_playwright
from temporalio.client import Client

from domain import names
from tests.support.product.installation import Product, until

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGE_MILLISECONDS = 30_000  # milliseconds


@pytest.fixture(scope="module")
def deployment(product: Product) -> str:
    """Return the workflow id of a deployment that serves and was scaled by a signal."""
    product.cli("setup-all", *product.here())
    product.cli("scale", "1", "--no-wait", *product.here())
    until(lambda: len(product.pods()) == 1, seconds=60, what="one client left")
    until(lambda: product.status()["phase"] == "serving", seconds=60, what="phase serving")
    return names.deployment_id("default", product.namespace)


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """Yield a page of Debian's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(PAGE_MILLISECONDS)
        yield page
        browser.close()


def _runs(product: Product, workflow_id: str) -> list[tuple[str, set[str]]]:
    """Run id and names of the signals it received, newest first."""

    async def look() -> list[tuple[str, set[str]]]:
        client = await Client.connect(product.world["TEMPORAL_ADDRESS"], namespace=product.name)
        found = []
        async for run in client.list_workflows(f"WorkflowId = '{workflow_id}'"):
            history = await client.get_workflow_handle(workflow_id, run_id=run.run_id).fetch_history()
            signals = {
                event.workflow_execution_signaled_event_attributes.signal_name
                for event in history.events
                if event.HasField("workflow_execution_signaled_event_attributes")
            }
            found.append((run.start_time, run.run_id, signals))
        return [(run_id, signals) for _, run_id, signals in sorted(found, reverse=True)]

    with ThreadPoolExecutor(max_workers=1) as apart:  # the browser's own event loop runs in this thread
        return apart.submit(asyncio.run, look()).result()


def _is_shown(page: Page, text: str) -> bool:
    """In the page or in one of its frames: the UI renders Markdown inside a frame."""
    try:
        return any(frame.get_by_text(text).first.is_visible() for frame in page.frames)
    except PlaywrightError:  # the frame was replaced while we looked
        return False


def _address(product: Product, workflow_id: str, run_id: str, tab: str) -> str:
    base = product.world["WORLD_TEMPORAL_UI"]
    return f"{base}/namespaces/{product.name}/workflows/{quote(workflow_id, safe='')}/{run_id}/{tab}"


def test_current_details_say_how_it_stands(product: Product, deployment: str, page: Page, tmp_path: Path) -> None:
    """The latest run's User Metadata shows phase, stage, digest, endpoint, clients ready and the pods by name."""
    run_id, _ = _runs(product, deployment)[0]
    page.goto(_address(product, deployment, run_id, "user-metadata"))
    status = product.status()
    digest = status["release"]["image"].partition("@")[2]
    texts = ["serving — 1 of 1 clients ready", status["release"]["stage"], digest, status["endpoint"], *product.pods()]
    for text in texts:
        until(partial(_is_shown, page, text), seconds=30, what=f"{text!r} on the page")
    assert page.screenshot(path=tmp_path / "user-metadata.png")


def test_history_shows_the_signal(product: Product, deployment: str, page: Page) -> None:
    """The run that received `scale --no-wait` shows the signal in its history."""
    received = [run_id for run_id, signals in _runs(product, deployment) if "scale" in signals]
    assert len(received) == 1
    page.goto(_address(product, deployment, received[0], "history"))
    expect(page.get_by_text("Signaled").first).to_be_visible(timeout=PAGE_MILLISECONDS)
    expect(page.get_by_text("scale").first).to_be_visible(timeout=PAGE_MILLISECONDS)
    product.cli("tear-down", "--yes", "--backend", *product.here())
