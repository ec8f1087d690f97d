"""The report in a real browser: it draws without an error, and its hover and its selectors work."""

import csv
import shutil

import numpy as np
import pytest

from glassbox.compare.leaderboard import leaderboard
from glassbox.compare.report import write_report
from glassbox.compare.run import read

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def chromium(missing, tmp_path_factory):
    """A headless Chromium."""
    programs = ("chromium", "chromedriver")
    if absent := [name for name in programs if shutil.which(name) is None]:
        missing("chromium", f"{', '.join(absent)} not found: apt install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    home = tmp_path_factory.mktemp("chromium")
    words = ["headless", "no-sandbox", "disable-dev-shm-usage", "hide-scrollbars", "force-prefers-reduced-motion"]
    for word in (*words, f"user-data-dir={home}"):
        options.add_argument(f"--{word}")
    options.add_argument("--window-size=1280,900")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def opened(chromium, write_run, outputs):
    """Give a function that writes a report of configs × seeds and opens it."""

    def call(optimizers, lrs, seeds, epochs=6):
        rng = np.random.default_rng(0)
        for optimizer in optimizers:
            for lr in lrs:
                for seed in range(seeds):
                    values = rng.uniform(0.1, 1.0, epochs)
                    folder = write_run(values.min(), optimizer=optimizer, lr=lr, seed=seed)
                    with (folder / "metrics.csv").open("w", newline="") as file:
                        rows = [(epoch, value, 1 - value) for epoch, value in enumerate(values)]
                        csv.writer(file).writerows([("epoch", "val/loss", "val/accuracy"), *rows])
        rows = {"points": rng.normal(size=(50, 2)), "labels": rng.integers(0, 2, 50), "classes": np.array(["a", "b"])}
        grid = np.linspace(-2, 2, 50)
        logits = grid[:, None] + grid[None, :]
        for run in read([outputs / "demo"]).runs[:2]:
            np.savez(run.folder / "boundary.npz", x=grid, y=grid, logits=logits, feature_names=["one", "two"], **rows)
        runs = read([outputs / "demo"])
        path = outputs / "demo" / "report.html"
        write_report(path, "demo", runs, leaderboard(runs.runs))
        chromium.get_log("browser")
        chromium.get(path.as_uri())
        until(chromium, "return document.documentElement.dataset.drawn === 'yes'")
        return chromium

    yield call
    # Without a graphics card, Chromium says of its own WebGL that it is slow.
    assert [entry for entry in chromium.get_log("browser") if entry["source"] != "rendering"] == []


def until(driver, script):
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(driver, 60).until(lambda one: one.execute_script(script))


def choose(driver, name, option):
    from selenium.webdriver.support.select import Select

    Select(driver.find_element("id", name)).select_by_visible_text(option)


def curves(driver):
    """Return name, colour and values of what the curves show."""
    return driver.execute_script(
        "return document.getElementById('plot-curves').data.filter(t => t.name).map(t => [t.name, t.line.color, t.y])"
    )


def test_it_draws_everything_and_asks_for_nothing(opened):
    driver = opened(["sgd", "adam"], [0.01, 0.1, 1.0], 3)
    plots = driver.find_elements("css selector", ".plot")
    assert len(plots) == 6  # curves, sensitivity, heat map, parallel coordinates, two boundaries
    for plot in plots:
        assert plot.find_elements("css selector", "svg, canvas")
        assert plot.size["width"] > 300
    assert driver.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []
    assert driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def test_the_selectors_change_colours_metric_and_scale(opened):
    driver = opened(["sgd", "adam"], [0.01, 0.1, 1.0], 3)
    before = curves(driver)
    assert len({colour for _, colour, _ in before}) == 6
    for factor, levels in (("optimizer", {"sgd", "adam"}), ("lr", {"0.01", "0.1", "1"})):
        choose(driver, "colour", factor)
        after = curves(driver)
        assert {name for name, _, _ in after} == levels
        assert (
            len({colour for _, colour, _ in after}) == len({(name, colour) for name, colour, _ in after}) == len(levels)
        )
        assert [y for _, _, y in after] == [y for _, _, y in before]
    choose(driver, "metric", "val/accuracy")
    for (_, _, loss), (_, _, accuracy) in zip(before, curves(driver), strict=True):
        assert accuracy == pytest.approx(1 - np.array(loss), rel=1e-3)
    axis = "return document.getElementById('plot-curves')._fullLayout.yaxis.type"
    assert driver.execute_script(axis) == "linear"
    driver.find_element("id", "log").click()
    assert driver.execute_script(axis) == "log"


def test_the_hover_tells_the_numbers_under_the_pointer(opened):
    from selenium.webdriver.common.action_chains import ActionChains

    driver = opened(["sgd"], [0.1], 3)
    _, _, values = curves(driver)[0]
    plot = driver.find_element("id", "plot-curves")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", plot)
    x, y = driver.execute_script(
        "const p = document.getElementById('plot-curves'), l = p._fullLayout, b = p.getBoundingClientRect();"
        "return [b.left + l.xaxis._offset + l.xaxis.d2p(2), b.top + l.yaxis._offset + l.yaxis.d2p(arguments[0])]",
        values[2],
    )
    actions = ActionChains(driver, duration=50)
    actions.w3c_actions.pointer_action.move_to_location(round(x) - 3, round(y))
    actions.w3c_actions.pointer_action.move_to_location(round(x), round(y))
    actions.perform()
    until(driver, "return document.querySelector('#plot-curves .hovertext')")
    told = driver.find_element("css selector", "#plot-curves .hovertext").text
    assert f"epoch 2: {values[2]}" in told.replace("−", "-")
    assert "n = 3" in told


def test_a_choice_shows_the_best_or_the_mean(opened, write_run):
    write_run(0.01, optimizer="adam", lr=0.1, init="xavier", seed=0)
    driver = opened(["sgd", "adam"], [0.01, 0.1], 2)
    seen = "return document.getElementById(arguments[0]).data.map(t => t.visible)"
    select = driver.find_element("css selector", "[data-choices]")
    plot = select.get_attribute("data-choices")
    before = driver.execute_script(seen, plot)
    select.find_elements("tag name", "option")[1].click()
    assert driver.execute_script(seen, plot) == [not one for one in before]


def test_a_long_leaderboard_opens(opened):
    driver = opened(["sgd", "adam", "rmsprop"], [round(0.1 * i, 1) for i in range(1, 11)], 2)
    rows = driver.find_elements("css selector", "#leaderboard tbody tr")
    assert (len(rows), sum(row.is_displayed() for row in rows)) == (30, 20)
    driver.find_element("css selector", "[data-all]").click()
    assert all(row.is_displayed() for row in rows)
    assert len({name for name, _, _ in curves(driver)}) == 4  # three optimizers, and the best config
