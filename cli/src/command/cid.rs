//! `store cid`: all of it is done here, from the text alone.

mod format;
mod names;

use multibase::Base;
use serde::Serialize;
use store::Cid;
use store::cid::{CidError, Version, identity_data};

use self::names::{base_name, codec_name, hash_name};
use crate::args::{CidFormat, CidVerb};
use crate::context::Context;
use crate::exit::Error;
use crate::output;

pub(crate) fn run(args: &CidVerb, context: &mut Context) -> Result<(), Error> {
    match args {
        CidVerb::Inspect { cids } => cids.iter().try_for_each(|text| {
            let inspected = Inspected::new(&Written::parse(text)?);
            context.output.result(&inspected, Inspected::table)
        }),
        CidVerb::Format(args) => format(args, context),
    }
}

fn format(args: &CidFormat, context: &mut Context) -> Result<(), Error> {
    let base = args.base.as_deref().map(names::base).transpose()?;
    for text in &args.cids {
        let mut written = Written::parse(text)?;
        if let Some(version) = args.version {
            written = written.in_version(version)?;
        }
        if let Some(base) = base {
            written = written.in_base(base)?;
        }
        let line = format::format(&args.format, &written)?;
        context
            .output
            .result(&Formatted { formatted: &line }, |_| line.clone())?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Formatted<'a> {
    formatted: &'a str,
}

fn usage(message: String, hint: Option<&str>) -> Error {
    Error::Usage {
        message,
        hint: hint.map(Into::into),
    }
}

/// A CID of any codec and hash, and the base that it is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Written {
    cid: Cid,
    base: Base,
}

impl Written {
    fn parse(text: &str) -> Result<Self, Error> {
        let plain = text
            .strip_prefix("ipfs://")
            .or_else(|| text.strip_prefix("/ipfs/"))
            .unwrap_or(text);
        let refuse = |reason: String| CidError::Text {
            text: text.chars().take(128).collect(),
            reason,
        };
        if plain.contains('/') {
            return Err(refuse("a path follows it".into()).into());
        }
        let cid = Cid::try_from(plain).map_err(|error| refuse(error.to_string()))?;
        let base = match cid.version() {
            Version::V0 => Base::Base58Btc,
            Version::V1 => plain
                .chars()
                .next()
                .and_then(|letter| Base::from_code(letter).ok())
                .ok_or_else(|| refuse("no multibase".into()))?,
        };
        Ok(Self { cid, base })
    }

    fn in_version(self, version: u8) -> Result<Self, Error> {
        let Self { cid, base } = self;
        match (version, cid.version()) {
            (0, Version::V0) | (1, Version::V1) => Ok(self),
            (1, Version::V0) => Ok(Self {
                cid: to_v1(&cid),
                base: Base::Base32Lower,
            }),
            (0, Version::V1) => {
                let v0 = to_v0(&cid).ok_or_else(|| {
                    usage(
                        format!("`{cid}` has no version 0: that is for dag-pb with sha2-256 only"),
                        None,
                    )
                })?;
                let base = if base == Base::Base58Btc {
                    base
                } else {
                    Base::Base58Btc
                };
                Ok(Self { cid: v0, base })
            }
            _ => Err(usage(
                format!("CIDs have version 0 or 1, not {version}"),
                None,
            )),
        }
    }

    fn in_base(self, base: Base) -> Result<Self, Error> {
        if self.cid.version() == Version::V0 && base != Base::Base58Btc {
            let name = base_name(base);
            return Err(usage(
                format!(
                    "`{}` has version 0, which is written in base58btc, not {name}",
                    self.cid
                ),
                Some("`-v 1` makes it version 1"),
            ));
        }
        Ok(Self { base, ..self })
    }

    /// The CID with the letter of its base, which version 0 does not have.
    fn text(&self) -> String {
        match self.cid.version() {
            Version::V0 => self.cid.to_string(),
            Version::V1 => multibase::encode(self.base, self.cid.to_bytes()),
        }
    }
}

fn to_v1(cid: &Cid) -> Cid {
    Cid::new_v1(cid.codec(), *cid.hash())
}

fn to_v0(cid: &Cid) -> Option<Cid> {
    let dag_pb = cid.codec() == store::cid::Codec::DagPb.code();
    dag_pb.then(|| Cid::new_v0(*cid.hash()).ok()).flatten()
}

/// What a CID says.
#[derive(Serialize)]
struct Inspected {
    cid: String,
    version: u64,
    multibase: &'static str,
    codec: Code,
    hash: Code,
    digest: String,
    digest_bytes: usize,
    /// The multihash in hexadecimal: by it blocks are found.
    multihash: String,
    cid_v0: Option<String>,
    cid_v1: String,
    /// What an identity CID carries, in hexadecimal.
    content: Option<String>,
    /// Why this program cannot read the content; absent where it can.
    unreadable: Option<String>,
    #[serde(skip)]
    text: Option<String>,
}

#[derive(Serialize)]
struct Code {
    name: String,
    code: u64,
}

impl Inspected {
    fn new(written: &Written) -> Self {
        let Written { cid, base } = written;
        let content = identity_data(cid);
        let printable = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).ok()?;
            Some(text.escape_debug().to_string())
        };
        Self {
            cid: written.text(),
            version: cid.version().into(),
            multibase: base_name(*base),
            codec: Code {
                name: codec_name(cid.codec()),
                code: cid.codec(),
            },
            hash: Code {
                name: hash_name(cid.hash().code()),
                code: cid.hash().code(),
            },
            digest: hex(cid.hash().digest()),
            digest_bytes: cid.hash().digest().len(),
            multihash: hex(&cid.hash().to_bytes()),
            cid_v0: to_v0(cid).map(|v0| v0.to_string()),
            cid_v1: to_v1(cid).to_string(),
            content: content.map(hex),
            unreadable: store::cid::check(cid).err().map(|error| error.to_string()),
            text: content.and_then(printable),
        }
    }

    fn table(&self) -> String {
        let code = |code: &Code| format!("{} ({:#x})", code.name, code.code);
        let none = || "none: that is for dag-pb with sha2-256 only".to_owned();
        let mut rows = vec![
            ("cid", self.cid.clone()),
            ("version", self.version.to_string()),
            ("multibase", self.multibase.to_owned()),
            ("codec", code(&self.codec)),
            ("hash", code(&self.hash)),
            (
                "digest",
                format!("{} ({} bytes)", self.digest, self.digest_bytes),
            ),
            ("multihash", self.multihash.clone()),
            ("version 0", self.cid_v0.clone().unwrap_or_else(none)),
            ("version 1", self.cid_v1.clone()),
        ];
        if let Some(content) = &self.content {
            let text = self.text.as_ref().map(|text| format!("\"{text}\""));
            rows.push(("content", text.unwrap_or_else(|| content.clone())));
        }
        if let Some(why) = &self.unreadable {
            rows.push(("unreadable", why.clone()));
        }
        output::table(&rows)
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
