//! A copy of the sources, in which bugs are planted.
//!
//! Owns: [`Tree`]. The copy stays where it is between runs, beside a target directory of its own:
//! only what has changed is copied again, so that each build takes seconds.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use walkdir::WalkDir;

use crate::table::{Edit, Mutation};

/// A copy of the sources.
#[derive(Debug)]
pub struct Tree {
    path: PathBuf,
    /// Held as long as the copy is used.
    _lock: fs::File,
}

/// Where the repository is.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

impl Tree {
    /// Brings the copy in `work` up to date.
    ///
    /// # Errors
    /// Files cannot be read or written, or another run uses the copy.
    pub fn copy(work: &Path) -> Result<Self> {
        let path = work.join("tree");
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        let lock = fs::File::create(work.join("lock")).context("making the lock")?;
        if lock.try_lock().is_err() {
            bail!("another run uses {}", work.display());
        }
        let (from, mut kept) = (root(), BTreeSet::new());
        for file in files(&from) {
            let relative = file.strip_prefix(&from).context("a file outside the repository")?;
            copy_if_changed(&file, &path.join(relative))?;
            kept.insert(relative.to_owned());
        }
        for file in files(&path) {
            let relative = file.strip_prefix(&path).context("a file outside the copy")?;
            if !kept.contains(relative) {
                fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
            }
        }
        Ok(Self { path, _lock: lock })
    }

    /// Where the copy is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Plants a bug, which is taken out again when the answer is dropped.
    ///
    /// # Errors
    /// It cannot be planted.
    pub fn plant(&self, mutation: &Mutation) -> Result<Planted<'_>> {
        let mut planted = Planted { tree: self, files: BTreeSet::new() };
        for edit in &mutation.edits {
            planted.apply(edit)?;
        }
        Ok(planted)
    }
}

/// A bug in the copy.
#[derive(Debug)]
pub struct Planted<'a> {
    tree: &'a Tree,
    files: BTreeSet<String>,
}

impl Planted<'_> {
    fn apply(&mut self, edit: &Edit) -> Result<()> {
        self.files.insert(edit.file.clone());
        edit.apply(&self.tree.path, true)
    }
}

impl Drop for Planted<'_> {
    fn drop(&mut self) {
        for file in &self.files {
            // If it fails, the next run's copy puts it right.
            let _ = copy_if_changed(&root().join(file), &self.tree.path.join(file));
        }
    }
}

/// All files of a tree, but for what is built and what git keeps.
fn files(root: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let walk = WalkDir::new(root).into_iter().filter_entry(|entry| {
        let name = entry.file_name();
        !(entry.file_type().is_dir() && (name == "target" || name == ".git"))
    });
    walk.filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
}

/// Copies a file if that changes anything: what is unchanged need not be built again.
fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    }
    fs::write(to, bytes).with_context(|| format!("writing {}", to.display()))
}
