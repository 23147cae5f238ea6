//! Structured logs. What is logged is decided where it happens; nothing there holds message text, secrets or full
//! phone numbers.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::config::LogFormat;

/// The engine and the libraries under us speak only when something is wrong, unless `debug` or `trace` is asked for.
fn filter(level: &str) -> EnvFilter {
    let libraries = if matches!(level, "debug" | "trace") { "info" } else { "error" };
    let ours = ["api", "domain", "gateway", "simulator", "storage", "waypost", "whatsapp"];
    let directives: Vec<String> = ours.iter().map(|name| format!("{name}={level}")).collect();
    EnvFilter::new(format!("{libraries},{}", directives.join(",")))
}

/// Starts logging to standard error. A second call changes nothing.
pub fn init(level: &str, format: LogFormat) {
    let registry = tracing_subscriber::registry().with(filter(level));
    let _ = match format {
        LogFormat::Json => registry
            .with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr))
            .try_init(),
        LogFormat::Text => {
            // Colours are for people: in a file their codes are in the way.
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let layer = fmt::layer().with_ansi(colours).with_writer(std::io::stderr);
            registry.with(layer).try_init()
        }
    };
}
