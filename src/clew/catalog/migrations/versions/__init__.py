"""One file a migration, in order; each says what it adds and why."""
