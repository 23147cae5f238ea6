//! The process of one plugin.
//!
//! It reads frames, runs what they ask for to the end (with every job that it caused), writes what came of it, and
//! waits for the next frame or timer. One thread, one piece of work at a time.

mod engine;
mod lockdown;
mod natives;
mod program;
mod said;

use std::{io, process::ExitCode, time::Duration};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock::now;
use crate::wire::{Frame, Frames, FromChild, ToChild};
use engine::ScriptEngine;
pub(crate) use program::Program;
use said::Said;

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// Everything that the process of a plugin does. Returns when its parent has closed the pipe.
pub fn run() -> ExitCode {
    let said = Said::default();
    let panicked = said.collected();
    std::panic::set_hook(Box::new(move |info| {
        panicked.die(&format!("the runtime failed: {info}"));
    }));
    match work(&said) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            said.collected().die(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn work(said: &Said) -> io::Result<()> {
    lockdown::begin()?;
    let mut frames = Frames::default();
    let Some(first) = next(&mut frames, None)? else { return Ok(()) };
    let program: Program = match ToChild::try_from(first.kind) {
        Ok(ToChild::Program) => serde_json::from_slice(&first.body)?,
        _ => return Err(io::Error::other("the program is wanted first")),
    };
    // The process ends with it: nothing of it is taken down one by one.
    let engine = std::mem::ManuallyDrop::new(ScriptEngine::build(&program, said.clone())?);
    drop(program);
    lockdown::finish(engine.memory_bytes())?;
    engine.rest()?;
    loop {
        let wait = engine.next_timer().map(|at| at.saturating_duration_since(now()));
        if wait != Some(Duration::ZERO) {
            match next(&mut frames, wait)? {
                Some(frame) => engine.take(&frame)?,
                None if wait.is_none() => return Ok(()),
                None => {}
            }
        }
        engine.fire_due()?;
    }
}

/// The next frame; `None` when the time is over, and without a time when the pipe is closed.
fn next(frames: &mut Frames, wait: Option<Duration>) -> io::Result<Option<Frame>> {
    let stdin = rustix::stdio::stdin();
    let mut buffer = [0; READ_BYTES];
    loop {
        if let Some(frame) = frames.take_next().map_err(|broken| io::Error::other(broken.0))? {
            return Ok(Some(frame));
        }
        if let Some(wait) = wait {
            let limit = Timespec {
                tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(wait.subsec_nanos()),
            };
            let mut waiting = [PollFd::new(&stdin, PollFlags::IN)];
            match poll(&mut waiting, Some(&limit)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
        }
        match rustix::io::read(stdin, &mut buffer) {
            Ok(0) => std::process::exit(0),
            Ok(read) => frames.feed(&buffer[..read]),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The name of a kind in the scripts.
fn kind(name: &str) -> Option<FromChild> {
    Some(match name {
        "answer" => FromChild::Answer,
        "threw" => FromChild::Threw,
        "ask" => FromChild::Ask,
        "log" => FromChild::Log,
        "hook" => FromChild::Hook,
        "route" => FromChild::Route,
        _ => return None,
    })
}
