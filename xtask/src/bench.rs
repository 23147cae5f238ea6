//! Measurements. Each is a benchmark of a crate; this only knows their names.

use clap::Subcommand;

use crate::run::{cargo, must};

/// What can be measured.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Bench {
    /// Memory of the process with 1 and with 50 linked sessions
    Memory,
    /// What the gateway adds to a send, without the network
    Send,
}

/// Runs a benchmark on the release build.
pub fn run(bench: Bench) -> anyhow::Result<()> {
    let (package, name) = match bench {
        Bench::Memory => ("server", "memory"),
        Bench::Send => ("api", "send"),
    };
    must(cargo(&["bench", "-p", package, "--bench", name]))
}
