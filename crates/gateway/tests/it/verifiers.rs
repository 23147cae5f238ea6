//! The stock Standard Webhooks verifiers of Python and JavaScript, as their makers publish them, on real deliveries.
//!
//! They are installed into the build's folder for temporary files when they are missing, by `pip` and `npm`.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use domain::{
    delivery::{PolicyChoice, SignatureScheme},
    signature,
    webhook::Secret,
};
use gateway::webhooks::WebhookPatch;
use serde_json::{Value, json};
use testkit::{Received, Receiver, build};

use crate::house::{House, within};

const OLD: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const NEW: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Reads `{secret, headers, body}` and fails when the library does. Their tolerance is against the real time, which the
/// delivery's is not: the clock of the library is set to the delivery's.
const PYTHON: &str = r#"
import datetime, json, sys
import standardwebhooks.webhooks as lib
call = json.load(sys.stdin)
at = datetime.datetime.fromtimestamp(int(call["headers"]["webhook-timestamp"]), datetime.timezone.utc)
class Then(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return at
lib.datetime = Then
lib.Webhook(call["secret"]).verify(call["body"], call["headers"])
"#;
const NODE: &str = r#"
const { Webhook } = require("standardwebhooks");
const call = JSON.parse(require("fs").readFileSync(0, "utf8"));
Date.now = () => Number(call.headers["webhook-timestamp"]) * 1000;
new Webhook(call.secret).verify(call.body, call.headers);
"#;
/// ed25519 by Node's own library: neither stock verifier knows `v1a`.
const NODE_ED25519: &str = r#"
const crypto = require("crypto");
const call = JSON.parse(require("fs").readFileSync(0, "utf8"));
const raw = Buffer.from(call.secret.replace("whpk_", ""), "base64");
const key = crypto.createPublicKey({ format: "jwk", key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") } });
const h = call.headers;
const signed = Buffer.from(`${h["webhook-id"]}.${h["webhook-timestamp"]}.${call.body}`);
const entries = h["webhook-signature"].split(" ").map((entry) => entry.split(","));
const good = entries.some(([version, text]) =>
  version === "v1a" && crypto.verify(null, signed, key, Buffer.from(text, "base64")));
process.exit(good ? 0 : 1);
"#;

fn run(command: &mut Command, what: &str) {
    let output = command.output().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(output.status.success(), "{what}:\n{}", String::from_utf8_lossy(&output.stderr));
}

/// The folder with both libraries, installed when they are not there. Made aside and renamed: tests run side by side.
fn libraries() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = home.join("verifiers");
    if folder.exists() {
        return folder;
    }
    let made = tempfile::tempdir_in(home).unwrap();
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--target"]).arg(made.path().join("python"));
    run(pip.arg("standardwebhooks"), "python3 with pip is needed, and a package index");
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(made.path());
    run(npm.arg("standardwebhooks"), "npm is needed, and a package registry");
    // Whoever is second finds the folder there and drops its own.
    let _ = std::fs::rename(made.path(), &folder);
    folder
}

/// Whether a verifier accepts a call.
fn accepts(program: &[&str], secret: &str, call: &Received, body: &str) -> bool {
    let folder = libraries();
    let header = |name: &str| (name.to_owned(), json!(call.header(name)));
    let headers: Value =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].map(header).into_iter().collect();
    let input = json!({ "secret": secret, "headers": headers, "body": body }).to_string();
    let mut child = Command::new(program[0])
        .args(&program[1..])
        .current_dir(&folder)
        .env("PYTHONPATH", folder.join("python"))
        .env("NODE_PATH", folder.join("node_modules"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{} is needed: {error}", program[0]));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        !told.contains("ModuleNotFoundError") && !told.contains("Cannot find module"),
        "{told}"
    );
    output.status.success()
}

fn stock(secret: &str, call: &Received, body: &str) -> [bool; 2] {
    [
        accepts(&["python3", "-c", PYTHON], secret, call, body),
        accepts(&["node", "-e", NODE], secret, call, body),
    ]
}

#[tokio::test]
async fn the_stock_verifiers_accept_every_try_and_both_secrets_of_a_rotation() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let hook =
        house.webhook_with(session, &receiver, |new| new.secret = Some(Secret::new(OLD))).await;
    house.hear(session, &build::chat(1)).await;
    let call = within("the call", receiver.wait_for(1)).await.remove(0);
    let body = String::from_utf8(call.body.to_vec()).unwrap();
    assert_eq!(stock(OLD, &call, &body), [true, true]);
    assert_eq!(stock(NEW, &call, &body), [false, false], "another secret");
    assert_eq!(
        stock(OLD, &call, &body.replace("text 1", "text 2")),
        [false, false],
        "another body"
    );

    let secret = Some(Some(Secret::new(NEW)));
    let patch = WebhookPatch { secret, ..WebhookPatch::default() };
    house.gateway.webhooks.update(session, hook.id, patch).await.unwrap();
    house.drained().await;
    house.hear(session, &build::chat(1)).await;
    let call = within("the second call", receiver.wait_for(2)).await.remove(1);
    let body = String::from_utf8(call.body.to_vec()).unwrap();
    assert_eq!(call.header("webhook-signature").split(' ').count(), 2);
    for secret in [OLD, NEW] {
        assert_eq!(stock(secret, &call, &body), [true, true], "during the overlap");
    }
    assert_eq!(call.header("x-openwa-signature"), signature::openwa(&Secret::new(NEW), &call.body));

    house.drained().await;
    house.clock.advance(Duration::from_secs(86_400));
    house.hear(session, &build::chat(1)).await;
    let call = within("the third call", receiver.wait_for(3)).await.remove(2);
    let body = String::from_utf8(call.body.to_vec()).unwrap();
    assert_eq!(stock(NEW, &call, &body), [true, true]);
    assert_eq!(stock(OLD, &call, &body), [false, false], "after the overlap");
}

#[tokio::test]
async fn an_asymmetric_signature_is_checked_with_the_public_key_alone() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    let hook = house
        .webhook_with(session, &receiver, |new| {
            new.policy =
                PolicyChoice { signature: SignatureScheme::V1a, ..PolicyChoice::default() };
        })
        .await;
    let public = signature::public_key(hook.signing_key.as_ref().unwrap()).unwrap();
    house.hear(session, &build::chat(1)).await;
    let call = within("the call", receiver.wait_for(1)).await.remove(0);
    let body = String::from_utf8(call.body.to_vec()).unwrap();
    assert!(call.header("webhook-signature").starts_with("v1a,"));
    let verify = |body: &str| accepts(&["node", "-e", NODE_ED25519], &public, &call, body);
    assert!(verify(&body));
    assert!(!verify(&body.replace("text 1", "text 2")));
}
