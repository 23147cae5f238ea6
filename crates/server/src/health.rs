//! `waypost health`: whether the gateway that runs here can work, as an exit code. For checks of containers and
//! supervisors where there is no `curl`.

use std::process::ExitCode;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::{cli::HealthOptions, config::Settings, local::LocalGateway};

/// Asks the readiness route, and says in one line what it answers: exit code 0 when it is ready.
pub async fn run(settings: Settings, options: HealthOptions) -> anyhow::Result<ExitCode> {
    let gateway = LocalGateway::stranger(&settings, options.url.as_deref())?;
    let (status, body) = gateway.ask(Method::GET, "/api/health/ready", None).await?;
    if status == StatusCode::OK {
        say!("ready");
        return Ok(ExitCode::SUCCESS);
    }
    say!("not ready: {}", why(status, &body));
    Ok(ExitCode::FAILURE)
}

/// The parts that are not up, with what they say.
fn why(status: StatusCode, body: &Value) -> String {
    let parts = body["details"].as_object().into_iter().flatten();
    let down = parts.filter(|(_, part)| part["status"] != "up").map(|(name, part)| {
        let word = part["status"].as_str().unwrap_or("down");
        match part["message"].as_str() {
            Some(message) => format!("{name} is {word} ({message})"),
            None => format!("{name} is {word}"),
        }
    });
    let down = down.collect::<Vec<_>>().join(", ");
    if down.is_empty() { status.to_string() } else { down }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_down_is_named() {
        let body = json!({ "status": "error", "details": {
            "mainDatabase": { "status": "read_only", "message": "make room" }, "queue": { "status": "up" },
        } });
        let said = why(StatusCode::SERVICE_UNAVAILABLE, &body);
        assert_eq!(said, "mainDatabase is read_only (make room)");
        assert_eq!(why(StatusCode::NOT_FOUND, &Value::Null), "404 Not Found");
    }
}
