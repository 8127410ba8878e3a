//! How single fields are written: identifiers as checked text, bounded text, the priority as a number.

use minicbor::decode::Error;

/// Identifiers of the standard and our own, as text that is checked when it is read.
pub(crate) mod id {
    use minicbor::encode::{Error as WriteError, Write};
    use minicbor::{Decoder, Encoder};

    pub(crate) fn encode<C, T: ToString, W: Write>(
        value: &T,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), WriteError<W::Error>> {
        e.str(&value.to_string())?.ok()
    }

    pub(crate) fn decode<'b, C, T: TryFrom<String>>(
        d: &mut Decoder<'b>,
        _: &mut C,
    ) -> Result<T, super::Error> {
        T::try_from(d.str()?.to_owned()).map_err(|_| super::Error::message("malformed identifier"))
    }
}

/// Text with a maximum length in bytes; longer text is a protocol violation when read and is cut when written.
macro_rules! bounded_text {
    ($(#[doc = $doc:literal])* $name:ident, $max:path) => {
        $(#[doc = $doc])*
        pub(crate) mod $name {
            use minicbor::encode::{Error as WriteError, Write};
    use minicbor::{Decoder, Encoder};

            pub(crate) fn encode<C, W: Write>(
                value: &str,
                e: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), WriteError<W::Error>> {
                let mut end = value.len().min($max);
                while !value.is_char_boundary(end) {
                    end -= 1;
                }
                e.str(&value[..end])?.ok()
            }

            pub(crate) fn decode<'b, C>(d: &mut Decoder<'b>, _: &mut C) -> Result<String, super::Error> {
                let text = d.str()?;
                if text.len() > $max {
                    return Err(super::Error::message("text too long"));
                }
                Ok(text.to_owned())
            }
        }
    };
}

bounded_text!(
    /// Titles, names, versions, codes.
    text,
    crate::limits::TEXT_BYTES_MAX
);
bounded_text!(
    /// Explanations for a person.
    reason,
    crate::limits::REASON_BYTES_MAX
);
bounded_text!(
    /// What a reader asks for before reading.
    return_reason,
    crate::limits::RETURN_REASON_BYTES_MAX
);
bounded_text!(
    /// The clinical context, JSON.
    context,
    crate::limits::CLINICAL_CONTEXT_BYTES_MAX
);

/// The priority: 0 stat, 1 urgent, 2 routine.
pub(crate) mod priority {
    use minicbor::encode::{Error as WriteError, Write};
    use minicbor::{Decoder, Encoder};
    use tancho_domain::dicom::Priority;

    pub(crate) fn encode<C, W: Write>(
        value: &Priority,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), WriteError<W::Error>> {
        let number = match value {
            Priority::Stat => 0,
            Priority::Urgent => 1,
            Priority::Routine => 2,
        };
        e.u8(number)?.ok()
    }

    pub(crate) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Priority, super::Error> {
        match d.u8()? {
            0 => Ok(Priority::Stat),
            1 => Ok(Priority::Urgent),
            2 => Ok(Priority::Routine),
            _ => Err(super::Error::message("priority 0, 1 or 2 expected")),
        }
    }
}
