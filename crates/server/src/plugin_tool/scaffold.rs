//! `waypost plugin new`: a plugin that works, to change.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, ensure};
use domain::plugin::PluginId;
use serde_json::json;

use crate::cli::NewPlugin;

/// The types of what a plugin is handed, for editors.
const TYPES: &str = include_str!("../../../../docs/waypost-plugin.d.ts");

const JAVASCRIPT: &str = r"// @ts-check

module.exports = class {
  /** @param {import('./waypost-plugin').PluginContext} ctx */
  async onEnable(ctx) {
    // Before a message is sent: change `hook.data.input`, or stop it with `continue: false`.
    ctx.registerHook('message:sending', (hook) => {
      if (hook.data.type === 'text') hook.data.input.text += `\n${ctx.config.signature}`;
      return { continue: true, data: hook.data };
    });
  }
};
";

const TYPESCRIPT: &str = r"import type { PluginContext } from './waypost-plugin';

export default class {
  async onEnable(ctx: PluginContext) {
    // Before a message is sent: change `hook.data.input`, or stop it with `continue: false`.
    ctx.registerHook('message:sending', (hook) => {
      if (hook.data.type === 'text') hook.data.input.text += `\n${ctx.config.signature}`;
      return { continue: true, data: hook.data };
    });
  }
}
";

/// Writes the folder; its path.
pub fn write(options: &NewPlugin) -> anyhow::Result<PathBuf> {
    let id: PluginId = options.id.parse()?;
    let folder = options.dir.clone().unwrap_or_else(|| PathBuf::from(id.as_str()));
    let is_free =
        !folder.exists() || fs::read_dir(&folder).is_ok_and(|mut all| all.next().is_none());
    ensure!(is_free, "{} exists and is not an empty folder", folder.display());
    let (main, script) = match options.typescript {
        true => ("index.ts", TYPESCRIPT),
        false => ("index.js", JAVASCRIPT),
    };
    let manifest = json!({
        "id": id.as_str(), "name": id.as_str(), "version": "0.1.0", "type": "extension", "main": main,
        "description": "Puts a signature under outgoing texts.",
        "permissions": [], "sessions": ["*"],
        "configSchema": {
            "type": "object",
            "properties": {
                "signature": { "type": "string", "default": "-- Corner Bakery", "title": "What stands under each text" },
            },
        },
    });
    let failed = || format!("cannot write into {}", folder.display());
    fs::create_dir_all(&folder).with_context(failed)?;
    let manifest = format!("{}\n", serde_json::to_string_pretty(&manifest)?);
    for (name, text) in
        [("manifest.json", &*manifest), (main, script), ("waypost-plugin.d.ts", TYPES)]
    {
        fs::write(folder.join(name), text).with_context(failed)?;
    }
    Ok(folder)
}
