//! The child alone.

fn main() -> std::process::ExitCode {
    plugins::child::run()
}
