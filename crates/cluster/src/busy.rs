//! How many clusters are planned and written to at a time: those are what takes memory (manifests, live objects and plans are
//! trees) and CPU. A cluster that only waits for its pods takes neither, so that far more of them may be in flight.
//!
//! A cluster takes a place before its manifests are read and gives it back when it begins to wait, for whatever it is.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of a run, and the one that a cluster may hold.
#[derive(Clone, Default)]
pub struct Busy {
    /// None where there is no bound.
    places: Option<Arc<Semaphore>>,
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl fmt::Debug for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Busy").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Busy {
    /// At most so many clusters at a time.
    pub fn at_most(clusters: usize) -> Self {
        Self { places: Some(Arc::new(Semaphore::new(clusters))), held: Arc::default() }
    }

    /// For another cluster of the same run: the same places, none of them held.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { places: self.places.clone(), held: Arc::default() }
    }

    /// Waits for a place; nothing to wait for where one is held already.
    pub async fn begin(&self) {
        let Some(places) = self.places.clone() else { return };
        if self.held.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return;
        }
        // Closed only when the process ends.
        let place = places.acquire_owned().await.ok();
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }

    /// Gives the place back, if one is held.
    pub fn rest(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures::future::join_all;
    use tokio::sync::Barrier;

    use super::*;

    #[tokio::test]
    async fn all_wait_at_once_while_only_a_few_work_at_a_time() {
        let busy = Busy::at_most(3);
        let (working, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        // Passed only when all twenty have come to it.
        let everybody_waits = Barrier::new(20);
        let clusters = (0..20).map(async |_| {
            let busy = busy.another();
            busy.begin().await;
            most.fetch_max(working.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(10)).await;
            working.fetch_sub(1, Ordering::Relaxed);
            busy.rest();
            everybody_waits.wait().await;
        });
        tokio::time::timeout(Duration::from_secs(5), join_all(clusters)).await.unwrap();
        assert_eq!(most.into_inner(), 3);
    }

    #[tokio::test]
    async fn a_place_comes_back_also_from_a_cluster_that_has_ended_in_a_panic() {
        let busy = Busy::at_most(1);
        let one = busy.another();
        let ended = tokio::spawn(async move {
            one.begin().await;
            panic!("a bug");
        });
        assert!(ended.await.is_err());
        tokio::time::timeout(Duration::from_secs(1), busy.begin()).await.unwrap();
    }
}
