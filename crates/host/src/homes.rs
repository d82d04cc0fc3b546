//! Places for connections beside the isolates that answer them, for a process with one worker: the pool's, for those who listen.

use crate::Host;
use std::io;
use tokio::runtime::Handle;

impl Host {
    /// From now on isolates live on the threads of `count` homes: see [`atoll_pool::Pool::open_homes`]. For a process with one worker,
    /// before it is deployed.
    ///
    /// # Errors
    /// The system refuses threads or descriptors.
    pub fn open_homes(&self, count: usize, moves: bool) -> io::Result<()> {
        self.pool.open_homes(count, moves).map(|_| ())
    }

    /// The runtime where a connection that comes now should live, if not where it is.
    pub fn home(&self) -> Option<Handle> {
        self.pool.homes()?.home()
    }
}
