//! The rig shared by the benchmark and the tests: a mock MCP server and a scripted model provider that
//! remember what reaches them, a bare reverse proxy, a load generator and the server process under test.
//!
//! Nothing here links the product: it is measured and tested as the binary that users run.

pub mod http;
pub mod load;
pub mod mock;
pub mod process;
pub mod provider;
pub mod proxy;
