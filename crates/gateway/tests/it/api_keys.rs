//! Keys of the API.

use std::time::Duration;

use domain::{
    ApiKeyId,
    api_key::{ApiKey, KeyHash, KeyRefused, Role},
    port::ApiKeyStore as _,
    webhook::Secret,
};
use gateway::api_keys::{ApiKeyPatch, AuthError, NewApiKey, UpdateKeyError};
use testkit::build;

use crate::house::{House, until};

fn new(role: Role) -> NewApiKey {
    NewApiKey {
        name: "till".into(),
        role,
        allowed_ips: vec![],
        allowed_sessions: vec![],
        allowed_chats: vec![],
        approval: None,
        expires_at: None,
    }
}

async fn refused(house: &House, key: &str, ip: Option<&str>) -> Option<KeyRefused> {
    let ip = ip.map(|ip| ip.parse().unwrap());
    match house.gateway.api_keys.authenticate(key, ip, &|_| {}).await {
        Ok(_) => None,
        Err(AuthError::Refused(why)) => Some(why),
        Err(error) => panic!("{error}"),
    }
}

async fn read(house: &House, id: ApiKeyId) -> ApiKey {
    house.gateway.api_keys.get(id).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_key_opens_until_it_is_revoked_expired_or_deleted() {
    let house = House::start().await;
    let keys = &house.gateway.api_keys;
    let (key, text) = keys.create(new(Role::Operator)).await.unwrap();
    assert!(text.starts_with("owa_k1_") && text.starts_with(&key.prefix));
    assert_eq!(refused(&house, &text, None).await, None);
    assert_eq!(refused(&house, "owa_k1_guess", None).await, Some(KeyRefused::Unknown));
    keys.revoke(key.id).await.unwrap();
    assert_eq!(refused(&house, &text, None).await, Some(KeyRefused::Revoked));
    keys.delete(key.id).await.unwrap();
    assert_eq!(refused(&house, &text, None).await, Some(KeyRefused::Unknown));
    assert!(matches!(keys.delete(key.id).await, Err(UpdateKeyError::NotFound(_))));
    assert!(matches!(keys.revoke(key.id).await, Err(UpdateKeyError::NotFound(_))));

    let expires_at = Some(house.now().plus(Duration::from_secs(60)));
    let (key, text) = keys.create(NewApiKey { expires_at, ..new(Role::Viewer) }).await.unwrap();
    assert_eq!(refused(&house, &text, None).await, None);
    house.clock.advance(Duration::from_secs(60));
    assert_eq!(refused(&house, &text, None).await, Some(KeyRefused::Expired));
    let patch = ApiKeyPatch { expires_at: Some(None), ..ApiKeyPatch::default() };
    keys.update(key.id, patch).await.unwrap();
    assert_eq!(refused(&house, &text, None).await, None);
}

#[tokio::test]
async fn a_key_may_be_bound_to_addresses() {
    let house = House::start().await;
    let allowed_ips = vec!["10.0.0.0/8".parse().unwrap()];
    let keys = &house.gateway.api_keys;
    let (key, text) = keys.create(NewApiKey { allowed_ips, ..new(Role::Viewer) }).await.unwrap();
    assert_eq!(refused(&house, &text, Some("10.1.2.3")).await, None);
    assert_eq!(refused(&house, &text, Some("::ffff:10.1.2.3")).await, None);
    assert_eq!(refused(&house, &text, Some("11.0.0.1")).await, Some(KeyRefused::Ip));
    assert_eq!(refused(&house, &text, None).await, Some(KeyRefused::IpUnknown));
    let patch = ApiKeyPatch { allowed_ips: Some(vec![]), ..ApiKeyPatch::default() };
    keys.update(key.id, patch).await.unwrap();
    assert_eq!(refused(&house, &text, None).await, None);
}

#[tokio::test]
async fn uses_are_counted_and_written_every_few_seconds() {
    let house = House::start().await;
    let (key, text) = house.gateway.api_keys.create(new(Role::Viewer)).await.unwrap();
    house.clock.advance(Duration::from_secs(2));
    let used = house.now();
    for _ in 0..3 {
        refused(&house, &text, None).await;
    }
    assert_eq!(read(&house, key.id).await.usage_count, 0);
    house.clock.advance(Duration::from_secs(5));
    until("counted", async || read(&house, key.id).await.usage_count == 3).await;
    assert_eq!(read(&house, key.id).await.last_used_at, Some(used));
    // And at the end.
    refused(&house, &text, None).await;
    house.gateway.shutdown().await;
    assert_eq!(read(&house, key.id).await.usage_count, 4);
}

#[tokio::test]
async fn the_last_admin_stays() {
    let house = House::start().await;
    let keys = &house.gateway.api_keys;
    let text = keys.ensure_admin(None).await.unwrap().unwrap();
    assert_eq!(keys.ensure_admin(None).await.unwrap(), None);
    let admin = keys.authenticate(&text, None, &|_| {}).await.unwrap();
    let weaker: [ApiKeyPatch; 4] = [
        ApiKeyPatch { role: Some(Role::Operator), ..ApiKeyPatch::default() },
        ApiKeyPatch { allowed_sessions: Some(vec![build::session(1).id]), ..Default::default() },
        ApiKeyPatch { allowed_chats: Some(vec![build::chat(1)]), ..Default::default() },
        ApiKeyPatch { expires_at: Some(Some(house.now())), ..ApiKeyPatch::default() },
    ];
    for patch in weaker {
        let refused = keys.update(admin.id, patch).await;
        assert!(matches!(refused, Err(UpdateKeyError::LastAdmin)));
    }
    assert!(matches!(keys.revoke(admin.id).await, Err(UpdateKeyError::LastAdmin)));
    assert!(matches!(keys.delete(admin.id).await, Err(UpdateKeyError::LastAdmin)));
    let patch = ApiKeyPatch { name: Some("boss".into()), ..ApiKeyPatch::default() };
    assert_eq!(keys.update(admin.id, patch).await.unwrap().name, "boss");
    // With another one it may go; of two that go at once, one stays.
    let (second, _) = keys.create(new(Role::Admin)).await.unwrap();
    let both = tokio::join!(keys.revoke(admin.id), keys.delete(second.id));
    assert_eq!(u8::from(both.0.is_ok()) + u8::from(both.1.is_ok()), 1);
}

#[tokio::test]
async fn a_master_key_is_stored_once_and_never_shown() {
    let house = House::start().await;
    let keys = &house.gateway.api_keys;
    for _ in 0..2 {
        assert_eq!(keys.ensure_admin(Some("a master key of my own")).await.unwrap(), None);
    }
    assert_eq!(keys.list().await.unwrap().len(), 1);
    let key = keys.authenticate("a master key of my own", None, &|_| {}).await.unwrap();
    assert_eq!(key.role, Role::Admin);
    // It counts as an admin.
    assert_eq!(keys.ensure_admin(None).await.unwrap(), None);
}

#[tokio::test]
async fn nothing_is_shown_of_a_master_key_and_a_new_one_revokes_the_old() {
    let house = House::start().await;
    let keys = &house.gateway.api_keys;
    let (old, new) = ("correct-horse-16", "battery-staple-17");
    keys.ensure_admin(Some(old)).await.unwrap();
    let (made, by_hand) = keys.create(self::new(Role::Admin)).await.unwrap();
    let shown = &keys.list().await.unwrap()[1];
    assert!(shown.prefix.starts_with("master-") && shown.prefix.len() == 11, "{}", shown.prefix);
    keys.ensure_admin(Some(new)).await.unwrap();
    assert!(keys.authenticate(old, None, &|_| {}).await.is_err(), "the old one still opens");
    for text in [new, &by_hand] {
        keys.authenticate(text, None, &|_| {}).await.unwrap();
    }
    // What was revoked by hand stays so, whatever the environment says.
    keys.revoke(made.id).await.unwrap();
    keys.ensure_admin(Some(&by_hand)).await.unwrap();
    assert!(keys.authenticate(&by_hand, None, &|_| {}).await.is_err());
}

#[tokio::test]
async fn with_a_pepper_the_ledger_alone_does_not_tell_keys_and_older_keys_change_over() {
    let pepper = "sixteen or more characters";
    let mut house = House::start().await;
    let (_, text) = house.gateway.api_keys.create(new(Role::Viewer)).await.unwrap();
    house.gateway.api_keys.ensure_admin(Some("correct-horse-16")).await.unwrap();
    house.restart_with(|options| options.key_pepper = Some(Secret::new(pepper))).await;
    let keys = &house.gateway.api_keys;
    keys.ensure_admin(Some("correct-horse-16")).await.unwrap();
    for text in [&text, "correct-horse-16"] {
        keys.authenticate(text, None, &|_| {}).await.unwrap();
        assert_eq!(house.store.api_key_by_hash(KeyHash::of(text)).await.unwrap(), None);
        let hash = KeyHash::peppered(text, pepper.as_bytes());
        assert!(house.store.api_key_by_hash(hash).await.unwrap().is_some());
    }
    assert_eq!(keys.list().await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_admin_that_only_some_addresses_may_use_does_not_stand_in_for_the_last_one() {
    let house = House::start().await;
    let keys = &house.gateway.api_keys;
    let text = keys.ensure_admin(None).await.unwrap().unwrap();
    let admin = keys.authenticate(&text, None, &|_| {}).await.unwrap();
    let elsewhere = vec!["203.0.113.7/32".parse().unwrap()];
    keys.create(NewApiKey { allowed_ips: elsewhere, ..new(Role::Admin) }).await.unwrap();
    assert!(matches!(keys.revoke(admin.id).await, Err(UpdateKeyError::LastAdmin)));
}
