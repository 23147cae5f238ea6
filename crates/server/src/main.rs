//! The binary `waypost`: a table of contents. Settings, assembly, signals and commands; no business rules.

mod assemble;
mod cli;
mod commands;
mod config;
mod first_key;
mod http;
mod lifecycle;
mod logs;
mod open_link;
mod plugin_tool;
mod sandbox;
mod serve;
mod system;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{
    cli::{Cli, CliCommand, ServeOptions, ServeRole},
    config::ConfigError,
};

/// A good part of the work for a delivery is to allocate and free, on several threads at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bad usage or configuration (BSD's `EX_USAGE`, as clap's neighbours use it).
const EXIT_USAGE: u8 = 64;

/// The argument with which this program is a plugin's process and nothing else.
const PLUGIN_CHILD: &str = "plugin-child";

fn main() -> ExitCode {
    // Before anything is built: such a process has no use for it, and holds nothing of it.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == PLUGIN_CHILD) {
        return plugins::child::run();
    }
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return fail(&anyhow::Error::new(error).context("cannot start the async runtime"));
        }
    };
    let outcome = runtime.block_on(run(cli));
    // Blocking helpers (name look-ups, media) must not hold the exit up.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        Err(error) => fail(&error),
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    // One TLS provider for the whole process; a second call finds it installed and changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match cli.command.unwrap_or_else(|| CliCommand::Serve(ServeOptions::default())) {
        CliCommand::Serve(options) => {
            let role = options.role.map(|role| match role {
                ServeRole::All => config::ServerRole::All,
                ServeRole::Worker => config::ServerRole::Worker,
            });
            let config = config::load_for(role, cli.config.as_deref(), &config::process_env)?;
            Box::pin(serve::run(config)).await
        }
        CliCommand::Sandbox(options) => Box::pin(sandbox::run(options)).await,
        CliCommand::Keys(command) => {
            commands::keys(config::load(cli.config.as_deref(), &config::process_env)?, command)
                .await
        }
        CliCommand::Open(options) => {
            let settings = config::load(cli.config.as_deref(), &config::process_env)?;
            open_link::run(settings, options).await
        }
        CliCommand::Plugin(command) => plugin_tool::run(command).await,
        CliCommand::Openapi => commands::openapi(),
        CliCommand::CheckConfig => commands::check_config(cli.config.as_deref()),
    }
}

/// One line for people; the chain of causes joined by colons.
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("waypost: {error:#}");
    let usage = error.downcast_ref::<ConfigError>().is_some();
    ExitCode::from(if usage { EXIT_USAGE } else { 1 })
}
