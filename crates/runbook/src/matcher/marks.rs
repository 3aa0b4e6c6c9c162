//! A quick no. Most runbooks are not for the alert at hand, and an alert is compared with all of them; so each pair of label and
//! value leaves one mark of two hundred or so, on the alert as on what a matcher wants, and where they have no mark in common the
//! matcher cannot hold. Why: the marks lie beside the matcher, while its texts have to be fetched from all over the memory.
//! Deliberately never a yes: different pairs may leave the same mark.

use std::collections::BTreeMap;

/// The marks of labels: those that an alert has, or those of which a matcher wants one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks([u64; WORDS]);

/// Enough that of two hundred runbooks, each for one or two alerts, about five are looked at for nothing when an alert has three
/// labels, and about ten when it has twelve.
const WORDS: usize = 4;

impl Marks {
    /// Of what is for no alert at all.
    pub(crate) const NONE: Marks = Marks([0; WORDS]);
    /// On every alert; of a matcher that wants no certain value it is the only one.
    const ALWAYS: Marks = Marks([1, 0, 0, 0]);

    /// What an alert with these labels has.
    pub(crate) fn of(labels: &BTreeMap<String, String>) -> Marks {
        labels.iter().fold(Self::ALWAYS, |marks, (name, value)| marks.and(name, value))
    }

    /// Of a matcher that wants this label to have one of these values.
    pub(super) fn one_of<'a>(name: &str, mut values: impl Iterator<Item = &'a str>) -> Marks {
        // A label that is missing is the empty one, and leaves no mark.
        let marks = values.try_fold(Self::NONE, |marks, value| (!value.is_empty()).then(|| marks.and(name, value)));
        marks.unwrap_or(Self::ALWAYS)
    }

    /// Of a matcher of which that cannot be said.
    pub(super) fn any() -> Marks {
        Self::ALWAYS
    }

    /// How many they are; on every alert is more than any of them.
    pub(super) fn many(self) -> u32 {
        if self == Self::ALWAYS { u32::MAX } else { self.0.iter().map(|word| word.count_ones()).sum() }
    }

    /// False where a matcher with these marks cannot hold for an alert with those.
    pub(crate) fn may_hold(self, alert: Marks) -> bool {
        self.0.iter().zip(alert.0).any(|(wanted, there)| wanted & there != 0)
    }

    // And the one of this pair: of all but the first, by FNV-1a.
    fn and(mut self, name: &str, value: &str) -> Marks {
        let bytes = name.bytes().chain([0xff]).chain(value.bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mark = 1 + hash % (64 * WORDS as u64 - 1);
        if let Some(word) = self.0.get_mut((mark / 64) as usize) {
            *word |= 1 << (mark % 64);
        }
        self
    }
}
