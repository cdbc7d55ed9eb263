//! `get` killed with -9 halfway goes on where it was.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{Place, eventually, output, same};

/// What a killed `get` may have to fetch again: what was in flight at the default window, and where
/// nodes were not flushed yet (DESIGN §3), what is below them.
const UNFLUSHED: u64 = 64 << 20;
const IN_FLIGHT: u64 = 64 << 20;

/// Bytes of blocks that the node whose metrics are at `address` has sent.
fn sent(address: &str) -> u64 {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    // A number that was never counted is not shown.
    let line = text
        .lines()
        .find(|line| line.starts_with("store_exchange_bytes_total{direction=\"out\"}"));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

#[test]
fn a_get_killed_halfway_fetches_little_again() {
    let size = 512 << 20;
    let place = Place::new();
    let file = place.file("file", 6, size);
    let metrics = format!("127.0.0.1:{}", free_port());
    let a = place.node("a", &["--metrics", &metrics]);
    let cid = output(place.store("a").args(["add", "--quiet"]).arg(&file));

    let out = place.path("out");
    let get = || {
        let mut get = place.store("b");
        get.args([
            "get",
            &cid,
            "--no-mdns",
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
            "--bootstrap",
        ]);
        get.arg(a.tcp()).arg("-o").arg(&out);
        get
    };
    let mut killed = get()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("half of it was sent", Duration::from_secs(60), || {
        (sent(&metrics) > size / 2).then_some(())
    });
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(
        !out.exists(),
        "nothing stands under the name that was asked for before it is whole"
    );

    output(&mut get());
    same(&file, &out);
    let again = sent(&metrics) - size;
    println!("fetched again: {} KiB", again >> 10);
    assert!(
        again <= UNFLUSHED + IN_FLIGHT,
        "{again} bytes were fetched again"
    );
}
