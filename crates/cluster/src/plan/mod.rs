//! x
/// x
#[derive(Clone, Debug, serde::Serialize)]
pub struct ObjectChange;
