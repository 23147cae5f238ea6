//! Every statement in the sources is one that SQLite understands.

use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqlSafeStr as _};

use crate::support::{database, open, raw};

/// The texts of a source file that are whole statements.
fn statements(source: &str) -> Vec<String> {
    let verbs = ["select ", "insert into ", "update ", "delete from "];
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

/// What a worker does for every delivery must not read whole tables.
#[tokio::test]
async fn the_frequent_statements_use_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder).await;
    let mut conn = raw(&database(&folder)).await;
    let source = |file: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
        statements(&std::fs::read_to_string(path).unwrap())
    };
    let mut frequent = source("delivery/settle.rs");
    frequent.extend(source("delivery/push.rs"));
    frequent.extend(source("device_key.rs"));

    frequent
        .extend(source("delivery/claim.rs").into_iter().filter(|sql| !sql.contains("lane.due_at")));
    for sql in frequent {
        let explain = format!("explain query plan {sql}");
        let plan: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(AssertSqlSafe(explain)).fetch_all(&mut conn).await.unwrap();
        for (.., step) in plan {
            let whole = step.starts_with("SCAN") && step != "SCAN CONSTANT ROW";
            assert!(!whole, "{sql}: {step}");
        }
    }
    drop(store);
}
