"""Who did what, what is held, leased, aliased or erased."""

import sqlalchemy as sa

from clew.catalog.columns import document, key, moment, number, ref, state, text
from clew.catalog.tables._metadata import metadata

# One row: two processes that make the workspace at the same time make one workspace.
workspace = sa.Table(
    "workspace",
    metadata,
    key(),
    sa.Column(
        "single",
        sa.BigInteger,
        sa.CheckConstraint("single = 1", name="single"),
        nullable=False,
        server_default="1",
        unique=True,
    ),
    text("clew_version"),
    moment("recorded_at"),
)

actors = sa.Table("actors", metadata, key(), text("kind"), text("name"), sa.UniqueConstraint("kind", "name"))

tokens = sa.Table(
    "tokens",
    metadata,
    key(),
    ref("actor_id", "actors"),
    sa.Column("secret_sha256", sa.String(64), nullable=False, unique=True),
    document("scopes"),
    moment("recorded_at"),
    moment("expires_at", nullable=True),
    moment("revoked_at", nullable=True),
)

commands = sa.Table(
    "commands",
    metadata,
    key(),
    text("name", index=True),
    ref("actor_id", "actors"),
    moment("recorded_at"),
    document("payload"),
)

# An alias points at a snapshot or a model version; its owner is the dataset or the model.
aliases = sa.Table(
    "aliases",
    metadata,
    sa.Column("owner_kind", sa.String(16), primary_key=True),
    sa.Column("owner_id", sa.Uuid(as_uuid=False), primary_key=True),
    sa.Column("alias", sa.Text, primary_key=True),
    sa.Column("target_id", sa.Uuid(as_uuid=False), nullable=False, index=True),
)

alias_moves = sa.Table(
    "alias_moves",
    metadata,
    key(),
    sa.Column("owner_kind", sa.String(16), nullable=False),
    sa.Column("owner_id", sa.Uuid(as_uuid=False), nullable=False, index=True),
    text("alias"),
    sa.Column("from_id", sa.Uuid(as_uuid=False)),
    sa.Column("to_id", sa.Uuid(as_uuid=False)),
    text("reason", nullable=True),
    ref("actor_id", "actors"),
    moment("recorded_at"),
)

holds = sa.Table(
    "holds",
    metadata,
    key(),
    text("kind"),
    sa.Column("target_id", sa.Uuid(as_uuid=False), nullable=False, index=True),
    text("reason"),
    ref("actor_id", "actors"),
    moment("recorded_at"),
    moment("released_at", nullable=True),
)

# What a living process needs although no version names it yet: garbage collection leaves it alone.
leases = sa.Table(
    "leases",
    metadata,
    key(),
    text("holder"),
    text("kind"),
    text("target", index=True),
    moment("recorded_at"),
    moment("expires_at"),
)

# A key is kept outside of the workspace; its fingerprint tells whether the one at hand is the right one.
secret_keys = sa.Table(
    "secret_keys",
    metadata,
    key(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    ref("actor_id", "actors"),
    moment("recorded_at"),
    moment("retired_at", nullable=True),
)

erasures = sa.Table(
    "erasures",
    metadata,
    key(),
    ref("dataset_id", "datasets"),
    sa.Column("subject_hmac", sa.String(64), nullable=False, index=True),
    text("key_name"),
    state("planned", "done"),
    document("receipt", nullable=True),
    ref("actor_id", "actors"),
    moment("recorded_at"),
    moment("ended_at", nullable=True),
)

erasure_effects = sa.Table(
    "erasure_effects",
    metadata,
    key(),
    ref("erasure_id", "erasures"),
    text("kind"),
    sa.Column("target_id", sa.Uuid(as_uuid=False), nullable=False, index=True),
    number("rows", nullable=True),
)
