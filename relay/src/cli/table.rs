//! Lists as lines of columns, for people; programs take `--json`.

use serde_json::Value;

/// How a value is shown.
#[derive(Clone, Copy)]
pub enum Shown {
    /// As it is; yes or no for a truth value, a dash where there is none.
    Plain,
    /// An instant in milliseconds as UTC, to the second.
    Instant,
}

/// One column: its heading, the field of each item, and how it is shown. Names of people and places come last: how wide
/// their characters are is up to the terminal.
pub type Column = (&'static str, &'static str, Shown);

/// The items of a list reply, one a line, under the headings.
#[must_use]
pub fn table(reply: &Value, columns: &[Column]) -> String {
    let headings = columns
        .iter()
        .map(|(heading, ..)| (*heading).to_owned())
        .collect();
    let mut lines: Vec<Vec<String>> = vec![headings];
    let items = reply["items"].as_array().into_iter().flatten();
    lines.extend(items.map(|item| {
        let cells = columns.iter().map(|(_, field, shown)| cell(&item[field], *shown));
        cells.collect()
    }));
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let padded = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn cell(value: &Value, shown: Shown) -> String {
    match (value, shown) {
        (Value::Null, _) => "-".to_owned(),
        (Value::Bool(true), _) => "yes".to_owned(),
        (Value::Bool(false), _) => "no".to_owned(),
        (Value::String(text), _) => text.clone(),
        (other, Shown::Plain) => other.to_string(),
        (other, Shown::Instant) => other
            .as_i64()
            .and_then(|at_ms| jiff::Timestamp::from_second(at_ms.div_euclid(1000)).ok())
            .map_or_else(|| other.to_string(), |at| at.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_list_is_shown_in_columns_and_an_empty_one_by_its_headings() {
        let columns: [Column; 4] = [
            ("CODE", "code", Shown::Plain),
            ("LIVE", "live", Shown::Plain),
            ("MADE", "made_at_ms", Shown::Instant),
            ("NAME", "name", Shown::Plain),
        ];
        let reply = json!({ "items": [
            { "code": "A", "live": true, "made_at_ms": 1_795_000_000_999_i64, "name": "脳センター" },
            { "code": "LONGER", "live": false, "made_at_ms": null, "name": "n" },
        ]});
        let expected = "CODE    LIVE  MADE                  NAME\n\
                        A       yes   2026-11-18T11:06:40Z  脳センター\n\
                        LONGER  no    -                     n";
        assert_eq!(table(&reply, &columns), expected);
        assert_eq!(table(&json!({ "items": [] }), &columns), "CODE  LIVE  MADE  NAME");
    }
}
