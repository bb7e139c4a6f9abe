"""How Alembic gets at the tables: over the connection that `store.database` has."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import Text

from lorasmith.store.tables import Base, Moment


def shown(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """Our own types, as a migration names them."""
    if kind == "type" and isinstance(item, Moment):
        return "Moment()"
    if kind == "type" and isinstance(item, Text) and "mysql" in item._variant_mapping:
        return "LongText"
    return False


connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=Base.metadata, render_as_batch=True, compare_type=True, render_item=shown
)
with context.begin_transaction():
    context.run_migrations()
