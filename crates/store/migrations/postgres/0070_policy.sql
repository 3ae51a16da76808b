-- Rules that are asked and recorded, but not enforced.
ALTER TABLE access_rules ADD COLUMN shadow BOOLEAN NOT NULL DEFAULT FALSE;
