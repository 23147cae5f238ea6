//! A TCP proxy that does to connections what networks do.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
};

/// What becomes of what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProxyMode {
    /// It passes, so much later.
    Open(Duration),
    /// Nothing passes and nobody is notified, as when a host or the way to it is gone. Connections stay, for good.
    Silent,
    /// Connections are reset, new ones too.
    Reset,
}

struct ProxyState {
    mode: watch::Sender<ProxyMode>,
    /// Grows with each cut: connections older than that are reset.
    cuts: watch::Sender<u64>,
    trap: Mutex<Option<Vec<u8>>>,
    sprung: watch::Sender<u64>,
}

impl ProxyState {
    /// Whether a client sends what the trap waits for; it is taken then.
    fn springs(&self, sent: &[u8]) -> bool {
        let mut trap = self.trap.lock().unwrap_or_else(PoisonError::into_inner);
        let found = trap.as_ref().is_some_and(|text| sent.windows(text.len()).any(|at| at == text));
        if found {
            *trap = None;
        }
        found
    }
}

/// A proxy before a server, until the test's runtime ends.
#[derive(Clone)]
pub struct Proxy {
    port: u16,
    state: Arc<ProxyState>,
}

impl Proxy {
    /// Starts one before a port of this machine.
    pub async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(ProxyState {
            mode: watch::Sender::new(ProxyMode::Open(Duration::ZERO)),
            cuts: watch::Sender::new(0),
            trap: Mutex::default(),
            sprung: watch::Sender::new(0),
        });
        let all = state.clone();
        crate::background(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = all.clone();
                crate::background(async move { carry(client, server, &state).await });
            }
        });
        Self { port, state }
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing passes, and nobody is notified; connections that are there stay like that.
    pub fn vanish(&self) {
        self.state.mode.send_replace(ProxyMode::Silent);
    }

    /// Resets every connection, and new ones until [`Self::heal`].
    pub fn refuse(&self) {
        self.state.mode.send_replace(ProxyMode::Reset);
        self.cut();
    }

    /// Resets every connection once.
    pub fn cut(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Holds back for so long whatever passes.
    pub fn delay(&self, by: Duration) {
        self.state.mode.send_replace(ProxyMode::Open(by));
    }

    /// New connections work again.
    pub fn heal(&self) {
        self.delay(Duration::ZERO);
    }

    /// The next connection whose client sends this text is reset as soon as the server has answered it; the answer is
    /// lost.
    pub fn lose_answer_to(&self, text: &[u8]) {
        *self.state.trap.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_vec());
    }

    /// Waits until so many answers were lost.
    pub async fn lost(&self, count: u64) {
        self.state.sprung.subscribe().wait_for(|lost| *lost >= count).await.unwrap();
    }
}

/// How a connection ended.
enum PassEnd {
    /// One side closed it.
    Closed,
    /// It is to be reset.
    Reset,
    /// Nothing passes any more.
    Silent,
}

async fn carry(mut client: TcpStream, server: u16, state: &ProxyState) {
    let end = match *state.mode.borrow() {
        ProxyMode::Silent => Some(PassEnd::Silent),
        ProxyMode::Reset => Some(PassEnd::Reset),
        ProxyMode::Open(_) => None,
    };
    let Ok(mut upstream) = TcpStream::connect(("127.0.0.1", server)).await else {
        return reset(&client);
    };
    let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
    let end = match end {
        Some(end) => end,
        None => pass(&mut client, &mut upstream, state).await,
    };
    match end {
        PassEnd::Closed => {}
        PassEnd::Reset => reset(&client),
        // Neither side learns anything, also not that the other one has gone.
        PassEnd::Silent => {
            let _both = (client, upstream);
            std::future::pending::<()>().await;
        }
    }
}

fn reset(client: &TcpStream) {
    let _ = client.set_zero_linger();
}

async fn pass(client: &mut TcpStream, server: &mut TcpStream, state: &ProxyState) -> PassEnd {
    let (mut mode, mut cuts) = (state.mode.subscribe(), state.cuts.subscribe());
    cuts.mark_unchanged();
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.split(), server.split());
    let watch = async {
        tokio::select! {
            _ = cuts.changed() => PassEnd::Reset,
            _ = mode.wait_for(|mode| *mode == ProxyMode::Silent) => PassEnd::Silent,
        }
    };
    let sprung = watch::Sender::new(false);
    let there = move_on(&mut from_client, &mut to_server, state, |sent| {
        if state.springs(sent) {
            sprung.send_replace(true);
        }
        true
    });
    let back = move_on(&mut from_server, &mut to_client, state, |_| !*sprung.borrow());
    tokio::select! {
        biased;
        end = watch => end,
        end = back => {
            if *sprung.borrow() {
                state.sprung.send_modify(|lost| *lost += 1);
            }
            end
        }
        end = there => end,
    }
}

/// Moves bytes on; `passes` looks at them and may refuse.
async fn move_on(
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    state: &ProxyState,
    passes: impl Fn(&[u8]) -> bool,
) -> PassEnd {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return PassEnd::Closed };
        let Some(bytes) = buffer.get(..count) else { return PassEnd::Closed };
        if !passes(bytes) {
            return PassEnd::Reset;
        }
        let late = match *state.mode.borrow() {
            ProxyMode::Open(late) => late,
            ProxyMode::Silent | ProxyMode::Reset => Duration::ZERO,
        };
        if late > Duration::ZERO {
            tokio::time::sleep(late).await;
        }
        if to.write_all(bytes).await.is_err() {
            return PassEnd::Closed;
        }
    }
}
