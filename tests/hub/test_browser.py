"""A real browser before a real server: what a person would click."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, expect, sync_playwright
from tests.hub.conftest import House

from clew.hub import prepare

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TOKEN = "a-token-nobody-guesses"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is missing: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(params=[None, TOKEN], ids=["open", "token"])
def url(house: House, request: pytest.FixtureRequest) -> Iterator[str]:
    hub = prepare(house.workspace, port=0, token=request.param)
    thread = threading.Thread(target=hub.run)
    thread.start()
    try:
        yield hub.url
    finally:
        hub.stop()
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """A page on which nothing may go wrong unseen; logged in where a token is asked for."""
    said: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):  # such as what the content security policy refused
            said.append(message.text)

    def on_dialog(dialog: Dialog) -> None:
        said.append("a dialog opened")
        dialog.dismiss()

    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(20_000)
    page.on("console", on_console)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", on_dialog)
    page.goto(url)
    if page.url.endswith("/login?next=/"):
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    yield page
    page.close()
    assert said == []


def test_from_the_overview_down_to_the_snapshot_and_back_from_a_prediction(page: Page, house: House, url: str) -> None:
    # What is live, and the rollout's decisions with their evidence.
    page.get_by_role("link", name="house-price", exact=True).first.click()
    expect(page).to_have_url(re.compile(r"/endpoints/house-price$"))
    rollout = page.locator("section.rollout")
    expect(rollout.locator("svg.curve")).to_have_count(3)
    expect(rollout.locator("table.decisions > tbody > tr")).to_have_count(5)
    evidence = rollout.locator("table.decisions details").first
    expect(evidence.locator("table")).to_be_hidden()
    evidence.locator("summary").click()
    expect(evidence.locator("table")).to_be_visible()
    expect(evidence).to_contain_text("disagreement")
    decisions = rollout.locator(".scroll")
    assert decisions.evaluate("box => box.scrollWidth <= box.clientWidth")

    # The candidate, its run, the snapshot that trained it, where that came from.
    rollout.get_by_role("link", name="house-price@2").first.click()
    expect(page.get_by_role("heading", name="house-price@2")).to_be_visible()
    expect(page.locator("section.slices svg.bar")).to_have_count(3)
    page.get_by_role("link", name="house-price", exact=True).nth(1).click()
    expect(page).to_have_url(f"{url}/runs/{house.filled.runs['train 2']}")
    expect(page.locator("#steps")).to_contain_text("parameter trees changed: 200 → 400")
    page.get_by_role("link", name="house-sales@2").first.click()
    expect(page).to_have_url(f"{url}/datasets/house-sales/2")
    expect(page.locator("#sources")).to_contain_text("house_sales_2.csv.gz")

    # From a prediction's id to its thread, and from a box of it on.
    page.get_by_role("link", name="Predictions").click()
    page.get_by_label("Prediction id").fill(house.filled.predictions[0])
    page.get_by_role("button", name="Show its thread").click()
    expect(page.get_by_role("heading", name="412,000")).to_be_visible()
    expect(page.locator("svg.chain path.thread")).to_have_count(7)
    page.locator("svg.chain a").filter(has_text="model version").click()
    expect(page).to_have_url(f"{url}/models/house-price/2")


def test_runs_are_sorted_by_a_click_on_a_header_and_filtered_by_a_form(page: Page) -> None:
    page.get_by_role("link", name="Runs", exact=True).click()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(4)
    expect(rows.first).to_contain_text("<script>alert('x')</script>")  # as text: nothing ran
    page.get_by_role("link", name="mae").click()
    expect(rows.first).to_contain_text("57,789")
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("mae")
    page.get_by_role("link", name="mae").click()
    expect(rows.first).to_contain_text("89,895")
    page.get_by_label("State").select_option("failed")
    page.get_by_role("button", name="Filter").click()
    expect(rows).to_have_count(1)
    page.get_by_role("link", name="Show all").click()
    expect(rows).to_have_count(4)


def test_nothing_is_cut_off_at_1280_pixels_and_a_phone_scrolls_tables_alone(page: Page, house: House, url: str) -> None:
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for path in ("/", "/endpoints/house-price", "/models/house-price/2", "/runs", "/datasets/house-sales/2"):
            page.goto(url + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
        page.goto(f"{url}/predictions/{house.filled.predictions[0]}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 1280, "height": 900})


def test_who_logs_out_is_asked_again(page: Page, url: str) -> None:
    leave = page.get_by_role("button", name="Log out")
    if leave.count() == 0:
        expect(page.get_by_role("link", name="Overview")).to_be_visible()
        return
    leave.click()
    page.goto(f"{url}/runs")
    expect(page).to_have_url(f"{url}/login?next=/runs")


def test_the_thread_is_walked_by_clicks_and_two_versions_are_compared(page: Page, house: House, url: str) -> None:
    page.goto(f"{url}/datasets/house-sales/2")
    page.get_by_role("link", name="its thread").click()
    expect(page).to_have_url(re.compile(r"/thread/snapshot/house-sales(@|%40)2$"))
    picture = page.locator("svg.network")
    expect(picture.locator("a")).to_have_count(8)
    assert picture.evaluate("picture => picture.getBoundingClientRect().right") <= 1280
    picture.locator("a").filter(has_text="house-price@2").click()
    expect(page.get_by_role("heading", name="The thread of house-price@2")).to_be_visible()
    picture.locator("a").filter(has_text="house-price@2").click()
    expect(page).to_have_url(f"{url}/models/house-price/2")
    page.get_by_role("link", name="against house-price@1").click()
    expect(page.get_by_role("heading", name="house-price@1 → house-price@2")).to_be_visible()
    expect(page.locator("#slices")).to_contain_text("city = Chur")
    expect(page.locator("#data")).to_contain_text("1,484")
    page.goto(f"{url}/thread/prediction/{house.filled.predictions[0]}")
    expect(picture.locator("a")).to_have_count(8)
