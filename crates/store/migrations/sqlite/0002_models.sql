-- Models, prices and budgets, as an account configures them. JSON is text as it came.

CREATE TABLE models (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    alias TEXT NOT NULL,
    provider TEXT NOT NULL,
    identifier TEXT NOT NULL,
    description TEXT,
    endpoint TEXT,
    enabled INTEGER NOT NULL,
    is_default INTEGER NOT NULL,
    tags TEXT NOT NULL,
    settings TEXT NOT NULL,
    pricing TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (account_id, id),
    UNIQUE (account_id, alias)
) STRICT;
CREATE UNIQUE INDEX models_default ON models (account_id) WHERE is_default;

CREATE TABLE price_overrides (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    model TEXT NOT NULL,
    rates TEXT,
    discount_percent INTEGER NOT NULL,
    effective_from INTEGER,
    effective_until INTEGER,
    note TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (account_id, id)
) STRICT;

CREATE TABLE budgets (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    subject_type TEXT NOT NULL,
    -- empty for none, here and in `model`: a null is not equal to another null, and these are
    subject_id TEXT NOT NULL,
    model TEXT NOT NULL,
    period TEXT NOT NULL,
    unit TEXT NOT NULL,
    hard INTEGER,
    soft INTEGER,
    alerts TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (account_id, id),
    UNIQUE (account_id, subject_type, subject_id, model, period, unit)
) STRICT;

CREATE TABLE account_models (
    account_id BLOB NOT NULL PRIMARY KEY REFERENCES accounts (id),
    model_traffic INTEGER NOT NULL,
    allowed_models TEXT NOT NULL,
    on_unpriced TEXT NOT NULL,
    capture TEXT NOT NULL,
    session_idle_minutes INTEGER NOT NULL,
    guardrails TEXT NOT NULL
) STRICT;
