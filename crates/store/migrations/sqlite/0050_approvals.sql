-- Who decides beyond the approvers named one by one: teams, escalation, who may not.
ALTER TABLE workflows ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';

-- people who may not decide, and why
ALTER TABLE approvals ADD COLUMN excluded TEXT NOT NULL DEFAULT '[]';
-- people who are asked too when the first window is over
ALTER TABLE approvals ADD COLUMN escalate_to TEXT NOT NULL DEFAULT '[]';
ALTER TABLE approvals ADD COLUMN escalated_at INTEGER;
ALTER TABLE approvals ADD COLUMN time_window INTEGER NOT NULL DEFAULT 0;
UPDATE approvals SET time_window = expires_at - requested_at;
-- the last reminder, in percent of the window
ALTER TABLE approvals ADD COLUMN reminded INTEGER NOT NULL DEFAULT 0;
-- what approvers are shown of the effect; sealed
ALTER TABLE approvals ADD COLUMN preview BLOB;
-- the arguments as an approver changed them; sealed
ALTER TABLE approvals ADD COLUMN edited BLOB;
ALTER TABLE approvals ADD COLUMN edited_hash BLOB;
ALTER TABLE approvals ADD COLUMN edited_by BLOB;
ALTER TABLE approvals ADD COLUMN edited_at INTEGER;
-- what a person answered to a question; sealed
ALTER TABLE approvals ADD COLUMN answer BLOB;
ALTER TABLE approvals ADD COLUMN auto_approved TEXT;
ALTER TABLE approvals ADD COLUMN bypass_id BLOB;

-- Who last wrote a rule, or the rules of an agent or a key.
CREATE TABLE rule_authors (
    account_id BLOB NOT NULL REFERENCES accounts (id),
    id BLOB NOT NULL,
    user_id BLOB NOT NULL,
    written_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, id)
) STRICT;

-- Times in which somebody else decides in a person's place.
CREATE TABLE delegations (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL,
    user_id BLOB NOT NULL,
    delegate_id BLOB NOT NULL,
    reason TEXT,
    starts_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE,
    FOREIGN KEY (account_id, delegate_id) REFERENCES users (account_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX delegations_delegate ON delegations (account_id, delegate_id, ends_at);

-- Leaves to make the same call again without asking.
CREATE TABLE standing_grants (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL,
    -- who gave it
    user_id BLOB NOT NULL,
    workflow_id BLOB NOT NULL,
    subject_type TEXT NOT NULL,
    subject_id BLOB NOT NULL,
    server_id BLOB,
    server TEXT NOT NULL,
    tool_name TEXT NOT NULL,
    exposed_name TEXT NOT NULL,
    definition_hash BLOB NOT NULL,
    -- exactly these arguments, or those an expression holds for
    args_hash BLOB,
    expression TEXT,
    uses_max INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    -- an argument whose values add up, in millionths
    spend_argument TEXT,
    spend_max INTEGER,
    spent INTEGER NOT NULL,
    reason TEXT,
    -- the request it came from
    approval_id BLOB,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at INTEGER,
    revoked_by BLOB,
    FOREIGN KEY (account_id, workflow_id) REFERENCES workflows (account_id, id),
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX standing_grants_live ON standing_grants (account_id, expires_at) WHERE revoked_at IS NULL;
