//! The network as a process of its own: what `waypost simulator` and `waypost-simulator` run.

use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    admin,
    network::{Network, NetworkOptions},
};

/// How the process is started.
#[derive(Debug, Args)]
pub struct SimulatorOptions {
    /// Port of the chat server; media take the next port and the control surface the one after. 0 takes free ones
    #[arg(long, default_value_t = 7001, value_parser = clap::value_parser!(u16).range(0..=65_533))]
    pub port: u16,

    /// Directory to keep accounts and devices in; without it they are gone at the end
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// A person with a phone, like 5511999990001=Ana; may be repeated
    #[arg(long, value_name = "PHONE=NAME", value_parser = person)]
    pub account: Vec<(String, String)>,

    /// How long every stanza to a client takes, in milliseconds
    #[arg(long, default_value_t = 0, value_name = "MS")]
    pub latency: u64,

    /// Serve media over TLS, with a certificate made for this run (GET /certificate on the control surface)
    #[arg(long)]
    pub media_tls: bool,

    /// Print one line of JSON with every address when it is up, and nothing else
    #[arg(long)]
    pub json: bool,
}

fn person(text: &str) -> Result<(String, String)> {
    let (phone, name) = text.split_once('=').context("write PHONE=NAME")?;
    let digits = !phone.is_empty() && phone.bytes().all(|byte| byte.is_ascii_digit());
    ensure!(digits, "a phone number is digits only, with its country code");
    ensure!(!name.is_empty(), "everybody has a name");
    Ok((phone.to_owned(), name.to_owned()))
}

/// Starts the network, says where it listens, and runs until the process is interrupted.
///
/// # Errors
/// When a port is taken, or the directory holds something that is not a network.
pub async fn run(options: SimulatorOptions) -> Result<()> {
    let port = |offset: u16| (options.port != 0).then(|| options.port + offset);
    let network = Network::start_with(NetworkOptions {
        port: port(0),
        media_port: port(1),
        data_dir: options.data_dir,
        latency: Duration::from_millis(options.latency),
        media_tls: options.media_tls,
        ..NetworkOptions::default()
    })
    .await?;
    for (phone, name) in &options.account {
        network.add_account(phone, name).await;
    }
    let control = SocketAddr::from((Ipv4Addr::LOCALHOST, port(2).unwrap_or(0)));
    let listener =
        TcpListener::bind(control).await.with_context(|| format!("cannot listen on {control}"))?;
    let control = format!("http://{}", listener.local_addr()?);
    // Whoever reads it may be gone afterwards.
    let _ = std::io::stdout().write_all(said(&network, &control, options.json).as_bytes());
    axum::serve(listener, admin::router(network.clone()))
        .with_graceful_shutdown(interrupted())
        .await?;
    network.shutdown().await;
    Ok(())
}

fn said(network: &Network, control: &str, json: bool) -> String {
    if json {
        return format!("{}\n", addresses(network, control));
    }
    let root = network.root_key().map(hex::encode).unwrap_or_default();
    format!(
        "chat     {}\nmedia    {}\ncontrol  {control}\nroot     {root}\n",
        network.chat_url(),
        network.media_url(),
    )
}

fn addresses(network: &Network, control: &str) -> Value {
    json!({
        "chat": network.chat_url(),
        "media": network.media_url(),
        "control": control,
        "root": network.root_key().map(hex::encode),
        "mediaCertificate": network.media_certificate(),
        "accounts": network.phones(),
    })
}

/// Waits for an interrupt or a request to end. Without a handler the default action ends the process, which is what was
/// asked for.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
