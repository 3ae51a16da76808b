//! Policy documents, CEL, first-match rules, decisions, lint and diff. No IO.
