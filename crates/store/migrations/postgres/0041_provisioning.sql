-- When a directory gave a person up: it does not see them any more.
ALTER TABLE users ADD COLUMN unprovisioned_at BIGINT;
