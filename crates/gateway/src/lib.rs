//! The model gateway: any dialect in, any provider out, every call governed.

pub mod models;
pub mod prices;
pub mod providers;
