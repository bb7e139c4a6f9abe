"""The Hub's bad days: what is tried again, and what a user reads in the end (CHK-15)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from typing import TypeVar

from lorasmith.core.errors import EnvironmentProblem, LorasmithError, NotFoundProblem

TRIES = 3
PATIENCE_SECONDS = 8.0  # for one answer of the Hub; three tries with pauses stay below 30 s
T = TypeVar("T")


def patiently(ask: Callable[[], T]) -> T:
    """What `ask` returns; tried again after a pause when the Hub stumbles (429, 5xx, a lost connection)."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    for tried in range(1, TRIES + 1):
        try:
            return ask()
        except HfHubHTTPError as error:
            status = error.response.status_code
            if tried == TRIES or not (status == 429 or status >= 500):
                raise
        except httpx2.TransportError:
            if tried == TRIES:
                raise
        time.sleep(0.5 * tried)
    raise AssertionError("unreachable")


@contextlib.contextmanager
def hub_problems(model: str, *, token_given: bool) -> Generator[None]:
    """Whatever the Hub's client raises, as a problem that a user can act on (CHK-15)."""
    import httpx2
    from huggingface_hub import errors

    where = "https://huggingface.co"
    try:
        yield
    except LorasmithError:
        raise
    except errors.GatedRepoError as error:
        raise NotFoundProblem(
            f"The model '{model}' is gated",
            why="Its owner gives access on request" + ("; your token has none yet." if token_given else "."),
            fix=f"Ask on {where}/{model}" + ("" if token_given else " and set HF_TOKEN."),
        ) from error  # fmt: skip
    except errors.RevisionNotFoundError as error:
        raise NotFoundProblem(f"'{model}' has no such revision", fix=f"See {where}/{model}/commits.") from error
    except errors.RepositoryNotFoundError as error:
        raise NotFoundProblem(
            f"Model not found on HuggingFace: '{model}'",
            why="Your token does not open it either."
            if token_given
            else "If it is there all the same: This is a private model. Please set HF_TOKEN.",
            fix="Check the name.",
        ) from error  # fmt: skip
    except errors.HFValidationError as error:
        raise NotFoundProblem(f"'{model}' cannot be a name on the Hub", why=first_line(error)) from error
    except errors.RemoteEntryNotFoundError as error:
        raise NotFoundProblem(
            f"A file of '{model}' is listed, and the Hub has none of that name", why=first_line(error)
        ) from error
    except (
        errors.HfHubHTTPError,
        httpx2.HTTPError,
        errors.OfflineModeIsEnabled,
        OSError,
        ValueError,
        KeyError,
    ) as error:
        tried = f" after {TRIES} tries" if isinstance(error, (errors.HfHubHTTPError, httpx2.TransportError)) else ""
        raise EnvironmentProblem(
            f"The Hub cannot be reached for '{model}'", why=f"{type(error).__name__}{tried}: {first_line(error)}",
            fix="Check the network and try again, or name a local folder.",
        ) from error  # fmt: skip


def first_line(error: Exception, *, otherwise: str = "no answer") -> str:
    """The first line of what an error says, or `otherwise` where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), otherwise)[:200]
