//! What a campaign came to, as JSON.
//!
//! Owns: [`text_unless`], [`print_json`], [`tallied`]. May call: the campaign's tally.

use std::io::{self, Write};
use std::time::Duration;

use quipu_campaign::tally::Tally;
use serde_json::{Map, Value, json};

/// Where text for people goes: to stdout, or nowhere.
pub(super) fn text_unless(json: bool) -> Box<dyn Write> {
    match json {
        true => Box::new(io::sink()),
        false => Box::new(io::stdout()),
    }
}

/// Prints the fields of some objects as one, in a line.
pub(super) fn print_json(parts: &[Value]) -> anyhow::Result<()> {
    let fields = parts.iter().filter_map(Value::as_object).flatten();
    let all: Map<String, Value> =
        fields.map(|(name, value)| (name.clone(), value.clone())).collect();
    writeln!(io::stdout().lock(), "{}", Value::Object(all))?;
    Ok(())
}

/// The counts of a campaign.
pub(super) fn tallied(tally: &Tally, taken: Duration) -> Value {
    let Tally { scripts, crash_points, tried_wholly, states, inside_recovery, .. } = *tally;
    let Tally { inside_that, kills, went_on, decays, digest, .. } = *tally;
    let rows = tally.coverage.rows().map(|(row, count)| (row.to_string(), json!(count)));
    json!({
        "seeds": scripts,
        "crash_points": crash_points,
        "crash_points_with_every_subset": tried_wholly,
        "states": states,
        "states_inside_recovery": inside_recovery,
        "states_inside_recovery_of_that": inside_that,
        "states_killed": kills,
        "states_appended_to": went_on,
        "states_damaged_at_rest": decays,
        "coverage": rows.collect::<Map<_, _>>(),
        "digest": format!("{digest:016x}"),
        "seconds": taken.as_secs_f64(),
    })
}
