-- What a version holds, told without opening it.
ALTER TABLE policy_versions ADD COLUMN servers INTEGER NOT NULL DEFAULT 0;
ALTER TABLE policy_versions ADD COLUMN workflows INTEGER NOT NULL DEFAULT 0;
ALTER TABLE policy_versions ADD COLUMN tools INTEGER NOT NULL DEFAULT 0;
