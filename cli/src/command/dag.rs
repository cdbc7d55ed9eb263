//! `store dag`.

use bytes::BytesMut;
use data_encoding::BASE64_NOPAD;
use serde_json::{Value, json};
use store::Cid;
use store::cid::Codec;
use store::dag::pb::Node;
use store::unixfs::Piece;
use store_node::api::message::{
    BlockRequest, DagRequest, DagsStat, Failure, FailureKind, Item, Request,
};

use super::target;
use crate::args::{DagGet, DagStat};
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;
use crate::output;

pub(crate) fn stat(args: &DagStat, context: &mut Context) -> Result<(), Error> {
    let wanted = args
        .targets
        .iter()
        .map(|text| target::content(text, Some(&args.wait), context))
        .collect::<Result<_, _>>()?;
    let request = Request::Dag(DagRequest::Stat(wanted));
    let mut conversation = Conversation::open(context, Some(&args.network), &request, "counting")?;
    while let Some(answer) = conversation.next()? {
        match answer {
            Answer::Item(Item::Dag(stat)) => context.output.result(&stat, |stat| {
                let (blocks, size) = (stat.blocks, output::size(stat.bytes));
                format!("{}  {}  {size}", stat.cid, output::count(blocks, "block"))
            })?,
            Answer::Item(Item::Dags(all)) => context.output.result(&all, together)?,
            _ => {}
        }
    }
    Ok(())
}

fn together(all: &DagsStat) -> String {
    let row = |blocks: u64, bytes: u64| {
        format!("{blocks} blocks  {}  ({bytes} bytes)", output::size(bytes))
    };
    output::table(&[
        ("total", row(all.total_blocks, all.total_bytes)),
        ("unique", row(all.unique_blocks, all.unique_bytes)),
        ("shared", row(all.shared_blocks, all.shared_bytes)),
    ])
}

pub(crate) fn get(args: &DagGet, context: &mut Context) -> Result<(), Error> {
    let wanted = target::content(&args.target, Some(&args.wait), context)?;
    let request = Request::Block(BlockRequest::Get(wanted));
    let mut conversation = Conversation::open(context, Some(&args.network), &request, "fetching")?;
    let (mut cid, mut bytes) = (None, BytesMut::new());
    while let Some(answer) = conversation.next()? {
        match answer {
            Answer::Item(Item::Block(stat)) => cid = Some(stat.cid),
            Answer::Piece(Piece::Data(data)) => bytes.extend_from_slice(&data),
            _ => {}
        }
    }
    drop(conversation);
    let Some(cid) = cid else { return Ok(()) };
    let node = dag_json(&cid, &bytes.freeze())?;
    context.output.line(&node)
}

/// The node as DAG-JSON (ipld.io/specs/codecs/dag-json/spec). Keys stand in the order that the
/// specification demands, which is that of `serde_json`'s maps: by bytes.
fn dag_json(cid: &Cid, data: &bytes::Bytes) -> Result<Value, Error> {
    let bytes = |data: &[u8]| json!({"/": {"bytes": BASE64_NOPAD.encode(data)}});
    if Codec::of(cid)? == Codec::Raw {
        return Ok(bytes(data));
    }
    let node = Node::decode(data).map_err(|error| {
        Error::Failed(Failure {
            kind: FailureKind::Corrupt,
            message: format!("block `{cid}` is not valid dag-pb: {error}"),
            hint: Some("`store block get` prints its bytes".into()),
        })
    })?;
    let link = |link: &store::dag::Link| {
        // Names that are not UTF-8 have no form in JSON.
        let name = String::from_utf8_lossy(link.name.as_bytes()).into_owned();
        json!({"Hash": {"/": link.cid.to_string()}, "Name": name, "Tsize": link.tsize})
    };
    let mut value = json!({"Links": node.links.iter().map(link).collect::<Vec<_>>()});
    if let Some(data) = &node.data {
        value["Data"] = bytes(data);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use store::block::Block;
    use store::cid::Version;
    use store::dag::Link;

    use super::*;

    #[test]
    fn nodes_are_printed_as_the_specification_has_it() {
        let leaf = Block::hash(Version::V1, Codec::Raw, "hi".into()).unwrap();
        assert_eq!(
            dag_json(leaf.cid(), leaf.data()).unwrap().to_string(),
            r#"{"/":{"bytes":"aGk"}}"#
        );
        let link = Link {
            cid: *leaf.cid(),
            name: "a".into(),
            tsize: 2,
        };
        let node = Node {
            links: vec![link],
            data: Some(b"\x08\x01".as_slice().into()),
        };
        let block = Block::hash(Version::V1, Codec::DagPb, node.encode()).unwrap();
        let expected = format!(
            r#"{{"Data":{{"/":{{"bytes":"CAE"}}}},"Links":[{{"Hash":{{"/":"{}"}},"Name":"a","Tsize":2}}]}}"#,
            leaf.cid()
        );
        assert_eq!(
            dag_json(block.cid(), block.data()).unwrap().to_string(),
            expected
        );
        let broken = Block::hash(Version::V1, Codec::DagPb, "nonsense".into()).unwrap();
        assert!(dag_json(broken.cid(), broken.data()).is_err());
    }
}
