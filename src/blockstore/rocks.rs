//! Rocks.
/// Rocks.
#[derive(Debug)]
pub struct RocksStore;
/// Options.
#[derive(Debug)]
pub struct StoreOptions;
