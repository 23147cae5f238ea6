//! The document is what is checked in, and its pages need nobody else.

use std::{collections::BTreeSet, path::Path};

use crate::app::App;

#[test]
fn openapi_json_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi.json");
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        stored == api::openapi_json(),
        "openapi.json at the root of the repository is stale: run `cargo xtask openapi`"
    );
}

#[tokio::test]
async fn the_document_is_served() {
    let app = App::start().await;
    let answer = app.ask("GET", "/api/docs-json").send().await;
    assert_eq!(answer.text(), api::openapi_json());
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("application/json"));
}

/// The values of `src="…"` and `href="…"`.
fn references(html: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for attribute in ["src=\"", "href=\""] {
        for part in html.split(attribute).skip(1) {
            found.insert(part.split('"').next().unwrap().to_owned());
        }
    }
    found
}

#[tokio::test]
async fn the_pages_come_only_from_here() {
    let app = App::start().await;
    let answer = app.ask("GET", "/api/docs").send().await;
    assert_eq!((answer.status, answer.headers["location"].to_str().unwrap()), (303, "/api/docs/"));
    let page = app.ask("GET", "/api/docs/").send().await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'self'") && !policy.contains("http"), "{policy}");
    let references = references(&page.text());
    assert!(references.len() >= 6, "{references:?}");
    for reference in references {
        let name = reference.trim_start_matches("./");
        assert!(!name.contains("//"), "{reference} is on another server");
        let asset = app.ask("GET", &format!("/api/docs/{name}")).send().await;
        assert_eq!(asset.status, 200, "{reference}");
        let text = asset.text();
        if name.ends_with(".css") {
            for outside in ["url(http", "url(//", "url(\"http", "@import"] {
                assert!(!text.contains(outside), "{name} loads {outside}");
            }
        }
        if name == "swagger-initializer.js" {
            assert!(text.contains("\"url\": \"/api/docs-json\""), "{text}");
            assert!(text.contains("\"validatorUrl\": \"none\""), "{text}");
            // A key that somebody types in does not stay in the browser.
            assert!(text.contains("\"persistAuthorization\": false"), "{text}");
            assert!(!text.contains("http"), "{text}");
        }
        for tag in ["<script src=\"http", "<link href=\"http", "importScripts(\"http"] {
            assert!(!text.contains(tag), "{name} contains {tag}");
        }
    }
}

#[tokio::test]
async fn docs_can_be_switched_off() {
    let app = App::with(|options| options.docs = false).await;
    for path in ["/api/docs", "/api/docs/", "/api/docs-json"] {
        app.ask("GET", path).send().await.expect(404);
    }
}
