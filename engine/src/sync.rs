//! What threads of the commit path wait with: locks, condition variables, atomics, parking.
//!
//! They are those of `parking_lot` and the standard library. With the feature `schedule`, which
//! only tests turn on, they are those of a scheduler that runs one thread at a time and tries many
//! orders, in which no time-out ever fires: a wake-up that is missing is a deadlock that it finds.

#[cfg(not(feature = "schedule"))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
#[cfg(not(feature = "schedule"))]
pub(crate) use std::{sync::atomic, thread};

#[cfg(feature = "schedule")]
pub(crate) use scheduled::{Condvar, Mutex, MutexGuard};
#[cfg(feature = "schedule")]
pub(crate) use shuttle::{sync::atomic, thread};

/// The scheduler's primitives with the signatures of `parking_lot`.
#[cfg(feature = "schedule")]
mod scheduled {
    use std::ops::{Deref, DerefMut};
    use std::sync::PoisonError;
    use std::time::Duration;

    use shuttle::sync;

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(sync::Mutex<T>);

    /// The guard is there but while the lock is let go of.
    pub(crate) struct MutexGuard<'a, T> {
        mutex: &'a Mutex<T>,
        guard: Option<sync::MutexGuard<'a, T>>,
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard {
                mutex: self,
                guard: Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)),
            }
        }
    }

    impl<T> MutexGuard<'_, T> {
        /// Runs `f` without the lock, and takes it again also if that panics.
        pub(crate) fn unlocked<U>(guard: &mut Self, f: impl FnOnce() -> U) -> U {
            struct Again<'g, 'a, T>(&'g mut MutexGuard<'a, T>);

            impl<T> Drop for Again<'_, '_, T> {
                fn drop(&mut self) {
                    self.0.guard = self.0.mutex.lock().guard;
                }
            }

            guard.guard = None;
            let _again = Again(guard);
            f()
        }
    }

    impl<T> MutexGuard<'_, T> {
        /// Lets go of the lock; who comes next is the scheduler's choice.
        pub(crate) fn unlock_fair(guard: Self) {
            drop(guard);
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.guard.as_ref().expect("locked")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.guard.as_mut().expect("locked")
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(sync::Condvar);

    pub(crate) struct TimedOut;

    impl TimedOut {
        #[expect(clippy::unused_self, reason = "the signature of parking_lot")]
        pub(crate) fn timed_out(&self) -> bool {
            false
        }
    }

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let held = guard.guard.take().expect("locked");
            let held = self.0.wait(held).unwrap_or_else(PoisonError::into_inner);
            guard.guard = Some(held);
        }

        /// No time passes: this waits until it is notified.
        pub(crate) fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _: Duration) -> TimedOut {
            self.wait(guard);
            TimedOut
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}
