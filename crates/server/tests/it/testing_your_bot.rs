//! The examples of docs/testing-your-bot.md, as a user runs them.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{finish, waypost};

fn example(program: &str, args: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/testing-your-bot");
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).env("WAYPOST", env!("CARGO_BIN_EXE_waypost"));
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
}

#[test]
fn the_python_example_passes() {
    example("python3", &["-B", "test_bot.py"]);
}

#[test]
fn the_javascript_example_passes() {
    example("node", &["--test", "bot.test.mjs"]);
}

#[tokio::test]
async fn the_simulator_runs_as_a_process_and_says_where() {
    let mut command = waypost();
    command.args(["simulator", "--port", "0", "--json", "--media-tls"]);
    command.args(["--account", "5511999990001=Ana"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let places: Value = serde_json::from_str(&line).unwrap();
    let control = places["control"].as_str().unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(format!("{control}/certificate")).send().await.unwrap();
    let trust: Value = answer.json().await.unwrap();
    let answer = http.get(format!("{control}/accounts")).send().await.unwrap();
    let people: Value = answer.json().await.unwrap();
    let pem = trust["mediaCertificate"].as_str().unwrap();
    let authority = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
    let trusting = reqwest::Client::builder().no_proxy().tls_certs_only([authority]);
    let file = format!("{}/v/nothing", places["media"].as_str().unwrap());
    let missing = trusting.build().unwrap().get(file).send().await.unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(places["accounts"], json!(["5511999990001"]));
    assert_eq!((&people[0]["name"], &people[0]["devices"]), (&json!("Ana"), &json!([])));
    assert_eq!(missing.status(), 404, "the media host speaks TLS with the exported certificate");
    assert_eq!(trust["root"].as_str().map(str::len), Some(64));
    assert_eq!(trust["root"], places["root"]);
    assert!(places["media"].as_str().unwrap().starts_with("https://"));
    assert!(trust["mediaCertificate"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE"));
}

#[test]
fn wrong_people_and_wishes_are_refused() {
    for args in [
        &["simulator", "--account", "Ana"][..],
        &["simulator", "--account", "+55=Ana"],
        &["sandbox", "--json"],
        &["sandbox", "--numbers", "0"],
        &["sandbox", "--numbers", "2", "--once"],
    ] {
        let mut command = waypost();
        command.args(args).stderr(Stdio::piped());
        assert_eq!(finish(command).0, Some(2), "{args:?}");
    }
}
