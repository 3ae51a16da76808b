//! End-to-end tests.
#![cfg(test)]
