//! A peer that has a file and answers as it should, up to one lie. Speaks libp2p and the chunk
//! protocol by its own code, so that it can send what our own encoder refuses to.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::request_response::{self, Codec, Message, ProtocolSupport, ResponseChannel};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{PeerId, StreamProtocol, Swarm, SwarmBuilder, identify, noise, tcp, yamux};
use store::Cid;
use store::blockstore::{Blockstore, MemoryStore};
use store::dag::pb;
use store::unixfs::Entry;
use store::unixfs::import::{ImportOptions, import};
use store::wire::{Bits, Extent, Leaf, ManifestNode, Request, Response};
use tokio::sync::oneshot;

/// What it does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Each leaf has one bit flipped.
    WrongBytes,
    /// The node given for the root is another one.
    WrongManifest,
    /// The manifest has nodes that nobody asked for.
    StrangeNodes,
    /// Leaves come, but fewer than were asked for.
    TooFewLeaves,
    /// Requests are taken and never answered.
    Silent,
    /// The manifest is answered; at the first request for leaves the connection is cut.
    Cut,
    /// An answer announces a header of 4 GiB.
    OversizedHeader,
    /// An answer announces more leaves than any message may have.
    OversizedCount,
    /// An answer is noise.
    Garbage,
}

impl Lie {
    pub const ALL: [Self; 9] = [
        Self::WrongBytes,
        Self::WrongManifest,
        Self::StrangeNodes,
        Self::TooFewLeaves,
        Self::Silent,
        Self::Cut,
        Self::OversizedHeader,
        Self::OversizedCount,
        Self::Garbage,
    ];

    /// Whether it proves bad faith: silence and a lost connection happen to the best.
    pub fn is_proof(self) -> bool {
        !matches!(self, Self::Silent | Self::Cut)
    }
}

/// The peer, running until dropped.
pub struct Hostile {
    pub address: String,
    pub peer_id: String,
    /// The CID of the file that it has.
    pub root: String,
    asked: Arc<AtomicU64>,
    _stop: oneshot::Sender<()>,
}

impl Hostile {
    /// Starts a peer that has `file` and tells `lie`.
    pub fn start(file: &Path, lie: Lie) -> Self {
        let blocks = MemoryStore::default();
        let entry: Entry<File> = Entry::file("file", File::open(file).unwrap());
        let entries = std::iter::once(Ok(entry));
        let added = import(Some(&blocks), &ImportOptions::default(), entries, &|_| ()).unwrap();
        let root = added[0].cid;

        let asked = Arc::new(AtomicU64::new(0));
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let mut swarm = swarm();
                let peer_id = swarm.local_peer_id().to_string();
                let mut server = Server {
                    blocks,
                    lie,
                    held: Vec::new(),
                    asked: count,
                };
                swarm
                    .listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap())
                    .unwrap();
                let serve = async {
                    loop {
                        let event = swarm.select_next_some().await;
                        if let SwarmEvent::NewListenAddr { address, .. } = &event {
                            let _ =
                                ready.send((format!("{address}/p2p/{peer_id}"), peer_id.clone()));
                        }
                        server.on_event(&mut swarm, event);
                    }
                };
                tokio::select! { () = serve => (), _ = stopped => () }
            });
        });
        let (address, peer_id) = is_ready.recv().unwrap();
        Self {
            address,
            peer_id,
            root: root.to_string(),
            asked,
            _stop: stop,
        }
    }

    /// Whether anybody asked it for anything.
    pub fn was_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed) > 0
    }
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    identify: identify::Behaviour,
    chunk: request_response::Behaviour<Raw>,
}

fn swarm() -> Swarm<Behaviour> {
    let protocol = StreamProtocol::new("/store/main/chunk/1.0.0");
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|key| Behaviour {
            identify: identify::Behaviour::new(identify::Config::new(
                "/store/main/id/1.0.0".to_owned(),
                key.public(),
            )),
            chunk: request_response::Behaviour::new(
                [(protocol, ProtocolSupport::Full)],
                request_response::Config::default(),
            ),
        })
        .unwrap()
        .with_swarm_config(|config| {
            config.with_idle_connection_timeout(std::time::Duration::from_secs(300))
        })
        .build()
}

struct Server {
    blocks: MemoryStore,
    lie: Lie,
    /// Where answers would go that never come.
    held: Vec<ResponseChannel<Vec<u8>>>,
    asked: Arc<AtomicU64>,
}

impl Server {
    fn on_event(&mut self, swarm: &mut Swarm<Behaviour>, event: SwarmEvent<BehaviourEvent>) {
        let SwarmEvent::Behaviour(BehaviourEvent::Chunk(request_response::Event::Message {
            peer,
            message: Message::Request {
                request, channel, ..
            },
            ..
        })) = event
        else {
            return;
        };
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.answer(&request) {
            Some(bytes) => drop(swarm.behaviour_mut().chunk.send_response(channel, bytes)),
            None if self.lie == Lie::Cut => cut(swarm, peer),
            None => self.held.push(channel),
        }
    }

    /// The bytes of an answer; `None` for none.
    fn answer(&self, request: &Request) -> Option<Vec<u8>> {
        let honest = match request {
            Request::Manifest { nodes, .. } => self.manifest(nodes),
            Request::Get { extents, .. } => self.leaves(extents),
            Request::Have { .. } => Response::Have(Vec::new()),
            Request::Peers { .. } => Response::Peers(Vec::new()),
        };
        let response = match (self.lie, honest) {
            (Lie::Silent, _) | (Lie::Cut, Response::Leaves(_)) => return None,
            (Lie::OversizedHeader, _) => return Some(u32::MAX.to_be_bytes().to_vec()),
            (Lie::OversizedCount, _) => return Some(oversized_count()),
            (Lie::Garbage, _) => return Some(vec![0xa5; 4096]),
            (Lie::WrongBytes, Response::Leaves(leaves)) => {
                Response::Leaves(leaves.into_iter().map(flip).collect())
            }
            (Lie::TooFewLeaves, Response::Leaves(mut leaves)) => {
                leaves.pop();
                Response::Leaves(leaves)
            }
            (Lie::WrongManifest, Response::Manifest { mut nodes, more }) => {
                nodes[0].data = other_node().encode();
                Response::Manifest { nodes, more }
            }
            (Lie::StrangeNodes, Response::Manifest { mut nodes, more }) => {
                nodes.extend(std::iter::repeat_with(strange_node).take(100));
                Response::Manifest { nodes, more }
            }
            (_, honest) => honest,
        };
        let encoded = response.encode().unwrap();
        let mut bytes = encoded.head.to_vec();
        encoded
            .payload
            .iter()
            .for_each(|block| bytes.extend_from_slice(block));
        Some(bytes)
    }

    fn manifest(&self, nodes: &[Cid]) -> Response {
        let found = nodes.iter().filter_map(|&cid| {
            let data = self.blocks.get(&cid).unwrap()?;
            Some(ManifestNode {
                cid,
                data,
                leaves: Bits::default(),
            })
        });
        let nodes: Vec<ManifestNode> = found.collect();
        if nodes.is_empty() {
            Response::NotFound
        } else {
            Response::Manifest { nodes, more: false }
        }
    }

    fn leaves(&self, extents: &[Extent]) -> Response {
        let mut links: HashMap<Cid, Vec<Cid>> = HashMap::new();
        let mut leaves = Vec::new();
        for extent in extents {
            let children = links.entry(extent.node).or_insert_with(|| {
                let links = self.blocks.links(&extent.node).unwrap().unwrap_or_default();
                links.into_iter().map(|link| link.cid).collect()
            });
            for child in children
                .iter()
                .skip(extent.first as usize)
                .take(extent.count as usize)
            {
                let data = self.blocks.get(child).unwrap();
                leaves.push(data.map_or(Leaf::NotFound, Leaf::Have));
            }
        }
        Response::Leaves(leaves)
    }
}

fn cut(swarm: &mut Swarm<Behaviour>, peer: PeerId) {
    let _ = swarm.disconnect_peer_id(peer);
}

fn flip(leaf: Leaf) -> Leaf {
    match leaf {
        Leaf::Have(data) => {
            let mut wrong = data.to_vec();
            if let Some(byte) = wrong.last_mut() {
                *byte ^= 1;
            }
            Leaf::Have(wrong.into())
        }
        other => other,
    }
}

fn other_node() -> pb::Node {
    pb::Node {
        links: Vec::new(),
        data: Some(Bytes::from_static(b"\x08\x01")),
    }
}

fn strange_node() -> ManifestNode {
    let block = store::Block::hash(
        store::cid::Version::V1,
        store::cid::Codec::DagPb,
        other_node().encode(),
    );
    let (cid, data) = block.unwrap().into_parts();
    ManifestNode {
        cid,
        data,
        leaves: Bits::default(),
    }
}

/// A header of leaves (kind 2) whose packed list of statuses has a hundred thousand entries.
fn oversized_count() -> Vec<u8> {
    let statuses = vec![0; 100_000];
    let mut body = vec![0x08, 2, 0x22, 0xa0, 0x8d, 0x06];
    body.extend(statuses);
    let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(body);
    bytes
}

/// Requests as they are, answers as raw bytes.
#[derive(Clone, Default)]
struct Raw;

impl Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Request;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Request>
    where
        T: AsyncRead + Unpin + Send,
    {
        let mut length = [0; 4];
        io.read_exact(&mut length).await?;
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        io.read_exact(&mut body).await?;
        Request::decode(&body.into()).map_err(io::Error::other)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, _: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        Err(io::Error::other("it asks nobody"))
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        _: &mut T,
        _: Request,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Err(io::Error::other("it asks nobody"))
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        answer: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&answer).await
    }
}
