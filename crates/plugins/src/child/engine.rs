//! QuickJS with the house's scripts around it.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use rquickjs::{
    CatchResultExt as _, Context, Ctx, Function, Module, Object, Persistent, Promise, Runtime,
    Value,
    context::EvalOptions,
    loader::{ImportAttributes, Loader, Resolver},
    module::Declared,
};

use super::{kind, natives, program::Program, said::Said};
use crate::{
    clock::now,
    wire::{Frame, ToChild},
};

/// The stack of the plugin's code, in bytes: deep recursion throws instead of ending the process.
const STACK_BYTES: usize = 1 << 20;

/// Timers that wait, by time and number.
#[derive(Default)]
pub(super) struct Timers {
    due: BTreeMap<(Instant, u32), Option<Duration>>,
    at: BTreeMap<u32, Instant>,
    next: u32,
}

impl Timers {
    pub(super) fn add(&mut self, wait: Duration, repeat: bool) -> u32 {
        self.next = self.next.wrapping_add(1).max(1);
        self.insert(self.next, wait, repeat);
        self.next
    }

    fn insert(&mut self, id: u32, wait: Duration, repeat: bool) {
        let at = now() + wait;
        self.due.insert((at, id), repeat.then_some(wait));
        self.at.insert(id, at);
    }

    pub(super) fn remove(&mut self, id: u32) {
        if let Some(at) = self.at.remove(&id) {
            self.due.remove(&(at, id));
        }
    }

    fn first(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// One timer whose time has come; one that repeats is set again.
    fn take_due(&mut self, now: Instant) -> Option<u32> {
        let (&(at, id), _) = self.due.first_key_value().filter(|((at, _), _)| *at <= now)?;
        let again = self.due.remove(&(at, id)).flatten();
        self.at.remove(&id);
        if let Some(wait) = again {
            self.insert(id, wait, true);
        }
        Some(id)
    }
}

/// The functions of the scripts that are called from here.
struct Entries {
    house: Persistent<Object<'static>>,
    fire: Persistent<Function<'static>>,
}

/// The plugin's world.
pub(super) struct ScriptEngine {
    context: Context,
    entries: Entries,
    said: Said,
    timers: Rc<RefCell<Timers>>,
    memory_bytes: u64,
}

fn failed(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

impl ScriptEngine {
    /// Everything but the plugin's own code, of which nothing is run yet.
    pub(super) fn build(program: &Program, said: Said) -> io::Result<Self> {
        let runtime = Runtime::new().map_err(failed)?;
        runtime.set_memory_limit(usize::try_from(program.memory_bytes).unwrap_or(usize::MAX));
        runtime.set_max_stack_size(STACK_BYTES);
        let context = Context::full(&runtime).map_err(failed)?;
        let timers = Rc::new(RefCell::new(Timers::default()));
        let sources = Rc::new(Sources { files: program.files.clone(), node: RefCell::default() });
        let modules = PackageModules(sources.clone());
        runtime.set_loader(modules.clone(), modules);
        let unhandled = said.clone();
        runtime.set_host_promise_rejection_tracker(Some(Box::new(
            move |ctx, _, reason, handled| {
                if !handled {
                    tell_unhandled(&ctx, &unhandled, &reason);
                }
            },
        )));
        let entries = context.with(|ctx| {
            assemble(&ctx, program, &said, &timers, &sources).catch(&ctx).map_err(failed)
        })?;
        Ok(Self { context, entries, said, timers, memory_bytes: program.memory_bytes })
    }

    pub(super) const fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.borrow().first()
    }

    /// Works a frame off.
    pub(super) fn take(&self, frame: &Frame) -> io::Result<()> {
        let what = ToChild::try_from(frame.kind).map_err(|broken| failed(broken.0))?;
        self.enter(|house, _| {
            // Unlike `from_utf8`, this takes nothing twice.
            let body = std::str::from_utf8(&frame.body).unwrap_or("null");
            match what {
                ToChild::Program => Ok(()),
                ToChild::Call => house.get::<_, Function<'_>>("call")?.call((frame.id, body)),
                ToChild::Answer | ToChild::Refusal => {
                    let ok = what == ToChild::Answer;
                    house.get::<_, Function<'_>>("result")?.call((frame.id, ok, body))
                }
            }
        })?;
        self.rest()
    }

    /// Lets one timer after another ring whose time has come.
    pub(super) fn fire_due(&self) -> io::Result<()> {
        let moment = now();
        loop {
            let due = self.timers.borrow_mut().take_due(moment);
            let Some(id) = due else { return Ok(()) };
            self.said.busy()?;
            self.enter(|_, ctx| self.entries.fire.clone().restore(ctx)?.call((id,)))?;
            self.rest()?;
        }
    }

    /// The work is over: a call that nothing can settle any more has failed; what was said leaves.
    pub(super) fn rest(&self) -> io::Result<()> {
        let no_timer = self.next_timer().is_none();
        self.enter(|house, _| {
            let flag = |name: &str| house.get::<_, Function<'_>>(name)?.call::<_, bool>(());
            if no_timer && flag("isOpen")? && !flag("waits")? {
                house.get::<_, Function<'_>>("never")?.call::<_, ()>(())?;
            }
            house.get::<_, Function<'_>>("rest")?.call(())
        })?;
        self.said.idle()
    }

    /// Runs something inside, and every job that it caused.
    fn enter(
        &self,
        work: impl for<'js> FnOnce(&Object<'js>, &Ctx<'js>) -> rquickjs::Result<()>,
    ) -> io::Result<()> {
        self.context.with(|ctx| {
            let house = self.entries.house.clone().restore(&ctx).map_err(failed)?;
            if let Err(error) = work(&house, &ctx).catch(&ctx) {
                // The scripts of the house catch what a plugin throws; what comes out is memory that has run out.
                return Err(failed(format!("the plugin cannot go on: {error}")));
            }
            while ctx.execute_pending_job() {}
            Ok(())
        })
    }
}

fn tell_unhandled<'js>(ctx: &Ctx<'js>, said: &Said, reason: &Value<'js>) {
    let text = ctx
        .globals()
        .get::<_, Function<'js>>("String")
        .and_then(|string| string.call::<_, String>((reason.clone(),)))
        .unwrap_or_else(|_| "something that cannot be shown".into());
    let line = serde_json::json!({ "level": "warn", "message": format!("nobody handled a rejected promise: {text}") });
    let _ = said.post(crate::wire::FromChild::Log, 0, 0, line.to_string().as_bytes());
}

/// The scripts of the house, and what they call.
fn assemble<'js>(
    ctx: &Ctx<'js>,
    program: &Program,
    said: &Said,
    timers: &Rc<RefCell<Timers>>,
    sources: &Rc<Sources>,
) -> rquickjs::Result<Entries> {
    let native = natives::object(ctx, timers)?;
    let post = said.clone();
    native.set(
        "post",
        Function::new(
            ctx.clone(),
            move |ctx: Ctx<'_>, name: String, id: u32, call: u32, body: String| {
                let posted = match kind(&name) {
                    Some(kind) => post.post(kind, id, call, body.as_bytes()),
                    None => Err(format!("no frame is called {name}")),
                };
                posted.map_err(|why| rquickjs::Exception::throw_range(&ctx, &why))
            },
        )?,
    )?;
    let compile = |source: &str, name: &str| -> rquickjs::Result<Function<'js>> {
        let mut options = EvalOptions::default();
        options.filename = Some(name.into());
        ctx.eval_with_options(source, options)
    };
    let about = Object::new(ctx.clone())?;
    about.set("id", program.id.as_str())?;
    about.set("main", program.main.as_str())?;
    let house: Object<'_> =
        compile(include_str!("js/house.js"), "waypost:house")?.call((native.clone(), about))?;
    let files = Object::new(ctx.clone())?;
    for (path, source) in &program.files {
        files.set(path.as_str(), source.as_str())?;
    }
    let map: Object<'_> =
        compile("(files) => new Map(Object.entries(files))", "waypost:files")?.call((files,))?;
    let node: Object<'_> = compile(include_str!("js/node.js"), "waypost:node")?.call((
        native.clone(),
        house.clone(),
        map.clone(),
    ))?;
    *sources.node.borrow_mut() = Some(Persistent::save(ctx, node.clone()));
    let run: Function<'_> = node.get("run")?;
    let run = Persistent::save(ctx, run);
    let main_sources = sources.clone();
    native.set(
        "main",
        Function::new(ctx.clone(), move |ctx, path: String| {
            main_module(ctx, &path, &main_sources, &run)
        })?,
    )?;
    Ok(Entries {
        house: Persistent::save(ctx, house),
        fire: Persistent::save(ctx, node.get::<_, Function<'_>>("fire")?),
    })
}

/// The exports of the main file: of an ES module by a promise.
fn main_module<'js>(
    ctx: Ctx<'js>,
    path: &str,
    sources: &Sources,
    run: &Persistent<Function<'static>>,
) -> rquickjs::Result<Value<'js>> {
    let path = path.trim_start_matches("./");
    if !is_es_module(&sources.files, path) {
        return run.clone().restore(&ctx)?.call((path,));
    }
    let imported: Promise<'js> = Module::import(&ctx, path)?;
    Ok(imported.into_value())
}

/// Node's rule: the ending, else the `type` of `package.json`; else what the file says itself.
fn is_es_module(files: &BTreeMap<String, String>, path: &str) -> bool {
    let ending = path.rsplit_once('.').map(|(_, ending)| ending);
    match ending {
        Some("mjs" | "mts") => return true,
        Some("cjs" | "cts" | "json") => return false,
        _ => {}
    }
    let mut folder = path;
    while let Some((parent, _)) =
        folder.rsplit_once('/').or((!folder.is_empty()).then_some(("", "")))
    {
        let manifest = if parent.is_empty() {
            "package.json".into()
        } else {
            format!("{parent}/package.json")
        };
        if let Some(text) = files.get(&manifest)
            && let Ok(found) = serde_json::from_str::<serde_json::Value>(text)
            && let Some(kind) = found["type"].as_str()
        {
            return kind == "module";
        }
        folder = parent;
    }
    files.get(path).is_some_and(|source| {
        source.lines().any(|line| {
            line.starts_with("export ")
                || line.starts_with("export{")
                || line.starts_with("import ")
        })
    })
}

/// The package, for the loader of modules.
struct Sources {
    files: BTreeMap<String, String>,
    node: RefCell<Option<Persistent<Object<'static>>>>,
}

impl Sources {
    fn node<'js>(&self, ctx: &Ctx<'js>) -> rquickjs::Result<Object<'js>> {
        self.node.borrow().clone().ok_or(rquickjs::Error::Unknown)?.restore(ctx)
    }
}

/// Modules are the files of the package, and the built-in ones.
#[derive(Clone)]
struct PackageModules(Rc<Sources>);

impl Resolver for PackageModules {
    fn resolve<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        base: &str,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<String> {
        let (sources, node) = (&self.0, self.0.node(ctx)?);
        if name.starts_with('.') || name.starts_with('/') || sources.files.contains_key(name) {
            let from = if sources.files.contains_key(name) { "" } else { base };
            let found: Option<String> =
                node.get::<_, Function<'_>>("resolve")?.call((from, name))?;
            return found.ok_or_else(|| rquickjs::Error::new_resolving(base, name));
        }
        // It throws a text that says what there is.
        node.get::<_, Function<'_>>("builtin")?.call::<_, Value<'_>>((name,))?;
        Ok(format!("node:{}", name.trim_start_matches("node:")))
    }
}

impl Loader for PackageModules {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<Module<'js, Declared>> {
        if let Some(source) = self.0.files.get(name) {
            let source = match name.ends_with(".json") {
                true => format!("export default {source}"),
                false => source.clone(),
            };
            return Module::declare(ctx.clone(), name, source);
        }
        let node = self.0.node(ctx)?;
        let names: Vec<String> = node.get::<_, Function<'_>>("names")?.call((name,))?;
        ctx.globals().set("__builtin", node.get::<_, Function<'_>>("builtin")?)?;
        let exports = names.iter().map(|name| format!("export const {name} = it.{name};"));
        let source = format!(
            "const it = __builtin({name:?}); export default it; {}",
            exports.collect::<String>()
        );
        Module::declare(ctx.clone(), name, source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_told_by_its_ending_its_package_or_itself() {
        let files = |list: &[(&str, &str)]| {
            list.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
        };
        let plain: BTreeMap<_, _> =
            files(&[("a.js", "module.exports = 1"), ("b.js", "export default 1")]);
        assert!(!is_es_module(&plain, "a.js") && is_es_module(&plain, "b.js"));
        let typed = files(&[("dist/a.js", ""), ("package.json", r#"{"type":"module"}"#)]);
        assert!(is_es_module(&typed, "dist/a.js"));
        let inner = files(&[
            ("dist/a.js", "export default 1"),
            ("dist/package.json", r#"{"type":"commonjs"}"#),
            ("package.json", r#"{"type":"module"}"#),
        ]);
        assert!(!is_es_module(&inner, "dist/a.js"));
        assert!(is_es_module(&inner, "x.mjs") && !is_es_module(&inner, "x.cjs"));
    }
}
