//! The UnixFS message inside a dag-pb node's data.

/// Why bytes are not a UnixFS message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Malformed protobuf.
    #[error("{0}")]
    Malformed(String),
}
