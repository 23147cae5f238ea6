//! The catalogue of a business account and its products.

use axum::{Json, extract::State, http::StatusCode};
use domain::catalogue::{Product, price_text};
use gateway::catalogue::CatalogueOverview;
use serde::Serialize;
use utoipa::{IntoParams, IntoResponses, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    AppState,
    access::{OnSession, Viewer},
    error::{ApiError, ErrorBody, no_such, of_catalogue},
    query::Query,
    sessions::SessionPath,
};

/// Products of a page when nobody says.
const PAGE: u32 = 20;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(overview))
        .routes(routes!(products))
        .routes(routes!(product))
}

/// What an account sells, in short.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Catalog, example = json!({
    "id": "4915550001000@c.us", "name": "Corner Bakery", "description": "Bread and cakes", "productCount": 12,
    "url": "https://wa.me/c/4915550001000"
}))]
struct CatalogueBody {
    /// The account whose catalogue it is.
    id: String,
    /// What the account calls itself.
    name: String,
    /// What the business says about itself.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    product_count: usize,
    /// Where people see it.
    url: String,
}

impl From<CatalogueOverview> for CatalogueBody {
    fn from(overview: CatalogueOverview) -> Self {
        let phone = overview.phone;
        Self {
            id: format!("{phone}@c.us"),
            url: format!("https://wa.me/c/{phone}"),
            name: overview.name.unwrap_or(phone),
            description: overview.description,
            product_count: overview.products,
        }
    }
}

/// A product of a catalogue.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Product, example = json!({
    "id": "7234567890123456", "name": "Plum cake", "description": "With butter", "price": 12.5, "currency": "EUR",
    "priceFormatted": "EUR 12.50", "imageUrl": "https://media.example/cake.jpg",
    "url": "https://wa.me/p/7234567890123456/4915550001000", "isAvailable": true, "retailerId": "CAKE-1"
}))]
struct ProductBody {
    id: String,
    name: String,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// In the currency's unit.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<f64>,
    /// The currency, as in ISO 4217.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    price_formatted: Option<String>,
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    image_url: Option<String>,
    /// The business's own page about it, else WhatsApp's.
    url: String,
    is_available: bool,
    /// The business's own number of it.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    retailer_id: Option<String>,
}

impl ProductBody {
    #[expect(clippy::cast_precision_loss, reason = "prices are far below 2^53 thousandths")]
    fn of(product: Product, phone: &str) -> Self {
        let thousandths = product.price_thousandths;
        let formatted = thousandths
            .zip(product.currency.as_deref())
            .map(|(thousandths, currency)| price_text(thousandths, currency));
        let page = || format!("https://wa.me/p/{}/{phone}", product.id);
        Self {
            url: product.url.unwrap_or_else(page),
            id: product.id,
            name: product.name,
            description: product.description,
            price: thousandths.map(|thousandths| thousandths as f64 / 1000.0),
            currency: product.currency,
            price_formatted: formatted,
            image_url: product.image_url,
            is_available: product.is_available,
            retailer_id: product.retailer_id,
        }
    }
}

/// Where a page stands among all.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ProductPagination, example = json!({"page": 1, "limit": 20, "total": 12, "totalPages": 1}))]
struct PaginationBody {
    page: u32,
    limit: u32,
    total: usize,
    total_pages: usize,
}

/// Some products of a catalogue.
#[derive(Serialize, ToSchema)]
#[schema(as = ProductList)]
struct ProductListBody {
    products: Vec<ProductBody>,
    pagination: PaginationBody,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the query to the OpenAPI document")]
struct ProductsQuery {
    /// From 1 on; 1 by default.
    #[param(nullable = false, minimum = 1)]
    page: Option<u32>,
    /// Products of a page; 20 by default.
    #[param(nullable = false, minimum = 1)]
    limit: Option<u32>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path to the OpenAPI document")]
struct ProductPath {
    /// The id of the session.
    #[param(rename = "sessionId", example = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e")]
    session_id: String,
    /// WhatsApp's id of the product.
    #[param(rename = "productId", example = "7234567890123456")]
    product_id: String,
}

/// What every question about a catalogue may be refused with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes the answers to the OpenAPI document")]
enum CatalogueErrors {
    #[response(status = 400, description = "A wrong page or limit")]
    Wrong(ErrorBody),
    #[response(status = 403, description = "The key is not allowed to, or WhatsApp refused")]
    Refused(ErrorBody),
    #[response(
        status = 404,
        description = "No such session, one that is not started, an account without a catalogue, or no such product"
    )]
    NotFound(ErrorBody),
    #[response(status = 409, description = "The session is not ready; try again later")]
    NotReady(ErrorBody),
    #[response(status = 503, description = "WhatsApp did not answer")]
    Unanswered(ErrorBody),
}

fn no_catalogue() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "This account has no catalog")
}

/// A number of the query, from 1 on.
fn counted(query: &Query, name: &str, usual: u32) -> Result<u32, ApiError> {
    let wrong = || ApiError::problem(format!("{name} must be an integer number not less than 1"));
    match query.one(name).map_err(|_| wrong())? {
        None => Ok(usual),
        Some(text) => text.parse().ok().filter(|number| *number >= 1).ok_or_else(wrong),
    }
}

/// The account's catalogue, in short.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/catalog", operation_id = "getCatalog", tag = "Catalog",
    params(SessionPath),
    responses((status = 200, description = "The catalogue", body = CatalogueBody), CatalogueErrors),
    security(("X-API-Key" = ["viewer"])),
)]
async fn overview(
    State(state): State<AppState>,
    on: OnSession<Viewer>,
) -> Result<Json<CatalogueBody>, ApiError> {
    let found = state.gateway.catalogue.overview(on.session).await;
    let found = found.map_err(|error| of_catalogue(on.session, error))?;
    Ok(Json(found.ok_or_else(no_catalogue)?.into()))
}

/// Lists the products that customers see.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/catalog/products", operation_id = "listProducts", tag = "Catalog",
    params(SessionPath, ProductsQuery),
    responses((status = 200, description = "Products", body = ProductListBody), CatalogueErrors),
    security(("X-API-Key" = ["viewer"])),
)]
async fn products(
    State(state): State<AppState>,
    on: OnSession<Viewer>,
    query: Query,
) -> Result<Json<ProductListBody>, ApiError> {
    let (page, limit) = (counted(&query, "page", 1)?, counted(&query, "limit", PAGE)?);
    let found = state.gateway.catalogue.products(on.session, page, limit).await;
    let found = found.map_err(|error| of_catalogue(on.session, error))?;
    let found = found.ok_or_else(no_catalogue)?;
    let phone = &found.phone;
    let total_pages = found.total.div_ceil(limit as usize);
    let pagination = PaginationBody { page, limit, total: found.total, total_pages };
    let products = found.products.into_iter().map(|one| ProductBody::of(one, phone)).collect();
    Ok(Json(ProductListBody { products, pagination }))
}

/// One product, by its id.
#[utoipa::path(
    get, path = "/api/sessions/{sessionId}/catalog/products/{productId}", operation_id = "getProduct", tag = "Catalog",
    params(ProductPath),
    responses((status = 200, description = "The product", body = ProductBody), CatalogueErrors),
    security(("X-API-Key" = ["viewer"])),
)]
async fn product(
    State(state): State<AppState>,
    on: OnSession<Viewer>,
) -> Result<Json<ProductBody>, ApiError> {
    let id = on.caller.text("productId");
    let found = state.gateway.catalogue.product(on.session, id).await;
    let found = found.map_err(|error| of_catalogue(on.session, error))?;
    let (product, phone) = found.ok_or_else(|| no_such("Product", id))?;
    Ok(Json(ProductBody::of(product, &phone)))
}
