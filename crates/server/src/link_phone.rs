//! `waypost link`: a number is linked from the terminal. The running gateway makes the code; this draws it.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use qrcode::{QrCode, render::unicode::Dense1x2};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    cli::LinkOptions,
    config::Settings,
    local::{LocalGateway, refusal},
};

/// Between two questions.
const PAUSE: Duration = Duration::from_secs(1);
/// How long somebody may take to scan or type.
const PATIENCE: Duration = Duration::from_secs(600);
const BLACK_ON_WHITE: &str = "\x1b[107;30m";
const RESET: &str = "\x1b[0m";

/// Creates or finds the session, starts it, and shows a code until it is linked.
pub async fn run(settings: Settings, options: LinkOptions) -> anyhow::Result<ExitCode> {
    let gateway = LocalGateway::admin(&settings, options.url.as_deref())?;
    let mut linking = Linking { id: session(&gateway, &options.name).await?, gateway, shown: None };
    linking.start().await?;
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if let Some(phone) = linking.linked().await? {
            say!("\n{} is linked: +{phone}", options.name);
            return Ok(ExitCode::SUCCESS);
        }
        match &options.code {
            Some(phone) => linking.show_code(phone).await?,
            None => linking.show_qr().await?,
        }
        tokio::time::sleep(PAUSE).await;
    }
    bail!("nobody linked it within {} minutes; run this again", PATIENCE.as_secs() / 60)
}

/// The id of the session of this name, made if there is none.
async fn session(gateway: &LocalGateway, name: &str) -> anyhow::Result<String> {
    let body = json!({ "name": name });
    let (status, made) = gateway.ask(Method::POST, "/api/sessions", Some(&body)).await?;
    if status.is_success() {
        return id_of(&made);
    }
    if status != StatusCode::CONFLICT {
        bail!("the gateway at {} refused: {}", gateway.base(), refusal(status, &made));
    }
    let sessions = gateway.expect(Method::GET, &format!("/api/sessions?name={name}"), None).await?;
    let found = sessions.as_array().into_iter().flatten().find(|session| session["name"] == name);
    id_of(found.with_context(|| format!("no session is called {name}"))?)
}

fn id_of(session: &Value) -> anyhow::Result<String> {
    let id = session["id"].as_str().context("the gateway's answer cannot be read")?;
    Ok(id.to_owned())
}

struct Linking {
    gateway: LocalGateway,
    id: String,
    /// The code that is on the screen.
    shown: Option<String>,
}

impl Linking {
    async fn start(&self) -> anyhow::Result<()> {
        let path = format!("/api/sessions/{}/start", self.id);
        let (status, body) = self.gateway.ask(Method::POST, &path, None).await?;
        // It runs already.
        if status.is_success()
            || status == StatusCode::BAD_REQUEST
            || status == StatusCode::CONFLICT
        {
            return Ok(());
        }
        bail!("the session does not start: {}", refusal(status, &body))
    }

    /// The number, once the session has one and is ready.
    async fn linked(&self) -> anyhow::Result<Option<String>> {
        let path = format!("/api/sessions/{}", self.id);
        let session = self.gateway.expect(Method::GET, &path, None).await?;
        match session["status"].as_str() {
            Some("ready") => Ok(session["phone"].as_str().map(str::to_owned)),
            Some("failed") => {
                bail!(
                    "linking failed: {}",
                    session["lastError"].as_str().unwrap_or("no reason given")
                )
            }
            _ => Ok(None),
        }
    }

    /// Draws the QR code whenever it is another one.
    async fn show_qr(&mut self) -> anyhow::Result<()> {
        let path = format!("/api/sessions/{}/qr", self.id);
        let (status, body) = self.gateway.ask(Method::GET, &path, None).await?;
        // None yet, or none any more: the next look at the session tells.
        let (true, Some(code)) = (status.is_success(), body["code"].as_str()) else {
            return Ok(());
        };
        if self.shown.as_deref() == Some(code) {
            return Ok(());
        }
        say!("\n{}", drawn(code)?);
        say!(
            "On the phone: WhatsApp, Settings, Linked devices, Link a device. A new code comes by itself."
        );
        self.shown = Some(code.to_owned());
        Ok(())
    }

    /// Asks once for a code to type.
    async fn show_code(&mut self, phone: &str) -> anyhow::Result<()> {
        if self.shown.is_some() {
            return Ok(());
        }
        let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
        let path = format!("/api/sessions/{}/pairing-code", self.id);
        let body = json!({ "phoneNumber": digits });
        let (status, body) = self.gateway.ask(Method::POST, &path, Some(&body)).await?;
        match (status, body["pairingCode"].as_str()) {
            (_, Some(code)) => {
                let (first, second) = code.split_at(code.len() / 2);
                say!("\n    {first}-{second}\n");
                say!(
                    "On the phone: WhatsApp, Settings, Linked devices, Link with phone number instead."
                );
                self.shown = Some(code.to_owned());
                Ok(())
            }
            // Not connected to WhatsApp yet.
            (StatusCode::CONFLICT, None) => Ok(()),
            (status, None) => bail!("no code: {}", refusal(status, &body)),
        }
    }
}

/// Black on white, two modules in a character, whatever the terminal's colours: phones read no inverted codes.
fn drawn(code: &str) -> anyhow::Result<String> {
    let code = QrCode::new(code.as_bytes()).context("the code does not fit a QR code")?;
    let picture = code.render::<Dense1x2>().quiet_zone(true).build();
    let lines = picture.lines().map(|line| format!("{BLACK_ON_WHITE}{line}{RESET}"));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_code_is_dark_on_light_with_a_quiet_zone() {
        let drawn = drawn("2@abcdef,ghijkl").unwrap();
        let lines = drawn.lines().map(|line| {
            line.strip_prefix(BLACK_ON_WHITE).and_then(|line| line.strip_suffix(RESET)).unwrap()
        });
        let lines: Vec<&str> = lines.collect();
        assert!(lines[0].chars().all(|c| c == ' '), "the edge is light: {:?}", lines[0]);
        let width = lines[0].chars().count();
        assert!(lines.iter().all(|line| line.chars().count() == width));
        // Two rows in a line: a square is half as high, the last row may be alone.
        assert_eq!(lines.len(), width.div_ceil(2));
        assert!(drawn.contains('█') && drawn.contains('▀'));
    }
}
