//! Calls of plugins' providers.

use std::time::Duration;

use domain::{
    Timestamp,
    plugin::{IngressCall, IngressOutcome, IngressStored, Instance, Plugin},
    port::{ClaimedIngress, StoreErrorKind},
};
use testkit::{START, build};

use super::{
    Store,
    plugins::{after, new_instance},
};

pub(crate) async fn store_call<S: Store>(store: &S, call: &IngressCall) -> IngressStored {
    store.store_ingress(call, false, 100).await.unwrap()
}

async fn claim<S: Store>(store: &S, now: Timestamp) -> Vec<ClaimedIngress> {
    store.claim_ingress(now, now.plus(Duration::from_secs(60)), 100).await.unwrap()
}

async fn finish<S: Store>(store: &S, one: &ClaimedIngress, outcome: IngressOutcome) -> bool {
    store.finish_ingress(one.call.id, one.epoch, &outcome, START).await.unwrap()
}

fn numbers(claimed: &[ClaimedIngress]) -> Vec<&str> {
    claimed.iter().map(|one| one.call.request.headers["x-number"].as_str()).collect()
}

pub async fn a_call_is_stored_once<S: Store>(store: &S) {
    new_instance(store).await;
    let call = build::ingress(1, "chat 1\0");
    assert_eq!(store_call(store, &call).await, IngressStored::New);
    let again = IngressCall { id: build::ingress(2, "").id, ..call.clone() };
    assert_eq!(store_call(store, &again).await, IngressStored::Again);
    let other = IngressCall { digest: "other".into(), ..again };
    assert_eq!(store_call(store, &other).await, IngressStored::OtherBody);
    let by_digest = async |most| store.store_ingress(&other, true, most).await.unwrap();
    assert_eq!(by_digest(1).await, IngressStored::Full);
    assert_eq!(by_digest(2).await, IngressStored::New);
    assert_eq!(by_digest(2).await, IngressStored::Again);
    let route = IngressCall { route: "more".into(), id: build::ingress(3, "").id, ..call.clone() };
    assert_eq!(store_call(store, &route).await, IngressStored::New);
    let first = claim(store, START).await;
    assert_eq!(first[0].call, call, "every field is as it was");
    assert!(finish(store, &first[0], IngressOutcome::Done).await);
    assert_eq!(store_call(store, &call).await, IngressStored::Again, "also when it is done");
    let stranger = IngressCall { instance: "nobody".into(), ..build::ingress(4, "") };
    let error = store.store_ingress(&stranger, false, 9).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Gone);
}

pub async fn calls_of_one_key_go_one_after_another<S: Store>(store: &S) {
    let (plugin, instance) = new_instance(store).await;
    assert_eq!(store.next_ingress().await.unwrap(), None);
    for (number, key) in [(1, "a"), (2, "a"), (3, "b")] {
        store_call(store, &build::ingress(number, key)).await;
    }
    let disabled = Instance { enabled: false, ..instance.clone() };
    assert!(store.update_instance(&disabled).await.unwrap());
    assert!(claim(store, START).await.is_empty());
    assert_eq!(store.next_ingress().await.unwrap(), None, "it waits for no time");
    assert!(store.update_instance(&instance).await.unwrap());
    let mut off = Plugin { enabled: false, ..plugin };
    off.revision = store.update_plugin(&off, None).await.unwrap().unwrap();
    assert!(claim(store, START).await.is_empty());
    let on = Plugin { enabled: true, ..off };
    assert!(store.update_plugin(&on, None).await.unwrap().is_some());

    assert_eq!(store.next_ingress().await.unwrap(), Some(START));
    let claims = futures::future::join_all((0..4).map(|_| claim(store, START))).await;
    let mut heads = claims.concat();
    heads.sort_by_key(|one| one.call.id);
    assert_eq!(numbers(&heads), ["1", "3"], "heads alone, each once");
    assert_eq!(store.next_ingress().await.unwrap(), Some(after(60)), "the end of the claims");
    let retry = IngressOutcome::RetryAt(after(30), "no\0t now".into());
    assert!(finish(store, &heads[0], retry.clone()).await);
    assert!(finish(store, &heads[0], retry).await, "said twice, counted once");
    assert!(finish(store, &heads[1], IngressOutcome::Done).await);
    assert!(claim(store, after(29)).await.is_empty(), "the second waits for the first");
    assert_eq!(store.next_ingress().await.unwrap(), Some(after(30)));
    let again = claim(store, after(30)).await;
    assert_eq!((numbers(&again), again[0].call.attempts), (vec!["1"], 1));
    assert_eq!(again[0].call.error.as_deref(), Some("no\u{fffd}t now"));
    assert!(finish(store, &again[0], IngressOutcome::Dead("no".into())).await);
    assert_eq!(numbers(&claim(store, after(30)).await), ["2"]);
}

pub async fn a_claim_that_ran_out_is_somebody_elses<S: Store>(store: &S) {
    new_instance(store).await;
    store_call(store, &build::ingress(1, "a")).await;
    let late = claim(store, START).await;
    assert!(claim(store, after(59)).await.is_empty());
    let new = claim(store, after(60)).await;
    assert_eq!(new[0].call, late[0].call);
    for outcome in [IngressOutcome::Done, IngressOutcome::RetryAt(START, "late".into())] {
        assert!(!finish(store, &late[0], outcome).await);
    }
    assert!(claim(store, after(61)).await.is_empty(), "nothing was changed");
    assert!(finish(store, &new[0], IngressOutcome::Done).await);
    assert!(finish(store, &new[0], IngressOutcome::Done).await);
    assert_eq!(store.next_ingress().await.unwrap(), None);
}

pub async fn dead_calls_wait_again<S: Store>(store: &S) {
    let (plugin, instance) = new_instance(store).await;
    for number in 1..=4 {
        store_call(store, &build::ingress(number, "a")).await;
    }
    for _ in 0..3 {
        let head = claim(store, START).await;
        assert!(finish(store, &head[0], IngressOutcome::Dead("broken".into())).await);
    }
    let last = claim(store, START).await;
    assert_eq!(numbers(&last), ["4"]);
    let redrive = async |limit| {
        store.redrive_ingress(&plugin.id, &instance.id, after(5), limit).await.unwrap()
    };
    assert_eq!(redrive(2).await, (2, 1));
    assert!(claim(store, after(5)).await.is_empty(), "one behind them is being handled");
    assert_eq!(store.next_ingress().await.unwrap(), Some(after(60)));
    assert!(finish(store, &last[0], IngressOutcome::Done).await);
    let first = claim(store, after(5)).await;
    assert_eq!((numbers(&first), first[0].call.attempts), (vec!["1"], 0), "the oldest, anew");
    assert_eq!(redrive(9).await, (1, 0));
    assert_eq!(redrive(9).await, (0, 0));
}

pub async fn old_calls_are_forgotten<S: Store>(store: &S) {
    new_instance(store).await;
    for number in 1..=3 {
        store_call(store, &build::ingress(number, &number.to_string())).await;
    }
    let claimed = claim(store, START).await;
    assert!(finish(store, &claimed[0], IngressOutcome::Done).await);
    assert!(finish(store, &claimed[1], IngressOutcome::Dead("no".into())).await);
    let forget = async |done, dead| store.forget_ingress(done, dead, 10).await.unwrap();
    assert_eq!(forget(START, START).await, 0);
    assert_eq!(forget(after(1), START).await, 1);
    assert_eq!(store_call(store, &claimed[0].call).await, IngressStored::New);
    assert_eq!(store_call(store, &claimed[1].call).await, IngressStored::Again);
    assert_eq!(store.forget_ingress(after(1), after(1), 0).await.unwrap(), 0);
    assert_eq!(forget(after(1), after(1)).await, 1);
    assert_eq!(store_call(store, &claimed[1].call).await, IngressStored::New);
    assert_eq!(store_call(store, &claimed[2].call).await, IngressStored::Again);
}
