-- What a model that reviews requests makes of them. It never votes.
CREATE TABLE approval_reviews (
    approval_id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL,
    -- waiting, asking, done
    state TEXT NOT NULL,
    lease_until BIGINT,
    attempts BIGINT NOT NULL,
    model TEXT NOT NULL,
    -- approve, deny, uncertain; null where there was no readable answer
    decision TEXT,
    confidence_permille BIGINT,
    -- what it said, or why it said nothing; sealed
    reasoning BYTEA,
    -- approved, declined, escalated, none
    outcome TEXT,
    reviewed_at BIGINT,
    FOREIGN KEY (account_id) REFERENCES accounts (id)
);
CREATE INDEX approval_reviews_open ON approval_reviews (state) WHERE state <> 'done';
