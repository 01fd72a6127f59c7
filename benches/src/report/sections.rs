//! Sections of a document that are figures: replaced as a whole, so that nobody copies by hand.
//!
//! A section stands between `<!-- figures: NAME -->` and `<!-- end of figures -->`, each on a line
//! of its own.

use std::path::Path;

use super::Told;

const BEGIN: &str = "<!-- figures: ";
const BEGIN_END: &str = " -->";
const END: &str = "<!-- end of figures -->";

/// The names of a document's sections.
pub(crate) fn names(document: &str) -> Vec<&str> {
    let lines = document.lines();
    lines
        .filter_map(|line| line.strip_prefix(BEGIN)?.strip_suffix(BEGIN_END))
        .collect()
}

/// The document with the sections replaced for which there is something, and how many those are.
fn replaced(document: &str, told: &dyn Told) -> Result<(String, usize), String> {
    let (mut out, mut count) = (String::new(), 0);
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        out.extend([line, "\n"]);
        let [name] = names(line)[..] else {
            continue;
        };
        let old: Vec<_> = lines.by_ref().take_while(|line| *line != END).collect();
        if let Some(section) = told.section(name) {
            out.extend(["\n", section.trim_end(), "\n\n"]);
            count += 1;
        } else {
            out.extend(old.into_iter().flat_map(|line| [line, "\n"]));
        }
        out.extend([END, "\n"]);
    }
    if document.matches(END).count() != names(document).len() {
        return Err(format!("not every section ends in {END}"));
    }
    Ok((out, count))
}

/// Puts results into a document.
pub(crate) fn update(path: &Path, told: &dyn Told) -> Result<(), String> {
    let fail = |reason: &dyn std::fmt::Display| format!("{}: {reason}", path.display());
    let document = std::fs::read_to_string(path).map_err(|e| fail(&e))?;
    let (document, count) = replaced(&document, told).map_err(|e| fail(&e))?;
    if count == 0 {
        return Err(fail(&"no section is about what was measured"));
    }
    std::fs::write(path, document).map_err(|e| fail(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Results;

    impl Told for Results {
        fn table(&self) -> String {
            String::new()
        }

        fn json(&self) -> String {
            String::new()
        }

        fn section(&self, name: &str) -> Option<String> {
            (name == "b").then(|| "new\n".to_owned())
        }
    }

    #[test]
    fn only_the_section_that_was_measured_is_replaced() {
        let document = "# T\n<!-- figures: a -->\nold\n<!-- end of figures -->\n\
            x\n<!-- figures: b -->\nold\n<!-- end of figures -->\nend\n";
        let expected = "# T\n<!-- figures: a -->\nold\n<!-- end of figures -->\n\
            x\n<!-- figures: b -->\n\nnew\n\n<!-- end of figures -->\nend\n";
        assert_eq!(names(document), ["a", "b"]);
        let once = replaced(document, &Results).unwrap();
        assert_eq!(once, (expected.to_owned(), 1));
        assert_eq!(replaced(expected, &Results).unwrap().0, expected);
    }

    #[test]
    fn a_section_without_an_end_is_refused() {
        assert!(replaced("<!-- figures: b -->\nold\n", &Results).is_err());
    }
}
