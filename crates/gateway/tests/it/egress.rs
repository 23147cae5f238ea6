//! Nothing goes out to where it must not.

use domain::port::{DeliveryQueue as _, WebhookStore as _};
use gateway::webhooks::{WebhookError, WebhookPatch};
use testkit::{Receiver, build};

use crate::house::{House, new_webhook};

/// No host is exempt.
async fn guarded() -> House {
    House::with(|options| options.webhooks.allowed_hosts = vec![]).await
}

#[tokio::test]
async fn special_addresses_are_refused_at_registration_in_every_spelling() {
    let house = guarded().await;
    let session = house.session("bakery").await;
    for url in [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://2130706433/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://127.0.0.1./",
        "http://１２７.０.０.１/",
        "http://0/",
        "http://[::1]/",
        "http://[::]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:a00:1]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[fe80::1]/",
        "http://[fd00::1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1:8080/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://100.64.0.1/",
        "http://localhost/",
        "http://LOCALHOST:80/",
        "http://foo.localhost./",
        "http://metadata.google.internal/",
        "http://printer.local/",
    ] {
        let refused = house.gateway.webhooks.create(session, new_webhook(url)).await;
        assert!(matches!(refused, Err(WebhookError::Url(_))), "{url}: {refused:?}");
    }
}

/// What people with containers write first: the answer names what they have to set.
#[tokio::test]
async fn a_refused_host_is_told_with_the_setting_that_allows_it() {
    let house = guarded().await;
    let session = house.session("bakery").await;
    let webhooks = &house.gateway.webhooks;
    let good = webhooks.create(session, new_webhook("https://receiver.example/")).await.unwrap();
    for host in ["host.docker.internal", "localhost", "n8n", "172.17.0.1"] {
        let url = format!("http://{host}:5678/hook");
        let patch = WebhookPatch { url: Some(url.clone()), ..WebhookPatch::default() };
        for refused in [
            webhooks.create(session, new_webhook(&url)).await,
            webhooks.update(session, good.id, patch).await,
        ] {
            let text = refused.unwrap_err().to_string();
            assert!(text.contains(&format!(" {host} ")), "{text}");
            assert!(text.contains("SSRF_ALLOWED_HOSTS"), "{text}");
        }
        let refused = house.gateway.media.fetch(&url, None).await.unwrap_err().to_string();
        assert!(refused.contains(host) && refused.contains("SSRF_ALLOWED_HOSTS"), "{refused}");
    }
    // Nobody sets this for them.
    let file = house.gateway.media.fetch("http://a:b@n8n/", None).await.unwrap_err().to_string();
    assert!(!file.contains("SSRF_ALLOWED_HOSTS"), "{file}");
    let named = House::with(|options| options.webhooks.allowed_hosts = vec!["n8n".into()]).await;
    let session = named.session("bakery").await;
    named.gateway.webhooks.create(session, new_webhook("http://n8n:5678/hook")).await.unwrap();
}

#[tokio::test]
async fn an_address_that_got_into_the_ledger_is_refused_at_the_call() {
    let house = guarded().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let mut webhook = build::webhook(1, session);
    (webhook.url, webhook.retry_count) = (receiver.url(), Some(1));
    assert!(house.store.insert_webhook(&webhook, 0).await.unwrap());
    let ping = house.gateway.webhooks.test(session, webhook.id).await.unwrap();
    let error = ping.error.unwrap();
    assert!(error.starts_with("Destination address is not allowed: 127.0.0.1 is"), "{error}");
    house.hear(session, &build::chat(1)).await;
    house.drained().await;
    assert_eq!(house.store.queue_stats().await.unwrap().exhausted, 1);
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn the_guard_can_be_switched_off() {
    let house = House::with(|options| {
        options.webhooks.allowed_hosts = vec![];
        options.webhooks.ssrf_protect = false;
    })
    .await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    house.webhook(session, &receiver).await;
    house.hear(session, &build::chat(1)).await;
    house.drained().await;
    assert_eq!(receiver.received().len(), 1);
}
