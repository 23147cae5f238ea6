//! What a person sees in the terminal.

use std::{io::Write as _, time::Duration};

use owo_colors::{OwoColorize as _, Stream};
use tokio::time::Instant;

use super::{
    bulk::BATCH,
    progress::ProgressLine,
    stage::{CONTACT, CONTACT_NAME, NUMBER, SandboxStage},
};
use crate::cli::SandboxStory;

/// Prints the steps with their time since the start.
pub struct StepPrinter {
    start: Instant,
    silent: bool,
}

impl StepPrinter {
    /// The clock starts here.
    pub fn new() -> Self {
        Self { start: Instant::now(), silent: false }
    }

    /// Prints only what fails: somebody reads the output with a program.
    pub fn silent() -> Self {
        Self { start: Instant::now(), silent: true }
    }

    /// The lines above the story.
    pub fn title(&self) {
        if self.silent {
            return;
        }
        say!(
            "\nWaypost sandbox: a real gateway on a simulated WhatsApp network, all on this machine.\n"
        );
    }

    /// One step that really happened.
    pub fn step(&self, what: &str, detail: &str) {
        if self.silent {
            return;
        }
        let time = seconds(self.start.elapsed());
        let tick = "✓".if_supports_color(Stream::Stdout, |text| text.green()).to_string();
        say!(
            "{time}  {tick} {what:<34} {}",
            detail.if_supports_color(Stream::Stdout, |text| text.dimmed())
        );
        let _ = std::io::stdout().flush();
    }

    /// Begins to show how far something got.
    pub fn progress(&self, what: &'static str, total: u64) -> ProgressLine<'_> {
        ProgressLine::begin(self, what, total)
    }

    /// The step that did not.
    pub fn failed(&self, error: &anyhow::Error) {
        let time = seconds(self.start.elapsed());
        if self.silent {
            complain!("{error:#}");
            return;
        }
        let cross = "✗".if_supports_color(Stream::Stdout, |text| text.red()).to_string();
        say!("{time}  {cross} {error:#}");
    }

    /// How to go on by hand.
    pub fn goodbye(&self, stage: &SandboxStage, story: SandboxStory, link: &str) {
        let (base, session, key) = (&stage.base, &stage.session(), &stage.key);
        let more = match story {
            SandboxStory::Conversation => String::new(),
            SandboxStory::Bulk => format!(
                "
  # the batch, and what became of each message
  curl -s '{base}/sessions/{session}/messages/batch/{BATCH}?all=true' -H 'X-API-Key: {key}'
"
            ),
            SandboxStory::Plugin => format!(
                "
  # the plugins, and how one of them is
  curl -s {base}/plugins -H 'X-API-Key: {key}'
  curl -s {base}/plugins/redact/health -H 'X-API-Key: {key}'

  # one of your own: docs/plugins.md, or
  waypost plugin new my-plugin
"
            ),
        };
        say!(
            "\nThat was every step, for real. The sandbox stays up (Ctrl-C ends it).

  Dashboard {link}
            (logs one browser in, within 10 minutes)
  API key   {key}
            (also in {file})
  API docs  {base}/docs

Go on by hand:

  # send {CONTACT_NAME} a message; the answer comes to the webhook
  curl -s {base}/sessions/{session}/messages/send-text \\
    -H 'X-API-Key: {key}' -H 'Content-Type: application/json' \\
    -d '{{\"chatId\":\"{CONTACT}@c.us\",\"text\":\"Do you deliver on Sundays?\"}}'

  # everything that was said
  curl -s '{base}/sessions/{session}/messages?chatId={CONTACT}@c.us' -H 'X-API-Key: {key}'

  # what the webhook receiver got and verified
  curl -s {receiver}/received

  # let {CONTACT_NAME} write first; more of what people can do: docs/testing-your-bot.md
  curl -s {control}/accounts/{CONTACT}/send -H 'Content-Type: application/json' \\
    -d '{{\"to\":\"{NUMBER}\",\"text\":\"Are you open?\"}}'
{more}",
            file = stage.key_file.display(),
            receiver = stage.receiver.base(),
            control = stage.control.base(),
        );
    }
}

fn seconds(time: Duration) -> String {
    format!("{:7.3} s", time.as_secs_f64())
}
