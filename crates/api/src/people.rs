//! What the routes of people and of chats share.

use domain::ChatId;
use utoipa::IntoParams;

use crate::access::Caller;

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
pub struct PageQuery {
    /// 1 to 1000; anything else counts as 1000.
    #[param(nullable = false)]
    limit: Option<u32>,
    /// Rows to skip; anything that is not a number counts as 0.
    #[param(nullable = false)]
    offset: Option<u32>,
}

/// Whether a caller may see a chat.
pub type Sees = dyn Fn(&ChatId) -> bool + Send + Sync;

/// What a key that is limited to chats may see; `None` for the others.
pub fn visible<A>(caller: &Caller<A>) -> Option<Box<Sees>> {
    let key = caller.key().clone();
    (!key.allowed_chats.is_empty())
        .then(|| Box::new(move |chat: &ChatId| key.check_chat(chat).is_ok()) as Box<Sees>)
}
