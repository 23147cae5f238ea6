//! A server that ends with this process, however this process ends: return, panic, Ctrl-C, `kill -9`.
//!
//! A shell stands between: it starts the server and reads from a pipe whose other end only we hold. When that end
//! closes, which the kernel sees to, the shell stops the server and deletes its folder; the last one deletes the folder
//! of all. Shell and server are a process group of their own, so that Ctrl-C in a terminal reaches them only through
//! the pipe.

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;

/// `$1` is the folder that is deleted at the end, `$1.log` takes the output; the rest is the server's command line.
/// SIGINT is PostgreSQL's fast shutdown; what ignores it, as programs in a shell's background do, gets SIGTERM; what
/// still runs after ten seconds is killed.
const SCRIPT: &str = r#"
folder=$1; shift
exec 3<&0
"$@" </dev/null 3<&- >"$folder.log" 2>&1 &
server=$!
(
  read -r _ <&3
  : >"$folder.stop"
  kill -INT $server
  kill -TERM $server
  left=100
  while [ $left -gt 0 ] && kill -0 $server; do left=$((left - 1)); sleep 0.1; done
  kill -KILL $server
) &
reader=$!
wait $server
kill $reader
if [ -e "$folder.stop" ]; then
  rm -rf "$folder" "$folder.log" "$folder.stop"
  base=${folder%/*}
  ls "$base"/*.log || rm -rf "$base"
fi
"#;

/// A running server; dropping it stops it.
pub struct Guarded {
    name: &'static str,
    log: PathBuf,
    shell: Child,
}

impl Guarded {
    /// Runs `command` with its program, arguments and working directory; `name` is also its folder inside `base`.
    pub fn start(name: &'static str, base: &Path, command: &Command) -> anyhow::Result<Self> {
        let folder = base.join(name);
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(SCRIPT).arg("sh").arg(&folder);
        shell.arg(command.get_program()).args(command.get_args());
        shell.current_dir(command.get_current_dir().unwrap_or(base));
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        shell.process_group(0);
        let shell = shell.spawn().with_context(|| format!("cannot run a shell for {name}"))?;
        Ok(Self { name, log: folder.with_extension("log"), shell })
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.shell.try_wait()?.is_some())
    }

    /// The end of what it wrote.
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join(" | ")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // The shell has its own limit for the server's end.
        let _ = self.shell.wait();
    }
}
