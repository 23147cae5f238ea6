//! Many rows in one statement.
//!
//! A statement is written for one row, `… values ($1, $2)` or `… in ($1)`, and widened to a few fixed numbers of rows,
//! so that the database compiles each of them once. Where a statement is a way to a server and back, fewer and wider ones
//! are taken.

use std::sync::OnceLock;

use crate::db::Kind;

/// The widths, widest first.
const WIDTHS: [usize; 5] = [128, 32, 8, 2, 1];
/// The widths for a server, widest first.
const FAR_WIDTHS: [usize; 8] = [128, 64, 32, 16, 8, 4, 2, 1];

/// A statement that can be widened.
pub(crate) struct Wide {
    one: &'static str,
    columns: usize,
    widened: OnceLock<[&'static str; WIDTHS.len()]>,
    far: OnceLock<[&'static str; FAR_WIDTHS.len()]>,
}

impl Wide {
    /// `one` holds the group of its parameters exactly once: `($1, …, $columns)`.
    pub(crate) const fn new(one: &'static str, columns: usize) -> Self {
        Self { one, columns, widened: OnceLock::new(), far: OnceLock::new() }
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

    /// The same with the widths of a database.
    pub(crate) fn runs_on<'a, T>(
        &'a self,
        kind: Kind,
        items: &'a [T],
    ) -> impl Iterator<Item = (&'static str, &'a [T])> {
        let (widths, statements): (&[usize], &[&'static str]) = match kind {
            Kind::Sqlite => (&WIDTHS, self.statements()),
            Kind::Postgres => (&FAR_WIDTHS, self.far_statements()),
        };
        let mut rest = items;
        std::iter::from_fn(move || {
            let place = widths.iter().position(|width| *width <= rest.len())?;
            let (run, left) = rest.split_at(widths[place]);
            rest = left;
            Some((statements[place], run))
        })
    }

    /// As few statements for a server as there can be: the last item of a run fills it up. For statements that
    /// do not mind one item twice.
    pub(crate) fn filled<'a, T>(
        &'a self,
        items: &'a [T],
    ) -> impl Iterator<Item = (&'static str, impl Iterator<Item = &'a T>)> {
        let statements = self.far_statements();
        items.chunks(FAR_WIDTHS[0]).map(move |run| {
            let place = FAR_WIDTHS.iter().rposition(|width| *width >= run.len()).unwrap_or(0);
            let spare = FAR_WIDTHS[place].saturating_sub(run.len());
            (statements[place], run.iter().chain(run.iter().rev().take(1).cycle().take(spare)))
        })
    }

    fn far_statements(&self) -> &[&'static str; FAR_WIDTHS.len()] {
        self.far
            .get_or_init(|| FAR_WIDTHS.map(|width| &*Box::leak(self.widen(width).into_boxed_str())))
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

    #[test]
    fn a_server_gets_few_statements() {
        let items: Vec<u32> = (0..171).collect();
        let lengths = DELETE.runs_on(Kind::Postgres, &items).map(|(_, run)| run.len());
        assert_eq!(lengths.collect::<Vec<_>>(), [128, 32, 8, 2, 1]);
        for (count, wide) in [(1, 1), (3, 4), (23, 32), (128, 128)] {
            let filled: Vec<Vec<u32>> =
                DELETE.filled(&items[..count]).map(|(_, run)| run.copied().collect()).collect();
            assert_eq!(filled.len(), 1);
            assert_eq!(filled[0].len(), wide);
            assert_eq!(filled[0][..count], items[..count]);
            assert!(filled[0][count..].iter().all(|item| *item == items[count - 1]));
        }
        assert_eq!(DELETE.filled(&items).count(), 2);
        assert_eq!(DELETE.filled(&items[..0]).count(), 0);
    }
}
