//! What answers, or should: Redis and the gateway itself.

use std::net::{SocketAddr, TcpListener};

use reqwest::{Method, StatusCode};

use super::report::Finding;
use crate::{config::Settings, health, local::LocalGateway, stores};

/// Whether the queue's Redis answers; nothing to say without a queue.
pub async fn redis(settings: &Settings) -> Option<Finding> {
    const CHECK: &str = "redis";
    let target = settings.redis()?;
    let place = format!("{target:?}");
    let answered = match stores::redis_options(target) {
        Ok(options) => storage::redis_answers(&options).await,
        Err(error) => Err(format!("{error:#}")),
    };
    Some(match answered {
        Ok(()) => Finding::good(CHECK, format!("{place} answers")),
        Err(error) => Finding::warning(
            CHECK,
            format!("{place} does not answer: {error}"),
            "deliveries go on through the database meanwhile; see that Redis runs and REDIS_* name it",
        ),
    })
}

/// Whether a gateway runs and is well, or could listen.
pub async fn gateway(settings: &Settings, url: Option<&str>) -> Finding {
    const CHECK: &str = "gateway";
    let asked = match LocalGateway::stranger(settings, url) {
        Ok(gateway) => gateway,
        Err(error) => return Finding::warning(CHECK, format!("{error:#}"), "name it with --url"),
    };
    let base = asked.base().to_owned();
    match asked.ask(Method::GET, "/api/health/ready", None).await {
        Ok((StatusCode::OK, _)) => {
            Finding::good(CHECK, format!("it answers at {base} and is ready"))
        }
        Ok((status, body)) if body["details"].is_object() => Finding::problem(
            CHECK,
            format!("it answers at {base} and is not ready: {}", health::why(status, &body)),
            "docs/operations.md says what each part needs; its log says more",
        ),
        Ok((status, _)) => Finding::problem(
            CHECK,
            format!("something else answers at {base} ({status})"),
            "stop it, or choose another port with server.port (PORT)",
        ),
        Err(error) => silent(CHECK, settings, url, &error),
    }
}

/// Nobody answers: is the port free?
fn silent(
    check: &'static str,
    settings: &Settings,
    url: Option<&str>,
    error: &anyhow::Error,
) -> Finding {
    let host = settings.host().filter(|_| url.is_none());
    let Some(host) = host else {
        return Finding::problem(check, format!("{error:#}"), "start it, or name another address");
    };
    let address = SocketAddr::new(host, settings.server.port);
    match TcpListener::bind(address) {
        Ok(_) => Finding::warning(
            check,
            format!("none runs here; {address} is free for it"),
            "start it with `waypost serve`, or its service",
        ),
        Err(error) => Finding::problem(
            check,
            format!("none answers, and it could not listen on {address}: {error}"),
            "see who has the port (ss -ltnp), or choose another with server.port (PORT)",
        ),
    }
}
