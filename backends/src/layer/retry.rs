//! Repeats calls that failed for a while.
//!
//! Only errors that say they are temporary are repeated, with growing pauses of random length, until the budget of
//! the call is used up. The identical call is made again, so a put whose answer was lost is put once more: the
//! contract makes that harmless. A list that breaks off is begun again, and what was told already is left out.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use gabion_core::backend::{Backend, ByteRange, Capabilities, ObjectMeta, ObjectName, Payload, Prefix, PutMode};
use gabion_core::error::{Error, Result, Retry};
use tokio::time::{Instant, sleep};

use crate::seen::Seen;

/// How patiently calls are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryOptions {
    /// How often a call is repeated.
    pub repetitions: u32,
    /// The pause before the first repetition; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How long after its first failure a call is not begun again.
    pub budget: Duration,
}

impl Default for RetryOptions {
    /// Ten repetitions within five minutes: a server may restart, a router may reconnect.
    fn default() -> Self {
        Self {
            repetitions: 10,
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(30),
            budget: Duration::from_secs(300),
        }
    }
}

/// Repeats what failed temporarily.
#[derive(Debug)]
pub struct RetryBackend {
    inner: Arc<dyn Backend>,
    options: RetryOptions,
}

impl RetryBackend {
    /// Repeats calls of `inner` as patiently as the options say.
    pub fn new(inner: Arc<dyn Backend>, options: RetryOptions) -> Self {
        Self { inner, options }
    }

    /// Makes a call until it succeeds, fails for good, or patience ends.
    async fn patiently<T, F: Future<Output = Result<T>>>(&self, mut call: impl FnMut() -> F) -> Result<T> {
        let mut patience = Patience::new(self.options);
        loop {
            match call().await {
                Ok(value) => return Ok(value),
                Err(error) => patience.after(error).await?,
            }
        }
    }
}

/// How much of the budget of one call is left.
#[derive(Debug)]
struct Patience {
    options: RetryOptions,
    failures: u32,
    deadline: Option<Instant>,
}

impl Patience {
    fn new(options: RetryOptions) -> Self {
        Self { options, failures: 0, deadline: None }
    }

    /// Pauses after a failure, or gives the error back if there is no point in another attempt.
    async fn after(&mut self, error: Error) -> Result<()> {
        if error.retry() == Retry::Permanent {
            return Err(error);
        }
        let now = Instant::now();
        let deadline = *self.deadline.get_or_insert(now + self.options.budget);
        let pause = self.pause();
        self.failures += 1;
        if self.failures > self.options.repetitions || now + pause > deadline {
            return Err(error.with("attempts", self.failures));
        }
        sleep(pause).await;
        Ok(())
    }

    /// Between half and all of the pause that is due: clients that failed together do not come back together.
    fn pause(&self) -> Duration {
        let due = self.options.first_pause.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        let due = due.min(self.options.longest_pause);
        // No cryptography hangs on it; a new state hashes differently each time.
        let random = RandomState::new().hash_one(self.failures) % 1000;
        due / 2 + due.mul_f64(random as f64 / 2000.0)
    }
}

#[async_trait]
impl Backend for RetryBackend {
    fn location(&self) -> &str {
        self.inner.location()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
        // Clones of a payload share its bytes.
        self.patiently(|| self.inner.put(name, payload.clone(), mode)).await
    }

    async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
        self.patiently(|| self.inner.get(name, range)).await
    }

    async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
        self.patiently(|| self.inner.head(name)).await
    }

    async fn delete(&self, name: &ObjectName) -> Result<()> {
        self.patiently(|| self.inner.delete(name)).await
    }

    fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
        let list = PatientList {
            inner: Arc::clone(&self.inner),
            prefix: prefix.clone(),
            under_way: self.inner.list(prefix),
            told: Seen::default(),
            patience: Patience::new(self.options),
            options: self.options,
        };
        stream::try_unfold(list, |mut list| async move { Ok(list.next().await?.map(|object| (object, list))) }).boxed()
    }
}

/// A list that is begun again when it breaks off.
struct PatientList {
    inner: Arc<dyn Backend>,
    prefix: Prefix,
    under_way: BoxStream<'static, Result<ObjectMeta>>,
    told: Seen,
    patience: Patience,
    options: RetryOptions,
}

impl PatientList {
    async fn next(&mut self) -> Result<Option<ObjectMeta>> {
        loop {
            match self.under_way.next().await {
                None => return Ok(None),
                Some(Ok(object)) => {
                    if self.told.is_new(&object.name) {
                        // It gets on: what fails from here on is a new failure.
                        self.patience = Patience::new(self.options);
                        return Ok(Some(object));
                    }
                }
                Some(Err(error)) => {
                    self.patience.after(error).await?;
                    self.under_way = self.inner.list(&self.prefix);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::TryStreamExt;
    use gabion_core::backend::MemoryBackend;
    use gabion_core::error::ErrorKind;
    use tokio::runtime::Builder;

    use super::super::testing::{keeps_the_contract, named};
    use super::*;

    /// Fails the first calls, each time after it did what was asked.
    #[derive(Debug)]
    struct Moody {
        inner: MemoryBackend,
        fails: AtomicU32,
        calls: AtomicU32,
        temporary: bool,
    }

    impl Moody {
        fn new(fails: u32, temporary: bool) -> Arc<Self> {
            let (fails, calls) = (AtomicU32::new(fails), AtomicU32::new(0));
            Arc::new(Self { inner: MemoryBackend::new(), fails, calls, temporary })
        }

        fn mood(&self) -> Result<()> {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let left = self.fails.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            match left {
                Err(_) => Ok(()),
                Ok(_) => {
                    let error = Error::new(ErrorKind::Connection, "test");
                    Err(if self.temporary { error.temporary() } else { error })
                }
            }
        }
    }

    #[async_trait]
    impl Backend for Moody {
        fn location(&self) -> &str {
            "moody:"
        }

        fn capabilities(&self) -> Capabilities {
            self.inner.capabilities()
        }

        async fn put(&self, name: &ObjectName, payload: Payload, mode: PutMode) -> Result<()> {
            self.inner.put(name, payload, mode).await?;
            self.mood()
        }

        async fn get(&self, name: &ObjectName, range: ByteRange) -> Result<Bytes> {
            let bytes = self.inner.get(name, range).await?;
            self.mood().map(|()| bytes)
        }

        async fn head(&self, name: &ObjectName) -> Result<ObjectMeta> {
            let meta = self.inner.head(name).await?;
            self.mood().map(|()| meta)
        }

        async fn delete(&self, name: &ObjectName) -> Result<()> {
            self.inner.delete(name).await?;
            self.mood()
        }

        /// Breaks off in the middle, in another order each time.
        fn list(&self, prefix: &Prefix) -> BoxStream<'static, Result<ObjectMeta>> {
            let objects = self.inner.list(prefix);
            match self.mood() {
                Ok(()) => objects,
                Err(error) => {
                    let some = objects.skip(self.calls.load(Ordering::SeqCst) as usize).take(3);
                    some.chain(stream::iter([Err(error)])).boxed()
                }
            }
        }
    }

    fn with_paused_time<T>(work: impl Future<Output = T>) -> (T, Duration) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let began = Instant::now();
            let value = work.await;
            (value, began.elapsed())
        })
    }

    #[test]
    fn the_contract_is_kept() {
        keeps_the_contract(|inner| Arc::new(RetryBackend::new(inner, RetryOptions::default())));
    }

    #[test]
    fn what_fails_for_a_while_succeeds() {
        let moody = Moody::new(0, true);
        let store = RetryBackend::new(moody.clone(), RetryOptions::default());
        let (name, all) = (named("a/1"), ByteRange::WHOLE);
        let again = |fails| moody.fails.store(fails, Ordering::SeqCst);
        let (_, took) = with_paused_time(async {
            again(3);
            store.put(&name, vec![1, 2].into(), PutMode::Write).await.unwrap();
            again(3);
            assert_eq!(store.get(&name, all).await.unwrap()[..], [1, 2]);
            again(3);
            assert_eq!(store.head(&name).await.unwrap().bytes, 2);
            again(3);
            store.delete(&name).await.unwrap();
            assert_eq!(store.get(&name, all).await.unwrap_err().kind(), ErrorKind::NotFound);
        });
        // Four times a quarter, a half and a whole second, or down to half of that.
        assert!((3.5..=7.0).contains(&took.as_secs_f64()), "{took:?}");
    }

    #[test]
    fn patience_ends() {
        for (repetitions, budget, calls) in [(2, 1000, 3), (1000, 60, 0)] {
            let moody = Moody::new(u32::MAX, true);
            let options = RetryOptions { repetitions, budget: Duration::from_secs(budget), ..RetryOptions::default() };
            let store = RetryBackend::new(moody.clone(), options);
            let (error, took) =
                with_paused_time(async { store.put(&named("a/1"), vec![1].into(), PutMode::Write).await.unwrap_err() });
            assert_eq!(error.kind(), ErrorKind::Connection);
            let made = moody.calls.load(Ordering::SeqCst);
            assert_eq!(error.context("attempts"), Some(made.to_string().as_str()));
            assert!(took <= Duration::from_secs(budget));
            assert!(calls == 0 || calls == made, "{made}");
        }
    }

    #[test]
    fn what_will_not_change_is_told_at_once() {
        let moody = Moody::new(u32::MAX, false);
        let store = RetryBackend::new(moody.clone(), RetryOptions::default());
        let name = named("a/1");
        let put = store.put(&name, vec![1].into(), PutMode::Write);
        let (error, took) = with_paused_time(async { put.await.unwrap_err() });
        assert_eq!((error.context("attempts"), moody.calls.load(Ordering::SeqCst)), (None, 1));
        assert!(took.is_zero());
    }

    #[test]
    fn a_list_that_breaks_off_goes_on() {
        let moody = Moody::new(0, true);
        let store = RetryBackend::new(moody.clone(), RetryOptions::default());
        let (listed, _) = with_paused_time(async {
            for number in 0..10 {
                store.put(&named(&format!("a/{number}")), vec![1].into(), PutMode::Write).await.unwrap();
            }
            moody.calls.store(0, Ordering::SeqCst);
            moody.fails.store(4, Ordering::SeqCst);
            store.list(&Prefix::all()).try_collect::<Vec<_>>().await.unwrap()
        });
        let mut names: Vec<_> = listed.iter().map(|object| object.name.to_string()).collect();
        assert_eq!(names[..3], ["a/1", "a/2", "a/3"], "it broke off once at least");
        names.sort();
        assert_eq!(names, (0..10).map(|number| format!("a/{number}")).collect::<Vec<_>>());
    }
}
