"""A repository on the Hub: the adapter, or the merged model, with a card; private unless it is to be public (EXP-5)."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import Any

from lorasmith.core import paths, settings
from lorasmith.core.errors import EnvironmentProblem, UsageProblem
from lorasmith.core.events import Step
from lorasmith.core.paths import read_json
from lorasmith.core.samples import CHANGES_FILE
from lorasmith.exports import EXPORTS
from lorasmith.exports._base import Target, Wish
from lorasmith.exports._card import card
from lorasmith.exports.spec import ExportReport
from lorasmith.hub.bases import CONFIG_FILE, MANIFEST_FILE
from lorasmith.hub.problems import first_line

CARD = "README.md"
_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,94}")
# What programs that load models read. Nothing else of a folder leaves this machine.
_PUSHED = (
    "*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", CONFIG_FILE, CHANGES_FILE,
    MANIFEST_FILE, "tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt",
    "*.model", "chat_template.jinja", "*processor_config.json", "model_index.json", "scheduler_config.json", "modules.json",
    "config_sentence_transformers.json", "sentence_bert_config.json", "LICENSE*", CARD,
)  # fmt: skip
_NAMES_A_PATH = re.compile(r"(name_or_path|_path|_file|_dir|folder)$")
_WHO = {True: "everybody", False: "you alone"}
_UNKNOWN, _FORBIDDEN = 401, 403


class ToHub(Target):
    name = "hub"
    title = "A repository on the Hugging Face Hub"
    own_options = ("repo", "merged", "public", "dry_run", "dequantize")

    def export(self, wish: Wish) -> ExportReport:
        is_merged = wish.spec.merged or wish.adapter is None
        token = settings.load().huggingface_token
        repository = wish.spec.repo or wish.name
        _require_name(repository)
        if not wish.spec.dry_run:
            repository = _owned(repository, token.get_secret_value() if token else "")
        made = EXPORTS.get("merged" if is_merged else "adapter").export(wish)
        _clean(wish)
        paths.write_text(wish.out / CARD, card(wish, repository, made, is_merged=is_merged))
        files = pushed(wish.out)
        sizes = {name: (wish.out / name).stat().st_size for name in files}
        who = _WHO[wish.spec.public]
        if wish.spec.dry_run or token is None:
            place, note = str(wish.out), f"Nothing was pushed. {repository} would hold these files, for {who} to see."
        else:
            wish.listener(Step(title="push", note=repository))
            place, is_private = _push(wish, repository, files, token.get_secret_value())
            note = f"For {_WHO[not is_private]} to see. The files are in {wish.out}, too."
            if wish.spec.public and is_private:
                note = f"It was there already, and private: so it stays. {note}"
        return made.model_copy(
            update={"target": self.name, "place": place, "files": sizes, "notes": [*made.notes, note]}
        )


def pushed(folder: Path) -> list[str]:
    """Names of the files in a folder that go to the Hub."""
    names = [
        file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file() and not file.is_symlink()
    ]
    return sorted(name for name in names if any(fnmatch(PurePath(name).name, one) for one in _PUSHED))


def _require_name(repository: str) -> None:
    owner, _, name = repository.rpartition("/")
    if not _REPO.fullmatch(name) or (owner and not _REPO.fullmatch(owner)) or ".." in repository or "--" in repository:
        raise UsageProblem(
            f"'{repository[:100]}' cannot be a repository's name on the Hub", fix="Name it: --repo owner/name",
            why="It is made of letters, digits, '-', '_' and '.', with '/' behind its owner.",
        )  # fmt: skip


def _owned(repository: str, token: str) -> str:
    """The repository with its owner; the Hub is asked before minutes are spent on the files.

    Raises EnvironmentProblem without a token that it knows.
    """
    if not token:
        raise EnvironmentProblem(
            "The Hub takes files only from whom it knows", why="No token is set.",
            fix="Make one that may write, on huggingface.co/settings/tokens, and set HF_TOKEN; --dry-run needs none.",
        )  # fmt: skip
    from huggingface_hub import HfApi

    with _told(repository):
        told = HfApi(token=token).whoami()
    own = str(told["name"])
    owner, _, name = repository.rpartition("/")
    owners = [own, *(str(one["name"]) for one in told.get("orgs") or ())]
    if owner and owner.lower() not in map(str.lower, owners):
        raise UsageProblem(
            f"'{repository}' is not yours to write", why=f"The token is that of {' and of '.join(owners)}.",
            fix=f"Name one of your own: --repo {own}/{name}",
        )  # fmt: skip
    return f"{owner or own}/{name}"


def _push(wish: Wish, repository: str, files: list[str], token: str) -> tuple[str, bool]:
    """Its address, and whether it is private. All files are one commit: it is there whole or not at all."""
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(token=token, library_name="lorasmith")
    with _told(repository):
        url = api.create_repo(repository, private=not wish.spec.public, exist_ok=True)
        is_private = bool(api.model_info(repository).private)
        if not wish.spec.public and not is_private:
            raise UsageProblem(
                f"'{repository}' is there already, and everybody can see it", why="Nothing was pushed.",
                fix="Choose another with --repo, or say --public.",
            )  # fmt: skip
        operations = [CommitOperationAdd(name, wish.out / name) for name in files]
        api.create_commit(repository, operations, commit_message=f"{wish.name}, by lorasmith")
    return str(url), is_private


@contextmanager
def _told(repository: str) -> Generator[None]:
    """What the Hub's client raises, as a problem that a user can act on."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.HfHubHTTPError as error:
        why, fix = error.server_message or first_line(error), "No file was changed there. Try again later."
        if error.response.status_code == _UNKNOWN:
            why = "It does not know the token."
            fix = "Make another that may write, on huggingface.co/settings/tokens, and set HF_TOKEN."
        elif error.response.status_code == _FORBIDDEN:
            fix = "The token must be allowed to write there."
        raise EnvironmentProblem(f"The Hub does not take '{repository}'", why=why, fix=fix) from error
    except (errors.HFValidationError, httpx2.HTTPError, errors.OfflineModeIsEnabled, OSError, ValueError) as error:
        raise EnvironmentProblem(
            f"'{repository}' could not be pushed to the Hub", why=f"{type(error).__name__}: {first_line(error)}",
            fix="No file was changed there. Check the network, and try again.",
        ) from error  # fmt: skip


def _clean(wish: Wish) -> None:
    """Paths of this machine in configurations become names, and of the manifest only the base is kept."""
    for file in (*wish.out.rglob("*config*.json"), *wish.out.rglob("model_index.json")):
        told = read_json(file)
        public = _public(told, wish.facts.id)
        if public != told:
            paths.write_text(file, json.dumps(public, indent=2, ensure_ascii=False) + "\n")
    manifest = wish.out / MANIFEST_FILE
    if manifest.exists():
        told = read_json(manifest)
        paths.write_json(manifest, {"schema": told.get("schema"), "base": _public(told.get("base"), wish.facts.id)})


def _public(value: Any, base: str, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _public(one, base, name) for name, one in value.items()}
    if isinstance(value, list):
        return [_public(one, base) for one in value]
    if isinstance(value, str) and (_NAMES_A_PATH.search(key) or key == "id") and PurePath(value).is_absolute():
        return base if key in ("base_model_name_or_path", "id") else PurePath(value).name
    return value


plugin = ToHub()
