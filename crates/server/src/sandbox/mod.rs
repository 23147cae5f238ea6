//! `waypost sandbox`: the whole product on a simulated network. No phone, no internet.
//!
//! The gateway is the production one, with the certificate check compiled in: it reaches the simulated network because
//! its number comes already linked, so that the login uses the server key it knows (Noise IK).

mod api_client;
mod bulk;
mod control;
mod numbers;
mod plugin;
mod print;
mod progress;
mod receiver;
mod stage;
mod story;

use std::process::ExitCode;

use crate::{
    cli::{SandboxOptions, SandboxStory},
    lifecycle::ShutdownSignals,
    logs,
};

use self::{print::StepPrinter, stage::SandboxStage};

/// Plays the story, then stays up until a signal (or ends, with `--once`).
pub async fn run(options: SandboxOptions) -> anyhow::Result<ExitCode> {
    logs::init("warn", crate::config::LogFormat::Text);
    let mut signals = ShutdownSignals::listen()?;
    let printer = if options.json { StepPrinter::silent() } else { StepPrinter::new() };
    printer.title();
    let stage = SandboxStage::build(&options, &printer).await?;
    let played = tokio::select! {
        played = play(&options, &stage, &printer) => played,
        _ = signals.next() => Err(anyhow::anyhow!("interrupted")),
    };
    let code = match &played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            printer.failed(error);
            ExitCode::FAILURE
        }
    };
    if !options.once && played.is_ok() {
        if options.numbers.is_none() {
            let link = stage.assembled.first_link(stage.base.trim_end_matches("/api")).await?;
            printer.goodbye(&stage, options.story, link.as_deref().unwrap_or_default());
        }
        signals.next().await;
        if !options.json {
            say!();
        }
    }
    stage.strike(&mut signals).await;
    Ok(code)
}

async fn play(
    options: &SandboxOptions,
    stage: &SandboxStage,
    printer: &StepPrinter,
) -> anyhow::Result<()> {
    if let Some(count) = options.numbers {
        return numbers::play(stage, printer, count, options.json).await;
    }
    match options.story {
        SandboxStory::Conversation => story::play(stage, printer).await,
        SandboxStory::Bulk => bulk::play(stage, printer).await,
        SandboxStory::Plugin => plugin::play(stage, printer).await,
    }
}
