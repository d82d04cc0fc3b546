//! One site for every host name.

use atoll_edge::{Site, Sites};
use std::sync::{Arc, PoisonError, RwLock};

/// The project, whatever the client calls it.
#[derive(Default)]
pub(crate) struct DevSites {
    site: RwLock<Option<Arc<Site>>>,
}

impl DevSites {
    pub(crate) fn set(&self, site: Site) {
        *self.site.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(site));
    }
}

impl Sites for DevSites {
    fn site(&self, _host: &str, _path: &str) -> Option<Arc<Site>> {
        self.site.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
