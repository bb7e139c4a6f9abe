"""The model page in a browser: on the demo model behind the real server, and on canned answers for what the demo cannot do."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.e2e
pytest.importorskip("playwright", reason="playwright is not installed: pip install playwright")
from playwright.sync_api import Browser, Page, Route, expect  # noqa: E402
from tests.e2e.pages import answers, chromium, file_of, picture, sound, watched  # noqa: E402

READY_SECONDS = 120
INVOICE = "Extract the invoice as JSON.\nInvoice\nSum to pay = 9675.92 GBP\nVendor = Ember Foods"
HOSTILE = """Text <script>window.hit = 1</script> <img src=x onerror="window.hit = 2"> <svg onload="window.hit = 3"></svg>

[link](javascript:window.hit=4) [good](https://example.com) ![spy](https://example.com/spy.png) <iframe srcdoc="<script>parent.hit=5</script>"></iframe>

```html"><img src=x onerror=window.hit=6>
</code></pre><script>window.hit = 7</script>
```
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the demo model is served."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = {**os.environ, "LORASMITH_HOME": str(tmp_path_factory.mktemp("home"))}
    command = [sys.executable, "-m", "lorasmith", "serve", "demo", "--no-browser", "--port", str(port)]
    process = subprocess.Popen(command, env=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    where = f"http://127.0.0.1:{port}/"
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not is_ready(where):
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server did not become ready"
            time.sleep(0.2)
        yield where
    finally:
        process.terminate()
        process.wait(60)


def is_ready(where: str) -> bool:
    try:
        with urllib.request.urlopen(f"{where}health", timeout=5) as answer:  # noqa: S310  our own server
            return answer.status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A watched page. Tests here let requests fail on purpose, which the console tells: of its errors only the policy's count."""
    with watched(browser, address, errors=("Content Security",)) as opened:
        yield opened


def ask(page: Page, text: str) -> None:
    page.get_by_label("Write a message").fill(text)
    page.keyboard.press("Enter")


def serve_as(page: Page, events: list[dict[str, Any]], **changed: Any) -> None:
    """Let the server seem to serve another model: /info with changes, and every call answered by `events`."""

    def info(route: Route) -> None:
        known = route.fetch().json()
        capabilities = {**known["capabilities"], **changed.get("capabilities", {})}
        route.fulfill(json={**known, "id": "other", **changed, "capabilities": capabilities})

    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    page.route("**/info", info)
    page.route_web_socket("**/ws", lambda web_socket: web_socket.close())
    page.route("**/generate/stream", lambda route: route.fulfill(body=body, content_type="text/event-stream"))
    page.reload()


def result(value: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"progress": {"done": 1, "total": 2}, "finished": False}, {"finished": True, "result": value}]


def drop_picture(page: Page) -> None:
    page.locator("input[type=file]").first.set_input_files(file_of(picture()))


def test_an_answer_streams_and_the_conversation_is_kept(page):
    """UI-1, UI-6: Enter sends, the answer comes over the WebSocket, the token counter counts, and a reload loses nothing."""
    with page.expect_websocket() as opened:
        ask(page, INVOICE)
    expect(answers(page)).to_have_count(1)
    expect(answers(page).first).to_contain_text("tokens/s")
    assert opened.value.url.endswith("/ws")
    expect(page.get_by_title("of the context")).to_contain_text("/ 1,024")
    text = answers(page).first.inner_text()
    page.reload()
    expect(answers(page).first).to_have_text(text, use_inner_text=True)


def test_branches_and_history(page, tmp_path):
    """UI-1: another answer and an edited question are branches; conversations are renamed, deleted, brought back, exported, imported."""
    ask(page, INVOICE)
    page.get_by_label("Answer again").click()
    expect(answers(page).first).to_contain_text("2/2")
    page.get_by_label("Earlier version").click()
    expect(answers(page).first).to_contain_text("1/2")
    page.get_by_label("Edit", exact=True).click()
    page.get_by_label("Edit", exact=True).fill("Another question")
    page.keyboard.press("Enter")
    expect(page.get_by_label("You", exact=True)).to_contain_text("Another question")
    expect(page.get_by_label("You", exact=True)).to_contain_text("2/2")
    expect(answers(page)).to_have_count(1)

    rows = page.get_by_role("navigation").get_by_role("listitem")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Export", exact=True).click()
    saved.value.save_as(tmp_path / "history.json")
    page.locator("input[type=file]").first.set_input_files(tmp_path / "history.json")
    expect(rows).to_have_count(2)
    rows.first.hover()
    rows.first.get_by_role("button").last.click()
    page.get_by_role("menuitem", name="Delete").click()
    expect(rows).to_have_count(1)
    page.get_by_role("button", name="Undo").click()
    expect(rows).to_have_count(2)


def test_nothing_in_an_answer_runs(page, tmp_path):
    """UI-1, SEC-6: script, handlers, frames and remote pictures in an answer are text or links, and the policy has nothing to stop."""
    messages = {
        "q": {"id": "q", "parent": None, "role": "user", "text": HOSTILE, "created": 1},
        "a": {"id": "a", "parent": "q", "role": "assistant", "text": HOSTILE, "thinking": HOSTILE, "created": 2},
    }
    history = {
        "format": "lorasmith-conversations",
        "conversations": [{"title": HOSTILE, "messages": messages, "leaf": "a"}],
    }
    (tmp_path / "history.json").write_text(json.dumps(history))
    page.locator("input[type=file]").first.set_input_files(tmp_path / "history.json")
    page.get_by_role("navigation").get_by_role("listitem").get_by_role("button").first.click()
    page.get_by_role("button", name="Thoughts").click()
    expect(answers(page)).to_contain_text("<script>window.hit = 1</script>")
    page.wait_for_timeout(500)
    assert page.evaluate("window.hit") is None
    bad = ".prose :is(script, img, iframe, style, form, [onerror], [onload], a[href^=javascript])"
    assert page.locator(bad).count() == 0
    link = page.locator(".prose").get_by_role("link", name="good").first
    assert "noopener" in str(link.get_attribute("rel"))


def test_thoughts_are_folded_and_counted_apart(page):
    """UI-2"""
    usage = {"prompt_tokens": 5, "thinking_tokens": 7, "answer_tokens": 3}
    events = [
        {"token": "Let me think", "type": "thinking", "finished": False},
        {"token": "It is **four**.", "type": "answer", "finished": False},
        {"token": "", "finished": True, "finish_reason": "stop", "usage": usage, "seconds": 1.0},
    ]
    serve_as(page, events, capabilities={"reasoning": True})
    page.get_by_role("button", name="Thinking").click()
    page.get_by_role("menuitemradio", name="Think: on").click()
    with page.expect_request("**/generate/stream") as asked:
        ask(page, "2 + 2?")
    assert asked.value.post_data_json["reasoning_mode"] == "on"
    expect(answers(page)).to_contain_text("It is four.")
    thoughts = page.get_by_role("button", name="Thoughts")
    expect(thoughts).to_contain_text("7 tokens")
    expect(page.get_by_text("Let me think")).to_be_hidden()
    thoughts.click()
    expect(page.get_by_text("Let me think")).to_be_visible()


def test_base_and_adapter_side_by_side(page):
    """UI-1: one question, two columns, and the conversation goes on from the chosen one."""
    events = [{"token": "An answer", "type": "answer", "finished": False}, {"finished": True, "finish_reason": "stop"}]
    serve_as(page, events, adapters=[{"name": "invoices", "rank": 8}])
    page.get_by_role("button", name="Compare").click()
    asked: list[Any] = []
    page.on("request", lambda sent: asked.append(sent.post_data_json) if "stream" in sent.url else None)
    ask(page, "Hello")
    expect(answers(page)).to_have_count(2)
    assert {call["adapter"] for call in asked} == {"base", "invoices"}
    page.get_by_role("button", name="Go on with this").click()
    expect(answers(page).nth(1)).to_contain_text("Goes on from here")


def test_drawing(page):
    """UI-3: progress, the picture with its parameters, and the gallery."""
    image = {"data": base64.b64encode(picture()).decode(), "type": "image/png", "seed": 5}
    serve_as(page, result({"images": [image], "parameters": {"steps": 4, "guidance_scale": 7.5}}), family="diffusion")
    page.get_by_label("Prompt", exact=True).fill("a hill")
    page.get_by_role("button", name="Draw").click()
    shown = page.get_by_role("figure")
    expect(shown).to_contain_text("a hill")
    expect(shown).to_contain_text("Guidance7.50")
    page.reload()
    expect(page.get_by_role("list", name="Pictures drawn so far").get_by_role("listitem")).to_have_count(1)


def test_embeddings(page, tmp_path):
    """UI-4: map, search, heat map, and a file that NumPy reads."""
    import numpy

    vectors = [[1.0, 0.0, 0.2], [0.9, 0.1, 0.0], [0.0, 1.0, 0.5]]
    serve_as(page, result({"embeddings": vectors, "dimensions": 3}), family="embedding")
    page.get_by_role("textbox", name="Texts").fill("cat\nkitten\nbank")
    page.get_by_role("button", name="Embed").click()
    expect(page.get_by_role("img", name="3 texts as points")).to_be_visible()
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as saved:
        page.get_by_role("menuitem", name="NPY").click()
    saved.value.save_as(tmp_path / "vectors.npy")
    numpy.testing.assert_allclose(numpy.load(tmp_path / "vectors.npy"), vectors, atol=1e-6)
    page.get_by_role("tab", name="Search").click()
    page.get_by_label("What are you looking for?").fill("cat")
    page.keyboard.press("Enter")
    expect(page.locator("ol li").first).to_contain_text("cat")
    page.get_by_role("tab", name="Heat map").click()
    expect(page.get_by_role("img", name="Likeness of 3 texts")).to_be_visible()


def test_pictures_with_boxes(page):
    """UI-5: what was found is drawn over the picture and can be hidden."""
    seen = {"width": 60, "height": 40, "labels": [], "boxes": [{"label": "cat", "score": 0.9, "box": [5, 5, 30, 30]}]}
    serve_as(page, result({"results": [seen]}), family="vision")
    drop_picture(page)
    over = page.get_by_role("img", name="Found in the picture: 1")
    expect(over.locator("rect").first).to_have_attribute("width", "25")
    page.get_by_label("Hide: cat").click()
    expect(page.get_by_role("img", name="Found in the picture: 0")).to_be_visible()


def test_documents(page):
    """UI-5: fields stand in a table, and a field shows its words on the page."""
    word = {"text": "12.50", "box": [100, 100, 300, 150], "label": "TOTAL", "score": 0.9}
    serve_as(
        page, result({"results": [{"text": "", "fields": {"total": "12.50"}, "words": [word]}]}), family="document"
    )
    drop_picture(page)
    page.get_by_role("button", name="Read", exact=True).click()
    row = page.get_by_role("row", name="total 12.50")
    row.hover()
    expect(page.locator("rect[fill-opacity]").first).to_have_attribute("fill-opacity", "0.45")


def test_sounds(page):
    """UI-5: a sound is written down, and its times can be clicked."""
    segments = [
        {"start": 0, "end": 1, "text": "Good morning to you."},
        {"start": 1, "end": 3, "text": "This is a test."},
    ]
    heard = {"text": "Good morning to you. This is a test.", "segments": segments, "duration": 3}
    serve_as(page, result(heard), family="audio", capabilities={"audio_in": True})
    page.locator("input[type=file]").set_input_files(file_of(sound(), "a.wav", "audio/wav"))
    page.get_by_role("button", name="This is a test.").click()
    expect(page.get_by_role("slider", name="Position")).not_to_have_attribute("aria-valuetext", "0:00.0")


def test_labels(page):
    """UI-5: labels with their probabilities, and names marked in the text, whose offsets count characters."""
    entity = {"label": "LOC", "score": 0.99, "start": 2, "end": 8, "text": "Berlin"}
    serve_as(
        page,
        result({"results": [{"labels": [{"label": "joy", "score": 0.75}], "entities": [entity]}]}),
        family="classifier",
    )
    page.get_by_role("textbox", name="Texts").fill("😀 Berlin")
    page.get_by_role("button", name="Label", exact=True).click()
    expect(page.get_by_role("article")).to_contain_text("75.0 %")
    expect(page.locator("mark")).to_have_text("Berlin LOC")


@pytest.mark.parametrize("with_events", [True, False])
def test_without_a_web_socket(page, with_events):
    """UI-6: the answer comes as server-sent events, and where these are not let through, in one piece."""
    page.route_web_socket("**/ws", lambda web_socket: web_socket.close())
    if not with_events:
        page.route("**/generate/stream", lambda route: route.fulfill(status=405, json={"error": {"message": "no"}}))
    page.reload()
    ask(page, INVOICE)
    expect(answers(page).first).to_contain_text("tokens/s")
    page.get_by_label("Server:").click()
    expect(page.get_by_role("menu")).to_contain_text("Server-sent events" if with_events else "Plain requests")


def test_a_server_that_goes_away_and_comes_back(page):
    """UI-6: the page says so, keeps what was written, and connects again by itself."""
    ask(page, INVOICE)
    expect(answers(page)).to_have_count(1)
    page.context.set_offline(True)
    expect(page.get_by_text("The server does not answer.")).to_be_visible(timeout=20_000)
    expect(answers(page)).to_have_count(1)
    page.context.set_offline(False)
    expect(page.get_by_text("The server does not answer.")).to_be_hidden(timeout=20_000)


def test_a_key_is_asked_for(page):
    """UI-6, SRV-12: once, on 401, and kept for the tab alone."""
    needed = {"error": {"message": "A key is needed", "code": "invalid_api_key"}}

    def info(route: Route) -> None:
        has_key = route.request.headers.get("authorization") == "Bearer sesame"
        route.continue_() if has_key else route.fulfill(status=401, json=needed)

    page.route("**/info", info)
    page.reload()
    for key in ("wrong", "sesame"):
        page.get_by_role("textbox", name="API key").fill(key)
        page.keyboard.press("Enter")
        if key == "wrong":
            expect(page.get_by_text("The server does not know this key.")).to_be_visible()
    expect(page.get_by_label("Write a message")).to_be_visible()
    assert page.evaluate("sessionStorage['lorasmith.key']") == "sesame"
    assert "sesame" not in json.dumps(page.evaluate("({ ...localStorage })"))


@pytest.mark.parametrize(("language", "greeting"), [("en", "What shall"), ("ru", "О чём"), ("zh", "想聊点什么")])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_languages_and_themes_on_a_phone(browser, address, language, greeting, theme):
    """UI-6: three languages, two themes, nothing wider than a phone."""
    context = browser.new_context(locale=language, color_scheme=theme, viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(address)
    expect(page.get_by_text(greeting)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    lightness = "getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/)[0]"
    assert (float(page.evaluate(lightness)) < 0.5) == (theme == "dark")
    context.close()
