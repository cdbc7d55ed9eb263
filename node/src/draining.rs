//! Whether this node is about to leave its swarm, over restarts: the repo's file `draining` names that swarm. In
//! another one it means nothing.

use store::repo::{Repo, RepoError, RepoFile};

/// Whether it is about to leave this swarm.
pub(crate) fn is_from(repo: &Repo, swarm: &str) -> Result<bool, RepoError> {
    let named = repo.file(RepoFile::Draining)?;
    Ok(named.is_some_and(|it| it.trim_ascii() == swarm.as_bytes()))
}

/// It is from now on. Durable when this returns.
pub(crate) fn begin(repo: &Repo, swarm: &str) -> Result<(), RepoError> {
    repo.set_file(RepoFile::Draining, format!("{swarm}\n").as_bytes())
}

/// It stays where it is. Durable when this returns.
pub(crate) fn end(repo: &Repo) -> Result<(), RepoError> {
    if repo.file(RepoFile::Draining)?.is_some() {
        repo.remove_file(RepoFile::Draining)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use store::repo::RepoOptions;

    use super::*;

    #[test]
    fn it_is_remembered_of_the_swarm_that_it_was_said_in() {
        let directory = tempfile::tempdir().unwrap();
        let repo = Repo::open(directory.path(), &RepoOptions::default()).unwrap();
        assert!(!is_from(&repo, "main").unwrap());
        begin(&repo, "main").unwrap();
        assert!(is_from(&repo, "main").unwrap());
        assert!(!is_from(&repo, "p-other").unwrap());
        end(&repo).unwrap();
        end(&repo).unwrap();
        assert!(!is_from(&repo, "main").unwrap());
    }
}
