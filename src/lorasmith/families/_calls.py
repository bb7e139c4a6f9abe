"""What one request to a served model may hold, for each kind of model: the fields of POST /generate.

Descriptions are what the page and the reference show. Pictures and sounds are no fields here once a request has been read: the
server decodes them and hands them on as bytes, in the order in which they were named. Control plane: imports no torch.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lorasmith.core.errors import UsageProblem

MAX_TEXTS = 10_000
MAX_IMAGES = 64
Medium = Annotated[str, Field(max_length=2**28)]
"""A picture or a sound: a data URL, base64, `upload:ID`, or a URL where the server may fetch."""


class Call(BaseModel):
    """The base of all calls."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    adapter: str = Field(
        default="",
        max_length=256,
        description="Name of a loaded adapter; base: the untouched model; empty: the only adapter, or the model",
    )

    def media(self) -> list[str]:
        """The pictures and sounds that it names, in order."""
        return []


class TextCall(Call):
    """A prompt or a conversation to be answered. What is left out is as the model's own generation_config.json says."""

    prompt: str = Field(
        default="", description="A text, answered as the user's one message where the model knows chats"
    )
    messages: list[dict[str, Any]] = Field(default=[], max_length=4096, description="A conversation: role and content")
    raw: bool = Field(default=False, description="Continue the prompt as it is, without a chat template")
    system: str = Field(default="", description="What the model is told beforehand")
    max_tokens: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Tokens to write, at most [what the context leaves]"
    )
    temperature: float | None = Field(
        default=None, ge=0, le=5, description="0 always takes the likeliest token; higher varies more"
    )
    top_p: float | None = Field(
        default=None, gt=0, le=1, description="Only the likeliest tokens that together have this probability"
    )
    top_k: int | None = Field(
        default=None, ge=0, le=1_000_000, description="Only so many of the likeliest tokens; 0: all"
    )
    min_p: float | None = Field(
        default=None, ge=0, le=1, description="Only tokens with this share of the likeliest one's probability"
    )
    repetition_penalty: float | None = Field(
        default=None, ge=0.1, le=10, description="Above 1: what was said before becomes less likely"
    )
    frequency_penalty: float = Field(default=0, ge=-2, le=2, description="For each time that a token was written")
    presence_penalty: float = Field(default=0, ge=-2, le=2, description="Once a token was written")
    stop: list[Annotated[str, Field(min_length=1, max_length=256)]] = Field(
        default=[], max_length=16, description="Texts that end the answer"
    )
    seed: int | None = Field(default=None, ge=0, lt=2**63, description="The same seed draws the same answer")
    logprobs: int | None = Field(
        default=None, ge=0, le=20, description="Log probabilities of each token, and of so many others"
    )
    logit_bias: dict[int, Annotated[float, Field(ge=-100, le=100)]] = Field(
        default={}, max_length=1024, description="Added to the scores of token ids"
    )
    json_schema: dict[str, Any] | bool | None = Field(
        default=None, description="The answer is JSON of this schema; true: any JSON"
    )
    tools: list[dict[str, Any]] = Field(default=[], max_length=128, description="Functions that the model may call")
    tool_choice: Literal["auto", "none", "required"] | str = Field(
        default="auto", description="Whether it may, or which one it must call"
    )
    reasoning_mode: Literal["auto", "on", "off"] = Field(
        default="auto", description="Whether a model that can think does"
    )
    max_thinking_tokens: int | None = Field(default=None, ge=0, description="Tokens to think with, at most")
    max_answer_tokens: int | None = Field(default=None, ge=1, description="Tokens of the answer proper, at most")
    show_thinking: bool = Field(default=True, description="Whether its thoughts are sent")
    template_options: dict[str, str | bool | int | float] = Field(
        default={}, max_length=16, description="Switches of the chat template"
    )
    stream: bool = Field(default=False, description="Send the answer piece by piece")

    @model_validator(mode="after")
    def _has_something(self) -> TextCall:
        if bool(self.prompt) == bool(self.messages):
            raise ValueError("give either a prompt or messages")
        for index, tool in enumerate(self.tools):
            function: Any = tool.get("function")
            if not isinstance(function, dict) or not isinstance(function.get("name"), str):  # pyright: ignore[reportUnknownMemberType]
                raise ValueError(f"tools[{index}] has no function with a name")  # noqa: TRY004  what pydantic takes
        return self


class VisualTextCall(TextCall):
    """A text about pictures. Pictures stand here, or inside the messages as parts of a content."""

    images: list[Medium] = Field(default=[], max_length=MAX_IMAGES, description="Pictures, before the last question")

    @model_validator(mode="before")
    @classmethod
    def _lift_images(cls, fields: Any) -> Any:
        """Pictures inside the messages, as OpenAI writes them, join `images`; `{"type": "image"}` keeps their places."""
        if not isinstance(fields, dict) or not isinstance(fields.get("messages"), list):
            return fields
        lifted: list[str] = []
        messages = [_without_images(message, lifted) for message in fields["messages"]]
        return {**fields, "messages": messages, "images": [*lifted, *(fields.get("images") or [])]}

    def media(self) -> list[str]:
        return self.images


def _without_images(message: Any, lifted: list[str]) -> Any:
    """A message whose pictures have been moved to `lifted`."""
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return message
    parts: list[Any] = []
    for part in message["content"]:
        if isinstance(part, dict) and part.get("type") in ("image_url", "input_image", "image"):
            named = part.get("image_url", part.get("image"))
            source = named.get("url") if isinstance(named, dict) else named
            if isinstance(source, str):
                lifted.append(source)
            parts.append({"type": "image"})
        else:
            parts.append(part)
    return {**message, "content": parts}


class EmbeddingCall(Call):
    """Texts, or pictures where the model embeds them, to be turned into vectors."""

    texts: list[str] = Field(default=[], max_length=MAX_TEXTS, description="Texts, one vector each")
    images: list[Medium] = Field(
        default=[], max_length=MAX_IMAGES, description="Pictures, one vector each, after the texts'"
    )
    normalize: bool = Field(default=True, description="Vectors of length 1")
    dimensions: int | None = Field(default=None, ge=1, description="Only the first so many numbers (Matryoshka models)")
    prompt_name: str = Field(
        default="", description="A prompt of the model's own that is put before each text: query, document …"
    )
    encoding: Literal["float", "base64"] = Field(default="float", description="Numbers, or base64 of 32-bit floats")

    def media(self) -> list[str]:
        return self.images

    @model_validator(mode="after")
    def _has_something(self) -> EmbeddingCall:
        if not self.texts and not self.images:
            raise ValueError("give texts (or images, where the model embeds them)")
        return self


class ClassifierCall(Call):
    """Texts to be labelled."""

    texts: list[str] = Field(min_length=1, max_length=MAX_TEXTS, description="Texts, labelled one by one")
    text_pairs: list[str] = Field(
        default=[], max_length=MAX_TEXTS, description="The second half of each, for models that judge pairs"
    )
    top_k: int = Field(default=5, ge=1, le=1000, description="So many labels, the likeliest first")


class VisionCall(Call):
    """Pictures to be labelled, cut into masks, or searched."""

    images: list[Medium] = Field(min_length=1, max_length=MAX_IMAGES, description="Pictures")
    top_k: int = Field(default=5, ge=1, le=1000, description="So many labels, the likeliest first")
    threshold: float = Field(default=0.5, ge=0, le=1, description="Boxes and masks that are less sure are left out")
    words: list[str] = Field(
        default=[], max_length=1000, description="What to look for, for models that find what words describe"
    )
    points: list[tuple[float, float]] = Field(
        default=[], max_length=100, description="Pixels inside what is to be cut out (SAM)"
    )

    def media(self) -> list[str]:
        return self.images


class DocumentCall(Call):
    """Pages to be read."""

    images: list[Medium] = Field(default=[], max_length=MAX_IMAGES, description="Pages as pictures")
    prompt: str = Field(default="", description="What the model was trained to be asked: a task prompt, a question")
    words: list[str] = Field(
        default=[], max_length=10_000, description="The page's words, for models that are given them"
    )
    boxes: list[tuple[int, int, int, int]] = Field(
        default=[], max_length=10_000, description="Where each word stands, 0 to 1000"
    )
    max_tokens: int | None = Field(default=None, ge=1, le=100_000, description="Tokens to write, at most")

    def media(self) -> list[str]:
        return self.images

    @model_validator(mode="after")
    def _has_something(self) -> DocumentCall:
        if not self.images and not self.words:
            raise ValueError("give a page: images, or words with their boxes")
        if self.boxes and len(self.boxes) != len(self.words):
            raise ValueError(f"there are {len(self.words)} words and {len(self.boxes)} boxes")
        return self


class AudioCall(Call):
    """A sound to be written down or labelled, or a text to be spoken."""

    audio: Medium = Field(default="", description="A sound file: wav, flac, ogg, mp3")
    text: str = Field(default="", description="What is to be said, for models that speak")
    language: str = Field(
        default="", max_length=64, description="The language that is spoken: en, ru, zh …; empty: as the model hears it"
    )
    task: Literal["transcribe", "translate"] = Field(
        default="transcribe", description="Write down, or translate into English"
    )
    timestamps: Literal["none", "segment", "word"] = Field(default="segment", description="Times of segments or words")
    prompt: str = Field(default="", description="Words that stand before, or a question about the sound")
    max_tokens: int | None = Field(default=None, ge=1, le=100_000, description="Tokens to write, at most")
    top_k: int = Field(default=5, ge=1, le=1000, description="So many labels, the likeliest first")
    voice: str = Field(default="", max_length=256, description="A voice of the model's own")
    speed: float = Field(default=1.0, ge=0.25, le=4, description="How quickly it speaks, where the model can")
    seed: int | None = Field(default=None, ge=0, lt=2**63, description="The same seed speaks the same way")

    def media(self) -> list[str]:
        return [self.audio] if self.audio else []

    @model_validator(mode="after")
    def _has_something(self) -> AudioCall:
        if not self.audio and not self.text:
            raise ValueError("give audio, or a text to be spoken")
        return self


class DiffusionCall(Call):
    """Pictures to be drawn."""

    prompt: str = Field(default="", description="What is to be seen")
    negative_prompt: str = Field(default="", description="What is not to be seen")
    steps: int = Field(default=25, ge=1, le=1000, description="More steps are finer and slower")
    guidance_scale: float | None = Field(default=None, ge=0, le=100, description="How closely it follows the prompt")
    width: int | None = Field(default=None, ge=8, le=8192, description="In pixels [the model's own]")
    height: int | None = Field(default=None, ge=8, le=8192, description="In pixels [the model's own]")
    seed: int | None = Field(
        default=None, ge=0, lt=2**63, description="The same seed draws the same picture; none: at random"
    )
    scheduler: str = Field(default="", max_length=64, description="How noise is taken away [the model's own]")
    n: int = Field(default=1, ge=1, le=16, description="Number of pictures")
    image: Medium = Field(default="", description="A picture to start from")
    mask_image: Medium = Field(default="", description="White, or transparent, where it is to be drawn anew")
    strength: float = Field(default=0.8, gt=0, le=1, description="How far it may go from the picture it starts from")
    preview_every: int = Field(
        default=0, ge=0, le=1000, description="A small picture after every so many steps; 0: none"
    )

    def media(self) -> list[str]:
        return [one for one in (self.image, self.mask_image) if one]

    @model_validator(mode="after")
    def _has_something(self) -> DiffusionCall:
        if self.mask_image and not self.image:
            raise ValueError("a mask needs the picture that it belongs to")
        return self


class Answer(NamedTuple):
    """What came of a call. In `value`, `{"$blob": i, "type": "image/png"}` stands for `blobs[i]`."""

    value: dict[str, Any]
    blobs: list[bytes] = []  # noqa: RUF012  a NamedTuple's default, which nobody adds to


class Cancelled(Exception):
    """Nobody waits for the answer any more. Raised by `tell`, to be let through."""


class Tell(Protocol):
    """Says how far a call is, and perhaps shows a small picture. Raises Cancelled."""

    def __call__(self, *, done: int, total: int, blob: bytes = b"") -> None: ...


def blob(blobs: list[bytes], data: bytes, media_type: str) -> dict[str, Any]:
    """Add `data` to `blobs`; what stands for it in an answer's value."""
    blobs.append(data)
    return {"$blob": len(blobs) - 1, "type": media_type}


def untold(*, done: int, total: int, blob: bytes = b"") -> None:
    """A `Tell` for calls that nobody watches."""


def refuse(what: str, fix: str = "") -> UsageProblem:
    """A call that this model cannot answer."""
    return UsageProblem(what, fix=fix)
