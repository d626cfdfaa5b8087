//! A demo in the browser.

use std::sync::Arc;

use tokio::{net::TcpListener, task::JoinHandle};

use super::Demo;
use crate::{
    pages::{self, DemoLink},
    people,
};

impl Demo {
    /// Serves the pages of this demo until aborted, and tells where they are.
    pub fn serve_pages(&mut self, listener: TcpListener, demo: DemoLink) -> JoinHandle<()> {
        self.collector.suggest(format!("in your browser: {}", pages::url(&listener)));
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let (witnesses, guard) = (self.witnesses.clone(), pages::guard_of_process());
        let access = people::of_demo(&self.file, &self.clock, listener.local_addr().ok());
        pages::serve(listener, pages::Parts { store, clock, witnesses, guard, access, demo: Some(demo) })
    }
}
