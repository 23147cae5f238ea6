//! Plugins: files of before, rows that cannot be read, and several processes on one database.

use std::time::Duration;

use domain::{
    plugin::{IngressOutcome, Instance},
    port::{ClaimedIngress, IngressStore as _, Ledger as _, PluginStore as _, StoreErrorKind},
};
use sqlx::{AssertSqlSafe, Connection as _};
use storage::LedgerStore;
use testkit::{START, build};

use crate::{
    migration::migrations,
    postgres,
    support::{bytes, close, database, holds, open, raw, session, tamper},
};

async fn claim(store: &LedgerStore) -> Vec<ClaimedIngress> {
    store.claim_ingress(START, START.plus(Duration::from_secs(60)), 100).await.unwrap()
}

/// Plugin 1 with instance 1.
async fn fill(store: &LedgerStore) {
    assert!(store.insert_plugin(&build::plugin(1), b"package").await.unwrap().is_some());
    assert!(store.insert_instance(&build::instance(1)).await.unwrap());
}

#[tokio::test]
async fn plugins_are_new_in_a_file_and_a_schema_of_before() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(database(&folder), b"").unwrap();
    let mut conn = raw(&database(&folder)).await;
    migrations("sqlite", 21).await.run(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let place = postgres::place().await;
    let mut conn = postgres::raw(&place).await;
    let schema = format!("create schema if not exists \"{}\"", place.schema);
    sqlx::raw_sql(AssertSqlSafe(schema)).execute(&mut conn).await.unwrap();
    migrations("postgres", 18).await.run(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    for store in [open(&folder).await, postgres::open(&place).await] {
        assert_eq!(store.plugin_revision().await.unwrap(), 0);
        fill(&store).await;
        assert_eq!(store.plugin_revision().await.unwrap(), 2);
        close(store).await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_of_plugins_stops_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (store, path) = (open(&folder).await, database(&folder));
    session(&store, 1).await;
    fill(&store).await;
    assert!(store.insert_plugin(&build::plugin(2), b"").await.unwrap().is_some());
    assert!(store.insert_instance(&build::instance(2)).await.unwrap());
    for (number, key) in [(1, "a"), (2, "a"), (3, "b")] {
        store.store_ingress(&build::ingress(number, key), false, 9).await.unwrap();
    }
    for (table, column, from, to) in [
        ("plugin", "config", "plugin-1", "plugin-2"),
        ("plugin_instance", "secret", "instance-1", "instance-2"),
        (
            "plugin_ingress",
            "request",
            &*build::ingress(3, "").id.to_string(),
            &*build::ingress(1, "").id.to_string(),
        ),
    ] {
        let sql = format!(
            "update {table} set {column} = (select {column} from {table} where id = '{from}') where id = '{to}'"
        );
        assert_eq!(tamper(&path, &sql).await, 1, "{table}");
    }
    let plugins = store.plugins().await.unwrap();
    assert_eq!(plugins.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["plugin-1"]);
    let failed = store.plugin(&build::plugin(2).id).await.unwrap_err();
    assert_eq!(failed.kind, StoreErrorKind::Corrupt);
    assert_eq!(store.instances(&build::plugin(1).id).await.unwrap(), [build::instance(1)]);
    let claimed = claim(&store).await;
    assert_eq!(claimed.len(), 1, "another key goes on");
    assert_eq!(claimed[0].call, build::ingress(3, "b"));
    assert_eq!(claim(&store).await[0].call, build::ingress(2, "a"), "and what is behind it");
    let mut kinds: Vec<_> = store.unreadable().into_iter().map(|row| row.what).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["plugin", "plugin instance", "provider's call"]);
}

#[tokio::test]
async fn no_secret_of_a_plugin_is_readable_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let secret = serde_json::Value::from("4c1d-secret-of-a-config");
    let config: serde_json::Map<_, _> = [("a".to_owned(), secret)].into_iter().collect();
    let one = session(&store, 1).await;
    let plugin = domain::plugin::Plugin {
        config: config.clone(),
        session_configs: [(one, config.clone())].into(),
        ..build::plugin(1)
    };
    store.insert_plugin(&plugin, b"").await.unwrap().unwrap();
    let verify_token = Some(domain::webhook::Secret::new("verify me 7f"));
    let instance = Instance { config: Some(config), verify_token, ..build::instance(1) };
    assert!(store.insert_instance(&instance).await.unwrap());
    let call = build::ingress(1, "order-key-of-a-chat");
    store.store_ingress(&call, false, 9).await.unwrap();
    close(store).await;
    let all = bytes(&database(&folder));
    assert!(holds(&all, b"instance-1"), "the search finds nothing");
    for secret in
        ["4c1d-secret", "secret 1", "verify me 7f", "order-key-of", "delivery 1", "x-number"]
    {
        assert!(!holds(&all, secret.as_bytes()), "{secret} is readable");
    }
}

#[tokio::test]
async fn two_processes_never_handle_one_order_key_at_once() {
    let place = postgres::place().await;
    let (one, other) = tokio::join!(postgres::open(&place), postgres::open(&place));
    fill(&one).await;
    for number in 1..=30 {
        let call = build::ingress(number, &format!("key {}", number % 5));
        store_at(if number % 2 == 0 { &one } else { &other }, call).await;
    }
    let mut handled = Vec::new();
    while handled.len() < 30 {
        let (some, more, third) = tokio::join!(claim(&one), claim(&other), claim(&one));
        let claimed = [some, more, third].concat();
        let mut keys: Vec<_> = claimed.iter().map(|one| one.call.order_key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), claimed.len(), "one of each key");
        assert_eq!(claimed.len(), 5);
        for (place, head) in claimed.iter().enumerate() {
            let store = if place % 2 == 0 { &one } else { &other };
            let done = IngressOutcome::Done;
            assert!(store.finish_ingress(head.call.id, head.epoch, &done, START).await.unwrap());
        }
        let mut ids: Vec<_> = claimed.into_iter().map(|one| one.call.id).collect();
        ids.sort_unstable();
        handled.extend(ids);
    }
    let all: Vec<_> = (1..=30).map(|number| build::ingress(number, "").id).collect();
    assert_eq!(handled, all, "in the order of their arrival");
    close(one).await;
    close(other).await;
}

async fn store_at(store: &LedgerStore, call: domain::plugin::IngressCall) {
    let stored = store.store_ingress(&call, false, 100).await.unwrap();
    assert_eq!(stored, domain::plugin::IngressStored::New);
}
