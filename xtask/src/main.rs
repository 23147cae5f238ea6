//! The project's own commands: `cargo xtask <command>`.

mod architecture;
mod bench;
mod dependencies;
mod dist;
mod fuzz;
mod house;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod packaging;
mod run;
mod schemathesis;
mod servers;
mod sizes;
mod web;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(about = "The project's own commands")]
struct XtaskArgs {
    #[command(subcommand)]
    command: XtaskCommand,
}

#[derive(Debug, Subcommand)]
enum XtaskCommand {
    /// Run every test, installing what a fresh machine lacks
    Test {
        /// Passed on to the test runner, for instance a name to filter by
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Everything CI checks: format, lints, dependencies, architecture, tests
    Check,
    /// Measure; prints what docs/benchmarks.md records, beside what docs/benchmarks.json keeps
    Bench {
        #[command(flatten)]
        options: bench::BenchOptions,
        #[command(subcommand)]
        bench: bench::Bench,
    },
    /// Kill the built program under a live load, as often as asked, and count; the ledger of a failure is kept
    Soak {
        /// How many kills in all
        #[arg(long, default_value_t = 1000)]
        kills: u32,
        /// Of the first run; the others follow it
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Look for bytes that break a parser, by the code that they reach (libFuzzer); what is found is kept in
    /// target/fuzz
    Fuzz {
        /// Seconds for each target
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Only this target, instead of all
        #[arg(long)]
        target: Option<String>,
    },
    /// Hold the OpenAPI document against the running program with schemathesis (from PyPI)
    Schemathesis {
        /// Examples for each operation
        #[arg(long, default_value_t = 25)]
        examples: u32,
    },
    /// Start PostgreSQL and Redis as the tests have them, print how to reach them, run until Ctrl-C
    Servers,
    /// Write openapi.json from the code
    Openapi,
    /// Build the dashboard from web/ into its crate
    Web,
    /// Unused dependencies, licences, sources, crates in two versions, known vulnerabilities
    Dependencies,
    /// The numbers of the house that may only shrink, and which names they are about
    House {
        /// Make what is now the limit
        #[arg(long)]
        write: bool,
    },
    /// Lines of code per crate
    Sizes,
    /// What is handed to others, in target/dist: an archive for each target that can be built here, a Debian package,
    /// checksums
    Dist(dist::DistOptions),
}

fn main() -> anyhow::Result<()> {
    match XtaskArgs::parse().command {
        XtaskCommand::Test { args } => run::test(&args),
        XtaskCommand::Check => run::check(),
        XtaskCommand::Bench { options, bench } => bench::run(bench, options),
        XtaskCommand::Soak { kills, seed } => run::soak(kills, seed),
        XtaskCommand::Fuzz { seconds, target } => fuzz::run(seconds, target.as_deref()),
        XtaskCommand::Schemathesis { examples } => schemathesis::run(examples),
        XtaskCommand::Servers => servers::run(),
        XtaskCommand::Openapi => run::openapi(),
        XtaskCommand::Web => web::build(),
        XtaskCommand::Dependencies => dependencies::check(),
        XtaskCommand::House { write } => house::run(write),
        XtaskCommand::Sizes => sizes::run(),
        XtaskCommand::Dist(options) => dist::run(options),
    }
}
