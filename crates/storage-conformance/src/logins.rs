//! Logins of browsers.

use std::time::Duration;

use domain::{
    ApiKeyId, Timestamp,
    api_key::{KeyHash, Role},
    login::{Login, LoginKind},
};

use super::Store;
use testkit::{START, build};

fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

async fn key<S: Store>(store: &S) -> ApiKeyId {
    let key = build::api_key(1, Role::Viewer);
    store.insert_api_key(&key).await.unwrap();
    key.id
}

fn login(key: ApiKeyId, text: &str, kind: LoginKind, seconds: u64) -> Login {
    Login {
        hash: KeyHash::of(text),
        kind,
        key,
        created_at: at(seconds),
        expires_at: at(seconds + 60),
        last_used_at: None,
    }
}

pub async fn a_login_reads_back_as_it_was<S: Store>(store: &S) {
    let key = key(store).await;
    let login = login(key, "a", LoginKind::Cookie, 0);
    store.insert_login(&login, 10).await.unwrap();
    assert_eq!(store.login(login.hash).await.unwrap().as_ref(), Some(&login));
    assert_eq!(store.login(KeyHash::of("b")).await.unwrap(), None);
    store.touch_login(login.hash, at(5)).await.unwrap();
    let used = store.login(login.hash).await.unwrap().unwrap();
    assert_eq!(used, Login { last_used_at: Some(at(5)), ..login });
}

pub async fn a_link_is_taken_once<S: Store>(store: &S) {
    let key = key(store).await;
    let link = login(key, "a", LoginKind::Link, 0);
    store.insert_login(&link, 10).await.unwrap();
    assert_eq!(store.take_login(link.hash, LoginKind::Cookie).await.unwrap(), None);
    assert_eq!(store.take_login(link.hash, LoginKind::Link).await.unwrap().as_ref(), Some(&link));
    assert_eq!(store.take_login(link.hash, LoginKind::Link).await.unwrap(), None);
}

pub async fn logins_that_are_over_go<S: Store>(store: &S) {
    let key = key(store).await;
    let (old, young) =
        (login(key, "old", LoginKind::Cookie, 0), login(key, "young", LoginKind::Link, 1));
    for login in [&old, &young] {
        store.insert_login(login, 10).await.unwrap();
    }
    assert_eq!(store.delete_expired_logins(at(60)).await.unwrap(), 1);
    assert_eq!(store.login(old.hash).await.unwrap(), None);
    assert!(store.login(young.hash).await.unwrap().is_some());
}

pub async fn logins_go_with_their_key<S: Store>(store: &S) {
    let key = key(store).await;
    let login = login(key, "a", LoginKind::Cookie, 0);
    store.insert_login(&login, 10).await.unwrap();
    assert!(store.delete_api_key(key).await.unwrap());
    assert_eq!(store.login(login.hash).await.unwrap(), None);
}

pub async fn the_newest_logins_of_a_key_stay<S: Store>(store: &S) {
    let key = key(store).await;
    for number in 0..5 {
        let login = login(key, &number.to_string(), LoginKind::Cookie, number);
        store.insert_login(&login, 3).await.unwrap();
    }
    let mut left = Vec::new();
    for number in 0..5 {
        left.push(store.login(KeyHash::of(&number.to_string())).await.unwrap().is_some());
    }
    assert_eq!(left, [false, false, true, true, true]);
}
