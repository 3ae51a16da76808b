-- Models, prices and budgets, as an account configures them. JSON is text as it came.

CREATE TABLE models (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    alias TEXT NOT NULL,
    provider TEXT NOT NULL,
    identifier TEXT NOT NULL,
    description TEXT,
    endpoint TEXT,
    enabled BOOLEAN NOT NULL,
    is_default BOOLEAN NOT NULL,
    tags TEXT NOT NULL,
    settings TEXT NOT NULL,
    pricing TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (account_id, id),
    UNIQUE (account_id, alias)
);
CREATE UNIQUE INDEX models_default ON models (account_id) WHERE is_default;

CREATE TABLE price_overrides (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    model TEXT NOT NULL,
    rates TEXT,
    discount_percent BIGINT NOT NULL,
    effective_from BIGINT,
    effective_until BIGINT,
    note TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (account_id, id)
);

CREATE TABLE budgets (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    subject_type TEXT NOT NULL,
    -- empty for none, here and in `model`: a null is not equal to another null, and these are
    subject_id TEXT NOT NULL,
    model TEXT NOT NULL,
    period TEXT NOT NULL,
    unit TEXT NOT NULL,
    hard BIGINT,
    soft BIGINT,
    alerts TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (account_id, id),
    UNIQUE (account_id, subject_type, subject_id, model, period, unit)
);

CREATE TABLE account_models (
    account_id UUID NOT NULL PRIMARY KEY REFERENCES accounts (id),
    model_traffic BOOLEAN NOT NULL,
    allowed_models TEXT NOT NULL,
    on_unpriced TEXT NOT NULL,
    capture TEXT NOT NULL,
    session_idle_minutes BIGINT NOT NULL,
    guardrails TEXT NOT NULL
);
