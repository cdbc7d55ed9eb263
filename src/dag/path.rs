//! Resolving `CID/path/segments`.
