//! The search for messages of all sessions that the key may see.

use std::str::FromStr;

use axum::{Json, extract::State, http::StatusCode};
use domain::{
    ChatId, SessionId, Timestamp,
    api_key::ApiKey,
    message::{Direction, Message, MessageType},
    port::Page,
    search::{SEARCH_OFFSET_MAX, SearchMatch, SearchQuery, SearchText},
};
use gateway::search::{SearchAnswer, SearchError};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{Caller, InChat, Operator},
    error::ApiError,
    query::Query,
    words::{ChatText, DirectionWord, MessageTypeWord, SearchMatchWord},
};

/// Hits of a page without `limit`.
const LIMIT_DEFAULT: u32 = 50;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(search))
}

/// A message that was found.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SearchHit)]
struct HitBody {
    /// The row's id.
    message_id: String,
    wa_message_id: String,
    session_id: String,
    chat_id: String,
    body: String,
    /// A part of the text as HTML, with what was found in `<mark>`; everything else is escaped.
    #[schema(example = "Is the <mark>cake</mark> ready?")]
    snippet: String,
    /// WhatsApp's own time, epoch seconds.
    timestamp: i64,
    #[serde(rename = "type")]
    #[schema(value_type = MessageTypeWord)]
    kind: MessageType,
    #[schema(value_type = DirectionWord)]
    direction: Direction,
    from: String,
}

/// What was found, newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SearchResult)]
struct SearchResultBody {
    hits: Vec<HitBody>,
    /// Hits on all pages, counted up to 100,000; up to 1,000 with `match=contains`.
    total: u64,
    took_ms: u64,
    #[schema(example = "builtin-fts")]
    provider: &'static str,
}

impl SearchResultBody {
    fn of(found: SearchAnswer, text: &SearchText) -> Self {
        let hit = |message: Message| {
            let body = message.body.unwrap_or_default();
            HitBody {
                message_id: message.id.to_string(),
                wa_message_id: message.wa_id.to_string(),
                session_id: message.session.to_string(),
                chat_id: message.chat.to_string(),
                snippet: text.snippet(&body),
                body,
                timestamp: message.timestamp.unwrap_or_else(|| message.created_at.seconds()),
                kind: message.kind,
                direction: message.direction,
                from: message.from,
            }
        };
        Self {
            hits: found.page.messages.into_iter().map(hit).collect(),
            total: found.page.total,
            took_ms: u64::try_from(found.took.as_millis()).unwrap_or(u64::MAX),
            provider: "builtin-fts",
        }
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct SearchParams {
    /// What to look for, up to 256 characters. Capitals and accents do not matter.
    #[param(example = "cake")]
    q: String,
    /// `word` (default): every word of `q` is a word of the message. `contains`: `q`, at least 3 characters, is a part
    /// of it; needs `SEARCH_CONTAINS_ENABLED=true`.
    #[param(nullable = false, value_type = Option<SearchMatchWord>)]
    r#match: Option<String>,
    #[param(nullable = false)]
    session_id: Option<String>,
    #[param(nullable = false, value_type = Option<ChatText>)]
    chat_id: Option<String>,
    #[param(nullable = false, value_type = Option<DirectionWord>)]
    direction: Option<String>,
    #[param(nullable = false, value_type = Option<MessageTypeWord>)]
    r#type: Option<String>,
    /// By this person, in groups too.
    #[param(nullable = false)]
    from: Option<String>,
    /// Epoch milliseconds, inclusive.
    #[param(nullable = false)]
    date_from: Option<i64>,
    /// Epoch milliseconds, exclusive.
    #[param(nullable = false)]
    date_to: Option<i64>,
    /// 1 to `SEARCH_LIMIT_MAX` (100), default 50.
    #[param(nullable = false)]
    limit: Option<u32>,
    /// 0 to 100,000.
    #[param(nullable = false)]
    offset: Option<u32>,
}

impl From<SearchError> for ApiError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Off => Self::new(StatusCode::NOT_IMPLEMENTED, error.to_string()),
            SearchError::ContainsOff => Self::problem(error),
            SearchError::Store(error) => Self::store(error),
        }
    }
}

/// Looks for messages by what they say, newest first.
#[utoipa::path(
    get, path = "/api/search", operation_id = "searchMessages", tag = "Messages",
    params(SearchParams),
    responses(
        (status = 200, description = "A page of what was found", body = SearchResultBody),
        (status = 400, description = "A wrong question; `message` says everything", body = crate::error::ErrorBody),
        (status = 501, description = "The search is switched off", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["operator", "chat"])),
)]
async fn search(
    State(state): State<AppState>,
    caller: Caller<InChat<Operator>>,
    query: Query,
) -> Result<Json<SearchResultBody>, ApiError> {
    let (query, page) = read(&query, caller.key(), state.gateway.search.limit_max())?;
    if let Some(chat) = &query.chat {
        caller.check_chat_filter(Some(chat.as_str()))?;
    }
    if let Some([session]) = query.sessions.as_deref() {
        caller.key().check_session(*session)?;
    }
    let found = state.gateway.search.find(&query, page).await?;
    Ok(Json(SearchResultBody::of(found, &query.text)))
}

/// Reads the question within what the key may see, and says everything that is wrong with it.
fn read(query: &Query, key: &ApiKey, limit_max: u32) -> Result<(SearchQuery, Page), ApiError> {
    let mut reader = QuestionReader { query, problems: vec![] };
    let how = reader.word("match", "must be word or contains", |text| match text {
        "word" => Some(SearchMatch::Word),
        "contains" => Some(SearchMatch::Contains),
        _ => None,
    });
    let text = match reader.one("q").map(|q| SearchText::new(q, how.unwrap_or(SearchMatch::Word))) {
        Some(Ok(text)) => Some(text),
        Some(Err(error)) => reader.problem(error.to_string()),
        None => reader.problem("q should not be empty".into()),
    };
    let session: Option<SessionId> = reader.parse("sessionId", "must be a UUID");
    let chat: Option<ChatId> =
        reader.parse("chatId", "must look like <phone>@c.us, <id>@g.us or <id>@lid");
    let from: Option<ChatId> = reader.parse("from", "must look like <phone>@c.us or <id>@lid");
    let direction = reader.word("direction", "must be incoming or outgoing", Direction::parse);
    let kind = reader.word("type", "must be a message type", MessageType::parse);
    let time = "must be a whole number of epoch milliseconds";
    let since: Option<i64> = reader.parse("dateFrom", time);
    let until: Option<i64> = reader.parse("dateTo", time);
    let in_range =
        |most: u32| move |text: &str| text.parse::<u32>().ok().filter(|number| *number <= most);
    let words = format!("must be a whole number from 1 to {limit_max}");
    let limit = reader.word("limit", &words, |text| in_range(limit_max)(text).filter(|n| *n > 0));
    let words = format!("must be a whole number from 0 to {SEARCH_OFFSET_MAX}");
    let offset = reader.word("offset", &words, in_range(SEARCH_OFFSET_MAX));
    let (Some(text), true) = (text, reader.problems.is_empty()) else {
        return Err(ApiError::invalid(reader.problems));
    };
    let allowed = |ids: &[SessionId]| (!ids.is_empty()).then(|| ids.to_vec());
    let query = SearchQuery {
        text,
        sessions: session.map(|id| vec![id]).or_else(|| allowed(&key.allowed_sessions)),
        chats: (!key.allowed_chats.is_empty()).then(|| key.allowed_chats.clone()),
        chat,
        from,
        direction,
        kind,
        since: since.map(Timestamp::from_millis),
        until: until.map(Timestamp::from_millis),
    };
    let limit = limit.unwrap_or(LIMIT_DEFAULT.min(limit_max));
    Ok((query, Page { limit, offset: offset.unwrap_or(0) }))
}

struct QuestionReader<'a> {
    query: &'a Query,
    problems: Vec<String>,
}

impl<'a> QuestionReader<'a> {
    fn problem<T>(&mut self, sentence: String) -> Option<T> {
        self.problems.push(sentence);
        None
    }

    /// A parameter that is there and not empty.
    fn one(&mut self, name: &str) -> Option<&'a str> {
        match self.query.one(name) {
            Ok(text) => text.filter(|text| !text.is_empty()),
            Err(_) => self.problem(format!("{name} must be given once")),
        }
    }

    fn word<T>(
        &mut self,
        name: &str,
        otherwise: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.one(name)?;
        read(text).or_else(|| self.problem(format!("{name} {otherwise}")))
    }

    fn parse<T: FromStr>(&mut self, name: &str, otherwise: &str) -> Option<T> {
        self.word(name, otherwise, |text| text.parse().ok())
    }
}
