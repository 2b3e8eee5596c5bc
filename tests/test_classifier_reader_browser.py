"""A reader's page in a real browser, answered by a script with keyboard and mouse."""

import json
import time

import chromium
import pytest
import tiny_readers
from selenium.webdriver.common import action_chains

from classifier import reader_deck, reader_files, reader_items, reader_page

_ENTER, _LEFT, _RIGHT = "\ue007", "\ue012", "\ue014"
_REASONS = ("vessels", "bones", "waves")
_PATIENCE = 60  # s, for a machine that does much else


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium.require()
    with chromium.open_browser(tmp_path_factory.mktemp("browser") / "profile") as driver:
        yield driver


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    sources = tiny_readers.sources(tmp_path_factory.mktemp("records"))
    return reader_items.draw(sources, (16, 32), 2, seed=1, progress=False)


class _Page:
    """A page of a new deck with eight images, as a reader uses it."""

    def __init__(self, driver, folder, items, **rules):
        self.driver = driver
        self.deck = reader_deck.deck(items, reader_deck.Rules(**rules), {"rad1": "radiology"})
        (page,) = reader_files.write(
            folder / "deck", folder / "key.json", self.deck, items, 1, progress=False
        )
        blocks = reader_page.order(self.deck, "rad1", 1)
        self.order = [(b["resolution"], item) for b in blocks for item in b["items"]]
        self.address = page.as_uri()
        driver.get_log("browser")
        driver.get(self.address)

    def run(self, script, *arguments):
        return self.driver.execute_script(f"return {script}", *arguments)

    def element(self, name):
        return self.driver.find_element("id", name)

    def click(self, name):
        self.element(name).click()

    def press(self, keys):
        self.driver.find_element("tag name", "body").send_keys(keys)

    def wait(self, condition):
        end = time.monotonic() + _PATIENCE
        while not self.run(condition):
            assert time.monotonic() < end, f"{condition} did not come: {self.run('state')}"
            time.sleep(0.05)

    def wait_for(self, screen):
        self.wait(f"state.screen === '{screen}' && !byId('{screen}').hidden")

    def wait_at(self, position):
        self.wait(f"state.position === {position} && !byId('reading').hidden")

    def begin(self):
        self.element("specialty").send_keys("Röntgen & more")
        self.element("years").send_keys("6.5")
        self.element("screen").send_keys("24″")
        self.click("consent")
        self.click("begin")
        self.wait_for("reading")

    def result(self):
        return json.loads(self.element("result").get_attribute("value"))

    def close_warns(self):
        return self.run("!window.dispatchEvent(new Event('beforeunload', {cancelable: true}))")


@pytest.fixture
def open_page(browser, tmp_path, items):
    return lambda **rules: _Page(browser, tmp_path, items, **rules)


def test_whole_study_by_keyboard_and_mouse(open_page, browser):
    chromium.requests(browser)
    page = open_page(seconds=600, confidence=True, reasons=_REASONS)
    assert not page.close_warns()
    page.begin()
    assert page.element("image").size == {"width": 752, "height": 752}  # 47 times 16
    for position in range(8):
        page.wait_at(position)
        if position == 0:
            assert not page.element("next").is_enabled()
            assert page.close_warns()
        if position % 2:  # by keys; an answer can be changed until Enter
            page.press("r")
            page.press("s")
            page.press("4")
            page.press("b")
            page.press("v")
            page.press("w")
            page.press("w")
            page.press(_ENTER)
        else:
            page.click("real")
            page.click("confidence-2")
            assert not page.element("reason-bones").is_enabled()
            page.click("next")
        if position == 3:
            page.wait_for("break")
            assert page.element("break-title").text == "Part 1 of 2 is done"
            assert "4 radiographs of 32 × 32 pixels" in page.element("break-text").text
            page.click("continue")
    page.wait_for("end")
    assert page.close_warns()
    page.click("save")
    assert not page.close_warns()

    file = page.driver.capabilities["chrome"]["userDataDir"]
    file = f"{file}/../downloads/answers_rad1_{page.deck['deck']}.json"
    saved = _load_when_there(file)
    assert saved == page.result()
    assert saved["digest"] == reader_page.digest(saved)
    assert set(saved) == {
        "format", "deck", "reader", "mode", "background", "started", "finished", "answers", "digest"
    }  # fmt: skip
    head = [saved[name] for name in ("format", "deck", "reader", "mode")]
    assert head == ["reader answers 1", page.deck["deck"], "rad1", "timed"]
    assert saved["background"]["group"] == "radiology"
    assert saved["background"]["specialty"] == "Röntgen & more"
    assert saved["background"]["years"] == 6.5
    assert saved["background"]["scales"] == {"16": 47, "32": 23}
    assert saved["started"] < saved["finished"]
    assert [(a["resolution"], a["item"]) for a in saved["answers"]] == page.order
    for position, given in enumerate(saved["answers"]):
        assert given.pop("milliseconds") > 0
        del given["item"], given["resolution"]
        by_keys = {"answer": "synthetic", "confidence": 4, "reasons": ["vessels", "bones"]}
        by_mouse = {"answer": "real", "confidence": 2, "reasons": []}
        assert given == {"position": position, **(by_keys if position % 2 else by_mouse)}

    asked = [url for url in chromium.requests(browser) if not url.startswith(("data:", "blob:"))]
    assert asked == [page.address]
    assert browser.get_log("browser") == []  # nothing was tried and blocked either


def _load_when_there(path):
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            with open(path, encoding="utf-8") as file:
                return json.load(file)
        except (FileNotFoundError, json.JSONDecodeError):
            assert time.monotonic() < end, f"{path} was not saved"
            time.sleep(0.1)


def test_reload_keeps_answers_and_refunds_no_time(open_page):
    page = open_page(seconds=500)
    page.begin()
    page.press("s")  # leads to the next image at once
    page.wait_at(1)
    shown, left = page.run("state.shown"), page.run("timeLeft()")
    page.driver.refresh()
    page.wait_at(1)
    assert page.run("state.shown") == shown
    assert page.run("timeLeft()") < left < 500_000
    assert page.run("byId('image').src") == page.run(
        "'data:image/png;base64,' + byId('image-' + arguments[0]).textContent", page.order[1][1]
    )
    page.press(_LEFT)
    page.press("r")
    page.wait_at(2)  # not 1 again
    answers = page.run("state.answers")
    assert [answers[item]["answer"] for _, item in page.order[:2]] == ["synthetic", "real"]
    assert not page.element("back").is_displayed() and not page.element("zoom").is_displayed()


def test_second_click_of_a_double_one_answers_nothing(open_page):
    page = open_page(seconds=505)
    page.begin()
    chain = action_chains.ActionChains(page.driver)
    chain.double_click(page.element("real")).perform()
    page.wait_at(1)
    page.press("s")
    page.wait_at(2)
    answers = page.run("state.answers")
    assert [answers[item]["answer"] for _, item in page.order[:2]] == ["real", "synthetic"]


def test_small_window_is_told(open_page, browser):
    small = {"width": 700, "height": 70, "deviceScaleFactor": 1, "mobile": False}
    page = open_page(seconds=506)
    try:
        assert page.element("start-warnings").text == ""
        page.begin()
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", small)
        page.wait("scales()[0] === 1")
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**small, "height": 52})
        page.wait("byId('scale').textContent.indexOf('reduced to 50 %') > 0")
        assert page.run("state.background.scales") == {"16": 0.5}
    finally:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {**small, "width": 1280, "height": 800}
        )


def test_pause_comes_after_the_image(open_page):
    page = open_page(seconds=510)
    page.begin()
    page.press("p")
    page.wait_at(0)
    page.press("r")
    page.wait_for("break")
    assert page.element("break-title").text == "Pause"
    assert page.run("state.shown") is None  # no clock runs
    page.driver.refresh()
    page.wait_for("break")
    page.press(_ENTER)
    page.wait_at(1)


def test_time_that_ran_out_while_away_shows_no_image(open_page):
    page = open_page(seconds=520)
    page.begin()
    page.run("(state.shown -= 600000, keep())")
    page.driver.refresh()
    page.wait_for("break")
    assert page.element("break-title").text == "Time was up"
    answers = page.run("state.answers")
    assert answers == {
        page.order[0][1]: {
            "answer": None, "confidence": None, "milliseconds": 520_000, "reasons": []
        }
    }  # fmt: skip


def test_time_limit_leads_to_the_end(open_page):
    page = open_page(seconds=1)
    page.begin()
    assert page.element("timer").is_displayed()
    end = time.monotonic() + _PATIENCE
    while page.run("state.screen") != "end":
        assert time.monotonic() < end
        if page.run("state.screen") == "break":
            page.press(_ENTER)
        time.sleep(0.2)
    result = page.result()
    assert [given["answer"] for given in result["answers"]] == [None] * 8
    assert [given["milliseconds"] for given in result["answers"]] == [1000] * 8
    page.driver.refresh()
    page.wait_for("end")
    assert page.result()["answers"] == result["answers"]


def test_unrestricted_reader_goes_back_and_zooms(open_page):
    page = open_page(mode="unrestricted", seconds=None, zoom=True)
    page.begin()
    assert page.run("present().resolution") == 32
    assert not page.element("timer").is_displayed()
    width = page.element("image").size["width"]
    page.press("+")
    assert page.element("image").size["width"] == 2 * width
    page.click("smaller")
    assert page.element("image").size["width"] == width
    page.press("s")
    page.press(_ENTER)
    page.wait_at(1)
    page.press(_RIGHT)
    page.wait_at(2)
    page.click("back")
    page.wait_at(1)
    page.press(_LEFT)
    page.wait_at(0)
    assert page.element("synthetic").get_attribute("aria-pressed") == "true"
    page.press("r")
    page.press("u")
    page.wait_at(1)
    page.click("finish")
    question = page.driver.switch_to.alert
    assert question.text.startswith("7 radiographs without an answer.")
    question.accept()
    page.wait_for("end")
    result = page.result()
    assert result["mode"] == "unrestricted"
    assert [a["answer"] for a in result["answers"]] == ["real"] + [None] * 7
    assert [a["resolution"] for a in result["answers"]] == [32] * 4 + [16] * 4
    assert result["digest"] == reader_page.digest(result)


def test_second_window_takes_over(open_page):
    page = open_page(seconds=530)
    page.begin()
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    page.driver.get(page.address)
    page.wait_at(0)
    page.driver.close()
    page.driver.switch_to.window(first)
    page.wait("!byId('blocked').hidden")
    page.press("r")
    assert page.run("state.position") == 0


def test_page_says_if_nothing_can_be_kept(open_page, browser):
    broken = "Object.defineProperty(window, 'localStorage', {get() { throw new Error('no'); }})"
    name = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": broken})
    try:
        page = open_page(seconds=540)
        assert "does not keep anything" in page.element("start-warnings").text
        page.begin()
        page.press("r")
        page.wait_at(1)
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", name)


@pytest.mark.parametrize(
    "content",
    [
        *({"text": "a" * length} for length in (0, 43, 44, 45, 52, 53, 107, 108, 400)),
        {"name": 'Müller-Lüdenscheidt 愛 😀 \x7f\x1f\t\n"\\/<é>', "b": None, "a": [True, 1, 2.5]},
        {"z": {"b": [], "a": {}}, "ä": "", "Z": [{"x": -0.25}]},
    ],
)
def test_digest_of_the_page_is_that_of_python(open_page, content):
    page = open_page(seconds=550)
    assert page.run("canonicalJson(arguments[0])", content) == reader_page.canonical(content)
    assert page.run("withDigest(arguments[0]).digest", content) == reader_page.digest(content)
