//! Redis servers of our own: one as open as Redis is, one with a password and TLS.

use std::{path::Path, process::Command};

use super::{certificate::Certificate, guarded::Guarded, start_on_free_port};
use crate::run::works;

/// The password of the second one.
const PASSWORD: &str = "waypost-test";

fn server(folder: &Path) -> anyhow::Result<Command> {
    if !folder.exists() {
        std::fs::create_dir(folder)?;
    }
    let mut command = Command::new("redis-server");
    command.args(["--save", "", "--appendonly", "no", "--daemonize", "no"]);
    // With a minus: where there is such an address; `localhost` may mean it.
    command.args(["--bind", "127.0.0.1", "-::1", "--dir"]).arg(folder).current_dir(folder);
    Ok(command)
}

/// Without a password; its URL.
pub fn start(base: &Path) -> anyhow::Result<(String, Guarded)> {
    let run = |port: u16| {
        let mut command = server(&base.join("redis"))?;
        command.args(["--port", &port.to_string()]);
        Guarded::start("redis", base, &command)
    };
    let answers = |port: u16| works(&["redis-cli", "-p", &port.to_string(), "ping"]);
    let (port, server) = start_on_free_port(run, answers)?;
    Ok((format!("redis://127.0.0.1:{port}"), server))
}

/// With a password, and only over TLS; its URL.
pub fn start_with_tls(base: &Path, certificate: &Certificate) -> anyhow::Result<(String, Guarded)> {
    let run = |port: u16| {
        let mut command = server(&base.join("redis-tls"))?;
        command.args(["--port", "0", "--tls-port", &port.to_string()]);
        command.arg("--tls-cert-file").arg(&certificate.chain);
        command.arg("--tls-key-file").arg(&certificate.key);
        command.arg("--tls-ca-cert-file").arg(&certificate.authority);
        command.args(["--tls-auth-clients", "no", "--requirepass", PASSWORD]);
        Guarded::start("redis-tls", base, &command)
    };
    let authority = certificate.authority.to_string_lossy();
    let answers = |port: u16| {
        let port = port.to_string();
        let secure = ["-h", "localhost", "-p", &port, "--tls", "--cacert", &authority];
        let args = [&["redis-cli"], &secure[..], &["--no-auth-warning", "-a", PASSWORD, "ping"]];
        works(&args.concat())
    };
    let (port, server) = start_on_free_port(run, answers)?;
    Ok((format!("rediss://:{PASSWORD}@localhost:{port}"), server))
}
