//! Rules of the code base that a reader can rely on because they are checked here.
