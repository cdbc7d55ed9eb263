//! Whether a port is free. libp2p binds TCP listeners with `SO_REUSEPORT`, so that it can dial from
//! them; with that a second node of the same user would get the same port without an error, and half
//! of the first one's connections.

use std::io;
use std::net::SocketAddr;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

/// Fails like a listener without `SO_REUSEPORT` would on `address`; only TCP needs that.
pub(super) fn check_free(address: &Multiaddr) -> io::Result<()> {
    let mut parts = address.iter();
    let address = match (parts.next(), parts.next()) {
        (Some(Protocol::Ip4(ip)), Some(Protocol::Tcp(port))) => SocketAddr::new(ip.into(), port),
        (Some(Protocol::Ip6(ip)), Some(Protocol::Tcp(port))) => SocketAddr::new(ip.into(), port),
        _ => return Ok(()),
    };
    if address.port() == 0 {
        return Ok(());
    }
    let (v4, v6) = (AddressFamily::INET, AddressFamily::INET6);
    let family = if address.is_ipv4() { v4 } else { v6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // Connections that ended lately do not count.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    // With SO_REUSEADDR, a port that is bound but not listened on can be bound again.
    rustix::net::listen(&socket, 1)?;
    Ok(())
}
