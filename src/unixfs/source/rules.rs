//! [`Rules`]: what is left out of a tree, by the rules of `.gitignore` files.

use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// Patterns, the last one that matches decides. They are about what is in the trees that are added,
/// and their paths begin there: `/build` is an entry at the top, `build` one anywhere, `build/` a
/// directory anywhere, `!build` one that is added after all. What the user names is always added.
///
/// Kubo compares the last component alone with each pattern: where patterns have no slash inside,
/// both leave out the same.
#[derive(Clone, Debug)]
pub struct Rules(Gitignore);

/// Why a rule is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// The file with the rules cannot be read.
    #[error("cannot read rules from `{}`: {error}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system, or the parser, said.
        error: ignore::Error,
    },
    /// A pattern that makes no sense.
    #[error("`{pattern}` is no pattern: {error}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        error: ignore::Error,
    },
}

impl Rules {
    /// The lines of `file`, then `patterns`. `None` if there is neither.
    pub fn new(file: Option<&Path>, patterns: &[String]) -> Result<Option<Self>, RuleError> {
        if file.is_none() && patterns.is_empty() {
            return Ok(None);
        }
        let mut rules = GitignoreBuilder::new("");
        if let Some(path) = file
            && let Some(error) = rules.add(path)
        {
            let path = path.to_owned();
            return Err(RuleError::File { path, error });
        }
        for pattern in patterns {
            let error = |error| RuleError::Pattern {
                pattern: pattern.clone(),
                error,
            };
            rules.add_line(None, pattern).map_err(error)?;
        }
        let whole = |error| RuleError::Pattern {
            pattern: patterns.join(" "),
            error,
        };
        Ok(Some(Self(rules.build().map_err(whole)?)))
    }

    /// Whether an entry is left out. `path` is relative to the tree's top. What is in a directory that
    /// is left out is never asked for.
    pub(super) fn excludes(&self, path: &Path, is_dir: bool) -> bool {
        self.0.matched(path, is_dir).is_ignore()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(patterns: &[&str]) -> Rules {
        let patterns: Vec<String> = patterns.iter().map(|&p| p.to_owned()).collect();
        Rules::new(None, &patterns).unwrap().unwrap()
    }

    #[test]
    fn patterns_are_those_of_git() {
        let rules = rules(&[
            "*.log",
            "!keep.log",
            "/top",
            "dir/",
            "a/**/z",
            "# no rule",
            "",
        ]);
        for (path, is_dir, excluded) in [
            ("x.log", false, true),
            ("deep/er/x.log", false, true),
            ("deep/keep.log", false, false),
            ("top", false, true),
            ("deep/top", false, false),
            ("dir", true, true),
            ("dir", false, false),
            ("deep/dir", true, true),
            ("a/b/c/z", false, true),
            ("# no rule", false, false),
        ] {
            assert_eq!(rules.excludes(Path::new(path), is_dir), excluded, "{path}");
        }
    }

    #[test]
    fn lines_of_a_file_come_before_the_patterns() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "*.o\n\n# comment\n").unwrap();
        let rules = Rules::new(Some(file.path()), &["!a.o".to_owned()]);
        let rules = rules.unwrap().unwrap();
        assert!(rules.excludes(Path::new("sub/b.o"), false));
        assert!(!rules.excludes(Path::new("sub/a.o"), false));
        assert!(Rules::new(None, &[]).unwrap().is_none());
    }

    #[test]
    fn what_is_no_rule_is_named() {
        let missing = Rules::new(Some(Path::new("/no/such")), &[]).unwrap_err();
        assert!(missing.to_string().contains("`/no/such`"), "{missing}");
        let bad = Rules::new(None, &["[z-a]".to_owned()]).unwrap_err();
        assert!(bad.to_string().contains("`[z-a]`"), "{bad}");
    }
}
