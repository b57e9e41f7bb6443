//! SIGINT and SIGTERM: the first asks for an orderly stop, the second ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use cli::Exit;
use cluster::stop::StopSwitch;
use tokio::signal::unix::{SignalKind, signal};

/// Which signal has come first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupted(Arc<AtomicU8>);

impl Interrupted {
    /// The exit code that says so.
    pub(crate) fn exit(&self) -> Option<Exit> {
        match self.0.load(Ordering::SeqCst) {
            0 => None,
            1 => Some(Exit::Interrupted),
            _ => Some(Exit::Terminated),
        }
    }

    /// Listens from now on; `say` narrates the first signal.
    pub(crate) fn listen(
        &self,
        switch: StopSwitch,
        say: impl Fn(&str) + Send + 'static,
    ) -> std::io::Result<()> {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let state = self.0.clone();
        tokio::spawn(async move {
            loop {
                let which = tokio::select! {
                    _ = interrupt.recv() => 1,
                    _ = terminate.recv() => 2,
                };
                if state.swap(which, Ordering::SeqCst) != 0 {
                    let exit = if which == 1 { Exit::Interrupted } else { Exit::Terminated };
                    // The user has asked twice: whatever is in flight is abandoned.
                    #[allow(clippy::exit, reason = "the second signal ends at once")]
                    std::process::exit(i32::from(exit.code()));
                }
                say(
                    "stopping: what is in flight is finished, nothing new is written (again to stop at once)",
                );
                switch.stop();
            }
        });
        Ok(())
    }
}
