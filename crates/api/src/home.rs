//! What a session says about numbers without a country code and times without a zone.

use axum::http::request::Parts;
use domain::{SessionId, phone::Country, session::SessionConfig};

use crate::{AppState, access::path_ids, error::ApiError};

/// The tunables of a session; the defaults of one that is not there, which others refuse.
///
/// # Errors
/// The ledger failed.
pub async fn of_session(state: &AppState, session: SessionId) -> Result<SessionConfig, ApiError> {
    let view = state.gateway.sessions.get(session).await?;
    Ok(view.map(|view| view.session.config).unwrap_or_default())
}

/// The country of the session that the path names.
///
/// # Errors
/// The ledger failed.
pub async fn of_path(parts: &mut Parts, state: &AppState) -> Result<Option<Country>, ApiError> {
    let ids = path_ids(parts, state).await?;
    match ids.get("sessionId").and_then(|id| id.parse().ok()) {
        Some(session) => Ok(of_session(state, session).await?.default_country),
        None => Ok(None),
    }
}
