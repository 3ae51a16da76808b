-- What a model that reviews requests makes of them. It never votes.
CREATE TABLE approval_reviews (
    approval_id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL,
    -- waiting, asking, done
    state TEXT NOT NULL,
    lease_until INTEGER,
    attempts INTEGER NOT NULL,
    model TEXT NOT NULL,
    -- approve, deny, uncertain; null where there was no readable answer
    decision TEXT,
    confidence_permille INTEGER,
    -- what it said, or why it said nothing; sealed
    reasoning BLOB,
    -- approved, declined, escalated, none
    outcome TEXT,
    reviewed_at INTEGER,
    FOREIGN KEY (account_id) REFERENCES accounts (id)
) STRICT;
CREATE INDEX approval_reviews_open ON approval_reviews (state) WHERE state <> 'done';
