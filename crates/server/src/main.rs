//! The binary `waypost`: a table of contents. Settings, assembly, signals and commands; no business rules.

// They panic when nobody reads: see `say!`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod say;

mod assemble;
mod backup;
mod cli;
mod commands;
mod config;
mod doctor;
mod first_key;
mod health;
mod http;
mod lifecycle;
mod link_phone;
mod local;
mod logs;
mod open_link;
mod plugin_tool;
mod progress;
mod restore;
mod sandbox;
mod serve;
mod service_manager;
mod stores;
mod system;
mod traces;

use std::{path::Path, process::ExitCode, sync::Arc};

use clap::Parser as _;

use crate::{
    cli::{Cli, CliCommand, ServeOptions, ServeRole},
    config::ConfigError,
    serve::ServeEnd,
};

/// A good part of the work for a delivery is to allocate and free, on several threads at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bad usage or configuration (BSD's `EX_USAGE`, as clap's neighbours use it).
const EXIT_USAGE: u8 = 64;

/// Whoever looks after the program should start it again (BSD's `EX_TEMPFAIL`).
const EXIT_AGAIN: u8 = 75;

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
        Ok(ServeEnd::Exit(code)) => code,
        Ok(ServeEnd::Again) => again(),
        Err(error) => fail(&error),
    }
}

/// The same program with the same arguments, in the place of this process: whoever looks after it sees no end. Where
/// that is not possible, the exit code asks for a restart.
fn again() -> ExitCode {
    use std::os::unix::process::CommandExt as _;
    let mut arguments = std::env::args_os();
    let called = arguments.next();
    let program = std::env::current_exe().ok().filter(|program| program.is_file());
    if let Some(program) = program.map(std::path::PathBuf::into_os_string).or(called) {
        let error = std::process::Command::new(program).args(arguments).exec();
        complain!("waypost: cannot start again: {error}");
    }
    ExitCode::from(EXIT_AGAIN)
}

async fn run(cli: Cli) -> anyhow::Result<ServeEnd> {
    let config = cli.config.clone();
    let code = match cli.command.unwrap_or_else(|| CliCommand::Serve(ServeOptions::default())) {
        CliCommand::Serve(options) => return Box::pin(serve(config.as_deref(), options)).await,
        command => Box::pin(other(config.as_deref(), command)).await?,
    };
    Ok(ServeEnd::Exit(code))
}

async fn serve(file: Option<&Path>, options: ServeOptions) -> anyhow::Result<ServeEnd> {
    provide_tls();
    let role = options.role.map(|role| match role {
        ServeRole::All => config::ServerRole::All,
        ServeRole::Worker => config::ServerRole::Worker,
    });
    let settings = config::load_for(role, file, &config::process_env)?;
    let program = config::ProgramConfig::new(&settings, file, config::process_env)?;
    Box::pin(serve::run(settings, Arc::new(program))).await
}

/// One TLS provider for the whole process; a second call finds it installed and changes nothing.
fn provide_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

async fn other(file: Option<&Path>, command: CliCommand) -> anyhow::Result<ExitCode> {
    provide_tls();
    match command {
        // Served above.
        CliCommand::Serve(_) => Ok(ExitCode::SUCCESS),
        CliCommand::Sandbox(options) => Box::pin(sandbox::run(options)).await,
        CliCommand::Simulator(options) => {
            logs::init("warn", config::LogFormat::Text);
            simulator::program::run(options).await.map(|()| ExitCode::SUCCESS)
        }
        CliCommand::Keys(command) => {
            commands::keys(config::load(file, &config::process_env)?, command).await
        }
        CliCommand::Open(options) => {
            open_link::run(config::load(file, &config::process_env)?, options).await
        }
        CliCommand::Link(options) => {
            link_phone::run(config::load(file, &config::process_env)?, options).await
        }
        CliCommand::Health(options) => {
            health::run(config::load(file, &config::process_env)?, options).await
        }
        CliCommand::Backup(args) => {
            backup::run(config::load(file, &config::process_env)?, args).await
        }
        CliCommand::Restore(args) => {
            logs::init("warn", config::LogFormat::Text);
            Box::pin(restore::run(config::load(file, &config::process_env)?, args)).await
        }
        CliCommand::Doctor(args) => doctor::run(file, args).await,
        CliCommand::Plugin(command) => plugin_tool::run(command).await,
        CliCommand::Openapi => commands::openapi(),
        CliCommand::CheckConfig => commands::check_config(file),
        CliCommand::Completions(options) => commands::completions(&options),
        CliCommand::Manual(options) => commands::manual(&options),
    }
}

/// One line for people; the chain of causes joined by colons.
fn fail(error: &anyhow::Error) -> ExitCode {
    complain!("waypost: {error:#}");
    let usage = error.downcast_ref::<ConfigError>().is_some();
    ExitCode::from(if usage { EXIT_USAGE } else { 1 })
}
