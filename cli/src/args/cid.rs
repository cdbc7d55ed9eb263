//! Verbs about CIDs themselves.

use clap::{Args, Subcommand};

/// CIDs themselves: what they say, and other ways to write them. Needs no repo
#[derive(Debug, Subcommand)]
pub(crate) enum CidVerb {
    /// Print what a CID says: version, codec, hash, digest
    Inspect {
        /// CIDs
        #[arg(value_name = "CID", required = true)]
        cids: Vec<String>,
    },
    Format(CidFormat),
}

/// Write CIDs in another way
///
/// In FORMAT stand: %s the CID, %S without the letter of its base, %P prefix (cidv1-raw-sha2-256-32), %v
/// and %V version, %c and %C codec, %h and %H hash, %L digest length, %m and %M multihash, %d and %D
/// digest, %b and %B base; small letters give names or text with the letter of the base, large ones
/// numbers or text without it. %% is a percent sign.
#[derive(Debug, Args)]
pub(crate) struct CidFormat {
    /// CIDs
    #[arg(value_name = "CID", required = true)]
    pub(crate) cids: Vec<String>,
    /// What to print of each
    #[arg(short, long, value_name = "FORMAT", default_value = "%s")]
    pub(crate) format: String,
    /// The multibase: base16, base32, base36, base58btc, base64url, or its letter [default: as it is]
    #[arg(short, long, value_name = "BASE")]
    pub(crate) base: Option<String>,
    /// Make it this version: 0 or 1
    #[arg(short = 'v', long = "cid-version", value_name = "VERSION")]
    pub(crate) version: Option<u8>,
}
