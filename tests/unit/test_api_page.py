"""An API's own page: what it tells of a route, and that nothing of it becomes code (SEC-6, STU-12)."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query
from pydantic import BaseModel, Field

from lorasmith.serve import api_page

HOSTILE = "<script>alert(1)</script><img src=//evil.example onerror=alert(1)> `<b>` {{ 7 * 7 }}"


class Part(BaseModel):
    weight: float = Field(default=0.5, gt=0, le=1, description="Share of it")


class Asked(BaseModel):
    """What is to be made."""

    name: str = Field(min_length=1, max_length=20, description=HOSTILE)
    kind: Literal["small", "<i>"] = "small"
    parts: list[Part] = []


class Read(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def described(app: FastAPI) -> Read:
    return Read(api_page.page(app.openapi()))


def test_a_route_is_told_with_what_it_takes_and_gives() -> None:
    """STU-12: parameters, fields of the body with types, defaults and limits, answers; shapes within shapes are linked."""
    app = FastAPI(title="a shop")

    @app.post("/things/{number}", status_code=201, tags=["things"])
    def make(number: int, asked: Asked, count: Annotated[int, Query(ge=1, le=9, description="How many")] = 3) -> Part:
        """Make a thing.

        It takes a while.
        """
        raise NotImplementedError

    read = described(app)
    words = " ".join(read.text.split())
    for told in (
        "a shop", "things", "POST/things/{number}Make a thing.", "It takes a while.", "number integer required",
        "count integer default 3 ≥ 1, ≤ 9How many", "name string required 1 characters or more, at most 20 characters",
        'default "small"', "list of Part", "weight number default 0.5 > 0, ≤ 1Share of it", "201 Part",
    ):  # fmt: skip
        assert told.replace(" ", "") in words.replace(" ", ""), (told, words)
    links = {attributes["href"] for tag, attributes in read.tags if tag == "a"}
    places = {f"#{attributes['id']}" for _, attributes in read.tags if "id" in attributes}
    assert {"#shape-Asked", "#shape-Part", "#tag-things"} <= links <= places


def test_a_body_may_bring_its_own_shapes() -> None:
    """SRV-1: what a model's one call takes is no shape of the API itself."""
    schema = Asked.model_json_schema()
    told = {"requestBody": {"content": {"application/json": {"schema": schema}}}}
    page = api_page.page({"info": {"title": "t", "version": "1"}, "paths": {"/generate": {"post": told}}})
    assert 'id="shape-Part"' in page
    assert "Share of it" in page


def test_nothing_that_is_told_becomes_code() -> None:
    """SEC-6: hostile titles, descriptions, names and defaults stay text; the page has no script and loads nothing."""
    app = FastAPI(title=HOSTILE, description=HOSTILE)

    @app.get("/a", tags=[HOSTILE], summary=HOSTILE, description=HOSTILE, responses={404: {"description": HOSTILE}})
    def one(asked: Annotated[str, Query(alias=HOSTILE, description=HOSTILE)] = HOSTILE) -> dict[str, Asked]:
        raise NotImplementedError

    read = described(app)
    assert read.text.count("<script>alert(1)</script>") >= 8
    assert "49" not in read.text
    assert {tag for tag, _ in read.tags} <= {
        "html", "head", "meta", "title", "link", "style", "body", "main", "h1", "h2", "h3", "small", "p", "nav", "a", "section",
        "details", "summary", "b", "code", "span", "div", "table", "tr", "th", "td",
    }  # fmt: skip
    assert not loaded(read)
    assert not [name for _, attributes in read.tags for name in attributes if name.startswith("on") or name == "style"]


def loaded(read: Read) -> list[Any]:
    """What a browser would fetch from elsewhere."""
    asking = [
        attributes.get(name) or ""
        for _, attributes in read.tags
        for name in ("src", "href", "action", "srcset", "data")
    ]
    return [one for one in asking if not one.startswith(("#", "data:")) and one]
