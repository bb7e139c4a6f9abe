"""What may be asked of a studio."""

from __future__ import annotations

from pydantic import Field

from lorasmith.serve.spec import Limits


class StudioSpec(Limits):
    """A studio as asked for. Command-line options are drawn from it."""

    host: str = Field(default="127.0.0.1", description="Address; any but this machine's own needs a key")
    port: int = Field(default=7860, ge=0, le=65_535, description="Port; 0 takes a free one")
    database: str = Field(default="", description="Database, as SQLAlchemy writes its URL [settings; SQLite in home]")
    max_body_mb: int = Field(default=10_000, ge=1, le=1_000_000, description="Size of an upload, at most, MB")
    body_seconds: int = Field(default=3600, ge=1, le=86_400, description="Time for an upload, at most, seconds")
    allow_host: tuple[str, ...] = Field(default=(), description="A name under which it may be called; may be repeated")
    add_account: str = Field(
        default="",
        max_length=100,
        pattern=r"^[A-Za-z0-9._@-]*$",
        description="Make an account, whose token is printed once",
    )
    remove_account: str = Field(default="", max_length=100, description="Take an account and its sessions away")
    no_browser: bool = Field(default=False, description="Open no browser")
