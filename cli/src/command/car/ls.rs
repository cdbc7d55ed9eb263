//! `store car ls`: reads the file here, block by block; no repo is opened.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;
use store::Cid;
use store::car::{CarError, Checked, Reader, Section, check};
use store_node::api::message::{Failure, FailureKind};

use crate::args::CarLs;
use crate::context::Context;
use crate::exit::Error;

/// Sections that are checked together, as many as the hash takes side by side.
const BATCH: usize = 16;

/// One line of the answer, for programs.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Car {
        version: u64,
        roots: Vec<String>,
    },
    Block {
        cid: String,
        /// Bytes of the block.
        size: usize,
        /// Where its section begins in the file.
        offset: u64,
        /// Where its bytes begin.
        data_offset: u64,
        /// What is wrong with it; absent where it was not checked, or is right.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

/// What was found wrong.
#[derive(Default)]
struct Faults {
    wrong: usize,
    unchecked: usize,
}

pub(super) fn run(args: &CarLs, context: &mut Context) -> Result<(), Error> {
    let file: Box<dyn Read> = if args.path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let opened = File::open(&args.path);
        Box::new(opened.map_err(Error::io(format!("read `{}`", args.path.display())))?)
    };
    let failed = |error: CarError| {
        let kind = match error {
            CarError::Io { .. } => FailureKind::Error,
            _ => FailureKind::Corrupt,
        };
        failure(kind, format!("`{}`: {error}", args.path.display()))
    };
    let mut reader = Reader::open(file).map_err(failed)?;
    let head = Line::Car {
        version: reader.version(),
        roots: reader.roots().iter().map(Cid::to_string).collect(),
    };
    context.output.result(&head, people)?;
    let mut faults = Faults::default();
    let mut ended = false;
    while !ended {
        let mut sections = Vec::with_capacity(BATCH);
        let mut error = None;
        while sections.len() < BATCH && !ended {
            match reader.next() {
                Ok(Some(section)) => sections.push(section),
                Ok(None) => ended = true,
                Err(stopped) => {
                    error = Some(stopped);
                    ended = true;
                }
            }
        }
        print(sections, args.verify, &mut faults, context)?;
        if let Some(error) = error {
            return Err(failed(error));
        }
    }
    let Faults { wrong, unchecked } = faults;
    match (wrong, unchecked) {
        (0, 0) => Ok(()),
        (0, count) => Err(failure(
            FailureKind::Partial,
            format!("{count} blocks could not be checked"),
        )),
        (count, _) => Err(failure(
            FailureKind::Corrupt,
            format!("{count} blocks are not what their CIDs name"),
        )),
    }
}

fn print(
    sections: Vec<Section>,
    verify: bool,
    faults: &mut Faults,
    context: &mut Context,
) -> Result<(), Error> {
    let checked = verify.then(|| check(sections.clone()));
    for (at, section) in sections.into_iter().enumerate() {
        let error = match checked.as_ref().map(|checked| &checked[at]) {
            Some(Checked::Wrong(error)) => {
                faults.wrong += 1;
                Some(error.to_string())
            }
            Some(Checked::Unchecked(_)) => {
                faults.unchecked += 1;
                Some("its hash cannot be checked".into())
            }
            _ => None,
        };
        let line = Line::Block {
            cid: section.cid.to_string(),
            size: section.data.len(),
            offset: section.offset,
            data_offset: section.data_offset,
            error,
        };
        context.output.result(&line, people)?;
    }
    Ok(())
}

fn people(line: &Line) -> String {
    match line {
        Line::Car { version, roots } => {
            let mut lines = vec![format!("CAR version {version}")];
            lines.extend(roots.iter().map(|root| format!("root  {root}")));
            lines.join("\n")
        }
        Line::Block {
            cid,
            size,
            offset,
            error,
            ..
        } => {
            let line = format!("{cid}  {size} bytes at {offset}");
            match error {
                Some(error) => format!("{line}  {error}"),
                None => line,
            }
        }
    }
}

fn failure(kind: FailureKind, message: String) -> Error {
    Error::Failed(Failure {
        kind,
        message,
        hint: None,
    })
}
