//! Several people decide one request, each in their own way.

use preloop_bench::mock::{Mock, Options};
use preloop_e2e::{App, Era, Owner};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::join;

const POLICY: &str = r#"
version: "1.0"
metadata: { name: four-eyes }
approval_workflows:
  - { name: board, timeout_seconds: 300, approvals_required: 2, approver_users: [ada, bob, cleo, dan, eve] }
tools:
  - name: pay
    source: bank
    approval_workflow: board
    conditions:
      - { expression: "args.amount > 5", action: require_approval, condition_type: cel }
"#;

/// Somebody who may decide, signed in: what they act with.
async fn approver(app: &App, role: &Value, name: &str) -> String {
    let password = format!("{name} has a long password");
    let body = json!({
        "username": name, "email": format!("{name}@corp.example"), "password": &password, "role_ids": [role],
    });
    app.owner().post("/api/v1/users", body).await;
    let sign_in = json!({ "username": name, "password": password });
    let answer = Client::new().post(format!("{}/api/v1/auth/token", app.url())).json(&sign_in).send().await.unwrap();
    let tokens: Value = answer.json().await.unwrap();
    tokens["access_token"].as_str().unwrap_or_else(|| panic!("{tokens}")).to_owned()
}

/// One approver's browser, on the page of one request.
struct Browser {
    http: Client,
    page: String,
    link: String,
}

impl Browser {
    async fn open(app: &App, token: &str, request: &str) -> Self {
        let person = Owner::new(app.url(), token.to_owned());
        let link = person.post(&format!("/api/v1/approval-requests/{request}/link"), json!({})).await;
        let link = link["url"].as_str().unwrap().to_owned();
        let http = Client::builder().no_proxy().build().unwrap();
        let page = http.get(&link).send().await.unwrap().text().await.unwrap();
        assert!(page.contains("pay"), "{page}");
        Self { http, page, link }
    }

    fn field(&self, name: &str) -> &str {
        let field = self.page.split(&format!(r#"name="{name}" value=""#)).nth(1).unwrap();
        field.split('"').next().unwrap()
    }

    async fn approve(&self) -> u16 {
        let form = [("token", self.field("token")), ("shown", self.field("shown")), ("action", "approve")];
        let to = self.link.split('?').next().unwrap();
        self.http.post(to).form(&form).send().await.unwrap().status().as_u16()
    }
}

#[tokio::test]
async fn two_browsers_and_a_command_line_settle_two_of_five() {
    let app = App::start().await;
    let mock = Mock::start(Options::default()).await.unwrap();
    app.add_mock("bank", &mock).await;
    let owner = app.owner();
    let roles = owner.get("/api/v1/roles").await;
    let executor = roles["roles"].as_array().unwrap().iter().find(|role| role["name"] == "executor").unwrap();
    let mut tokens = Vec::new();
    for name in ["ada", "bob", "cleo", "dan", "eve"] {
        tokens.push(approver(&app, &executor["id"], name).await);
    }
    owner.apply(POLICY).await;
    let agent = app.agent(Era::Legacy).await;

    let (answer, request) = join!(agent.call("pay", json!({ "id": "dear", "amount": 100 })), async {
        let request = owner.one_pending().await;
        let status = async || owner.approval(&request).await["status"].as_str().unwrap().to_owned();

        let ada = Browser::open(&app, &tokens[0], &request).await;
        let bob = Browser::open(&app, &tokens[1], &request).await;
        assert_eq!(ada.approve().await, 200);
        // The same person twice is one voice.
        assert!(ada.approve().await < 500);
        assert_eq!(status().await, "pending");

        let decline = format!("PRELOOP_TOKEN={} preloop approvals decline {request} --comment 'too dear'", tokens[2]);
        let (done, said) = app.shell(&decline).await;
        assert!(done, "{said}");
        assert_eq!(status().await, "pending", "three can still approve");
        assert_eq!(mock.count("dear"), 0);

        assert_eq!(bob.approve().await, 200);
        assert_eq!(status().await, "approved");
        request
    });
    assert!(!answer.is_error(), "{answer:#?}");
    assert_eq!(mock.count("dear"), 1);

    let history = owner.get(&format!("/api/v1/approval-requests/{request}/history")).await;
    let voters = history.as_array().unwrap().iter().filter(|event| event["event_type"] == "vote_received");
    let mut voters: Vec<_> = voters.map(|event| event["actor_email"].as_str().unwrap().to_owned()).collect();
    voters.sort();
    assert_eq!(voters, ["ada@corp.example", "bob@corp.example", "cleo@corp.example"]);
}
