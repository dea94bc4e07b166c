//! What can be wrong with a configuration, and what is worth saying though it is not wrong.

use std::fmt;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of the configuration file, counted from 1; 0 is the file as a whole.
    File { name: String, line: u32 },
    /// An argument of the command.
    Argument,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { name, line: 0 } => write!(f, "{name}"),
            Origin::File { name, line } => write!(f, "{name}:{line}"),
            Origin::Argument => f.write_str("command line"),
        }
    }
}

/// One reason not to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub place: Origin,
    /// The key, or the argument with its dashes; empty for a line that has none.
    pub key: String,
    /// The value as it was given; `None` where there is none, or where it is secret.
    pub value: Option<String>,
    /// What is wrong, or what was expected instead.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        match &self.value {
            Some(value) => write!(f, "{} = {value:?}: ", self.key)?,
            None if !self.key.is_empty() => write!(f, "{}: ", self.key)?,
            None => {}
        }
        f.write_str(&self.problem)
    }
}

/// Something to tell the operator at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub place: Origin,
    pub key: String,
    pub text: String,
    /// Whether the operator asked for something that will not happen; otherwise it is only information.
    pub warning: bool,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.key, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let place = Origin::File { name: "zoo.cfg".into(), line: 7 };
        let mut mistake = Mistake {
            place,
            key: "tickTime".into(),
            value: Some("soon".into()),
            problem: "expected a whole number".into(),
        };
        assert_eq!(mistake.to_string(), "zoo.cfg:7: tickTime = \"soon\": expected a whole number");
        mistake.value = None;
        mistake.place = Origin::Argument;
        assert_eq!(mistake.to_string(), "command line: tickTime: expected a whole number");
        mistake.key.clear();
        mistake.place = Origin::File { name: "zoo.cfg".into(), line: 0 };
        assert_eq!(mistake.to_string(), "zoo.cfg: expected a whole number");
    }
}
