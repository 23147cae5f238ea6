//! The control surface of a network that runs as its own process: JSON over HTTP on loopback.
//!
//! | request | body | answer |
//! | --- | --- | --- |
//! | `GET /accounts` | | `[{"phone", "lid", "name", "devices": [{"device", "connected"}]}]` |
//! | `POST /accounts` | `{"phone", "name"}` | `{"phone", "lid", "name"}` |
//! | `POST /accounts/{phone}/scan-qr` | `{"qr"}` | `{"device"}` |
//! | `POST /accounts/{phone}/enter-code` | `{"code"}` | `{}` |
//! | `POST /accounts/{phone}/provision` | | the device, as [`crate::ProvisionedDevice`] |
//! | `POST /accounts/{phone}/send` | `{"to", "kind", "text", …}` | `{"id"}` |
//! | `GET /accounts/{phone}/inbox` | | `[{"id", "from", "kind", "text", "target", "change", "vote"}]` |
//! | `POST /accounts/{phone}/read` | `{"id"}` | `{}` |
//! | `POST /accounts/{phone}/typing` | `{"to", "paused"}` | `{}` |
//! | `POST /accounts/{phone}/online` | `{"online"}` | `{}` |
//! | `POST /accounts/{phone}/groups` | `{"subject", "members"}` | `{"group"}` |
//! | `POST /accounts/{phone}/join` | `{"code"}` | `{"member"}`: false while an admin has to let in |
//! | `GET /accounts/{phone}/inbox/{id}/file` | | the file, decrypted |
//! | `POST /accounts/{phone}/mark` | `{"chat", "mark", "value", "until"}` | `{}` |
//! | `POST /accounts/{phone}/call` | `{"to", "video"}` | `{"id"}` |
//! | `POST /accounts/{phone}/end-call` | `{"to", "id", "end"}` | `{}` |
//! | `POST /accounts/{phone}/status` | `{"audience", "text"}` or `{"audience", "revoke"}` | `{"id"}` |
//! | `POST /accounts/{phone}/newsletters` | `{"name", "description"}` | `{"jid", "invite"}` |
//! | `POST /accounts/{phone}/newsletters/{jid}/enrol` | `{"role"}` | `{}` |
//! | `POST /accounts/{phone}/newsletters/{jid}/post` | `{"text"}` | `{"id"}` |
//! | `POST /accounts/{phone}/label` | `{"id", "name", "colour"}` or `{"id", "chat", "value"}` | `{}` |
//! | `POST /accounts/{phone}/business` | `{"description", "products"}` | `{}` |
//! | `POST /accounts/{phone}/groups/{group}` | `{"action", "people", "text", "on", "seconds"}` | `{}`, or `{"code"}` |
//! | `POST /aliases` | `{"dialled", "phone"}` | `{}` |
//! | `POST /accounts/{phone}/answer` | `{"text"}` | `{}` |
//! | `POST /accounts/{phone}/unlink`, `/kick` | `{"device"}` | `{}` |
//! | `POST /accounts/{phone}/limits` | `{"timelock": {"enforcement", "ends"}, "newChats": {"used", "total"}}` | `{}` |
//! | `POST /accounts/{phone}/passkey` | `{"wanted"}` | `{}` |
//! | `GET /accounts/{phone}/passkey` | | `{"code"}`, which the phone shows |
//! | `POST /faults` | `{"kind", "n", "code", "millis", "phone", "device"}` | `{}` |
//! | `GET /record` | | the record |
//! | `GET /certificate` | | `{"root", "serial", "mediaCertificate"}` |
//!
//! `GET …/inbox?at_least=2&wait_ms=5000` answers when there are two messages, or after five seconds with what there is.
//!
//! `kind` is `text` (the default), `image`, `video`, `audio`, `voice`, `document`, `sticker` (with `bytes` in base64,
//! `mimetype`, `filename`, `caption`, `seconds`), `location` (`latitude`, `longitude`), `contact`
//! (`contacts: [{name, number}]`), `poll` (`options`, `choices`), or a change with `about: {id, author}`: `vote`
//! (`options`), `reaction`, `edit`, `revoke`, `pin` (`seconds`). `to` is a number, a LID or a group.
//!
//! `action` is `add`, `remove`, `promote`, `demote`, `approve` or `reject` (`people`), `rename` or `describe` (`text`),
//! `announce`, `lock`, `only-admins-add` or `approval` (`on`), `ephemeral` (`seconds`), `leave`, `invite-code`.
//!
//! A request that cannot be done answers 422 with `{"error"}`.

mod feeds;
mod groups;
mod limits;
mod person;
mod say;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{network::Network, phone::Behaviour};

/// The routes of the control surface.
pub fn router(network: Network) -> Router {
    Router::new()
        .route("/accounts", get(person::list).post(add_account))
        .route("/accounts/{phone}/scan-qr", post(scan_qr))
        .route("/accounts/{phone}/enter-code", post(enter_code))
        .route("/accounts/{phone}/provision", post(provision))
        .route("/accounts/{phone}/send", post(say::send))
        .route("/accounts/{phone}/inbox", get(say::inbox))
        .route("/accounts/{phone}/inbox/{id}/file", get(say::file))
        .route("/accounts/{phone}/mark", post(say::mark))
        .route("/accounts/{phone}/call", post(say::call))
        .route("/accounts/{phone}/end-call", post(say::end_call))
        .route("/accounts/{phone}/read", post(person::read))
        .route("/accounts/{phone}/typing", post(person::typing))
        .route("/accounts/{phone}/online", post(person::online))
        .route("/accounts/{phone}/limits", post(limits::set))
        .route("/accounts/{phone}/passkey", get(person::passkey_code).post(person::passkey))
        .route("/certificate", get(person::certificate))
        .route("/accounts/{phone}/status", post(feeds::status))
        .route("/accounts/{phone}/newsletters", post(feeds::newsletter))
        .route("/accounts/{phone}/newsletters/{jid}/enrol", post(feeds::enrol))
        .route("/accounts/{phone}/newsletters/{jid}/post", post(feeds::post))
        .route("/accounts/{phone}/label", post(feeds::label))
        .route("/accounts/{phone}/business", post(feeds::business))
        .route("/accounts/{phone}/groups", post(groups::create))
        .route("/accounts/{phone}/groups/{group}", post(groups::act))
        .route("/accounts/{phone}/join", post(groups::join))
        .route("/aliases", post(say::alias))
        .route("/accounts/{phone}/answer", post(answer))
        .route("/accounts/{phone}/unlink", post(unlink))
        .route("/accounts/{phone}/kick", post(kick))
        .route("/faults", post(faults))
        .route("/record", get(record))
        .with_state(network)
}

struct AdminError(anyhow::Error);

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let body = json!({ "error": format!("{:#}", self.0) });
        (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
    }
}

impl From<anyhow::Error> for AdminError {
    fn from(error: anyhow::Error) -> Self {
        Self(error)
    }
}

type AdminAnswer = Result<Json<Value>, AdminError>;

#[derive(Deserialize)]
struct NewAccount {
    phone: String,
    name: String,
}

async fn add_account(State(network): State<Network>, Json(new): Json<NewAccount>) -> AdminAnswer {
    let account = network.add_account(&new.phone, &new.name).await;
    Ok(Json(json!({
        "phone": account.phone(),
        "lid": account.lid(),
        "name": account.name(),
    })))
}

#[derive(Deserialize)]
struct QrRequest {
    qr: String,
}

async fn scan_qr(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(body): Json<QrRequest>,
) -> AdminAnswer {
    let device = network.scan_qr(&phone, &body.qr).await?;
    Ok(Json(json!({ "device": device })))
}

#[derive(Deserialize)]
struct CodeRequest {
    code: String,
}

async fn enter_code(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(body): Json<CodeRequest>,
) -> AdminAnswer {
    network.enter_code(&phone, &body.code).await?;
    Ok(Json(json!({})))
}

async fn provision(State(network): State<Network>, Path(phone): Path<String>) -> AdminAnswer {
    let device = network.provision_device(&phone).await?;
    let device = serde_json::to_value(device).context("cannot write the device down")?;
    Ok(Json(device))
}

#[derive(Deserialize)]
struct FixedAnswer {
    text: Option<String>,
}

async fn answer(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(body): Json<FixedAnswer>,
) -> AdminAnswer {
    let behaviour = match body.text {
        Some(text) => Behaviour::answering_with(&text),
        None => Behaviour::default(),
    };
    network.account(&phone)?.on_message(behaviour).await;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct WhichDevice {
    device: u16,
}

async fn unlink(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(body): Json<WhichDevice>,
) -> AdminAnswer {
    network.unlink(&phone, body.device).await?;
    Ok(Json(json!({})))
}

async fn kick(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(body): Json<WhichDevice>,
) -> AdminAnswer {
    network.kick(&phone, body.device).await;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct FaultRequest {
    kind: String,
    #[serde(default = "one")]
    n: u32,
    #[serde(default)]
    code: u16,
    #[serde(default)]
    millis: u64,
    phone: Option<String>,
    device: Option<u16>,
}

fn one() -> u32 {
    1
}

async fn faults(State(network): State<Network>, Json(fault): Json<FaultRequest>) -> AdminAnswer {
    inject(&network, &fault)?;
    Ok(Json(json!({})))
}

fn inject(network: &Network, fault: &FaultRequest) -> Result<()> {
    let faults = network.faults();
    let delay = Duration::from_millis(fault.millis);
    if let (Some(phone), Some(device)) = (&fault.phone, fault.device) {
        let faults = faults.for_device(phone, device);
        match fault.kind.as_str() {
            "drop-before-accept" => faults.drop_before_accept(fault.n),
            "drop-after-accept" => faults.drop_after_accept(fault.n),
            "nack" => faults.nack_next(fault.code),
            "corrupt" => faults.corrupt_next(fault.n),
            "spare" => faults.spare_next(fault.n),
            "delay" => faults.delay(delay),
            other => bail!("no fault of one device is called {other}"),
        }
        return Ok(());
    }
    match fault.kind.as_str() {
        "drop-before-accept" => faults.drop_before_accept(fault.n),
        "drop-after-accept" => faults.drop_after_accept(fault.n),
        "nack" => faults.nack_next(fault.code),
        "corrupt" => faults.corrupt_next(fault.n),
        "spare" => faults.spare_next(fault.n),
        "delay" => faults.delay(delay),
        "delay-acks" => faults.delay_acks(delay),
        "delay-media" => faults.delay_media(delay),
        "forget-media" => network.forget_media(),
        "nack-to" => {
            let phone = fault.phone.as_deref().context("nack-to needs a phone")?;
            faults.nack_to(phone, fault.code);
        }
        "accept-to" => {
            faults.accept_to(fault.phone.as_deref().context("accept-to needs a phone")?);
        }
        "withhold-key-share" => faults.withhold_key_share(fault.n),
        "refuse-login" => {
            let phone = fault.phone.as_deref().context("refuse-login needs a phone")?;
            faults.refuse_login(phone, fault.code, fault.n);
        }
        "clear" => faults.clear(),
        other => bail!("no fault is called {other}"),
    }
    Ok(())
}

async fn record(State(network): State<Network>) -> AdminAnswer {
    let record = serde_json::to_value(network.record()).context("cannot write the record down")?;
    Ok(Json(record))
}
