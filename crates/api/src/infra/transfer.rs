//! Data and files on their way to another installation.

use std::collections::BTreeMap;

use axum::{
    Json,
    body::Body as HttpBody,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use domain::transfer::TransferTables;
use gateway::transfer::{ImportWishes, TransferError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{Admin, Caller, Unscoped},
    body::Body,
    error::ApiError,
    incoming::collect,
    query::Query,
    words::FileBytes,
};

/// Where the archive of files is streamed from.
const ARCHIVE: &str = "/api/infra/storage/archive";

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(export_data))
        .routes(routes!(import_data))
        .routes(routes!(count_files))
        .routes(routes!(export_files))
        .routes(routes!(archive))
        .routes(routes!(import_files))
}

impl From<TransferError> for ApiError {
    fn from(error: TransferError) -> Self {
        let sentence = error.to_string();
        let conflict =
            |code: &'static str| Self::new(StatusCode::CONFLICT, sentence.clone()).with_code(code);
        match error {
            TransferError::AlreadyRunning => conflict("IMPORT_ALREADY_RUNNING"),
            TransferError::ExportRunning => conflict("EXPORT_IN_PROGRESS"),
            TransferError::SessionsRun(_) => conflict("IMPORT_WOULD_ORPHAN_ENGINES"),
            TransferError::Refused(why) => Self::problem(why),
            TransferError::Path => Self::problem(sentence),
            TransferError::Archive(_) => Self::bad_request(sentence),
            TransferError::TooBig(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, sentence),
            TransferError::Store(error) => Self::store(error),
        }
    }
}

/// An exported installation.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DataExport)]
#[expect(dead_code, reason = "describes the streamed answer to the OpenAPI document")]
struct ExportBody {
    exported_at: String,
    /// `sqlite` or `postgres`; an export of one goes into the other.
    data_db_type: String,
    /// Rows by table. Times are epoch milliseconds.
    tables: BTreeMap<String, Vec<BTreeMap<String, Value>>>,
    counts: BTreeMap<String, u64>,
    /// Tables that stay: keys and secrets of this installation, what is on its way, and what is made anew.
    skipped_tables: Vec<String>,
    /// Messages with a file, which is not inside: see `/api/infra/storage/export`.
    omitted_inline_media: u64,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct ExportQuery {
    /// Taken as OpenWA's clients send it. Plugins stay here, and their secrets with them.
    #[param(nullable = false)]
    include_plugin_secrets: Option<bool>,
}

/// Streams sessions, messages, contacts and settings of sessions as JSON. No secret is among them.
#[utoipa::path(
    get, path = "/api/infra/export-data", operation_id = "exportData", tag = "Infrastructure",
    params(ExportQuery),
    responses((status = 200, description = "The tables; a document that ends early is not whole", body = ExportBody)),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn export_data(
    State(state): State<AppState>,
    _caller: Caller<Unscoped<Admin>>,
    query: Query,
) -> Result<Response, ApiError> {
    query.flag("includePluginSecrets")?;
    let mut response = Response::new(HttpBody::from_stream(state.gateway.transfer.export()));
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

/// An exported installation that comes back. Fields of the export that are not `tables` are ignored.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = DataImport, example = json!({"tables": {"session": [], "message": []}}))]
#[expect(dead_code, reason = "OpenWA's exports bring these fields along")]
struct ImportBody {
    /// Rows by table. What a session of them had before is replaced; other sessions stay.
    #[schema(value_type = BTreeMap<String, Vec<BTreeMap<String, Value>>>)]
    tables: TransferTables,
    /// Import although sessions run. Default false.
    #[schema(nullable = false)]
    force: Option<bool>,
    /// With `force`: stop the running sessions that are not among the imported ones. Default false.
    #[schema(nullable = false)]
    stop_orphans: Option<bool>,
    exported_at: Option<String>,
    data_db_type: Option<String>,
    #[schema(value_type = Option<BTreeMap<String, u64>>)]
    counts: Option<Value>,
    #[schema(value_type = Option<Vec<String>>)]
    skipped_tables: Option<Value>,
    #[schema(value_type = Option<u64>)]
    omitted_inline_media: Option<Value>,
}

/// What an import did.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DataImported)]
struct ImportedBody {
    imported: bool,
    /// Rows of each table.
    counts: BTreeMap<&'static str, u64>,
    /// What has to be done by hand.
    warnings: Vec<String>,
    notices: Vec<String>,
    restart_required: bool,
    /// Sessions that run and are not among the imported ones.
    orphaned_engines: Vec<String>,
    stopped_orphan_engines: Vec<String>,
    failed_orphan_engines: Vec<String>,
}

/// Stores an exported installation, all of it or nothing. Sessions have to be linked anew where their keys are not
/// here.
#[utoipa::path(
    post, path = "/api/infra/import-data", operation_id = "importData", tag = "Infrastructure",
    request_body = ImportBody,
    responses(
        (status = 200, description = "Stored", body = ImportedBody),
        (status = 400, description = "Rows that cannot be stored; nothing is changed", body = crate::error::ErrorBody),
        (status = 409, description = "Sessions run, or an import or export does", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn import_data(
    State(state): State<AppState>,
    _caller: Caller<Unscoped<Admin>>,
    request: Request,
) -> Result<Json<ImportedBody>, ApiError> {
    let (parts, body) = request.into_parts();
    let limit = state.options.body_limit_bytes;
    let bytes = collect(&parts.extensions, body, limit, &state.bodies).await?;
    // Read straight into rows: a document of this size has more values than other bodies may have.
    let read = tokio::task::spawn_blocking(move || serde_json::from_slice::<ImportBody>(&bytes));
    let read = read.await.map_err(|_| ApiError::bad_request("The request body cannot be read"))?;
    let body =
        read.map_err(|error| ApiError::problem(format!("The request body is no export: {error}")))?;
    let wishes = ImportWishes {
        force: body.force.unwrap_or(false),
        stop_orphans: body.stop_orphans.unwrap_or(false),
    };
    let done = state.gateway.transfer.import(body.tables, wishes).await?;
    let texts = |ids: Vec<domain::SessionId>| ids.iter().map(ToString::to_string).collect();
    Ok(Json(ImportedBody {
        imported: true,
        counts: done.counts.into_iter().collect(),
        warnings: done.warnings,
        notices: vec![],
        restart_required: false,
        orphaned_engines: texts(done.orphans),
        stopped_orphan_engines: texts(done.stopped),
        failed_orphan_engines: texts(done.not_stopped),
    }))
}

/// The media files that are kept.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StorageCount, example = json!({
    "storageType": "local", "count": 214, "sizeBytes": 52_428_800, "sizeMB": 50.0
}))]
struct CountBody {
    storage_type: &'static str,
    count: u64,
    size_bytes: u64,
    #[serde(rename = "sizeMB")]
    size_mb: f64,
}

/// Counts the media files.
#[utoipa::path(
    get, path = "/api/infra/storage/files/count", operation_id = "countStorageFiles", tag = "Infrastructure",
    responses((status = 200, description = "How many files, and their bytes", body = CountBody)),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn count_files(
    State(state): State<AppState>,
    _caller: Caller<Unscoped<Admin>>,
) -> Result<Json<CountBody>, ApiError> {
    let (count, size_bytes) = state.gateway.transfer.files().await?;
    // Two places behind the point; exact up to sizes that no disk has.
    let size_mb = (size_bytes as f64 / (1024.0 * 1024.0) * 100.0).round() / 100.0;
    Ok(Json(CountBody { storage_type: "local", count, size_bytes, size_mb }))
}

/// Where the archive is.
#[derive(Serialize, ToSchema)]
#[schema(as = StorageExport)]
struct ExportFilesBody {
    message: &'static str,
    /// The path of the archive in this API. It is made while it is read.
    #[schema(example = "/api/infra/storage/archive")]
    download: &'static str,
}

/// Says where all media files are downloaded as one archive.
#[utoipa::path(
    get, path = "/api/infra/storage/export", operation_id = "exportStorage", tag = "Infrastructure",
    responses((status = 200, description = "Where the archive is", body = ExportFilesBody)),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn export_files(_caller: Caller<Unscoped<Admin>>) -> Result<Json<ExportFilesBody>, ApiError> {
    Ok(Json(ExportFilesBody {
        message: "The archive is made while it is downloaded",
        download: ARCHIVE,
    }))
}

/// Streams all media files as a tar, each under the hash of its bytes. An addition to OpenWA.
#[utoipa::path(
    get, path = "/api/infra/storage/archive", operation_id = "downloadStorage", tag = "Infrastructure",
    responses((status = 200, description = "The archive", body = FileBytes, content_type = "application/x-tar")),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn archive(
    State(state): State<AppState>,
    _caller: Caller<Unscoped<Admin>>,
) -> Result<Response, ApiError> {
    let mut response = Response::new(HttpBody::from_stream(state.gateway.transfer.archive()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    let name = HeaderValue::from_static("attachment; filename=\"media.tar\"");
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = ImportStorage, example = json!({"filePath": "media.tar"}))]
struct ImportFilesBody {
    /// A tar as the export makes it, by its path in the folder `import` of the data folder.
    #[schema(min_length = 1, max_length = 1024)]
    file_path: String,
}

/// What came out of an archive.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StorageImported)]
struct ImportedFilesBody {
    imported: bool,
    /// Files that are kept now.
    count: u64,
    /// Entries that are no media files, or whose bytes are not those that their name says.
    failed: u64,
    storage_type: &'static str,
}

/// Takes the media files of an archive in, which lies in the folder `import` of the data folder.
#[utoipa::path(
    post, path = "/api/infra/storage/import", operation_id = "importStorage", tag = "Infrastructure",
    request_body = ImportFilesBody,
    responses(
        (status = 200, description = "Taken in", body = ImportedFilesBody),
        (status = 400, description = "No such file in the folder, or no archive", body = crate::error::ErrorBody),
        (status = 409, description = "Another import runs", body = crate::error::ErrorBody),
        (status = 413, description = "Over STORAGE_IMPORT_MAX_TOTAL_BYTES", body = crate::error::ErrorBody),
    ),
    security(("X-API-Key" = ["admin", "unscoped"])),
)]
async fn import_files(
    State(state): State<AppState>,
    _caller: Caller<Unscoped<Admin>>,
    Body(body): Body<ImportFilesBody>,
) -> Result<Json<ImportedFilesBody>, ApiError> {
    let done = state.gateway.transfer.unpack(&body.file_path).await?;
    Ok(Json(ImportedFilesBody {
        imported: true,
        count: done.count,
        failed: done.failed,
        storage_type: "local",
    }))
}
