//! Opening: migrations, the master key, the lock, and the leases of an earlier life.

use std::time::Duration;

use domain::port::{
    DeliveryQueue, Ledger as _, NewMessage, SessionStore, StoreErrorKind, Upkeep as _,
    WebhookStore, Write,
};
use sqlx::{Connection as _, Row as _};
use storage::{LedgerStore, MasterKey, OpenError, StoreOptions};
use testkit::{START, build};

use crate::support::{self, append, close, database, open, raw, tamper};

/// Tables, indexes and applied migrations.
async fn shape(path: &std::path::Path) -> (Vec<String>, Vec<i64>) {
    let mut conn = raw(path).await;
    let tables = sqlx::query("select coalesce(sql, name) from sqlite_master order by name")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    let migrations = sqlx::query("select version from _sqlx_migrations order by version")
        .fetch_all(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
    (
        tables.iter().map(|row| row.get(0)).collect(),
        migrations.iter().map(|row| row.get(0)).collect(),
    )
}

async fn refused(options: StoreOptions) -> OpenError {
    match LedgerStore::open(options).await {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn an_empty_file_gets_its_tables_and_a_second_start_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(database(&folder), b"").unwrap();
    close(open(&folder).await).await;
    let first = shape(&database(&folder)).await;
    assert!(first.1.starts_with(&[1, 2]) && first.1.is_sorted());
    assert!(first.0.iter().any(|sql| sql.to_lowercase().starts_with("create table message ")));
    let store = open(&folder).await;
    support::session(&store, 1).await;
    close(store).await;
    let store = open(&folder).await;
    assert_eq!(shape(&database(&folder)).await, first);
    assert!(store.session(build::session(1).id).await.unwrap().is_some());
}

#[tokio::test]
async fn missing_folders_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data").join("deep").join("waypost.sqlite");
    support::open_at(&path).await.ping().await.unwrap();
    assert!(path.is_file());
}

#[tokio::test]
async fn what_was_deleted_is_not_in_the_file() {
    const PRIVATE: &str = "a-very-private-text-3f1c";
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let session = support::session(&store, 1).await;
    // Short ones share pages with what stays, long ones fill pages of their own.
    for (number, length) in [(1, 1), (2, 50), (3, 4000)] {
        let text = format!("{PRIVATE} ").repeat(length);
        let row = domain::message::Message {
            body: Some(text),
            ..build::received(number, session, &build::chat(1))
        };
        let message = Box::new(NewMessage::row(row));
        store.write(vec![Write::InsertMessage { message, events: vec![] }]).await.unwrap();
    }
    store.erase_person(session, &build::chat(1)).await.unwrap();
    close(store).await;
    // Whoever opens the file last writes the log back into it.
    let mut conn = raw(&database(&folder)).await;
    sqlx::query("pragma wal_checkpoint(truncate)").execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    assert!(!support::holds(&support::bytes(&database(&folder)), PRIVATE.as_bytes()));
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    support::session(&store, 1).await;
    for ending in ["", "-wal", "-shm"] {
        let file = support::beside(&database(&folder), ending);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    close(open(&folder).await).await;
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
                 values (9999, 'later', 1, x'00', 0)";
    assert_eq!(tamper(&database(&folder), newer).await, 1);
    let error = refused(StoreOptions::for_testing(database(&folder))).await;
    assert!(matches!(error, OpenError::Newer { version: 9999, .. }), "{error:?}");
    let line = support::told(&error);
    assert!(line.contains("start that version") && !line.contains('\n'), "{line}");
}

#[tokio::test]
async fn something_else_than_a_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(database(&folder), "a letter, not a database. ".repeat(100)).unwrap();
    let error = refused(StoreOptions::for_testing(database(&folder))).await;
    assert!(support::told(&error).contains("not a database"), "{}", support::told(&error));
}

#[tokio::test]
async fn a_wrong_master_key_stops_the_start_with_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(&folder);
    close(open(&folder).await).await;
    let key = MasterKey::from_bytes([8; 32]);
    let error = refused(StoreOptions::new(path.clone(), key)).await;
    assert!(matches!(error, OpenError::WrongKey(_)), "{error:?}");
    let line = support::told(&error);
    assert_eq!(line.lines().count(), 1);
    for part in ["the master key does not fit", path.to_str().unwrap(), "WAYPOST_MASTER_KEY"] {
        assert!(line.contains(part), "{line}");
    }
    // The refusal changed nothing: the right key still opens it.
    open(&folder).await.ping().await.unwrap();
}

#[tokio::test]
async fn a_file_is_opened_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(&folder);
    let store = open(&folder).await;
    let error = refused(StoreOptions::for_testing(path.clone())).await;
    assert!(matches!(error, OpenError::InUse(_)), "{error:?}");
    let line = support::told(&error);
    assert_eq!(line.lines().count(), 1);
    assert!(line.contains("in use") && line.contains(path.to_str().unwrap()), "{line}");
    store.ping().await.unwrap();
    close(store).await;
    open(&folder).await.ping().await.unwrap();
}

#[tokio::test]
async fn a_closed_ledger_says_that_it_is_not_available() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let session = support::session(&store, 1).await;
    store.close().await;
    store.close().await;
    let write = append(&store, build::session_event(1, session)).await.unwrap_err();
    assert_eq!(write.kind, StoreErrorKind::Unavailable);
    assert_eq!(store.ping().await.unwrap_err().kind, StoreErrorKind::Unavailable);
}

#[tokio::test]
async fn leases_of_an_earlier_life_are_void() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let id = support::session(&store, 1).await;
    assert!(store.insert_webhook(&build::webhook(1, id), 0).await.unwrap());
    append(&store, build::event(1, id, &build::chat(1))).await.unwrap();
    const DAY: Duration = Duration::from_secs(86_400);
    let long = START.plus(DAY);
    let held = store.acquire_session(id, "earlier life", START, DAY).await.unwrap().unwrap();
    let lanes = store.claim_lanes("earlier life", 10, 10, START, long).await.unwrap();
    assert_eq!(lanes.len(), 1);
    assert_eq!(store.acquire_session(id, "this life", START, DAY).await.unwrap(), None);
    assert!(store.claim_lanes("this life", 10, 10, START, long).await.unwrap().is_empty());
    close(store).await;

    let store = open(&folder).await;
    let next = store.acquire_session(id, "this life", START, DAY).await.unwrap().unwrap();
    assert!(next.lease.epoch > held.lease.epoch, "{next:?} after {held:?}");
    assert!(
        !store.renew_lane(&lanes[0].lane, lanes[0].epoch, long).await.unwrap(),
        "void, not held"
    );
    let again = store.claim_lanes("this life", 10, 10, START, long).await.unwrap();
    assert_eq!(again.len(), 1);
    assert!(again[0].epoch > lanes[0].epoch, "an epoch is never given twice");
    assert_eq!(again[0].deliveries, lanes[0].deliveries);
}

/// A file of the first version gets the rest of the tables and keeps its rows.
#[tokio::test]
async fn a_file_of_the_first_version_is_brought_along() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("migrations");
    std::fs::create_dir(&first).unwrap();
    let name = "0001_ledger.sql";
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
    std::fs::copy(from.join(name), first.join(name)).unwrap();
    std::fs::write(database(&folder), b"").unwrap();
    let mut conn = support::raw(&database(&folder)).await;
    sqlx::migrate::Migrator::new(first).await.unwrap().run(&mut conn).await.unwrap();
    let session = build::session(1).id;
    let row = build::message(1, session);
    for sql in [
        format!(
            "insert into session (id, name, status, wanted, config, created_at, updated_at) \
             values ('{session}', 'one', 'created', 0, '{{\"auto_reject_calls\":false}}', 1, 1)"
        ),
        format!(
            "insert into message (id, session_id, wa_id, chat, sender, recipient, body, kind, direction, metadata, \
             status, created_at) values ('{}', '{session}', '{}', '{}', '{}', '{}', 'text 1', 'text', 'outgoing', \
             'null', 'pending', {})",
            row.id,
            row.wa_id,
            row.chat,
            row.from,
            row.to,
            row.created_at.millis()
        ),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.unwrap();
    }
    sqlx::Connection::close(conn).await.unwrap();
    let store = open(&folder).await;
    assert_eq!(store.session(session).await.unwrap().unwrap().restriction, None);
    let stored = domain::port::MessageStore::message(&store, session, &row.wa_id).await.unwrap();
    assert_eq!(stored, Some(row));
    let unsettled = domain::port::MessageStore::unresolved_sends(&store, session).await.unwrap();
    assert_eq!(unsettled, [], "the first version did not keep what went out");
}
