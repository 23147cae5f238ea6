//! `waypost serve`: the gateway until a signal.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::Context as _;
use tokio::net::TcpListener;

use crate::{
    assemble::{self, AssembledGateway},
    config::{ServerRole, Settings},
    http::{self, HttpServer},
    lifecycle::{self, ShutdownSignals},
    logs,
};

/// Runs until SIGTERM or SIGINT; the exit code is 0 after a clean stop.
pub async fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    logs::init(&settings.log.level, settings.log.format);
    let mut signals = ShutdownSignals::listen()?;
    let listener = bind(&settings).await?;
    let address = listener.local_addr()?;
    let limits = settings.http_limits(http::raise())?;
    let assembled = assemble::build(&settings).await?;
    announce(&settings, address, &assembled).await?;
    let router = assemble::router(&settings, assembled.gateway.clone())?;
    let http = HttpServer::start(listener, router, limits);
    let failed = tokio::select! {
        name = signals.next() => {
            tracing::info!(signal = name, "stopping: finishing what is under way");
            None
        }
        task = assembled.gateway.failed() => {
            tracing::error!(task, "a part that must not end ended; stopping");
            Some(task)
        }
        () = assembled.store.failed() => {
            tracing::error!("the ledger's writer ended; stopping");
            Some("ledger/writer".to_owned())
        }
    };
    let code =
        lifecycle::drain(&mut signals, stop(http, &assembled, settings.shutdown_limit())).await;
    Ok(if failed.is_some() { ExitCode::FAILURE } else { code })
}

/// Opens the port early: a taken one stops the start before anything else is touched.
pub async fn bind(settings: &Settings) -> anyhow::Result<TcpListener> {
    let host = settings.host().context("server.host is checked with the settings")?;
    let address = SocketAddr::new(host, settings.server.port);
    TcpListener::bind(address)
        .await
        .with_context(|| format!("server.port (PORT): cannot listen on {address}"))
}

async fn announce(
    settings: &Settings,
    address: SocketAddr,
    assembled: &AssembledGateway,
) -> anyhow::Result<()> {
    if let Some(key) = &assembled.first_key {
        // Standard output, not the log: a secret belongs to the person who starts this, once.
        println!(
            "First admin API key (shown once, kept in {}):",
            settings.data.dir.join(".api-key").display()
        );
        println!("  {key}");
    }
    let (version, all) = (env!("CARGO_PKG_VERSION"), settings.server.role == ServerRole::All);
    let what = if all { "listens" } else { "delivers; health and metrics are" };
    println!("Waypost {version} {what} on http://{address}/api");
    if settings.server.docs && all {
        println!("API docs: http://{address}/api/docs");
    }
    if settings.dashboard() && all {
        let base = format!("http://{address}{}", settings.server.base_path);
        match assembled.first_link(&base).await? {
            Some(link) => println!("Dashboard: {link} (logs one browser in, within 10 minutes)"),
            None => println!("Dashboard: {base}/ (`waypost open` prints a link that logs you in)"),
        }
    }
    tracing::info!(%address, "ready");
    Ok(())
}

/// Stops taking requests, lets them and the gateway finish, closes the ledger.
pub async fn stop(http: HttpServer, assembled: &AssembledGateway, limit: Duration) {
    // Both wait for the same deadline: a request under way may need the gateway to answer it.
    tokio::join!(http.stop(limit), assembled.gateway.shutdown());
    if let Some(queue) = &assembled.shared {
        queue.close();
    }
    assembled.store.close().await;
    tracing::info!("stopped");
}
