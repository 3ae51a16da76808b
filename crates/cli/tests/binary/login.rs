//! Signing in as a person, against a server that says what it was asked.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};

use crate::rig::{Place, mode};

/// A server with an authorization server's manners.
#[derive(Clone)]
struct Fake {
    url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Path and body of every request.
    asked: Vec<(String, String)>,
    /// The access token that works, by its number.
    works: Option<u32>,
    given: u32,
    answered: bool,
}

impl Fake {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fake = Self { url: format!("http://{}", listener.local_addr().unwrap()), state: Arc::default() };
        let serving = fake.clone();
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let fake = serving.clone();
                thread::spawn(move || fake.serve(socket));
            }
        });
        fake
    }

    fn serve(&self, mut socket: TcpStream) {
        let mut reader = BufReader::new(socket.try_clone().unwrap());
        let (mut head, mut length, mut bearer) = (String::new(), 0, String::new());
        reader.read_line(&mut head).unwrap();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "authorization" => value.clone_into(&mut bearer),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let path = head.split(' ').nth(1).unwrap_or_default();
        let (status, answer) = self.answer(path, &String::from_utf8(body).unwrap(), &bearer);
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n");
        write!(socket, "{head}content-length: {}\r\n\r\n{answer}", answer.len()).unwrap();
    }

    fn answer(&self, path: &str, body: &str, bearer: &str) -> (u16, Value) {
        let mut state = self.state.lock().unwrap();
        state.asked.push((path.to_owned(), body.to_owned()));
        match path {
            "/oauth/device_authorization" => (
                200,
                json!({"device_code": "d", "user_code": "BCDF-GHJK",
                "verification_uri": format!("{}/device", self.url), "expires_in": 60, "interval": 1}),
            ),
            "/oauth/token" if body.contains("device_code") && !state.answered => {
                state.answered = true;
                (400, json!({"error": "authorization_pending"}))
            }
            "/oauth/token"
                if body.contains("device_code") || body.contains(&format!("refresh_token=r{}&", state.given)) =>
            {
                state.given += 1;
                state.works = Some(state.given);
                let given = state.given;
                (
                    200,
                    json!({"access_token": format!("a{given}"), "refresh_token": format!("r{given}"),
                    "expires_in": 3600, "token_type": "Bearer"}),
                )
            }
            "/oauth/token" => (400, json!({"error": "invalid_grant"})),
            "/oauth/revoke" => (200, json!({})),
            "/api/v1/auth/users/me" if state.works.is_some_and(|works| bearer == format!("Bearer a{works}")) => {
                let id = "0190a5a5-0000-7000-8000-000000000000";
                (
                    200,
                    json!({"id": id, "account_id": id, "username": "ann", "email": null, "full_name": null,
                    "email_verified": false, "is_superuser": false, "is_active": true,
                    "user_source": "local", "last_login": null,
                    "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}),
                )
            }
            _ => (401, json!({"detail": "Could not validate credentials"})),
        }
    }

    fn expire(&self) {
        self.state.lock().unwrap().works = None;
    }

    fn asked(&self, path: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.asked.iter().filter(|(asked, _)| asked == path).map(|(_, body)| body.clone()).collect()
    }
}

#[test]
fn a_person_signs_in_is_known_and_signs_out() {
    let (place, fake) = (Place::new(), Fake::start());
    let nobody = place.run(&["whoami", "--url", &fake.url]);
    assert_eq!(nobody.code, 3);
    assert!(nobody.errors.contains("preloop login"), "{}", nobody.errors);

    let login = place.run(&["login", "--no-browser", "--url", &fake.url]).succeeds();
    assert!(login.errors.contains("/device") && login.errors.contains("BCDF-GHJK"), "{}", login.errors);
    assert!(login.output.contains("ann") && !login.output.contains("a1"), "{}", login.output);
    assert_eq!(mode(&place.credentials()), 0o600);

    // The first server that is kept is the default.
    let who = place.run(&["whoami", "--json"]).succeeds().json();
    assert_eq!((&who["username"], &who["credential"]), (&json!("ann"), &json!("sign-in")));

    place.run(&["logout"]).succeeds();
    assert_eq!(fake.asked("/oauth/revoke"), ["token=r1&client_id=preloop-cli"]);
    assert!(!std::fs::read_to_string(place.credentials()).unwrap().contains("r1"));
    assert_eq!(place.run(&["logout", "--url", &fake.url]).code, 4);
}

#[test]
fn of_commands_that_find_the_token_over_at_once_one_renews_it() {
    let (place, fake) = (Place::new(), Fake::start());
    place.run(&["login", "--no-browser", "--url", &fake.url]).succeeds();
    fake.expire();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| place.run(&["whoami"]).succeeds());
        }
    });
    let renewals = fake.asked("/oauth/token").iter().filter(|body| body.contains("refresh_token=")).count();
    assert_eq!(renewals, 1);

    // A sign-in that is over says so, once.
    fake.expire();
    fake.state.lock().unwrap().given = 99;
    let over = place.run(&["whoami"]);
    assert_eq!(over.code, 3);
    assert!(over.errors.contains("not signed in") && over.errors.contains("preloop login"), "{}", over.errors);
}
