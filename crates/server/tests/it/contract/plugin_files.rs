//! Packages of plugins, and an address where they lie.

use std::path::Path;

use axum::{Router, routing::get};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::walk::{Payload, Walk};

const BOUNDARY: &str = "waypost-test";
const FORM: &str = "multipart/form-data; boundary=waypost-test";

/// One of the plugins that the documentation offers to start from.
pub fn example(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/plugins").join(name);
    plugins::pack_folder(&folder).unwrap()
}

/// A plugin that tells Mia of every call of a provider, and has a page for its settings.
pub fn orders(to: &str) -> Vec<u8> {
    let manifest = json!({
        "id": "orders", "name": "Orders", "version": "1.0.0", "type": "extension", "main": "index.js",
        "permissions": ["webhook:ingress", "messages:send"], "sessions": ["*"], "sdkVersion": "1",
        "configUi": { "entry": "config.html" },
        "configSchema": { "type": "object", "properties": { "word": { "type": "string", "default": "order" } } },
        "ingress": [{
            "route": "orders", "mode": "async", "verify": "core",
            "signature": { "scheme": "shared-secret", "header": "X-Token", "dedupHeader": "X-Delivery" },
        }],
    });
    let script = format!(
        "module.exports = class {{ onEnable(ctx) {{ ctx.registerWebhook('orders', async (request) => {{
           await ctx.messages.sendText(request.sessionId, '{to}', `${{request.method}} ${{request.deliveryId}}`);
         }}); }} }};"
    );
    let manifest = manifest.to_string();
    let files = [
        ("manifest.json", manifest.as_bytes()),
        ("index.js", script.as_bytes()),
        ("config.html", b"<!doctype html><title>Orders</title>"),
    ];
    plugins::pack_files(files).unwrap()
}

/// Uploads a package as a browser does.
pub async fn upload(walk: &mut Walk, package: &[u8]) -> Value {
    let mut form = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"p.zip\"\r\n\
         Content-Type: application/zip\r\n\r\n"
    )
    .into_bytes();
    form.extend_from_slice(package);
    form.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    let install = ("POST", "/api/plugins/install");
    walk.ask(install, Payload::Bytes(FORM, form), &[], 201).await.body
}

/// Serves a package; where.
pub async fn serve(package: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/plugin.zip", listener.local_addr().unwrap());
    let router = Router::new().route("/plugin.zip", get(move || async move { package }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}
