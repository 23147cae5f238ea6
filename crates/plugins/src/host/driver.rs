//! The task of one child: it writes what the child is to work on, reads what it says, and kills it when it runs too
//! long.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::{
    hook::{HookPoint, OnFailure},
    port::{CallError, NewHandler, PluginBackstage, PluginLogLine, PluginProgram},
    time::BoxFuture,
};
use futures::{StreamExt as _, stream::FuturesUnordered};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{ChildStdin, ChildStdout},
    sync::{mpsc, oneshot},
};

use super::{
    process::NewCall,
    spent::processor_time,
    turns::{Turns, Work, is_over_budget},
};
use crate::{
    child::Program,
    clock::now,
    wire::{self, Frame, Frames, FromChild, ToChild},
};

/// What a plugin may have asked for without an answer; one more ends its process, because its own side counts too.
const ASKS_MAX: usize = 32;
/// Handlers and routes that it may register.
const REGISTRATIONS_MAX: usize = 256;
/// How long it may take to start.
const START_LIMIT: Duration = Duration::from_secs(5);
/// Between two looks at a child that works longer than its budget by the clock.
const LOOK: Duration = Duration::from_millis(10);
const READ_BYTES: usize = 64 << 10;

/// Who waits for a call, and how long it may last.
struct Reply {
    sender: oneshot::Sender<Result<Value, CallError>>,
    limit: Duration,
}

impl Reply {
    fn send(self, result: Result<Value, CallError>) {
        // Who does not wait any more does not want to know.
        let _ = self.sender.send(result);
    }
}

/// The answer to an ask: its number, and what it is.
type AskAnswer = (u32, Result<Value, String>);

pub(super) struct Driver {
    program: PluginProgram,
    backstage: Arc<dyn PluginBackstage>,
    pid: Option<u32>,
    turns: Turns<Vec<u8>, AskAnswer, Reply>,
    asks: FuturesUnordered<BoxFuture<AskAnswer>>,
    registrations: usize,
    /// The child's processor time when it was idle last.
    used: Option<Duration>,
    started: bool,
}

#[derive(Deserialize)]
struct Ask {
    capability: String,
    args: Vec<Value>,
}

#[derive(Deserialize)]
struct Hook {
    event: String,
    priority: i64,
    #[serde(rename = "onFailure")]
    on_failure: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    level: String,
    message: String,
    about: Option<String>,
}

/// Why the driver's work is over; empty: the child closed its pipe.
struct Over {
    why: String,
    /// The budget, if that was it.
    budget: Option<Duration>,
}

impl Over {
    fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), budget: None }
    }
}

impl Driver {
    pub(super) fn new(
        program: PluginProgram,
        backstage: Arc<dyn PluginBackstage>,
        pid: Option<u32>,
    ) -> Self {
        Self {
            program,
            backstage,
            pid,
            turns: Turns::starting(now()),
            asks: FuturesUnordered::new(),
            registrations: 0,
            used: None,
            started: false,
        }
    }

    /// Until the child ends, or has to. Everybody who waited for it is told. Why it ended; empty: of itself.
    pub(super) async fn run(
        mut self,
        stdin: ChildStdin,
        stdout: ChildStdout,
        calls: mpsc::Receiver<NewCall>,
        killed: oneshot::Receiver<()>,
    ) -> String {
        let over = self.work(stdin, stdout, calls, killed).await;
        let ended = self.turns.ended();
        let crashed = || {
            let why = if over.why.is_empty() { "it ended" } else { &over.why };
            CallError::Crashed(why.to_owned())
        };
        if let Some(running) = ended.running {
            running.send(Err(over.budget.map_or_else(crashed, CallError::OverBudget)));
        }
        for parked in ended.parked {
            parked.send(Err(crashed()));
        }
        for unbegun in ended.unbegun {
            unbegun.send(Err(CallError::NotBegun));
        }
        over.why
    }

    async fn work(
        &mut self,
        mut stdin: ChildStdin,
        mut stdout: ChildStdout,
        mut calls: mpsc::Receiver<NewCall>,
        mut killed: oneshot::Receiver<()>,
    ) -> Over {
        let mut frames = Frames::default();
        let mut buffer = vec![0; READ_BYTES];
        let mut out = Outgoing::default();
        out.push(ToChild::Program, 0, &self.program());
        loop {
            if out.is_empty() {
                self.write_next(&mut out);
            }
            let look = self.next_look();
            tokio::select! {
                biased;
                _ = &mut killed => return Over::because("it was stopped"),
                read = stdout.read(&mut buffer) => match read {
                    Ok(0) => return Over::because(""),
                    Ok(read) => {
                        frames.feed(&buffer[..read]);
                        if let Err(over) = self.take_all(&mut frames) {
                            return over;
                        }
                    }
                    Err(error) => return Over::because(error.to_string()),
                },
                written = stdin.write(out.front()), if !out.is_empty() => match written {
                    Ok(written) => out.written(written),
                    Err(_) => return Over::because(""),
                },
                Some(answer) = self.asks.next(), if !self.asks.is_empty() => self.turns.add_answer(answer),
                call = calls.recv(), if self.turns.waiting() < ASKS_MAX => match call {
                    Some(call) => {
                        let ends = now() + call.limit;
                        let reply = Reply { sender: call.reply, limit: call.limit };
                        self.turns.add_call(call.number, call.body, reply, ends);
                    }
                    None => return Over::because("it was stopped"),
                },
                () = tokio::time::sleep_until(look.into()) => {
                    if let Some(over) = self.look() {
                        return over;
                    }
                }
            }
        }
    }

    fn program(&self) -> Vec<u8> {
        let program = Program {
            id: self.program.id.to_string(),
            main: self.program.main.clone(),
            files: (*self.program.files).clone(),
            memory_bytes: self.program.memory_bytes,
        };
        serde_json::to_vec(&program).unwrap_or_default()
    }

    /// What the child is to work on, if it is idle.
    fn write_next(&mut self, out: &mut Outgoing) {
        match self.turns.next(now()) {
            Some(Work::Call(number, body)) => out.push(ToChild::Call, number, &body),
            Some(Work::Answer((id, Ok(value)))) => {
                out.push(ToChild::Answer, id, &serde_json::to_vec(&value).unwrap_or_default());
            }
            Some(Work::Answer((id, Err(why)))) => {
                out.push(ToChild::Refusal, id, &serde_json::to_vec(&why).unwrap_or_default());
            }
            None => {}
        }
    }

    /// When the child may have run, or a call may have lasted, too long.
    fn next_look(&self) -> Instant {
        let moment = now();
        let over = self.turns.running_since().map(|since| {
            let limit = if self.started { self.program.budget } else { START_LIMIT };
            (since + limit).max(moment + LOOK)
        });
        let far = moment + Duration::from_secs(3600);
        over.into_iter().chain(self.turns.next_end()).min().unwrap_or(far)
    }

    fn look(&mut self) -> Option<Over> {
        let moment = now();
        for reply in self.turns.too_long(moment) {
            let limit = reply.limit;
            reply.send(Err(CallError::TooLong(limit)));
        }
        let ran = moment.saturating_duration_since(self.turns.running_since()?);
        if !self.started {
            return (ran >= START_LIMIT).then(|| Over::because("it did not start"));
        }
        let used = self.pid.and_then(processor_time).zip(self.used);
        let used = used.map(|(now, before)| now.saturating_sub(before));
        let budget = self.program.budget;
        is_over_budget(budget, ran, used).then(|| Over {
            why: format!("it ran longer than its {} ms", budget.as_millis()),
            budget: Some(budget),
        })
    }

    fn take_all(&mut self, frames: &mut Frames) -> Result<(), Over> {
        let broken = |broken: wire::Broken| Over::because(format!("it sent {}", broken.0));
        while let Some(frame) = frames.take_next().map_err(broken)? {
            let kind = FromChild::try_from(frame.kind).map_err(broken)?;
            self.take(kind, &frame)?;
        }
        Ok(())
    }

    fn take(&mut self, kind: FromChild, frame: &Frame) -> Result<(), Over> {
        let nonsense = |_| Over::because("it sent a frame that makes no sense");
        let moment = now();
        match kind {
            FromChild::Idle => {
                let nanos = <[u8; 8]>::try_from(frame.body.as_slice()).map_err(|_| nonsense(()))?;
                self.used = Some(Duration::from_nanos(u64::from_le_bytes(nanos)));
                self.started = true;
                self.turns.idle(moment);
            }
            FromChild::Busy => self.turns.busy(moment),
            FromChild::Answer => {
                if let Some(reply) = self.turns.answered(frame.id) {
                    let value = serde_json::from_slice(&frame.body);
                    reply.send(value.map_err(|_| CallError::Threw("its answer is no JSON".into())));
                }
            }
            FromChild::Threw => {
                let why: String = serde_json::from_slice(&frame.body).map_err(|_| nonsense(()))?;
                if let Some(reply) = self.turns.answered(frame.id) {
                    reply.send(Err(CallError::Threw(why)));
                }
            }
            FromChild::Ask => self.ask(frame)?,
            FromChild::Log => {
                let line: Line = serde_json::from_slice(&frame.body).map_err(|_| nonsense(()))?;
                let Line { level, message, about } = line;
                self.backstage.log(PluginLogLine { level, message, about });
            }
            FromChild::Hook => self.hook(frame)?,
            FromChild::Route => {
                let route = serde_json::from_slice(&frame.body).map_err(|_| nonsense(()))?;
                self.count()?;
                self.backstage.register_route(route).map_err(Over::because)?;
            }
            FromChild::Dead => {
                let why: String = serde_json::from_slice(&frame.body).unwrap_or_default();
                return Err(Over::because(why));
            }
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), Over> {
        self.registrations += 1;
        match self.registrations > REGISTRATIONS_MAX {
            true => {
                Err(Over::because(format!("it registered more than {REGISTRATIONS_MAX} handlers")))
            }
            false => Ok(()),
        }
    }

    fn ask(&mut self, frame: &Frame) -> Result<(), Over> {
        let Ok(Ask { capability, args }) = serde_json::from_slice(&frame.body) else {
            return Err(Over::because("it asked for something that makes no sense"));
        };
        if self.asks.len() >= 2 * ASKS_MAX {
            return Err(Over::because("it asked for too much at once"));
        }
        let (id, call, backstage) = (frame.id, frame.call, self.backstage.clone());
        self.asks.push(Box::pin(async move { (id, backstage.ask(call, capability, args).await) }));
        Ok(())
    }

    fn hook(&mut self, frame: &Frame) -> Result<(), Over> {
        let hook: Hook = serde_json::from_slice(&frame.body)
            .map_err(|_| Over::because("it registered a handler that makes no sense"))?;
        self.count()?;
        let point = HookPoint::parse(&hook.event).ok_or_else(|| {
            Over::because(format!("registerHook: there is no hook {}", hook.event))
        })?;
        let on_failure = match hook.on_failure.as_deref() {
            None => None,
            Some(word) => Some(OnFailure::parse(word).ok_or_else(|| {
                Over::because(format!("registerHook: onFailure is open or closed, not {word}"))
            })?),
        };
        let priority = i32::try_from(hook.priority).unwrap_or(if hook.priority < 0 {
            i32::MIN
        } else {
            i32::MAX
        });
        let new = NewHandler { handler: frame.id, point, priority, on_failure };
        self.backstage.register(new).map_err(Over::because)
    }
}

/// Bytes that wait to be written. There is one frame at a time, because the child works on one thing at a time.
#[derive(Default)]
struct Outgoing {
    frames: VecDeque<(Vec<u8>, usize)>,
}

impl Outgoing {
    fn push(&mut self, kind: ToChild, id: u32, body: &[u8]) {
        let mut bytes = Vec::with_capacity(body.len() + 16);
        wire::push(&mut bytes, kind as u8, id, 0, body);
        self.frames.push_back((bytes, 0));
    }

    fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    fn front(&self) -> &[u8] {
        self.frames.front().map_or(&[], |(bytes, at)| &bytes[*at..])
    }

    fn written(&mut self, count: usize) {
        if let Some((bytes, at)) = self.frames.front_mut() {
            *at += count;
            if *at >= bytes.len() {
                self.frames.pop_front();
            }
        }
    }
}
