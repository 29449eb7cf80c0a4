"""Datasets, their snapshots, and the content behind them."""

import sqlalchemy as sa

from clew.catalog.columns import digest, document, key, moment, number, ref, state, text
from clew.catalog.tables._metadata import metadata

datasets = sa.Table(
    "datasets",
    metadata,
    key(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    document("key_columns"),
    text("subject_column", nullable=True),
    moment("recorded_at"),
    # Whose a file is, by its path: such as "{subject}/*".
    text("subject_files", nullable=True),
)

# Versions to content is many to one: A, B, A are three snapshots of two contents.
contents = sa.Table(
    "contents",
    metadata,
    key(),
    sa.Column("content_id", sa.String(80), nullable=False, unique=True),
    text("kind"),
    number("rows", nullable=True),
    document("schema", nullable=True),
    document("column_ids", nullable=True),
    digest("manifest", nullable=True),
    digest("listing", nullable=True),
    digest("profile", nullable=True),
    state("live", "erased", "expired"),
    ref("superseded_by_id", "contents", nullable=True),
    sa.Column("erased_rows", sa.BigInteger, nullable=False, server_default="0"),
    moment("recorded_at"),
)

column_groups = sa.Table(
    "column_groups",
    metadata,
    key(),
    ref("content_pk", "contents"),
    number("ordinal"),
    document("columns"),
    digest("rope"),
    sa.UniqueConstraint("content_pk", "ordinal"),
)

fragments = sa.Table(
    "fragments",
    metadata,
    key(),
    sa.Column("digest", sa.String(64), nullable=False, unique=True, info={"object": True}),
    number("rows"),
    number("bytes"),
    # When the last rope that ran through it went elsewhere: from then on its grace period runs.
    moment("released_at", nullable=True),
    moment("recorded_at"),
)

group_fragments = sa.Table(
    "group_fragments",
    metadata,
    ref("group_id", "column_groups", primary_key=True),
    ref("fragment_id", "fragments", primary_key=True),
)

snapshots = sa.Table(
    "snapshots",
    metadata,
    key(),
    ref("dataset_id", "datasets"),
    number("version"),
    ref("content_pk", "contents"),
    ref("parent_id", "snapshots", nullable=True),
    number("new_bytes"),
    text("message", nullable=True),
    document("changes", nullable=True),
    state("live", "erased", "expired"),
    moment("occurred_at"),
    moment("recorded_at"),
    ref("actor_id", "actors"),
    sa.UniqueConstraint("dataset_id", "version"),
)

sources = sa.Table(
    "sources",
    metadata,
    key(),
    ref("snapshot_id", "snapshots"),
    text("uri"),
    text("kind"),
    number("bytes", nullable=True),
    number("modified_ns", nullable=True),
    sa.Column("sha256", sa.String(64)),
    # What tells an unchanged file without reading it: inode, times, size; null when it was modified just before.
    text("stamp", nullable=True),
    moment("recorded_at"),
)

contracts = sa.Table(
    "contracts",
    metadata,
    key(),
    ref("dataset_id", "datasets"),
    number("version"),
    text("toml"),
    sa.Column("sha256", sa.String(64), nullable=False),
    moment("recorded_at"),
    ref("actor_id", "actors"),
    sa.UniqueConstraint("dataset_id", "version"),
)

contract_checks = sa.Table(
    "contract_checks",
    metadata,
    key(),
    ref("contract_id", "contracts"),
    ref("content_pk", "contents"),
    ref("run_id", "runs", nullable=True),
    sa.Column("passed", sa.Boolean, nullable=False),
    document("results"),
    moment("recorded_at"),
)

# What was found in a content stays quick to find, however many runs read it.
sa.Index("ix_contract_checks_content_pk_run_id", contract_checks.c.content_pk, contract_checks.c.run_id)

# Rows that a contract kept out, with the rules that each of them broke.
quarantines = sa.Table(
    "quarantines",
    metadata,
    key(),
    ref("dataset_id", "datasets"),
    ref("contract_id", "contracts", nullable=True),
    text("uri"),
    number("rows"),
    document("results"),
    digest(),
    state("live", "erased", "expired"),
    ref("actor_id", "actors"),
    moment("recorded_at"),
)

policies = sa.Table(
    "policies",
    metadata,
    key(),
    ref("dataset_id", "datasets"),
    text("column_name"),
    text("action"),
    text("reason"),
    ref("actor_id", "actors"),
    moment("recorded_at"),
    moment("superseded_at", nullable=True),
    document("details", nullable=True),
)
