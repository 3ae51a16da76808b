//! Outbound HTTP under guard: every URL a person or an agent can set is fetched through here.
