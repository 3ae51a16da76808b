//! Channels that carry an approval to a person: e-mail and signed webhooks.
