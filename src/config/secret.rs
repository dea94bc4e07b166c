//! A value that must not reach a log, an error message or a four-letter word.

use std::fmt;

/// Holds something secret. Neither `Debug` nor anything else prints it; whoever needs it says so by
/// calling [`Secret::reveal`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps it.
    pub(crate) fn new(value: T) -> Self {
        Secret(value)
    }

    /// The value itself, for the one place that checks credentials against it.
    pub(crate) fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What may be said of a secret value: whether there is one.
pub(super) fn said_of_secret(secret: &Option<Secret<String>>) -> String {
    secret.as_ref().map_or_else(|| "none".to_owned(), |secret| format!("{secret:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_it() {
        let secret = Secret::new("super:hash".to_owned());
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "(secret) Some((secret))");
        assert_eq!(secret.reveal(), "super:hash");
    }
}
