//! Locks the current process in: namespaces, an empty root, Landlock and a system call filter.
