//! A session's tunables and its proxy.

use axum::{Json, extract::State};
use domain::{
    phone::Country,
    proxy::ProxyUrl,
    session::{RECONNECT_BASE_MS, SessionConfig},
    time::Zone,
};
use gateway::sessions::ConfigPatch;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::SessionPath;
use crate::{
    AppState,
    access::{Admin, ExistingSession, OnSession, Operator, Unscoped, Viewer},
    body::{Body, nullable},
    error::ApiError,
};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(get_config, set_config))
        .routes(routes!(get_proxy, set_proxy))
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = UpdateSessionConfig, example = json!({"autoRejectCalls": true, "maxReconnectAttempts": null}))]
struct UpdateConfig {
    /// `null` resets it to false.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<bool>)]
    auto_reject_calls: Option<Option<bool>>,
    /// `null` never gives up.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 20)]
    max_reconnect_attempts: Option<Option<u32>>,
    /// In milliseconds; `null` resets it to 5000.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<u32>, minimum = 1000, maximum = 300_000)]
    reconnect_base_delay: Option<Option<u32>>,
    /// Two letters, like `DE`; `null` understands no national form of phone numbers.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, min_length = 2, max_length = 2, format = "country")]
    default_country: Option<Option<String>>,
    /// The time zone, by its IANA name; `null` resets it to UTC.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64, format = "time-zone")]
    time_zone: Option<Option<String>>,
    /// Whether texts with a link have a card where the request says nothing; `null` resets it to false.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<bool>)]
    link_preview: Option<Option<bool>>,
}

/// What an operator may tune per session.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SessionConfig)]
struct ConfigBody {
    auto_reject_calls: bool,
    /// `null`: never gives up.
    #[schema(required)]
    max_reconnect_attempts: Option<u32>,
    /// The first wait before a reconnect, in milliseconds.
    reconnect_base_delay: u32,
    /// The country whose national form of phone numbers is understood; `null`: none. An addition to OpenWA.
    #[schema(required)]
    default_country: Option<String>,
    /// The time zone of times without an offset. An addition to OpenWA.
    time_zone: String,
    /// Whether texts with a link have a card where the request says nothing.
    link_preview: bool,
}

impl From<SessionConfig> for ConfigBody {
    fn from(config: SessionConfig) -> Self {
        Self {
            auto_reject_calls: config.auto_reject_calls,
            max_reconnect_attempts: config.max_reconnect_attempts,
            reconnect_base_delay: config.reconnect_base_delay_ms.unwrap_or(RECONNECT_BASE_MS),
            default_country: config.default_country.map(String::from),
            time_zone: config.time_zone.unwrap_or_default().to_string(),
            link_preview: config.link_preview,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = UpdateSessionProxy, example = json!({"proxyUrl": "socks5://ann:secret@proxy.example:1080"}))]
struct UpdateProxy {
    /// `null` connects directly. socks4 is not supported. Takes effect at the next connect.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 255, format = "proxy-url")]
    proxy_url: Option<Option<String>>,
}

/// Where a session's traffic goes through. User and password are never shown.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SessionProxy, example = json!({
    "enabled": true, "proxyType": "socks5", "proxyHost": "proxy.example:1080", "hasCredentials": true
}))]
struct ProxyBody {
    enabled: bool,
    #[schema(required)]
    proxy_type: Option<&'static str>,
    /// The host and port of the proxy.
    #[schema(required)]
    proxy_host: Option<String>,
    has_credentials: bool,
}

impl From<Option<ProxyUrl>> for ProxyBody {
    fn from(proxy: Option<ProxyUrl>) -> Self {
        let host = |proxy: &ProxyUrl| match proxy.host() {
            ip6 if ip6.contains(':') => format!("[{ip6}]:{}", proxy.port()),
            host => format!("{host}:{}", proxy.port()),
        };
        Self {
            enabled: proxy.is_some(),
            proxy_type: proxy.as_ref().map(|proxy| proxy.scheme().as_str()),
            proxy_host: proxy.as_ref().map(host),
            has_credentials: proxy.as_ref().is_some_and(|proxy| proxy.credentials().is_some()),
        }
    }
}

/// An address that its schema has let through.
pub fn read_proxy(text: Option<&str>) -> Result<Option<ProxyUrl>, ApiError> {
    text.map(ProxyUrl::parse).transpose().map_err(ApiError::problem)
}

/// A country that its schema has let through.
pub fn country(text: Option<&str>) -> Result<Option<Country>, ApiError> {
    text.map(str::parse).transpose().map_err(|e| ApiError::problem(format!("defaultCountry {e}")))
}

/// A zone that its schema has let through.
pub fn zone(text: Option<&str>) -> Result<Option<Zone>, ApiError> {
    text.map(str::parse).transpose().map_err(|e| ApiError::problem(format!("timeZone {e}")))
}

/// Reads the tunables of a session.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/config", operation_id = "getSessionConfig", tag = "Sessions",
    params(SessionPath),
    responses((status = 200, description = "The tunables", body = ConfigBody)),
    security(("X-API-Key" = ["viewer"])),
)]
async fn get_config(on: ExistingSession<Viewer>) -> Result<Json<ConfigBody>, ApiError> {
    Ok(Json(on.view.session.config.into()))
}

/// Changes tunables of a session. Fields that are absent stay.
#[utoipa::path(
    patch, path = "/api/sessions/{sessionId}/config", operation_id = "updateSessionConfig", tag = "Sessions",
    params(SessionPath), request_body = UpdateConfig,
    responses((status = 200, description = "All tunables after the change", body = ConfigBody)),
    security(("X-API-Key" = ["operator"])),
)]
async fn set_config(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(change): Body<UpdateConfig>,
) -> Result<Json<ConfigBody>, ApiError> {
    let patch = ConfigPatch {
        auto_reject_calls: change.auto_reject_calls,
        max_reconnect_attempts: change.max_reconnect_attempts,
        reconnect_base_delay_ms: change.reconnect_base_delay,
        default_country: match &change.default_country {
            Some(given) => Some(country(given.as_deref())?),
            None => None,
        },
        time_zone: match &change.time_zone {
            Some(given) => Some(zone(given.as_deref())?),
            None => None,
        },
        link_preview: change.link_preview,
    };
    let sessions = &state.gateway.sessions;
    let config = sessions.set_config(on.session, patch).await?;
    Ok(Json(config.into()))
}

/// Reads where a session's traffic goes through.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/proxy", operation_id = "getSessionProxy", tag = "Sessions",
    params(SessionPath),
    responses((status = 200, description = "The proxy, masked", body = ProxyBody)),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn get_proxy(on: ExistingSession<Unscoped<Admin>>) -> Result<Json<ProxyBody>, ApiError> {
    Ok(Json(on.view.session.proxy.into()))
}

/// Sets or clears the proxy of a session.
#[utoipa::path(
    patch, path = "/api/sessions/{sessionId}/proxy", operation_id = "updateSessionProxy", tag = "Sessions",
    params(SessionPath), request_body = UpdateProxy,
    responses((status = 200, description = "The proxy after the change, masked", body = ProxyBody)),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn set_proxy(
    State(state): State<AppState>,
    on: OnSession<Unscoped<Admin>>,
    Body(change): Body<UpdateProxy>,
) -> Result<Json<ProxyBody>, ApiError> {
    let Some(text) = change.proxy_url else {
        return Ok(Json(on.view(&state).await?.session.proxy.into()));
    };
    let proxy = read_proxy(text.as_deref())?;
    let sessions = &state.gateway.sessions;
    let proxy = sessions.set_proxy(on.session, proxy).await?;
    Ok(Json(proxy.into()))
}
