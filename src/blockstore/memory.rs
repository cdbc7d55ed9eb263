//! Memory.
/// Memory.
#[derive(Debug)]
pub struct MemoryStore;
