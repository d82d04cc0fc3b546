//! Places for connections beside the isolates that answer them, for a process with one worker: the pool's, for those who listen.

use crate::Host;
use std::io;
use tokio::runtime::Handle;

impl Host {
    /// From now on isolates live on the threads of connections, one for each core: see [`atoll_pool::Homes`]. For a process with one
    /// worker, before it is deployed.
    ///
    /// # Errors
    /// The system refuses threads or descriptors.
    pub fn open_homes(&self) -> io::Result<()> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.pool.open_homes(cores).map(|_| ())
    }

    /// The runtime where a connection that comes now should live, if not where it is.
    pub fn home(&self) -> Option<Handle> {
        self.pool.homes()?.home()
    }
}
