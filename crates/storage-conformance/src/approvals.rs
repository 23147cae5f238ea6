//! Sends that wait for a person.

use std::time::Duration;

use domain::{
    ApprovalId, EventId, SessionId,
    api_key::Role,
    approval::{Approval, ApprovalAnswer, ApprovalChange, ApprovalState, ApprovalWrite, Decision},
    event::EventType,
    port::{ApprovalQuery, Page, StoreErrorKind, Write, WriteOutcome},
};
use serde_json::json;
use uuid::Uuid;

use super::{Store, new_session};
use testkit::{START, build};

const ALL: Page = Page { limit: 100, offset: 0 };

fn approval(number: u32, session: SessionId) -> Approval {
    Approval {
        id: ApprovalId::from_uuid(Uuid::from_u128(number.into())),
        session,
        chat: Some(build::chat(number)),
        key: build::api_key(1, Role::Operator).id,
        key_name: "agent".into(),
        request_key: None,
        route: "send-text".into(),
        request: format!(r#"{{"text":"hello {number}"}}"#),
        state: ApprovalState::Held,
        created_at: START.plus(Duration::from_secs(number.into())),
        decided: None,
        answer: None,
    }
}

async fn change<S: Store>(
    store: &S,
    of: &Approval,
    change: ApprovalChange,
) -> Option<Vec<EventType>> {
    let event = EventId::from_uuid(Uuid::new_v4());
    let write = ApprovalWrite { id: of.id, session: of.session, change, event };
    let outcomes = store.write(vec![Write::Approval(Box::new(write))]).await.unwrap();
    match &outcomes[..] {
        [WriteOutcome::Applied(events)] => {
            Some(events.iter().map(|event| event.draft.kind).collect())
        }
        _ => None,
    }
}

async fn hold<S: Store>(store: &S, approval: &Approval) -> Option<Vec<EventType>> {
    change(store, approval, ApprovalChange::Hold(Box::new(approval.clone()))).await
}

fn decided(state: ApprovalState, seconds: u64) -> ApprovalChange {
    let decision = Decision { at: START.plus(Duration::from_secs(seconds)), by: "Mia".into() };
    ApprovalChange::Decide { state, decision }
}

fn finished(state: ApprovalState) -> ApprovalChange {
    let answer = ApprovalAnswer { status: 201, body: json!({ "messageId": "3EB0" }) };
    ApprovalChange::Finish { state, answer }
}

pub async fn an_approval_lives_once<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let one = approval(1, session);
    assert_eq!(hold(store, &one).await, Some(vec![EventType::ApprovalHeld]));
    assert_eq!(hold(store, &one).await, None, "it is there");
    assert_eq!(store.approval(one.id).await.unwrap(), Some(one.clone()));
    assert_eq!(change(store, &one, finished(ApprovalState::Sent)).await, None, "not released yet");
    let released = change(store, &one, decided(ApprovalState::Released, 9)).await;
    assert_eq!(released, Some(vec![EventType::ApprovalReleased]));
    assert_eq!(change(store, &one, decided(ApprovalState::Refused, 9)).await, None, "too late");
    let kept = store.approval(one.id).await.unwrap().unwrap();
    assert_eq!((kept.state, &kept.request), (ApprovalState::Released, &one.request));
    assert_eq!(change(store, &one, finished(ApprovalState::Sent)).await, Some(vec![]));
    assert_eq!(change(store, &one, finished(ApprovalState::Failed)).await, None);
    let done = store.approval(one.id).await.unwrap().unwrap();
    assert_eq!((done.state, done.request.as_str()), (ApprovalState::Sent, ""));
    assert_eq!(done.answer.unwrap().body["messageId"], "3EB0");
    assert_eq!(done.decided.unwrap().by, "Mia");
    let two = approval(2, session);
    hold(store, &two).await;
    let refused = change(store, &two, decided(ApprovalState::Refused, 9)).await;
    assert_eq!(refused, Some(vec![EventType::ApprovalRefused]));
    assert_eq!(store.approval(two.id).await.unwrap().unwrap().request, "");
    let theirs = Approval { session: new_session(store, 2).await, ..approval(1, session) };
    assert_eq!(change(store, &theirs, finished(ApprovalState::Sent)).await, None);
}

pub async fn the_same_request_waits_once<S: Store>(store: &S) {
    let (one, other) = (new_session(store, 1).await, new_session(store, 2).await);
    let named = |number, session| Approval {
        request_key: Some("once".into()),
        ..approval(number, session)
    };
    let first = named(1, one);
    assert!(hold(store, &first).await.is_some());
    assert!(hold(store, &named(2, one)).await.is_none());
    assert!(hold(store, &named(3, other)).await.is_some(), "another session");
    let found = store.approval_of_request(one, first.key, "once").await.unwrap();
    assert_eq!(found.unwrap().id, first.id);
    assert_eq!(store.approval_of_request(one, first.key, "twice").await.unwrap(), None);
    let nobody = approval(4, build::session(9).id);
    let held = ApprovalChange::Hold(Box::new(nobody.clone()));
    let event = EventId::from_uuid(Uuid::new_v4());
    let write = ApprovalWrite { id: nobody.id, session: nobody.session, change: held, event };
    let refused = store.write(vec![Write::Approval(Box::new(write))]).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Gone);
}

pub async fn budgets_are_counted_by_day<S: Store>(store: &S) {
    let (one, two) = (build::api_key(1, Role::Operator), build::api_key(2, Role::Operator));
    for key in [&one, &two] {
        store.insert_api_key(key).await.unwrap();
    }
    for (day, expected) in [(5, true), (5, true), (5, false), (6, true), (6, true), (6, false)] {
        assert_eq!(store.take_approval_budget(one.id, day, 2).await.unwrap(), expected, "{day}");
    }
    assert!(store.take_approval_budget(two.id, 6, 2).await.unwrap());
    assert!(store.take_approval_budget(one.id, 6, 3).await.unwrap(), "it was raised");
}

pub async fn approvals_are_listed_and_pruned<S: Store>(store: &S) {
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    let other = build::api_key(2, Role::Operator).id;
    let rows = [approval(1, one), approval(2, two), Approval { key: other, ..approval(3, one) }];
    for row in &rows {
        hold(store, row).await;
    }
    change(store, &rows[0], decided(ApprovalState::Refused, 100)).await;
    change(store, &rows[2], decided(ApprovalState::Released, 50)).await;
    let list = async |query: ApprovalQuery| -> Vec<ApprovalId> {
        store.approvals(&query, ALL).await.unwrap().into_iter().map(|row| row.id).collect()
    };
    let none = ApprovalQuery::default();
    let [a, b, c] = rows.map(|row| row.id);
    assert_eq!(list(none).await, [c, b, a]);
    assert_eq!(list(ApprovalQuery { session: Some(one), ..none }).await, [c, a]);
    assert_eq!(list(ApprovalQuery { state: Some(ApprovalState::Held), ..none }).await, [b]);
    assert_eq!(list(ApprovalQuery { key: Some(other), ..none }).await, [c]);
    let both = ApprovalQuery { session: Some(one), state: Some(ApprovalState::Refused), key: None };
    assert_eq!(list(both).await, [a]);
    let page = Page { limit: 1, offset: 1 };
    assert_eq!(store.approvals(&none, page).await.unwrap()[0].id, b);
    let oldest = store.oldest_approvals(ApprovalState::Released, 5).await.unwrap();
    assert_eq!(oldest.into_iter().map(|row| row.id).collect::<Vec<_>>(), [c]);
    let late = START.plus(Duration::from_secs(100));
    assert_eq!(store.prune_approvals(late, 5).await.unwrap(), 0, "decided then, not before");
    assert_eq!(store.prune_approvals(late.plus(Duration::from_secs(1)), 5).await.unwrap(), 1);
    assert_eq!(list(none).await, [c, b], "what is on its way stays");
    assert!(store.delete_session(one).await.unwrap());
    assert_eq!(list(none).await, [b]);
}
