//! Looking at batches, and ending, pausing and resuming them.

use axum::{Json, extract::State};
use domain::{
    batch::{BatchId, BatchState, ITEMS_MAX, ItemState},
    port::Page,
};
use utoipa::IntoParams;

use super::{
    send::flag,
    view::{BatchBody, ChangedBody, ResultBody, SummaryBody},
};
use crate::{
    AppState,
    access::{ExistingSession, Operator, Viewer},
    error::{ApiError, ErrorBody},
    query::Query,
    sessions::SessionPath,
    words::BatchStatusWord,
};

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct BatchPath {
    /// The id of the session.
    #[param(rename = "sessionId", example = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e")]
    session_id: String,
    /// The name of the batch.
    #[param(rename = "batchId", example = "batch_7f3a21c4")]
    batch_id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct ResultsQuery {
    /// Lists messages to which nothing happened yet as well, as pending.
    #[param(nullable = false)]
    all: Option<bool>,
    /// 1 to 10,000; without it all results are listed.
    #[param(nullable = false)]
    limit: Option<u32>,
    #[param(nullable = false)]
    offset: Option<u32>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct BatchesQuery {
    #[param(nullable = false, value_type = Option<BatchStatusWord>)]
    status: Option<String>,
    /// 1 to 1000, default 1000.
    #[param(nullable = false)]
    limit: Option<u32>,
    #[param(nullable = false)]
    offset: Option<u32>,
}

/// The batch is in another state.
#[derive(utoipa::IntoResponses)]
#[response(status = 400, description = "The batch is over, or not in the state for this")]
#[expect(dead_code, reason = "describes the answer to the OpenAPI document")]
struct OtherState(ErrorBody);

/// Lists the batches of a session, newest first. An addition to OpenWA.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/messages/batches", operation_id = "listBatches", tag = "Messages",
    params(SessionPath, BatchesQuery),
    responses((status = 200, description = "Batches", body = [SummaryBody])),
    security(("X-API-Key" = ["viewer"])),
)]
pub async fn list(
    State(state): State<AppState>,
    on: ExistingSession<Viewer>,
    query: Query,
) -> Result<Json<Vec<SummaryBody>>, ApiError> {
    let wrong = || ApiError::problem("status must be the status of a batch");
    let status = query.one("status").map_err(|_| wrong())?;
    let status = status.map(|word| BatchState::parse(word).ok_or_else(wrong)).transpose()?;
    let batches = state.gateway.batches.list(on.session, status, query.page()).await?;
    Ok(Json(batches.into_iter().map(SummaryBody::from).collect()))
}

/// A batch with what became of its messages.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/messages/batch/{batchId}", operation_id = "getBatch", tag = "Messages",
    params(BatchPath, ResultsQuery),
    responses((status = 200, description = "The batch", body = BatchBody)),
    security(("X-API-Key" = ["viewer"])),
)]
pub async fn get(
    State(state): State<AppState>,
    on: ExistingSession<Viewer>,
    query: Query,
) -> Result<Json<BatchBody>, ApiError> {
    let id = named(on.caller.text("batchId"))?;
    let all = flag(&query, "all")?.unwrap_or_default();
    let batches = &state.gateway.batches;
    let batch = batches.get(on.session, &id).await?.ok_or_else(|| unknown(id.as_str()))?;
    let items = batches.items(on.session, &id, !all, page(&query)).await?;
    let mut results = Vec::with_capacity(items.len());
    for item in items {
        let known = match item.state {
            ItemState::Sent => state.gateway.people.canonical(on.session, &item.chat).await?,
            _ => item.chat.clone(),
        };
        // A privacy id whose number is known is no other spelling.
        let resolved = Some(known).filter(|chat| !item.chat.is_lid() && *chat != item.chat);
        results.push(ResultBody::new(item, resolved));
    }
    Ok(Json(BatchBody { summary: batch.into(), results }))
}

/// Ends a batch. What was handed to WhatsApp is finished; nothing more is begun.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/batch/{batchId}/cancel", operation_id = "cancelBatch", tag = "Messages",
    params(BatchPath),
    responses((status = 200, description = "Cancelled", body = ChangedBody), OtherState),
    security(("X-API-Key" = ["operator"])),
)]
pub async fn cancel(
    State(state): State<AppState>,
    on: ExistingSession<Operator>,
) -> Result<Json<ChangedBody>, ApiError> {
    let id = named(on.caller.text("batchId"))?;
    Ok(Json(state.gateway.batches.cancel(on.session, &id).await?.into()))
}

/// Pauses a batch until it is resumed. An addition to OpenWA.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/batch/{batchId}/pause", operation_id = "pauseBatch", tag = "Messages",
    params(BatchPath),
    responses((status = 200, description = "Paused", body = ChangedBody), OtherState),
    security(("X-API-Key" = ["operator"])),
)]
pub async fn pause(
    State(state): State<AppState>,
    on: ExistingSession<Operator>,
) -> Result<Json<ChangedBody>, ApiError> {
    let id = named(on.caller.text("batchId"))?;
    Ok(Json(state.gateway.batches.pause(on.session, &id).await?.into()))
}

/// Lets a paused batch go on. An addition to OpenWA.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/messages/batch/{batchId}/resume", operation_id = "resumeBatch", tag = "Messages",
    params(BatchPath),
    responses((status = 200, description = "Resumed", body = ChangedBody), OtherState),
    security(("X-API-Key" = ["operator"])),
)]
pub async fn resume(
    State(state): State<AppState>,
    on: ExistingSession<Operator>,
) -> Result<Json<ChangedBody>, ApiError> {
    let id = named(on.caller.text("batchId"))?;
    Ok(Json(state.gateway.batches.resume(on.session, &id).await?.into()))
}

fn named(text: &str) -> Result<BatchId, ApiError> {
    BatchId::parse(text).ok_or_else(|| unknown(text))
}

fn unknown(id: &str) -> ApiError {
    ApiError::unknown_text("Batch", id)
}

/// All results, unless the query asks for some.
fn page(query: &Query) -> Page {
    let number = |name| query.one(name).ok().flatten().and_then(|text| text.parse::<u32>().ok());
    let most = u32::try_from(ITEMS_MAX).unwrap_or(u32::MAX);
    let limit = number("limit").filter(|limit| (1..=most).contains(limit)).unwrap_or(most);
    Page { limit, offset: number("offset").unwrap_or(0) }
}
