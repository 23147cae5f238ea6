//! A Redis server of the test's own, which it may stop and make forget.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use crate::support::free_port;

/// It keeps its port while it is stopped.
pub struct RedisServer {
    pub port: String,
    process: Option<Child>,
    folder: TempDir,
}

impl RedisServer {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self { port: free_port(), process: None, folder };
        server.run();
        server
    }

    /// Starts it, empty, and waits until it answers.
    pub fn run(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port, "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "no", "--dir"]).arg(self.folder.path());
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.process = Some(process.expect("redis-server is needed"));
        for _ in 0..400 {
            if self.call("PING").is_some_and(|answer| answer.starts_with("+PONG")) {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("redis-server did not start");
    }

    /// Kills it; it forgets everything.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// It forgets everything and goes on.
    pub fn flush_all(&self) {
        let answer = self.call("FLUSHALL");
        assert!(answer.as_ref().is_some_and(|answer| answer.starts_with("+OK")), "{answer:?}");
    }

    /// The first of what it answers; `None` when it does not.
    fn call(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{}", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut answer = [0; 64];
        let length = stream.read(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer[..length]).into_owned())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}
