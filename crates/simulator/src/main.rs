//! The network as its own process.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use clap::Parser;
use simulator::{Network, NetworkOptions, admin};
use tokio::net::TcpListener;

/// Runs a simulated WhatsApp network on loopback.
///
/// It prints its addresses and runs until interrupted. Point a WhatsApp client at the chat address (media addresses
/// must be mapped to the media address), then steer people and faults over the control address, for example:
///
///   curl -X POST localhost:7003/accounts -H 'content-type: application/json' \
///        -d '{"phone": "5511999990001", "name": "Ana"}'
///
///   curl -X POST localhost:7003/accounts/5511999990001/send -H 'content-type: application/json' \
///        -d '{"to": "5511999990002", "text": "hello"}'
///
///   curl localhost:7003/record
///
/// All requests: POST /accounts, POST /accounts/{phone}/scan-qr, /enter-code, /provision, /send, /answer, /unlink,
/// /kick, GET /accounts/{phone}/inbox, POST /faults, GET /record.
#[derive(Debug, Parser)]
#[command(name = "waypost-simulator", version, verbatim_doc_comment)]
struct SimulatorOptions {
    /// Port of the chat server; media take the next port and the control surface the one after.
    #[arg(long, default_value_t = 7001, value_parser = clap::value_parser!(u16).range(1..=65_533))]
    port: u16,
    /// Directory to keep accounts and devices in. Without it they are gone at the end.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = SimulatorOptions::parse();
    let network = Network::start_with(NetworkOptions {
        port: Some(options.port),
        media_port: Some(options.port + 1),
        data_dir: options.data_dir,
        seed: None,
    })
    .await?;
    let control = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port + 2));
    let listener =
        TcpListener::bind(control).await.with_context(|| format!("cannot listen on {control}"))?;
    println!("chat     {}", network.chat_url());
    println!("media    {}", network.media_url());
    println!("control  http://{control}");
    axum::serve(listener, admin::router(network.clone()))
        .with_graceful_shutdown(interrupted())
        .await?;
    network.shutdown().await;
    Ok(())
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
