//! Signals: the first asks to finish, the second cuts.

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for SIGTERM and SIGINT.
pub struct ShutdownSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl ShutdownSignals {
    /// Begins listening; from here on the signals no longer end the process by themselves.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal; its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Runs `finish`, or cuts it short when a second signal comes.
pub async fn drain(signals: &mut ShutdownSignals, finish: impl Future<Output = ()>) -> ExitCode {
    tokio::select! {
        () = finish => ExitCode::SUCCESS,
        name = signals.next() => {
            tracing::warn!(signal = name, "second signal: stopping at once");
            ExitCode::FAILURE
        }
    }
}
