//! `waypost doctor`, as an operator and as a script meet it.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::Value;

use crate::support::{MASTER_KEY, Prepared, finish, free_port, waypost};

const SHOP: &str = "4915550001000";

fn doctor(dir: &Path, env: &[(&str, &str)]) -> (i32, Value) {
    let mut command = waypost();
    command.args(["doctor", "--json"]).current_dir(dir).envs(env.iter().copied());
    let (code, out, err) = finish(command);
    let report = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    (code.unwrap(), report)
}

/// What is said of one thing.
fn of(report: &Value, check: &str) -> Value {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().find(|one| one["check"] == check).cloned().unwrap_or(Value::Null)
}

#[test]
fn before_the_first_start_there_is_nothing_yet_and_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let (code, report) = doctor(dir.path(), &[("PORT", &port)]);
    assert_eq!(code, 1, "{report}");
    assert_eq!(report["verdict"], "warning");
    for check in ["data folder", "master key", "ledger", "gateway"] {
        assert_eq!(of(&report, check)["verdict"], "warning", "{check} {report}");
        assert!(of(&report, check)["do"].is_string(), "{check} {report}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn wrong_settings_are_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    let (code, report) = doctor(dir.path(), &[("PORT", "http")]);
    assert_eq!((code, &report["verdict"]), (2, &Value::from("problem")));
    assert!(of(&report, "settings")["says"].as_str().unwrap().contains("PORT"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_runs_is_well_and_one_with_another_key_is_not() {
    let house = Prepared::new().await;
    let session = house.link(&[SHOP]).await[0];
    let running = house.start();
    running.api().ready(session).await;
    let data = house.data().to_str().unwrap();
    let base = running.base.clone();
    let port = base.rsplit_once(':').unwrap().1.split('/').next().unwrap();
    let at = [("WAYPOST_DATA_DIR", data), ("PORT", port), ("WAYPOST_MASTER_KEY", MASTER_KEY)];
    let (_, report) = doctor(house.data(), &at);
    for check in ["settings", "ledger", "tables", "encryption", "lanes", "dead letters", "gateway"]
    {
        assert_eq!(of(&report, check)["verdict"], "ok", "{check} {report}");
    }
    let fingerprint = of(&report, "master key")["says"].as_str().unwrap().to_owned();
    assert!(fingerprint.contains("fingerprint") && !fingerprint.contains(MASTER_KEY));
    let other = MASTER_KEY.replace("00", "ff");
    let env = [at[0], at[1], ("WAYPOST_MASTER_KEY", other.as_str())];
    let (code, report) = doctor(house.data(), &env);
    assert_eq!(code, 2);
    assert_eq!(of(&report, "encryption")["verdict"], "problem", "{report}");
    running.kill();

    std::fs::set_permissions(house.data(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let env = [at[0], ("PORT", port.as_str()), at[2]];
    let mut command = waypost();
    command.arg("doctor").current_dir(house.data()).envs(env);
    drop(taken);
    let (code, out, _) = finish(command);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("look    data folder") && out.contains("-> chmod 700"), "{out}");
    assert!(out.contains("is free for it"), "{out}");
}

#[test]
fn a_database_that_does_not_answer_is_broken_and_the_advice_says_where_it_is_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (port, redis) = (free_port(), free_port());
    let env = [
        ("DATABASE_TYPE", "postgres"),
        ("DATABASE_HOST", "127.0.0.1"),
        ("DATABASE_PORT", port.as_str()),
        ("QUEUE_ENABLED", "true"),
        ("REDIS_HOST", "127.0.0.1"),
        ("REDIS_PORT", redis.as_str()),
        ("PORT", "1"),
    ];
    let (code, report) = doctor(dir.path(), &env);
    assert_eq!(code, 2);
    let ledger = of(&report, "ledger");
    assert!(ledger["do"].as_str().unwrap().contains("DATABASE_HOST"), "{report}");
    assert_eq!(of(&report, "redis")["verdict"], "warning", "{report}");
}
