//! Who may call a route. Having a [`Caller`] means that every check of its [`Access`] passed, in OpenWA's order:
//! the key (401), its addresses and the session of the path (403), its role (403), its fences (403).
//!
//! A handler of a protected route takes a `Caller<A>` or an `OnSession<A>`; there is no other way to reach the key, so
//! no route can skip a check. A test walks every operation of the OpenAPI document to hold this.
//!
//! The types above it add what most routes need next: [`ExistingSession`] and [`ExistingChat`] a session that is there,
//! [`ChatBody`] a body whose chats the key may see.

mod body;
mod login;
mod pass;

use std::{collections::BTreeMap, marker::PhantomData, net::IpAddr, str::FromStr};

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::{HeaderMap, header, request::Parts},
};
use domain::{
    ChatId, SessionId,
    api_key::{ApiKey, KeyHash, KeyRefused, Role},
};
use gateway::{api_keys::AuthError, live::Who, sessions::SessionView};

use crate::{
    AppState,
    address::client_ip,
    approvals::{Released, fence_agent},
    audit::Seen,
    error::{ApiError, Named},
    rates::Guess,
};

pub use body::{ChatBody, RawChatBody};
pub use login::{check_origin, presented_login, set_cookie};
pub use pass::Pass;

/// What a route asks of a key.
pub trait Access: Send + Sync + 'static {
    /// The least role that is let in.
    const ROLE: Role;
    /// Refuses keys with a session list.
    const UNSCOPED: bool = false;
    /// Lets in keys with a chat list; the handler then checks each chat that is named.
    const IN_CHAT: bool = false;
    /// Takes a quoted message of the chat that the body names, and of no other.
    const QUOTES_IN_CHAT: bool = false;
}

/// Keys that may read.
pub struct Viewer;
/// Keys that may read and act.
pub struct Operator;
/// Keys that may do everything.
pub struct Admin;
/// `A`, for keys without a session list.
pub struct Unscoped<A>(PhantomData<A>);
/// `A`, also for keys with a chat list.
pub struct InChat<A>(PhantomData<A>);
/// `A`, for a route that finds a quoted message in the named chat only.
pub struct QuotesInChat<A>(PhantomData<A>);

impl Access for Viewer {
    const ROLE: Role = Role::Viewer;
}

impl Access for Operator {
    const ROLE: Role = Role::Operator;
}

impl Access for Admin {
    const ROLE: Role = Role::Admin;
}

impl<A: Access> Access for Unscoped<A> {
    const ROLE: Role = A::ROLE;
    const UNSCOPED: bool = true;
    const IN_CHAT: bool = A::IN_CHAT;
}

impl<A: Access> Access for InChat<A> {
    const ROLE: Role = A::ROLE;
    const UNSCOPED: bool = A::UNSCOPED;
    const IN_CHAT: bool = true;
    const QUOTES_IN_CHAT: bool = A::QUOTES_IN_CHAT;
}

impl<A: Access> Access for QuotesInChat<A> {
    const ROLE: Role = A::ROLE;
    const UNSCOPED: bool = A::UNSCOPED;
    const IN_CHAT: bool = A::IN_CHAT;
    const QUOTES_IN_CHAT: bool = true;
}

/// A caller that passed every check of `A`.
pub struct Caller<A> {
    key: ApiKey,
    login: Option<KeyHash>,
    address: Option<IpAddr>,
    ids: BTreeMap<String, String>,
    access: PhantomData<fn() -> A>,
}

/// A [`Caller`] on the session of the path, `{sessionId}`. The session may not exist.
pub struct OnSession<A> {
    /// The id in the path.
    pub session: SessionId,
    pub caller: Caller<A>,
}

/// [`OnSession`] where the session exists.
pub struct ExistingSession<A> {
    pub session: SessionId,
    /// The session as it is now.
    pub view: SessionView,
    pub caller: Caller<A>,
}

/// A [`Caller`] on a chat of the path, `{chatId}` or `{contactId}`, that the key may see, in a session that exists.
pub struct ExistingChat<A> {
    pub session: SessionId,
    /// The chat, of which nothing may be stored; `None` when the text of the path is no chat id.
    pub chat: Option<ChatId>,
    pub caller: Caller<InChat<A>>,
}

impl<A: Access> FromRequestParts<AppState> for Caller<A> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let key = authenticate(parts, state).await?;
        let ids = path_ids(parts, state).await?;
        if let Some(text) = ids.get("sessionId") {
            // A text that is no id is in nobody's list; without a list it becomes a 404 later.
            match text.parse::<SessionId>() {
                Ok(session) => key.check_session(session)?,
                Err(_) if key.allowed_sessions.is_empty() => {}
                Err(_) => return Err(KeyRefused::Session.into()),
            }
        }
        key.check_role(A::ROLE)?;
        if !A::IN_CHAT && !key.allowed_chats.is_empty() {
            return Err(KeyRefused::ChatRestricted.into());
        }
        if A::UNSCOPED && !key.allowed_sessions.is_empty() {
            return Err(KeyRefused::Scoped.into());
        }
        fence_agent(parts, &key)?;
        let address = client_ip(parts, &state.options.trusted_proxies);
        let login = login_of(parts).map(KeyHash::of);
        Ok(Self { key, login, address, ids, access: PhantomData })
    }
}

impl<A: Access> FromRequestParts<AppState> for OnSession<A> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let caller = Caller::<A>::from_request_parts(parts, state).await?;
        Ok(Self { session: caller.id("sessionId")?, caller })
    }
}

impl<A: Access> FromRequestParts<AppState> for ExistingSession<A> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let on = OnSession::<A>::from_request_parts(parts, state).await?;
        let view = on.view(state).await?;
        Ok(Self { session: on.session, view, caller: on.caller })
    }
}

impl<A: Access> FromRequestParts<AppState> for ExistingChat<A> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let on = OnSession::<InChat<A>>::from_request_parts(parts, state).await?;
        let name = if on.caller.ids.contains_key("contactId") { "contactId" } else { "chatId" };
        let chat = on.caller.chat_of_path(name)?;
        on.view(state).await?;
        Ok(Self { session: on.session, chat, caller: on.caller })
    }
}

impl<A> OnSession<A> {
    /// The session as it is now.
    ///
    /// # Errors
    /// 404 when it does not exist.
    pub async fn view(&self, state: &AppState) -> Result<SessionView, ApiError> {
        let view = state.gateway.sessions.get(self.session).await?;
        view.ok_or_else(|| ApiError::unknown(&self.session))
    }
}

impl<A> Caller<A> {
    /// The caller's key.
    pub fn key(&self) -> &ApiKey {
        &self.key
    }

    /// What lets the caller in, for as long as it asks.
    pub fn pass(&self) -> Pass {
        Pass::new(self.key.clone(), self.login)
    }

    /// Who reads live events.
    pub fn who(&self) -> Who {
        Who { key: self.key.id, address: self.address }
    }

    /// A text of the path; empty when the path has none of that name.
    pub fn text(&self, name: &str) -> &str {
        self.ids.get(name).map_or("", String::as_str)
    }

    /// An id of the path.
    ///
    /// # Errors
    /// The 404 of an unknown one, when the text is not an id at all.
    pub fn id<T: FromStr + Named>(&self, name: &str) -> Result<T, ApiError> {
        let text = self.text(name);
        text.parse().map_err(|_| ApiError::no_id::<T>(text))
    }
}

impl<A> Caller<InChat<A>> {
    /// Checks the chat that a query names; a key with a chat list has to name one.
    pub fn check_chat_filter(&self, chat: Option<&str>) -> Result<(), ApiError> {
        match chat {
            _ if self.key.allowed_chats.is_empty() => Ok(()),
            Some(chat) => self.check_chat(chat),
            None => Err(KeyRefused::ChatRestricted.into()),
        }
    }

    /// The chat that the path names, if the key may see it; `None` when the text is no chat id.
    pub fn chat_of_path(&self, name: &str) -> Result<Option<ChatId>, ApiError> {
        let chat = self.text(name).parse::<ChatId>().ok();
        match &chat {
            Some(chat) => self.key.check_chat(chat)?,
            None if self.key.allowed_chats.is_empty() => {}
            None => return Err(KeyRefused::Chat.into()),
        }
        Ok(chat)
    }

    fn check_chat(&self, chat: &str) -> Result<(), ApiError> {
        let chat = chat.parse::<ChatId>().map_err(|_| KeyRefused::Chat)?;
        Ok(self.key.check_chat(&chat)?)
    }
}

/// What a caller shows.
#[derive(Clone, Copy)]
pub enum Shown<'a> {
    /// A key, as text.
    Key(&'a str),
    /// The cookie of a browser that is logged in.
    Login(&'a str),
    /// The text of a login link, which this uses up.
    Link(&'a str),
}

/// The key of a request's headers, or of the browser's login. `?apiKey=` is never read: URLs end up in logs.
pub async fn authenticate(parts: &Parts, state: &AppState) -> Result<ApiKey, ApiError> {
    if let Some(Released(key)) = parts.extensions.get() {
        key.check_usable(state.gateway.live.now())?;
        return Ok(key.clone());
    }
    if let Some(text) = presented_key(&parts.headers) {
        return let_in(Shown::Key(text), parts, state).await;
    }
    let text = presented_login(&parts.headers).ok_or_else(ApiError::key_missing)?;
    check_origin(parts)?;
    let_in(Shown::Login(text), parts, state).await
}

/// The key behind what a caller shows, if it opens something.
pub async fn let_in(shown: Shown<'_>, parts: &Parts, state: &AppState) -> Result<ApiKey, ApiError> {
    let ip = client_ip(parts, &state.options.trusted_proxies);
    let seen = parts.extensions.get::<Seen>();
    let note = |key: &ApiKey| {
        if let Some(seen) = seen {
            seen.set(key);
        }
    };
    check_shown(shown, ip, &note, state).await.inspect_err(|error| {
        if let (Some(seen), Some(why)) = (seen, error.refused_key()) {
            seen.refuse(why);
        }
    })
}

/// The key behind what is shown from this address. `found` is told which it is before its rights are checked. Wrong
/// tries are counted.
pub async fn check_shown(
    shown: Shown<'_>,
    ip: Option<IpAddr>,
    found: &(dyn Fn(&ApiKey) + Sync),
    state: &AppState,
) -> Result<ApiKey, ApiError> {
    let (text, guess) = match shown {
        Shown::Key(text) | Shown::Link(text) => (text, Guess::Key),
        Shown::Login(text) => (text, Guess::Login),
    };
    let (hash, now) = (KeyHash::of(text), state.gateway.live.now());
    state.rates.may_try((ip, guess), hash, now).map_err(ApiError::too_many)?;
    let keys = &state.gateway.api_keys;
    let key = match shown {
        Shown::Key(text) => keys.authenticate(text, ip, found).await,
        Shown::Login(text) => keys.authenticate_login(text, ip, found).await,
        Shown::Link(text) => keys.redeem_link(text, ip, found).await,
    };
    match key {
        Ok(key) => {
            if !matches!(shown, Shown::Link(_)) {
                state.rates.was_right(hash);
            }
            Ok(key)
        }
        Err(error) => {
            use KeyRefused::{Expired, Login, Revoked, Unknown};
            if let AuthError::Refused(Unknown | Revoked | Expired | Login) = &error {
                state.rates.was_wrong((ip, guess), hash, now);
            }
            Err(error.into())
        }
    }
}

/// The key of a request to a public route, if it brings one that works.
pub async fn valid_key(parts: &Parts, state: &AppState) -> Option<ApiKey> {
    presented_key(&parts.headers).or_else(|| presented_login(&parts.headers))?;
    authenticate(parts, state).await.ok()
}

/// The key that a request shows, as text.
pub fn presented_key(headers: &HeaderMap) -> Option<&str> {
    if let Some(key) = headers.get("x-api-key").filter(|key| !key.is_empty()) {
        // Bytes that are no text are no key of ours either.
        return Some(key.to_str().unwrap_or("").trim());
    }
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !key.trim().is_empty()).then(|| key.trim())
}

/// The login that lets a request in; none when a key does.
pub fn login_of(parts: &Parts) -> Option<&str> {
    if presented_key(&parts.headers).is_some() { None } else { presented_login(&parts.headers) }
}

/// The path's parameters, percent-decoded.
pub async fn path_ids(
    parts: &mut Parts,
    state: &AppState,
) -> Result<BTreeMap<String, String>, ApiError> {
    let params = RawPathParams::from_request_parts(parts, state).await;
    let params = params.map_err(|_| ApiError::bad_request("The path is not valid UTF-8"))?;
    Ok(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(headers: &[(&'static str, &'static str)]) -> Option<String> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        presented_key(&headers).map(str::to_owned)
    }

    #[test]
    fn the_own_header_wins_over_bearer() {
        assert_eq!(
            presented(&[("x-api-key", "a"), ("authorization", "Bearer b")]).as_deref(),
            Some("a")
        );
        assert_eq!(presented(&[("authorization", "bearer  b")]).as_deref(), Some("b"));
        assert_eq!(
            presented(&[("x-api-key", ""), ("authorization", "Bearer b")]).as_deref(),
            Some("b")
        );
        assert_eq!(presented(&[("authorization", "Basic b")]), None);
        assert_eq!(presented(&[("authorization", "Bearer ")]), None);
        assert_eq!(presented(&[]), None);
    }
}
