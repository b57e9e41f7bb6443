//! What happens to waves, told as it happens.

use cli::report::{counted, seconds};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// Something that happened to a wave; a line of `--output ndjson`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct News {
    /// Which wave.
    pub(crate) wave: String,
    /// When.
    time: Timestamp,
    /// What.
    #[serde(flatten)]
    pub(crate) what: Turn,
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[allow(clippy::enum_variant_names, reason = "the names are those of the events: `wave-started`")]
pub(crate) enum Turn {
    /// Its turn has come.
    WaveStarted {
        /// Which of the waves, from 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// Clusters that are deployed now.
        clusters: usize,
    },
    /// It is deployed and must stay well for a while.
    WaveBaking {
        /// How long.
        seconds: f64,
        /// Clusters that are looked at.
        clusters: usize,
    },
    /// Somebody else is asked whether it may go on.
    WaveGate {
        /// Who, without what may be secret.
        gate: String,
    },
    /// Everything that was asked of it holds.
    WavePassed,
    /// The rollout stops in it.
    WaveStopped {
        /// Why.
        because: String,
    },
}

impl News {
    /// For people.
    pub(crate) fn line(&self) -> String {
        let wave = &self.wave;
        match &self.what {
            Turn::WaveStarted { number, of, clusters } => {
                format!("wave `{wave}` ({number} of {of}): {}", counted(*clusters, "cluster"))
            }
            Turn::WaveBaking { seconds: time, clusters } => {
                format!(
                    "wave `{wave}`: {} must stay well for {}",
                    counted(*clusters, "cluster"),
                    seconds(*time)
                )
            }
            Turn::WaveGate { gate } => format!("wave `{wave}`: asking its gate: {gate}"),
            Turn::WavePassed => format!("wave `{wave}`: passed"),
            Turn::WaveStopped { because } => format!("stopped in wave `{wave}`: {because}"),
        }
    }
}

/// Where news of waves go.
pub(crate) struct Teller(UnboundedSender<(News, oneshot::Sender<()>)>);

impl Teller {
    pub(crate) fn new(to: UnboundedSender<(News, oneshot::Sender<()>)>) -> Self {
        Self(to)
    }

    /// Tells it, and comes back when it has been told: what clusters do next is told after it.
    pub(crate) async fn tell(&self, wave: &str, what: Turn) {
        let (told, heard) = oneshot::channel();
        let news = News { wave: wave.to_owned(), time: Timestamp::now(), what };
        if self.0.send((news, told)).is_ok() {
            // A listener that has gone is no reason to stop.
            let _ = heard.await;
        }
    }
}
