//! Which ports a node listens on when it moves to another swarm: those that it had.

use std::net::IpAddr;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// `asked`, with each port that was left to the system (0) replaced by one of `had`, so that whoever
/// knows where the node is finds it there again.
pub(super) fn same_ports(asked: &[Multiaddr], had: &[Multiaddr]) -> Vec<Multiaddr> {
    let mut taken = Vec::new();
    let keep = |asked: &Multiaddr| {
        let (ip, udp, 0) = place(asked)? else {
            return None;
        };
        let port = had.iter().filter_map(place).find(|(at, other, port)| {
            let same_ip = *at == ip || (ip.is_unspecified() && at.is_ipv4() == ip.is_ipv4());
            same_ip && *other == udp && !taken.contains(&(udp, *port))
        });
        let (_, _, port) = port?;
        taken.push((udp, port));
        Some(asked.iter().map(|part| with_port(part, port)).collect())
    };
    let mut keep = keep;
    asked
        .iter()
        .map(|address| keep(address).unwrap_or_else(|| address.clone()))
        .collect()
}

/// Its IP address, whether it is of UDP, and its port.
fn place(address: &Multiaddr) -> Option<(IpAddr, bool, u16)> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some((ip, false, port)),
        Protocol::Udp(port) => Some((ip, true, port)),
        _ => None,
    }
}

fn with_port(protocol: Protocol<'_>, number: u16) -> Protocol<'_> {
    match protocol {
        Protocol::Tcp(0) => Protocol::Tcp(number),
        Protocol::Udp(0) => Protocol::Udp(number),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn ports_stay() {
        let peer = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5";
        let had = addresses(&[
            &format!("/ip4/127.0.0.1/tcp/4001/p2p/{peer}"),
            &format!("/ip4/10.0.0.2/udp/4002/quic-v1/p2p/{peer}"),
            &format!("/ip4/127.0.0.1/tcp/4003/p2p/{peer}"),
            &format!("/ip6/::1/tcp/4004/p2p/{peer}"),
        ]);
        let asked = addresses(&[
            "/ip4/127.0.0.1/tcp/0",
            "/ip4/0.0.0.0/udp/0/quic-v1",
            "/ip4/127.0.0.1/tcp/0",
            "/ip6/::/tcp/0",
            "/ip4/127.0.0.1/tcp/5000",
            "/ip4/127.0.0.1/tcp/0",
        ]);
        let kept = addresses(&[
            "/ip4/127.0.0.1/tcp/4001",
            "/ip4/0.0.0.0/udp/4002/quic-v1",
            "/ip4/127.0.0.1/tcp/4003",
            "/ip6/::/tcp/4004",
            "/ip4/127.0.0.1/tcp/5000",
            "/ip4/127.0.0.1/tcp/0",
        ]);
        assert_eq!(same_ports(&asked, &had), kept);
    }
}
