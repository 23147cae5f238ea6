//! A prepared ledger, and the real binary on it.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::Duration,
};

use domain::{
    SessionId, Timestamp,
    port::SessionStore as _,
    session::{Session, SessionConfig, SessionStatus},
};
use serde_json::Value;
use simulator::Network;
use storage::{LedgerStore, MasterKey, PostgresOptions, StoreOptions};
use tempfile::TempDir;
use tokio::time::Instant;
use whatsapp::LinkedDevice;

/// The admin key of every prepared house.
pub const KEY: &str = "admin-key-of-the-tests";
/// Opens the metrics.
pub const METRICS_TOKEN: &str = "metrics-of-the-tests";
/// 32 bytes, in hex.
pub const MASTER_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// Longest wait for a state; generous, since two cores share many tests.
pub const LIMIT: Duration = Duration::from_secs(60);

/// So many lines of the program's log are shown when a test fails.
const LOG_LINES: usize = 40;

/// The binary under test.
pub fn waypost() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
    // Nothing of the machine's environment may decide a test.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// A folder with a ledger.
pub struct Prepared {
    pub dir: TempDir,
    pub network: Network,
    /// The ledger is there, not in the folder.
    postgres: Option<PostgresOptions>,
}

impl Prepared {
    pub async fn new() -> Self {
        let network = Network::start().await.unwrap();
        Self { dir: tempfile::tempdir().unwrap(), network, postgres: None }
    }

    /// On a new, empty PostgreSQL database.
    pub async fn on_postgres() -> Self {
        let url = url::Url::parse(&testkit::servers::postgres_database().await).unwrap();
        let postgres = PostgresOptions {
            host: url.host_str().unwrap().into(),
            port: url.port().unwrap(),
            username: url.username().into(),
            password: url.password().map(str::to_owned),
            database: url.path().trim_start_matches('/').into(),
            schema: "public".into(),
            tls: None,
        };
        Self { postgres: Some(postgres), ..Self::new().await }
    }

    /// Leaves the folder where it is, for whoever looks into a failure; where.
    pub fn keep(&mut self) -> &Path {
        self.dir.disable_cleanup(true);
        self.dir.path()
    }

    pub fn data(&self) -> &Path {
        self.dir.path()
    }

    /// The ledger, while no program has it.
    pub async fn store(&self) -> LedgerStore {
        let key = MasterKey::from_hex_or_base64(MASTER_KEY).unwrap();
        let options = match &self.postgres {
            Some(postgres) => StoreOptions::postgres(postgres.clone(), key),
            None => StoreOptions::new(self.data().join("waypost.sqlite"), key),
        };
        LedgerStore::open(options).await.unwrap()
    }

    /// Writes linked sessions into the ledger, as pairing would have left them; they come up at the next start.
    pub async fn link(&self, phones: &[&str]) -> Vec<SessionId> {
        let store = self.store().await;
        let mut ids = Vec::new();
        for (index, phone) in phones.iter().enumerate() {
            self.network.add_account(phone, "Shop").await;
            let session = session(u128::try_from(index).unwrap() + 1);
            assert!(store.insert_session(&session).await.unwrap());
            let device = self.network.provision_device(phone).await.unwrap();
            let (key_id, key) = &device.app_state_key;
            let linked = LinkedDevice {
                device: serde_json::to_vec(&device.device).unwrap(),
                prekeys: device.prekeys.clone(),
                app_state_key: Some((key_id.clone(), serde_json::to_vec(key).unwrap())),
            };
            let (at, minute) = (session.created_at, Duration::from_secs(60));
            let held =
                store.acquire_session(session.id, "test", at, minute).await.unwrap().unwrap();
            whatsapp::import_device(&store, &held.lease, linked).await.unwrap();
            store.release_session(&held.lease).await.unwrap();
            ids.push(session.id);
        }
        store.close().await;
        ids
    }

    /// Starts the program on this ledger and waits until it listens.
    pub fn start(&self) -> Running {
        self.start_with(&[])
    }

    pub fn start_with(&self, env: &[(&str, &str)]) -> Running {
        self.run(self.data(), &["serve"], env)
    }

    /// Starts another program than the one under test, if one is named.
    pub fn start_program(&self, program: Option<&str>) -> Running {
        let ours = self.command(self.data(), &["serve"], &[]);
        let Some(program) = program else {
            return Running::spawn(ours, self.data().join("stderr.log"));
        };
        let mut command = Command::new(program);
        command.args(ours.get_args()).env_clear().current_dir(self.data());
        command.envs(ours.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Running::spawn(command, self.data().join("stderr.log"))
    }

    /// Starts the program on a folder that is not the one of its log.
    pub fn start_at(&self, data: &Path, env: &[(&str, &str)]) -> Running {
        Running::spawn(self.command(data, &["serve"], env), self.data().join("stderr.log"))
    }

    /// Starts the program with so many file descriptors and no way to more.
    pub fn start_within(&self, descriptors: u64) -> Running {
        let inner = self.command(self.data(), &["serve"], &[]);
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
        command.arg("-c").arg(script).arg(inner.get_program()).args(inner.get_args());
        command.env_clear().current_dir(self.data());
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Running::spawn(command, self.data().join("stderr.log"))
    }

    /// Starts a program that may end before it listens: none then.
    pub fn try_start_with(&self, env: &[(&str, &str)]) -> Option<Running> {
        let command = self.command(self.data(), &["serve"], env);
        Running::try_spawn(command, self.data().join("stderr.log")).ok()
    }

    /// A program that is about to start, for those who watch over it themselves.
    pub fn serve(&self, env: &[(&str, &str)]) -> Command {
        self.command(self.data(), &["serve"], env)
    }

    /// The API of a program that listens at this port, whenever it does.
    pub fn api(&self, port: &str) -> Api {
        let base = format!("http://127.0.0.1:{port}/api");
        Api { base, key: Some(KEY.to_owned()), http: http() }
    }

    /// Starts a worker of this ledger, with a folder of its own.
    pub fn worker(&self, name: &str, env: &[(&str, &str)]) -> Running {
        let data = self.data().join(name);
        std::fs::create_dir_all(&data).unwrap();
        self.run(&data, &["serve", "--role", "worker"], env)
    }

    /// Starts a further gateway of this ledger, with a folder of its own and the media folder of all, that the others
    /// can ask.
    pub fn gateway(&self, name: &str, env: &[(&str, &str)]) -> Running {
        let data = self.data().join(name);
        std::fs::create_dir_all(&data).unwrap();
        let (port, media) = (free_port(), self.data().join("media"));
        let url = format!("http://127.0.0.1:{port}");
        let own = [
            ("PORT", port.as_str()),
            ("NODE_ID", name),
            ("NODE_URL", url.as_str()),
            ("STORAGE_LOCAL_PATH", media.to_str().unwrap()),
            // Several processes share the machine with other tests.
            ("DATABASE_POOL_SIZE", "4"),
        ];
        self.run(&data, &["serve"], &[&own, env].concat())
    }

    /// Another command of the program, with the settings that its gateway has; to be run with [`finish`].
    pub fn tool(&self, args: &[&str]) -> Command {
        self.command(self.data(), args, &[])
    }

    fn run(&self, data: &Path, args: &[&str], env: &[(&str, &str)]) -> Running {
        Running::spawn(self.command(data, args, env), data.join("stderr.log"))
    }

    fn command(&self, data: &Path, args: &[&str], env: &[(&str, &str)]) -> Command {
        let mut command = waypost();
        command
            .args(args)
            .current_dir(data)
            .env("PORT", "0")
            .env("WAYPOST_DATA_DIR", data)
            .env("METRICS_TOKEN", METRICS_TOKEN)
            .env("WAYPOST_MASTER_KEY", MASTER_KEY)
            .env("API_MASTER_KEY", KEY)
            .env("WAYPOST_WHATSAPP_URL", self.network.chat_url())
            .env("WAYPOST_MEDIA_URL", self.network.media_url())
            .env("SSRF_ALLOWED_HOSTS", "127.0.0.1")
            .env("SIMULATE_TYPING", "false")
            .env("LOG_LEVEL", "warn")
            // Tests ask far more than a client should.
            .env("RATE_LIMIT_SHORT_LIMIT", "0")
            .env("RATE_LIMIT_MEDIUM_LIMIT", "0")
            .env("RATE_LIMIT_LONG_LIMIT", "0")
            .env("WAYPOST_WRONG_KEYS_PER_MINUTE", "0");
        if let Some(postgres) = &self.postgres {
            command
                .env("DATABASE_TYPE", "postgres")
                .env("DATABASE_HOST", &postgres.host)
                .env("DATABASE_PORT", postgres.port.to_string())
                .env("DATABASE_USERNAME", &postgres.username)
                .env("DATABASE_PASSWORD", postgres.password.as_deref().unwrap_or_default())
                .env("DATABASE_NAME", &postgres.database);
        }
        for (name, value) in env {
            command.env(name, value);
        }
        command
    }
}

fn session(number: u128) -> Session {
    let at = Timestamp::from_millis(1_790_841_600_000);
    Session {
        id: SessionId::from_uuid(uuid::Uuid::from_u128(number)),
        name: format!("shop-{number}"),
        status: SessionStatus::Disconnected,
        wanted: true,
        phone: None,
        lid: None,
        push_name: None,
        connected_at: None,
        last_active: None,
        last_error: None,
        config: SessionConfig { reconnect_base_delay_ms: Some(1000), ..SessionConfig::default() },
        restriction: None,
        new_chat_quota: None,
        proxy: None,
        created_at: at,
        updated_at: at,
    }
}

/// The program, listening.
pub struct Running {
    child: Child,
    pub base: String,
    stderr: PathBuf,
}

impl Running {
    /// Starts a command that becomes the program, and waits until it listens.
    pub fn spawn(command: Command, stderr: PathBuf) -> Self {
        match Self::try_spawn(command, stderr.clone()) {
            Ok(running) => running,
            Err(seen) => panic!(
                "it did not start: {seen}{}",
                std::fs::read_to_string(stderr).unwrap_or_default()
            ),
        }
    }

    /// What it said instead, when it does not listen.
    fn try_spawn(mut command: Command, stderr: PathBuf) -> Result<Self, String> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&stderr).unwrap();
        let child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        // From here on the drop ends it, also when it never listens.
        let mut running = Self { child, base: String::new(), stderr };
        let (tell, told) = mpsc::channel();
        let stdout = running.child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        let mut seen = String::new();
        while running.base.is_empty() {
            let Ok(line) = told.recv_timeout(LIMIT) else {
                return Err(seen);
            };
            if let Some((_, base)) = line.split_once(" on http://") {
                running.base = format!("http://{}", base.trim());
            }
            seen.push_str(&line);
            seen.push('\n');
        }
        Ok(running)
    }

    /// Whether it is no more.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// SIGKILL: no instruction of the program runs after this.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGSTOP: it stands still, its connections stay open.
    pub fn halt(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT: it goes on as if nothing had been.
    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([name, &self.pid().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// The most memory it ever held.
    pub fn peak_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    }

    /// SIGTERM, and wait for the end.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal("-TERM");
        self.child.wait().unwrap()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    pub fn api(&self) -> Api {
        Api { base: self.base.clone(), key: Some(KEY.to_owned()), http: http() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The folder goes with the test: what the program said is the evidence.
            let (log, ended) = (self.log(), self.child.try_wait());
            let last = log.lines().rev().take(LOG_LINES).collect::<Vec<_>>();
            eprintln!("the program ({ended:?}) said last:");
            last.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago, for a program that is to come back under the same address.
pub fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(LIMIT).build().unwrap()
}

/// A client of the program's API.
#[derive(Clone)]
pub struct Api {
    base: String,
    key: Option<String>,
    http: reqwest::Client,
}

impl Api {
    pub fn with_key(&self, key: Option<&str>) -> Self {
        Self { key: key.map(str::to_owned), ..self.clone() }
    }

    pub async fn raw(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> (u16, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            request = request.header("X-API-Key", key);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json").body(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap_or_default();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// `POST` with one more header.
    pub async fn post_with(&self, path: &str, body: &Value, header: (&str, &str)) -> u16 {
        let request = self.http.post(format!("{}{path}", self.base)).json(body);
        let request = request.header("X-API-Key", self.key.as_deref().unwrap_or_default());
        request.header(header.0, header.1).send().await.unwrap().status().as_u16()
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.raw(reqwest::Method::POST, path, Some(body.to_string().into_bytes())).await
    }

    /// With an idempotency key; `None` when nobody answered.
    pub async fn try_post_with(&self, path: &str, body: &Value, key: &str) -> Option<(u16, Value)> {
        let request = self.http.post(format!("{}{path}", self.base)).json(body);
        let request = request.header("X-API-Key", self.key.as_deref().unwrap_or_default());
        let answer = request.header("Idempotency-Key", key).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.json().await.ok()?))
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.raw(reqwest::Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// `None` when nobody answered, or not well.
    pub async fn try_get(&self, path: &str) -> Option<Value> {
        let request = self.http.get(format!("{}{path}", self.base));
        let request = request.header("X-API-Key", self.key.as_deref().unwrap_or_default());
        let answer = request.send().await.ok()?;
        if answer.status() == 200 { answer.json().await.ok() } else { None }
    }

    /// Looks again until it fits, within the limit.
    pub async fn until(&self, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let body = self.get(path).await;
            if fits(&body) {
                return body;
            }
            assert!(Instant::now() < deadline, "{path} never fitted: {body}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A metric of the process: the sum over its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        self.try_metric(name).await.unwrap()
    }

    /// `None` when nobody answered.
    pub async fn try_metric(&self, name: &str) -> Option<f64> {
        let request = self.http.get(format!("{}/metrics", self.base)).bearer_auth(METRICS_TOKEN);
        let text = request.send().await.ok()?.text().await.ok()?;
        let rows = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        let values: Vec<f64> =
            rows.map(|row| row.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        assert!(!values.is_empty(), "no {name} in {text}");
        Some(values.into_iter().sum())
    }

    pub async fn ready(&self, session: SessionId) -> Value {
        self.until(&format!("/sessions/{session}"), |body| body["status"] == "ready").await
    }
}

/// Runs a command to its end: exit code, standard output, standard error.
pub fn finish(mut command: Command) -> (Option<i32>, String, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (child.wait().unwrap().code(), out, err)
}
