"""A headless Chromium of the distribution, by Selenium: pages from disk, what they show, what they save."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains

SIZE = 1400, 900
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required")


@contextmanager
def browser(downloads: Path, *flags: str) -> Iterator[Chrome]:
    """A Chromium that saves into `downloads`."""
    options = Options()
    options.binary_location = shutil.which("chromium") or "chromium"
    for flag in (*_FLAGS, f"--window-size={SIZE[0]},{SIZE[1]}", *flags):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_script_timeout(60)
    try:
        yield driver
    finally:
        driver.quit()


def wait(what: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What it gives once that is true."""
    end = time.monotonic() + seconds
    while True:
        if value := what():
            return value
        assert time.monotonic() < end, f"{what} stays {value!r}"
        time.sleep(0.03)


class Page:
    """An opened `rhas view`."""

    def __init__(self, driver: Chrome, folder: Path):
        self.driver, self.folder = driver, folder
        driver.get("about:blank")
        driver.get((folder / "index.html").as_uri())
        wait(lambda: driver.execute_script("return document.documentElement.dataset.ready"))

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(f"return {script}", *arguments)

    def frame(self) -> None:
        """Until all that was asked for is drawn."""
        script = "const d = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => d()))"
        self.driver.execute_async_script(script)

    def settle(self) -> None:
        """Until no seek and no file is waited for, and what came is drawn."""
        wait(
            lambda: self.js(
                "((v, {clock, tiles}) => !v.seeking && clock.target === null && !tiles.loading.size"
                " && (!clock.media || v.readyState >= 2))(document.getElementById('video'), rhas.main)"
            )
        )
        self.frame()

    @property
    def time(self) -> float:
        return float(self.js("rhas.main.clock.time"))

    @property
    def said(self) -> str:
        return str(self.js("document.getElementById('said').textContent"))

    def keys(self, keys: str, held: str = "") -> None:
        chain = ActionChains(self.driver)
        if held:
            chain.key_down(held).send_keys(keys).key_up(held).perform()
        else:
            chain.send_keys(keys).perform()
        self.frame()

    def click(self, element: str) -> None:
        self.driver.find_element("id", element).click()
        self.frame()

    def place(self, time_s: float, person: int, action: int, part: str = "truth") -> tuple[int, int]:
        """Where on the page a time in a lane is, in pixels."""
        x, y, height = self.js(
            "(([t, p, a, part]) => { const {timeline: l, rows} = rhas.main; const row = rows.find(p, a);"
            " const box = l.over.getBoundingClientRect(); const {y, height} = rows.parts[part];"
            " return [box.left + l.x(t), box.top + l.y(row) + y, height]; })(arguments[0])",
            [time_s, person, action, part],
        )
        return round(x), round(y + height / 2)

    def pointer(self) -> ActionChains:
        return ActionChains(self.driver, duration=20)

    def press(self, at: tuple[int, int]) -> None:
        chain = self.pointer()
        chain.w3c_actions.pointer_action.move_to_location(*at)
        chain.w3c_actions.pointer_action.click()
        chain.perform()
        self.frame()

    def double(self, at: tuple[int, int]) -> None:
        chain = self.pointer()
        chain.w3c_actions.pointer_action.move_to_location(*at)
        chain.w3c_actions.pointer_action.double_click()
        chain.perform()
        self.frame()

    def drag(self, start: tuple[int, int], end: tuple[int, int], key: str = "") -> None:
        chain = self.pointer()
        if key:
            chain.key_down(key)
        mouse = chain.w3c_actions.pointer_action
        mouse.move_to_location(*start)
        mouse.pointer_down()
        mouse.move_to_location(*((a + b) // 2 for a, b in zip(start, end, strict=True)))
        mouse.move_to_location(*end)
        mouse.pointer_up()
        chain.perform()
        if key:
            ActionChains(self.driver).key_up(key).perform()
        self.frame()

    def truth(self, person: int = 0) -> list[tuple[str, float, float]]:
        """A person's labels, sorted."""
        rows = self.js(
            "[...rhas.main.state.scene.labels.persons[arguments[0]]].flatMap(([a, l]) =>"
            " Array.from(l.start, (s, i) => [rhas.main.state.index.actions[a], s, l.end[i]]))",
            person,
        )
        return sorted(map(tuple, rows), key=lambda row: row[1:] + row[:1])

    def save(self, downloads: Path) -> Path:
        """The labels.csv that the page hands out."""
        for old in downloads.glob("labels*.csv"):
            old.unlink()
        self.click("save")
        return wait(lambda: next((p for p in downloads.glob("labels*.csv") if p.stat().st_size), None))

    def problems(self) -> list[str]:
        """What the browser complained about, and what it asked for beyond the disk."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def open(self, number: int) -> None:
        """Another movie of the list."""
        self.js("(document.getElementById('movie').value = arguments[0])", str(number))
        self.js("document.getElementById('movie').dispatchEvent(new Event('change'))")
        wait(lambda: self.js("rhas.main.state.scene.number") == number)
        self.settle()

    def seek(self, time_s: float) -> None:
        self.js("rhas.main.clock.seek(arguments[0])", time_s)
        self.settle()
