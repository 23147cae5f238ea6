//! Every statement in the sources is one that its database understands, SQLite, PostgreSQL or both.

use std::path::Path;

use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _, SqlSafeStr as _,
};

use storage::RegisteredStatement;

use crate::{
    postgres,
    support::{database, open, raw},
};

/// One of the databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Database {
    Sqlite,
    Postgres,
}

/// Every statement of a database, by its place in the sources.
fn all(of: Database) -> Vec<(&'static str, &'static str)> {
    let text = |one: RegisteredStatement| match of {
        Database::Sqlite => (one.name, one.sqlite),
        Database::Postgres => (one.name, one.postgres),
    };
    storage::statements().map(text).filter(|(_, sql)| !sql.is_empty()).collect()
}

/// The source files, below `src`, that hold a text.
fn files_with(text: &str) -> Vec<String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![src.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read_to_string(&path).unwrap().contains(text) {
                found.push(path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// What runs a statement takes a registered one only; these are the ways around it.
#[test]
fn every_statement_is_registered() {
    assert_eq!(files_with("Statement::registered("), ["db/statement.rs"]);
    assert_eq!(files_with("db::built("), ["delivery/claim.rs"], "of registered ones");
    let words = ["open/sqlite.rs", "writer/turn/mod.rs", "writer/turn/postgres.rs"];
    assert_eq!(files_with("db::control("), words, "what nothing prepares");
}

#[tokio::test]
async fn every_statement_prepares() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let mut conn = raw(&database(&folder)).await;
    let all = all(Database::Sqlite);
    for (name, sql) in &all {
        let prepared = (&mut conn).prepare(AssertSqlSafe(*sql).into_sql_str()).await;
        assert!(prepared.is_ok(), "{name}: {sql}: {:?}", prepared.err());
    }
    assert!(all.len() >= 250, "only {} statements are registered", all.len());
    conn.close().await.unwrap();
    drop(store);
}

#[tokio::test]
async fn the_deliveries_of_an_event_are_looked_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let mut conn = raw(&database(&folder)).await;
    let all = all(Database::Sqlite).into_iter().filter(|(_, sql)| sql.contains("delivery_of"));
    let mut seen = 0;
    for (_, sql) in all {
        let plan = AssertSqlSafe(format!("explain query plan {sql}")).into_sql_str();
        let rows = conn.fetch_all(plan).await.unwrap();
        let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        let steps = steps.join("\n");
        assert!(steps.contains("PRIMARY KEY (id>? AND id<?)"), "{sql}: {steps}");
        // A page that was cut out, and a list that was handed over, are read as a whole.
        let whole = |step: &str| {
            step.contains("SCAN") && step != "SCAN page" && !step.contains("VIRTUAL TABLE")
        };
        assert!(!steps.lines().any(whole) && !steps.contains("delivery_log"), "{sql}: {steps}");
        seen += 1;
    }
    assert_eq!(seen, 6);
    conn.close().await.unwrap();
    drop(store);
}

/// Pages of the delivery log begin where they are asked for, and what waits or failed is not looked for among all.
#[tokio::test]
async fn pages_of_the_delivery_log_are_ranges() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let mut conn = raw(&database(&folder)).await;
    let mut steps = Vec::new();
    let pages = all(Database::Sqlite).into_iter().filter(|(_, sql)| sql.ends_with("limit $9"));
    for (_, sql) in pages {
        let plan = AssertSqlSafe(format!("explain query plan {sql}")).into_sql_str();
        let rows = conn.fetch_all(plan).await.unwrap();
        let found: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        steps.push(found.join("\n"));
    }
    let [all, waiting, failed] = &steps[..] else { panic!("{steps:?}") };
    let range = "(webhook_id=? AND occurred_at>? AND occurred_at<?)";
    assert!(all.contains(&format!("INDEX delivery_log {range}")), "{all}");
    assert!(waiting.contains("INDEX delivery_waiting (lane>? AND lane<?)"), "{waiting}");
    assert!(failed.contains(&format!("INDEX delivery_failed {range}")), "{failed}");
    conn.close().await.unwrap();
    drop(store);
}

/// The names of an engine's keys that begin with a text are a range with two ends: what lies behind is not read.
#[tokio::test]
async fn keys_that_begin_with_a_text_are_a_range() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let mut conn = raw(&database(&folder)).await;
    let list = "from device_key where session_id = $1 and namespace = $2 and key >= $3 and key <";
    let found = all(Database::Sqlite);
    let (_, sql) = found.iter().find(|(_, sql)| sql.contains(list)).unwrap();
    let plan = AssertSqlSafe(format!("explain query plan {sql}")).into_sql_str();
    let row = conn.fetch_one(plan).await.unwrap();
    let step: String = row.get("detail");
    assert!(step.contains("(session_id=? AND namespace=? AND key>? AND key<?)"), "{step}");
    conn.close().await.unwrap();
    drop(store);

    let place = postgres::place().await;
    let store = postgres::open(&place).await;
    let mut conn = postgres::raw(&place).await;
    let script = format!(
        "insert into session (id, name, status, wanted, config, created_at, updated_at) \
         values ('s', 's', 'created', 0, '{{}}', 0, 0); \
         insert into device_key (session_id, namespace, key, value) \
         select 's', 'n', 'key' || i, '' from generate_series(1, 5000) i; analyze device_key; \
         prepare listed (text, text, text, text) as {sql}"
    );
    sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut conn).await.unwrap();
    let explain = "explain execute listed ('s', 'n', 'key77', 'key78')";
    let rows = sqlx::raw_sql(explain).fetch_all(&mut conn).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    assert!(plan.contains("Index Cond") && plan.contains("key < 'key78'"), "{plan}");
    conn.close().await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn every_statement_prepares_on_postgres() {
    let place = postgres::place().await;
    let store = postgres::open(&place).await;
    let mut conn = postgres::raw(&place).await;
    let all = all(Database::Postgres);
    let mut wrong = Vec::new();
    for (name, sql) in &all {
        if let Err(error) = prepare(&mut conn, sql).await {
            wrong.push(format!("{name}: {sql}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(all.len() >= 250, "only {} statements are registered", all.len());
    assert!(prepare(&mut conn, "select 1 from session where $1 is null or id = $1").await.is_ok());
    assert!(prepare(&mut conn, "select nothing from session where $1 is null").await.is_err());
    assert!(prepare(&mut conn, "select 1 from session where id = $1 and $1 > 7").await.is_err());
    conn.close().await.unwrap();
    store.close().await;
}

/// Has PostgreSQL prepare a statement. It finds the types of parameters by itself, but for those that are compared with
/// nothing first; the store says of each whether it is a text or a number, so one of the two has to fit.
async fn prepare(conn: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    let mut untyped: Vec<usize> = Vec::new();
    let mut guess = 0;
    loop {
        let mut types = vec!["unknown"; untyped.iter().copied().max().unwrap_or(0)];
        for (place, number) in untyped.iter().enumerate() {
            types[number - 1] = if guess >> place & 1 == 0 { "text" } else { "bigint" };
        }
        let types = Some(types.join(", ")).filter(|types| !types.is_empty());
        let types = types.map(|types| format!("({types})")).unwrap_or_default();
        let text = format!("prepare a_statement {types} as {sql}");
        let Err(error) = sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *conn).await else {
            sqlx::raw_sql("deallocate a_statement").execute(conn).await?;
            return Ok(());
        };
        let message = error.as_database_error().map_or("", |error| error.message());
        match message.strip_prefix("could not determine data type of parameter $") {
            Some(number) => untyped.push(number.parse().unwrap()),
            None if guess + 1 < 1 << untyped.len() => guess += 1,
            None => return Err(error),
        }
    }
}

#[tokio::test]
async fn a_statement_that_is_wrong_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let mut conn = raw(&database(&folder)).await;
    let sql = AssertSqlSafe("select id, nothing from session").into_sql_str();
    assert!((&mut conn).prepare(sql).await.is_err());
    drop(store);
}

/// Reads of whole tables that are meant: lists, counts and what is done once at a start.
const WHOLE_TABLES: [&str; 43] = [
    // Ends at the first row.
    "select position, session_id from removal order by position limit 1",
    // Whole indexes that have these rows alone.
    "select (select count(*) from delivery where state = 'pending')",
    "select * from api_key order by position desc",
    "select id, name, status",
    "select * from webhook where deleted = 0 and ($1 is null",
    // Ends at the first session with an old message; they are few.
    "select id from session where deleted = 0 and exists (select 1 from message",
    "select min(case when lane.owner is null",
    "select lane.id, lane.webhook_id",
    // Ends at the first row.
    "select exists (select 1 from held_change)",
    "select value from meta",
    "select version, success, checksum from _sqlx_migrations",
    "update session set lease_owner = null, lease_until = null where lease_owner is not null",
    "update lane set owner = null, lease_until = null where owner is not null",
    // The audit, the delivery log, the dead letters and the approvals are read by people, page by page.
    "select * from approval where ($1 is null or api_key",
    "with found as (select * from audit where",
    "select delivery.id, delivery.webhook_id, delivery.lane, delivery.state",
    "select count(*) from delivery join event on event.id = delivery.event_id where delivery.state in",
    // Webhooks are few: at most 16 per session, and only those in doubt are in the partial index.
    "select health from webhook where health <> '{}'",
    "select id, health from webhook where health <> '{}'",
    "select id, health, policy from webhook where active = 1",
    "select id, session_id, url, active, health from webhook",
    "select id, pruned_sequence from session",
    // The look for sessions whose process died, every few seconds; they are few.
    "select id from session where deleted = 0 and (wanted = 1 or wish is not null)",
    // For lists that people read, and the few processes of an installation.
    "select id from session where lease_owner is not null",
    "select id from node where seen_at",
    "select id, url, seen_at from node",
    // Metrics, once per scrape. Hardly ever is anything put aside.
    "select count(*) from quarantine",
    "select webhook.id, webhook.session_id, webhook.active, webhook.last_triggered_at",
    "select cast(coalesce(sum(incoming)",
    // With a quota of all files, once a minute.
    "select cast(coalesce(sum(one.size_bytes)",
    // Plugins are few, and each has a few instances; calls that wait are limited.
    "select plugin.*, own.session_id as config_session",
    "select id, hooks from plugin where enabled",
    "with head as (select ",
    // For dashboards: session by session, of each a range of its numbers. Old numbers go once an hour.
    "select hour / $3 as bucket",
    "select kind, cast(sum(message_hour.incoming",
    "select session.id as session_id, cast(sum(message_hour.incoming)",
    "select session.id as session_id, chat, cast(sum(messages)",
    "delete from message_hour where hour < $1",
    "delete from chat_day where day < $1",
    // Once, in an emergency.
    "update api_key set active = 0 where active = 1 and id <>",
    "delete from login where hash <>",
    // One row.
    "select value from plugin_revision",
    "update plugin_revision set value",
];

/// What is done for every message, delivery and request must not read whole tables.
#[tokio::test]
async fn statements_use_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let mut conn = raw(&database(&folder)).await;
    let (mut checked, mut found) = (0, Vec::new());
    for (_, sql) in all(Database::Sqlite) {
        // Conditions are added to these; unfinished on purpose.
        if WHOLE_TABLES.iter().any(|whole| sql.starts_with(whole)) || sql.ends_with(" from message")
        {
            continue;
        }
        let explain = format!("explain query plan {sql}");
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(AssertSqlSafe(explain)).fetch_all(&mut conn).await.unwrap();
        for (.., step) in plan {
            let whole = step.starts_with("SCAN")
                && step != "SCAN CONSTANT ROW"
                // A page that was cut out.
                && step != "SCAN page"
                // The first calls of one instance, by their order key.
                && step != "SCAN head"
                // A search by halving.
                && step != "SCAN halved"
                && !step.contains("VIRTUAL TABLE");
            // Webhooks are made and deleted by people; lanes by every event, so they carry no index for that.
            let rare = sql.contains(" webhook ") && step == "SCAN lane";
            if whole && !rare {
                found.push(format!("{sql}: {step}"));
            }
        }
        checked += 1;
    }
    assert!(found.is_empty(), "{found:#?}");
    assert!(checked >= 90, "only {checked} statements were looked at");
    drop(store);
}

/// The rare ones are served by indexes of their own.
#[tokio::test]
async fn the_new_indexes_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let mut conn = raw(&database(&folder)).await;
    let mut used = std::collections::BTreeSet::new();
    for (_, sql) in all(Database::Sqlite) {
        let explain = format!("explain query plan {sql}");
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(AssertSqlSafe(explain)).fetch_all(&mut conn).await.unwrap();
        used.extend(
            plan.into_iter()
                .flat_map(|(.., step)| step.split(' ').map(str::to_owned).collect::<Vec<_>>()),
        );
    }
    for index in [
        "message_unsettled",
        "lane_by_webhook",
        "lane_by_retry",
        "delivery_waiting",
        "delivery_failed",
        "delivery_log",
        "message_by_sender",
        "message_by_author",
        "message_by_chat",
        "event_of_change",
        "identity_by_phone",
        "media_due",
        "held_by_message",
        "held_by_session",
        "held_by_release",
        "idempotency_by_age",
    ] {
        assert!(used.contains(index), "{index} serves no statement");
    }
    drop(store);
}
