//! The network as its own process, for who has no Waypost: `waypost simulator` is the same.

use anyhow::Result;
use clap::Parser;
use simulator::program::{self, SimulatorOptions};

/// Runs a simulated WhatsApp network on loopback.
///
/// It prints its addresses and runs until interrupted. Point a WhatsApp client at the chat address (media addresses
/// must be mapped to the media address), then steer people and faults over the control address, for example:
///
///   curl -X POST localhost:7003/accounts -H 'content-type: application/json' \
///        -d '{"phone": "5511999990001", "name": "Ana"}'
///
///   curl -X POST localhost:7003/accounts/5511999990001/send -H 'content-type: application/json' \
///        -d '{"to": "5511999990002", "text": "hello"}'
///
///   curl localhost:7003/record
///
/// All requests of the control surface: docs/testing-your-bot.md.
#[derive(Debug, Parser)]
#[command(name = "waypost-simulator", version, verbatim_doc_comment)]
struct SimulatorProgram {
    #[command(flatten)]
    options: SimulatorOptions,
}

#[tokio::main]
async fn main() -> Result<()> {
    program::run(SimulatorProgram::parse().options).await
}
