//! The texts of statements. Each is made by [`statements!`](crate::db::statements), which registers it too: what runs
//! statements takes only these, so a test can prepare every one of them.

use std::sync::OnceLock;

use self::texts::DialectPair;
use super::{Dialect, Kind};

/// How many rows a statement is widened to, widest first.
const WIDTHS: [usize; 5] = [128, 32, 8, 2, 1];
/// The same where a statement is a way to a server and back: fewer and wider ones.
const FAR_WIDTHS: [usize; 8] = [128, 64, 32, 16, 8, 4, 2, 1];

/// What the right side of a line of [`statements!`](crate::db::statements) is made of.
pub(crate) mod texts {
    /// A statement that the databases say differently.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct DialectPair {
        pub(crate) sqlite: &'static str,
        pub(crate) postgres: &'static str,
    }

    /// A text that serves both databases.
    pub(crate) const fn both(text: &'static str) -> DialectPair {
        DialectPair { sqlite: text, postgres: text }
    }

    /// A statement of code that runs on SQLite only.
    pub(crate) const fn sqlite(text: &'static str) -> DialectPair {
        DialectPair { sqlite: text, postgres: "" }
    }

    /// A statement of code that runs on PostgreSQL only.
    pub(crate) const fn postgres(text: &'static str) -> DialectPair {
        DialectPair { sqlite: "", postgres: text }
    }
}

/// A statement. One written for one row, `… values ($1, $2)` or `… in ($1)`, can be widened to a few fixed numbers of
/// rows, so that the database compiles each of them once.
#[derive(Debug)]
pub(crate) struct Statement {
    name: &'static str,
    text: DialectPair,
    near: OnceLock<Vec<String>>,
    far: OnceLock<Vec<String>>,
}

/// A statement for so many rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Widened(pub(super) &'static str);

impl Statement {
    /// Only for [`statements!`](crate::db::statements).
    pub(crate) const fn registered(name: &'static str, text: DialectPair) -> Self {
        Self { name, text, near: OnceLock::new(), far: OnceLock::new() }
    }

    /// Where it stands in the sources.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Its texts; an empty one where it is not for a database.
    pub(crate) fn texts(&self) -> DialectPair {
        self.text
    }

    /// What a larger statement is made of.
    pub(crate) fn text(&self, dialect: Dialect) -> &'static str {
        self.of(dialect.0)
    }

    pub(super) fn of(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Sqlite => self.text.sqlite,
            Kind::Postgres => self.text.postgres,
        }
    }

    /// Cuts items into runs, each with the statement for its length. It holds the group of its parameters exactly once,
    /// `($1, …, $n)`, and no other parameter.
    pub(crate) fn runs<'a, T>(
        &'static self,
        dialect: Dialect,
        items: &'a [T],
    ) -> impl Iterator<Item = (Widened, &'a [T])> {
        let (widths, statements): (&[usize], _) = match dialect.0 {
            Kind::Sqlite => (&WIDTHS, self.near()),
            Kind::Postgres => (&FAR_WIDTHS, self.far()),
        };
        let mut rest = items;
        std::iter::from_fn(move || {
            let index = widths.iter().position(|width| *width <= rest.len())?;
            let (run, left) = rest.split_at(widths[index]);
            rest = left;
            Some((Widened(&statements[index]), run))
        })
    }

    /// As few statements for a server as there can be: the last item of a run fills it up. For statements that
    /// do not mind one item twice.
    pub(crate) fn filled<'a, T>(
        &'static self,
        items: &'a [T],
    ) -> impl Iterator<Item = (Widened, impl Iterator<Item = &'a T>)> {
        let statements = self.far();
        items.chunks(FAR_WIDTHS[0]).map(move |run| {
            let index = FAR_WIDTHS.iter().rposition(|width| *width >= run.len()).unwrap_or(0);
            let spare = FAR_WIDTHS[index].saturating_sub(run.len());
            let filled = run.iter().chain(run.iter().rev().take(1).cycle().take(spare));
            (Widened(&statements[index]), filled)
        })
    }

    fn near(&self) -> &[String] {
        self.near.get_or_init(|| WIDTHS.map(|width| widened(self.text.sqlite, width)).into())
    }

    fn far(&self) -> &[String] {
        self.far.get_or_init(|| FAR_WIDTHS.map(|width| widened(self.text.postgres, width)).into())
    }
}

/// Makes the statements of a module, `NAME = both("…");`, and the list of them for the [registry](crate::statements).
macro_rules! statements {
    ($($(#[$meta:meta])* $vis:vis $name:ident = $text:expr;)+) => {
        $(
            $(#[$meta])*
            $vis static $name: $crate::db::Statement = {
                use $crate::db::statement::texts::*;
                $crate::db::Statement::registered(
                    concat!(module_path!(), "::", stringify!($name)),
                    $text,
                )
            };
        )+
        /// All of this module.
        pub(crate) static STATEMENTS: &[&$crate::db::Statement] = &[$(&$name),+];
    };
}

pub(crate) use statements;

/// Where the group of parameters of a statement begins and ends, and how many there are.
fn group(one: &str) -> Option<(usize, usize, usize)> {
    let begin = one.find("($1")?;
    let length = one[begin..].find(')')?;
    let columns = one[begin..begin + length].matches('$').count();
    Some((begin, begin + length + 1, columns))
}

/// A statement for so many rows. Its parameters have no names: SQLite would look for the name of each among all of
/// them.
fn widened(one: &str, width: usize) -> String {
    let Some((begin, end, columns)) = group(one) else { return one.to_owned() };
    let group = vec!["?"; columns].join(", ");
    let (before, behind) = (&one[..begin], &one[end..]);
    // A list has one pair of brackets, rows have one each.
    let many = if before.ends_with("in ") {
        format!("({})", vec![group; width].join(", "))
    } else {
        vec![format!("({group})"); width].join(", ")
    };
    format!("{before}{many}{behind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::db::statements! {
        INSERT = both("insert into meta (key, value) values ($1, $2) on conflict (key) do nothing");
        DELETE = DialectPair {
            sqlite: "delete from meta where key in ($1) returning key",
            postgres: "delete from only meta where key in ($1) returning key",
        };
    }

    #[test]
    fn a_module_registers_its_statements() {
        let names: Vec<_> = STATEMENTS.iter().map(|one| one.name()).collect();
        assert_eq!(
            names,
            ["storage::db::statement::tests::INSERT", "storage::db::statement::tests::DELETE"]
        );
    }

    #[test]
    fn statements_are_widened_in_their_brackets() {
        assert_eq!(
            INSERT.near()[3],
            "insert into meta (key, value) values (?, ?), (?, ?) on conflict (key) do nothing"
        );
        assert_eq!(DELETE.near()[3], "delete from meta where key in (?, ?) returning key");
        assert_eq!(
            DELETE.far()[5],
            "delete from only meta where key in (?, ?, ?, ?) returning key"
        );
    }

    #[test]
    fn every_item_is_in_exactly_one_run() {
        let items: Vec<u32> = (0..171).collect();
        let runs: Vec<_> = DELETE.runs(Dialect(Kind::Sqlite), &items).collect();
        assert_eq!(runs.iter().map(|(_, run)| run.len()).collect::<Vec<_>>(), [128, 32, 8, 2, 1]);
        assert_eq!(runs.iter().flat_map(|(_, run)| run.iter().copied()).collect::<Vec<_>>(), items);
        assert_eq!(INSERT.runs(Dialect(Kind::Sqlite), &items[..0]).count(), 0);
    }

    #[test]
    fn a_server_gets_few_statements() {
        let items: Vec<u32> = (0..171).collect();
        let lengths = DELETE.runs(Dialect(Kind::Postgres), &items).map(|(_, run)| run.len());
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
