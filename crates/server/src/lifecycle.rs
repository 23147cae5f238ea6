//! Signals: the first asks to finish, the second cuts.

use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins listening; from here on the signals no longer end the process by themselves.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Runs `finish`, or cuts it short when a second signal comes.
pub async fn drain(signals: &mut Signals, finish: impl Future<Output = ()>) -> ExitCode {
    tokio::select! {
        () = finish => ExitCode::SUCCESS,
        name = signals.next() => {
            tracing::warn!(signal = name, "second signal: stopping at once");
            ExitCode::FAILURE
        }
    }
}
