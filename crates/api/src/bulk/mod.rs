//! Batches: many recipients in one request, sent at a pace.
//!
//! OpenWA's three routes, and what goes beyond them: a dry run, an import of CSV or NDJSON, a list, pause and resume.

mod batch;
mod decode;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod import;
mod input;
mod records;
mod send;
mod table;
mod view;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::AppState;

pub use view::{AcceptedBody, ForecastBody};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(send::send_bulk))
        .routes(routes!(import::import))
        .routes(routes!(batch::list))
        .routes(routes!(batch::get))
        .routes(routes!(batch::cancel))
        .routes(routes!(batch::pause))
        .routes(routes!(batch::resume))
}
