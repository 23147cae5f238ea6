//! Every statement in the sources is one that SQLite understands.

use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqlSafeStr as _};

use crate::support::{database, open, raw};

/// The texts of a source file that are whole statements.
fn statements(source: &str) -> Vec<String> {
    let verbs = ["select ", "insert into ", "update ", "delete from ", "with "];
    literals(source)
        .into_iter()
        .filter(|text| verbs.iter().any(|verb| text.starts_with(verb)))
        .collect()
}

/// The string literals of a source file, as the compiler reads them. Enough for sources without raw strings and
/// without a quote as a character.
fn literals(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in joined(source).lines() {
        let code = line.trim_start();
        if code.starts_with("//") {
            continue;
        }
        // Between quotes: every second part.
        found.extend(code.split('"').skip(1).step_by(2).map(str::to_owned));
    }
    found
}

/// Without the line ends that a backslash takes back.
fn joined(source: &str) -> String {
    let mut text = String::new();
    let mut lines = source.lines().peekable();
    while let Some(line) = lines.next() {
        let mut line = line.to_owned();
        while let Some(cut) = line.strip_suffix('\\') {
            line = cut.to_owned() + lines.next().unwrap().trim_start();
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[tokio::test]
async fn every_statement_prepares() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let mut conn = raw(&database(&folder)).await;
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut count = 0;
    for file in files {
        let source = std::fs::read_to_string(&file).unwrap();
        for sql in statements(&source) {
            let prepared = (&mut conn).prepare(AssertSqlSafe(sql.clone()).into_sql_str()).await;
            assert!(prepared.is_ok(), "{}: {sql}: {:?}", file.display(), prepared.err());
            count += 1;
        }
    }
    assert!(count >= 50, "the search finds only {count} statements");
    conn.close().await.unwrap();
    drop(store);
}

#[tokio::test]
async fn a_statement_that_is_wrong_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let mut conn = raw(&database(&folder)).await;
    let source =
        "const A: &str =\n    \"select id, \\\n     nothing from session\";\n// \"select\"\n";
    let found = statements(source);
    assert_eq!(found, ["select id, nothing from session"]);
    let sql = AssertSqlSafe(found[0].clone()).into_sql_str();
    assert!((&mut conn).prepare(sql).await.is_err());
    drop(store);
}

/// Reads of whole tables that are meant: lists, counts and what is done once at a start.
const WHOLE_TABLES: [&str; 18] = [
    "select * from api_key order by position desc",
    "select id, name, status",
    "select * from webhook where ($1 is null",
    "select count(case when state = 'pending'",
    "select min(case when lane.owner is null",
    "select lane.id, lane.webhook_id",
    "select value from meta",
    "select version, success, checksum from _sqlx_migrations",
    "update session set lease_owner = null, lease_until = null where lease_owner is not null",
    "update lane set owner = null, lease_until = null where owner is not null",
    // The audit, the delivery log and the dead letters are read by people, page by page.
    "with found as (select * from audit where",
    "select delivery.id, delivery.webhook_id, delivery.lane, delivery.state",
    "select count(*) from delivery join event on event.id = delivery.event_id where delivery.state in",
    // Webhooks are few: at most 16 per session, and only those in doubt are in the partial index.
    "select health from webhook where health <> '{}'",
    "select id, health from webhook where health <> '{}'",
    "select id, health, policy from webhook where active = 1",
    "select id, pruned_sequence from session",
    // Metrics, once per scrape.
    "select webhook.id, webhook.session_id, webhook.active, webhook.last_triggered_at, count(*)",
];

/// What is done for every message, delivery and request must not read whole tables.
#[tokio::test]
async fn statements_use_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let mut conn = raw(&database(&folder)).await;
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let (mut checked, mut found) = (0, Vec::new());
    let source = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        text.split("#[cfg(test)]").next().unwrap().to_owned()
    };
    for sql in files.iter().flat_map(|file| statements(&source(file))) {
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
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let mut used = std::collections::BTreeSet::new();
    for file in files {
        for sql in statements(&std::fs::read_to_string(file).unwrap()) {
            let explain = format!("explain query plan {sql}");
            let plan: Vec<(i64, i64, i64, String)> =
                sqlx::query_as(AssertSqlSafe(explain)).fetch_all(&mut conn).await.unwrap();
            used.extend(
                plan.into_iter()
                    .flat_map(|(.., step)| step.split(' ').map(str::to_owned).collect::<Vec<_>>()),
            );
        }
    }
    for index in [
        "message_unsettled",
        "message_by_sender",
        "message_by_author",
        "message_by_chat",
        "event_of_change",
        "identity_by_phone",
        "chat_by_time",
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
