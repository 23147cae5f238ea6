//! Channels: followed, made, muted, left, ended; and their posts.

use axum::{Json, extract::State, http::StatusCode};
use domain::{
    ChatId, ChatKind, SessionId,
    channel::{CHANNEL_POSTS_MAX, Channel, ChannelChange, ChannelPost, NewChannel},
    message::Content,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, IntoResponses, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{Caller, OnSession, Operator, Viewer},
    body::Body,
    error::{ApiError, ErrorBody, no_such},
    messages::result::Success,
    query::Query,
    sessions::SessionPath,
    words::{MentionText, MessageTypeWord},
};

/// How many posts are listed when nobody says.
const POSTS: u32 = 50;

pub fn routes() -> OpenApiRouter<AppState> {
    // Literal segments win over `{channelId}`.
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(subscribe))
        .routes(routes!(get, unsubscribe))
        .routes(routes!(posts))
        .routes(routes!(delete))
        .routes(routes!(mute))
        .routes(routes!(demote))
        .routes(routes!(transfer))
}

/// A channel, as WhatsApp describes it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Channel, example = json!({
    "id": "120363144038483540@newsletter", "name": "Bakery news", "description": "What is in the oven",
    "inviteCode": "0029VaAbCdEf", "subscriberCount": 42, "verified": false, "createdAt": 1_790_841_600,
    "role": "owner"
}))]
struct ChannelBody {
    id: String,
    name: String,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// What stands at the end of its invite link.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    invite_code: Option<String>,
    subscriber_count: u64,
    /// Where WhatsApp keeps its picture.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<String>,
    verified: bool,
    /// When it was posted, in epoch seconds.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<i64>,
    /// What this account is in it: `owner`, `admin`, `subscriber` or `guest`. An addition to OpenWA.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
}

impl From<Channel> for ChannelBody {
    fn from(channel: Channel) -> Self {
        Self {
            id: channel.id.to_string(),
            name: channel.name,
            description: channel.description,
            invite_code: channel.invite_code,
            subscriber_count: channel.subscribers,
            picture: channel.picture,
            verified: channel.verified,
            created_at: channel.created_at,
            role: channel.role.map(domain::channel::ChannelRole::as_str),
        }
    }
}

/// A post of a channel.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChannelPost, example = json!({
    "id": "3AF0C767D26B8A3F1A2B", "body": "Plum cake today", "timestamp": 1_790_841_600, "hasMedia": false,
    "type": "text"
}))]
struct ChannelPostBody {
    id: String,
    /// The text, or the text under the file.
    body: String,
    /// WhatsApp's time, epoch seconds.
    timestamp: i64,
    has_media: bool,
    /// An addition to OpenWA.
    #[schema(value_type = MessageTypeWord)]
    r#type: &'static str,
}

impl From<ChannelPost> for ChannelPostBody {
    fn from(post: ChannelPost) -> Self {
        Self {
            id: post.id.to_string(),
            body: post.content.body().unwrap_or_default(),
            timestamp: post.timestamp,
            has_media: matches!(post.content, Content::Media(_)),
            r#type: post.content.kind().as_str(),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CreateChannel, example = json!({"name": "Bakery news", "description": "What is in the oven"}))]
struct CreateChannel {
    #[schema(min_length = 1, max_length = 100, format = "visible")]
    name: String,
    /// What the channel says about itself.
    #[schema(max_length = 2048)]
    description: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = SubscribeChannel, example = json!({"inviteCode": "0029VaAbCdEf"}))]
struct SubscribeChannel {
    /// What stands at the end of the invite link; the whole link is fine.
    #[schema(min_length = 1, max_length = 256, format = "visible")]
    invite_code: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = MuteChannel, example = json!({"mute": true}))]
struct MuteChannel {
    mute: bool,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = DemoteChannelAdmin, example = json!({"userId": "49170111@c.us"}))]
struct DemoteChannelAdmin {
    #[schema(value_type = MentionText)]
    user_id: ChatId,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = TransferChannel, example = json!({"newOwnerId": "49170111@c.us"}))]
struct TransferChannel {
    /// An admin of the channel.
    #[schema(value_type = MentionText)]
    new_owner_id: ChatId,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct ChannelPath {
    /// The id of the session.
    #[param(rename = "sessionId", example = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e")]
    session_id: String,
    /// The channel, as it is or percent-encoded.
    #[param(rename = "channelId", example = "120363144038483540@newsletter")]
    channel_id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct PostsQuery {
    /// 1 to 100; anything else counts as 50.
    #[param(nullable = false)]
    limit: Option<u32>,
}

/// What every question about channels may be refused with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the answers to the OpenAPI document")]
enum ChannelErrors {
    #[response(status = 400, description = "A wrong body, or a session that is not started")]
    Wrong(ErrorBody),
    #[response(status = 403, description = "The key is not allowed to, or WhatsApp refused")]
    Refused(ErrorBody),
    #[response(status = 404, description = "No such session or channel")]
    NotFound(ErrorBody),
    #[response(status = 409, description = "The session is not ready; try again later")]
    NotReady(ErrorBody),
    #[response(status = 503, description = "WhatsApp did not answer")]
    Unanswered(ErrorBody),
}

/// The channel of the path; a text that is no channel's id names none.
fn channel_of<A>(caller: &Caller<A>) -> Result<ChatId, ApiError> {
    let text = caller.text("channelId");
    let id = text.parse::<ChatId>().ok().filter(|id| id.kind() == ChatKind::Channel);
    id.ok_or_else(|| no_such("Channel", text))
}

fn there<T>(found: Option<T>, id: &str) -> Result<T, ApiError> {
    found.ok_or_else(|| no_such("Channel", id))
}

async fn changed(
    state: &AppState,
    (session, id): (SessionId, ChatId),
    change: ChannelChange,
) -> Result<Json<Success>, ApiError> {
    let done = state.gateway.channels.change(session, &id, change).await?;
    there(done.then_some(()), id.as_str())?;
    Ok(Success::yes())
}

/// Lists the channels that the account follows or has.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/channels", operation_id = "listChannels", tag = "Channels",
    params(SessionPath),
    responses((status = 200, description = "Channels", body = [ChannelBody]), ChannelErrors),
    security(("X-API-Key" = ["viewer"])),
)]
async fn list(
    State(state): State<AppState>,
    on: OnSession<Viewer>,
) -> Result<Json<Vec<ChannelBody>>, ApiError> {
    let channels = state.gateway.channels.list(on.session).await?;
    Ok(Json(channels.into_iter().map(ChannelBody::from).collect()))
}

/// Makes a channel that belongs to the account.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/channels", operation_id = "createChannel", tag = "Channels",
    params(SessionPath), request_body = CreateChannel,
    responses((status = 201, description = "Made", body = ChannelBody), ChannelErrors),
    security(("X-API-Key" = ["operator"])),
)]
async fn create(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(new): Body<CreateChannel>,
) -> Result<(StatusCode, Json<ChannelBody>), ApiError> {
    let description = new.description.filter(|text| !text.is_empty());
    let new = NewChannel { name: new.name, description };
    let channel = state.gateway.channels.create(on.session, new).await?;
    Ok((StatusCode::CREATED, Json(channel.into())))
}

/// Follows the channel of an invite link.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/channels/subscribe", operation_id = "subscribeChannel", tag = "Channels",
    params(SessionPath), request_body = SubscribeChannel,
    responses((status = 201, description = "Followed", body = ChannelBody), ChannelErrors),
    security(("X-API-Key" = ["operator"])),
)]
async fn subscribe(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(body): Body<SubscribeChannel>,
) -> Result<(StatusCode, Json<ChannelBody>), ApiError> {
    let code = body.invite_code.trim();
    let code = code.trim_end_matches('/').rsplit('/').next().unwrap_or(code);
    let channel = state.gateway.channels.subscribe(on.session, code).await?;
    Ok((StatusCode::CREATED, Json(there(channel, code)?.into())))
}

/// One channel, by its id.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/channels/{channelId}", operation_id = "getChannel", tag = "Channels",
    params(ChannelPath),
    responses((status = 200, description = "The channel", body = ChannelBody), ChannelErrors),
    security(("X-API-Key" = ["viewer"])),
)]
async fn get(
    State(state): State<AppState>,
    on: OnSession<Viewer>,
) -> Result<Json<ChannelBody>, ApiError> {
    let id = channel_of(&on.caller)?;
    let channel = state.gateway.channels.get(on.session, &id).await?;
    Ok(Json(there(channel, id.as_str())?.into()))
}

/// Leaves a channel: the account does not follow it any more.
#[utoipa::path(
    delete, path = "/api/sessions/{sessionId}/channels/{channelId}",
    operation_id = "unsubscribeChannel", tag = "Channels",
    params(ChannelPath),
    responses((status = 200, description = "Left", body = Success), ChannelErrors),
    security(("X-API-Key" = ["operator"])),
)]
async fn unsubscribe(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<Success>, ApiError> {
    let id = channel_of(&on.caller)?;
    changed(&state, (on.session, id), ChannelChange::Unsubscribe).await
}

/// Lists the newest posts of a channel, newest first.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/channels/{channelId}/messages",
    operation_id = "listChannelMessages", tag = "Channels",
    params(ChannelPath, PostsQuery),
    responses((status = 200, description = "Posts", body = [ChannelPostBody]), ChannelErrors),
    security(("X-API-Key" = ["viewer"])),
)]
async fn posts(
    State(state): State<AppState>,
    on: OnSession<Viewer>,
    query: Query,
) -> Result<Json<Vec<ChannelPostBody>>, ApiError> {
    let id = channel_of(&on.caller)?;
    let limit = query.number("limit").filter(|limit| (1..=CHANNEL_POSTS_MAX).contains(limit));
    let found = state.gateway.channels.posts(on.session, &id, limit.unwrap_or(POSTS)).await?;
    let posts = there(found, id.as_str())?;
    Ok(Json(posts.into_iter().map(ChannelPostBody::from).collect()))
}

/// Ends a channel of the account, for everybody.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/channels/{channelId}/delete",
    operation_id = "deleteChannel", tag = "Channels",
    params(ChannelPath),
    responses((status = 200, description = "Ended", body = Success), ChannelErrors),
    security(("X-API-Key" = ["operator"])),
)]
async fn delete(
    State(state): State<AppState>,
    on: OnSession<Operator>,
) -> Result<Json<Success>, ApiError> {
    let id = channel_of(&on.caller)?;
    changed(&state, (on.session, id), ChannelChange::Delete).await
}

/// Mutes the posts of a channel, or unmutes them.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/channels/{channelId}/mute", operation_id = "muteChannel", tag = "Channels",
    params(ChannelPath), request_body = MuteChannel,
    responses((status = 200, description = "Done", body = Success), ChannelErrors),
    security(("X-API-Key" = ["operator"])),
)]
async fn mute(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(body): Body<MuteChannel>,
) -> Result<Json<Success>, ApiError> {
    let id = channel_of(&on.caller)?;
    changed(&state, (on.session, id), ChannelChange::Mute(body.mute)).await
}

/// Makes an admin of a channel a follower again.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/channels/{channelId}/admins/demote",
    operation_id = "demoteChannelAdmin", tag = "Channels",
    params(ChannelPath), request_body = DemoteChannelAdmin,
    responses((status = 200, description = "Done", body = Success), ChannelErrors),
    security(("X-API-Key" = ["operator"])),
)]
async fn demote(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(body): Body<DemoteChannelAdmin>,
) -> Result<Json<Success>, ApiError> {
    let id = channel_of(&on.caller)?;
    changed(&state, (on.session, id), ChannelChange::Demote(body.user_id)).await
}

/// Gives a channel to one of its admins.
#[utoipa::path(
    post, path = "/api/sessions/{sessionId}/channels/{channelId}/owner/transfer",
    operation_id = "transferChannel", tag = "Channels",
    params(ChannelPath), request_body = TransferChannel,
    responses((status = 200, description = "Done", body = Success), ChannelErrors),
    security(("X-API-Key" = ["operator"])),
)]
async fn transfer(
    State(state): State<AppState>,
    on: OnSession<Operator>,
    Body(body): Body<TransferChannel>,
) -> Result<Json<Success>, ApiError> {
    let id = channel_of(&on.caller)?;
    changed(&state, (on.session, id), ChannelChange::Transfer(body.new_owner_id)).await
}
