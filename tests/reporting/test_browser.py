"""A look at the page in a real browser, where there is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape

import pytest

from tests.reporting.made import shown, telling
from tests.reporting.test_page import EVIL, hostile
from tts.cli import main

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")
PROBE = """<script>
const all = (path) => [...document.querySelectorAll(path)], page = document.documentElement;
const displays = () => all(".panels > figure").map((panel) => getComputedStyle(panel).display);
all("table.sorts thead button")[1].click();
const rows = [...document.querySelector("table.sorts tbody").rows];
const form = document.querySelector(".filter");
form.elements.mark.value = "wrong";
form.dispatchEvent(new Event("change"));
const first = displays();
all(".chooser > input")[1]?.click();
document.title = "probed " + JSON.stringify({
  over: page.scrollWidth - page.clientWidth,
  width: page.clientWidth,
  orders: rows.map((row) => row.cells[1].dataset.order),
  seen: all(".attempt").filter((each) => !each.hidden).map((each) => each.dataset.mark),
  first, then: displays(),
  paper: getComputedStyle(document.body).backgroundColor,
});
</script>"""


def browse(path, *options, width=360):
    """The document after its scripts have run, and what the console said."""
    words = ["--no-sandbox", "--headless=new", "--disable-gpu", f"--window-size={width},900"]
    words += ["--enable-logging=stderr", "--v=0", f"--user-data-dir={path.parent}/profile"]
    done = subprocess.run(
        [BROWSER, *words, *options, "--dump-dom", f"file://{path}"],
        capture_output=True, text=True, timeout=240, errors="replace",
    )  # fmt: skip
    assert "<html" in done.stdout, done.stderr[-2000:]
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def probed(text, path, *options, width=360):
    """What the page is like inside, told by a script that takes the place of its guard."""
    path.write_text(re.sub(r"<meta http-equiv.*?>", "", text, count=1, flags=re.DOTALL) + PROBE)
    found, console = browse(path, *options, width=width)
    assert not console

    (title,) = re.findall(r"<title>probed (.*?)</title>", found)
    return json.loads(unescape(title))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Of a run of three arms."""
    folder = tmp_path_factory.mktemp("browsed")
    arms = [f'+arms.a{n}=["strategy=self_consistency","strategy.n={n}"]' for n in (1, 3, 9)]
    words = ("backend=simulated", "task.n_problems=24", f"hydra.run.dir={folder}", *arms)
    assert main(["run", *words]) == 0
    return shown(folder, ask=telling("What is it? " * 40, "1"))


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(page, tmp_path, width):
    found = probed(page, tmp_path / "page.html", width=width)
    assert found["width"] <= width and found["over"] <= 0


def test_sorting_filtering_and_choosing_work(page, tmp_path):
    found = probed(page, tmp_path / "page.html", width=1280)
    orders = [float(each) for each in found["orders"]]
    assert orders == sorted(orders, reverse=True) and len(set(orders)) > 1
    assert found["seen"] and set(found["seen"]) == {"wrong"}
    assert found["first"][:2] == ["block", "none"] and found["then"][:2] == ["none", "block"]


@pytest.mark.parametrize(("scheme", "paper"), [(0, "rgb(21, 23, 26)"), (1, "rgb(255, 255, 255)")])
def test_the_page_is_dark_where_the_reader_wants_it(page, tmp_path, scheme, paper):
    option = f"--blink-settings=preferredColorScheme={scheme}"
    assert probed(page, tmp_path / "page.html", option)["paper"] == paper


def test_the_guarded_page_says_nothing_on_the_console(page, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page)
    found, console = browse(path)
    assert not console and '<html lang="en" class="script">' in found


def test_without_scripts_table_and_pictures_are_there(page, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(re.sub("script-src '[^']*'", "script-src 'none'", page, count=1))
    found, _ = browse(path)
    assert 'class="script"' not in found and "<button" not in found
    assert found.count('<th scope="row">') >= 3 and found.count('class="chart"') >= 1


def test_hostile_texts_are_inert_even_without_the_guard(tmp_path):
    text = shown(hostile(tmp_path / "run", EVIL), ask=telling(EVIL), title="calm")
    path = tmp_path / "page.html"
    for guard in (True, False):
        path.write_text(
            text if guard else re.sub(r"<meta http-equiv.*?>", "", text, flags=re.DOTALL)
        )
        found, console = browse(path)
        assert not console and "<title>calm</title>" in found
        assert found.count("<script") == 1 and "<img" not in found
    assert probed(text, path)["over"] <= 0


def test_a_picture_of_the_page_is_not_empty(page, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page)
    browse(path, f"--screenshot={tmp_path}/look.png")
    assert (tmp_path / "look.png").stat().st_size > 20_000
