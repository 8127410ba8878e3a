//! The numbered folder that received objects are put into; a new one is begun when it is full.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::layout::{Layout, OBJECTS_PER_FOLDER};

/// Hands out places in the folder being filled.
#[derive(Debug)]
pub(super) struct Filling(Mutex<State>);

#[derive(Debug)]
struct State {
    folder: i64,
    n_places: u64,
    /// The folder, open for its fsyncs.
    handle: Option<Arc<File>>,
}

/// Where an object's file goes.
#[derive(Debug)]
pub(super) struct Place {
    /// Number of the folder.
    pub folder: i64,
    /// The folder, for the fsync after the file has its name in it.
    pub handle: Arc<File>,
}

impl Filling {
    /// Goes on with the newest folder, of which so many places are taken; folder 0 is none.
    pub fn new(folder: i64, n_places: u64) -> Self {
        Self(Mutex::new(State {
            folder,
            n_places,
            handle: None,
        }))
    }

    /// A place for one object. The folder exists durably.
    pub fn take(&self, layout: &Layout) -> io::Result<Place> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.n_places >= OBJECTS_PER_FOLDER || state.folder == 0 {
            state.folder += 1;
            state.n_places = 0;
            state.handle = None;
        }
        let handle = match &state.handle {
            Some(handle) => Arc::clone(handle),
            None => {
                let folder = layout.object_folder(state.folder);
                Layout::ensure_folder(&folder)?;
                let handle = Arc::new(File::open(folder)?);
                state.handle = Some(Arc::clone(&handle));
                handle
            }
        };
        state.n_places += 1;
        Ok(Place {
            folder: state.folder,
            handle,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_folder_is_followed_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::open(folder.path()).unwrap();
        let filling = Filling::new(0, 0);
        assert_eq!(filling.take(&layout).unwrap().folder, 1);
        let filling = Filling::new(7, OBJECTS_PER_FOLDER - 1);
        assert_eq!(filling.take(&layout).unwrap().folder, 7);
        assert_eq!(filling.take(&layout).unwrap().folder, 8);
        assert!(layout.object_folder(8).is_dir());
    }
}
