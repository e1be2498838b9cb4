"""The report in a real browser: what sliders draw, what filters leave, what it asks for."""

import base64
import json
import os
import shutil
import time

import numpy as np
import pytest
import sample_results
from PIL import Image
from sample_results import LABELS, NAMES, REQUEST, SHAPE, fill, make_arrays, make_record
from watching import wait

from intgrad.command_line import main as cli
from intgrad.images.transform import Box
from intgrad.pictures import styles
from intgrad.pictures.colours import NEGATIVE, POSITIVE, diverging
from intgrad.pictures.framing import frame
from intgrad.report.views import Maps, make_overview, make_thumbnail, make_view
from intgrad.report.writing import Report
from intgrad.results.folder import Results

COMMAND = ["intgrad", "explain", "photos", "--model", "model.pt"]
SHADES = diverging(POSITIVE, NEGATIVE)
WIDTHS = pytest.mark.parametrize("width", [400, 1600])


def report_on(folder, single_file=False):
    with Results(folder, REQUEST, []) as results:
        report = Report(folder, REQUEST, COMMAND, results.records(), results.failures())
        report.finish(single_file)


@pytest.fixture
def folder(tmp_path):
    fill(tmp_path / "out", tmp_path / "photos")
    with Results(tmp_path / "out", REQUEST, []) as results:
        results.fail(sample_results.Source("x", "x", "/photos/<i>lost<!--.jpg"), "it is <damaged>")
    report_on(tmp_path / "out")
    return tmp_path / "out"


def shown(page):
    """Return the names in the list, in their order."""
    page.wait_for_timeout(50)
    return page.evaluate("list.shown.map((card) => card.name)")


def seen(page):
    """Return the names of the cards that there are elements for, as they are to be read."""
    return [text.strip() for text in page.locator("#grid .card b").all_inner_texts()]


def wait_for_maps(page):
    page.wait_for_selector("#runs canvas")


def pixels(page, title):
    """Return what a panel shows, (h, w, 3)."""
    text, width, height = page.evaluate(
        """(title) => {
          const figure = [...document.querySelectorAll("#runs figure")].find(
            (each) => each.querySelector("figcaption b").textContent === title);
          const canvas = figure.querySelector("canvas");
          const { data, width, height } = canvas.getContext("2d")
            .getImageData(0, 0, canvas.width, canvas.height);
          let text = "";
          for (let k = 0; k < data.length; k += 8192) {
            text += String.fromCharCode(...data.subarray(k, k + 8192));
          }
          return [btoa(text), width, height];
        }""",
        title,
    )
    found = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)
    assert (found[..., 3] == 255).all()
    return found[..., :3]


def move(page, **values):
    for name, value in values.items():
        page.evaluate(
            """([name, value]) => {
              const element = document.getElementById(name);
              element.value = value;
              element.dispatchEvent(new Event("input", { bubbles: true }));
            }""",
            [name, str(value)],
        )


# ---- The list ------------------------------------------------------------------------------------


def test_names_appear_as_themselves(folder, open_page):
    page = open_page(folder / "index.html")
    expected = [f"{name}.png" for name in NAMES] + ["<i>lost<!--.jpg"]
    assert seen(page) == expected
    assert page.locator("#grid img").count() == len(NAMES)
    labels = page.locator("#class option").all_inner_texts()
    assert sorted(label.rpartition(" (")[0] for label in labels[1:]) == sorted(LABELS)
    wait(page, "[...document.images].every((each) => each.complete && each.naturalWidth)")


def test_search_filter_and_sort(folder, open_page):
    page = open_page(folder / "index.html")
    records = sample_results.records(folder)
    names = [f"{name}.png" for name in NAMES]
    page.fill("#search", "QUOTE")
    assert shown(page) == [names[3]]
    assert page.locator("#count").inner_text() == "1 of 11 photographs"
    page.fill("#search", "")
    page.select_option("#class", LABELS[2])
    assert shown(page) == [names[2], names[7]]
    page.select_option("#class", "")
    page.select_option("#state", "failed")
    assert shown(page) == ["<i>lost<!--.jpg"]
    assert "it is <damaged>" in page.locator("#grid").inner_text()
    page.select_option("#state", "noted")
    assert shown(page) == [names[4], names[9]]
    page.select_option("#state", "explained")
    for fact, key in (("score", "score"), ("error", "error"), ("completeness gap", "delta")):
        page.select_option("#sort", f"={fact}")
        known = [k for k, record in enumerate(records) if record[key] is not None]
        unknown = [k for k, record in enumerate(records) if record[key] is None]
        for order in ("up", "down"):
            page.select_option("#order", order)
            known.sort(key=lambda k: records[k][key], reverse=order == "down")
            assert shown(page) == [names[k] for k in [*known, *unknown]]


def test_keyboard_alone(folder, open_page):
    page = open_page(folder / "index.html")
    page.keyboard.press("/")
    page.keyboard.type("emoji")
    assert shown(page) == [f"{NAMES[5]}.png"]
    page.fill("#search", "")
    page.locator("#grid a").nth(1).focus()
    page.keyboard.press("Enter")
    wait_for_maps(page)
    assert page.locator("#name").inner_text() == f"{NAMES[1]}.png"
    page.keyboard.press("ArrowRight")
    wait(page, f"document.querySelector('#name').innerText === {f'{NAMES[2]}.png'!r}")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    wait(page, f"document.querySelector('#name').innerText === '{NAMES[0]}.png'")
    assert page.locator("#previous").is_disabled()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#place").inner_text() == "1 of 11"
    page.keyboard.press("Escape")
    wait(page, "!document.getElementById('list').hidden")
    assert page.evaluate("document.activeElement.closest('li')?.dataset.number") == "0"


def test_it_goes_by_the_order_of_the_list(folder, open_page):
    page = open_page(folder / "index.html")
    page.select_option("#sort", "=score")
    names = shown(page)
    page.locator("#grid a").first.click()
    for name in names[:4]:
        wait(page, "(name) => document.querySelector('#name').textContent === name", name)
        page.keyboard.press("ArrowRight")


# ---- One photograph ------------------------------------------------------------------------------


def expected_map(photograph, values, deviations, *, strength, percentile, threshold, sign):
    """Return what the package's own functions draw."""
    shape = photograph.shape[:2]
    chosen = styles.select(values, sign)
    limit = float(np.percentile(np.abs(chosen), percentile) or np.abs(chosen).max() or 1.0)
    certain = ~(np.abs(values) <= threshold * deviations)
    drawn = strength / 100 * np.clip(chosen, -limit, limit) * certain
    return styles.blended(photograph, styles.stretch(drawn, shape), limit, SHADES)


SETTINGS = [
    {"strength": 100, "percentile": 99.5, "threshold": 0, "sign": "both"},
    {"strength": 60, "percentile": 95, "threshold": 0, "sign": "positive"},
    {"strength": 100, "percentile": 100, "threshold": 0, "sign": "negative"},
    {"strength": 0, "percentile": 99, "threshold": 0, "sign": "both"},
    {"strength": 85, "percentile": 90, "threshold": 1.5, "sign": "both"},
    {"strength": 100, "percentile": 98, "threshold": 5, "sign": "negative"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_sliders_draw_what_the_package_draws(settings, folder, open_page):
    """Maps come as codes of a byte, so that a pixel may be off: by 4 of 255 for 99 of 100."""
    page = open_page(folder / "index.html", fragment="#image-0")
    wait_for_maps(page)
    move(page, **settings)
    photograph = pixels(page, "Photograph")
    arrays = make_arrays(0)
    values, deviations = arrays["attributions"].mean(axis=2), arrays["pixel_error_map"]
    expected = expected_map(photograph, values, deviations, **settings)
    found = pixels(page, "Integrated gradients")
    difference = np.abs(found.astype(int) - expected).max(axis=2)
    # What lies at the threshold may fall to either side of it.
    close = (
        np.abs(np.abs(values) - settings["threshold"] * deviations) < 0.02 * np.abs(values).max()
    )
    sure = ~styles.stretch(close, difference.shape) | (settings["threshold"] == 0)
    assert sure.mean() > 0.5
    assert np.percentile(difference[sure], 99) <= 4
    assert difference[sure].max() <= 16
    gradient = expected_map(photograph, arrays["gradient"].mean(axis=2), 0 * values - 1, **settings)
    off = np.abs(pixels(page, "Plain gradient").astype(int) - gradient)
    assert np.percentile(off, 99) <= 8  # it has half as many codes


@pytest.mark.parametrize(("strength", "threshold"), [(100, 2), (50, 0.5), (100, 5), (100, 0)])
def test_regions_are_drawn_as_the_package_does(strength, threshold, folder, open_page):
    """To the last bit: their values come as numbers."""
    page = open_page(folder / "index.html", fragment="#image-1")
    wait_for_maps(page)
    move(page, strength=strength, threshold=threshold)
    photograph = pixels(page, "Photograph")
    regions = sample_results.records(folder)[1]["regions"]
    values, deviations = np.array(regions["attributions"]), np.array(regions["deviations"])
    labels = styles.stretch(make_arrays(1)["regions"], photograph.shape[:2])
    certain = ~(np.abs(values) <= threshold * deviations)
    expected = styles.regional(
        photograph, labels, strength / 100 * values, certain, np.abs(values).max(), SHADES
    )
    found = pixels(page, "Regions")
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_a_part_of_a_photograph(tmp_path, open_page):
    """What the model does not see is faded as in the picture."""
    framed = frame(Image.fromarray(sample_results.make_photograph(3)), Box(40, 30, 240, 210))
    arrays = make_arrays(3)
    maps = Maps(arrays["attributions"].mean(axis=2), None, None, None)
    with Results(tmp_path, REQUEST, []) as results:
        source = sample_results.Source(tmp_path / "a.png", "a", "/photos/a.png")
        files = {
            "picture": lambda to: to.write_bytes(b"picture"),
            "view": lambda to: to.write_bytes(make_view(framed, maps)),
            "thumbnail": lambda to: to.write_bytes(make_thumbnail(framed)),
        }
        overview = make_overview(arrays["attributions"])
        results.add(source, make_record(3, overview=overview), files)
    report_on(tmp_path)
    page = open_page(tmp_path / "index.html", fragment="#image-0")
    wait_for_maps(page)
    settings = SETTINGS[0]
    move(page, **settings)
    photograph = pixels(page, "Photograph")
    part = (
        slice(framed.top, framed.top + framed.height),
        slice(framed.left, framed.left + framed.width),
    )
    drawn = expected_map(
        photograph[part], maps.attributions, -1 + 0 * maps.attributions, **settings
    )
    lossy = type(framed)(photograph, framed.top, framed.left, framed.height, framed.width)
    difference = np.abs(pixels(page, "Integrated gradients").astype(int) - lossy.surround(drawn))
    assert np.percentile(difference, 99) <= 4
    outside = np.ones(photograph.shape[:2], bool)
    outside[part] = False
    assert difference[outside].max() == 0


def test_what_is_told_of_a_photograph(folder, open_page):
    page = open_page(folder / "index.html", fragment="#image-4")
    wait_for_maps(page)
    record = sample_results.records(folder)[4]
    text = page.locator("#view").inner_text()
    assert record["label"] in text
    assert record["note"] in text
    assert f"{record['error']:.1%}".replace("%", " %") in text
    assert page.locator("#runs tbody tr").count() == 8
    page.locator("#runs summary").click()
    assert record["image"] in page.locator("#runs pre").inner_text()
    page.keyboard.press("Escape")
    page.locator("header summary").click()
    assert "intgrad explain photos --model model.pt" in page.locator("header").inner_text()
    assert "2.13.0" in page.locator("header").inner_text()


def test_it_starts_anew(folder, open_page):
    page = open_page(folder / "index.html", fragment="#image-0")
    wait_for_maps(page)
    before = pixels(page, "Integrated gradients")
    move(page, strength=20, sign="negative", threshold=0)
    assert (pixels(page, "Integrated gradients") != before).any()
    page.click("#sliders button")
    page.wait_for_timeout(100)
    np.testing.assert_array_equal(pixels(page, "Integrated gradients"), before)


# ---- The page as a whole -------------------------------------------------------------------------


@WIDTHS
@pytest.mark.parametrize("fragment", ["", "#image-0"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out(width, fragment, scheme, folder, open_page):
    page = open_page(folder / "index.html", width, fragment=fragment, color_scheme=scheme)
    if fragment:
        wait_for_maps(page)
    place = os.environ.get("INTGRAD_SCREENSHOTS")
    if place:
        name = f"{width}-{scheme}-{'view' if fragment else 'list'}.png"
        page.screenshot(path=os.path.join(place, name), full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    levels = [sum(map(int, text[4:-1].split(", "))) for text in (background, ink)]
    assert (levels[0] > levels[1]) == (scheme == "light")


def test_a_screen_reader_finds_its_way(folder, open_page):
    page = open_page(folder / "index.html", fragment="#image-0")
    wait_for_maps(page)
    for role, name in (
        ("slider", "Overlay"),
        ("slider", "Scale ends at percentile"),
        ("slider", "Error bars"),
        ("combobox", "Sign"),
        ("button", "Next"),
        ("img", "Regions: plain.png"),
        ("heading", "plain.png"),
        ("table", None),
    ):
        options = {} if name is None else {"name": name}
        assert page.get_by_role(role, **options).count() == 1, name
    page.keyboard.press("Escape")
    page.get_by_role("searchbox").wait_for()
    for role, name in (("searchbox", "Search"), ("combobox", "Class"), ("combobox", "Sort by")):
        assert page.get_by_role(role, name=name).count() == 1
    assert page.get_by_role("listitem").count() == 11
    assert page.get_by_role("link", name="plain.png").count() == 1
    assert page.locator("#grid li").first.get_attribute("aria-setsize") == "11"


def test_a_single_file_works_alone(folder, tmp_path, open_page):
    report_on(folder, single_file=True)
    shutil.copy(folder / "index.html", tmp_path / "mailed.html")
    shutil.rmtree(folder)
    page = open_page(tmp_path / "mailed.html")
    wait(page, "[...document.images].every((each) => each.complete && each.naturalWidth)")
    assert len(seen(page)) == 11
    page.locator("#grid a").nth(6).click()
    wait_for_maps(page)
    assert page.locator("#name").inner_text() == f"{NAMES[6]}.png"
    assert pixels(page, "Regions").shape == (280, 240, 3)
    assert page.locator("#runs table").count() == 1


def test_a_single_file_is_opened_at_a_photograph(folder, open_page):
    """As by a reload: the page begins before there is anything to click."""
    report_on(folder, single_file=True)
    page = open_page(folder / "index.html", fragment="#image-3")
    wait_for_maps(page)
    assert not page.locator("#problem").is_visible()


def test_maps_without_a_sign(tmp_path, open_page):
    others = {"method": "smoothgrad", "path": None, "kind": "square"}
    fill(tmp_path / "out", tmp_path / "photos", names=["a"], **others)
    report_on(tmp_path / "out")
    page = open_page(tmp_path / "out/index.html", fragment="#image-0")
    wait_for_maps(page)
    assert not page.locator("#sign").is_visible()
    assert "lowers" not in page.locator("#key").inner_text()
    assert page.locator("#runs .bar span").first.inner_text() == "0"


def test_error_bars_that_are_not_there(tmp_path, open_page):
    """Nothing speaks of them; the next photograph may have some."""
    bare = {name: array for name, array in make_arrays(0).items() if "error" not in name}
    regions = {**make_record(0)["regions"], "deviations": [None] * 16}
    photograph = sample_results.save_photograph(tmp_path / "photos", "bare", 0)
    with Results(tmp_path / "out", REQUEST, []) as results:
        sample_results.add(results, photograph, 0, arrays=bare, regions=regions)
    fill(tmp_path / "out", tmp_path / "photos", ["known"])
    report_on(tmp_path / "out")
    page = open_page(tmp_path / "out/index.html", fragment="#image-0")
    wait_for_maps(page)
    slider, key = page.get_by_role("slider", name="Error bars"), page.get_by_text("too uncertain")
    assert page.locator("#name").inner_text() == "bare.png"
    assert (slider.count(), key.is_visible()) == (0, False)
    page.get_by_role("button", name="Next").click()
    slider.wait_for()
    assert (slider.count(), key.is_visible()) == (1, True)


def test_records_of_an_older_version(tmp_path, open_page):
    """Which know nothing of thumbnails, views, or what the model saw."""
    fill(tmp_path / "out", tmp_path / "photos", names=["a"])
    (record,) = sample_results.records(tmp_path / "out")
    for key in ("view", "thumbnail", "overview", "seen", "fill", "size", "schema"):
        del record[key]
    (tmp_path / "out/explained.jsonl").write_text(json.dumps(record) + "\n")
    report_on(tmp_path / "out")
    page = open_page(tmp_path / "out/index.html", fragment="#image-0")
    page.wait_for_selector("#runs dl")
    assert "intgrad report FOLDER makes them anew" in page.locator("#runs").inner_text()
    page.keyboard.press("Escape")
    page.wait_for_selector("#grid li")
    page.close()
    assert cli.main(["report", str(tmp_path / "out")]) == 0
    page = open_page(tmp_path / "out/index.html", fragment="#image-0")
    wait_for_maps(page)
    assert "what the model saw of the photograph is unknown" in page.locator("#runs").inner_text()
    assert sample_results.records(tmp_path / "out")[0]["view"] == "report/views/a.js"


def test_a_folder_that_was_moved(folder, tmp_path, open_page):
    folder.rename(tmp_path / "moved & <b>#1")
    page = open_page(tmp_path / "moved & <b>#1/index.html", fragment="#image-2")
    wait_for_maps(page)


def test_a_folder_that_is_not_whole(folder, open_page):
    (folder / "report/views/plain.js").unlink()
    (folder / "report/views/emoji 🦊🎉.js").write_text("intgrad.addView({})")
    page = open_page(folder / "index.html", fragment="#image-0")
    page.wait_for_selector("#problem:visible")
    assert "report/views/plain.js cannot be read" in page.locator("#problem").inner_text()
    page.wait_for_selector("#runs dl")
    assert "intgrad report" in page.locator("#runs").inner_text()
    page.evaluate("location.hash = '#image-5'")
    page.wait_for_selector("#runs .problem")
    # What the browser itself says of a file that is not there.
    assert all("ERR_FILE_NOT_FOUND" in error for error in open_page.errors)
    open_page.errors.clear()


def test_ten_thousand(tmp_path, open_page):
    """It opens in two seconds, scrolls to the end, and sorts."""
    folder, count = tmp_path / "out", 10_000
    arrays = make_arrays(0)
    overview = make_overview(arrays["attributions"])

    def records():
        for k in range(count):
            place = f"report/views/{k}"
            yield {
                "image": f"/photos/{k}.jpg",
                "picture": f"{k}.png",
                "arrays": None,
                "view": f"{place}.js",
                "thumbnail": "report/views/one.jpg",
                **make_record(k, overview=overview, request=REQUEST),
            }

    Report(folder, REQUEST, COMMAND, records(), []).finish(single_file=False)
    framed = frame(Image.fromarray(sample_results.make_photograph(0)), None)
    (folder / "report/views").mkdir()
    (folder / "report/views/one.jpg").write_bytes(make_thumbnail(framed))
    assert (*SHAPE, 3) == arrays["attributions"].shape
    open_page(folder / "index.html").close()  # the browser has started
    start = time.perf_counter()
    page = open_page(folder / "index.html")
    wait(page, "document.querySelectorAll('#grid li').length > 5")
    opened = time.perf_counter() - start
    assert opened < 2, f"{opened:.2f} s"
    assert page.locator("#grid li").count() < 150
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    wait(
        page,
        "[...document.querySelectorAll('#grid b')].some((each) => each.textContent === '9999.jpg')",
    )
    start = time.perf_counter()
    page.select_option("#sort", "=score")
    page.fill("#search", "77")
    wait(page, "list.shown.length < 1000")
    assert time.perf_counter() - start < 1
    found = page.evaluate("list.shown.map((card) => card.facts.score)")
    assert found == sorted(found)


# ---- Two runs ------------------------------------------------------------------------------------


def test_two_runs_side_by_side(tmp_path, open_page):
    """Where they disagree most comes first, and the sliders move both."""
    for name, turned in (("one", ()), ("two", (2, 5))):
        with Results(tmp_path / name, {**REQUEST, "run": name}, []) as results:
            for number in range(7):
                path = sample_results.save_photograph(tmp_path / "photos", str(number), number)
                arrays = make_arrays(number)
                if number in turned:
                    arrays["attributions"] = -arrays["attributions"]
                sample_results.add(results, path, number, arrays=arrays)
    out = tmp_path / "compared"
    assert cli.main(["compare", *(str(tmp_path / k) for k in ("one", "two")), f"--out={out}"]) == 0
    page = open_page(out / "index.html")
    assert sorted(seen(page)[:2]) == ["2.png", "5.png"]
    assert page.locator("#grid li").first.locator("canvas").count() == 2
    page.select_option("#sort", "=score difference")
    assert len(shown(page)) == 7
    page.select_option("#sort", "")
    page.locator("#grid a").first.click()
    wait_for_maps(page)
    assert page.locator("#runs > section").count() == 2
    titles = page.locator("#runs > section > h3:first-child").all_inner_texts()
    assert titles == ["one: Integrated gradients, model.pt", "two: Integrated gradients, model.pt"]
    boxes = [page.locator("#runs > section").nth(k).bounding_box() for k in range(2)]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]

    def colours():
        return [
            page.evaluate(
                """(run) => {
                  const canvas = document.querySelectorAll("#runs > section")[run]
                    .querySelectorAll("figure canvas[role=img]")[2];
                  const { data } = canvas.getContext("2d")
                    .getImageData(0, 0, canvas.width, canvas.height);
                  let green = 0, red = 0;
                  for (let k = 0; k < data.length; k += 4) {
                    green += data[k + 1] > data[k] + 20;
                    red += data[k] > data[k + 1] + 20;
                  }
                  return [green, red];
                }""",
                run,
            )
            for run in range(2)
        ]

    assert page.evaluate(
        """() => {
          const [first, second] = view.columns.map(({ maps }) => maps.attributions);
          return first.every((value, k) => value === -second[k]);
        }"""
    )
    assert all(min(counts) > 0 for counts in colours())
    move(page, sign="positive")
    first, second = colours()
    assert first[1] == second[1] == 0
    assert first[0] > 0
    page.set_viewport_size({"width": 400, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
