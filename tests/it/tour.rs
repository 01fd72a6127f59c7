//! Replays `docs/tour.md`: each line behind the prompt is sent, and what the broker answers must be
//! what the page shows. Where the page cannot know a time, `<...>` stands for it.
