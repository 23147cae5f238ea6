//! Registered receivers.

use std::time::Duration;

use domain::{
    delivery::{PolicyChoice, SignatureScheme},
    event::{EventType, Subscription},
    filter::{Field, FilterCondition, FilterOperator, Filters, Operand},
    webhook::{LaneOrder, PreviousSecret, Secret, Webhook},
};

use super::{ALL, Store, append, new_session, new_webhook};
use testkit::{START, build};

pub async fn a_webhook_reads_back_as_it_was<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let full = Webhook {
        events: vec![
            Subscription::One(EventType::MessageReceived),
            Subscription::One(EventType::SessionStatus),
        ],
        filters: Some(Filters {
            conditions: vec![FilterCondition {
                field: Field::Body,
                operator: FilterOperator::Contains,
                value: Operand::Many(vec!["cake".into(), "bread".into()]),
                case_sensitive: true,
            }],
        }),
        headers: vec![("Authorization".into(), "Bearer x".into()), ("X-A".into(), "b".into())],
        secret: Some(Secret::new("a signing secret")),
        previous_secret: Some(PreviousSecret {
            secret: Secret::new("the one before"),
            until: START.plus(Duration::from_secs(86_400)),
        }),
        signing_key: Some(Secret::new("whsk_AAAA")),
        active: false,
        retry_count: None,
        tls_ca: Some("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".into()),
        policy: PolicyChoice {
            attempts: Some(7),
            schedule: Some(vec![1, 2, 3]),
            batch_size: Some(50),
            signature: SignatureScheme::V1a,
            ..PolicyChoice::default()
        },
        order: LaneOrder::Session,
        ..build::webhook(1, session)
    };
    for webhook in [full, build::webhook(2, session)] {
        new_webhook(store, webhook.clone()).await;
        assert_eq!(store.webhook(webhook.id).await.unwrap(), Some(webhook));
    }
    assert_eq!(store.webhook(build::webhook(3, session).id).await.unwrap(), None);
}

pub async fn the_cap_is_exact<S: Store>(store: &S) {
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    let webhooks: Vec<Webhook> = (1..=4).map(|number| build::webhook(number, one)).collect();
    let tries = webhooks.iter().map(|webhook| store.insert_webhook(webhook, 2));
    let stored = futures::future::join_all(tries).await;
    assert_eq!(stored.into_iter().filter(|stored| *stored.as_ref().unwrap()).count(), 2);
    assert!(store.insert_webhook(&build::webhook(9, two), 2).await.unwrap());
}

pub async fn updates_apply_to_the_next_event<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let mut webhook = new_webhook(store, build::webhook(1, session)).await;
    append(store, build::event(1, session, &build::chat(1))).await;
    webhook.events = vec![Subscription::One(EventType::SessionQr)];
    webhook.url = "https://elsewhere.example/".into();
    webhook.secret = Some(Secret::new("new"));
    webhook.tls_ca = Some("an authority".into());
    webhook.updated_at = START.plus(Duration::from_secs(5));
    assert!(store.update_webhook(&webhook).await.unwrap());
    assert_eq!(store.webhook(webhook.id).await.unwrap(), Some(webhook.clone()));
    append(store, build::event(2, session, &build::chat(1))).await;
    assert_eq!(store.queue_stats().await.unwrap().pending, 1);
    assert!(!store.update_webhook(&build::webhook(2, session)).await.unwrap());
}

pub async fn lists_are_per_session_or_all<S: Store>(store: &S) {
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    for (number, session) in [(1, one), (2, two), (3, one)] {
        new_webhook(store, build::webhook(number, session)).await;
    }
    let ids = |webhooks: Vec<Webhook>| -> Vec<_> {
        webhooks.into_iter().map(|webhook| webhook.id).collect()
    };
    let id = |number, session| build::webhook(number, session).id;
    let all = store.webhooks(None, ALL).await.unwrap();
    assert_eq!(ids(all), [id(3, one), id(2, two), id(1, one)]);
    let own = store.webhooks(Some(one), ALL).await.unwrap();
    assert_eq!(ids(own), [id(3, one), id(1, one)]);
    let among = store.webhooks_among(&[one, two, build::session(9).id, one]).await.unwrap();
    assert_eq!(ids(among), [id(3, one), id(2, two), id(1, one)]);
    assert_eq!(ids(store.webhooks_among(&[two]).await.unwrap()), [id(2, two)]);
    assert!(store.webhooks_among(&[]).await.unwrap().is_empty());
    assert!(store.delete_webhook(id(3, one)).await.unwrap());
    assert!(!store.delete_webhook(id(3, one)).await.unwrap());
}
