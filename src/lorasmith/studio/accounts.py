"""Who may come in from elsewhere: accounts with a token each, and sessions of pages (STU-11).

A token is 256 bits of chance, so that its SHA-256 keeps it as well as a slow hash would keep a password. Neither a token nor a
session's cookie is kept anywhere.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import delete, select

from lorasmith.core.errors import NotFoundProblem, UsageProblem
from lorasmith.store.database import Database
from lorasmith.store.tables import Account, SignedIn, now

SESSION = timedelta(days=14)
_REMEMBERED_SECONDS = 60.0
"""So long a session is believed without the database being asked again."""
_FREE_TRIES = 5
_FORGIVEN_SECONDS = 60.0
_MOST_ADDRESSES = 10_000


class Entry(NamedTuple):
    """A session that has begun."""

    account: str
    cookie: str


class Accounts:
    """Accounts and sessions in the database. Every call may raise EnvironmentProblem where that has gone."""

    def __init__(self, database: Database):
        self._database = database
        self._remembered: dict[str, tuple[str, float]] = {}
        self._failures: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def add(self, name: str) -> str:
        """A new account's token, which is told this once. Raises UsageProblem for a name that is taken."""
        token = secrets.token_urlsafe(32)
        with self._database.session() as session:
            if session.scalars(select(Account).where(Account.name == name)).first():
                raise UsageProblem(
                    f"There is an account '{name}' already", fix="Take another name, or remove it first."
                )
            session.add(Account(name=name, token_hash=_digest(token)))
        return token

    def remove(self, name: str) -> None:
        """The account goes, and its sessions. Raises NotFoundProblem."""
        with self._database.session() as session:
            found = session.scalars(select(Account).where(Account.name == name)).first()
            if found is None:
                raise NotFoundProblem(f"There is no account '{name}'")
            session.execute(delete(SignedIn).where(SignedIn.account == found.id))
            session.delete(found)
        self._remembered.clear()

    def is_empty(self) -> bool:
        with self._database.session() as session:
            return session.scalars(select(Account.id)).first() is None

    def of_token(self, token: str) -> str:
        """The account's name; empty where the token is nobody's."""
        with self._database.session() as session:
            found = session.scalars(select(Account).where(Account.token_hash == _digest(token))).first()
        return found.name if found else ""

    def begin(self, token: str, address: str) -> Entry | None:
        """A session for who has the token; None where it is nobody's, which counts against the address."""
        account = self.of_token(token)
        if not account:
            self._failed(address)
            return None
        cookie = secrets.token_urlsafe(32)
        with self._database.session() as session:
            session.execute(delete(SignedIn).where(SignedIn.expires_at < now()))
            number = session.scalars(select(Account.id).where(Account.name == account)).one()
            session.add(SignedIn(id=_digest(cookie), account=number, expires_at=now() + SESSION))
        return Entry(account, cookie)

    def of_cookie(self, cookie: str) -> str:
        """The account whose session it is; empty where it is none, or over."""
        digest = _digest(cookie)
        known = self._remembered.get(digest)
        if known and known[1] > time.monotonic():
            return known[0]
        with self._database.session() as session:
            found = session.execute(
                select(Account.name)
                .join(SignedIn, SignedIn.account == Account.id)
                .where(SignedIn.id == digest, SignedIn.expires_at > now())
            ).scalar()
        if found:
            self._remembered[digest] = (found, time.monotonic() + _REMEMBERED_SECONDS)
        return found or ""

    def end(self, cookie: str) -> None:
        """The session is over."""
        self._remembered.pop(_digest(cookie), None)
        with self._database.session() as session:
            session.execute(delete(SignedIn).where(SignedIn.id == _digest(cookie)))

    def wait_seconds(self, address: str) -> float:
        """How long an address has to wait before its next try: nothing for the first few, then twice as long each time."""
        with self._lock:
            count, last = self._failures.get(address, (0, 0.0))
        if count < _FREE_TRIES:
            return 0.0
        patience = min(2.0 ** (count - _FREE_TRIES), _FORGIVEN_SECONDS * 15)
        return max(0.0, last + patience - time.monotonic())

    def _failed(self, address: str) -> None:
        moment = time.monotonic()
        with self._lock:
            count, last = self._failures.get(address, (0, 0.0))
            if moment - last > _FORGIVEN_SECONDS * 15:
                count = 0
            if len(self._failures) > _MOST_ADDRESSES:
                self._failures.clear()
            self._failures[address] = (count + 1, moment)


def word_of(cookie: str) -> str:
    """What requests of a session carry beside its cookie: it is made of that, and no page of another site can read either."""
    return hmac.new(cookie.encode("utf-8", "replace"), b"csrf", hashlib.sha256).hexdigest()


def is_word(cookie: str, word: str) -> bool:
    return hmac.compare_digest(word_of(cookie).encode(), word.encode("utf-8", "replace"))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
