//! People and teams as directories see them.

use preloop_types::{Team, User, UserId};
use serde_json::{Value, json};

use super::{ScimError, patch::lower};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// A person as a directory wants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserResource {
    /// What they sign in with.
    pub username: String,
    /// What the directory calls them.
    pub external_id: Option<String>,
    /// The primary address, or the first.
    pub email: Option<String>,
    /// Display name.
    pub full_name: Option<String>,
    /// Whether they may come in.
    pub active: bool,
}

/// A team as a directory wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupResource {
    /// Its name.
    pub name: String,
    /// Who is in it.
    pub members: Vec<UserId>,
}

/// Reads a person; attributes that mean nothing here are passed over, as RFC 7644 wants it.
pub fn wanted_user(body: Value) -> Result<UserResource, ScimError> {
    let body = lower(body);
    let text = |value: &Value| value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let username = text(&body["username"]);
    let name = &body["name"];
    let parts =
        [text(&name["givenname"]), text(&name["familyname"])].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let full_name = text(&body["displayname"])
        .or_else(|| text(&name["formatted"]))
        .or_else(|| Some(parts).filter(|name| !name.is_empty()));
    Ok(UserResource {
        username: username.ok_or_else(|| ScimError::InvalidValue("`userName` is missing".to_owned()))?,
        external_id: text(&body["externalid"]),
        email: address(&body["emails"])?,
        full_name,
        active: flag(&body["active"])?,
    })
}

/// After a change of some of a person's names, those that were not changed say nothing any more: here
/// all of them are one.
pub fn settle_name(before: &Value, patched: &mut Value) {
    let stale = &before["displayName"];
    let name = &mut patched["name"];
    let in_parts = !name["givenname"].is_null() || !name["familyname"].is_null();
    if in_parts && name["formatted"] == *stale {
        name["formatted"] = Value::Null;
    }
    if patched["name"]["formatted"] != *stale && patched["displayname"] == *stale {
        patched["displayname"] = Value::Null;
    }
}

fn address(emails: &Value) -> Result<Option<String>, ScimError> {
    let items = match emails {
        Value::Null => return Ok(None),
        Value::Array(items) => items,
        _ => return Err(ScimError::InvalidValue("`emails` is not a list".to_owned())),
    };
    let is_primary = |item: &&Value| matches!(&item["primary"], Value::Bool(true)) || item["primary"] == "true";
    let chosen = items.iter().find(is_primary).or_else(|| items.first());
    Ok(chosen.and_then(|item| item["value"].as_str()).map(str::to_owned))
}

/// Some directories spell it as a text.
fn flag(value: &Value) -> Result<bool, ScimError> {
    match value {
        Value::Null => Ok(true),
        Value::Bool(value) => Ok(*value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(ScimError::InvalidValue("`active` is neither true nor false".to_owned())),
    }
}

/// Reads a team.
pub fn wanted_group(body: Value) -> Result<GroupResource, ScimError> {
    let body = lower(body);
    let name = body["displayname"].as_str().map(str::trim).filter(|name| !name.is_empty());
    let members = match &body["members"] {
        Value::Null => &[][..],
        Value::Array(items) => items,
        _ => return Err(ScimError::InvalidValue("`members` is not a list".to_owned())),
    };
    let member = |item: &Value| {
        let id = item["value"].as_str().and_then(|id| id.parse().ok());
        id.ok_or_else(|| ScimError::InvalidValue("a member's `value` is not the id of a person".to_owned()))
    };
    Ok(GroupResource {
        name: name.ok_or_else(|| ScimError::InvalidValue("`displayName` is missing".to_owned()))?.to_owned(),
        members: members.iter().map(member).collect::<Result<_, _>>()?,
    })
}

/// A person, with the teams they are in.
pub fn user_json(base: &str, user: &User, teams: &[Team]) -> Value {
    let groups: Vec<_> = teams
        .iter()
        .filter(|team| team.members.contains(&user.id))
        .map(|team| json!({"value": team.id, "display": team.name, "$ref": format!("{base}/Groups/{}", team.id)}))
        .collect();
    let emails: Vec<_> =
        user.email.iter().map(|email| json!({"value": email, "type": "work", "primary": true})).collect();
    json!({
        "schemas": [USER],
        "id": user.id,
        "externalId": user.external_id,
        "userName": user.username,
        "name": {"formatted": user.full_name},
        "displayName": user.full_name,
        "emails": emails,
        "active": user.is_active,
        "groups": groups,
        "meta": meta(base, "User", "Users", &user.id.to_string(), user.created_at, user.updated_at),
    })
}

/// A team, with its members.
pub fn group_json(base: &str, team: &Team) -> Value {
    let member = |id: &UserId| json!({"value": id, "$ref": format!("{base}/Users/{id}")});
    json!({
        "schemas": [GROUP],
        "id": team.id,
        "displayName": team.name,
        "members": team.members.iter().map(member).collect::<Vec<_>>(),
        "meta": meta(base, "Group", "Groups", &team.id.to_string(), team.created_at, team.updated_at),
    })
}

fn meta(
    base: &str,
    kind: &str,
    plural: &str,
    id: &str,
    created: preloop_types::Timestamp,
    changed: preloop_types::Timestamp,
) -> Value {
    json!({
        "resourceType": kind, "location": format!("{base}/{plural}/{id}"), "created": created, "lastModified": changed,
    })
}

/// A page of `all`, counted from `start` (1 is the first).
pub fn list_json(all: &[Value], start: usize, count: usize) -> Value {
    let start = start.max(1);
    let page: Vec<_> = all.iter().skip(start - 1).take(count).collect();
    json!({
        "schemas": [LIST], "totalResults": all.len(), "startIndex": start, "itemsPerPage": page.len(), "Resources": page,
    })
}

/// What is understood here (RFC 7643, section 5).
pub fn service_provider_config(base: &str) -> Value {
    let no = json!({"supported": false});
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": {"supported": true},
        "bulk": {"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": true, "maxResults": 1000},
        "changePassword": no, "sort": no, "etag": no,
        "authenticationSchemes": [{
            "type": "oauthbearertoken", "name": "API key", "description": "An API key with the scope `scim`", "primary": true,
        }],
        "meta": {"resourceType": "ServiceProviderConfig", "location": format!("{base}/ServiceProviderConfig")},
    })
}

/// The kinds of resources (RFC 7643, section 6).
pub fn resource_types(base: &str) -> Vec<Value> {
    [("User", "Users", USER), ("Group", "Groups", GROUP)]
        .map(|(name, plural, schema)| {
            json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"], "id": name, "name": name,
                "endpoint": format!("/{plural}"), "schema": schema,
                "meta": {"resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{name}")},
            })
        })
        .to_vec()
}

/// What resources consist of (RFC 7643, section 7).
pub fn schemas(base: &str) -> Vec<Value> {
    let attribute = |name: &str, kind: &str, multi: bool, required: bool| {
        json!({
            "name": name, "type": kind, "multiValued": multi, "required": required, "caseExact": false,
            "mutability": "readWrite", "returned": "default", "uniqueness": if name == "userName" { "server" } else { "none" },
        })
    };
    let schema = |id: &str, name: &str, attributes: Vec<Value>| {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"], "id": id, "name": name, "attributes": attributes,
            "meta": {"resourceType": "Schema", "location": format!("{base}/Schemas/{id}")},
        })
    };
    let user = [
        ("userName", "string", false, true),
        ("externalId", "string", false, false),
        ("name", "complex", false, false),
        ("displayName", "string", false, false),
        ("emails", "complex", true, false),
        ("active", "boolean", false, false),
    ];
    let group = [("displayName", "string", false, true), ("members", "complex", true, false)];
    let all = |of: &[(&str, &str, bool, bool)]| {
        of.iter().map(|(name, kind, multi, required)| attribute(name, kind, *multi, *required)).collect()
    };
    vec![schema(USER, "User", all(&user)), schema(GROUP, "Group", all(&group))]
}
