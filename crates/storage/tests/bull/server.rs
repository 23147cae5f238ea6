//! Where Redis is, and PostgreSQL.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

use storage::{LedgerStore, MasterKey, PostgresOptions, RedisOptions, StoreOptions};
use tempfile::TempDir;

/// A setting that `cargo xtask test` gives.
pub fn setting(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`, it starts Redis"))
}

/// The options for an address, with a prefix that nobody else has.
pub fn options_for(address: &str) -> RedisOptions {
    let url = redis::parse_redis_url(address).unwrap();
    let mut options = RedisOptions::new(url.host_str().unwrap(), url.port().unwrap_or(6379));
    options.tls = url.scheme() == "rediss";
    options.password = url.password().map(str::to_owned);
    options.prefix = format!("test-{}", uuid::Uuid::new_v4());
    options
}

/// The server that all tests share.
pub fn options() -> RedisOptions {
    options_for(&setting("WAYPOST_TEST_REDIS"))
}

/// A new, empty PostgreSQL database.
pub async fn postgres() -> PostgresOptions {
    crate::place::place("public").await
}

/// The ledger in it.
pub async fn on_postgres(place: &PostgresOptions) -> LedgerStore {
    let options = StoreOptions::postgres(place.clone(), MasterKey::from_bytes([7; 32]));
    LedgerStore::open(StoreOptions { readers: 4, ..options }).await.unwrap()
}

/// A connection of somebody else.
pub async fn connection(options: &RedisOptions) -> redis::aio::MultiplexedConnection {
    let url = format!("redis://{}:{}", options.host, options.port);
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// A server of the test's own.
pub struct Server {
    port: u16,
    process: Option<Child>,
    folder: TempDir,
}

impl Server {
    pub async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self { port, process: None, folder };
        server.run().await;
        server
    }

    /// The options for it.
    pub fn options(&self) -> RedisOptions {
        options_for(&format!("redis://127.0.0.1:{}", self.port))
    }

    /// Kills it; it forgets everything.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Stops it without ending it: connections stay open and nothing is answered.
    pub fn signal(&self, signal: &str) {
        let id = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Starts it, empty, and waits until it answers.
    pub async fn run(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(self.folder.path());
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.process = Some(process.expect("redis-server is needed"));
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port)).unwrap();
        for _ in 0..400 {
            if let Ok(mut connection) = client.get_multiplexed_async_connection().await
                && redis::cmd("PING").query_async::<()>(&mut connection).await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("redis-server did not start");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
