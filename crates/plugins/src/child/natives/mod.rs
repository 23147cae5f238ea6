//! What the house's scripts cannot do in JavaScript, or only slowly.

mod bytes;
mod calendar;
mod secrets;

use std::{cell::RefCell, rc::Rc, time::Duration};

use rquickjs::{Ctx, Exception, Function, Object, Result, TypedArray, context::EvalOptions};
use url::Url;

use super::engine::Timers;
use crate::clock::now;

/// The object that holds them.
pub(super) fn object<'js>(ctx: &Ctx<'js>, timers: &Rc<RefCell<Timers>>) -> Result<Object<'js>> {
    let native = Object::new(ctx.clone())?;
    bytes::add(ctx, &native)?;
    calendar::add(ctx, &native)?;
    secrets::add(ctx, &native)?;
    native.set("url", Function::new(ctx.clone(), address)?)?;
    native.set("compile", Function::new(ctx.clone(), compile)?)?;
    let began = now();
    native
        .set("elapsed", Function::new(ctx.clone(), move || began.elapsed().as_secs_f64() * 1e3)?)?;
    let set = timers.clone();
    native.set(
        "timer",
        Function::new(ctx.clone(), move |ms: f64, repeat: bool| {
            set.borrow_mut().add(Duration::from_secs_f64(ms / 1e3), repeat)
        })?,
    )?;
    let clear = timers.clone();
    native.set(
        "clearTimer",
        Function::new(ctx.clone(), move |id: u32| clear.borrow_mut().remove(id))?,
    )?;
    Ok(native)
}

/// An array of bytes of the script's own.
fn array<'js>(ctx: &Ctx<'js>, bytes: Vec<u8>) -> Result<TypedArray<'js, u8>> {
    TypedArray::new(ctx.clone(), bytes)
}

/// The bytes of an array; a detached one has none.
#[expect(
    unsafe_code,
    reason = "no script runs between the look at the engine's memory and the copy"
)]
fn copy(array: &TypedArray<'_, u8>) -> Vec<u8> {
    // SAFETY: the slice ends with this line, and nothing in it enters the engine.
    unsafe { array.as_bytes() }.map(<[u8]>::to_vec).unwrap_or_default()
}

fn throw<T>(ctx: &Ctx<'_>, text: &str) -> Result<T> {
    Err(Exception::throw_message(ctx, text))
}

/// A script of a package, as Node runs it.
fn compile<'js>(ctx: Ctx<'js>, source: String, path: String) -> Result<Function<'js>> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(&source);
    // A first line for the shell is none for JavaScript. No line is added, so that the numbers in errors are the
    // file's.
    let source = if source.starts_with("#!") { format!("//{source}") } else { source.to_owned() };
    let mut options = EvalOptions::default();
    (options.strict, options.filename) = (false, Some(path));
    ctx.eval_with_options(
        format!("(function (exports, require, module, __filename, __dirname) {{{source}\n}})"),
        options,
    )
}

/// The parts of a URL as JSON text; with a part, after it was changed. `null`: it is none, or the change is not
/// possible.
fn address(
    text: String,
    base: Option<String>,
    part: Option<String>,
    value: Option<String>,
) -> Option<String> {
    let base = match base {
        Some(base) => Some(Url::parse(&base).ok()?),
        None => None,
    };
    let mut url = Url::options().base_url(base.as_ref()).parse(&text).ok()?;
    if let (Some(part), Some(value)) = (part, value) {
        change(&mut url, &part, &value)?;
    }
    let with = |mark: &str, text: Option<&str>| match text {
        Some(text) if !text.is_empty() => format!("{mark}{text}"),
        _ => String::new(),
    };
    let hostname = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| port.to_string()).unwrap_or_default();
    let parts = serde_json::json!({
        "href": url.as_str(),
        "origin": url.origin().ascii_serialization(),
        "protocol": format!("{}:", url.scheme()),
        "username": url.username(),
        "password": url.password().unwrap_or_default(),
        "host": if port.is_empty() { hostname.to_owned() } else { format!("{hostname}:{port}") },
        "hostname": hostname,
        "port": port,
        "pathname": url.path(),
        "search": with("?", url.query()),
        "hash": with("#", url.fragment()),
    });
    Some(parts.to_string())
}

fn change(url: &mut Url, part: &str, value: &str) -> Option<()> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    match part {
        "href" => *url = Url::parse(value).ok()?,
        "protocol" => url.set_scheme(value.trim_end_matches(':')).ok()?,
        "username" => url.set_username(value).ok()?,
        "password" => url.set_password(some(value).as_deref()).ok()?,
        "hostname" => url.set_host(Some(value)).ok()?,
        "host" => {
            let (host, port) = value.rsplit_once(':').unwrap_or((value, ""));
            url.set_host(Some(host)).ok()?;
            if !port.is_empty() {
                url.set_port(Some(port.parse().ok()?)).ok()?;
            }
        }
        "port" if value.is_empty() => url.set_port(None).ok()?,
        "port" => url.set_port(Some(value.parse().ok()?)).ok()?,
        "pathname" => url.set_path(value),
        "search" => url.set_query(some(value.trim_start_matches('?')).as_deref()),
        "hash" => url.set_fragment(some(value.trim_start_matches('#')).as_deref()),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_addresses_are_those_of_browsers() {
        let found =
            address("https://a:b@Shop.Example:8443/x/../y?q=1#top".into(), None, None, None)
                .unwrap();
        let parts: serde_json::Value = serde_json::from_str(&found).unwrap();
        assert_eq!(parts["href"], "https://a:b@shop.example:8443/y?q=1#top");
        assert_eq!(parts["host"], "shop.example:8443");
        assert_eq!((&parts["search"], &parts["hash"]), (&"?q=1".into(), &"#top".into()));
        let moved =
            address("https://x.test/a".into(), None, Some("search".into()), Some("?a=b c".into()))
                .unwrap();
        assert!(moved.contains("https://x.test/a?a=b%20c"), "{moved}");
        assert!(address("/only".into(), None, None, None).is_none());
        assert!(
            address("/y".into(), Some("https://x.test/a/b".into()), None, None)
                .unwrap()
                .contains("https://x.test/y")
        );
    }
}
