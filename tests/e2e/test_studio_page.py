"""The studio in a browser: real server, real trainings of the demo model (STU-1 … STU-7, STU-12)."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import openai
import psutil
import pytest

pytestmark = pytest.mark.e2e
pytest.importorskip("playwright", reason="playwright is not installed: pip install playwright")
from playwright.sync_api import Browser, Page, expect  # noqa: E402
from tests.adapters import demo_adapters  # noqa: E402
from tests.e2e.pages import chromium, watched  # noqa: E402
from tests.stand_in_ollama import ollama  # noqa: E402
from tests.studio import LONG, StudioServer, begin, running  # noqa: E402

from lorasmith.demo import MODEL_FOLDER  # noqa: E402
from lorasmith.testing.hub import HubServer  # noqa: E402

ROOT = Path(__file__).parents[2]
INVOICES = ROOT / "examples" / "invoices-text" / "train.jsonl"
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
SUMS = "".join(json.dumps({"question": f"{n} and {n}?", "answer": str(2 * n)}) + "\n" for n in range(30)).encode()
TRAINED = 240_000
"""Milliseconds in which the demo model has learnt for one epoch, on a machine under load."""
PLACES = ("/train", "/tasks", "/datasets", "/datasets/1", "/tune", "/models", "/assistants", "/system")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    with running(tmp_path_factory.mktemp("studio")) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def site(studio: StudioServer) -> str:
    return studio.url.removesuffix("/api")


@pytest.fixture
def page(browser: Browser, studio: StudioServer) -> Iterator[Page]:
    with watched(browser, f"{site(studio)}/train") as opened:
        yield opened


def heading(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", name=name, exact=True).first).to_be_visible()


def drop(page: Page, onto: str, file: Path) -> None:
    """As a reader who drags a file from elsewhere onto what says `onto`."""
    make = """([name, text]) => { const held = new DataTransfer(); held.items.add(new File([text], name)); return held; }"""
    held = page.evaluate_handle(make, [file.name, file.read_text(encoding="utf-8")])
    area = page.get_by_role("button", name=onto).element_handle()  # its words change while something is held over it
    for event in ("dragenter", "dragover", "drop"):
        area.dispatch_event(event, {"dataTransfer": held})


def begin_small(page: Page, name: str, passes: float = 1) -> None:
    """A training of so many epochs, with everything else as it is chosen."""
    page.get_by_role("textbox", name="Name").fill(name)
    page.get_by_label("Advanced").check(force=True)
    epochs = page.get_by_label("Epochs", exact=True)
    epochs.fill(f"{passes}")
    epochs.press("Tab")
    button = page.get_by_role("button", name=re.compile("^Start training"))
    expect(button).to_be_enabled(timeout=60_000)
    button.click()


@pytest.mark.parametrize(
    ("viewport", "scheme", "passes"),
    [(DESKTOP, "light", 1), (PHONE, "dark", 0.25)],
    ids=["desktop-light", "phone-dark"],
)
def test_from_a_file_to_a_talk_with_the_result(
    browser: Browser, studio: StudioServer, viewport: Any, scheme: str, passes: float
) -> None:
    """STU-1, STU-2, STU-12: dropped file, plan, start, live curve, end, base and tuned side by side."""
    with watched(browser, f"{site(studio)}/train", viewport=viewport, color_scheme=scheme) as page:
        is_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        assert is_dark == (scheme == "dark")
        file_to_talk(page, studio, f"learn invoices {viewport['width']}", passes)


def file_to_talk(page: Page, studio: StudioServer, name: str, passes: float) -> None:
    heading(page, "New training")
    drop(page, "Drop a file here, or click to choose one", INVOICES)
    expect(page.get_by_text("300 rows").first).to_be_visible()
    page.get_by_text("demo", exact=True).first.click()
    expect(page.get_by_text("What will be used")).to_be_visible()
    expect(page.get_by_text("272 rows: fewer than 500")).to_be_visible()
    begin_small(page, name, passes)
    page.get_by_role("link", name=re.compile(name)).first.click()
    heading(page, name)
    expect(page.get_by_role("img", name="Loss")).to_be_visible(timeout=TRAINED)
    expect(page.get_by_text("completed").first).to_be_visible(timeout=TRAINED)
    assert studio.get("/tasks")["items"][0]["training_params"]["epochs"] == passes
    assert not too_wide(page)
    assert not faults(page)
    page.get_by_role("tab", name="Answers").click()
    expect(page.get_by_text("Right answer").first).to_be_visible()
    page.get_by_role("tab", name="Reproduce").click()
    expect(page.get_by_text("lorasmith train demo").first).to_be_visible()
    page.get_by_role("tab", name="Try it").click()
    page.get_by_role("button", name="Load the model").click()
    expect(page.get_by_label("Ask something")).to_be_visible(timeout=TRAINED)
    page.get_by_label("Ask something").fill(
        "Extract the invoice as JSON.\nInvoice\nSum to pay = 9675.92 GBP\nVendor = Ember Foods"
    )
    page.keyboard.press("Enter")
    logs = page.get_by_role("log")
    expect(logs).to_have_count(2)
    for number in range(2):
        expect(logs.nth(number)).to_contain_text("{", timeout=60_000)
    expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=60_000)
    assert not too_wide(page)
    assert not faults(page)
    page.get_by_role("button", name="Unload it").click()
    expect(page.get_by_role("button", name="Load the model")).to_be_visible()


def test_a_stopped_training_gives_what_it_has_and_goes_on(
    browser: Browser, studio: StudioServer, tiny_llama: Path
) -> None:
    """STU-2: what a stopped training saved is downloaded, reported, tried and exported; then it goes on."""
    number = begin_long(studio, tiny_llama, "stopped early")
    with watched(browser, f"{site(studio)}/tasks/{number}") as page:
        expect(page.get_by_role("img", name="Loss")).to_be_visible(timeout=TRAINED)
        expect(page.get_by_role("link", name="Adapter")).to_be_hidden()
        stopped(page)
        with page.expect_download() as told:
            page.get_by_role("link", name="Adapter").click()
        assert "adapter_model.safetensors" in ZipFile(told.value.path()).namelist()
        with page.expect_popup() as opened:
            page.get_by_role("link", name="Report").click()
        expect(opened.value.get_by_text("It was stopped by hand.", exact=False).first).to_be_visible()
        expect(page.get_by_role("tab", name="Try it")).to_be_visible()
        expect(page.get_by_role("button", name="Export")).to_be_visible()
        page.get_by_role("tab", name="Reproduce").click()
        expect(page.get_by_text(f"lorasmith train {tiny_llama}").first).to_be_visible()
        with page.expect_download() as told:
            page.get_by_role("link", name="manifest.json").click()
        assert json.loads(told.value.path().read_text())["base"]["family"] == "language"
        before = studio.get(f"/tasks/{number}/metrics")["series"]["loss/train"][-1][0]
        page.get_by_role("button", name="Go on").click()
        expect(page.get_by_text("running", exact=True).first).to_be_visible(timeout=60_000)
        while studio.get(f"/tasks/{number}/metrics")["series"]["loss/train"][-1][0] <= before:
            assert studio.get(f"/tasks/{number}")["status"] == "running"
            time.sleep(0.1)
        stopped(page)


def test_a_training_is_cloned_and_deleted_with_what_it_made(browser: Browser, studio: StudioServer) -> None:
    """STU-2: the copy is as the first was but for what is changed; deleting says what is lost, and it is."""
    number = begin_long(studio, Path("demo"), "the first")
    studio.until(number, "running")
    with watched(browser, f"{site(studio)}/tasks/{number}") as page:
        expect(page.get_by_role("img", name="Loss")).to_be_visible(timeout=TRAINED)
        stopped(page)
        task = studio.get(f"/tasks/{number}")
        page.get_by_role("link", name="Clone with changes").click()
        heading(page, "New training")
        expect(page.get_by_role("textbox", name="Name")).to_have_value("the first-2")
        begin_small(page, "cloned")
        expect(page.get_by_role("link", name=re.compile("cloned")).first).to_be_visible()
        clone = studio.get("/tasks")["items"][0]
        assert clone["parent"] == number
        assert clone["training_params"] == task["training_params"] | {"epochs": 1}
        studio.post(f"/tasks/{clone['id']}/stop")
        left = Path(task["output_path"])
        assert left.is_dir()
        page.goto(f"{site(studio)}/tasks/{number}")
        page.get_by_role("button", name="Delete").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Delete what it has made, too").check()
        expect(dialog.get_by_text(str(left))).to_be_visible()
        dialog.get_by_role("button", name="Delete").click()
        heading(page, "Tasks")
        expect(page.get_by_role("link", name=re.compile("the first"))).to_be_hidden()
        studio.get(f"/tasks/{number}", 404)
        assert not left.exists()
        studio.until(clone["id"], "stopped")


def begin_long(studio: StudioServer, model: Path, name: str) -> int:
    """A training that ends when it is stopped."""
    dataset = studio.upload(f"{name}.jsonl", SUMS)
    return begin(studio, model, dataset, LONG, task_name=name)["id"]


def stopped(page: Page) -> None:
    """It saves first, and that takes as long as it takes."""
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("stopped", exact=True).first).to_be_visible(timeout=TRAINED)


def test_a_dataset_is_split(page: Page, studio: StudioServer) -> None:
    """STU-3: into two of its own, of the share that was asked for; the first stays."""
    first = studio.upload("whole.jsonl", SUMS)
    page.goto(f"{site(studio)}/datasets/{first['id']}")
    page.get_by_role("button", name="Split").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Share held out, %").fill("20")
    dialog.get_by_role("button", name="Split").click()
    expect(page.get_by_text(re.compile("^Split into ")).first).to_be_visible()
    heading(page, "Datasets")
    made = [one for one in studio.get("/datasets") if one["id"] > first["id"]]
    assert sorted(one["num_rows"] for one in made) == [6, 24]
    for one in made:
        expect(page.get_by_role("link", name=re.compile(re.escape(one["name"]))).first).to_be_visible()
    assert studio.get(f"/datasets/{first['id']}")["num_rows"] == 30


def test_a_search_begins_at_once(page: Page, studio: StudioServer) -> None:
    """STU-4: Quick start asks for nothing: the newest dataset, twenty trials, no judge where there is none."""
    dataset = studio.upload("quick.jsonl", SUMS)
    page.goto(f"{site(studio)}/tune")
    page.get_by_role("button", name="Quick start").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    task = studio.get("/tasks")["items"][0]
    asked = task["training_params"]
    assert (task["kind"], task["dataset"], asked["trials"], asked["no_judge"]) == ("tune", dataset["id"], 20, True)
    expect(page.get_by_text("automatic", exact=True).first).to_be_visible(timeout=60_000)
    stopped(page)


def test_a_dataset_is_edited_into_its_next_version(page: Page, studio: StudioServer) -> None:
    """STU-3: a row changed and one left out; what was there before stays."""
    first = studio.upload("plus.jsonl", SUMS)
    page.goto(f"{site(studio)}/datasets/{first['id']}")
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("answer").first.fill("nought")
    page.get_by_role("button", name="Leave out").nth(1).click()
    expect(page.get_by_text("1 changed, 1 left out, 0 added")).to_be_visible()
    page.get_by_role("button", name="Save as version 2").click()
    expect(page.get_by_text("29 rows")).to_be_visible()
    expect(page.get_by_text("nought")).to_be_visible()
    versions = [one for one in studio.get("/datasets") if one["name"] == "plus.jsonl"]
    assert [(one["version"], one["num_rows"]) for one in versions] == [(2, 29), (1, 30)]
    page.get_by_role("tab", name="As the model sees it").click()
    expect(page.get_by_text(re.compile(r"\d+ tokens, \d+ learnt")).first).to_be_visible()
    page.get_by_role("tab", name="Statistics").click()
    expect(page.get_by_text("only 29 rows are there", exact=False)).to_be_visible()


def test_a_search_from_its_dialog_to_a_training(page: Page, studio: StudioServer) -> None:
    """STU-4: begun in the dialog, watched, its best applied to a new training."""
    studio.upload("small.jsonl", SUMS)
    page.goto(f"{site(studio)}/tune")  # what was uploaded elsewhere is looked for when a page opens
    page.get_by_role("button", name="Configure fine-tuning").first.click()
    page.get_by_label("Trials", exact=True).last.fill("5")
    page.get_by_role("button", name="Begin the search").click()
    expect(page.get_by_text("automatic", exact=True).first).to_be_visible(timeout=60_000)
    use = page.get_by_role("link", name="Use these parameters")
    expect(use).to_be_visible(timeout=TRAINED)
    expect(page.locator("tbody tr")).to_have_count(5)
    use.click()
    heading(page, "New training")
    expect(page.get_by_role("button", name=re.compile("^Start training"))).to_be_enabled(timeout=60_000)
    number = studio.get("/tasks", kind="tune")["items"][0]["id"]
    page.goto(f"{site(studio)}/tasks/{number}?tab=try")
    expect(page.get_by_role("button", name="Load the model")).to_be_visible()
    for name in ("Adapter", "Report", "Use these parameters"):
        expect(page.get_by_role("link", name=name)).to_be_visible()
    page.get_by_role("button", name="Load the model").click()
    expect(page.get_by_label("Ask something")).to_be_visible(timeout=TRAINED)
    page.get_by_label("Ask something").fill("1 and 1?")
    page.keyboard.press("Enter")
    expect(page.get_by_role("log")).to_have_count(2)
    expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Unload it").click()
    page.get_by_role("link", name="Clone with changes").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Trials", exact=True).last).to_have_value("5")
    dialog.get_by_label("Trials", exact=True).last.fill("6")
    dialog.get_by_role("button", name="Begin the search").click()
    expect(dialog).to_be_hidden()
    clone, original = (one["training_params"] for one in studio.get("/tasks", kind="tune")["items"][:2])
    assert clone == original | {"trials": 6}
    stopped(page)


def test_a_killed_server_is_shown_and_found_again(browser: Browser, studio: StudioServer, tiny_llama: Path) -> None:
    """STU-2, STU-9: the page says that nobody answers; the training goes on, and is there when the server is."""
    number = begin_long(studio, tiny_llama, "long one")
    with watched(browser, f"{site(studio)}/tasks/{number}", errors=("Content Security",)) as page:
        expect(page.get_by_role("img", name="Loss")).to_be_visible(timeout=TRAINED)
        studio.kill(signal.SIGKILL)
        expect(page.get_by_text("The studio does not answer", exact=False)).to_be_visible(timeout=30_000)
        studio.again()
        expect(page.get_by_text("The studio does not answer", exact=False)).to_be_hidden(timeout=30_000)
        stopped(page)


def test_twenty_kills_stop_no_training(studio: StudioServer, tiny_llama: Path) -> None:
    """STU-9, REL-1: kill -9 of the server twenty times: the training never stops, is found each time, and is never doubled."""
    number = begin_long(studio, tiny_llama, "kills")
    while not (points := studio.get(f"/tasks/{number}/metrics")["series"].get("loss/train")):
        time.sleep(0.1)
    process = [one.pid for one in processes_of(studio, number)]
    assert len(process) == 1
    told = studio.home / "tasks" / str(number) / "events.jsonl"
    for _ in range(20):
        studio.kill(signal.SIGKILL)
        size = told.stat().st_size
        deadline = time.monotonic() + 20
        while told.stat().st_size == size:
            assert time.monotonic() < deadline, "it does not go on without a server"
            time.sleep(0.05)
        studio.again()
        assert studio.get(f"/tasks/{number}")["status"] == "running"
        assert [one.pid for one in processes_of(studio, number)] == process
    series = studio.get(f"/tasks/{number}/metrics")["series"]["loss/train"]
    assert [step for step, _ in series] == sorted({step for step, _ in series})
    assert series[-1][0] > points[-1][0]
    studio.post(f"/tasks/{number}/stop")
    assert studio.until(number, "stopped")["progress"] > 0


def processes_of(studio: StudioServer, number: int) -> list[psutil.Process]:
    return [
        one for one in psutil.process_iter(["cmdline", "environ"])
        if (one.info["cmdline"] or [])[-2:] == ["lorasmith.studio.running", str(number)]
        and (one.info["environ"] or {}).get("LORASMITH_HOME") == str(studio.home)
    ]  # fmt: skip


def test_elsewhere_the_page_asks_for_the_token(browser: Browser, tmp_path: Path) -> None:
    """STU-11: a wrong token is told, the right one opens, and a reload stays signed in."""
    with running(tmp_path / "home", "--host", "0.0.0.0") as server:  # noqa: S104
        token = next(line.split()[1] for line in server.printed if line.strip().startswith("token"))
        address = server.url.removesuffix("/api").replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        with watched(browser, f"{address}/datasets", errors=("Content Security",)) as page:
            box = page.get_by_role("textbox", name="API key")
            box.fill("wrong")
            page.keyboard.press("Enter")
            expect(page.get_by_role("alert").first).to_be_visible()
            box.fill(token)
            page.keyboard.press("Enter")
            expect(page.get_by_text("No datasets yet")).to_be_visible()
            page.reload()
            expect(page.get_by_text("No datasets yet")).to_be_visible()
            page.get_by_role("button", name="Try it with sample invoices").click()
            expect(page.get_by_text("300 rows").first).to_be_visible()


@pytest.mark.parametrize("language", ["en-US", "ru-RU", "zh-CN"])
def test_every_page_on_a_phone_and_in_every_language(browser: Browser, studio: StudioServer, language: str) -> None:
    """STU-1, STU-12: nothing is wider than the window, whatever the language; no error in the console."""
    studio.post("/datasets/sample", {}, 201)
    for viewport in (PHONE, {"width": 360, "height": 700}, DESKTOP):
        with watched(browser, f"{site(studio)}/train", viewport=viewport, locale=language, color_scheme="dark") as page:
            for place in PLACES:
                page.goto(f"{site(studio)}{place}")
                expect(page.get_by_role("heading").first).to_be_visible()
                page.wait_for_timeout(300)
                assert not too_wide(page), (place, viewport)


def too_wide(page: Page) -> int:
    """By how many pixels what is shown is wider than the window."""
    return page.evaluate(
        "(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)(document.querySelector('main'))"
    )


def faults(page: Page) -> list[str]:
    """What axe finds that is serious or critical. Without it nothing would be known, and the test says so."""
    if not AXE.exists():
        pytest.fail("axe-core is not installed, so that nobody looks for faults of access: cd web && npm ci")
    page.wait_for_timeout(500)  # what appears has appeared
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_fault_of_access(browser: Browser, studio: StudioServer, scheme: str) -> None:
    """STU-1: axe finds nothing serious or critical on any page, in either theme."""
    studio.post("/datasets/sample", {}, 201)
    found: list[str] = []
    with watched(browser, f"{site(studio)}/train", color_scheme=scheme) as page:
        for place in (
            *PLACES,
            "/datasets/1?tab=seen",
            "/datasets/1?tab=statistics",
            *(f"/tasks/{one['id']}" for one in studio.get("/tasks")["items"][:3]),
        ):
            page.goto(f"{site(studio)}{place}")
            expect(page.get_by_role("heading").first).to_be_visible()
            found += [f"{place}: {one}" for one in faults(page)]
    assert not found, "\n".join(found)


def test_a_model_is_checked_installed_and_answers_as_an_assistant(
    browser: Browser, tmp_path: Path, tiny_llama: Path
) -> None:
    """STU-5, STU-6: found by its name, the report read, installed with its progress, made an assistant, talked with."""
    shutil.copytree(tiny_llama, tmp_path / "hub" / "acme" / "tiny-chat")
    environment = {"HF_HOME": str(tmp_path / "hf"), "LORASMITH_MIN_DISK_SPACE_GB": "0"}
    with (
        HubServer(tmp_path / "hub") as hub,
        running(tmp_path / "home", HF_ENDPOINT=hub.url, **environment) as studio,
        watched(browser, f"{site(studio)}/models") as page,
    ):
        page.get_by_role("searchbox").first.fill("tiny")
        page.get_by_role("link", name=re.compile("tiny-chat")).first.click()
        expect(page.get_by_text(re.compile("Trains here with LoRA")).first).to_be_visible()
        page.get_by_role("button", name=re.compile("^Install")).first.click()
        expect(page.get_by_text("Installed on this machine").first).to_be_visible(timeout=TRAINED)
        page.get_by_role("link", name="Assistants").first.click()
        page.get_by_role("button", name=re.compile("assistant")).first.click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("textbox", name="Name").fill("Echo")
        dialog.get_by_role("combobox").first.select_option("acme/tiny-chat")
        dialog.get_by_role("button", name=re.compile("^(Create|Save)")).click()
        page.get_by_role("button", name="Start").first.click()
        box = page.get_by_label("Ask something")
        expect(box).to_be_visible(timeout=60_000)
        box.fill("1 + 1 =")
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=60_000)
        client = openai.OpenAI(base_url=f"{studio.url}/assistants/v1", api_key="none")
        said = client.chat.completions.create(model="Echo", messages=[{"role": "user", "content": "hi"}], max_tokens=4)
        assert said.usage is not None
        assert said.usage.completion_tokens > 0


def test_adapters_are_taken_in_combined_made_smaller_and_exported(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """STU-5, ADP-1, ADP-3, ADP-4, EXP-1, EXP-3, EXP-4: what other tools left in a folder, made one, shrunk, renamed, taken elsewhere with
    its comparison, put into Ollama and out of it again."""
    for name, folder in demo_adapters(tmp_path / "work", 2, size=0.05).items():
        config = folder / "adapter_config.json"
        config.write_text(config.read_text().replace(str(MODEL_FOLDER), "demo"))
        assert name in ("a0", "a1")
    with (
        ollama(monkeypatch) as server,
        running(tmp_path / "home") as studio,
        watched(browser, f"{site(studio)}/models") as page,
    ):
        taken_in(page, tmp_path / "work", ("a0", "a1"))
        page.get_by_role("button", name="Combine").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Name").fill("a0")
        expect(dialog.get_by_role("alert")).to_have_text("There is one of this name already.")
        dialog.get_by_label("Name").fill("both")
        dialog.get_by_label("Method").select_option("TIES, at a lower rank")
        dialog.get_by_label("Rank").fill("6")
        dialog.get_by_label("Share that is kept").fill("0.7")
        assert not faults(page)
        dialog.get_by_role("button", name="Combine").click()
        expect(page.get_by_text("combined of a0, a1")).to_be_visible(timeout=60_000)
        assert next(one["rank"] for one in studio.get("/adapters") if one["name"] == "both") == 6
        chosen(page, "both", "Make it smaller…")
        dialog.get_by_label("Rank").fill("4")
        dialog.get_by_role("button", name="Make it").click()
        expect(page.get_by_text("made smaller from both")).to_be_visible(timeout=60_000)
        chosen(page, "both-r4", "Rename…")
        dialog.get_by_label("Name").fill("small")
        dialog.get_by_role("button", name="Rename").click()
        expect(page.get_by_label("Compare small")).to_be_visible()
        for target in ("GGUF", "Ollama"):
            page.goto(f"{site(studio)}/models")
            chosen(page, "small", "Export…")
            dialog.get_by_role("radio", name=target).check()
            dialog.get_by_text("More", exact=True).click()
            if target == "Ollama":
                dialog.get_by_label("Numbers as").select_option("f16")  # such an adapter is too much for 8 bits
                dialog.get_by_label("Called").fill("little")
                dialog.get_by_label("System prompt").fill("Be brief.")
            assert not faults(page)
            dialog.get_by_role("button", name="Export", exact=True).click()
            heading(page, f"small to {target.lower()}")
            expect(page.get_by_text("It answers as the trained model does.")).to_be_visible(timeout=TRAINED)
            assert page.get_by_text("20 of 20").count() >= 1
        assert list(server.models) == ["little"]
        assert studio.get("/tasks", kind="export")["items"][0]["training_params"]["system"] == "Be brief."
        page.goto(f"{site(studio)}/models")
        page.get_by_role("button", name="Remove little from Ollama").click()
        dialog.get_by_role("button", name="Remove").click()
        expect(page.get_by_text("No model is there yet.")).to_be_visible()
        assert not server.models
        chosen(page, "small", "Remove…")
        dialog.get_by_role("button", name="Remove").click()
        expect(page.get_by_label("Compare small")).to_be_hidden()
        assert not (tmp_path / "home" / "adapters" / "small").exists()


def taken_in(page: Page, folder: Path, names: tuple[str, ...]) -> None:
    """The adapters that another tool left in a folder, marked for what is done with several."""
    page.get_by_role("button", name="From elsewhere").click()
    page.get_by_label("Folder on the studio's machine").fill(str(folder))
    page.get_by_role("button", name="Look").click()
    for _ in names:
        page.get_by_role("button", name="Take in").first.click()
        expect(page.get_by_role("status").filter(has_text="is taken in").last).to_be_visible(timeout=60_000)
    assert not faults(page)
    page.keyboard.press("Escape")
    for name in names:
        page.get_by_label(f"Compare {name}").check()


def chosen(page: Page, adapter: str, action: str) -> None:
    """One of the actions that an adapter's menu has."""
    page.get_by_role("button", name=f"Actions for {adapter}", exact=True).click()
    page.get_by_role("menuitem", name=action).click()
