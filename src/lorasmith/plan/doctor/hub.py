"""What the doctor says of the Hub and of the token. One question answers both: whose token is this?"""

from __future__ import annotations

import os
import queue
import threading
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from lorasmith.core.settings import Settings
from lorasmith.plan.doctor.finding import Finding
from lorasmith.plan.doctor.home import Known

HUB_SECONDS = 3.0


class Answer(NamedTuple):
    """`takes_token` is None where the Hub did not say."""

    host: str
    milliseconds: int = 0
    trouble: str = ""
    is_offline: bool = False
    takes_token: bool | None = None


class Question:
    """Asked in a thread while the rest is looked at. Looking up a name knows no time limit, so the thread is left behind then."""

    def __init__(self, known: Known):
        self._ends = time.monotonic() + HUB_SECONDS
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        threading.Thread(target=lambda: self._answers.put(_asked(known.settings)), daemon=True).start()

    def answer(self) -> Answer:
        try:
            return self._answers.get(timeout=max(0.0, self._ends - time.monotonic()))
        except queue.Empty:
            return Answer("The Hub", trouble=f"no answer within {HUB_SECONDS:g} s")


def _asked(known: Settings) -> Answer:
    try:
        return _ask(known)
    except Exception as error:  # noqa: BLE001  whatever it is, the rest of the report must come
        host = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname or ""
        return Answer(host, trouble=f"{type(error).__name__}: {error}"[:200])


def _ask(known: Settings) -> Answer:
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    host = urlsplit(constants.ENDPOINT).hostname or ""
    if constants.HF_HUB_OFFLINE:
        return Answer(host, is_offline=True)
    token = known.huggingface_token
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
    started = time.monotonic()
    answer = get_session().get(f"{constants.ENDPOINT}/api/whoami-v2", headers=headers, timeout=HUB_SECONDS)
    milliseconds = round(1000 * (time.monotonic() - started))
    if answer.status_code >= 500:
        return Answer(host, milliseconds, trouble=f"it answers with error {answer.status_code}")
    if "json" not in answer.headers.get("content-type", ""):
        return Answer(host, milliseconds, trouble="a web page comes in its place, as in networks that want a login")
    return Answer(host, milliseconds, takes_token={200: True, 401: False}.get(answer.status_code))


def hub(answer: Answer) -> Finding:
    details = {"host": answer.host, "milliseconds": answer.milliseconds, "offline": answer.is_offline}
    if answer.is_offline:
        return Finding(topic="Hub", level="note", what="not asked: offline mode (HF_HUB_OFFLINE)", details=details)
    if answer.trouble:
        return Finding(
            topic="Hub", level="warning", what=f"{answer.host} cannot be reached", why=f"{answer.trouble}.",
            fix="Check the network, HTTPS_PROXY and HF_ENDPOINT. What is on this machine works without it.",
            details=details,
        )  # fmt: skip
    return Finding(topic="Hub", what=f"{answer.host} answers in {answer.milliseconds} ms", details=details)


def token(known: Known, answer: Answer) -> Finding:
    """Whether there is one, where it comes from and whether the Hub takes it; never what it is."""
    source = known.token_source
    details = {"source": source, "accepted": answer.takes_token if source else None}
    if not known.is_valid:
        return Finding(topic="Token", level="note", what="unknown until the settings can be read", details=details)
    if known.settings.huggingface_token is None:
        what = "none; private and gated models need one:  export HF_TOKEN=…"
        return Finding(topic="Token", level="note", what=what, details=details)
    if answer.takes_token is False:
        return Finding(
            topic="Token", level="warning", what=f"The Hub refuses the token from {source}",
            why="It was mistyped, or it has been revoked.",
            fix="Make one on https://huggingface.co/settings/tokens and set HF_TOKEN.", details=details,
        )  # fmt: skip
    taken = ", the Hub takes it" if answer.takes_token else ""
    return Finding(topic="Token", what=f"from {source}{taken}", details=details)
