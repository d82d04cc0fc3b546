//! The link's tests: the waist's contract over it, and what happens when the other side is hostile or gone.

mod callee;
mod contract;
mod cut;
mod hostile;
mod raw;
mod stream;
mod world;
