//! The application under test and the way to ask it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use api::{ApiOptions, RateOptions};
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::ConnectInfo,
    http::{HeaderMap, Request, StatusCode},
};
use domain::{
    Clock as _, Timer,
    message::InboundMessage,
    port::{
        ApiKeyStore, EngineSignal, MessageQuery, MessageStore, Page, SessionStore, WebhookStore,
    },
};
use gateway::{Gateway, LiveOptions, Options, Ports, Role, WebhookOptions};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use storage::{FolderMedia, LedgerStore, StoreOptions};
use testkit::{FakeWhatsApp, ManualClock, OnSend, SeededEntropy};
use tokio::{net::TcpListener, sync::mpsc};
use tower::ServiceExt as _;

/// Longest wait for a state.
const WAIT_LIMIT: Duration = Duration::from_secs(10);
const ALL: Page = Page { limit: 1000, offset: 0 };

/// Everything, on a ledger of its own.
pub struct App {
    pub gateway: Gateway,
    pub store: LedgerStore,
    /// The first admin key.
    pub admin: String,
    pub clock: ManualClock,
    pub whatsapp: FakeWhatsApp,
    router: Router,
    start: Start,
    pub dir: tempfile::TempDir,
}

/// What a process begins with.
#[derive(Clone)]
struct Start {
    house: Options,
    ports: Ports,
    api: ApiOptions,
}

/// Another process.
pub struct Neighbour {
    pub gateway: Gateway,
    router: Router,
}

/// A key made for a test.
pub struct Key {
    pub id: String,
    pub text: String,
}

/// The body of an error answer.
pub fn refused(status: u16, error: &str, message: &str) -> Value {
    json!({ "statusCode": status, "message": message, "error": error })
}

impl App {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With other options of the API.
    pub async fn with(change: impl FnOnce(&mut ApiOptions)) -> Self {
        Box::pin(Self::build(change, 0, |_| {})).await
    }

    /// With at most so many started sessions.
    pub async fn with_cap(sessions: u32) -> Self {
        Box::pin(Self::build(|_| {}, sessions, |_| {})).await
    }

    /// With other options of the gateway.
    pub async fn tuned(tune: impl FnOnce(&mut Options)) -> Self {
        Box::pin(Self::build(|_| {}, 0, tune)).await
    }

    /// With at most so many live readers.
    pub async fn with_readers(clients_max: usize) -> Self {
        let live = LiveOptions { clients_max, ..LiveOptions::default() };
        Self::tuned(|options| options.live = live).await
    }

    async fn build(
        change: impl FnOnce(&mut ApiOptions),
        cap: u32,
        tune: impl FnOnce(&mut Options),
    ) -> Self {
        Self::assemble(Self::ledger().await, change, cap, tune).await
    }

    /// An empty ledger, and the folder it lies in.
    pub async fn ledger() -> (tempfile::TempDir, LedgerStore) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("waypost.sqlite");
        let entropy = Arc::new(SeededEntropy::new(107));
        let options = StoreOptions { entropy, ..StoreOptions::for_testing(path) };
        let store = LedgerStore::open(options).await.unwrap();
        (dir, store)
    }

    /// The house on a ledger.
    pub async fn assemble(
        (dir, store): (tempfile::TempDir, LedgerStore),
        change: impl FnOnce(&mut ApiOptions),
        cap: u32,
        tune: impl FnOnce(&mut Options),
    ) -> Self {
        let clock = ManualClock::default();
        let whatsapp = FakeWhatsApp::default();
        let shared = Arc::new(store.clone());
        let ports = Ports {
            clock: Arc::new(clock.clone()),
            entropy: Arc::new(SeededEntropy::new(7)),
            store: shared.clone(),
            queue: shared,
            media_files: Arc::new(FolderMedia::open(&dir.path().join("media")).unwrap()),
            whatsapp: Arc::new(whatsapp.clone()),
            plugins: Arc::new(plugins::Engine::of_this_build()),
        };
        let webhooks =
            WebhookOptions { allowed_hosts: vec!["127.0.0.1".into()], ..WebhookOptions::default() };
        let mut house = Options { max_concurrent_sessions: cap, webhooks, ..Options::default() };
        tune(&mut house);
        let gateway = Gateway::start(house.clone(), ports.clone()).await.unwrap();
        let admin = gateway.api_keys.ensure_admin(None).await.unwrap().unwrap();
        let mut options = ApiOptions {
            trusted_proxies: vec!["10.9.8.7/32".parse().unwrap()],
            version: "9.9.9-test",
            // Tests ask far more than a client should.
            rates: RateOptions::off(),
            resident_bytes: Arc::new(|| 7 * 1024 * 1024),
            ..ApiOptions::default()
        };
        change(&mut options);
        let router = api::router(options.clone(), gateway.clone());
        let start = Start { house, ports, api: options };
        Self { gateway, store, admin, router, clock, whatsapp, start, dir }
    }

    /// The process stops in order and starts again on the same ledger.
    pub async fn restart(&mut self) {
        self.gateway.shutdown().await;
        let Start { house, ports, api } = self.start.clone();
        self.gateway = Gateway::start(house, ports).await.unwrap();
        self.router = api::router(api, self.gateway.clone());
    }

    /// The process stops in order, and one in the role of a worker starts on the same ledger.
    pub async fn become_worker(&mut self) {
        self.gateway.shutdown().await;
        let Start { mut house, ports, api } = self.start.clone();
        house.role = Role::Worker;
        self.gateway = Gateway::start(house, ports).await.unwrap();
        self.router = api::worker_router(api, self.gateway.clone());
    }

    /// Begins a request.
    pub fn ask(&self, method: &str, path: &str) -> Ask<'_> {
        let peer = Some("192.0.2.200");
        let (method, path) = (method.to_owned(), path.to_owned());
        Ask {
            app: self,
            router: self.router.clone(),
            method,
            path,
            headers: vec![],
            body: vec![],
            peer: peer.map(str::to_owned),
        }
    }

    /// Another process on the same ledger, with another name.
    pub async fn neighbour(&self, tune: impl FnOnce(&mut Options)) -> Neighbour {
        let Start { mut house, ports, api } = self.start.clone();
        house.node = "neighbour".into();
        tune(&mut house);
        let gateway = Gateway::start(house, ports).await.unwrap();
        Neighbour { router: api::router(api, gateway.clone()), gateway }
    }

    /// Begins a request to another process.
    pub fn ask_of(&self, neighbour: &Neighbour, method: &str, path: &str) -> Ask<'_> {
        Ask { router: neighbour.router.clone(), ..self.ask(method, path) }
    }

    /// `GET` with the admin key.
    pub async fn get(&self, path: &str) -> Value {
        self.ask("GET", path).admin().send().await.expect(200)
    }

    /// `POST` with the admin key.
    pub async fn post(&self, path: &str, body: Value, status: u16) -> Value {
        self.ask("POST", path).admin().json(&body).send().await.expect(status)
    }

    pub async fn new_key(&self, body: Value) -> Key {
        let key = self.post("/api/auth/api-keys", body, 201).await;
        let text = |field: &str| key[field].as_str().unwrap().to_owned();
        Key { id: text("id"), text: text("apiKey") }
    }

    /// A session that was never started. Each is younger than the one before.
    pub async fn new_session(&self, name: &str) -> String {
        self.clock.advance(Duration::from_secs(1));
        let session = self.post("/api/sessions", json!({ "name": name }), 201).await;
        session["id"].as_str().unwrap().to_owned()
    }

    async fn start_session(&self, session: &str) {
        let path = format!("/api/sessions/{session}/start");
        self.ask("POST", &path).admin().send().await.expect(200);
    }

    /// A started session that shows a QR code.
    pub async fn qr_session(&self, name: &str) -> String {
        let session = self.new_session(name).await;
        self.start_session(&session).await;
        self.wait_for(&session, "qr_ready").await;
        session
    }

    /// A started session whose number is linked.
    pub async fn ready_session(&self, name: &str) -> String {
        let session = self.new_session(name).await;
        self.whatsapp.link(session.parse().unwrap(), "4915550001000");
        self.start_session(&session).await;
        self.wait_for(&session, "ready").await;
        session
    }

    /// A text comes in from the person of this number.
    pub async fn hear_text(&self, session: &str, person: u32, number: u32) {
        let message = testkit::build::inbound(number, &testkit::build::chat(person));
        self.hear(session, vec![message]).await;
    }

    /// A webhook for incoming messages; its id.
    pub async fn webhook(&self, session: &str, url: &str, tries: u32) -> String {
        let path = format!("/api/sessions/{session}/webhooks");
        let webhook = self.post(&path, json!({ "url": url, "retryCount": tries }), 201).await;
        webhook["id"].as_str().unwrap().to_owned()
    }

    /// Asks until the answer fits.
    pub async fn until(&self, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let wait = async {
            loop {
                let answer = self.get(path).await;
                if fits(&answer) {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(WAIT_LIMIT, wait).await.unwrap_or_else(|_| panic!("never: {path}"))
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// WhatsApp's server refuses the next send with this code.
    pub fn refuse_next_send(&self, code: u16) {
        self.whatsapp.on_send(OnSend::Refuse(code));
    }

    /// A reader of events has found nothing and waits, for so long.
    pub async fn reader_waits(&self, long: Duration) {
        self.clock.awaited_until(Timer::LiveReader, self.clock.now().plus(long)).await;
    }

    /// Messages come in on a session.
    pub async fn hear(&self, session: &str, messages: Vec<InboundMessage>) {
        let link = self.whatsapp.connection(session.parse().unwrap());
        link.messages(messages).await.unwrap();
    }

    /// WhatsApp tells something on a session.
    pub async fn signal(&self, session: &str, signal: EngineSignal) {
        self.whatsapp.connection(session.parse().unwrap()).signal(signal).await;
    }

    /// A stored message, as the API shows it.
    pub async fn row(&self, session: &str, wa_id: &str) -> Value {
        let found = self.get(&format!("/api/sessions/{session}/messages?messageId={wa_id}")).await;
        found["messages"][0].clone()
    }

    /// A receiver subscribed to everything of a session but the session's own events, and those about people's ids.
    pub async fn hook(&self, session: &str) -> mpsc::Receiver<Value> {
        let (url, calls) = self.receiver(200).await;
        let events: Vec<&str> = domain::event::EventType::ALL
            .iter()
            .map(|kind| kind.as_str())
            .filter(|name| !name.starts_with("session.") && *name != "contact.resolved")
            .collect();
        let body = json!({ "url": url, "events": events, "order": "session" });
        self.post(&format!("/api/sessions/{session}/webhooks"), body, 201).await;
        calls
    }

    /// A receiver subscribed to these events of a session.
    pub async fn hook_of(&self, session: &str, events: &[&str]) -> mpsc::Receiver<Value> {
        let (url, calls) = self.receiver(200).await;
        let body = json!({ "url": url, "events": events, "order": "session" });
        self.post(&format!("/api/sessions/{session}/webhooks"), body, 201).await;
        calls
    }

    /// Files in the media store, unfinished ones too, but for those that are only locked.
    pub fn files(&self) -> usize {
        fn count(folder: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            let one = |path: std::path::PathBuf| match path.is_dir() {
                true => count(&path),
                false => usize::from(!path.ends_with("lock")),
            };
            entries.map(one).sum()
        }
        count(&self.dir.path().join("media"))
    }

    pub async fn wait_for(&self, session: &str, status: &str) {
        let wait = async {
            while self.get(&format!("/api/sessions/{session}")).await["status"] != status {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(WAIT_LIMIT, wait).await.unwrap_or_else(|_| panic!("never {status}"));
    }

    /// A receiver that answers with a status, and the bodies it gets.
    pub async fn receiver(&self, status: u16) -> (String, mpsc::Receiver<Value>) {
        let (send, receive) = mpsc::channel(10);
        let status = StatusCode::from_u16(status).unwrap();
        let router = Router::new().fallback(async move |Json(body): Json<Value>| {
            send.send(body).await.unwrap();
            status
        });
        let address = listen(router).await;
        (format!("http://{address}/hook"), receive)
    }

    /// An address that the webhook guard lets through; nobody listens there.
    pub fn hook_url(&self) -> String {
        "http://127.0.0.1:9/hook".to_owned()
    }

    /// Serves on this socket.
    pub fn serve_on(&self, listener: TcpListener) {
        serve_on(listener, self.router.clone());
    }

    /// Serves on a real socket.
    pub async fn serve(&self) -> SocketAddr {
        listen(self.router.clone()).await
    }

    /// Everything that a request could have stored, as text. Uses of keys do not count.
    pub async fn stored(&self) -> String {
        let store = &self.store;
        let sessions = store.sessions(None, ALL).await.unwrap();
        let mut messages = Vec::new();
        for session in &sessions {
            let query = MessageQuery::default();
            messages.push(store.messages(session.id, &query, ALL).await.unwrap());
        }
        let webhooks = store.webhooks(None, ALL).await.unwrap();
        let mut keys = store.api_keys().await.unwrap();
        for key in &mut keys {
            (key.usage_count, key.last_used_at) = (0, None);
        }
        format!("{sessions:#?}{messages:#?}{webhooks:#?}{keys:#?}")
    }
}

pub async fn listen(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    serve_on(listener, router);
    address
}

#[expect(clippy::disallowed_methods, reason = "a server of a test ends with the test's runtime")]
pub fn serve_on(listener: TcpListener, router: Router) {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
}

/// A request in the making.
pub struct Ask<'a> {
    app: &'a App,
    router: Router,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    peer: Option<String>,
}

impl Ask<'_> {
    pub fn admin(self) -> Self {
        let admin = self.app.admin.clone();
        self.key(&admin)
    }

    pub fn key(self, key: &str) -> Self {
        self.header("x-api-key", key)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").raw(body.to_string().into_bytes())
    }

    pub fn raw(self, body: Vec<u8>) -> Self {
        Self { body, ..self }
    }

    /// The address of the connection; `None` when the server does not know it.
    pub fn peer(self, peer: Option<&str>) -> Self {
        Self { peer: peer.map(str::to_owned), ..self }
    }

    /// For messages of failed tests.
    pub fn about(&self) -> String {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(200).collect();
        format!("{} {} {body}", self.method, self.path)
    }

    pub async fn send(self) -> Answer {
        let about = self.about();
        let (parts, body) = self.open().await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body, about }
    }

    /// The answer before its body has come.
    pub async fn open(self) -> axum::response::Response {
        let mut request = Request::builder().method(self.method.as_str()).uri(&self.path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(peer) = self.peer {
            request = request.extension(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 4711)));
        }
        let request = request.body(Body::from(self.body)).unwrap();
        self.router.oneshot(request).await.unwrap()
    }
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    body: Bytes,
    about: String,
}

/// The next call of a webhook, within a limit.
pub async fn next(calls: &mut mpsc::Receiver<Value>) -> Value {
    let call = tokio::time::timeout(WAIT_LIMIT, calls.recv()).await;
    call.expect("no call").unwrap()
}

impl Answer {
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body; null when there is none.
    pub fn json(&self) -> Value {
        if self.body.is_empty() { Value::Null } else { serde_json::from_slice(&self.body).unwrap() }
    }

    /// The body, if the status is this one.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.about, self.text());
        if self.body.first().is_none_or(|first| b"{[".contains(first)) {
            self.json()
        } else {
            Value::Null
        }
    }
}
