//! The dashboard in a browser, on the real program and a simulated WhatsApp: `web/test/dashboard.mjs` says what is done.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::json;
use simulator::{Behaviour, Network};

use crate::support::{Prepared, finish, waypost};

/// Longest run of all steps; two cores share many tests.
const RUN_LIMIT: Duration = Duration::from_secs(900);

fn web() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web")
}

fn works(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// What this machine lacks to show a page.
fn lacking() -> Option<&'static str> {
    ["npm", "node", "chromium"].into_iter().find(|program| !works(program))
}

fn install() {
    if web().join("node_modules").exists() {
        return;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(web());
    npm.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
    assert!(npm.status().unwrap().success(), "npm ci");
}

async fn phones(network: &Network) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = simulator::admin::router(network.clone());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

/// The example plugin that hides secrets, packed.
fn package(prepared: &Prepared) -> PathBuf {
    let zip = prepared.data().join("redact.zip");
    let source = web().join("../examples/plugins/redact");
    let mut pack = waypost();
    pack.arg("plugin").arg("pack").arg(source).arg("-o").arg(&zip);
    let (code, _, err) = finish(pack);
    assert_eq!(code, Some(0), "{err}");
    zip
}

#[tokio::test(flavor = "multi_thread")]
async fn every_view_works_in_a_browser() {
    if let Some(program) = lacking() {
        println!("not looked at: this machine has no {program}");
        return;
    }
    install();
    let prepared = Prepared::new().await;
    let name = "Mia <img src=x onerror=\"alert(1)\">";
    let mia = prepared.network.add_account("4917012345678", name).await;
    mia.on_message(Behaviour { read_after: Some(Duration::ZERO), ..Behaviour::default() }).await;
    let running = prepared.start_with(&[("WEBHOOK_RETRY_DELAY", "300")]);
    let (status, link) = running.api().post("/auth/session/link", &json!({})).await;
    assert_eq!(status, 201, "{link}");
    let base = running.base.trim_end_matches("/api").to_owned();
    let token = link["token"].as_str().unwrap();
    let mut node = tokio::process::Command::new("node");
    node.arg("test/dashboard.mjs")
        .current_dir(web())
        .env("LINK", format!("{base}/#login={token}"))
        .env("BASE", base)
        .env("KEY", crate::support::KEY)
        .env("PLUGIN", package(&prepared))
        .env("PHONES", phones(&prepared.network).await)
        .kill_on_drop(true);
    let output = tokio::time::timeout(RUN_LIMIT, node.output()).await.expect("too long").unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{out}");
    assert!(output.status.success(), "{err}\n{}", running.log());
    assert!(out.ends_with("all steps passed\n"), "{out}");
}

/// Minutes that the page's memory is watched for; ten before a release.
fn steady_minutes() -> u32 {
    let said = std::env::var("WAYPOST_STEADY_MINUTES").ok();
    said.and_then(|minutes| minutes.parse().ok()).unwrap_or(1)
}

#[tokio::test(flavor = "multi_thread")]
async fn its_memory_stays_flat_while_events_come() {
    if let Some(program) = lacking() {
        println!("not looked at: this machine has no {program}");
        return;
    }
    install();
    let prepared = Prepared::new().await;
    let running = prepared.start();
    let mut node = tokio::process::Command::new("node");
    node.arg("test/steady.mjs")
        .arg(steady_minutes().to_string())
        .current_dir(web())
        .env("BASE", running.base.trim_end_matches("/api"))
        .env("KEY", crate::support::KEY)
        .env("PHONES", phones(&prepared.network).await)
        .kill_on_drop(true);
    let output = node.output().await.unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    println!("{out}");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}\n{}", running.log());
    assert!(out.ends_with("the memory stays flat\n"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn open_prints_a_link_that_works_once() {
    let prepared = Prepared::new().await;
    let running = prepared.start();
    let base = running.base.trim_end_matches("/api").to_owned();
    let open = |key: &str| {
        let mut command = waypost();
        command.args(["open", "--url", &base]).env("API_MASTER_KEY", key);
        finish(command)
    };
    let (code, out, err) = open(crate::support::KEY);
    assert_eq!(code, Some(0), "{err}");
    let link = out.lines().next().unwrap();
    let token = link.strip_prefix(&format!("{base}/#login=")).unwrap();
    let stranger = running.api().with_key(None);
    let body = json!({ "token": token });
    assert_eq!(stranger.post("/auth/session", &body).await.0, 201);
    assert_eq!(stranger.post("/auth/session", &body).await.0, 401);
    let (code, out, err) = open("no-key-of-this-gateway");
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("Invalid API key"), "{err}");
}

#[test]
fn the_rules_of_the_pages_hold() {
    if let Some(program) = lacking() {
        println!("not looked at: this machine has no {program}");
        return;
    }
    install();
    let mut node = Command::new("node");
    let output = node.args(["--test", "test/rules.mjs"]).current_dir(web()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
