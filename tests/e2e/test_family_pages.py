"""Every family's page in a browser, before the real server with a small real model: what is seen, asked, drawn, heard and kept."""

from __future__ import annotations

import base64
import io
import json
import time
import wave
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.e2e
pytest.importorskip("playwright", reason="playwright is not installed: pip install playwright")
from playwright.sync_api import Browser, Page, expect  # noqa: E402
from tests.e2e.pages import answers, calls, chromium, drop, file_of, picture, sound, watched  # noqa: E402
from tests.servers import Server, serving  # noqa: E402

from lorasmith.testing import tiny  # noqa: E402

TEXTS = "a red fox\nthe dog\ntwo?\na red fox"


def of(*names: str) -> pytest.MarkDecorator:
    """The tiny models whose pages a test walks through; pytest keeps tests of one model together, and one server alive."""
    return pytest.mark.parametrize("server", names, indirect=True)


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(request.param)
    with serving(tiny.build(request.param, folder / request.param), folder / "home") as served:
        yield served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """Watched: another host, an error in the console or an exception fails the test."""
    with watched(browser, f"{server.url}/") as opened:
        yield opened
        assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")


def choose(page: Page, setting: str, value: str) -> None:
    """Give a setting in the drawer, which opens where it is closed."""
    drawer = page.get_by_role("complementary", name="Settings")
    if not drawer.is_visible():
        page.get_by_role("button", name="Settings").click()
    drawer.get_by_label(setting, exact=True).fill(value)


def photograph(width: int = 90, height: int = 60) -> bytes:
    """A PNG in which there is something: a disc before a slope."""
    from PIL import Image, ImageDraw

    made = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    ImageDraw.Draw(made).ellipse((10, 10, 40, 40), fill="orange")
    data = io.BytesIO()
    made.save(data, "PNG")
    return data.getvalue()


def pixels(page: Page, selector: str) -> int:
    """How many points of a canvas are painted."""
    count = """(canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return data.filter((value, at) => at % 4 === 3 && value > 0).length;
    }"""
    return int(page.eval_on_selector(selector, count))


@of("t5", "mamba")
def test_text(page, server):
    """UI-1: what writes text is a chat, also without a chat template and without attention; the settings reach the model."""
    sent = calls(page)
    choose(page, "Maximum tokens", "12")
    page.get_by_label("Write a message").fill("the quick brown fox")
    page.keyboard.press("Enter")
    expect(answers(page)).to_contain_text("tokens/s")
    expect(answers(page)).to_contain_text("Cut off at the token limit")
    assert sent[0]["generate"]["max_tokens"] == 12
    assert page.get_by_label("Add pictures").count() == 0


@of("llava")
def test_pictures_are_asked_about(page, server):
    """UI-5, UI-1: a dropped picture stands beside the question, goes to the model, and is still there after a reload."""
    sent = calls(page)
    drop(page, page.get_by_label("Write a message"), photograph())
    expect(page.get_by_alt_text("Picture 1")).to_be_visible()
    page.get_by_label("Write a message").fill("What is this?")
    page.keyboard.press("Enter")
    expect(answers(page)).to_have_count(1)
    asked = json.dumps(sent[0]["generate"])
    assert base64.b64encode(photograph()).decode() in asked
    question = page.get_by_label("You", exact=True)
    expect(question.get_by_alt_text("Picture 1")).to_be_visible()
    page.reload()
    expect(question.get_by_alt_text("Picture 1")).to_be_visible()
    expect(answers(page)).to_have_count(1)


@of("bert")
def test_texts_as_points(page, server, tmp_path):
    """UI-4: map, neighbours, search, heat map, and files that others read; where the server lacks a package, it says which."""
    import numpy

    assert page.locator("input[accept='image/*']").count() == 0
    page.get_by_role("textbox", name="Texts").fill(TEXTS)
    page.get_by_role("button", name="Embed").click()
    expect(page.get_by_role("img", name="4 texts as points")).to_be_visible()
    expect(page.get_by_text("4 × ")).to_be_visible()
    assert pixels(page, "canvas") > 100

    page.get_by_role("tab", name="Search").click()
    page.get_by_label("What are you looking for?").fill("a red fox")
    page.keyboard.press("Enter")
    found = page.locator("ol li")
    expect(found).to_have_count(4)
    expect(found.first).to_contain_text("a red fox1.000")
    expect(found.last).not_to_contain_text("1.000")

    page.get_by_role("tab", name="Heat map").click()
    page.get_by_role("img", name="Likeness of 4 texts").hover(position={"x": 5, "y": 5})
    expect(page.get_by_text("1.000")).to_be_visible()

    saved = {}
    for kind in ("JSON", "CSV", "NPY"):
        page.get_by_role("button", name="Export").click()
        with page.expect_download() as download:
            page.get_by_role("menuitem", name=kind).click()
        saved[kind] = tmp_path / kind
        download.value.save_as(saved[kind])
    rows = json.loads(saved["JSON"].read_text())
    vectors = numpy.load(saved["NPY"])
    assert [row["text"] for row in rows] == TEXTS.split("\n")
    numpy.testing.assert_allclose(vectors, [row["embedding"] for row in rows], atol=1e-6)
    numpy.testing.assert_allclose(numpy.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert saved["CSV"].read_text().splitlines()[3].startswith('"two?",')


@of("bert")
def test_a_projection_by_the_server(browser, server):
    """UI-4: t-SNE comes from the server, or it says what to install while PCA stays in view."""
    from importlib.util import find_spec

    missing = () if find_spec("sklearn") else ("never in a console",)
    with watched(browser, f"{server.url}/", errors=missing or ("",)) as page:
        page.get_by_role("textbox", name="Texts").fill(TEXTS)
        page.get_by_role("button", name="Embed").click()
        with page.expect_response("**/project") as answered:
            page.get_by_role("tab", name="t-SNE").click()
        assert answered.value.status == (503 if missing else 200)
        if missing:
            expect(page.get_by_text("scikit-learn").first).to_be_visible()
        expect(page.get_by_role("img", name="4 texts as points")).to_be_visible()


@of("clip")
def test_pictures_as_points(page, server, tmp_path):
    """UI-4, SRV-4: a model that sees takes pictures beside texts, in one map, one search and one file."""
    sent = calls(page)
    page.get_by_role("textbox", name="Texts").fill("a red fox")
    drop(page, page.get_by_role("button", name="Pictures: drop"), photograph(), "disc.png")
    chooser = page.locator("input[accept='image/*']")
    chooser.set_input_files([file_of(picture(colour="blue"), "blue.png"), file_of(photograph(), "again.png")])
    expect(page.get_by_alt_text("Picture 3")).to_be_visible()
    page.get_by_role("button", name="Embed").click()
    expect(page.get_by_role("img", name="4 texts and pictures as points")).to_be_visible()
    assert [len(sent[0]["generate"][field]) for field in ("texts", "images")] == [1, 3]

    # The second and the fourth are the same picture.
    page.get_by_role("tab", name="Heat map").click()
    grid = page.get_by_role("img", name="Likeness of 4 texts and pictures")
    side = grid.bounding_box()["width"]
    grid.hover(position={"x": side * 7 / 8, "y": side * 3 / 8})
    expect(page.get_by_text("1.000")).to_be_visible()
    expect(page.locator("p", has_text="disc.png").get_by_role("presentation")).to_be_visible()

    page.get_by_role("tab", name="Search").click()
    page.get_by_label("What are you looking for?").fill("a red fox")
    page.keyboard.press("Enter")
    expect(page.locator("ol li").first).to_contain_text("a red fox1.000")
    expect(page.locator("ol img")).to_have_count(3)
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as saved:
        page.get_by_role("menuitem", name="JSON").click()
    saved.value.save_as(tmp_path / "vectors.json")
    rows = json.loads((tmp_path / "vectors.json").read_text())
    assert [next(iter(row.items())) for row in rows] == [
        ("text", "a red fox"), ("image", "disc.png"), ("image", "blue.png"), ("image", "again.png"),
    ]  # fmt: skip
    assert rows[1]["embedding"] == pytest.approx(rows[3]["embedding"], abs=1e-5)


@of("bert_sequence")
def test_labels_of_texts(page, server, tmp_path):
    """UI-5, SRV-6: a card for each text with all its labels, which together are everything."""
    page.get_by_role("textbox", name="Texts").fill("a red fox\ntwo?")
    page.get_by_role("button", name="Label", exact=True).click()
    cards = page.get_by_role("article")
    expect(cards).to_have_count(2)
    shares = [float(share.split()[0]) for share in cards.first.get_by_text("%").all_inner_texts()]
    assert len(shares) == 3
    assert sum(shares) == pytest.approx(100, abs=0.2)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export as JSON").click()
    saved.value.save_as(tmp_path / "labels.json")
    assert [row["text"] for row in json.loads((tmp_path / "labels.json").read_text())] == ["a red fox", "two?"]


@of("bert_tokens")
def test_names_in_texts(page, server):
    """UI-5, SRV-6: what is found in a text is marked where it stands, also behind a letter of two UTF-16 units."""
    page.get_by_role("textbox", name="Texts").fill("😀 Berlin")
    page.get_by_role("button", name="Label", exact=True).click()
    expect(page.locator("mark").last).to_contain_text("Berlin")
    expect(page.get_by_role("article")).to_contain_text("😀")


@of("vit")
def test_labels_of_a_picture(page, server):
    """UI-5: a dropped picture is looked at by itself."""
    drop(page, page.get_by_role("button", name="Drop, paste or choose a picture"), photograph())
    for label in ("cat", "dog", "bird"):
        expect(page.get_by_text(label, exact=True)).to_be_visible()
    expect(page.get_by_role("img", name="Found in the picture: 0")).to_be_visible()
    expect(page.get_by_text("%")).to_have_count(3)


@of("detr")
def test_boxes(page, server):
    """UI-5: boxes lie over the picture, inside it, and can be hidden; nothing found is said, with what helps."""
    chooser = page.locator("input[type=file]").first
    chooser.set_input_files(file_of(photograph()))
    expect(page.get_by_text("Nothing was found. A lower threshold")).to_be_visible()
    choose(page, "Threshold", "0.1")
    page.get_by_role("button", name="Look").click()
    hide = page.get_by_label("Hide: ")
    expect(hide.first).to_be_visible()
    boxes = page.locator("svg[role=img] g")
    count = boxes.count()
    assert count > 1
    box = boxes.first.locator("rect").first
    place = {name: float(str(box.get_attribute(name))) for name in ("x", "y", "width", "height")}
    assert 0 <= place["x"] <= place["x"] + place["width"] <= 90
    assert 0 <= place["y"] <= place["y"] + place["height"] <= 60
    hide.first.click()
    expect(boxes).to_have_count(count - 1)


@of("segformer")
def test_masks(page, server):
    """UI-5: masks lie over the picture in a colour for each label, and can be hidden."""
    choose(page, "Threshold", "0.1")
    page.locator("input[type=file]").first.set_input_files(file_of(photograph()))
    masks = page.locator("svg[role=img] image")
    expect(masks.first).to_be_visible()
    count = page.get_by_label("Hide: ").count()
    expect(masks).to_have_count(count)
    assert len({mask.get_attribute("href") for mask in masks.all()}) == count
    page.get_by_label("Hide: ").first.click()
    expect(masks).to_have_count(count - 1)


@of("sam")
def test_a_click_cuts_out(page, server):
    """UI-5: a click on the picture is a point of the picture's own pixels, and a mask comes back."""
    sent = calls(page)
    page.locator("input[type=file]").first.set_input_files(file_of(photograph()))
    stage = page.get_by_role("img", name="Found in the picture: 0")
    stage.click(position={"x": 30, "y": 20})
    expect(page.locator("svg[role=img] image")).not_to_have_count(0)
    assert sent[0]["generate"]["points"] == [[30, 20]]
    expect(page.get_by_text("Points: 1.")).to_be_visible()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("svg[role=img] image")).to_have_count(0)


@of("depth_anything")
def test_depth(page, server):
    """UI-5: a picture of depths lies over the picture."""
    page.locator("input[type=file]").first.set_input_files(file_of(photograph()))
    expect(page.locator("svg[role=img] image")).to_have_count(1)
    page.get_by_label("Hide: depth").click()
    expect(page.locator("svg[role=img] image")).to_have_count(0)


@of("trocr")
def test_pages_are_read(page, server):
    """UI-5: text of each page beside the page."""
    chooser = page.locator("input[type=file]").first
    chooser.set_input_files([file_of(picture(200, 280), "one.png"), file_of(photograph(200, 280), "two.png")])
    choose(page, "Maximum tokens", "8")
    page.get_by_role("button", name="Read", exact=True).click()
    expect(page.get_by_role("tab", name="Text")).to_be_visible()
    expect(page.get_by_label("Copy")).to_be_visible()
    shown = page.get_by_alt_text("Page", exact=True)
    first = shown.get_attribute("src")
    page.get_by_role("tab", name="2", exact=True).click()
    expect(shown).not_to_have_attribute("src", str(first))


@of("whisper")
def test_a_sound_is_written_down(page, server, tmp_path):
    """UI-5: a sound from a file, its text with times to click, and files of it."""
    sent = calls(page)
    choose(page, "Maximum tokens", "12")
    page.locator("input[type=file]").set_input_files(file_of(sound(), "tone.wav", "audio/wav"))
    heard = page.get_by_role("article")
    expect(heard).to_be_visible()
    assert base64.b64encode(sound()).decode() in sent[0]["generate"]["audio"]
    slider = page.get_by_role("slider", name="Position")
    expect(slider).to_have_attribute("aria-valuemax", "3")
    later = heard.locator("button[title]:not([title='0:00.0']), li button").last
    later.click()
    expect(slider).not_to_have_attribute("aria-valuetext", "0:00.0")
    with page.expect_download() as saved:
        page.get_by_role("button", name="SRT").click()
    saved.value.save_as(tmp_path / "tone.srt")
    assert " --> 00:00:0" in (tmp_path / "tone.srt").read_text()


@of("whisper")
def test_a_recording_is_written_down(page, server):
    """UI-5: what the microphone heard reaches the server as 16-bit wav at 16 kHz, whatever the browser records in."""
    page.context.grant_permissions(["microphone"])
    sent = calls(page)
    choose(page, "Maximum tokens", "12")
    page.get_by_role("button", name="Record").click()
    expect(page.get_by_role("button", name="Stop recording")).to_contain_text("0:02")
    page.get_by_role("button", name="Stop recording").click()
    expect(page.get_by_role("slider", name="Position")).to_be_visible()
    expect(page.get_by_role("button", name="Listen")).to_be_visible(timeout=20_000)
    expect(page.get_by_role("alert")).to_have_count(0)
    kind, data = sent[0]["generate"]["audio"].split(",")
    assert kind == "data:audio/wav;base64"
    with wave.open(io.BytesIO(base64.b64decode(data))) as recorded:
        assert recorded.getparams()[:3] == (1, 2, 16_000)
        assert 1.5 < recorded.getnframes() / 16_000 < 8
        assert any(recorded.readframes(recorded.getnframes()))
    assert 1.5 < float(str(page.get_by_role("slider", name="Position").get_attribute("aria-valuemax"))) < 8


@of("vits")
def test_a_text_is_spoken(page, server, tmp_path):
    """UI-5: a player with the generated sound, which plays, and the sound as a file."""
    page.get_by_label("What is to be said").fill("the quick brown fox")
    page.get_by_role("button", name="Speak").click()
    slider = page.get_by_role("slider", name="Position")
    expect(slider).to_be_visible()
    page.get_by_role("button", name="Play").click()
    expect(slider).not_to_have_attribute("aria-valuetext", "0:00.0")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download").click()
    saved.value.save_as(tmp_path / "said.wav")
    with wave.open(str(tmp_path / "said.wav")) as said:
        assert said.getnframes() / said.getframerate() == pytest.approx(
            float(str(slider.get_attribute("aria-valuemax"))), abs=0.01
        )


def fill_in(page: Page, **numbers: int) -> None:
    for name, number in numbers.items():
        page.get_by_role("spinbutton", name=name).fill(str(number))


@of("stable_diffusion")
def test_drawing(page, server):
    """UI-3: progress and previews while it is drawn, then the picture with its parameters, kept and used again."""
    page.get_by_role("textbox", name="Prompt", exact=True).fill("a red fox")
    page.get_by_role("textbox", name="Negative prompt").fill("the dog")
    fill_in(page, Steps=40, Width=64, Height=64)
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_role("progressbar", name="Draw")).to_be_visible()
    expect(page.get_by_alt_text("Preview")).to_be_visible()
    shown = page.get_by_role("figure")
    expect(shown).to_contain_text("Steps40")
    expect(shown).to_contain_text("Width64")
    expect(shown.get_by_alt_text("a red fox")).to_be_visible()
    first = str(shown.get_by_role("img").get_attribute("src"))
    page.reload()
    expect(shown).to_contain_text("a red fox")
    gallery = page.get_by_role("list", name="Pictures drawn so far").get_by_role("listitem")
    expect(gallery).to_have_count(1)

    page.get_by_role("button", name="Use these settings").click()
    expect(page.get_by_role("textbox", name="Prompt", exact=True)).to_have_value("a red fox")
    expect(page.get_by_role("textbox", name="Negative prompt")).to_have_value("the dog")
    page.get_by_role("button", name="Draw").click()
    expect(gallery).to_have_count(2)
    assert base64.b64decode(str(shown.get_by_role("img").get_attribute("src")).split(",")[1]).startswith(b"\x89PNG")
    assert shown.get_by_role("img").get_attribute("src") == first, "the same seed draws the same picture"
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download").click()
    assert saved.value.suggested_filename.startswith("a-red-fox-")


@of("stable_diffusion")
def test_drawing_is_interrupted(page, server):
    """UI-3: Stop ends the work at the server too, and the next picture is drawn."""
    page.get_by_role("textbox", name="Prompt", exact=True).fill("a red fox")
    fill_in(page, Steps=900, Width=64, Height=64)
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_role("button", name="Stop")).to_contain_text("/ 9")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Draw")).to_be_visible()
    deadline = time.monotonic() + 5
    while server.get("/health").body["busy"]:
        assert time.monotonic() < deadline, "the server still draws"
        time.sleep(0.05)
    expect(page.get_by_role("figure")).to_have_count(0)
    fill_in(page, Steps=2)
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_role("figure")).to_contain_text("Steps2")


@of("stable_diffusion")
def test_parts_of_a_picture_are_drawn_anew(page, server):
    """UI-3, SRV-3: a dropped picture is where drawing begins; what is painted over it is the mask, which can be cleared."""
    from PIL import Image

    sent = calls(page)
    drop(page, page.get_by_role("button", name="Start from a picture"), photograph(64, 64))
    page.get_by_role("textbox", name="Prompt", exact=True).fill("a red fox")
    fill_in(page, Steps=4)
    mask = page.get_by_role("img", name="Mask")
    box: Any = mask.bounding_box()

    def paint(x: float, y: float, to_x: float) -> None:
        mask.scroll_into_view_if_needed()
        page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * to_x, box["y"] + box["height"] * y, steps=5)
        page.mouse.up()

    clear = page.get_by_role("button", name="Clear")
    expect(clear).to_be_disabled()
    box = mask.bounding_box()
    paint(0.2, 0.2, 0.8)
    expect(clear).to_be_enabled()
    clear.click()
    expect(clear).to_be_disabled()
    assert pixels(page, "canvas") == 0
    page.get_by_label("Brush").fill("20")
    paint(0.1, 0.75, 0.4)
    page.get_by_role("button", name="Draw").click()
    figure = page.get_by_role("figure")
    expect(figure).to_contain_text("StableDiffusionInpaintPipeline")
    call = sent[0]["generate"]
    assert base64.b64decode(call["image"].split(",")[1]) == photograph(64, 64)
    painted = Image.open(io.BytesIO(base64.b64decode(call["mask_image"].split(",")[1]))).convert("L")
    assert painted.size == (64, 64)
    assert [painted.getpixel(at) for at in ((10, 48), (22, 48), (50, 48), (16, 12))] == [255, 255, 0, 0]

    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Draw").click()
    expect(figure).to_contain_text("StableDiffusionImg2ImgPipeline")
    assert "mask_image" not in sent[-1]["generate"]
    page.get_by_role("button", name="Start from nothing").click()
    page.get_by_role("button", name="Draw").click()
    expect(figure).to_contain_text("PipelineStableDiffusionPipeline")
    page.get_by_role("button", name="Start from this picture").click()
    expect(page.get_by_role("img", name="Mask")).to_be_visible()
