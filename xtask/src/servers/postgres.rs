//! A PostgreSQL server of our own.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use super::{certificate::Certificate, guarded::Guarded, is_root, start_on_free_port};
use crate::run::{quietly, works};

/// Where Debian keeps a folder per version; the programs are not on the path there.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Many tests at once, each with a pool.
const CONNECTIONS_MAX: u32 = 300;

/// The folder of `initdb` and `postgres`; the newest when there are several, empty when they are on the path.
pub fn programs() -> Option<PathBuf> {
    let version = |path: &PathBuf| -> Option<u32> { path.file_name()?.to_str()?.parse().ok() };
    let installed = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    installed
        .map(|entry| entry.path())
        .filter(|path| path.join("bin/initdb").exists() && path.join("bin/postgres").exists())
        .max_by_key(version)
        .map(|path| path.join("bin"))
        .or_else(|| works(&["initdb", "--version"]).then(PathBuf::new))
}

/// What a confirmed commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of processes: tests kill those, never the machine.
    None,
    /// The loss of power.
    Full,
}

impl Durability {
    fn word(self) -> &'static str {
        match self {
            Self::None => "off",
            Self::Full => "on",
        }
    }
}

/// As whom the server runs: it refuses to be root.
pub struct ServerOwner {
    switch: bool,
}

impl ServerOwner {
    /// The user `postgres` where we are root, else ourselves.
    pub fn of(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self { switch: is_root(folder)? })
    }

    fn command(&self, program: &Path) -> Command {
        if !self.switch {
            return Command::new(program);
        }
        // It becomes the program: signals reach the server itself.
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
        command
    }

    fn give(&self, path: &Path) -> anyhow::Result<()> {
        if !self.switch {
            return Ok(());
        }
        let mut command = Command::new("chown");
        command.args(["-R", "postgres:"]).arg(path);
        quietly(command).context("PostgreSQL does not run as root and there is no user postgres")
    }
}

/// A fresh server, without passwords and with TLS for who asks for it; its URL.
pub fn start(
    base: &Path,
    owner: &ServerOwner,
    certificate: &Certificate,
    durability: Durability,
) -> anyhow::Result<(String, Guarded)> {
    let programs = programs().context("PostgreSQL's programs are not installed")?;
    let folder = base.join("postgres");
    std::fs::create_dir(&folder)?;
    let (chain, key) = (folder.join("server.pem"), folder.join("server.key"));
    std::fs::copy(&certificate.chain, &chain)?;
    std::fs::copy(&certificate.key, &key)?;
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600))?;
    owner.give(&folder)?;
    let data = folder.join("data");
    let mut initdb = owner.command(&programs.join("initdb"));
    initdb.arg("-D").arg(&data).current_dir(&folder).env("LC_ALL", "C");
    initdb.args(["--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C"]);
    quietly(initdb).context("initdb")?;
    let settings = [
        "listen_addresses=127.0.0.1".to_owned(),
        "unix_socket_directories=".to_owned(),
        format!("max_connections={CONNECTIONS_MAX}"),
        format!("fsync={}", durability.word()),
        format!("full_page_writes={}", durability.word()),
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", chain.display()),
        format!("ssl_key_file={}", key.display()),
    ];
    let run = |port: u16| {
        let mut command = owner.command(&programs.join("postgres"));
        command.arg("-D").arg(&data).args(["-p", &port.to_string()]).current_dir(&folder);
        for setting in &settings {
            command.args(["-c", setting]);
        }
        Guarded::start("postgres", base, &command)
    };
    let ready = programs.join("pg_isready");
    let answers = |port: u16| {
        let port = port.to_string();
        works(&[&ready.to_string_lossy(), "-q", "-h", "127.0.0.1", "-p", &port])
    };
    let (port, server) = start_on_free_port(run, answers)?;
    Ok((format!("postgres://postgres@127.0.0.1:{port}/postgres"), server))
}
