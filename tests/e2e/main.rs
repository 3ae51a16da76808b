//! Stories that a user could tell, played against the real binary.
//!
//! Upstream servers are a mock that counts what reaches it, or real ones; agents are our own small
//! client, which hides nothing, or the official SDKs.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails is a test that fails")]

mod approvals;
mod coding_agents;
mod conformance;
mod crash;
mod faults;
mod fidelity;
mod gateway_bytes;
mod gateway_faults;
mod gateway_money;
mod gateway_providers;
mod gateway_rules;
mod gateway_sdks;
mod gateway_secrets;
mod hostile;
mod joining;
mod quorum;
mod replicas;
mod rig;
mod sdks;
mod single_sign_on;
mod tour;
