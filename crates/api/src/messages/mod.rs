//! Messages: sending, changing what was sent, reading what is stored.
//!
//! Every route that makes a message takes an `Idempotency-Key` (its body is a [`send::SendBody`]) and answers with
//! a [`result::SendResult`]; routes that change a message answer `{success: true}`.

mod business;
mod change;
mod history;
mod list;
mod media;
mod receipts;
pub mod result;
pub mod send;
mod simple;
mod text;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::AppState;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(text::send_text))
        .routes(routes!(text::reply))
        .routes(routes!(text::send_template))
        .routes(routes!(media::send_image))
        .routes(routes!(media::send_video))
        .routes(routes!(media::send_audio))
        .routes(routes!(media::send_document))
        .routes(routes!(media::send_sticker))
        .routes(routes!(simple::send_location))
        .routes(routes!(simple::send_contact))
        .routes(routes!(simple::send_poll))
        .routes(routes!(simple::forward))
        .routes(routes!(business::send_product))
        .routes(routes!(business::click_button))
        .routes(routes!(change::react))
        .routes(routes!(change::edit))
        .routes(routes!(change::delete))
        .routes(routes!(change::pin))
        .routes(routes!(change::unpin))
        .routes(routes!(change::star))
        .routes(routes!(change::vote_poll))
        .routes(routes!(list::list))
        .routes(routes!(history::history))
        .routes(routes!(receipts::receipts))
}
