//! The `quipu` command.
fn main() {
    let _ = quipu_tools::verify::run(std::path::Path::new("x"), false);
}
