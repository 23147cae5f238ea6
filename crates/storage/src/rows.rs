//! Many rows in one statement.
//!
//! A statement is written for one row, `… values ($1, $2)` or `… in ($1)`, and widened to a few fixed numbers of rows,
//! so that the database compiles each of them once.

use std::sync::OnceLock;

/// The widths, widest first.
const WIDTHS: [usize; 5] = [128, 32, 8, 2, 1];

/// A statement that can be widened.
pub(crate) struct Wide {
    one: &'static str,
    columns: usize,
    widened: OnceLock<[&'static str; WIDTHS.len()]>,
}

impl Wide {
    /// `one` holds the group of its parameters exactly once: `($1, …, $columns)`.
    pub(crate) const fn new(one: &'static str, columns: usize) -> Self {
        Self { one, columns, widened: OnceLock::new() }
    }

    /// Cuts items into runs, each with the statement for its length.
    pub(crate) fn runs<'a, T>(
        &'a self,
        items: &'a [T],
    ) -> impl Iterator<Item = (&'static str, &'a [T])> {
        let statements = self.statements();
        let mut rest = items;
        std::iter::from_fn(move || {
            let place = WIDTHS.iter().position(|width| *width <= rest.len())?;
            let (run, left) = rest.split_at(WIDTHS[place]);
            rest = left;
            Some((statements[place], run))
        })
    }

    fn statements(&self) -> &[&'static str; WIDTHS.len()] {
        // A handful of texts for the life of the process.
        self.widened
            .get_or_init(|| WIDTHS.map(|width| &*Box::leak(self.widen(width).into_boxed_str())))
    }

    fn widen(&self, width: usize) -> String {
        let numbers: Vec<String> = (1..=self.columns).map(|column| format!("${column}")).collect();
        let one = format!("({})", numbers.join(", "));
        // Without names: SQLite would look for the name of each parameter among all of them.
        let group = vec!["?"; self.columns].join(", ");
        // A list has one pair of brackets, rows have one each.
        let list = self.one.contains(&format!("in {one}"));
        let many = if list {
            format!("({})", vec![group; width].join(", "))
        } else {
            vec![format!("({group})"); width].join(", ")
        };
        self.one.replacen(&one, &many, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static INSERT: Wide =
        Wide::new("insert into meta (key, value) values ($1, $2) on conflict (key) do nothing", 2);
    static DELETE: Wide = Wide::new("delete from meta where key in ($1) returning key", 1);

    #[test]
    fn statements_are_widened_in_their_brackets() {
        assert_eq!(
            INSERT.widen(2),
            "insert into meta (key, value) values (?, ?), (?, ?) on conflict (key) do nothing"
        );
        assert_eq!(DELETE.widen(3), "delete from meta where key in (?, ?, ?) returning key");
    }

    #[test]
    fn every_item_is_in_exactly_one_run() {
        let items: Vec<u32> = (0..171).collect();
        let runs: Vec<_> = DELETE.runs(&items).collect();
        assert_eq!(runs.iter().map(|(_, run)| run.len()).collect::<Vec<_>>(), [128, 32, 8, 2, 1]);
        assert_eq!(runs.iter().flat_map(|(_, run)| run.iter().copied()).collect::<Vec<_>>(), items);
        assert_eq!(INSERT.runs(&items[..0]).count(), 0);
    }
}
