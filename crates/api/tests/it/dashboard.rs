//! The dashboard's files.

use crate::app::App;

#[tokio::test]
async fn the_page_is_fresh_and_its_files_are_for_ever() {
    let app = App::start().await;
    let page = app.ask("GET", "/").send().await;
    assert_eq!(page.status, 200);
    let header = |name: &str| page.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("cache-control"), "no-store");
    let policy = header("content-security-policy");
    assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
    let text = page.text();
    let script = text.split('"').find(|part| part.ends_with(".js")).unwrap();
    let file = app.ask("GET", &format!("/{script}")).send().await;
    assert_eq!(file.status, 200);
    assert_eq!(file.headers["content-type"], "text/javascript; charset=utf-8");
    assert!(file.headers["cache-control"].to_str().unwrap().contains("immutable"));
    assert!(file.headers.get("content-encoding").is_none());
    let packed = app.ask("GET", &format!("/{script}")).header("accept-encoding", "gzip, br");
    let packed = packed.send().await;
    assert_eq!(packed.headers["content-encoding"], "gzip");
    assert!(packed.bytes().len() < file.bytes().len());
    for path in ["/assets/", "/assets/app.js", "/assets/..%2flib.rs", "/numbers"] {
        app.ask("GET", path).send().await.expect(404);
    }
}

#[tokio::test]
async fn no_page_of_another_origin_shows_an_answer_that_the_cookie_opened() {
    let app = App::start().await;
    let login = app.ask("POST", "/api/auth/session").admin().send().await;
    let cookie = login.headers["set-cookie"].to_str().unwrap().split(';').next().unwrap();
    for path in ["/", "/api/sessions", "/api/health", "/api/no-such-route"] {
        let answer = app.ask("GET", path).header("cookie", cookie).send().await;
        assert_eq!(answer.headers["cross-origin-resource-policy"], "same-origin", "{path}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert!(!answer.headers.contains_key("access-control-allow-credentials"), "{path}");
    }
}

#[tokio::test]
async fn it_can_be_left_out() {
    let app = App::with(|options| options.dashboard = false).await;
    app.ask("GET", "/").send().await.expect(404);
    app.ask("GET", "/api/health").send().await.expect(200);
}

#[tokio::test]
async fn under_a_base_path_everything_is_where_the_page_looks_for_it() {
    let app = App::with(|options| options.base_path = "/way".into()).await;
    assert_eq!(app.ask("GET", "/way/").send().await.status, 200);
    app.ask("GET", "/way/api/sessions").admin().send().await.expect(200);
    app.ask("GET", "/api/sessions").admin().send().await.expect(200);
    let bare = app.ask("GET", "/way").send().await;
    assert_eq!((bare.status, &bare.headers["location"]), (307, &"/way/".parse().unwrap()));
    app.ask("GET", "/wayside").send().await.expect(404);
    let login = app.ask("POST", "/way/api/auth/session").admin().send().await;
    assert!(login.headers["set-cookie"].to_str().unwrap().contains("; Path=/way/;"));
}
