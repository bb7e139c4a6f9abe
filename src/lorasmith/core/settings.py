"""The user's settings: defaults < `config.yaml` in home < environment < flags (INS-2).

Every field is documented where it stands; an unknown key is an error that names the line and the nearest known one.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from lorasmith.core import paths
from lorasmith.core.errors import UsageProblem
from lorasmith.core.registry import nearest

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")  # in capitals: no key that was put here by mistake looks so
JudgeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


def _require_no_link_local(host: str | None) -> None:
    """Raises ValueError for 169.254.0.0/16 and fe80::/10: behind such addresses clouds keep the keys of a machine (SEC-3)."""
    try:
        is_one = ipaddress.ip_address(host or "").is_link_local
    except ValueError:
        return  # a name
    if is_one:
        raise ValueError("no service of yours lies at a link-local address")


class JudgeEntry(BaseModel):
    """A model that marks answers. No key stands here: only the name of the variable that holds it (SEC-5)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: str = Field(min_length=1, description="Who provides it: openai, gemini, gigachat, anthropic, local")
    base_url: str = Field(default="", description="Address [the provider's own]")
    model: str = Field(default="", description="Model that judges [the provider's usual one]")
    key_env: str = Field(default="", description="Variable with the key [the provider's own, for its own address]")
    max_calls: int | None = Field(default=None, ge=1, description="Requests in one run, at most")
    max_tokens: int | None = Field(default=None, ge=1, description="Tokens in one run, read and written, at most")
    max_cost: float | None = Field(default=None, gt=0, description="Money for one run, at most; needs the prices")
    price_in: float | None = Field(default=None, ge=0, description="Price of a million tokens read")
    price_out: float | None = Field(default=None, ge=0, description="Price of a million tokens written")
    concurrency: int = Field(default=4, ge=1, le=64, description="Requests under way at the same time, at most")
    answer_seconds: float | None = Field(
        default=None, gt=0, le=3600, description="Patience with one request [60; for a local model 600]"
    )
    max_seconds: float = Field(default=1800, gt=0, le=604_800, description="Time for one run, at most")
    tries: int = Field(default=6, ge=1, le=20, description="Tries of a request that the provider puts off")
    options: dict[str, Any] = Field(default_factory=dict, description="What only this provider knows")

    @field_validator("base_url")
    @classmethod
    def _address(cls, value: str) -> str:
        """Without the last stroke. Raises ValueError for what is no plain web address, without repeating it."""
        parts = urlsplit(value.strip())
        if value and (parts.port == 0 or parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("an address begins with https:// or http://")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(
                "an address holds no user, no password and no '?': keys are read from the variable key_env"
            )
        _require_no_link_local(parts.hostname)
        return value.strip().rstrip("/")

    @field_validator("key_env")
    @classmethod
    def _variable(cls, value: str) -> str:
        if value and not _VARIABLE.fullmatch(value):
            raise ValueError("this is the name of a variable, such as MY_JUDGE_KEY, and never the key itself")
        return value

    @model_validator(mode="after")
    def _can_count_money(self) -> JudgeEntry:
        if self.max_cost is not None and (self.price_in is None or self.price_out is None):
            raise ValueError("max_cost needs price_in and price_out, the prices of a million tokens")
        return self


class Settings(BaseModel):
    """All settings. Paths may hold `~` and variables; secrets are never shown."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    huggingface_token: SecretStr | None = Field(default=None, description="Token for private and gated models")
    models_dir: Path = Field(default_factory=lambda: paths.home() / "models", description="Installed models")
    adapters_dir: Path = Field(default_factory=lambda: paths.home() / "adapters", description="Trained adapters")
    cache_dir: Path = Field(default_factory=lambda: paths.home() / "cache", description="Downloads and prepared data")
    logs_dir: Path = Field(default_factory=lambda: paths.home() / "logs", description="Logs and saved checks")
    default_device: Literal["auto", "cuda", "cpu", "mps"] = Field(default="auto", description="Where models run")
    max_download_workers: int = Field(default=4, ge=1, le=32, description="Files fetched side by side")
    resume_downloads: bool = Field(default=True, description="Go on with verified bytes of a broken download")
    min_disk_space_gb: float = Field(default=5, ge=0, description="Free disk below which an install is refused, GB")
    warn_disk_space_gb: float = Field(default=20, ge=0, description="Free disk below which an install warns, GB")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="What is logged")
    log_rotation: str = Field(
        default="10MB", pattern=r"^\d+ ?[KMG]B$", description="Size at which a log is turned over"
    )
    database_url: str = Field(default="", description="SQLAlchemy URL; empty is the SQLite file in home")
    package_installer: Literal["uv", "pip"] = Field(default="uv", description="What makes environments")
    default_profile: str = Field(default="universal", description="LoRA profile where none is named")
    judges: dict[JudgeName, JudgeEntry] = Field(default_factory=dict, description="LLM judges by id")
    search_space: dict[str, str] = Field(
        default_factory=dict, description="What a search varies, by name: rank, learning_rate … (lorasmith tune --help)"
    )
    trackers: list[str] = Field(
        default_factory=lambda: ["tensorboard"], description="Where metrics go: tensorboard, mlflow, wandb …"
    )
    mlflow_tracking_uri: str = Field(default="http://127.0.0.1:5000", description="Where MLflow's server is")
    mlflow_experiment_name: str = Field(default="LoRA_Fine_Tuning", description="Experiment in MLflow that runs go to")

    @field_validator("huggingface_token")
    @classmethod
    def _clean(cls, value: SecretStr | None) -> SecretStr | None:
        """Without the line end that `$(cat file)` or an editor left. Raises ValueError for what no header could carry."""
        token = value.get_secret_value().strip() if value else ""
        if not token.isascii() or any(not sign.isprintable() or sign == " " for sign in token):
            raise ValueError("a token holds letters, digits and '_' only")
        return SecretStr(token) if token else None

    @field_validator("mlflow_tracking_uri")
    @classmethod
    def _reachable(cls, value: str) -> str:
        try:
            host = urlsplit(value).hostname
        except ValueError as error:
            raise ValueError("this is no address") from error
        _require_no_link_local(host)
        return value

    @field_validator("judges", "search_space", mode="before")
    @classmethod
    def _table(cls, value: Any) -> Any:
        """From the environment it comes as a text. Raises ValueError, which does not repeat it."""
        try:
            return yaml.safe_load(value) if isinstance(value, str) else value
        except yaml.YAMLError:
            raise ValueError("this is no YAML") from None

    @field_validator("models_dir", "adapters_dir", "cache_dir", "logs_dir", mode="before")
    @classmethod
    def _expand(cls, value: str | Path) -> Path:
        return Path(os.path.expandvars(str(value))).expanduser()


def config_path() -> Path:
    return paths.home() / "config.yaml"


def _lines_of(text: str) -> dict[str, int]:
    """The line, counted from 1, on which each top-level key stands."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: key.start_mark.line + 1 for key, _ in node.value}


def _yaml_trouble(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return f"Line {error.problem_mark.line + 1}: {error.problem}."
    return type(error).__name__


def _from_file(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The keys of the file, and where each stands, for messages."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}, {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"The settings file '{path}' cannot be read", why=str(error)) from error
    try:
        values = yaml.safe_load(text)
        lines = _lines_of(text)
    except yaml.YAMLError as error:
        # `str(error)` and the traceback would quote the line, and a token may stand there.
        raise UsageProblem(f"The settings file '{path}' is no YAML", why=_yaml_trouble(error)) from None
    if values is None:
        return {}, {}
    if not isinstance(values, dict):
        raise UsageProblem(f"The settings file '{path}' must hold 'key: value' lines")
    return values, {key: f"{path}, line {line}" for key, line in lines.items()}


def _from_environment() -> tuple[dict[str, str], dict[str, str]]:
    values: dict[str, str] = {}
    origins: dict[str, str] = {}
    for field in Settings.model_fields:
        variable = f"LORASMITH_{field.upper()}"
        if variable in os.environ:
            values[field], origins[field] = os.environ[variable], f"environment variable {variable}"
    if os.environ.get("HF_TOKEN"):
        values["huggingface_token"], origins["huggingface_token"] = os.environ["HF_TOKEN"], "HF_TOKEN"
    return values, origins


def _gathered(flags: dict[str, Any], path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """What is set anywhere, and where."""
    values, origins = _from_file(path)
    for more, where in (_from_environment(), (flags, dict.fromkeys(flags, "the command line"))):
        values.update(more)
        origins.update(where)
    return values, origins


def origin(key: str) -> str:
    """Where a setting in force comes from: a file with its line, a variable; empty for a default. Raises UsageProblem."""
    return _gathered({}, config_path())[1].get(key, "")


def load(flags: dict[str, Any] | None = None, *, path: Path | None = None) -> Settings:
    """Settings in force. Raises UsageProblem that names key, place and cure."""
    values, origins = _gathered(flags or {}, path or config_path())
    for key in values:
        if key not in Settings.model_fields:
            raise UsageProblem(
                f"Unknown setting '{key}' ({origins.get(key, 'unknown place')})",
                fix=nearest(str(key), Settings.model_fields),
            )
    try:
        return Settings(**values)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        key = str(problem["loc"][0])
        raise UsageProblem(
            f"The setting '{_place(problem['loc'])}' is wrong ({origins.get(key, 'default')})", **_told(problem)
        ) from None


def _place(loc: tuple[int | str, ...]) -> str:
    """The key inside a setting that holds others: `judges.mine.tries`."""
    return ".".join(str(part) for part in loc if part != "[key]")


def _told(problem: Any) -> dict[str, str]:
    """What is wrong with a value; of an unknown key in a judge, the nearest known one. The value itself is not repeated."""
    if problem["type"] == "extra_forbidden":
        return {"why": "There is no such key.", "fix": nearest(str(problem["loc"][-1]), JudgeEntry.model_fields)}
    return {"why": f"{str(problem['msg']).removeprefix('Value error, ')}."}


def store(key: str, value: str, *, path: Path | None = None) -> Settings:
    """`keep`, of a value as one would write it into the file."""
    return keep(key, yaml.safe_load(value), path=path)


def keep(key: str, value: Any, *, path: Path | None = None) -> Settings:
    """Set one key in the settings file (mode 600) and return what is then in force; a wrong value changes nothing."""
    path = path or config_path()
    values, _ = _from_file(path)
    values[key] = value
    settings = load({key: value}, path=path)
    _keep(values, path)
    return settings


def forget(key: str, *, path: Path | None = None) -> Settings:
    """Take one key out of the settings file, so that its default holds, and return what is then in force."""
    path = path or config_path()
    values, _ = _from_file(path)
    if values.pop(key, None) is not None:
        _keep(values, path)
    return load(path=path)


def _keep(values: dict[str, Any], path: Path) -> None:
    """Raises UsageProblem for signs that could be written and not be read again."""
    text = yaml.safe_dump(values, sort_keys=True, allow_unicode=True)
    try:
        is_readable = yaml.safe_load(text.encode()) == values
    except (UnicodeEncodeError, yaml.YAMLError):
        is_readable = False
    if not is_readable:
        raise UsageProblem("The value holds signs that no settings file can", fix="Leave control characters out.")
    paths.make_folder(path.parent)
    paths.write_text(path, text, is_secret=True)


def init(*, path: Path | None = None) -> tuple[Path, bool]:
    """Make home's folders and, where there is none, a `config.yaml` that explains every setting. Returns its path, and whether
    it is new."""
    path = path or config_path()
    known = load(path=path)
    for folder in (
        path.parent,
        known.models_dir,
        known.adapters_dir,
        known.cache_dir,
        known.logs_dir,
        paths.home() / "datasets",
    ):
        paths.make_folder(folder)
    if path.exists():
        return path, False
    paths.write_text(path, example(), is_secret=True)
    return path, True


def example() -> str:
    """The example settings file."""
    lines = [
        "# lorasmith's settings. Take the '#' before a key away to change it; LORASMITH_<KEY> and options win over this file.\n"
    ]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = yaml.safe_dump(str(default) if isinstance(default, Path) else default, default_flow_style=True)
        lines.append(f"# {field.description}\n# {name}: {shown.splitlines()[0]}\n")
    return "\n".join(lines)
