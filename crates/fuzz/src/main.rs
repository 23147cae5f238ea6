//! One target under libFuzzer, chosen by `WAYPOST_FUZZ_TARGET`. `cargo xtask fuzz` builds and runs it.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod chosen {
    use std::sync::LazyLock;

    use fuzz::Target;

    /// Every target of every crate.
    fn all() -> impl Iterator<Item = &'static Target> {
        let lists =
            [fuzz::TARGETS, api::fuzz::TARGETS, gateway::fuzz::TARGETS, whatsapp::fuzz::TARGETS];
        lists.into_iter().flatten()
    }

    static CHOSEN: LazyLock<fn(&[u8])> = LazyLock::new(|| {
        let name = std::env::var("WAYPOST_FUZZ_TARGET").unwrap_or_default();
        let found = all().find(|(target, ..)| *target == name);
        let names = || all().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ");
        let (_, target, seeds) =
            found.unwrap_or_else(|| panic!("WAYPOST_FUZZ_TARGET is one of {}", names()));
        // The seeds are tried first, and lie in the folder that the next run begins with.
        if let Some(folder) = std::env::var_os("WAYPOST_FUZZ_SEEDS") {
            for (at, seed) in seeds.iter().enumerate() {
                let _ =
                    std::fs::write(std::path::Path::new(&folder).join(format!("seed-{at}")), seed);
            }
        }
        *target
    });

    libfuzzer_sys::fuzz_target!(|bytes: &[u8]| CHOSEN(bytes));
}

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("built without the fuzzer: run `cargo xtask fuzz`");
    std::process::exit(2);
}
