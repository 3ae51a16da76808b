//! The rig shared by the benchmark and the end-to-end tests: a mock MCP server that counts what
//! reaches it, a bare reverse proxy, a load generator and the server process under test.
//!
//! Nothing here links the product: it is measured and tested as the binary that users run.

pub mod http;
pub mod load;
pub mod mock;
pub mod process;
pub mod proxy;
