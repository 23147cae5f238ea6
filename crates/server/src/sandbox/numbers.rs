//! `--numbers`: several linked numbers and no story. A program that tests a bot reads where everything is, and goes on.

use serde_json::json;

use super::{print::StepPrinter, stage::SandboxStage, story::link_number};

/// The first number; the others follow it.
const FIRST_NUMBER: u64 = 4_915_550_001_001;

/// Links so many numbers and says where everything is.
pub async fn play(
    stage: &SandboxStage,
    printer: &StepPrinter,
    count: u16,
    as_json: bool,
) -> anyhow::Result<()> {
    let mut sessions = Vec::with_capacity(usize::from(count));
    for index in 0..u64::from(count) {
        let (name, phone) = (format!("bot-{}", index + 1), (FIRST_NUMBER + index).to_string());
        stage.network.add_account(&phone, &name).await;
        let session = link_number(stage, printer, &name, &phone).await?;
        sessions.push(json!({ "id": session.to_string(), "name": name, "phone": phone }));
    }
    let places = json!({
        "api": stage.base,
        "apiKey": stage.key,
        "control": stage.control.base(),
        "chat": stage.network.chat_url(),
        "receiver": stage.receiver.base(),
        "sessions": sessions,
    });
    if as_json {
        say!("{places}");
    } else {
        say!("\n{places:#}\n\nHow to go on: docs/testing-your-bot.md. Ctrl-C ends the sandbox.");
    }
    Ok(())
}
