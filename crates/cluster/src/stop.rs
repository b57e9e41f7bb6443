//! The wish to stop: no new writes, what is in flight is finished, the report says what was and was not done.

use tokio::sync::watch;

/// Set once, seen by everybody who has a clone.
#[derive(Clone, Debug)]
pub struct Stop {
    wanted: watch::Receiver<bool>,
}

/// Who may set it.
#[derive(Debug)]
pub struct StopSwitch(watch::Sender<bool>);

impl Stop {
    /// Not set, with the switch that sets it.
    pub fn new() -> (StopSwitch, Self) {
        let (switch, wanted) = watch::channel(false);
        (StopSwitch(switch), Self { wanted })
    }

    /// Whether it has been set.
    pub fn is_set(&self) -> bool {
        *self.wanted.borrow()
    }

    /// Comes back when it is set; never, if nobody can set it any more.
    pub async fn set(&self) {
        let mut wanted = self.wanted.clone();
        if wanted.wait_for(|wanted| *wanted).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl StopSwitch {
    /// Sets it.
    pub fn stop(&self) {
        let _ = self.0.send(true);
    }
}
