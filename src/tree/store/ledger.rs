//! Counts allocations of the store against frees, per thread, in tests; nothing otherwise.

#[cfg(test)]
thread_local! {
    static LIVE: std::cell::Cell<i64> = const { std::cell::Cell::new(0) };
}

/// Counts an allocation (1) or a free (-1).
#[inline(always)]
pub(super) fn count(_change: i64) {
    #[cfg(test)]
    LIVE.with(|live| live.set(live.get() + _change));
}

/// Pieces of memory this thread allocated and did not free.
#[cfg(all(test, not(loom)))]
pub(super) fn live() -> i64 {
    LIVE.with(|live| live.get())
}
