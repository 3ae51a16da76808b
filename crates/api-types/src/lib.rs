//! Request and response bodies of the REST API, shared by server and client.
