-- What a version holds, told without opening it.
ALTER TABLE policy_versions ADD COLUMN servers BIGINT NOT NULL DEFAULT 0;
ALTER TABLE policy_versions ADD COLUMN workflows BIGINT NOT NULL DEFAULT 0;
ALTER TABLE policy_versions ADD COLUMN tools BIGINT NOT NULL DEFAULT 0;
