//! How many instances of a study stay here, and why.

use std::fmt;

/// Why instances of a study do not go to the relay. The codes are those of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WithheldReason {
    /// They name another patient and wait for a person.
    PatientDiffers,
    /// They cannot be used as they came and are in quarantine.
    Unusable,
    /// Their bytes here are no longer those received.
    Damaged,
    /// The relay would not take them.
    Refused,
}

impl WithheldReason {
    /// All of them.
    const ALL: [Self; 4] = [Self::PatientDiffers, Self::Unusable, Self::Damaged, Self::Refused];

    /// The stable code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::PatientDiffers => "patient_differs",
            Self::Unusable => "unusable",
            Self::Damaged => "damaged",
            Self::Refused => "refused",
        }
    }

    fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

/// Instances of one study that stay here, by reason; nothing is listed with 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Withheld(Vec<(WithheldReason, u64)>);

impl Withheld {
    /// Whether everything goes to the relay.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reasons with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (WithheldReason, u64)> {
        self.0.iter().copied()
    }

    /// Reads the form of the index back; what it does not know is left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let entry = |entry: &str| {
            let (code, n_instances) = entry.split_once(':')?;
            Some((WithheldReason::parse(code)?, n_instances.parse().ok()?))
        };
        text.split(',').filter_map(entry).collect()
    }
}

impl FromIterator<(WithheldReason, u64)> for Withheld {
    fn from_iter<T: IntoIterator<Item = (WithheldReason, u64)>>(reasons: T) -> Self {
        Self(
            reasons
                .into_iter()
                .filter(|(_, n_instances)| *n_instances > 0)
                .collect(),
        )
    }
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (reason, n_instances)) in self.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}{}:{n_instances}", reason.code())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_withheld_survives_the_index() {
        let withheld: Withheld = [
            (WithheldReason::PatientDiffers, 2),
            (WithheldReason::Damaged, 0),
            (WithheldReason::Unusable, 1),
        ]
        .into_iter()
        .collect();
        assert_eq!(withheld.to_string(), "patient_differs:2,unusable:1");
        assert_eq!(Withheld::parse(&withheld.to_string()), withheld);
        assert!(Withheld::parse("").is_empty() && Withheld::default().to_string().is_empty());
        assert!(Withheld::parse("later:1,refused:x").is_empty());
    }
}
