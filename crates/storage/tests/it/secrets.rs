//! Encryption at rest: what is in the file, and that a value opens only in its place.

use std::path::{Path, PathBuf};

use domain::{
    SessionId,
    message::{MessageStatus, OutgoingMessage},
    port::{
        DeviceKeys, KeyChange, Ledger as _, MediaRecords, MessageStore, NewMessage, SessionPatch,
        SessionStore, StoreErrorKind, WebhookStore, Write,
    },
    proxy::ProxyUrl,
    session::Session,
    webhook::{Secret, Webhook},
};
use storage::LedgerStore;
use tempfile::TempDir;
use testkit::build;

use crate::support::{self, bytes, close, database, holds, open, tamper};

const WEBHOOK_SECRET: &str = "whsec-7f3b-signing-secret";
const HEADER_NAME: &str = "X-Receiver-Token";
const HEADER_VALUE: &str = "Bearer 5c1d-header-value";
const PROXY: &str = "socks5://ann:9e0a-proxy-password@proxy-host.example:1081";
const DEVICE_KEY: &[u8] = b"b84c-identity-key-of-the-device";

fn put(namespace: &'static str, key: &str, value: &[u8]) -> KeyChange {
    KeyChange::Put { namespace, key: key.into(), value: value.into(), expires_at: 0 }
}

fn guarded(number: u32, session: SessionId) -> Webhook {
    Webhook {
        secret: Some(Secret::new(WEBHOOK_SECRET)),
        headers: vec![(HEADER_NAME.into(), HEADER_VALUE.into())],
        ..build::webhook(number, session)
    }
}

/// Two sessions, each with a proxy, a webhook with a secret and headers, and two device keys.
async fn house(folder: &TempDir) -> (LedgerStore, PathBuf) {
    let store = open(folder).await;
    for number in [1, 2] {
        let proxy = Some(ProxyUrl::parse(PROXY).unwrap());
        let session = Session { proxy, ..build::session(number) };
        assert!(store.insert_session(&session).await.unwrap());
        assert!(store.insert_webhook(&guarded(number, session.id), 0).await.unwrap());
        let keys = ["a", "b"].map(|key| put("session", key, DEVICE_KEY));
        let lease = support::hold(&store, session.id).await;
        store.apply_key_changes(&lease, keys.into()).await.unwrap();
    }
    (store, database(folder))
}

fn nothing_is_readable(path: &Path, when: &str) {
    let all = bytes(path);
    assert!(holds(&all, b"https://receiver-1.example/hook"), "{when}: the search finds nothing");
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, DEVICE_KEY);
    for secret in [
        WEBHOOK_SECRET.as_bytes(),
        HEADER_NAME.as_bytes(),
        HEADER_VALUE.as_bytes(),
        b"9e0a-proxy-password",
        b"proxy-host.example",
        DEVICE_KEY,
        hex::encode(DEVICE_KEY).as_bytes(),
        base64.as_bytes(),
    ] {
        assert!(!holds(&all, secret), "{when}: {} is readable", String::from_utf8_lossy(secret));
    }
}

#[tokio::test]
async fn no_secret_is_readable_in_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let (store, path) = house(&folder).await;
    nothing_is_readable(&path, "in the log");
    // Changing them goes other ways than making them.
    let session = build::session(1).id;
    assert!(store.update_webhook(&guarded(1, session)).await.unwrap());
    let proxy = Some(Some(ProxyUrl::parse(PROXY).unwrap()));
    let patch = Box::new(SessionPatch { proxy, ..SessionPatch::default() });
    store.write(vec![Write::PatchSession { session, patch, events: vec![] }]).await.unwrap();
    store
        .apply_key_changes(&build::lease(session), vec![put("session", "a", DEVICE_KEY)])
        .await
        .unwrap();
    nothing_is_readable(&path, "after a change");
    close(store).await;
    nothing_is_readable(&path, "in the closed file");
}

const TEXT: &str = "d18e-what-goes-out";
const MEDIA_KEY: [u8; 32] = *b"a90f-key-of-a-file-at-whatsapp-3";

/// Message `number` waits to go out, with a file.
async fn sending(store: &LedgerStore, number: u32, session: SessionId) {
    let mut media = build::media_record(number, session, testkit::START);
    media.media.remote.as_mut().unwrap().media_key = MEDIA_KEY.into();
    let content = domain::message::Content::text(TEXT);
    let outgoing = OutgoingMessage { content, ..build::outgoing(number) };
    let message = NewMessage {
        outgoing: Some(outgoing),
        media: Some(media),
        ..NewMessage::row(build::message(number, session))
    };
    let write = Write::InsertMessage { message: Box::new(message), events: vec![] };
    store.write(vec![write]).await.unwrap();
}

#[tokio::test]
async fn what_goes_out_and_the_keys_of_files_are_not_readable() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let session = support::session(&store, 1).await;
    sending(&store, 1, session).await;
    close(store).await;
    let all = bytes(&database(&folder));
    assert!(holds(&all, b"text 1"), "the search finds nothing");
    for secret in [TEXT.as_bytes(), &MEDIA_KEY, hex::encode(MEDIA_KEY).as_bytes(), b"/v/t62/1"] {
        assert!(!holds(&all, secret), "{} is readable", String::from_utf8_lossy(secret));
    }
}

#[tokio::test]
async fn what_went_out_is_forgotten_when_it_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let session = support::session(&store, 1).await;
    for (number, status) in [(1, MessageStatus::Sent), (2, MessageStatus::Failed)] {
        sending(&store, number, session).await;
        let write = Write::AdvanceMessage {
            session,
            wa_id: build::wa_id(number),
            status,
            timestamp: None,
            metadata: serde_json::Value::Null,
            hold_until: None,
            events: vec![],
        };
        store.write(vec![write]).await.unwrap();
    }
    sending(&store, 3, session).await;
    let mut conn = support::raw(&database(&folder)).await;
    let kept: Vec<String> =
        sqlx::query_scalar("select status from message where outgoing is not null")
            .fetch_all(&mut conn)
            .await
            .unwrap();
    assert_eq!(kept, ["pending"]);
    drop(store);
}

#[tokio::test]
async fn what_goes_out_and_files_open_in_their_rows_alone() {
    for (table, column) in [("message", "outgoing"), ("media", "description")] {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await;
        let session = support::session(&store, 1).await;
        for number in [1, 2] {
            sending(&store, number, session).await;
        }
        let [one, two] = [1, 2].map(build::wa_id);
        let sql = format!(
            "update {table} set {column} = (select {column} from {table} where wa_id = '{one}') \
             where wa_id = '{two}'"
        );
        assert_eq!(tamper(&database(&folder), &sql).await, 1);
        match table {
            "message" => {
                let rows = store.unresolved_sends(session).await.unwrap();
                let ids: Vec<_> = rows.iter().map(|row| row.message.wa_id.clone()).collect();
                assert_eq!(
                    ids,
                    std::slice::from_ref(&one),
                    "the other is not taken for what it is not"
                );
                assert_eq!(store.unreadable()[0].what, "message");
            }
            _ => {
                let failed = store.media(session, &two).await.err();
                assert_eq!(failed.map(|error| error.kind), Some(StoreErrorKind::Corrupt));
            }
        }
        assert!(store.media(session, &one).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn the_same_secret_twice_looks_different() {
    let folder = tempfile::tempdir().unwrap();
    let (store, path) = house(&folder).await;
    let mut conn = support::raw(&path).await;
    for column in ["secret", "headers"] {
        let sql = format!("select count(distinct {column}) from webhook");
        let count: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut conn).await.unwrap();
        assert_eq!(count, 2, "{column}");
    }
    drop(store);
}

async fn webhook_kind(store: &LedgerStore, number: u32) -> Option<StoreErrorKind> {
    let id = build::webhook(number, build::session(number).id).id;
    store.webhook(id).await.err().map(|error| error.kind)
}

/// Copies a column of a webhook to a column of another one.
async fn move_in_webhooks(path: &Path, from: (&str, u32), to: (&str, u32)) {
    let id = |number| build::webhook(number, build::session(1).id).id;
    let sql = format!(
        "update webhook set {} = (select {} from webhook where id = '{}') where id = '{}'",
        to.0,
        from.0,
        id(from.1),
        id(to.1)
    );
    assert_eq!(tamper(path, &sql).await, 1);
}

#[tokio::test]
async fn a_webhooks_secret_opens_in_its_row_and_column_alone() {
    for (from, to) in [
        (("secret", 1), ("secret", 2)),
        (("headers", 1), ("headers", 2)),
        (("headers", 2), ("secret", 2)),
        (("secret", 2), ("headers", 2)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (store, path) = house(&folder).await;
        assert_eq!(webhook_kind(&store, 2).await, None);
        move_in_webhooks(&path, from, to).await;
        assert_eq!(webhook_kind(&store, 2).await, Some(StoreErrorKind::Corrupt), "{from:?}");
        assert_eq!(webhook_kind(&store, 1).await, None, "the other one is untouched");
    }
}

#[tokio::test]
async fn a_proxy_opens_in_its_session_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (store, path) = house(&folder).await;
    let [one, two] = [1, 2].map(|number| build::session(number).id);
    let sql = format!(
        "update session set proxy = (select proxy from session where id = '{one}') where id = '{two}'"
    );
    assert_eq!(tamper(&path, &sql).await, 1);
    let error = store.session(two).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Corrupt);
    assert!(store.session(one).await.unwrap().is_some());
}

#[tokio::test]
async fn a_device_key_opens_under_its_session_namespace_and_name_alone() {
    let [one, two] = [1, 2].map(|number| build::session(number).id);
    let value_of = |session, key| {
        format!("(select value from device_key where session_id = '{session}' and key = '{key}')")
    };
    let at = |session, key| format!("where session_id = '{session}' and key = '{key}'");
    for (sql, namespace) in [
        (format!("set value = {} {}", value_of(two, "a"), at(one, "a")), "session"),
        (format!("set value = {} {}", value_of(one, "b"), at(one, "a")), "session"),
        (format!("set namespace = 'identity' {}", at(one, "a")), "identity"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (store, path) = house(&folder).await;
        assert_eq!(tamper(&path, &format!("update device_key {sql}")).await, 1);
        let error = store.device_key(one, namespace, "a").await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Corrupt, "{sql}");
        assert!(store.device_keys(one, namespace, "").await.is_err(), "{sql}");
        let other = store.device_key(two, "session", "a").await.unwrap().unwrap();
        assert_eq!(other.value, DEVICE_KEY);
    }
}

#[tokio::test]
async fn a_bent_or_cut_value_does_not_open() {
    let one = build::session(1).id;
    for value in [
        "substr(value, 1, length(value) - 1)",
        "substr(value, 1, 20)",
        "x''",
        "x'02' || substr(value, 2)",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (store, path) = house(&folder).await;
        let sql = format!(
            "update device_key set value = cast({value} as blob) where session_id = '{one}' and key = 'a'"
        );
        assert_eq!(tamper(&path, &sql).await, 1);
        let error = store.device_key(one, "session", "a").await.unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Corrupt, "{value}");
    }
}
