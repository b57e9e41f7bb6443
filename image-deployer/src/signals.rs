//! SIGINT, SIGTERM and SIGHUP: the first asks for an orderly stop, the second ends at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cli::Exit;
use gitrepo::Stop;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

/// How long a push that is being sent may take to end after the first signal.
const GRACE: Duration = Duration::from_secs(10);

/// Whether a signal came, and which.
#[derive(Clone, Default)]
pub(crate) struct Interrupted {
    pub(crate) stop: Stop,
    terminated: Arc<AtomicBool>,
    /// Whether there is anything to be ended in good order.
    begun: Arc<AtomicBool>,
}

impl Interrupted {
    /// The exit code that says so.
    pub(crate) fn exit(&self) -> Option<Exit> {
        self.stop.is_asked().then(|| {
            if self.terminated.load(Ordering::SeqCst) { Exit::Terminated } else { Exit::Interrupted }
        })
    }

    /// From now on a push may be on its way.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::SeqCst);
    }

    /// Listens from now on; `say` narrates.
    pub(crate) fn listen(&self, say: impl Fn(&str) + Send + 'static) -> std::io::Result<()> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let this = self.clone();
        std::thread::spawn(move || {
            for signal in signals.forever() {
                let again = this.stop.is_asked();
                this.terminated.store(signal != SIGINT, Ordering::SeqCst);
                this.stop.ask();
                if !this.begun.load(Ordering::SeqCst) {
                    say("interrupted: nothing was written");
                    end(&this);
                }
                if again {
                    end(&this);
                }
                say(
                    "stopping: a push that is being sent is finished, nothing new is begun (again to stop at once)",
                );
                let this = this.clone();
                std::thread::spawn(move || {
                    std::thread::sleep(GRACE);
                    end(&this);
                });
            }
        });
        Ok(())
    }
}

#[allow(clippy::exit, reason = "the user asked twice, or waited long enough")]
fn end(interrupted: &Interrupted) {
    std::process::exit(i32::from(interrupted.exit().unwrap_or(Exit::Interrupted).code()));
}
