//! The stage: the network, the gateway, the receiver, and who plays.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context as _;
use domain::{SessionId, webhook::Secret};
use simulator::{Account, Behaviour, Network, NetworkOptions};

use super::{
    api_client::ApiClient, control::ControlSurface, print::StepPrinter, receiver::SandboxReceiver,
};
use crate::{
    assemble::{self, AssembledGateway},
    cli::SandboxOptions,
    config::{self, Settings},
    first_key,
    http::{self, HttpServer},
    lifecycle::{self, ShutdownSignals},
    serve,
};

/// The linked number: a bakery.
pub const NUMBER: &str = "4915550001000";
/// Who writes to it.
pub const CONTACT: &str = "4917012345678";
/// The name on the contact's phone.
pub const CONTACT_NAME: &str = "Mia";
/// The text that the contact answers.
pub const ANSWER: &str = "Great, see you then!";
/// Signs the deliveries; a sandbox has nothing to hide.
const SECRET: &str = "sandbox-signing-secret";

/// Everything that a story plays on: network, gateway and receiver.
pub struct SandboxStage {
    pub network: Network,
    pub contact: Account,
    pub receiver: SandboxReceiver,
    /// A client of the gateway.
    pub api: ApiClient,
    /// The URL of the API: `http://127.0.0.1:…/api`
    pub base: String,
    /// An API key of the role admin.
    pub key: String,
    /// Where it is kept.
    pub key_file: PathBuf,
    pub assembled: AssembledGateway,
    /// Where people of the network are steered.
    pub control: ControlSurface,
    http: HttpServer,
    session: OnceLock<SessionId>,
    limit: Duration,
}

impl SandboxStage {
    /// Starts all of it, on an empty ledger.
    pub async fn build(options: &SandboxOptions, printer: &StepPrinter) -> anyhow::Result<Self> {
        empty(&options.dir)?;
        let network = Network::start_with(NetworkOptions::default()).await;
        let network = network.context("cannot start the simulated network")?;
        network.add_account(NUMBER, "Corner Bakery").await;
        let contact = network.add_account(CONTACT, CONTACT_NAME).await;
        if options.numbers.is_none() {
            contact.on_message(answering()).await;
        }
        printer.step("simulated WhatsApp network", &network.chat_url());
        let control = ControlSurface::start(&network, options.control_port).await?;
        printer.step("its control surface", control.base());
        let receiver = SandboxReceiver::start(Secret::new(SECRET)).await?;
        printer.step("webhook receiver", receiver.base());
        let settings = settings(options, &network)?;
        let listener = serve::bind(&settings).await?;
        let base = format!("http://{}/api", listener.local_addr()?);
        let assembled = assemble::build(&settings).await?;
        let router = assemble::router(&settings, assembled.gateway.clone(), None)?;
        let http = HttpServer::start(listener, router, settings.http_limits(http::raise())?);
        let key = assembled.first_key.clone().context("an empty ledger makes a first key")?;
        let api = ApiClient::new(base.clone(), key.clone())?;
        api.get("/health/ready").await?;
        printer.step("gateway", &base);
        Ok(Self {
            network,
            contact,
            receiver,
            api,
            base,
            key,
            key_file: options.dir.join(first_key::FILE_NAME),
            assembled,
            control,
            http,
            session: OnceLock::new(),
            limit: settings.shutdown_limit(),
        })
    }

    /// The secret to register the webhook with.
    pub fn secret(&self) -> &'static str {
        SECRET
    }

    /// The story's session; nil before it exists.
    pub fn session(&self) -> String {
        self.session.get().map(ToString::to_string).unwrap_or_default()
    }

    /// Remembers the story's session.
    pub fn set_session(&self, id: SessionId) {
        let _ = self.session.set(id);
    }

    /// Ends everything, gateway first.
    pub async fn strike(self, signals: &mut ShutdownSignals) {
        let _ =
            lifecycle::drain(signals, serve::stop(self.http, &self.assembled, self.limit)).await;
        self.control.stop().await;
        self.receiver.stop().await;
        self.network.shutdown().await;
    }
}

/// The contact reads after a moment and answers after another, as people do.
fn answering() -> Behaviour {
    Behaviour {
        read_after: Some(Duration::from_millis(300)),
        answer: Some(Arc::new(|_| Some(ANSWER.to_owned()))),
        answer_after: Duration::from_millis(600),
        ..Behaviour::default()
    }
}

fn settings(options: &SandboxOptions, network: &Network) -> anyhow::Result<Settings> {
    // Only the defaults: a configuration meant for the real network must not leak in here.
    let mut settings = config::load_defaults()?;
    settings.server.port = options.port;
    settings.data.dir = options.dir.clone();
    settings.whatsapp.url = network.chat_url();
    settings.whatsapp.media_url = network.media_url();
    // Long enough to be seen, short enough not to bore.
    settings.sends.typing_max_ms = 400;
    settings.webhooks.allowed_hosts = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    // Whoever plays with it asks as much as he likes.
    settings.rate_limit.lift();
    settings.check()?;
    Ok(settings)
}

/// Deletes what an earlier sandbox left, and nothing else.
fn empty(dir: &Path) -> anyhow::Result<()> {
    for name in [
        "waypost.sqlite",
        "waypost.sqlite-wal",
        "waypost.sqlite-shm",
        first_key::FILE_NAME,
        "master.key",
    ] {
        match std::fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot empty {}", dir.display()));
            }
            _ => {}
        }
    }
    match std::fs::remove_dir_all(dir.join("media")) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot empty {}", dir.display()))
        }
        _ => Ok(()),
    }
}
