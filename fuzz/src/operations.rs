//! A sequence of operations, with failing calls, against the model.

use quipu_campaign::campaign::attempt;
use quipu_campaign::draw::Bytes;
use quipu_campaign::effort::Effort;
use quipu_campaign::script::Script;

/// Reads a script from `data`, two bytes a choice, runs it, and cuts the power before every effect of
/// it, with nothing, with all, and with a sample of what is in flight. Gives the number of states.
///
/// # Panics
/// Where a promise of the log is broken.
pub fn operations(data: &[u8]) -> u64 {
    let Some((seed, choices)) = data.split_first() else { return 0 };
    let script = Script::draw(&mut Bytes(choices), seed % 2 == 1);
    let effort = Effort { subsets_max: 4, sampled: 3, decays: 4, ..Effort::default() };
    let (tally, outcome) = attempt(&script, u64::from(*seed), &effort);
    if let Err(found) = outcome {
        panic!("{script}\n{found}");
    }
    tally.states
}
