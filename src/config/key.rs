//! What a key of the configuration is, and how a table of keys is written.
//!
//! One row of a table says of a key what all keys have: its value's name, type and default in the code, how it is read and
//! shown, and what `docs/configuration.md` says of it. The structures that hold the values are made from the same rows.
//! What only some keys have stands elsewhere: values that a profile sets, lines of the word `conf`, what depends on other keys.

use super::profile;
use super::value::Expected;

/// One key; what it sets is in a `T`.
pub struct Key<T> {
    /// All that is written down of it.
    pub about: About,
    pub(super) access: Access<T>,
}

/// What people are told of a key.
pub struct About {
    /// As the file has it, without ZooKeeper's prefix for system properties.
    pub name: &'static str,
    /// Another spelling of the same key; empty when there is none.
    pub alias: &'static str,
    /// A value that is taken and is not the default.
    pub example: &'static str,
    /// What it does, as `docs/configuration.md` has it.
    pub meaning: &'static str,
    /// In what it differs from ZooKeeper; empty when in nothing.
    pub difference: &'static str,
    /// What becomes of a value that makes no sense.
    pub nonsense: Nonsense,
}

/// What becomes of a value that makes no sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Nonsense {
    /// The server does not start, as ZooKeeper does not.
    Refused,
    /// The default holds, with a warning. So ZooKeeper does where it reads a system property; and so does this server where
    /// a key tunes what it does not have. Under a name of Corral's own such a value is refused all the same.
    Forgiven,
}

/// How a key's value is reached.
pub(super) struct Access<T> {
    /// See [`Shape::show`].
    pub show: fn(&T) -> String,
    pub read: fn(&mut T, &str, &mut Remarks) -> Result<(), Expected>,
}

impl<T> Key<T> {
    /// What the documentation calls the default: the value in what nobody has changed yet.
    pub(super) fn default(&self, usual: &T) -> String {
        if profile::sets(self.about.name) { "by profile".to_owned() } else { (self.access.show)(usual) }
    }
}

/// What the operator should know about values that are taken.
#[derive(Default)]
pub(super) struct Remarks(Vec<String>);

impl Remarks {
    pub(super) fn warn(&mut self, text: impl Into<String>) {
        self.0.push(text.into());
    }

    /// A number that is used as it is, or the least there can be, which is said.
    pub(super) fn at_least(&mut self, number: i64, least: i64) -> i64 {
        if number < least {
            self.warn(format!("{number} is less than there can be: {least} is used"));
        }
        number.max(least)
    }

    /// The same with the most there can be.
    pub(super) fn at_most(&mut self, number: i64, most: i64) -> i64 {
        if number > most {
            self.warn(format!("{number} is more than there can be: {most} is used"));
        }
        number.min(most)
    }

    pub(super) fn into_texts(self) -> Vec<String> {
        self.0
    }
}

/// How values of one kind are read and shown.
pub(super) struct Shape<V> {
    pub read: Read<V>,
    /// The value as the documentation and `corral profile show` have it: what `read` would take for it. Words where the
    /// default is no single value, whatever the value is.
    pub show: fn(&V) -> String,
}

pub(super) enum Read<V> {
    Plain(fn(&str) -> Result<V, Expected>),
    /// There may be something to say of a value that is taken.
    Remarking(fn(&str, &mut Remarks) -> Result<V, Expected>),
}

impl<V> Shape<V> {
    pub(super) fn take(&self, text: &str, remarks: &mut Remarks) -> Result<V, Expected> {
        match self.read {
            Read::Plain(read) => read(text),
            Read::Remarking(read) => read(text, remarks),
        }
    }

    /// Read and shown so.
    pub(super) const fn new(read: fn(&str) -> Result<V, Expected>, show: fn(&V) -> String) -> Self {
        Shape { read: Read::Plain(read), show }
    }
}

impl<V: ToString> Shape<V> {
    /// Read so, and shown as it is.
    pub(super) const fn of(read: fn(&str) -> Result<V, Expected>) -> Self {
        Shape { read: Read::Plain(read), show: V::to_string }
    }

    /// The same, with remarks.
    pub(super) const fn remarking(read: fn(&str, &mut Remarks) -> Result<V, Expected>) -> Self {
        Shape { read: Read::Remarking(read), show: V::to_string }
    }
}

/// What there is, or these words where there is nothing.
pub(super) fn shown_or<V: ToString>(value: &Option<V>, words: &str) -> String {
    value.as_ref().map_or_else(|| words.to_owned(), V::to_string)
}

/// A table of keys, and the two structures its values are in: those that are final once they are read, which everybody
/// acts by; and around it those that are decided about when everything has been read.
///
/// Each row says what its key sets: `value` a field of the first, `undecided` a field of the second, each with its type,
/// its default and its [`Shape`]; or `nothing`, with a [`Shape`] of nothing. A row that lacks a column does not compile.
macro_rules! keys {
    (
        $(#[$values_doc:meta])*
        struct $values:ident($($given:ident: $given_ty:ty),*) {
            $($(#[$own_doc:meta])* $own:ident: $own_ty:ty = $own_default:expr,)*
        }
        $(#[$draft_doc:meta])*
        struct $draft:ident;
        $(#[$table_doc:meta])*
        const $table:ident;
        $($name:literal $(or $alias:literal)? {
            $($(#[$doc:meta])* value $field:ident: $ty:ty = $default:expr, $shape:expr;)?
            $(undecided $later:ident: $later_ty:ty = $later_default:expr, $later_shape:expr;)?
            $(nothing $no_shape:expr;)?
            example: $example:literal, nonsense: $nonsense:ident,
            meaning: $meaning:literal,
            difference: $difference:expr,
        })+
    ) => {
        $(#[$values_doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $values {
            $($(#[$own_doc])* pub $own: $own_ty,)*
            $($(
                #[doc = concat!("`", $name, "`: ", $meaning, ".\n\n")]
                $(#[$doc])*
                pub $field: $ty,
            )?)+
        }

        impl $values {
            /// What holds when nothing is said.
            fn usual($($given: $given_ty),*) -> Self {
                $values { $($own: $own_default,)* $($($field: $default,)?)+ }
            }
        }

        $(#[$draft_doc])*
        pub struct $draft {
            pub(super) values: $values,
            $($(pub(super) $later: $later_ty,)?)+
        }

        impl $draft {
            pub(super) fn new(values: $values) -> Self {
                $draft { values, $($($later: $later_default,)?)+ }
            }
        }

        $(#[$table_doc])*
        pub const $table: &[$crate::config::key::Key<$draft>] = &[$($crate::config::key::Key {
            about: $crate::config::key::About {
                name: $name,
                alias: concat!($($alias)?),
                example: $example,
                meaning: $meaning,
                difference: $difference,
                nonsense: $crate::config::key::Nonsense::$nonsense,
            },
            access: {
                $(
                    const SHAPE: $crate::config::key::Shape<$ty> = $shape;
                    $crate::config::key::Access {
                        show: |usual: &$draft| (SHAPE.show)(&usual.values.$field),
                        read: |draft, text, remarks| {
                            draft.values.$field = SHAPE.take(text, remarks)?;
                            Ok(())
                        },
                    }
                )?
                $(
                    const SHAPE: $crate::config::key::Shape<$later_ty> = $later_shape;
                    $crate::config::key::Access {
                        show: |usual: &$draft| (SHAPE.show)(&usual.$later),
                        read: |draft, text, remarks| {
                            draft.$later = SHAPE.take(text, remarks)?;
                            Ok(())
                        },
                    }
                )?
                $(
                    const SHAPE: $crate::config::key::Shape<()> = $no_shape;
                    $crate::config::key::Access {
                        show: |_| (SHAPE.show)(&()),
                        read: |_, text, remarks| SHAPE.take(text, remarks),
                    }
                )?
            },
        },)+];
    };
}
pub(super) use keys;
