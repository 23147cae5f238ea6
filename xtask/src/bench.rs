//! Measurements. Each is a benchmark of a crate; this only knows their names.

use std::process::Command;

use clap::Subcommand;

use crate::{
    run::{cargo, must},
    servers::Servers,
};

/// What can be measured.
#[derive(Debug, Clone, Subcommand)]
pub enum Bench {
    /// Memory of the process with 1 and with 50 linked sessions
    Memory,
    /// What the gateway adds to a send, without the network
    Send,
    /// Sends per second through the API by 64 clients, beside a bare route with two durable writes
    Api {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// What each view of the dashboard loads first, on a ledger with 1,000 sessions
    Dashboard {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Deliveries per second, latency, the drain of a backlog, isolation from dead receivers
    Deliver {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
        /// Only these: rate, backlog, latency, isolation; for the other ledgers with their names, as in
        /// `postgres.rate`, `redis.rate`, `redis.sqlite.rate`, or all of one: `postgres`. PostgreSQL and Redis are
        /// started as needed
        only: Vec<String>,
    },
    /// What a ledger of a million messages costs, compared with an almost empty one
    Growth {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
        /// Messages; each has five deliveries
        #[arg(long, default_value_t = 1_000_000)]
        messages: u32,
        /// Of the newest messages, those that still wait for a webhook
        #[arg(long, default_value_t = 1_000)]
        backlog: u32,
        /// On PostgreSQL instead of SQLite
        #[arg(long)]
        postgres: bool,
        /// Only steps whose names contain one of these
        only: Vec<String>,
    },
    /// How late the messages of 200 batches on 200 sessions go out, and the memory that takes
    Bulk {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
}

/// Runs a benchmark on the release build, with PostgreSQL and Redis where it needs them or on request. These are
/// always our own, durable as in earnest: what the environment names may keep its data only in memory.
pub fn run(bench: Bench, with_servers: bool) -> anyhow::Result<()> {
    let with_servers = with_servers || needs_servers(&bench);
    let mut command = command(bench);
    if !with_servers {
        return must(command);
    }
    let servers = Servers::start_durable()?;
    servers.hand_to(&mut command);
    must(command)
}

fn needs_servers(bench: &Bench) -> bool {
    let served = |name: &String| ["postgres", "redis"].iter().any(|server| name.contains(server));
    matches!(bench, Bench::Growth { postgres: true, .. })
        || matches!(bench, Bench::Deliver { only, .. } if only.is_empty() || only.iter().any(served))
}

fn command(bench: Bench) -> Command {
    match bench {
        Bench::Memory => cargo(&["bench", "-p", "server", "--bench", "memory"]),
        Bench::Send => cargo(&["bench", "-p", "api", "--bench", "send"]),
        Bench::Api { json } => {
            let mut command = cargo(&["bench", "-q", "-p", "api", "--bench", "api", "--"]);
            command.args(json.then_some("--json"));
            command
        }
        Bench::Dashboard { json } => {
            let mut command = cargo(&["bench", "-q", "-p", "api", "--bench", "dashboard", "--"]);
            command.args(json.then_some("--json"));
            command
        }
        Bench::Deliver { json, only } => {
            let mut command = cargo(&["bench", "-q", "-p", "gateway", "--bench", "deliver", "--"]);
            // Cargo adds `--bench` of its own.
            command.args(json.then_some("--json")).args(only);
            command
        }
        Bench::Growth { json, messages, backlog, postgres, only } => {
            let mut command = cargo(&["bench", "-q", "-p", "storage", "--bench", "growth", "--"]);
            command.args(["--messages", &messages.to_string()]);
            command.args(["--backlog", &backlog.to_string()]).args(json.then_some("--json"));
            command.args(postgres.then_some("--postgres")).args(only);
            command
        }
        Bench::Bulk { json } => {
            let mut command = cargo(&["bench", "-q", "-p", "gateway", "--bench", "bulk", "--"]);
            command.args(json.then_some("--json"));
            command
        }
    }
}
