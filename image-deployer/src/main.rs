//! image-deployer
fn main() {}
