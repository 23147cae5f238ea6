//! Words for the person who runs the program.

/// As [`println!`], but a reader that has gone is no reason to end: who pipes a gateway's output into something that
/// reads a line and leaves wants the line, not the end of the gateway.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($words)*);
    }};
}

/// The same to standard error, as [`eprintln!`] is.
macro_rules! complain {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}
