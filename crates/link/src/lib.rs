//! The waist over a byte stream: what crosses between the process that holds bindings and sockets and a child that runs workers.
