use serde_json::{Value, json};
use url::Url;

use super::{at, device::GRANT_TYPE as DEVICE_CODE, issuer, scope};

/// What this authorization server can do (RFC 8414), for clients that reach it at `base`.
pub fn server_metadata(base: &Url) -> Value {
    let auth_methods = ["none", "client_secret_post", "client_secret_basic"];
    json!({
        "issuer": issuer(base),
        "authorization_endpoint": at(base, "/oauth/authorize"),
        "token_endpoint": at(base, "/oauth/token"),
        "registration_endpoint": at(base, "/oauth/register"),
        "revocation_endpoint": at(base, "/oauth/revoke"),
        "device_authorization_endpoint": at(base, "/oauth/device_authorization"),
        "scopes_supported": scope::OFFERED,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", DEVICE_CODE],
        "token_endpoint_auth_methods_supported": auth_methods,
        "revocation_endpoint_auth_methods_supported": auth_methods,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": true,
    })
}
