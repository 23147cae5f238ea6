//! Messages that were committed without a row of their own, until their buffered row goes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

/// Names that are kept. Those of messages that were never buffered nobody comes for, so without a bound they would stay
/// for the life of the connection. The library deletes buffered rows right after their commit, a backlog's at most 400
/// at a time: a thousand are more than are ever on the way. When full the oldest is dropped: its message may be asked
/// for again once more than it needed to be.
const MAX: usize = 1024;

/// Names, (chat, id), oldest first.
#[derive(Default)]
pub(super) struct DoneMessages(Mutex<NumberedNames>);

#[derive(Default)]
struct NumberedNames {
    numbers: HashMap<(String, String), u64>,
    by_number: BTreeMap<u64, (String, String)>,
    last: u64,
}

impl DoneMessages {
    /// Remembers a message; once more makes it the newest.
    pub fn keep(&self, chat: &str, id: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (chat.to_owned(), id.to_owned());
        names.last += 1;
        let number = names.last;
        if let Some(before) = names.numbers.insert(name.clone(), number) {
            names.by_number.remove(&before);
        }
        names.by_number.insert(number, name);
        if names.by_number.len() > MAX
            && let Some((_, oldest)) = names.by_number.pop_first()
        {
            names.numbers.remove(&oldest);
        }
    }

    /// Gives a name away; whether it was there.
    pub fn take(&self, chat: &str, id: &str) -> bool {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = names.numbers.remove(&(chat.to_owned(), id.to_owned()));
        number.is_some_and(|number| names.by_number.remove(&number).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_it_is_full_and_a_name_is_there_once() {
        let done = DoneMessages::default();
        done.keep("chat", "first");
        done.keep("chat", "again");
        done.keep("chat", "first");
        for number in 0..MAX - 1 {
            done.keep("chat", &number.to_string());
        }
        assert!(!done.take("chat", "again"), "the oldest");
        assert!(done.take("chat", "first") && !done.take("chat", "first"));
        assert!(done.take("chat", "0") && !done.take("other", "1"));
        let names = done.0.lock().unwrap();
        assert_eq!((names.numbers.len(), names.by_number.len()), (MAX - 2, MAX - 2));
    }
}
