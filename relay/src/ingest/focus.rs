//! Where readers look, on its way to the node that is sending the study. A hint: one that gets lost costs time only.

use std::sync::Arc;

use tancho_domain::ids::SiteId;
use tancho_wire::frame::Focus;
use tokio::sync::broadcast;

/// Looks waiting for a session; one that lags behind misses the oldest.
const LOOKS_WAITING_MAX: usize = 256;

/// A reader looks at an instance of a study that this site sent.
#[derive(Debug)]
pub struct Look {
    /// The site that sends the study.
    pub site_id: SiteId,
    /// Study, series, instance.
    pub focus: Focus,
}

/// Passes on where readers look.
#[derive(Debug)]
pub struct Focuses(broadcast::Sender<Arc<Look>>);

impl Default for Focuses {
    fn default() -> Self {
        Self(broadcast::Sender::new(LOOKS_WAITING_MAX))
    }
}

impl Focuses {
    /// Tells the nodes of the site: the bytes near this instance are needed next.
    pub fn look_at(&self, site_id: SiteId, focus: Focus) {
        // Without a node that listens there is nothing to hurry.
        let _ = self.0.send(Arc::new(Look { site_id, focus }));
    }

    /// What is looked at from now on.
    #[must_use]
    pub fn follow(&self) -> broadcast::Receiver<Arc<Look>> {
        self.0.subscribe()
    }
}
