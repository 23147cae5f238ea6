//! `[live]` and `[mcp]`: readers of live events, and agents.

use std::time::Duration;

use api::{FramePace, McpOptions, SocketOptions, Window};
use serde::Deserialize;

use super::{ConfigError, Settings, settings::range};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveSettings {
    pub clients_max: usize,
    pub clients_per_key: usize,
    pub clients_per_address: usize,
    frames_per_second: u32,
    frames_burst: u32,
    handshakes_max: u32,
    handshakes_window_ms: u64,
    stall_limit_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McpSettings {
    enabled: bool,
    read_only: bool,
    rate_limit_max: u32,
    rate_limit_window_ms: u64,
    ip_rate_limit_max: u32,
    ip_rate_limit_window_ms: u64,
    max_result_bytes: usize,
}

fn window(millis: u64, limit: u32) -> Window {
    Window { length: Duration::from_millis(millis), limit }
}

impl Settings {
    /// What sockets may cost.
    pub fn sockets(&self) -> SocketOptions {
        let live = &self.live;
        SocketOptions {
            handshakes: window(live.handshakes_window_ms, live.handshakes_max),
            frames: FramePace { per_second: live.frames_per_second, burst: live.frames_burst },
            stall_limit: Duration::from_millis(live.stall_limit_ms),
        }
    }

    /// Whether agents are served, and how.
    pub fn agents(&self) -> McpOptions {
        let mcp = &self.mcp;
        McpOptions {
            enabled: mcp.enabled,
            read_only: mcp.read_only,
            per_key: window(mcp.rate_limit_window_ms, mcp.rate_limit_max),
            per_address: window(mcp.ip_rate_limit_window_ms, mcp.ip_rate_limit_max),
            result_bytes_max: mcp.max_result_bytes,
        }
    }

    pub(super) fn check_live(&self) -> Result<(), ConfigError> {
        const DAY: u64 = 86_400_000;
        let (live, mcp) = (&self.live, &self.mcp);
        range("live.clients_max", live.clients_max as u64, 0, 10_000)?;
        range("live.clients_per_key", live.clients_per_key as u64, 1, 10_000)?;
        range("live.clients_per_address", live.clients_per_address as u64, 1, 10_000)?;
        range("live.handshakes_window_ms", live.handshakes_window_ms, 1, DAY)?;
        range("live.stall_limit_ms", live.stall_limit_ms, 100, 600_000)?;
        range("mcp.rate_limit_window_ms", mcp.rate_limit_window_ms, 1, DAY)?;
        range("mcp.ip_rate_limit_window_ms", mcp.ip_rate_limit_window_ms, 1, DAY)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::with;

    #[test]
    fn openwas_variables_set_the_limits_of_sockets_and_agents() {
        let usual = with(&[]).unwrap();
        let (sockets, agents) = (usual.sockets(), usual.agents());
        assert_eq!((sockets.frames.per_second, sockets.frames.burst), (60, 120));
        assert_eq!((sockets.handshakes.limit, sockets.handshakes.length.as_secs()), (10, 60));
        assert!(!agents.enabled && agents.read_only);
        assert_eq!((agents.per_key.limit, agents.per_address.limit), (60, 120));
        assert_eq!(agents.result_bytes_max, 100_000);
        let own = with(&[
            ("WS_RATE_LIMIT_FRAME_PER_SECOND", "1"),
            ("WS_RATE_LIMIT_FRAME_BURST", "2"),
            ("WS_RATE_LIMIT_HANDSHAKE_MAX", "3"),
            ("WS_RATE_LIMIT_HANDSHAKE_WINDOW_MS", "4000"),
            ("MCP_ENABLED", "true"),
            ("MCP_READONLY", "false"),
            ("MCP_RATE_LIMIT_MAX", "5"),
            ("MCP_IP_RATE_LIMIT_MAX", "6"),
            ("MCP_MAX_RESULT_BYTES", "0"),
        ])
        .unwrap();
        let (sockets, agents) = (own.sockets(), own.agents());
        assert_eq!((sockets.frames.per_second, sockets.frames.burst), (1, 2));
        assert_eq!((sockets.handshakes.limit, sockets.handshakes.length.as_secs()), (3, 4));
        assert!(agents.enabled && !agents.read_only);
        assert_eq!((agents.per_key.limit, agents.per_address.limit), (5, 6));
        assert_eq!(agents.result_bytes_max, 0);
    }
}
