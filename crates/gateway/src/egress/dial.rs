//! New connections: the name is resolved, every address is judged, and the connection goes to one that was.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use domain::delivery::AttemptErrorKind;
use futures::{StreamExt as _, stream::FuturesUnordered};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::{
    CONNECT_LIMIT, EgressError, EgressPolicy,
    link::SocketIo,
    resolver::{Refused, addresses},
};

/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 8;
/// How long one address has before the next is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);
/// Between two tries without a descriptor.
const WANT: Duration = Duration::from_millis(100);

/// Connects to the host of a URL.
///
/// # Errors
/// [`EgressError`]: blocked, not resolved, no connection, no TLS.
pub(super) async fn dial(
    url: &Url,
    policy: &EgressPolicy,
    tls: &TlsConnector,
) -> Result<Box<dyn SocketIo>, EgressError> {
    let connect = async {
        let host = url.host().ok_or_else(unreachable)?;
        let port = url.port_or_known_default().ok_or_else(unreachable)?;
        let addresses = judged(url, &host, port, policy).await?;
        let tcp = first(addresses).await.map_err(|_| unreachable())?;
        // Calls are one write each.
        tcp.set_nodelay(true).map_err(|_| unreachable())?;
        if url.scheme() != "https" {
            return Ok(Box::new(tcp) as Box<dyn SocketIo>);
        }
        let secured = tls.connect(server_name(&host)?, tcp).await;
        let secured = secured.map_err(|error| refused_tls(&error))?;
        Ok(Box::new(secured) as Box<dyn SocketIo>)
    };
    match tokio::time::timeout(CONNECT_LIMIT, connect).await {
        Ok(connected) => connected,
        Err(_) => Err(EgressError::new(AttemptErrorKind::Timeout, "no connection in time")),
    }
}

fn unreachable() -> EgressError {
    EgressError::new(AttemptErrorKind::Connect, "the connection was refused or failed")
}

fn no_tls() -> EgressError {
    EgressError::new(AttemptErrorKind::Connect, "the TLS handshake failed")
}

/// Says what is wrong with a certificate: an operator mends each in another way.
fn refused_tls(error: &io::Error) -> EgressError {
    use rustls::CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, UnknownIssuer,
    };
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let why = match inner {
        Some(rustls::Error::InvalidCertificate(reason)) => match reason {
            Expired | ExpiredContext { .. } => "the receiver's certificate has expired",
            NotValidYet | NotValidYetContext { .. } => {
                "the receiver's certificate is not valid yet: is a clock wrong?"
            }
            UnknownIssuer => {
                "the receiver's certificate is of an authority that is not known here, or signs itself"
            }
            NotValidForName | NotValidForNameContext { .. } => {
                "the receiver's certificate is for another name than the URL's"
            }
            _ => "the receiver's certificate is not accepted",
        },
        Some(rustls::Error::InvalidMessage(_)) => {
            "the receiver does not speak TLS on this port: is the URL meant to be http?"
        }
        _ => return no_tls(),
    };
    EgressError::new(AttemptErrorKind::Connect, &format!("the TLS handshake failed: {why}"))
}

fn server_name(host: &Host<&str>) -> Result<ServerName<'static>, EgressError> {
    match host {
        Host::Domain(name) => ServerName::try_from((*name).to_owned()).map_err(|_| no_tls()),
        Host::Ipv4(ip) => Ok(ServerName::from(IpAddr::from(*ip))),
        Host::Ipv6(ip) => Ok(ServerName::from(IpAddr::from(*ip))),
    }
}

/// The addresses that may be called, the families in turn.
async fn judged(
    url: &Url,
    host: &Host<&str>,
    port: u16,
    policy: &EgressPolicy,
) -> Result<Vec<SocketAddr>, EgressError> {
    let found = match host {
        Host::Domain(name) => {
            addresses(name, port, policy).await.map_err(|refused| match refused {
                Refused::Unknown(_) => {
                    EgressError::new(AttemptErrorKind::Dns, "the host name could not be resolved")
                }
                Refused::Blocked => EgressError::blocked_host(url),
            })?
        }
        // Judged when the URL was read.
        Host::Ipv4(ip) => vec![SocketAddr::from((*ip, port))],
        Host::Ipv6(ip) => vec![SocketAddr::from((*ip, port))],
    };
    Ok(in_turn(found))
}

/// The resolver's first choice first, then one of the other family, and so on.
fn in_turn(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let of_first = found.first().map(SocketAddr::is_ipv4);
    let (one, other): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|address| Some(address.is_ipv4()) == of_first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut ordered = Vec::new();
    while ordered.len() < ADDRESSES_MAX {
        let before = ordered.len();
        ordered.extend(one.next());
        ordered.extend(other.next());
        if ordered.len() == before {
            break;
        }
    }
    ordered
}

/// The first address that takes a connection. The next one is tried when one has failed or has had its head start.
async fn first(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut tries = FuturesUnordered::new();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let next = waiting.next();
        let more = next.is_some();
        tries.extend(next.map(connect));
        let head_start = async {
            match more {
                true => tokio::time::sleep(HEAD_START).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            done = tries.next() => match done {
                Some(Ok(connected)) => return Ok(connected),
                Some(Err(error)) => last = error,
                None => return Err(last),
            },
            () = head_start => {}
        }
    }
}

/// Connects to one address. Want of descriptors here is no fault of the receiver: it passes, and is waited for.
async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    loop {
        match TcpStream::connect(address).await {
            Err(error) if is_want(&error) => tokio::time::sleep(WANT).await,
            done => return done,
        }
    }
}

/// Whether this process, or this machine, has no descriptor left.
fn is_want(error: &io::Error) -> bool {
    // The numbers of EMFILE and ENFILE, on every Unix.
    matches!(error.raw_os_error(), Some(24 | 23))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_take_turns() {
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 1);
        let found = ["::1", "::2", "::3", "1.1.1.1", "1.1.1.2"].map(address).to_vec();
        let expected = ["::1", "1.1.1.1", "::2", "1.1.1.2", "::3"].map(address).to_vec();
        assert_eq!(in_turn(found), expected);
        assert_eq!(in_turn(vec![address("1.1.1.1"); 20]).len(), ADDRESSES_MAX);
    }

    #[tokio::test]
    async fn an_address_that_refuses_does_not_stop_the_others() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bad = closed.local_addr().unwrap();
        drop(closed);
        let connected = first(vec![bad, bad, good]).await.unwrap();
        assert_eq!(connected.peer_addr().unwrap(), good);
        assert!(first(vec![bad, bad]).await.is_err());
        assert!(first(vec![]).await.is_err());
    }
}
