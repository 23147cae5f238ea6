//! `waypost serve`: the gateway until a signal.

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::net::TcpListener;

use crate::{
    assemble::{self, AssembledGateway},
    config::{ProgramConfig, ServerRole, Settings},
    http::{self, HttpServer},
    lifecycle::{self, ShutdownSignals},
    logs, service_manager,
    traces::Traces,
};

/// How serving ended.
pub enum ServeEnd {
    /// It does not start again.
    Exit(ExitCode),
    /// The API was asked to start the program again.
    Again,
}

/// Why serving stops.
enum StopCause {
    Signal,
    Restart,
    /// A part ended that must not.
    Failure,
}

/// Runs until SIGTERM or SIGINT, or a restart that the API is asked for; the exit code is 0 after a clean stop.
pub async fn run(settings: Settings, program: Arc<ProgramConfig>) -> anyhow::Result<ServeEnd> {
    let traces = settings.traces()?.map(Traces::start).transpose()?;
    let (traces, listener_of_spans) = traces.unzip();
    logs::init_with(&settings.log.level, settings.log.format, listener_of_spans);
    if traces.is_some() {
        tracing::info!("traces go to a collector");
    }
    let mut signals = ShutdownSignals::listen()?;
    let watchdog = service_manager::Watchdog::begin();
    let listener = bind(&settings).await?;
    let address = listener.local_addr()?;
    let limits = settings.http_limits(http::raise())?;
    let assembled = assemble::build(&settings).await?;
    watchdog.look_at(&assembled.gateway);
    announce(&settings, address, &assembled).await?;
    let router = assemble::router(&settings, assembled.gateway.clone(), Some(program.clone()))?;
    let http = HttpServer::start(listener, router, limits);
    service_manager::ready(&format!("listens on {address}"));
    let cause = stop_cause(&mut signals, &program, &assembled).await;
    match cause {
        StopCause::Restart => service_manager::restarting(),
        StopCause::Signal | StopCause::Failure => service_manager::stopping(),
    }
    let finish = async {
        stop(http, &assembled, settings.shutdown_limit()).await;
        if let Some(traces) = traces {
            traces.stop().await;
        }
    };
    let code = lifecycle::drain(&mut signals, finish).await;
    Ok(match cause {
        StopCause::Signal => ServeEnd::Exit(code),
        // A signal in between means to stop.
        StopCause::Restart if code == ExitCode::SUCCESS => ServeEnd::Again,
        StopCause::Restart => ServeEnd::Exit(code),
        StopCause::Failure => ServeEnd::Exit(ExitCode::FAILURE),
    })
}

/// Waits for what ends the serving.
async fn stop_cause(
    signals: &mut ShutdownSignals,
    program: &ProgramConfig,
    assembled: &AssembledGateway,
) -> StopCause {
    tokio::select! {
        name = signals.next() => {
            tracing::info!(signal = name, "stopping: finishing what is under way");
            StopCause::Signal
        }
        () = program.restart_asked() => {
            tracing::info!("restarting: finishing what is under way");
            StopCause::Restart
        }
        task = assembled.gateway.failed() => {
            tracing::error!(task, "a part that must not end ended; stopping");
            StopCause::Failure
        }
        () = assembled.store.failed() => {
            tracing::error!("the ledger's writer ended; stopping");
            StopCause::Failure
        }
    }
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
        say!(
            "First admin API key (shown once, kept in {}):",
            settings.data.dir.join(".api-key").display()
        );
        say!("  {key}");
    }
    let (version, all) = (env!("CARGO_PKG_VERSION"), settings.server.role == ServerRole::All);
    let what = if all { "listens" } else { "delivers; health and metrics are" };
    say!("Waypost {version} {what} on http://{address}/api");
    if settings.server.docs && all {
        say!("API docs: http://{address}/api/docs");
    }
    if settings.dashboard() && all {
        let base = format!("http://{address}{}", settings.server.base_path);
        match assembled.first_link(&base).await? {
            Some(link) => say!("Dashboard: {link} (logs one browser in, within 10 minutes)"),
            None => say!("Dashboard: {base}/ (`waypost open` prints a link that logs you in)"),
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
