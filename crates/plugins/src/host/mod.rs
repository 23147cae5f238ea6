//! The parent's side: starts processes, and moves calls and answers.

mod driver;
mod process;
mod spent;
mod turns;

use std::{ffi::OsString, io, path::PathBuf, process::Stdio, sync::Arc};

use domain::port::{
    Package, PackageError, PluginBackstage, PluginEngine, PluginProgram, StartedPlugin,
};
use tokio::process::Command;

use crate::package;

/// Starts a process per plugin: a program that does nothing but [`child::run`](crate::child::run).
#[derive(Debug, Clone)]
pub struct Engine {
    command: PathBuf,
    arguments: Vec<OsString>,
}

impl Engine {
    /// With the child that is built beside the test that calls this.
    pub fn of_this_build() -> Self {
        let here = std::env::current_exe().unwrap_or_default();
        let folder = here.parent().and_then(std::path::Path::parent).map(PathBuf::from);
        Self::new(folder.unwrap_or_default().join("plugin-child"), vec![])
    }

    /// With the program that is to be the child, and its arguments.
    pub fn new(command: PathBuf, arguments: Vec<OsString>) -> Self {
        Self { command, arguments }
    }
}

impl PluginEngine for Engine {
    fn unpack(&self, bytes: &[u8]) -> Result<Package, PackageError> {
        package::unpack(bytes)
    }

    fn start(
        &self,
        program: PluginProgram,
        backstage: Arc<dyn PluginBackstage>,
    ) -> io::Result<StartedPlugin> {
        let child = Command::new(&self.command)
            .args(&self.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        process::start(child, program, backstage)
    }
}
