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
    /// Run a simulated WhatsApp network as a process of its own, for any client
    Simulator(simulator::program::SimulatorOptions),
    /// Print a link that logs a browser into the dashboard of the running gateway, once
    Open(OpenOptions),
    /// Link a number: creates and starts the session, and draws the QR code here until it is scanned
    Link(LinkOptions),
    /// Say whether the gateway that runs here can work; exit code 0 when it can
    Health(HealthOptions),
    /// Manage API keys on this machine, without the HTTP API
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Write, check, try and pack a plugin; needs no gateway and sends nothing
    #[command(subcommand)]
    Plugin(PluginCommand),
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

#[derive(Debug, Default, Args)]
pub struct OpenOptions {
    /// Where the gateway is asked [default: where the settings say that it listens]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

#[derive(Debug, Default, Args)]
pub struct HealthOptions {
    /// Where the gateway is asked [default: where the settings say that it listens]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

#[derive(Debug, Args)]
pub struct LinkOptions {
    /// The session's name: 3 to 50 letters, digits and hyphens
    pub name: String,

    /// Show a code to type on the phone of this number, instead of a QR code
    #[arg(long, value_name = "PHONE")]
    pub code: Option<String>,

    /// Where the gateway is asked [default: where the settings say that it listens]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
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

    /// Link this many numbers and play no story: the start of tests of a bot
    #[arg(long, value_name = "N", conflicts_with_all = ["story", "once"])]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=500))]
    pub numbers: Option<u16>,

    /// With --numbers: print one line of JSON when everything is up, and nothing else
    #[arg(long, requires = "numbers")]
    pub json: bool,

    /// Port of the control surface, where people of the network are steered; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub control_port: u16,

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
    /// A plugin takes a card number out of a message, and stops another
    Plugin,
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

#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Write a folder with a plugin that works: manifest, script, types for the editor
    New(NewPlugin),
    /// Say what is wrong with a plugin: package, manifest, start, and each handler on sample events
    Check(CheckPlugin),
    /// Ask a plugin's handlers about sample events, or your own, and print what they answer and ask for
    Run(RunPlugin),
    /// Pack a folder into the zip that POST /api/plugins/install takes
    Pack(PackPlugin),
}

#[derive(Debug, Args)]
pub struct NewPlugin {
    /// Its id: letters, digits, dots, dashes
    pub id: String,

    /// Where to write it [default: a folder of its id]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// In TypeScript
    #[arg(long)]
    pub typescript: bool,
}

#[derive(Debug, Args)]
pub struct CheckPlugin {
    /// The plugin's folder, or its zip
    pub package: PathBuf,

    /// Its configuration, over the defaults: JSON, or @FILE
    #[arg(long, value_name = "JSON")]
    pub plugin_config: Option<String>,
}

#[derive(Debug, Args)]
pub struct RunPlugin {
    /// The plugin's folder, or its zip
    pub package: PathBuf,

    /// Only this hook point, like message:sending [default: each that it registers]
    #[arg(long, value_name = "POINT", conflicts_with = "ingress")]
    pub hook: Option<String>,

    /// A provider's call to this route of the manifest, instead of hooks
    #[arg(long, value_name = "ROUTE")]
    pub ingress: Option<String>,

    /// What is asked about instead of the samples: the hook's data, or the call's body; JSON, or @FILE
    #[arg(long, value_name = "JSON")]
    pub data: Option<String>,

    /// Its configuration, over the defaults: JSON, or @FILE
    #[arg(long, value_name = "JSON")]
    pub plugin_config: Option<String>,

    /// What net.fetch answers: {"status": 200, "body": "…"}, or a list of such, each with a part of its "url"; JSON, or
    /// @FILE. Nothing is called from here
    #[arg(long, value_name = "JSON")]
    pub fetch: Option<String>,

    /// The time that the plugin is told, like 2026-11-27T20:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,

    /// Print one JSON object per call
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PackPlugin {
    /// The plugin's folder
    pub folder: PathBuf,

    /// The zip [default: ID-VERSION.zip]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
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
