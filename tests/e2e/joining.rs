//! What real clients do when a human takes minutes: they give up, they ask again, they go away.
//! An asked-again call joins the open request and never runs twice.

use std::time::Duration;

use preloop_e2e::{Era, eventually};
use serde_json::json;
use tokio::join;

use crate::approvals::{all_requests, bank};

const IMPATIENT: Duration = Duration::from_millis(700);

#[tokio::test]
async fn a_call_repeated_by_an_impatient_client_joins_the_open_request() {
    let (app, mock) = bank(300, false).await;
    let owner = app.owner();
    let agent = app.agent(Era::Legacy).await;
    let arguments = json!({ "id": "again", "amount": 60 });
    for _ in 0..3 {
        assert!(agent.call_within("pay", arguments.clone(), IMPATIENT).await.is_none());
        assert_eq!(owner.pending().await.len(), 1);
    }

    let reordered = json!({ "amount": 60, "id": "again" });
    let (answer, ()) = join!(agent.call("pay", reordered), async {
        let request = owner.one_pending().await;
        owner.approve(&request).await;
    });

    assert!(!answer.is_error(), "{answer:#?}");
    assert_eq!(mock.count("again"), 1);
    assert_eq!(all_requests(&app).await.len(), 1);
}

#[tokio::test]
async fn an_approval_after_the_client_gave_up_is_delivered_to_the_repeated_call() {
    let (app, mock) = bank(300, false).await;
    let owner = app.owner();
    let agent = app.agent(Era::Legacy).await;
    let arguments = json!({ "id": "late", "amount": 60 });
    assert!(agent.call_within("pay", arguments.clone(), IMPATIENT).await.is_none());
    owner.approve(&owner.one_pending().await).await;

    let answer = agent.call("pay", arguments.clone()).await;

    assert!(!answer.is_error(), "{answer:#?}");
    assert_eq!(answer.result()["structuredContent"]["echo"]["id"], "late");
    assert_eq!(mock.count("late"), 1);
    assert_eq!(all_requests(&app).await.len(), 1);

    // Delivered: the next such call is a new one, and a human decides about it anew.
    assert!(agent.call_within("pay", arguments, IMPATIENT).await.is_none());
    assert_eq!(all_requests(&app).await.len(), 2);
    assert_eq!(mock.count("late"), 1);
}

#[tokio::test]
async fn other_arguments_and_other_agents_do_not_join() {
    let (app, mock) = bank(300, false).await;
    let agent = app.agent(Era::Legacy).await;
    let other = app.agent(Era::Legacy).await;
    let call = json!({ "id": "x", "amount": 60 });
    assert!(agent.call_within("pay", call.clone(), IMPATIENT).await.is_none());
    assert!(agent.call_within("pay", json!({ "id": "x", "amount": 61 }), IMPATIENT).await.is_none());
    assert!(other.call_within("pay", call, IMPATIENT).await.is_none());
    assert_eq!(all_requests(&app).await.len(), 3);
    assert_eq!(mock.count("x"), 0);
}

#[tokio::test]
async fn a_client_of_any_era_that_goes_away_leaves_no_second_effect() {
    let (app, mock) = bank(300, false).await;
    let owner = app.owner();
    for era in Era::ALL {
        let agent = app.agent(era).await;
        let id = era.version();
        let arguments = json!({ "id": id, "amount": 60 });
        assert!(agent.call_within("pay", arguments.clone(), IMPATIENT).await.is_none());

        // In the modern era hanging up withdraws the request, in the legacy era it does not; a
        // decision that comes now may find it open or gone.
        let first = all_requests(&app).await.remove(0);
        owner.decide(&first, "approve", "go").await;
        let (answer, ()) = join!(agent.call("pay", arguments), async {
            let again = eventually("an end", || async {
                let newest = all_requests(&app).await.remove(0);
                Some(newest).filter(|newest| *newest != first || mock.count(id) > 0)
            });
            let again = again.await;
            if again != first {
                owner.approve(&again).await;
            }
        });
        assert!(!answer.is_error(), "{answer:#?}");
        assert_eq!(mock.count(id), 1);
    }
}

#[tokio::test]
async fn a_held_call_outlives_a_crash_of_the_server() {
    let (mut app, mock) = bank(300, false).await;
    let agent = app.agent(Era::Legacy).await;
    let arguments = json!({ "id": "crash", "amount": 60 });
    assert!(agent.call_within("pay", arguments.clone(), IMPATIENT).await.is_none());

    app.kill().await;
    app.revive().await;
    let owner = app.owner();
    owner.approve(&owner.one_pending().await).await;

    let answer = agent.call("pay", arguments).await;
    assert!(!answer.is_error(), "{answer:#?}");
    assert_eq!(mock.count("crash"), 1);
    assert_eq!(all_requests(&app).await.len(), 1);
}
