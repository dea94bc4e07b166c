//! A failing list of faults made shorter: chunks are left out for as long as what is left still fails.

use super::faults::Step;
use super::scenario::Plan;

/// The plan with as few steps as were found to fail still, trying at most `attempts` plays. What a step's absence would
/// have let happen at its time still has that time.
pub fn shrink(plan: &Plan, attempts: usize, mut fails: impl FnMut(&Plan) -> bool) -> Plan {
    let mut best = plan.clone();
    let mut left = attempts;
    let mut chunk = best.steps.len().div_ceil(2).max(1);
    while left > 0 {
        let mut at = 0;
        let mut is_shorter = false;
        while at < best.steps.len() && left > 0 {
            let shorter = Plan { steps: without(&best.steps, at, chunk), ..best.clone() };
            left -= 1;
            if fails(&shorter) {
                best = shorter;
                is_shorter = true;
            } else {
                at += chunk;
            }
        }
        if chunk > 1 {
            chunk = chunk.div_ceil(2);
        } else if !is_shorter {
            break;
        }
    }
    best
}

/// The steps without some of them. The time they took passes before the next one.
fn without(steps: &[Step], at: usize, count: usize) -> Vec<Step> {
    let end = (at + count).min(steps.len());
    let passed_ms: i64 = steps[at..end].iter().map(|step| step.after_ms).sum();
    let mut left = [&steps[..at], &steps[end..]].concat();
    if let Some(next) = left.get_mut(at) {
        next.after_ms += passed_ms;
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::faults::Fault;

    #[test]
    fn what_is_needed_to_fail_is_what_is_left() {
        let step = |place| Step { after_ms: 10, fault: Fault::Start(place) };
        let plan =
            Plan { seed: 0, voters: 3, observers: 0, clients: 1, last_counter: 1, steps: (0..20).map(step).collect() };
        let has = |plan: &Plan, place| plan.steps.iter().any(|step| step.fault == Fault::Start(place));
        let shortest = shrink(&plan, 200, |plan| has(plan, 3) && has(plan, 17));
        let left: Vec<_> = shortest.steps.iter().map(|step| (step.after_ms, step.fault)).collect();
        assert_eq!(left, [(40, Fault::Start(3)), (140, Fault::Start(17))], "at the times they had");
    }

    #[test]
    fn a_failure_that_needs_nothing_needs_no_step() {
        let step = Step { after_ms: 5, fault: Fault::CrashAll };
        let plan = Plan { seed: 0, voters: 3, observers: 0, clients: 1, last_counter: 1, steps: vec![step; 7] };
        assert_eq!(shrink(&plan, 100, |_| true).steps, []);
        assert_eq!(shrink(&plan, 0, |_| true).steps.len(), 7, "no attempt, no change");
    }
}
