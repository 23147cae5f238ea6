//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

const AFTER_HELP: &str = "\
Try it first:  waypost sandbox        plays a whole conversation on a simulated network: no phone, no internet
Then for real: waypost serve          listens on http://127.0.0.1:2785, API docs at /api/docs

The first start prints an admin API key and writes it to data/.api-key. Settings come from waypost.toml and from
environment variables (OpenWA's names work); `waypost check-config` shows what is in force.";

/// A post office for WhatsApp: sends through WhatsApp, and hands everything WhatsApp says to your webhooks:
/// in order, signed, nothing lost, nothing sent twice.
#[derive(Debug, Parser)]
#[command(name = "waypost", version, after_help = AFTER_HELP)]
pub struct Cli {
    /// Configuration file [default: waypost.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    #[command(subcommand)]
    pub command: Option<CliCommand>,
}

#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Run the gateway on the real WhatsApp network (the default)
    Serve(ServeOptions),
    /// Play a story on a simulated network, then stay up to try the API by hand
    Sandbox(SandboxOptions),
    /// Manage API keys on this machine, without the HTTP API
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Print the OpenAPI document of the HTTP API
    Openapi,
    /// Check the configuration and show what is in force; starts nothing
    CheckConfig,
}

#[derive(Debug, Default, Args)]
pub struct ServeOptions {
    /// What this process does; goes before the setting server.role (WAYPOST_ROLE)
    #[arg(long, value_enum)]
    pub role: Option<ServeRole>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ServeRole {
    /// Everything that one process can do
    All,
    /// Deliver what others stored: any number of processes, on one PostgreSQL
    Worker,
}

#[derive(Debug, Args)]
pub struct SandboxOptions {
    /// The story that is played
    #[arg(long, value_enum, default_value_t = SandboxStory::Conversation)]
    pub story: SandboxStory,

    /// End after the story: exit code 0 only if every step really happened
    #[arg(long)]
    pub once: bool,

    /// Port of the HTTP API; 0 takes a free one
    #[arg(long, env = "PORT", default_value_t = 2785)]
    pub port: u16,

    /// Folder for the sandbox's ledger and keys, emptied at each start
    #[arg(long, default_value = "data/sandbox", value_name = "DIR")]
    pub dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SandboxStory {
    /// A message to a contact, and the answer
    Conversation,
    /// A message to twelve people, cancelled on the way
    Bulk,
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Create an API key and print it: it is shown once, only its hash is kept
    Create(CreateKey),
}

#[derive(Debug, Args)]
pub struct CreateKey {
    /// What the key is for
    #[arg(long)]
    pub name: String,

    /// What it may do
    #[arg(long, value_enum, default_value_t = RoleArg::Operator)]
    pub role: RoleArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum RoleArg {
    /// Read, and change nothing
    Viewer,
    /// Read and act, but not manage keys and proxies
    Operator,
    /// Everything, with keys and proxies
    Admin,
}

impl From<RoleArg> for domain::api_key::Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Operator => Self::Operator,
            RoleArg::Admin => Self::Admin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn serve_is_the_default() {
        assert!(Cli::try_parse_from(["waypost"]).unwrap().command.is_none());
        assert!(Cli::try_parse_from(["waypost", "dance"]).is_err());
        assert!(Cli::try_parse_from(["waypost", "serve", "--role", "worker"]).is_ok());
        assert!(Cli::try_parse_from(["waypost", "serve", "--role", "boss"]).is_err());
    }
}
