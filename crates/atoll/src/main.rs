//! (skeleton)
fn main(){}
