//! People, roles, teams and invitations.

use preloop_types::Role;
use serde_json::{Value, json};

use crate::app::{App, Person};

const USERS: &str = "/api/v1/users";
const TEAMS: &str = "/api/v1/teams";

fn new_user(name: &str) -> Value {
    json!({"username": name, "email": format!("{name}@example.org"), "password": "correct horse battery"})
}

async fn id_of(app: &App, username: &str) -> String {
    let users = app.owner.get(USERS).await.ok();
    let user = users["users"].as_array().unwrap().iter().find(|user| user["username"] == username).unwrap().clone();
    user["id"].as_str().unwrap().to_owned()
}

fn role(role: Role) -> Value {
    json!({"role_id": role.id()})
}

#[tokio::test]
async fn people_are_added_changed_and_kept_out() {
    for app in App::each().await {
        let owner = &app.owner;
        let eddie = owner.post(USERS, new_user("eddie")).await.created();
        assert_eq!((&eddie["is_active"], &eddie["user_source"]), (&json!(true), &json!("local")));
        let path = format!("{USERS}/{}", eddie["id"].as_str().unwrap());
        assert_eq!(owner.get(&path).await.ok(), eddie);
        let listed = owner.get(&format!("{USERS}?limit=1&skip=1")).await.ok();
        assert_eq!((&listed["total"], &listed["skip"], &listed["limit"]), (&json!(2), &json!(1), &json!(1)));
        assert_eq!(listed["users"][0]["username"], "eddie");

        owner.post(USERS, new_user("eddie")).await.fails(400);
        owner
            .post(USERS, json!({"username": "x y", "email": "x@example.org", "password": "long enough"}))
            .await
            .fails(422);
        owner.post(USERS, json!({"username": "short", "email": "x@example.org", "password": "x"})).await.fails(422);

        let change = owner.send(owner.request(reqwest::Method::PATCH, &path).json(&json!({"full_name": "Ed"}))).await;
        assert_eq!(change.ok()["full_name"], "Ed");
        assert_eq!(owner.post(&format!("{path}/deactivate"), json!({})).await.ok()["is_active"], false);
        assert_eq!(owner.post(&format!("{path}/activate"), json!({})).await.ok()["is_active"], true);

        let log = owner.get("/api/v1/audit-logs?action=config.changed").await.ok();
        assert_eq!(log[0]["details"]["new"], json!({"is_active": true}));
        assert!(!log.to_string().contains("correct horse"));
    }
}

#[tokio::test]
async fn whoever_is_kept_out_is_out_at_once() {
    for app in App::each().await {
        let vic = app.colleague("vic", &[Role::Viewer]).await;
        vic.get("/api/v1/tools").await.ok();
        let path = format!("{USERS}/{}", id_of(&app, "vic").await);
        app.owner.post(&format!("{path}/deactivate"), json!({})).await.ok();
        vic.get("/api/v1/tools").await.fails(401);
        app.owner.post(&format!("{path}/activate"), json!({})).await.ok();
        vic.get("/api/v1/tools").await.ok();
    }
}

#[tokio::test]
async fn a_role_holds_from_the_next_request_on() {
    for app in App::each().await {
        let vic = app.colleague("vic", &[]).await;
        let path = format!("{USERS}/{}/roles", id_of(&app, "vic").await);
        assert_eq!(vic.get("/api/v1/tools").await.fails(403), "Insufficient permissions. Required: view_tools");
        let roles = app.owner.post(&path, role(Role::Viewer)).await.ok();
        assert_eq!((&roles["roles"][0]["name"], &roles["total"]), (&json!("viewer"), &json!(1)));
        vic.get("/api/v1/tools").await.ok();
        app.owner.delete(&format!("{path}/{}", Role::Viewer.id())).await.ok();
        vic.get("/api/v1/tools").await.fails(403);
        app.owner.delete(&format!("{path}/{}", Role::Viewer.id())).await.fails(404);
        app.owner.post(&path, json!({"role_id": uuid::Uuid::now_v7()})).await.fails(404);
        let log = app.owner.get("/api/v1/audit-logs?action=config.changed").await.ok();
        assert_eq!(
            (&log[0]["details"]["config_type"], &log[0]["details"]["action"]),
            (&json!("user_role"), &json!("deleted"))
        );
        assert_eq!(log[0]["details"]["old"], json!({"role": "viewer"}));
    }
}

#[tokio::test]
async fn an_admin_manages_every_role_but_the_owners() {
    for app in App::each().await {
        let admin = app.colleague("adam", &[Role::Admin]).await;
        app.colleague("vic", &[Role::Viewer]).await;
        let (owner, vic) = (id_of(&app, "ann").await, id_of(&app, "vic").await);
        for given in [Role::Admin, Role::Editor, Role::Analyst] {
            admin.post(&format!("{USERS}/{vic}/roles"), role(given)).await.ok();
        }
        let refused = admin.post(&format!("{USERS}/{vic}/roles"), role(Role::Owner)).await.fails(403);
        assert!(refused.to_string().contains("close_account"), "{refused}");
        admin.delete(&format!("{USERS}/{owner}/roles/{}", Role::Owner.id())).await.fails(403);
        admin.post(&format!("{USERS}/{owner}/deactivate"), json!({})).await.fails(403);
        let patch = admin.request(reqwest::Method::PATCH, &format!("{USERS}/{owner}"));
        admin.send(patch.json(&json!({"email": "thief@example.org"}))).await.fails(403);
        // Nor through a team.
        let team = app.owner.post(TEAMS, json!({"name": "owners"})).await.created();
        let team = format!("{TEAMS}/{}", team["id"].as_str().unwrap());
        admin.post(&format!("{team}/roles"), role(Role::Owner)).await.fails(403);
        app.owner.post(&format!("{team}/roles"), role(Role::Owner)).await.ok();
        admin.post(&format!("{team}/members"), json!({"user_id": vic})).await.fails(403);
        admin.delete(&team).await.fails(403);
        // Nor by inviting somebody.
        let invitation = json!({"email": "new@example.org", "role_ids": [Role::Owner.id()]});
        admin.post("/api/v1/invitations", invitation).await.fails(403);
    }
}

#[tokio::test]
async fn the_last_owner_stays() {
    for app in App::each().await {
        let owner = id_of(&app, "ann").await;
        let of_owner = format!("{USERS}/{owner}/roles/{}", Role::Owner.id());
        app.owner.delete(&of_owner).await.fails(400);
        app.owner.post(&format!("{USERS}/{owner}/deactivate"), json!({})).await.fails(400);
        // Another owner, by their team alone.
        let second = app.colleague("otto", &[]).await;
        let team = app.owner.post(TEAMS, json!({"name": "owners"})).await.created();
        let team = format!("{TEAMS}/{}", team["id"].as_str().unwrap());
        app.owner.post(&format!("{team}/roles"), role(Role::Owner)).await.ok();
        let otto = id_of(&app, "otto").await;
        app.owner.post(&format!("{team}/members"), json!({"user_id": otto})).await.created();
        second.delete(&of_owner).await.ok();
        // Now the team is what keeps an owner.
        second.delete(&team).await.fails(400);
        second.delete(&format!("{team}/members/{otto}")).await.fails(400);
        second.delete(&format!("{team}/roles/{}", Role::Owner.id())).await.fails(400);
        second.get("/api/v1/audit-logs").await.ok();
    }
}

#[tokio::test]
async fn teams_have_members_and_give_them_roles() {
    for app in App::each().await {
        let vic = app.colleague("vic", &[]).await;
        let vics = id_of(&app, "vic").await;
        let team = app.owner.post(TEAMS, json!({"name": "finance", "description": "Payments"})).await.created();
        app.owner.post(TEAMS, json!({"name": "finance"})).await.fails(400);
        let path = format!("{TEAMS}/{}", team["id"].as_str().unwrap());
        app.owner.post(&format!("{path}/roles"), role(Role::Analyst)).await.ok();
        vic.get("/api/v1/audit-logs").await.fails(403);
        let member = app.owner.post(&format!("{path}/members"), json!({"user_id": vics})).await.created();
        assert_eq!(member["user"]["username"], "vic");
        vic.get("/api/v1/audit-logs").await.ok();
        let members = app.owner.get(&format!("{path}/members")).await.ok();
        assert_eq!((&members["total"], &members["members"][0]["user_id"]), (&json!(1), &json!(vics)));
        assert_eq!(app.owner.get(&path).await.ok()["member_count"], 1);

        let renamed = app.owner.request(reqwest::Method::PATCH, &path).json(&json!({"name": "money"}));
        assert_eq!(app.owner.send(renamed).await.ok()["name"], "money");
        assert_eq!(app.owner.get(TEAMS).await.ok()["teams"][0]["description"], "Payments");
        assert_eq!(app.owner.delete(&format!("{path}/members/{vics}")).await.status, 204);
        vic.get("/api/v1/audit-logs").await.fails(403);
        assert_eq!(app.owner.delete(&path).await.status, 204);
        app.owner.get(&path).await.fails(404);
    }
}

#[tokio::test]
async fn ids_of_another_account_in_a_body_are_nobodys() {
    let app = App::start().await;
    let (ann, stranger) = (id_of(&app, "ann").await, app.stranger().await);
    let theirs = stranger.post(TEAMS, json!({"name": "theirs"})).await.created();
    let theirs = theirs["id"].as_str().unwrap();
    stranger.post(&format!("{TEAMS}/{theirs}/members"), json!({"user_id": ann})).await.fails(404);
    let invitation = json!({"email": "new@example.org", "team_ids": [theirs]});
    app.owner.post("/api/v1/invitations", invitation).await.fails(404);
}

#[tokio::test]
async fn roles_are_listed_with_what_they_allow() {
    let app = App::start().await;
    let roles = app.owner.get("/api/v1/roles").await.ok();
    assert_eq!(roles["total"], 7);
    assert_eq!((&roles["roles"][0]["name"], &roles["roles"][0]["is_system_role"]), (&json!("owner"), &json!(true)));
    let viewer = roles["roles"].as_array().unwrap().iter().find(|role| role["name"] == "viewer").unwrap();
    assert!(viewer["permissions"].to_string().contains("view_tools"));
    assert!(!viewer["permissions"].to_string().contains("manage_tools"));
}

#[tokio::test]
async fn an_invitation_is_followed_once_and_gives_what_it_promised() {
    for app in App::each().await {
        let team = app.owner.post(TEAMS, json!({"name": "finance"})).await.created();
        let body = json!({"email": "new@example.org", "role_ids": [Role::Analyst.id()], "team_ids": [team["id"]]});
        let sent = app.owner.post("/api/v1/invitations", body.clone()).await.created();
        assert_eq!((&sent["status"], &sent["mailed"]), (&json!("pending"), &json!(false)));
        app.owner.post("/api/v1/invitations", body).await.fails(400);
        let path = format!("/api/v1/invitations/{}", sent["id"].as_str().unwrap());
        let listed = app.owner.get("/api/v1/invitations?status=pending").await;
        assert!(!listed.text.contains(sent["token"].as_str().unwrap()));
        assert_eq!(listed.ok()["total"], 1);

        // Sent anew, the link before leads nowhere.
        let again = app.owner.post(&format!("{path}/resend"), json!({})).await.ok();
        assert!(accept(&app, &sent).await.is_err());
        accept(&app, &again).await.unwrap();
        assert!(accept(&app, &again).await.is_err());
        assert_eq!(app.owner.get(&path).await.ok()["status"], "accepted");
        let user = id_of(&app, "newcomer").await;
        let roles = app.owner.get(&format!("{USERS}/{user}/roles")).await.ok();
        assert_eq!(roles["roles"][0]["name"], "analyst");
        let members = format!("{TEAMS}/{}/members", team["id"].as_str().unwrap());
        assert_eq!(app.owner.get(&members).await.ok()["members"][0]["user_id"], json!(user));
        app.owner.post(&format!("{path}/resend"), json!({})).await.fails(400);
        app.owner.delete(&path).await.fails(400);
    }
}

#[tokio::test]
async fn a_withdrawn_invitation_leads_nowhere() {
    let app = App::start().await;
    let sent = app.owner.post("/api/v1/invitations", json!({"email": "new@example.org"})).await.created();
    let path = format!("/api/v1/invitations/{}", sent["id"].as_str().unwrap());
    assert_eq!(app.owner.delete(&path).await.status, 204);
    assert!(accept(&app, &sent).await.is_err());
    assert_eq!(app.owner.get(&path).await.ok()["status"], "cancelled");
}

/// Follows the link of an invitation, as its page does.
async fn accept(app: &App, sent: &Value) -> Result<(), preloop_identity::Error> {
    let person = preloop_identity::NewPerson {
        username: "newcomer".to_owned(),
        password: "correct horse battery".into(),
        full_name: None,
    };
    let client = preloop_identity::Client { name: "test".to_owned(), address: [127, 0, 0, 1].into() };
    let token = sent["token"].as_str().unwrap();
    app.server.identity().accept_invitation(token, person, &client).await.map(drop)
}

async fn impersonated(app: &App, by: &Person, user: &str) -> Person {
    let taken = by.post(&format!("/api/v1/admin/impersonate/{user}"), json!({})).await.ok();
    assert_eq!((&taken["token_type"], &taken["expires_in_hours"]), (&json!("bearer"), &json!(8)));
    app.with_key(taken["access_token"].as_str().unwrap())
}

#[tokio::test]
async fn whoever_acts_in_somebodys_place_is_in_every_record_and_can_be_stopped() {
    for app in App::each().await {
        let stranger = app.stranger().await;
        let eve = stranger.get("/api/v1/auth/users/me").await.ok();
        // Only whoever looks after the instance may.
        let ann = id_of(&app, "ann").await;
        let detail = stranger.post(&format!("/api/v1/admin/impersonate/{ann}"), json!({})).await.fails(403);
        assert_eq!(detail, "Insufficient permissions. Required: superuser");

        let support = impersonated(&app, &app.owner, eve["id"].as_str().unwrap()).await;
        assert_eq!(support.get("/api/v1/auth/users/me").await.ok()["username"], "eve");
        support.post(TEAMS, json!({"name": "made for eve"})).await.created();
        let log = stranger.get("/api/v1/audit-logs").await.ok();
        assert_eq!((&log[0]["user_id"], &log[0]["impersonator_user_id"]), (&eve["id"], &json!(ann)));
        assert_eq!(log[1]["action"], "user.impersonate");
        assert_eq!(app.owner.get("/api/v1/audit-logs").await.ok()[0]["action"], "user.impersonate");

        // No further from there, no credentials.
        support.post(&format!("/api/v1/admin/impersonate/{ann}"), json!({})).await.fails(403);
        support.post("/api/v1/auth/api-keys", json!({"name": "kept"})).await.fails(403);
        support.post(USERS, new_user("another")).await.fails(403);
        assert_eq!(support.post("/api/v1/admin/impersonate/stop", json!({})).await.status, 200);
        support.get("/api/v1/auth/users/me").await.fails(401);
        assert_eq!(stranger.get("/api/v1/audit-logs").await.ok()[0]["action"], "user.impersonate.stop");
        app.owner.post("/api/v1/admin/impersonate/stop", json!({})).await.fails(400);
        app.owner.post(&format!("/api/v1/admin/impersonate/{}", uuid::Uuid::now_v7()), json!({})).await.fails(404);
        app.owner.post(&format!("/api/v1/admin/impersonate/{ann}"), json!({})).await.fails(400);
    }
}
