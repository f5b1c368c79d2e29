//! Makes a failing script smaller.
//!
//! Owns: [`shrink`]. Calls what it is given. Takes away lives, steps, mishaps, events and bytes, as
//! long as what is left still fails: a person reads the rest.

use quipu::Durability;

use crate::script::{Draft, Life, Part, Script, Step};
use crate::sought::Traits;

/// The smallest script that it comes to for which `fails` still gives something, and that.
/// Tries at most `attempts` scripts.
pub fn shrink<F>(
    script: Script,
    failure: F,
    attempts: u32,
    mut fails: impl FnMut(&Script) -> Option<F>,
) -> (Script, F) {
    let (mut best, mut failure, mut left) = (script, failure, attempts);
    'again: loop {
        for candidate in smaller(&best) {
            if left == 0 {
                return (best, failure);
            }
            left -= 1;
            if let Some(found) = fails(&candidate) {
                (best, failure) = (candidate, found);
                continue 'again;
            }
        }
        return (best, failure);
    }
}

/// Scripts with a little less to them, those with much less first.
fn smaller(script: &Script) -> Vec<Script> {
    let mut found = Vec::new();
    for place in 0..script.lives.len() {
        let mut less = script.clone();
        less.lives.remove(place);
        found.push(less);
    }
    for (place, life) in script.lives.iter().enumerate() {
        found.extend(smaller_lives(life).into_iter().map(|life| {
            let mut less = script.clone();
            if let Some(target) = less.lives.get_mut(place) {
                *target = life;
            }
            less
        }));
    }
    found
}

fn smaller_lives(life: &Life) -> Vec<Life> {
    let mut found = Vec::new();
    let count = life.steps.len();
    for length in [count / 2, count / 4, 1] {
        for start in (0..count).step_by(length.max(1)) {
            let mut less = life.clone();
            less.steps.drain(start..(start + length.max(1)).min(count));
            found.push(less);
        }
    }
    for place in 0..life.mishaps.len() {
        let mut less = life.clone();
        less.mishaps.remove(place);
        found.push(less);
    }
    for (place, step) in life.steps.iter().enumerate() {
        found.extend(smaller_steps(step).into_iter().map(|step| {
            let mut less = life.clone();
            if let Some(target) = less.steps.get_mut(place) {
                *target = step;
            }
            less
        }));
    }
    if life.segment_pages > 2 {
        found.push(Life { segment_pages: 2, ..life.clone() });
    }
    found
}

fn smaller_steps(step: &Step) -> Vec<Step> {
    let parts = match step {
        Step::Append(draft) => {
            return smaller_drafts(draft).into_iter().map(Step::Append).collect();
        }
        Step::Together(parts) => parts,
        _ => return Vec::new(),
    };
    let mut found = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        let mut fewer = parts.clone();
        fewer.remove(place);
        found.push(Step::Together(fewer));
        let Part::New(draft) = part else { continue };
        found.extend(smaller_drafts(draft).into_iter().map(|draft| {
            let mut less = parts.clone();
            if let Some(target) = less.get_mut(place) {
                *target = Part::New(draft);
            }
            Step::Together(less)
        }));
    }
    found
}

fn smaller_drafts(draft: &Draft) -> Vec<Draft> {
    let mut found = Vec::new();
    let mut keep = |change: &dyn Fn(&mut Draft)| {
        let mut less = draft.clone();
        change(&mut less);
        let Draft { events, expectations, queries, checkpoints, .. } = &less;
        let is_nothing = events.is_empty()
            && expectations.is_empty()
            && queries.is_empty()
            && checkpoints.is_empty();
        if less != *draft && !is_nothing {
            found.push(less);
        }
    };
    keep(&|less| less.events.truncate(1));
    keep(&|less| less.idempotent = false);
    keep(&|less| less.expectations.clear());
    keep(&|less| less.queries.clear());
    keep(&|less| less.checkpoints.clear());
    keep(&|less| less.checkpoints.truncate(1));
    keep(&|less| less.queries.truncate(1));
    keep(&|less| less.events.iter_mut().for_each(|event| event.traits = Traits::default()));
    keep(&|less| less.events.iter_mut().for_each(|event| event.payload_bytes = 0));
    keep(&|less| less.events.iter_mut().for_each(|event| event.stream = 0));
    keep(&|less| less.durability = Durability::Buffered);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_is_taken_away() {
        let mut rng = fastrand::Rng::with_seed(5);
        let has_large = |script: &Script| {
            let steps = script.lives.iter().flat_map(|life| &life.steps);
            let events = steps.filter_map(|step| match step {
                Step::Append(draft) => Some(&draft.events),
                _ => None,
            });
            events.flatten().any(|event| event.payload_bytes > 1000).then_some(())
        };
        let script = std::iter::repeat_with(|| Script::draw(&mut rng, true))
            .find(|script| has_large(script).is_some())
            .unwrap();
        let (small, ()) = shrink(script, (), 10_000, has_large);
        assert_eq!(small.lives.len(), 1);
        assert!(small.lives[0].steps.len() == 1 && small.lives[0].mishaps.is_empty());
        let Step::Append(draft) = &small.lives[0].steps[0] else { panic!("{small}") };
        assert!(draft.events.iter().any(|event| event.payload_bytes > 1000));
        assert!(draft.expectations.is_empty() && draft.queries.is_empty() && !draft.idempotent);
    }
}
