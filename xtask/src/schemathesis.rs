//! `cargo xtask schemathesis`: the OpenAPI document against the built program, by the tool that others use for it.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, bail};

use crate::run::{cargo, must, root};

/// From PyPI, this version: what it tries must not change from one day to the next.
const PACKAGE: &str = "schemathesis==4.32.5";
/// Live events never end, and a killed session answers nothing more.
const LEFT_OUT: &str = "events|force-kill";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// The sandbox, until it is dropped.
struct Sandbox {
    child: Child,
    address: String,
    key: String,
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tries so many examples for each operation.
pub fn run(examples: u32) -> anyhow::Result<()> {
    must(cargo(&["build", "-p", "server"]))?;
    let folder = root().join("target/schemathesis");
    let packages = folder.join("python");
    std::fs::create_dir_all(&packages)?;
    let mut install = Command::new("python3");
    install.args(["-m", "pip", "install", "--quiet", "--target"]).arg(&packages).arg(PACKAGE);
    must(install).context("schemathesis could not be installed; it needs python3 and pip")?;
    let sandbox = Sandbox::start(&folder.join("data"))?;
    let mut command = Command::new("python3");
    command
        .args(["-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"])
        .arg(root().join("openapi.json"))
        .args(["--url", &sandbox.address, "-H", &format!("X-API-Key: {}", sandbox.key)])
        .args(["--checks", CHECKS, "--exclude-path-regex", LEFT_OUT])
        .args(["--max-examples", &examples.to_string(), "--request-timeout", "20"])
        .env("PYTHONPATH", &packages)
        .current_dir(&folder);
    must(command)
}

impl Sandbox {
    fn start(data: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(root().join("target/debug/waypost"));
        command.args(["sandbox", "--port", "0", "--dir"]).arg(data).stdout(Stdio::piped());
        for window in ["SHORT", "MEDIUM", "LONG"] {
            command.env(format!("RATE_LIMIT_{window}_LIMIT"), "0");
        }
        let mut child = command.spawn().context("cannot start the sandbox")?;
        let output = child.stdout.take().context("the sandbox says nothing")?;
        let mut sandbox = Self { child, address: String::new(), key: String::new() };
        let mut lines = BufReader::new(output).lines();
        for line in lines.by_ref() {
            let line = line?;
            let word = |start: &str| {
                let from = line.find(start)?;
                line[from..].split_whitespace().next().map(str::to_owned)
            };
            if let Some(found) = word("http://127.0.0.1:") {
                let end = found.find("/api").unwrap_or(found.len());
                sandbox.address = found[..end].to_owned();
            }
            if let Some(key) = word("owa_k1_") {
                sandbox.key = key;
            }
            if line.contains("curl") {
                // Nobody reads further; a full pipe must not hold it up.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(sandbox);
            }
        }
        bail!("the sandbox ended before it was ready")
    }
}
