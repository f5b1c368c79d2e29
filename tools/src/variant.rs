//! How a log is stored, prepared and synced: what the campaigns draw and hand to their writers.
//!
//! Owns: [`Variant`], which goes into another process as arguments and comes out of them again. May
//! call: the engine's options.

use std::fmt;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use quipu::{Durability, Log, Options, Preparation, StoreMode};

/// The choices of one opening of a log.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Variant {
    /// How frames get into a segment.
    #[arg(long, default_value = "by-size", value_parser = named(&STORE_MODES))]
    pub store_mode: StoreMode,
    /// How a segment gets its blocks.
    #[arg(long, default_value = "populate", value_parser = named(&PREPARATIONS))]
    pub preparation: Preparation,
    /// When batches are acknowledged.
    #[arg(long, default_value = "mixed", value_parser = named(&DURABILITIES))]
    pub durability: Acknowledging,
    /// The size of a segment.
    #[arg(long, default_value_t = 256 << 10)]
    pub segment_bytes: u64,
}

/// When the batches of a log are acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acknowledging {
    /// Each order says it itself: about half of them either way.
    #[default]
    Mixed,
    /// All of them in one way.
    Always(Durability),
}

const STORE_MODES: [(&str, StoreMode); 3] =
    [("mapped", StoreMode::Mapped), ("positioned", StoreMode::Positioned), ("by-size", BY_SIZE)];
/// With a bound that orders fall on both sides of.
const BY_SIZE: StoreMode = StoreMode::BySize { positioned_from: 512 };
const PREPARATIONS: [(&str, Preparation); 2] =
    [("populate", Preparation::Populate), ("direct-zeros", Preparation::DirectZeros)];
const DURABILITIES: [(&str, Acknowledging); 3] = [
    ("mixed", Acknowledging::Mixed),
    ("sync", Acknowledging::Always(Durability::Sync)),
    ("buffered", Acknowledging::Always(Durability::Buffered)),
];

impl Variant {
    /// Every way to store with every way to prepare.
    #[must_use]
    pub fn all(segment_bytes: u64) -> Vec<Self> {
        let mut all = Vec::new();
        for (_, store_mode) in STORE_MODES {
            for (_, preparation) in PREPARATIONS {
                let durability = Acknowledging::Mixed;
                all.push(Self { store_mode, preparation, durability, segment_bytes });
            }
        }
        all
    }

    /// Any of them, with segments of one of the given sizes.
    #[must_use]
    pub fn draw(random: &mut fastrand::Rng, segment_bytes: &[u64]) -> Self {
        let default = Self::default();
        Self {
            store_mode: random.choice(STORE_MODES).map_or(default.store_mode, |named| named.1),
            preparation: random.choice(PREPARATIONS).map_or(default.preparation, |named| named.1),
            durability: random.choice(DURABILITIES).map_or(default.durability, |named| named.1),
            segment_bytes: random.choice(segment_bytes).map_or(default.segment_bytes, |size| *size),
        }
    }

    /// The engine's options.
    pub fn options(&self) -> Options {
        Log::options()
            .segment_bytes(self.segment_bytes)
            .store_mode(self.store_mode)
            .preparation(self.preparation)
    }

    /// What an order's batch is acknowledged on, which by itself says `own`.
    #[must_use]
    pub fn durability_of(&self, own: Durability) -> Durability {
        match self.durability {
            Acknowledging::Mixed => own,
            Acknowledging::Always(durability) => durability,
        }
    }

    /// The arguments that another process makes the same of.
    #[must_use]
    pub fn arguments(&self) -> [String; 8] {
        [
            "--store-mode".to_owned(),
            name_in(&STORE_MODES, &self.store_mode).to_owned(),
            "--preparation".to_owned(),
            name_in(&PREPARATIONS, &self.preparation).to_owned(),
            "--durability".to_owned(),
            name_in(&DURABILITIES, &self.durability).to_owned(),
            "--segment-bytes".to_owned(),
            self.segment_bytes.to_string(),
        ]
    }

    /// How it stores and prepares, in words.
    #[must_use]
    pub fn described(&self) -> String {
        let mode = name_in(&STORE_MODES, &self.store_mode);
        format!("{mode}, {}", name_in(&PREPARATIONS, &self.preparation))
    }
}

impl Default for Variant {
    fn default() -> Self {
        Self {
            store_mode: BY_SIZE,
            preparation: Preparation::default(),
            durability: Acknowledging::Mixed,
            segment_bytes: 256 << 10,
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let durability = name_in(&DURABILITIES, &self.durability);
        write!(
            f,
            "{}, {durability}, segments of {} KiB",
            self.described(),
            self.segment_bytes >> 10
        )
    }
}

/// Takes one of the names and gives what it stands for.
fn named<T>(names: &'static [(&'static str, T)]) -> impl TypedValueParser<Value = T>
where
    T: Copy + Default + Send + Sync + 'static,
{
    let parser = PossibleValuesParser::new(names.iter().map(|(name, _)| *name));
    parser.map(|given| {
        let found = names.iter().find(|(name, _)| *name == given);
        found.map_or_else(T::default, |(_, value)| *value)
    })
}

fn name_in<T: PartialEq>(names: &'static [(&'static str, T)], value: &T) -> &'static str {
    names.iter().find(|(_, named)| named == value).map_or("?", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        variant: Variant,
    }

    #[test]
    fn every_variant_comes_out_of_its_own_arguments() {
        let mut random = fastrand::Rng::with_seed(1);
        let drawn = (0..100).map(|_| Variant::draw(&mut random, &[8 << 10, 64 << 10]));
        for variant in drawn.chain(Variant::all(16 << 10)) {
            let arguments = std::iter::once("program".to_owned()).chain(variant.arguments());
            assert_eq!(Program::parse_from(arguments).variant, variant);
        }
        assert_eq!(Program::parse_from(["program"]).variant, Variant::default());
        assert!(Program::try_parse_from(["program", "--store-mode", "floating"]).is_err());
    }
}
