//! `store proof`, and `store proof verify`, which reads the file here and opens no repo.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;
use store::car::CarError;
use store::proof::{Proof, ProofError, Span};
use store::unixfs::{Name, Piece};
use store_node::api::message::{DagProof, DagRequest, Failure, FailureKind, Request};

use super::sink::Sink;
use super::target;
use crate::args::{self, ProofMake, ProofVerb, ProofVerify};
use crate::backend::{Answer, Conversation};
use crate::context::Context;
use crate::exit::Error;
use crate::output;

pub(crate) fn run(args: &args::Proof, context: &mut Context) -> Result<(), Error> {
    if let Some(ProofVerb::Verify(args)) = &args.verify {
        return verify(args, context);
    }
    let args = &args.make;
    match (&args.target, args.leaf) {
        (Some(target), Some(leaf)) => make(target, leaf, args, context),
        // The parser lets nobody come here.
        _ => Err(Error::Usage {
            message: "a content and the number of a leaf are needed".into(),
            hint: Some("`store proof CID --leaf N -o FILE`".into()),
        }),
    }
}

fn make(target: &str, leaf: u64, args: &ProofMake, context: &mut Context) -> Result<(), Error> {
    let output = args.output.as_deref();
    Sink::check(output, "a proof")?;
    let wanted = target::content(target, Some(&args.wait), context)?;
    let mut sink = Sink::open(output, args.force)?;
    let request = Request::Dag(DagRequest::Proof(DagProof {
        content: wanted,
        leaf,
    }));
    let mut conversation = Conversation::open(context, Some(&args.network), &request, "proving")?;
    while let Some(answer) = conversation.next()? {
        let Answer::Piece(Piece::Data(data)) = answer else {
            continue;
        };
        sink.write(&data, &mut context.output)?;
    }
    sink.finish(&mut context.output)
}

/// What a proof proves, for programs.
#[derive(Serialize)]
struct Proven {
    root: String,
    leaf: String,
    /// Bytes of the leaf's block.
    size: usize,
    /// Blocks of the path, the root and the leaf included.
    blocks: usize,
    /// The names on the way from the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Vec<Name>>,
    /// Which bytes of a file it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<Bytes>,
    /// In how many places of the content it stands by this path.
    #[serde(skip_serializing_if = "Option::is_none")]
    places: Option<u64>,
    /// Why it is not known where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    unplaced: Option<String>,
}

#[derive(Serialize)]
struct Bytes {
    cid: String,
    size: u64,
    first: u64,
    count: u64,
}

fn verify(args: &ProofVerify, context: &mut Context) -> Result<(), Error> {
    let root = args.cid.as_deref().map(target::bare).transpose()?;
    let file: Box<dyn Read> = if args.path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let opened = File::open(&args.path);
        Box::new(opened.map_err(Error::io(format!("read `{}`", args.path.display())))?)
    };
    let proof = Proof::verify(file, root.as_ref()).map_err(|error| {
        let kind = match error {
            ProofError::Car(CarError::Io { .. }) => FailureKind::Error,
            _ => FailureKind::Corrupt,
        };
        let message = format!("`{}` proves nothing: {error}", args.path.display());
        let hint = None;
        Failure {
            kind,
            message,
            hint,
        }
    })?;
    context.output.result(&Proven::of(&proof), Proven::table)
}

impl Proven {
    fn of(proof: &Proof) -> Self {
        let mut proven = Self {
            root: proof.root().to_string(),
            leaf: proof.leaf().cid().to_string(),
            size: proof.leaf().data().len(),
            blocks: proof.blocks().len(),
            path: None,
            file: None,
            places: None,
            unplaced: None,
        };
        match proof.place() {
            Ok(place) => {
                proven.path = Some(place.names);
                proven.file = place.span.map(Bytes::of);
                proven.places = Some(place.ways);
            }
            Err(error) => proven.unplaced = Some(error.to_string()),
        }
        proven
    }

    fn table(&self) -> String {
        let size = u64::try_from(self.size).unwrap_or(u64::MAX);
        let mut rows = vec![
            ("root", self.root.clone()),
            ("leaf", format!("{}  {}", self.leaf, output::size(size))),
            ("proven by", output::count(self.blocks as u64, "block")),
        ];
        if let Some(names) = self.path.as_ref().filter(|names| !names.is_empty()) {
            let names: Vec<String> = names.iter().map(Name::to_string).collect();
            rows.push(("path", names.join("/")));
        }
        if let Some(file) = &self.file {
            rows.push(("bytes", file.line()));
        }
        if let Some(places) = self.places.filter(|places| *places > 1) {
            let line = format!("the first of {places} in which this path leads to this leaf");
            rows.push(("place", line));
        }
        if let Some(why) = &self.unplaced {
            rows.push(("place", format!("not known: {why}")));
        }
        output::table(&rows)
    }
}

impl Bytes {
    fn of(span: Span) -> Self {
        Self {
            cid: span.file.to_string(),
            size: span.size,
            first: span.first,
            count: span.count,
        }
    }

    fn line(&self) -> String {
        let (first, size) = (self.first, self.size);
        match self.count.checked_sub(1) {
            Some(more) => format!("{first} to {} of {size}", first.saturating_add(more)),
            None => format!("none of {size}"),
        }
    }
}
