//! deployer
fn main() {}
