//! What the routes of people and of chats share.

use axum::Json;
use domain::ChatId;
use serde::Serialize;
use utoipa::{IntoParams, IntoResponses, ToSchema};

use crate::{access::Caller, error::ErrorBody, messages::result::Success};

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

/// That something was done, in a sentence.
#[derive(Serialize, ToSchema)]
#[schema(as = Acknowledged, example = json!({"success": true, "message": "Contact saved"}))]
pub struct Acknowledged {
    success: bool,
    message: &'static str,
}

impl Acknowledged {
    /// The answer with this sentence.
    pub const fn that(message: &'static str) -> Json<Self> {
        Json(Self { success: true, message })
    }
}

/// The answers of a route that does something at WhatsApp and says so.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the answers to the OpenAPI document")]
pub enum ActionAnswers {
    #[response(status = 200, description = "Done")]
    Done(Acknowledged),
    #[response(status = 400, description = "A wrong path or body, or the session is not started")]
    Wrong(ErrorBody),
    #[response(status = 403, description = "The key does not allow it, or WhatsApp refused")]
    Refused(ErrorBody),
    #[response(status = 409, description = "The session is not ready; try again later")]
    NotReady(ErrorBody),
    #[response(status = 500, description = "The engine failed")]
    Failed(ErrorBody),
    #[response(
        status = 503,
        description = "WhatsApp did not answer; whether it was done is not known"
    )]
    Unanswered(ErrorBody),
}

/// The answer of a route that says only that it did something.
#[derive(IntoResponses)]
#[response(status = 200, description = "Done")]
#[expect(dead_code, reason = "describes the answer to the OpenAPI document")]
pub struct DoneAnswer(Success);

/// What may go wrong with what is done at WhatsApp.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the answers to the OpenAPI document")]
pub enum ActionErrors {
    #[response(status = 400, description = "A wrong path or body, or the session is not started")]
    Wrong(ErrorBody),
    #[response(status = 403, description = "The key does not allow it, or WhatsApp refused")]
    Refused(ErrorBody),
    #[response(status = 409, description = "The session is not ready; try again later")]
    NotReady(ErrorBody),
    #[response(status = 500, description = "The engine failed")]
    Failed(ErrorBody),
    #[response(
        status = 503,
        description = "WhatsApp did not answer; whether it was done is not known"
    )]
    Unanswered(ErrorBody),
}
