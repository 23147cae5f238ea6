//! Registering receivers, and test calls.

use domain::{
    event::Subscription,
    port::{Page, WebhookStore as _},
    signature,
    webhook::Secret,
};
use gateway::webhooks::{NewWebhook, WebhookError, WebhookPatch};
use testkit::{Receiver, Reply, build};

use crate::house::{House, new_webhook};

#[tokio::test]
async fn a_registration_is_checked_and_nothing_wrong_is_stored() {
    let house = House::start().await;
    let session = house.session("bakery").await;
    let wrong: [fn(&mut NewWebhook); 12] = [
        |new| new.url = "not a url".into(),
        |new| new.url = "ftp://shop.example/".into(),
        |new| new.url = "https://ann:secret@shop.example/".into(),
        |new| new.url = format!("https://shop.example/{}", "x".repeat(2048)),
        |new| new.events = vec![],
        |new| new.secret = Some(Secret::new("short")),
        |new| new.secret = Some(Secret::new("x".repeat(256))),
        |new| new.retry_count = Some(6),
        |new| new.headers = vec![("X Y".into(), "1".into())],
        |new| new.headers = vec![("X-Y".into(), "1\r\nHost: x".into())],
        |new| new.headers = vec![("X-Y".into(), "1".into()), ("x-y".into(), "2".into())],
        |new| new.headers = (0..51).map(|n| (format!("X-{n}"), "1".into())).collect(),
    ];
    for (place, change) in wrong.into_iter().enumerate() {
        let mut new = new_webhook("https://shop.example/hook");
        change(&mut new);
        assert!(house.gateway.webhooks.create(session, new).await.is_err(), "{place}");
    }
    let new = new_webhook("https://shop.example/hook");
    let unknown = house.gateway.webhooks.create(build::session(9).id, new).await;
    assert!(matches!(unknown, Err(WebhookError::SessionNotFound(_))));
    let all = house.store.webhooks(None, Page { limit: 10, offset: 0 }).await.unwrap();
    assert!(all.is_empty());
}

#[tokio::test]
async fn a_name_that_does_not_resolve_may_be_registered() {
    let house = House::start().await;
    let session = house.session("bakery").await;
    let new = new_webhook("https://tomorrow.invalid/hook");
    house.gateway.webhooks.create(session, new).await.unwrap();
}

#[tokio::test]
async fn a_session_has_at_most_so_many_webhooks() {
    let house = House::with(|options| options.webhooks.max_per_session = 2).await;
    let session = house.session("bakery").await;
    let create =
        async || house.gateway.webhooks.create(session, new_webhook("https://shop.example/")).await;
    create().await.unwrap();
    let second = create().await.unwrap();
    assert!(matches!(create().await, Err(WebhookError::TooMany(2))));
    house.gateway.webhooks.delete(session, second.id).await.unwrap();
    create().await.unwrap();
}

#[tokio::test]
async fn a_webhook_belongs_to_its_session() {
    let house = House::start().await;
    let (mine, other) = (house.session("mine").await, house.session("other").await);
    let webhooks = &house.gateway.webhooks;
    let webhook = webhooks.create(mine, new_webhook("https://shop.example/")).await.unwrap();
    let id = webhook.id;
    assert!(matches!(webhooks.get(other, id).await, Err(WebhookError::NotFound(_))));
    assert!(matches!(webhooks.delete(other, id).await, Err(WebhookError::NotFound(_))));
    assert!(matches!(webhooks.test(other, id).await, Err(WebhookError::NotFound(_))));
    let patch = WebhookPatch { active: Some(false), ..WebhookPatch::default() };
    assert!(matches!(webhooks.update(other, id, patch).await, Err(WebhookError::NotFound(_))));
    assert!(webhooks.get(mine, id).await.unwrap().active);
    assert_eq!(webhooks.list(Some(other), Page { limit: 9, offset: 0 }).await.unwrap(), []);
}

#[tokio::test]
async fn an_update_keeps_what_it_does_not_name() {
    let house = House::start().await;
    let session = house.session("bakery").await;
    let mut new = new_webhook("https://shop.example/");
    new.secret = Some(Secret::new("0123456789abcdef"));
    let webhooks = &house.gateway.webhooks;
    let old = webhooks.create(session, new).await.unwrap();
    let patch = WebhookPatch { events: Some(vec![Subscription::All]), ..WebhookPatch::default() };
    let new = webhooks.update(session, old.id, patch).await.unwrap();
    assert_eq!((&new.url, &new.secret), (&old.url, &old.secret));
    assert_eq!(new.events, [Subscription::All]);
    let patch = WebhookPatch { secret: Some(None), ..WebhookPatch::default() };
    assert_eq!(webhooks.update(session, old.id, patch).await.unwrap().secret, None);
    let patch = WebhookPatch { url: Some("http://10.0.0.1/".into()), ..WebhookPatch::default() };
    assert!(matches!(webhooks.update(session, old.id, patch).await, Err(WebhookError::Url(_))));
    assert_eq!(webhooks.get(session, old.id).await.unwrap().url, old.url);
}

#[tokio::test]
async fn a_test_call_is_signed_and_tells_what_came_back() {
    let house = House::start().await;
    let session = house.session("bakery").await;
    let receiver = Receiver::start().await;
    let secret = Secret::new("0123456789abcdef");
    let webhook =
        house.webhook_with(session, &receiver, |new| new.secret = Some(secret.clone())).await;
    let test = async || house.gateway.webhooks.test(session, webhook.id).await.unwrap();
    let ping = test().await;
    assert_eq!((ping.success, ping.status_code, ping.error), (true, Some(200), None));
    let call = &receiver.received()[0];
    let body = call.json();
    assert_eq!((&body["event"], body.get("sequence")), (&"test".into(), None));
    assert_eq!(body["data"]["webhookId"], webhook.id.to_string());
    assert_eq!(call.header("x-openwa-event"), "test");
    assert_eq!(call.header("x-openwa-retry-count"), "0");
    assert_eq!(call.header("x-openwa-delivery-id"), body["deliveryId"].as_str().unwrap());
    assert_eq!(call.header("x-openwa-signature"), signature::openwa(&secret, &call.body));

    receiver.answer([Reply::Status(500), Reply::Redirect("http://127.0.0.1:9/".into())]);
    let ping = test().await;
    assert_eq!((ping.success, ping.status_code), (false, Some(500)));
    assert_eq!(ping.error.as_deref(), Some("HTTP 500"));
    assert_eq!(test().await.status_code, Some(302));
    // Nothing of it is an event or a delivery.
    assert!(house.events(session).is_empty());
    assert_eq!(house.pending().await, 0);
}

#[tokio::test]
async fn a_test_call_that_reaches_nobody_is_an_answer() {
    let house = House::start().await;
    let session = house.session("bakery").await;
    let webhooks = &house.gateway.webhooks;
    let webhook = webhooks.create(session, new_webhook("http://127.0.0.1:9/")).await.unwrap();
    let ping = webhooks.test(session, webhook.id).await.unwrap();
    assert_eq!((ping.success, ping.status_code), (false, None));
    assert!(ping.error.is_some_and(|error| !error.contains("127.0.0.1")));
}

#[tokio::test]
async fn two_changes_at_once_are_both_kept() {
    let house = House::start().await;
    let session = house.session("bakery").await;
    let webhooks = &house.gateway.webhooks;
    for round in 0..20u8 {
        let hook = webhooks.create(session, new_webhook("http://127.0.0.1:9/one")).await.unwrap();
        let url = WebhookPatch { url: Some("http://127.0.0.1:9/two".into()), ..Default::default() };
        let retries = WebhookPatch { retry_count: Some(round % 5), ..Default::default() };
        let (one, other) = tokio::join!(
            webhooks.update(session, hook.id, url),
            webhooks.update(session, hook.id, retries)
        );
        one.unwrap();
        other.unwrap();
        let now = webhooks.get(session, hook.id).await.unwrap();
        assert_eq!(
            (now.url.as_str(), now.retry_count),
            ("http://127.0.0.1:9/two", Some(round % 5))
        );
        webhooks.delete(session, hook.id).await.unwrap();
    }
}
