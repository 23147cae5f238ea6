//! Measurements. Each is a benchmark of a crate; this only knows their names.

use clap::Subcommand;

use crate::run::{cargo, must};

/// What can be measured.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Bench {
    /// Memory of the process with 1 and with 50 linked sessions
    Memory,
}

/// Runs a benchmark on the release build.
pub fn run(bench: Bench) -> anyhow::Result<()> {
    let Bench::Memory = bench;
    must(cargo(&["bench", "-p", "server", "--bench", "memory"]))
}
