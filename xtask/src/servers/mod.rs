//! PostgreSQL and Redis for tests and measurements: private servers on free loopback ports, in a folder of their own.
//!
//! They end with this process however it ends (see [`guarded`]); what a killed run leaves behind has another folder and
//! other ports. A service that the system's packages start is not touched and not used.

mod certificate;
mod guarded;
mod postgres;
mod redis;

use std::{
    net::TcpListener, os::unix::fs::MetadataExt as _, path::Path, process::Command, time::Duration,
};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use guarded::Guarded;
use postgres::Durability;

use crate::run::{self, Tool};

/// A start is tried so often: another process may take the port that was free a moment before.
const TRIES: u32 = 3;
/// How often a server that starts is asked whether it answers, [`PAUSE`] apart: a minute at least.
const LOOKS: u32 = 600;
/// Between two looks at something that takes its time.
const PAUSE: Duration = Duration::from_millis(100);

/// What the servers need on this machine.
pub const TOOLS: [Tool; 3] = [
    Tool { works: || postgres::programs().is_some(), package: "postgresql" },
    Tool { works: || run::works(&["redis-server", "--version"]), package: "redis-server" },
    Tool { works: || run::works(&["openssl", "version"]), package: "openssl" },
];

/// What the tests get: the variables, in the order in which they are printed.
const VARIABLES: [&str; 4] = [
    "WAYPOST_TEST_POSTGRES",
    "WAYPOST_TEST_REDIS",
    "WAYPOST_TEST_REDIS_TLS",
    "WAYPOST_TEST_REDIS_CA",
];

/// Servers that run until this is dropped.
pub struct Servers {
    variables: Vec<(&'static str, String)>,
    // Stopped before their folder is deleted: fields are dropped in this order.
    running: Vec<Guarded>,
    _folder: Option<TempDir>,
}

impl Servers {
    /// Installs what is missing, then starts all servers and waits until they answer. Servers that the environment
    /// already names are used instead.
    pub fn start() -> anyhow::Result<Self> {
        if VARIABLES.iter().all(|name| std::env::var_os(name).is_some()) {
            return Ok(Self { variables: vec![], running: vec![], _folder: None });
        }
        Self::start_own(Durability::None)
    }

    /// Starts servers for measurements, whatever the environment names: PostgreSQL keeps what it confirms.
    pub fn start_durable() -> anyhow::Result<Self> {
        Self::start_own(Durability::Full)
    }

    fn start_own(durability: Durability) -> anyhow::Result<Self> {
        run::install(&TOOLS)?;
        let folder = folder()?;
        let owner = postgres::ServerOwner::of(folder.path())?;
        let certificate = certificate::make(&folder.path().join("certificate"))?;
        let (database, postgres) =
            postgres::start(folder.path(), &owner, &certificate, durability)?;
        let (plain, redis) = redis::start(folder.path())?;
        let (secure, redis_tls) = redis::start_with_tls(folder.path(), &certificate)?;
        let authority = certificate.authority.display().to_string();
        Ok(Self {
            variables: VARIABLES.into_iter().zip([database, plain, secure, authority]).collect(),
            running: vec![postgres, redis, redis_tls],
            _folder: Some(folder),
        })
    }

    /// Sets the variables that say where the servers are.
    pub fn hand_to(&self, command: &mut Command) {
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
    }

    /// Waits until one of them ends, which none should.
    fn watch(&mut self) -> anyhow::Result<()> {
        loop {
            for server in &mut self.running {
                if server.ended()? {
                    bail!("{} ended: {}", server.name(), server.last_words());
                }
            }
            pause();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "no runtime here; other processes are waited for")]
fn pause() {
    std::thread::sleep(PAUSE);
}

/// `cargo xtask servers`: until Ctrl-C.
pub fn run() -> anyhow::Result<()> {
    let mut servers = Servers::start()?;
    if servers.running.is_empty() {
        println!("# the environment already names servers; nothing was started");
        return Ok(());
    }
    for (name, value) in &servers.variables {
        println!("export {name}='{value}'");
    }
    println!("# these run until Ctrl-C");
    servers.watch()
}

fn folder() -> anyhow::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    // PostgreSQL may have to run as another user, who has to get through to its own folder.
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    builder
        .prefix("waypost-servers-")
        .permissions(permissions)
        .tempdir()
        .context("cannot make a temporary folder for the test servers")
}

/// Whether this process is root: what it makes belongs to root.
fn is_root(folder: &Path) -> anyhow::Result<bool> {
    Ok(std::fs::metadata(folder)?.uid() == 0)
}

/// A loopback port nobody listens on.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// Starts a server and waits until `answers` does; another port when the server ended at once.
fn start_on_free_port(
    start: impl Fn(u16) -> anyhow::Result<Guarded>,
    answers: impl Fn(u16) -> bool,
) -> anyhow::Result<(u16, Guarded)> {
    let mut tries = 1;
    loop {
        let port = free_port()?;
        let mut server = start(port)?;
        let mut looks = 0;
        while !server.ended()? {
            if answers(port) {
                return Ok((port, server));
            }
            if looks == LOOKS {
                bail!("{} does not answer: {}", server.name(), server.last_words());
            }
            looks += 1;
            pause();
        }
        if tries == TRIES {
            bail!("{} ended at once: {}", server.name(), server.last_words());
        }
        tries += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_at_once_is_reported_with_its_last_words() {
        let folder = folder().unwrap();
        let start = |_| {
            let mut command = Command::new("sh");
            command.args(["-c", "echo the port is mine; exit 1"]);
            Guarded::start("squatter", folder.path(), &command)
        };
        let error = start_on_free_port(start, |_| false).err().unwrap().to_string();
        assert_eq!(error, "squatter ended at once: the port is mine");
    }

    #[test]
    fn a_server_ends_and_its_folder_goes_when_nobody_holds_it_any_more() {
        let base = folder().unwrap();
        let own = base.path().join("sleeper");
        std::fs::create_dir(&own).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > sleeper/pid; exec sleep 600"]).current_dir(base.path());
        let server = Guarded::start("sleeper", base.path(), &command).unwrap();
        let pid = loop {
            match std::fs::read_to_string(own.join("pid")) {
                Ok(text) if text.ends_with('\n') => break text.trim().to_owned(),
                _ => pause(),
            }
        };
        assert!(run::works(&["kill", "-0", &pid]));
        drop(server);
        assert!(!run::works(&["kill", "-0", &pid]), "{pid} still runs");
        assert!(!own.exists());
    }
}
