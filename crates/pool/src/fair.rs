//! Who runs next: deficit round robin over tenants, charged afterwards with what each really used.
//!
//! Shreedhar and Varghese, "Efficient Fair Queueing using Deficit Round Robin" (SIGCOMM 1995), with one change: the cost
//! of a turn is unknown before it ran, so a tenant is served while its deficit is positive and pays afterwards, possibly
//! into debt. A tenant in debt is passed over until its rounds' quanta have paid it.
//!
//! Nobody pays for idle capacity: when the queue runs empty a new *busy period* begins and all debts are forgotten.
//!
//! Pure: no clock, no threads.

use std::collections::VecDeque;

/// A tenant's place in a [`FairQueue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TenantKey(usize);

#[derive(Debug)]
struct Tenant<T> {
    /// What it may still use before the others are served, nanoseconds; negative is debt. Valid in `period` only.
    deficit_ns: i64,
    period: u64,
    waiting: VecDeque<T>,
    /// It stands in `FairQueue::round`.
    in_round: bool,
    members: usize,
}

/// Items that wait for a permit, by tenant.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    tenants: Vec<Tenant<T>>,
    free: Vec<usize>,
    /// Tenants with waiting items, the one to be served next first.
    round: VecDeque<usize>,
    waiting: usize,
    period: u64,
    quantum_ns: i64,
    debt_max_ns: i64,
}

impl<T> FairQueue<T> {
    /// `quantum_ns`: what one tenant may use before the next is served. `debt_max_ns`: the most a tenant can owe.
    pub(crate) fn new(quantum_ns: i64, debt_max_ns: i64) -> Self {
        Self {
            tenants: Vec::new(),
            free: Vec::new(),
            round: VecDeque::new(),
            waiting: 0,
            period: 0,
            quantum_ns: quantum_ns.max(1),
            debt_max_ns: debt_max_ns.max(0),
        }
    }

    /// A new tenant with one member.
    pub(crate) fn join(&mut self) -> TenantKey {
        let tenant = Tenant {
            deficit_ns: 0,
            period: self.period,
            waiting: VecDeque::new(),
            in_round: false,
            members: 1,
        };
        match self.free.pop() {
            Some(index) => {
                self.tenants[index] = tenant;
                TenantKey(index)
            }
            None => {
                self.tenants.push(tenant);
                TenantKey(self.tenants.len() - 1)
            }
        }
    }

    /// One more member of a tenant.
    pub(crate) fn join_again(&mut self, key: TenantKey) {
        self.tenants[key.0].members += 1;
    }

    /// One member less; true when it was the last and the key is void. A member that leaves waits for nothing.
    pub(crate) fn leave(&mut self, key: TenantKey) -> bool {
        let tenant = &mut self.tenants[key.0];
        tenant.members -= 1;
        if tenant.members > 0 {
            return false;
        }
        debug_assert!(
            tenant.waiting.is_empty(),
            "the last member of a tenant left while it waited"
        );
        if tenant.in_round {
            tenant.in_round = false;
            self.round.retain(|index| *index != key.0);
        }
        self.free.push(key.0);
        true
    }

    /// How many items wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Queues an item behind the others of its tenant.
    pub(crate) fn push(&mut self, key: TenantKey, item: T) {
        self.refresh(key);
        let tenant = &mut self.tenants[key.0];
        tenant.waiting.push_back(item);
        self.waiting += 1;
        if !tenant.in_round {
            tenant.in_round = true;
            self.round.push_back(key.0);
        }
    }

    /// Takes the item that is to run next.
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.waiting == 0 {
            return None;
        }
        if let Some(item) = self.pop_in_one_round() {
            return Some(item);
        }
        // Everybody is in debt: give as many rounds at once as free the least indebted.
        let least = self
            .round
            .iter()
            .map(|i| -self.tenants[*i].deficit_ns)
            .min()
            .unwrap_or(0);
        let rounds = least / self.quantum_ns + 1;
        for index in &self.round {
            self.tenants[*index].deficit_ns += rounds * self.quantum_ns;
        }
        self.pop_in_one_round()
    }

    /// Walks at most one round.
    fn pop_in_one_round(&mut self) -> Option<T> {
        for _ in 0..self.round.len() {
            let index = *self.round.front()?;
            let tenant = &mut self.tenants[index];
            if tenant.waiting.is_empty() {
                // Emptied since: it leaves the round. A credit does not outlive its use, a debt does.
                tenant.in_round = false;
                tenant.deficit_ns = tenant.deficit_ns.min(0);
                self.round.pop_front();
                continue;
            }
            if tenant.deficit_ns <= 0 {
                tenant.deficit_ns += self.quantum_ns;
                self.round.rotate_left(1);
                continue;
            }
            let item = tenant.waiting.pop_front()?;
            self.waiting -= 1;
            if self.waiting == 0 {
                self.end_period();
            }
            return Some(item);
        }
        None
    }

    /// Charges a tenant with what a turn used; a negative cost is a refund.
    pub(crate) fn charge(&mut self, key: TenantKey, cost_ns: i64) {
        if self.waiting == 0 {
            return;
        }
        self.refresh(key);
        let tenant = &mut self.tenants[key.0];
        tenant.deficit_ns = (tenant.deficit_ns - cost_ns).clamp(-self.debt_max_ns, self.quantum_ns);
    }

    fn end_period(&mut self) {
        self.period += 1;
        for index in self.round.drain(..) {
            self.tenants[index].in_round = false;
        }
    }

    fn refresh(&mut self, key: TenantKey) {
        let tenant = &mut self.tenants[key.0];
        if tenant.period != self.period {
            tenant.period = self.period;
            tenant.deficit_ns = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every tenant always has an item waiting and each of its turns costs what `costs` says; returns what each used.
    fn saturate(costs: &[i64], turns: usize) -> Vec<i64> {
        let mut queue = FairQueue::new(1_000, 1_000_000);
        let keys: Vec<TenantKey> = costs.iter().map(|_| queue.join()).collect();
        for (index, key) in keys.iter().enumerate() {
            queue.push(*key, index);
            queue.push(*key, index);
        }
        let mut used = vec![0; costs.len()];
        for _ in 0..turns {
            let index = queue.pop().expect("someone waits");
            used[index] += costs[index];
            queue.charge(keys[index], costs[index]);
            queue.push(keys[index], index);
        }
        used
    }

    #[test]
    fn tenants_get_equal_shares_whatever_a_turn_costs() {
        let check = |costs: &[i64], turns: usize| {
            let used = saturate(costs, turns);
            let largest = *costs.iter().max().unwrap();
            let (low, high) = (used.iter().min().unwrap(), used.iter().max().unwrap());
            // DRR's bound: shares differ by at most a turn and a quantum each way.
            assert!(high - low <= 2 * (largest + 1_000), "{costs:?}: {used:?}");
            assert!(*low > 0, "{costs:?}: {used:?}");
        };
        check(&[500, 500], 1_000);
        check(&[10, 10_000], 20_000);
        check(&[100, 900, 2_000], 20_000);
        check(&[1, 1, 1, 100_000], 400_000);
    }

    #[test]
    fn a_tenant_alone_is_served_in_order() {
        let mut queue = FairQueue::new(1_000, 10_000);
        let key = queue.join();
        for item in 0..5 {
            queue.push(key, item);
        }
        for expected in 0..5 {
            assert_eq!(queue.pop(), Some(expected));
            queue.charge(key, 50_000);
        }
        assert_eq!(queue.pop(), None);
        assert_eq!(queue.waiting(), 0);
    }

    #[test]
    fn many_members_of_one_tenant_do_not_crowd_out_another() {
        let mut queue = FairQueue::new(1_000, 1_000_000);
        let (crowd, single) = (queue.join(), queue.join());
        for _ in 0..100 {
            queue.push(crowd, "crowd");
        }
        queue.push(single, "single");
        let mut before = 0;
        loop {
            match queue.pop().expect("both wait") {
                "single" => break,
                _ => queue.charge(crowd, 1_000),
            }
            before += 1;
        }
        assert!(before <= 2, "{before} turns of the crowd first");
    }

    #[test]
    fn debts_end_with_the_busy_period_and_are_bounded() {
        let mut queue = FairQueue::new(1_000, 5_000);
        let (hog, other) = (queue.join(), queue.join());
        queue.push(hog, "hog");
        queue.push(other, "other");
        queue.push(other, "other");
        assert_eq!(queue.pop(), Some("hog"));
        queue.charge(hog, i64::MAX / 2);
        queue.push(hog, "hog");
        let mut order = Vec::new();
        for _ in 0..8 {
            let item = queue.pop().expect("both wait");
            order.push(item);
            if item == "other" {
                queue.charge(other, 1_000);
                queue.push(other, "other");
            } else {
                queue.charge(hog, 1_000);
                queue.push(hog, "hog");
            }
        }
        let hogs = order.iter().filter(|item| **item == "hog").count();
        assert!(hogs >= 1, "the debt is bounded: {order:?}");
        assert_eq!(order[0], "other");
        while queue.pop().is_some() {}
        // Alone, or first in a new period: nothing is owed.
        queue.charge(hog, 1_000_000);
        queue.push(hog, "hog");
        queue.push(other, "other");
        assert_eq!(queue.pop(), Some("hog"));
    }

    #[test]
    fn places_are_reused() {
        let mut queue = FairQueue::<u8>::new(1, 1);
        let first = queue.join();
        queue.join_again(first);
        assert!(!queue.leave(first));
        assert!(queue.leave(first));
        assert_eq!(queue.join(), first);
    }
}
