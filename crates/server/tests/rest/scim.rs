//! A directory keeps people and teams here as they are there.

use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{App, Person, Reply};

struct Directory(Person);

impl Directory {
    async fn of(app: &App) -> Self {
        let key =
            app.owner.post("/api/v1/auth/api-keys", json!({"name": "directory", "scopes": ["scim"]})).await.created();
        Self(app.with_key(key["key"].as_str().unwrap()))
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Reply {
        let mut request = self.0.request(method, &format!("/scim/v2/{path}"));
        if !body.is_null() {
            request = request.header("content-type", "application/scim+json").body(body.to_string());
        }
        self.0.send(request).await
    }

    async fn get(&self, path: &str) -> Value {
        let reply = self.send(Method::GET, path, &Value::Null).await;
        assert_eq!(reply.headers["content-type"], "application/scim+json");
        reply.ok()
    }

    async fn patch(&self, path: &str, operations: Value) -> Reply {
        let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
        self.send(Method::PATCH, path, &body).await
    }

    async fn user(&self, body: Value) -> Value {
        self.send(Method::POST, "Users", &body).await.created()
    }
}

/// The answer to a request that is refused, with its status and `scimType`.
fn refused(reply: &Reply, status: u16, kind: &str) {
    let body: Value = serde_json::from_str(&reply.text).unwrap();
    assert_eq!((reply.status.as_u16(), body["status"].as_str()), (status, Some(&*status.to_string())), "{body}");
    assert_eq!(body["scimType"].as_str().unwrap_or_default(), kind, "{body}");
    assert_eq!(body["schemas"][0], "urn:ietf:params:scim:api:messages:2.0:Error");
}

#[tokio::test]
async fn people_come_change_and_go_as_the_directory_says() {
    for app in App::each().await {
        let directory = Directory::of(&app).await;
        let bob = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "bob@corp.example", "externalId": "00u1",
            "name": {"givenName": "Bob", "familyName": "Lee"}, "emails": [{"value": "bob@corp.example", "primary": true}],
            "active": true, "password": "never kept",
        });
        let made = directory.user(bob.clone()).await;
        let id = made["id"].as_str().unwrap().to_owned();
        assert_eq!(
            (&made["userName"], &made["displayName"], &made["externalId"]),
            (&json!("bob@corp.example"), &json!("Bob Lee"), &json!("00u1"))
        );
        assert!(!made.to_string().contains("never kept"));
        refused(&directory.send(Method::POST, "Users", &bob).await, 409, "uniqueness");

        let found = directory.get("Users?filter=userName%20eq%20%22BOB@corp.example%22").await;
        assert_eq!((&found["totalResults"], &found["Resources"][0]["id"]), (&json!(1), &json!(id)));
        assert_eq!(directory.get("Users?filter=externalId%20eq%20%22nobody%22").await["totalResults"], 0);
        let page = directory.get("Users?startIndex=2&count=1").await;
        assert_eq!(
            (&page["totalResults"], &page["itemsPerPage"], &page["startIndex"]),
            (&json!(2), &json!(1), &json!(2))
        );

        let path = format!("Users/{id}");
        let now = directory
            .patch(&path, json!([{"op": "Replace", "value": {"displayName": "Bobby", "active": "False"}}]))
            .await
            .ok();
        assert_eq!((&now["displayName"], &now["active"]), (&json!("Bobby"), &json!(false)));
        let parts = json!([{"op": "replace", "path": "name.givenName", "value": "Rob"}, {"op": "add", "path": "name.familyName", "value": "Lee"}]);
        assert_eq!(directory.patch(&path, parts).await.ok()["displayName"], "Rob Lee");
        let users = app.owner.get("/api/v1/users").await.ok();
        let there = users["users"].as_array().unwrap().iter().find(|user| user["id"] == id).unwrap().clone();
        assert_eq!((&there["is_active"], &there["user_source"]), (&json!(false), &json!("scim")));

        // Given up, they are gone for the directory; taken up again, they are who they were.
        assert_eq!(directory.send(Method::DELETE, &path, &Value::Null).await.status, 204);
        refused(&directory.send(Method::GET, &path, &Value::Null).await, 404, "");
        refused(&directory.patch(&path, json!([])).await, 404, "");
        let again = directory.user(bob).await;
        assert_eq!((&again["id"], &again["active"]), (&json!(id), &json!(true)));
    }
}

#[tokio::test]
async fn groups_are_teams() {
    let app = App::start().await;
    let directory = Directory::of(&app).await;
    let mut people = Vec::new();
    for name in ["bob", "cleo"] {
        people.push(directory.user(json!({"userName": name})).await["id"].as_str().unwrap().to_owned());
    }
    let group = json!({"displayName": "finance", "members": [{"value": people[0]}]});
    let made = directory.send(Method::POST, "Groups", &group).await.created();
    let path = format!("Groups/{}", made["id"].as_str().unwrap());
    let members = |group: &Value| {
        let mut ids: Vec<_> =
            group["members"].as_array().unwrap().iter().map(|m| m["value"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    assert_eq!(members(&made), [people[0].clone()]);
    let now =
        directory.patch(&path, json!([{"op": "add", "path": "members", "value": [{"value": people[1]}]}])).await.ok();
    assert_eq!(members(&now), people);
    let remove = json!([{"op": "remove", "path": format!(r#"members[value eq "{}"]"#, people[0])}]);
    assert_eq!(members(&directory.patch(&path, remove).await.ok()), [people[1].clone()]);
    let user = directory.get(&format!("Users/{}", people[1])).await;
    assert_eq!(user["groups"][0]["display"], "finance");
    refused(
        &directory.patch(&path, json!([{"op": "add", "path": "members", "value": [{"value": "x"}]}])).await,
        400,
        "invalidValue",
    );
    let stranger =
        json!([{"op": "add", "path": "members", "value": [{"value": "00000000-0000-7000-8000-000000000000"}]}]);
    refused(&directory.patch(&path, stranger).await, 400, "invalidValue");
    assert_eq!(directory.get("Groups?filter=displayName%20eq%20%22finance%22").await["totalResults"], 1);
    assert_eq!(directory.send(Method::DELETE, &path, &Value::Null).await.status, 204);
    refused(&directory.send(Method::GET, &path, &Value::Null).await, 404, "");
}

#[tokio::test]
async fn only_a_directorys_key_provisions_and_it_does_nothing_else() {
    let app = App::start().await;
    let directory = Directory::of(&app).await;
    assert_eq!(directory.0.get("/api/v1/users").await.status, 403);
    assert_eq!(directory.0.get("/api/v1/approval-requests").await.status, 403);
    for (person, status) in [(app.nobody(), 401), (app.with_key("pl_guess"), 401), (app.agent().await, 403)] {
        let reply = person.send(person.request(Method::GET, "/scim/v2/Users")).await;
        refused(&reply, status, "");
    }
    let stranger = app.stranger().await;
    let key = stranger.post("/api/v1/auth/api-keys", json!({"name": "directory", "scopes": ["scim"]})).await.created();
    let theirs = Directory(app.with_key(key["key"].as_str().unwrap()));
    let ours = directory.user(json!({"userName": "bob"})).await["id"].as_str().unwrap().to_owned();
    refused(&theirs.send(Method::GET, &format!("Users/{ours}"), &Value::Null).await, 404, "");
    refused(&theirs.send(Method::DELETE, &format!("Users/{ours}"), &Value::Null).await, 404, "");

    // The last owner, whose key it is, cannot be kept out by mistake.
    let found = directory.get("Users?filter=userName%20eq%20%22ann%22").await;
    let ann = format!("Users/{}", found["Resources"][0]["id"].as_str().unwrap());
    let reply = directory.patch(&ann, json!([{"op": "replace", "path": "active", "value": false}])).await;
    assert!(reply.status.is_client_error() && reply.text.contains("key"), "{}", reply.text);
    for (wrong, kind) in [
        (json!([{"op": "fly", "path": "active"}]), "invalidSyntax"),
        (json!([{"op": "add", "path": "emails[type", "value": 1}]), "invalidPath"),
        (json!([{"op": "replace", "path": "active", "value": "maybe"}]), "invalidValue"),
        (json!([{"op": "remove", "path": "userName"}]), "invalidValue"),
    ] {
        refused(&directory.patch(&ann, wrong).await, 400, kind);
    }
    refused(
        &directory.send(Method::GET, "Users?filter=userName%20sw%20%22a%22", &Value::Null).await,
        400,
        "invalidFilter",
    );
}
