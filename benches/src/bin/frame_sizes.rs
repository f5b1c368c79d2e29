//! From which size on is a positioned write quicker than a copy into the mapping? Both ways of
//! storing in turn, round by round, in one process.
//!
//! `frame_sizes [DIR] [ROUNDS]`

use std::path::PathBuf;
use std::time::Duration;

use quipu::{Batch, Durability, Event, Log, StoreMode};
use quipu_bench::machine;
use quipu_bench::measure::{Failure, Ratios, rate};

const SIZES: [usize; 9] =
    [256, 1 << 10, 2 << 10, 4 << 10, 8 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];

const ROUND: Duration = Duration::from_millis(300);

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let rounds = arguments.next().map_or(Ok(7), |rounds| rounds.parse())?;
    let root = tempfile::tempdir_in(dir)?;
    println!("{}", machine::describe(root.path()));
    println!(
        "payload bytes  durability  mapped /s  positioned /s  positioned's time: median (least, most)"
    );
    for durability in [Durability::Sync, Durability::Buffered] {
        for bytes in SIZES {
            let open = |name: &str, mode| {
                let options = Log::options().store_mode(mode);
                options.durability(durability).open(root.path().join(name))
            };
            let logs =
                [open("mapped", StoreMode::Mapped)?, open("positioned", StoreMode::Positioned)?];
            let payload = vec![7; bytes];
            let append = |log: &Log| {
                let batch = || Batch::new().event("order-1", Event::new("OrderPlaced", &payload));
                rate(ROUND, || Ok(log.append(batch()).map(drop)?))
            };
            let mut ratios = Ratios::default();
            for round in 0..=rounds {
                let [mapped, positioned] = [append(&logs[0])?, append(&logs[1])?];
                if round > 0 {
                    ratios.add(positioned, mapped);
                }
            }
            let ((positioned, mapped), (median, least, most)) = (ratios.medians(), ratios.ratio());
            println!(
                "{bytes:>13}  {durability:<10?}  {mapped:>9.0}  {positioned:>13.0}  {median:.2} ({least:.2}, {most:.2})"
            );
            for log in logs {
                log.close()?;
            }
            for name in ["mapped", "positioned"] {
                std::fs::remove_dir_all(root.path().join(name))?;
            }
        }
    }
    Ok(())
}
