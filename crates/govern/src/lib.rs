//! The governed call: identify, decide, ask, act under a permit, settle, prove.
