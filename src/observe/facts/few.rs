//! A list that most of its owners leave empty: one word where there is nothing.

use std::ops::{Deref, DerefMut};

/// A list that is empty in most flows. Of hundreds of thousands of flows each has several of these.
#[derive(Clone, PartialEq, Eq)]
pub struct Few<T>(
    #[expect(clippy::box_collection, reason = "a vector is three words, and most of these are empty")]
    Option<Box<Vec<T>>>,
);

impl<T> Few<T> {
    /// Adds an entry. What is listed here seldom has a second one, so that room is made for one at first.
    pub fn push(&mut self, entry: T) {
        let list = self.0.get_or_insert_default();
        grow(list);
        list.push(entry);
    }
}

/// Makes room for one more entry in a list that seldom has many: by half of what there is, where a vector begins with four.
pub(in crate::observe) fn grow<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 2).max(1));
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Few<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }
}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.0.as_deref_mut().map_or(&mut [], Vec::as_mut_slice)
    }
}

impl<T> From<Vec<T>> for Few<T> {
    fn from(mut list: Vec<T>) -> Self {
        list.shrink_to_fit();
        Self((!list.is_empty()).then(|| Box::new(list)))
    }
}

impl<'a, T> IntoIterator for &'a Few<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_takes_a_word_and_entries_come_in_the_order_they_were_added() {
        assert_eq!(size_of::<Few<String>>(), 8);
        assert!(Few::from(Vec::<u32>::new()).0.is_none());
        let mut few = Few::default();
        assert!(few.is_empty() && few.iter_mut().next().is_none());
        (0..9).for_each(|number| few.push(number));
        for number in few.iter_mut() {
            *number *= 2;
        }
        assert_eq!(few.iter().copied().collect::<Vec<i32>>(), [0, 2, 4, 6, 8, 10, 12, 14, 16]);
        assert_eq!(few, Few::from(few.to_vec()));
    }

    #[test]
    fn a_list_of_one_has_room_for_one() {
        let mut list = Vec::new();
        grow(&mut list);
        list.push([0_u64; 5]);
        assert_eq!(list.capacity(), 1);
    }
}
