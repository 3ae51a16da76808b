//! The approval page: what a person with a link sees on a phone.
//!
//! Rendered here, without a script. A `GET` only shows: mail scanners follow links. The form posts
//! to the page itself. Everything an agent or an upstream wrote is escaped by the template.

mod account;
mod client;
mod passwords;
pub(crate) mod session;
pub(crate) mod shell;
mod sign_in;
mod sso;
mod view;

use axum::{
    Form, Router,
    extract::State,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use http::{HeaderName, StatusCode, header};
use preloop_api_types::approval_requests::LinkToken;
use preloop_govern::{Answer as Answered, Error, Vote};
use preloop_types::ApprovalId;
use serde::Deserialize;

use crate::{
    App,
    caller::Visitor,
    error::ApiError,
    extract::{Id, Query},
};
pub(crate) use client::client_name;
use view::{Notice, View};

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/approval/{id}", get(show).post(decide))
        .merge(sign_in::router())
        .merge(sso::router())
        .merge(passwords::router())
        .merge(account::router())
}

/// What the form sends.
#[expect(clippy::struct_field_names, reason = "the names of the form's fields")]
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    action: String,
    #[serde(default)]
    comment: String,
    /// Hash of what the page showed.
    #[serde(default)]
    shown: String,
    #[serde(default)]
    selected_option: Option<String>,
    #[serde(default)]
    answer_text: Option<String>,
    #[serde(default)]
    answer: Option<String>,
}

impl Answer {
    /// The vote; an error if the form is not JSON.
    fn vote(self, approve: bool) -> Result<Vote, String> {
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let form = match filled(self.answer) {
            Some(text) => Some(serde_json::from_str(&text).map_err(|error| format!("The form is not JSON: {error}."))?),
            None => None,
        };
        let answer = Answered {
            answer_text: filled(self.answer_text),
            selected_option: filled(self.selected_option),
            answer: form,
        };
        Ok(Vote {
            approve,
            comment: filled(Some(self.comment)),
            shown: self.shown.parse().ok(),
            answer: (answer != Answered::default()).then_some(answer),
            ..Vote::default()
        })
    }
}

async fn show(
    visitor: Visitor,
    id: Result<Id<ApprovalId>, ApiError>,
    link: Result<Query<LinkToken>, ApiError>,
) -> Response {
    let (Ok(Id(id)), Ok(Query(link))) = (id, link) else { return no_such_link() };
    match visitor.approval(id, &link.token).await {
        Ok(approval) => View::of(&visitor, &approval, &link.token, Notice::None).await.page(StatusCode::OK),
        Err(error) => refused(&error),
    }
}

async fn decide(
    visitor: Visitor,
    id: Result<Id<ApprovalId>, ApiError>,
    State(app): State<App>,
    form: Result<Form<Answer>, axum::extract::rejection::FormRejection>,
) -> Response {
    let (Ok(Id(id)), Ok(Form(answer))) = (id, form) else { return no_such_link() };
    let approval = match visitor.approval(id, &answer.token).await {
        Ok(approval) => approval,
        Err(error) => return refused(&error),
    };
    let approve = match answer.action.as_str() {
        "approve" => true,
        "decline" => false,
        _ => {
            let notice = Notice::Problem("Choose Approve or Decline.".to_owned());
            return View::of(&app, &approval, &answer.token, notice).await.page(StatusCode::BAD_REQUEST);
        }
    };
    let token = answer.token.clone();
    let vote = match answer.vote(approve) {
        Ok(vote) => vote,
        Err(problem) => {
            let notice = Notice::Problem(problem);
            return View::of(&app, &approval, &token, notice).await.page(StatusCode::UNPROCESSABLE_ENTITY);
        }
    };
    let decided = app.governor().approvals().decide_by_token(id, &token, vote).await;
    let (notice, status) = match decided {
        Ok(_) => (Notice::Done { approve }, StatusCode::OK),
        Err(Error::Invalid(message)) => (Notice::Problem(sentence(&message)), StatusCode::UNPROCESSABLE_ENTITY),
        Err(error @ Error::Form(_)) => {
            (Notice::Problem(sentence(&error.to_string())), StatusCode::UNPROCESSABLE_ENTITY)
        }
        Err(Error::Forbidden(message)) => (Notice::Problem(sentence(&message)), StatusCode::FORBIDDEN),
        Err(Error::Conflict(message)) => (Notice::Problem(sentence(&message)), StatusCode::BAD_REQUEST),
        Err(error) => return refused(&error.into()),
    };
    match app.governor().approvals().by_token(id, &token).await {
        Ok((now, _)) => View::of(&app, &now, &token, notice).await.page(status),
        // The link ends with the request; the decision stands.
        Err(_) => View::of(&app, &approval, &token, notice).await.page(status),
    }
}

fn sentence(message: &str) -> String {
    let mut sentence = message.to_owned();
    if let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    sentence.push('.');
    sentence
}

/// One page for everything that may be wrong with a link: nothing is told about requests that exist.
fn no_such_link() -> Response {
    let text = "The link is not complete, it has ended, or it never existed. Ask for a new one, or open the request \
                with `preloop approvals`.";
    message(StatusCode::NOT_FOUND, "This link leads nowhere", text)
}

fn refused(error: &ApiError) -> Response {
    match error.status() {
        StatusCode::NOT_FOUND => no_such_link(),
        StatusCode::TOO_MANY_REQUESTS => {
            message(error.status(), "Too many attempts", "Wait a minute and open the link again.")
        }
        status => message(status, "This does not work right now", "Nothing was decided. Try again in a moment."),
    }
}

pub(crate) fn message(status: StatusCode, title: &str, text: &str) -> Response {
    answer(status, view::message(title, text))
}

fn answer(status: StatusCode, html: String) -> Response {
    let headers: [(HeaderName, String); 4] = [
        (header::CONTENT_SECURITY_POLICY, view::content_security_policy()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (HeaderName::from_static("x-robots-tag"), "noindex, nofollow".to_owned()),
    ];
    (status, headers, Html(html)).into_response()
}
