-- Who decides beyond the approvers named one by one: teams, escalation, who may not.
ALTER TABLE workflows ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';

-- people who may not decide, and why
ALTER TABLE approvals ADD COLUMN excluded TEXT NOT NULL DEFAULT '[]';
-- people who are asked too when the first window is over
ALTER TABLE approvals ADD COLUMN escalate_to TEXT NOT NULL DEFAULT '[]';
ALTER TABLE approvals ADD COLUMN escalated_at BIGINT;
ALTER TABLE approvals ADD COLUMN time_window BIGINT NOT NULL DEFAULT 0;
UPDATE approvals SET time_window = expires_at - requested_at;
-- the last reminder, in percent of the window
ALTER TABLE approvals ADD COLUMN reminded BIGINT NOT NULL DEFAULT 0;
-- what approvers are shown of the effect; sealed
ALTER TABLE approvals ADD COLUMN preview BYTEA;
-- the arguments as an approver changed them; sealed
ALTER TABLE approvals ADD COLUMN edited BYTEA;
ALTER TABLE approvals ADD COLUMN edited_hash BYTEA;
ALTER TABLE approvals ADD COLUMN edited_by UUID;
ALTER TABLE approvals ADD COLUMN edited_at BIGINT;
-- what a person answered to a question; sealed
ALTER TABLE approvals ADD COLUMN answer BYTEA;
ALTER TABLE approvals ADD COLUMN auto_approved TEXT;
ALTER TABLE approvals ADD COLUMN bypass_id UUID;

-- Who last wrote a rule, or the rules of an agent or a key.
CREATE TABLE rule_authors (
    account_id UUID NOT NULL REFERENCES accounts (id),
    id UUID NOT NULL,
    user_id UUID NOT NULL,
    written_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, id)
);

-- Times in which somebody else decides in a person's place.
CREATE TABLE delegations (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL,
    user_id UUID NOT NULL,
    delegate_id UUID NOT NULL,
    reason TEXT,
    starts_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT,
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE,
    FOREIGN KEY (account_id, delegate_id) REFERENCES users (account_id, id) ON DELETE CASCADE
);
CREATE INDEX delegations_delegate ON delegations (account_id, delegate_id, ends_at);

-- Leaves to make the same call again without asking.
CREATE TABLE standing_grants (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL,
    -- who gave it
    user_id UUID NOT NULL,
    workflow_id UUID NOT NULL,
    subject_type TEXT NOT NULL,
    subject_id UUID NOT NULL,
    server_id UUID,
    server TEXT NOT NULL,
    tool_name TEXT NOT NULL,
    exposed_name TEXT NOT NULL,
    definition_hash BYTEA NOT NULL,
    -- exactly these arguments, or those an expression holds for
    args_hash BYTEA,
    expression TEXT,
    uses_max BIGINT NOT NULL,
    uses BIGINT NOT NULL,
    -- an argument whose values add up, in millionths
    spend_argument TEXT,
    spend_max BIGINT,
    spent BIGINT NOT NULL,
    reason TEXT,
    -- the request it came from
    approval_id UUID,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at BIGINT,
    revoked_by UUID,
    FOREIGN KEY (account_id, workflow_id) REFERENCES workflows (account_id, id),
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE
);
CREATE INDEX standing_grants_live ON standing_grants (account_id, expires_at) WHERE revoked_at IS NULL;
