//! Clients that others wrote, each in a process of its own.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
};

/// Longest wait for something to happen: another program has to start, on a machine that may be busy.
const LIMIT: Duration = Duration::from_secs(60);
const JAVASCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/events_client.js");
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/events_client.py");

/// How a client connects.
#[derive(Clone, Copy)]
pub enum Transports {
    Polling,
    WebSocket,
    /// Polling first, as clients do that nobody told otherwise.
    Both,
}

impl Transports {
    fn names(self) -> Value {
        match self {
            Self::Polling => json!(["polling"]),
            Self::WebSocket => json!(["websocket"]),
            Self::Both => json!(["polling", "websocket"]),
        }
    }
}

/// A folder with a client, made aside and renamed: tests run side by side.
fn installed(name: &str, install: impl FnOnce(&Path) -> Command) -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = home.join(name);
    if !folder.exists() {
        let made = tempfile::tempdir_in(home).unwrap();
        let output = install(made.path()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} needs a package registry:\n{told}");
        // Whoever is second finds the folder there and drops its own.
        let _ = std::fs::rename(made.path(), &folder);
    }
    folder
}

fn javascript() -> PathBuf {
    installed("socket.io-client-4.8.4", |folder| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(folder);
        npm.arg("socket.io-client@4.8.4");
        npm
    })
}

fn python() -> PathBuf {
    installed("python-socketio-5", |folder| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--target"]).arg(folder);
        pip.arg("python-socketio[client]==5.*");
        pip
    })
}

/// A running client.
pub struct StockClient {
    _child: Child,
    said: Lines<BufReader<ChildStdout>>,
    stdin: ChildStdin,
}

impl StockClient {
    /// The client from npm.
    pub fn javascript(url: &str, transports: Transports, auth: &Value, headers: &Value) -> Self {
        let mut node = Command::new("node");
        node.arg(JAVASCRIPT).env("NODE_PATH", javascript().join("node_modules"));
        Self::start(node, url, transports, auth, headers)
    }

    /// The client from PyPI.
    pub fn python(url: &str, transports: Transports, auth: &Value) -> Self {
        let mut python3 = Command::new("python3");
        python3.arg(PYTHON).env("PYTHONPATH", python());
        Self::start(python3, url, transports, auth, &json!({}))
    }

    fn start(
        mut command: Command,
        url: &str,
        transports: Transports,
        auth: &Value,
        headers: &Value,
    ) -> Self {
        let asked = json!({ "url": url, "transports": transports.names(), "auth": auth,
            "headers": headers });
        command.arg(asked.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let stdin = child.stdin.take().unwrap();
        Self { _child: child, said, stdin }
    }

    /// What happens next.
    pub async fn next(&mut self) -> (String, Value) {
        let line = tokio::time::timeout(LIMIT, self.said.next_line()).await;
        let line = line.expect("nothing happened").unwrap().expect("the client ended");
        serde_json::from_str(&line).unwrap()
    }

    /// What is said next.
    pub async fn message(&mut self) -> Value {
        let (what, message) = self.next().await;
        assert_eq!(what, "message", "{message}");
        message
    }

    /// Whether it got in, and over what.
    pub async fn connected(&mut self) -> String {
        let (what, transport) = self.next().await;
        assert_eq!(what, "connect", "{transport}");
        transport.as_str().unwrap().to_owned()
    }

    pub async fn send(&mut self, message: Value) {
        self.stdin.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    /// Enters rooms and hears that it did.
    pub async fn subscribe(&mut self, session: &str, events: &[&str]) -> Value {
        let frame = json!({ "type": "subscribe", "sessionId": session, "events": events });
        self.send(frame).await;
        let answer = self.message().await;
        assert_eq!(answer["type"], "subscribed", "{answer}");
        answer
    }

    /// The texts of the next events.
    pub async fn texts(&mut self, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            let event = self.message().await;
            assert_eq!(event["type"], "event", "{event}");
            texts.push(event["payload"]["data"]["body"].as_str().unwrap().to_owned());
        }
        texts
    }

    /// It is refused with this code, and the connection ends.
    pub async fn shut_out(&mut self, code: &str) -> Value {
        let refusal = self.message().await;
        assert_eq!(
            (&refusal["type"], &refusal["code"]),
            (&json!("error"), &json!(code)),
            "{refusal}"
        );
        assert_eq!(self.next().await.0, "disconnect");
        refusal
    }
}
