//! The way into a child, and its pipes.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use domain::{
    port::{
        CallError, PluginBackstage, PluginCall, PluginConfigs, PluginProcess, PluginProgram,
        StartedPlugin,
    },
    time::BoxFuture,
};
use serde_json::{Value, json};
use tokio::{
    process::Child,
    sync::{mpsc, oneshot},
};

use super::driver::Driver;

/// Calls that may wait for a child; when full, the next is refused.
const CALLS_MAX: usize = 1024;

/// A call on its way to the driver.
pub(super) struct NewCall {
    pub(super) number: u32,
    pub(super) body: Vec<u8>,
    pub(super) limit: Duration,
    pub(super) reply: oneshot::Sender<Result<Value, CallError>>,
}

/// The process of one plugin, from outside.
struct Process {
    calls: mpsc::Sender<NewCall>,
    pid: Option<u32>,
    ended: Arc<AtomicBool>,
    kill: Mutex<Option<oneshot::Sender<()>>>,
}

/// Takes a child's pipes; the driver does everything else.
pub(super) fn start(
    mut child: Child,
    program: PluginProgram,
    backstage: Arc<dyn PluginBackstage>,
) -> io::Result<StartedPlugin> {
    let pipes = child.stdin.take().zip(child.stdout.take());
    let (stdin, stdout) = pipes.ok_or_else(|| io::Error::other("the child has no pipes"))?;
    let (calls, coming) = mpsc::channel(CALLS_MAX);
    let (kill, killed) = oneshot::channel();
    let pid = child.id();
    let ended = Arc::new(AtomicBool::new(false));
    let ending = ended.clone();
    let driver = Driver::new(program, backstage, pid);
    let driver = async move {
        let why = driver.run(stdin, stdout, coming, killed).await;
        ending.store(true, Ordering::Release);
        let _ = child.start_kill();
        let status = child.wait().await;
        match status.ok().and_then(|status| crash(&status)) {
            Some(signal) if why.is_empty() => signal,
            _ if why.is_empty() => "it ended".into(),
            _ => why,
        }
    };
    let process = Process { calls, pid, ended, kill: Mutex::new(Some(kill)) };
    Ok(StartedPlugin { process: Arc::new(process), driver: Box::pin(driver) })
}

/// What a status says, if it was no orderly end.
fn crash(status: &std::process::ExitStatus) -> Option<String> {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt as _;
        if let Some(signal) = status.signal() {
            return Some(format!("it was ended by signal {signal}"));
        }
    }
    status.code().filter(|code| *code != 0).map(|code| format!("it ended with code {code}"))
}

impl PluginProcess for Process {
    fn call(
        &self,
        number: u32,
        call: PluginCall,
        limit: Duration,
    ) -> BoxFuture<Result<Value, CallError>> {
        let (reply, answer) = oneshot::channel();
        let new = NewCall { number, body: body(&call), limit, reply };
        let sent = self.calls.try_send(new);
        Box::pin(async move {
            match sent {
                Ok(()) => answer.await.unwrap_or(Err(CallError::NotBegun)),
                Err(mpsc::error::TrySendError::Full(_)) => Err(CallError::Busy),
                Err(mpsc::error::TrySendError::Closed(_)) => Err(CallError::NotBegun),
            }
        })
    }

    fn pid(&self) -> Option<u32> {
        self.pid.filter(|_| !self.ended.load(Ordering::Acquire))
    }

    fn kill(&self) {
        drop(self.kill.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// What the child's scripts read.
fn body(call: &PluginCall) -> Vec<u8> {
    let configs = |configs: &PluginConfigs| {
        let sessions: serde_json::Map<_, _> = configs
            .sessions
            .iter()
            .map(|(session, config)| (session.to_string(), Value::Object(config.clone())))
            .collect();
        json!({ "base": configs.base, "sessions": sessions })
    };
    let value = match call {
        PluginCall::Load(given) => json!({ "kind": "load", "configs": configs(given) }),
        PluginCall::Enable => json!({ "kind": "enable" }),
        PluginCall::Disable => json!({ "kind": "disable" }),
        PluginCall::Unload => json!({ "kind": "unload" }),
        PluginCall::Configure(given) => json!({ "kind": "configure", "configs": configs(given) }),
        PluginCall::Health => json!({ "kind": "health" }),
        PluginCall::Hook { handler, session, context } => return hook(*handler, session, context),
        PluginCall::Ingress { route, session, request } => {
            json!({ "kind": "ingress", "route": route, "session": session, "request": request })
        }
    };
    value.to_string().into_bytes()
}

/// A hook's call, without a copy of what it is about.
fn hook(handler: u32, session: &Option<domain::SessionId>, context: &Value) -> Vec<u8> {
    #[derive(serde::Serialize)]
    struct Hook<'a> {
        kind: &'static str,
        handler: u32,
        session: &'a Option<domain::SessionId>,
        context: &'a Value,
    }
    serde_json::to_vec(&Hook { kind: "hook", handler, session, context }).unwrap_or_default()
}
