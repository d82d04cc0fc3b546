//! The corpus of ways inside, all of it, and some permutations. It needs a network of its own, which a second start of this
//! program has.

use crate::ssrf::{Report, network, permutations, table};

fn inside(test: &str, body: impl Future<Output = Report>, rows_min: usize) {
    if !network::entered() {
        let arguments = [test, "--exact", "--nocapture", "--test-threads=1"].map(str::to_owned);
        assert!(network::enter(&arguments).success(), "it failed inside: see above");
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let report = runtime.block_on(body);
    println!("{}", report.summary());
    assert!(
        report.wrong.is_empty(),
        "{}\n{}",
        report.summary(),
        report.wrong.join("\n")
    );
    assert_eq!(report.escapes, 0);
    assert!(report.rows >= rows_min, "{}", report.summary());
    assert!(report.live * 3 >= report.rows * 2, "{}", report.summary());
}

#[test]
fn nothing_of_the_corpus_gets_inside() {
    inside("corpus::nothing_of_the_corpus_gets_inside", table(), 400);
}

#[test]
fn no_permutation_gets_inside() {
    inside("corpus::no_permutation_gets_inside", permutations(1, 200), 200);
}
