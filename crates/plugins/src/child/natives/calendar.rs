//! Time zones.

use domain::{Timestamp, time::Zone};
use rquickjs::{Ctx, Function, Object, Result};

use super::throw;

pub(super) fn add<'js>(ctx: &Ctx<'js>, native: &Object<'js>) -> Result<()> {
    let function = |name: &str, function: Result<Function<'js>>| native.set(name, function?);
    // `null`: no zone has this name.
    function(
        "zoneName",
        Function::new(ctx.clone(), |name: String| zone(&name).map(|zone| zone.to_string())),
    )?;
    function("zoneFields", Function::new(ctx.clone(), fields))?;
    function(
        "zoneAbbreviation",
        Function::new(ctx.clone(), |name: String, ms: f64| {
            zone(&name).and_then(|zone| zone.abbreviation(at(ms)))
        }),
    )
}

/// Names of zones are the same in whatever case they are written.
fn zone(name: &str) -> Option<Zone> {
    name.parse().ok().or_else(|| {
        let capital = |part: &str| {
            let mut letters = part.chars();
            letters.next().map_or_else(String::new, |first| {
                first.to_uppercase().chain(letters.flat_map(char::to_lowercase)).collect()
            })
        };
        let parts: Vec<String> = name
            .split('/')
            .map(|part| part.split('_').map(capital).collect::<Vec<_>>().join("_"))
            .collect();
        parts.join("/").parse().or_else(|_| name.to_uppercase().parse()).ok()
    })
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "times of JavaScript are whole milliseconds within 2^53"
)]
fn at(ms: f64) -> Timestamp {
    Timestamp::from_millis(ms as i64)
}

/// Year, month, day, weekday (0 is Sunday), hour, minute, second.
fn fields(ctx: Ctx<'_>, name: String, ms: f64) -> Result<Vec<i32>> {
    let Some(time) = zone(&name).and_then(|zone| zone.wall_time(at(ms))) else {
        return throw(&ctx, "Invalid time value");
    };
    let rest = [time.month, time.day, time.weekday, time.hour, time.minute, time.second];
    Ok(std::iter::once(time.year).chain(rest.map(u32::cast_signed)).collect())
}
