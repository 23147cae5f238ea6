//! Measurements. Each is a benchmark of a crate; this only knows their names, and compares what they say with what is
//! kept.

mod figures;

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use crate::{run::cargo, servers::Servers};

use figures::{KeptFigures, MeasuredFigure};

/// What can be measured.
#[derive(Debug, Clone, Subcommand)]
pub enum Bench {
    /// From a customer's phone to the 2xx of a webhook: the built program on the simulated network
    Receive,
    /// The built program with no, 1, 200 and 1,000 linked sessions: memory, processor time, readiness after a restart
    Sessions,
    /// Until the built program answers, on an empty ledger and on one with a million messages
    Starting {
        /// Messages of the large ledger
        #[arg(long, default_value_t = 1_000_000)]
        messages: u32,
    },
    /// What the gateway adds to a send, without the network
    Send,
    /// Sends per second through the API by 64 clients, beside a bare route with two durable writes
    Api,
    /// What each view of the dashboard loads first, on a ledger with 1,000 sessions
    Dashboard,
    /// Deliveries per second, latency, the drain of a backlog, isolation from dead receivers
    Deliver {
        /// Only these: rate, backlog, latency, isolation; for the other ledgers with their names, as in
        /// `postgres.rate`, `redis.rate`, `redis.sqlite.rate`, or all of one: `postgres`. PostgreSQL and Redis are
        /// started as needed
        only: Vec<String>,
    },
    /// What a ledger of a million messages costs, compared with an almost empty one
    Growth {
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
    Bulk,
}

/// What every benchmark may be asked besides.
#[derive(Debug, Clone, Copy, Args)]
pub struct BenchOptions {
    /// Start PostgreSQL and Redis for it
    #[arg(long)]
    servers: bool,
    /// Print one JSON object per line, as the benchmark says it
    #[arg(long, global = true)]
    json: bool,
    /// Fail when a figure is past its budget in docs/benchmarks.json
    #[arg(long, global = true)]
    check: bool,
    /// Write what is measured into docs/benchmarks.json, unless the check fails
    #[arg(long, global = true)]
    keep: bool,
}

/// Runs a benchmark on the release build, with PostgreSQL and Redis where it needs them or on request. These are
/// always our own, durable as in earnest: what the environment names may keep its data only in memory.
pub fn run(bench: Bench, options: BenchOptions) -> anyhow::Result<()> {
    let mut kept = KeptFigures::load()?;
    let with_servers = options.servers || needs_servers(&bench);
    let mut command = command(bench);
    let servers = if with_servers { Some(Servers::start_durable()?) } else { None };
    if let Some(servers) = &servers {
        servers.hand_to(&mut command);
    }
    let run = measure(command, options.json)?;
    drop(servers);
    let standings = kept.compare(&run)?;
    let table = figures::table(&standings);
    match options.json {
        // Who reads JSON gets nothing else.
        true => eprint!("{table}"),
        false => print!("{table}"),
    }
    if options.check {
        figures::judge(&standings)?;
    }
    if options.keep {
        kept.keep(&run)?;
        kept.save()?;
    }
    Ok(())
}

fn needs_servers(bench: &Bench) -> bool {
    let served = |name: &String| ["postgres", "redis"].iter().any(|server| name.contains(server));
    matches!(bench, Bench::Growth { postgres: true, .. })
        || matches!(bench, Bench::Deliver { only } if only.is_empty() || only.iter().any(served))
}

/// Runs the command to its end; the figures that it told. Each is shown as it comes, for who waits.
fn measure(mut command: Command, json: bool) -> anyhow::Result<Vec<MeasuredFigure>> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run the benchmark")?;
    let output = child.stdout.take().context("the benchmark has no output")?;
    let mut run = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read what the benchmark says")?;
        let figure = MeasuredFigure::read(&line);
        match &figure {
            Some(figure) if !json => eprintln!("{figure}"),
            _ => println!("{line}"),
        }
        run.extend(figure);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("the benchmark ended with {status}");
    }
    Ok(run)
}

/// The command of a benchmark, which tells its figures as JSON.
fn command(bench: Bench) -> Command {
    let of = |package: &str, name: &str| {
        // Cargo adds `--bench` of its own.
        cargo(&["bench", "-q", "-p", package, "--bench", name, "--", "--json"])
    };
    match bench {
        Bench::Receive => of("server", "receive"),
        Bench::Sessions => of("server", "sessions"),
        Bench::Starting { messages } => {
            let mut command = of("server", "starting");
            command.args(["--messages", &messages.to_string()]);
            command
        }
        Bench::Send => of("api", "send"),
        Bench::Api => of("api", "api"),
        Bench::Dashboard => of("api", "dashboard"),
        Bench::Deliver { only } => {
            let mut command = of("gateway", "deliver");
            command.args(only);
            command
        }
        Bench::Growth { messages, backlog, postgres, only } => {
            let mut command = of("storage", "growth");
            command.args(["--messages", &messages.to_string()]);
            command.args(["--backlog", &backlog.to_string()]);
            command.args(postgres.then_some("--postgres")).args(only);
            command
        }
        Bench::Bulk => of("gateway", "bulk"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn what_every_benchmark_may_be_asked_may_follow_its_name() {
        let words = ["xtask", "bench", "deliver", "--json", "rate", "--check"];
        let parsed = crate::XtaskArgs::try_parse_from(words).unwrap();
        let crate::XtaskCommand::Bench { options, bench } = parsed.command else {
            panic!("it is a benchmark")
        };
        assert!(options.json && options.check && !options.keep && !options.servers);
        assert!(matches!(bench, Bench::Deliver { only } if only == ["rate"]));
    }
}
