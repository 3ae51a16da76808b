//! Persistence: one interface over SQLite and PostgreSQL, migrations, the journal.
