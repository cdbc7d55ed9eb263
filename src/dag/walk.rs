//! [`Walk`]: sans-IO traversal.
/// A walk.
#[derive(Debug)]
pub struct Walk;
