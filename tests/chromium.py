"""A browser for tests of pages: Chromium without a window, and what it asked of a network."""

import contextlib
import json
import pathlib

import pytest

_BROWSER, _DRIVER = pathlib.Path("/usr/bin/chromium"), pathlib.Path("/usr/bin/chromedriver")
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def require():
    """Skips the test where there is no Chromium or no driver."""
    for path in (_BROWSER, _DRIVER):
        if not path.exists():
            pytest.skip(f"{path} is not installed (apt-get install chromium chromium-driver)")


@contextlib.contextmanager
def open_browser(profile, size=(1280, 800)):
    """Starts a browser.

    Args:
        profile: New folder of its data; downloads go to its folder "downloads".
        size: Of the page in px.
    """
    from selenium import webdriver
    from selenium.webdriver.chrome import options, service

    (profile / "downloads").mkdir(parents=True)
    settings = options.Options()
    settings.binary_location = str(_BROWSER)
    for option in (*_OPTIONS, f"--user-data-dir={profile / 'data'}"):
        settings.add_argument(option)
    settings.add_experimental_option(
        "prefs",
        {
            "download.default_directory": str(profile / "downloads"),
            "session.restore_on_startup": 4,  # with the pages below, not that for new tabs
            "session.startup_urls": ["about:blank"],
        },
    )
    settings.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=settings, service=service.Service(str(_DRIVER)))
    try:
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False},
        )
        yield driver
    finally:
        driver.quit()


def requests(driver):
    """Addresses that pages of files have asked for since the last call."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
        and event["params"]["documentURL"].startswith("file:")
    ]
