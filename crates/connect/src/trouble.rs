//! What went wrong with PostgreSQL, in a form to branch on. Why: *full* is not *down*, and *no answer* after an order is not
//! *failed*; callers must not tell them apart by words. The words are for people, made safe to print, and hold no secret.

use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use runbook::text::{humanize_duration, inert};

/// What sort of trouble.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PostgresTrouble {
    /// Every slot is taken (SQLSTATE 53300), of the server, the database or the role. The server is well.
    Full,
    /// Nobody listens there.
    Refused,
    /// No answer in time.
    NoAnswer,
    /// The connection was there and went away.
    Lost,
    /// The server is starting, stopping or recovering (57P03).
    Starting,
    /// It does not let this login in (class 28).
    LoginRefused,
    /// The login may not do this (42501).
    NotPermitted,
    /// No space is left on its disk (53100).
    DiskFull,
    /// The server was not asked: our own configuration or secret is in the way.
    Unasked,
    /// It was not tried so far.
    NotYet,
    /// Anything else; the words say what.
    Other,
}

impl fmt::Display for PostgresTrouble {
    /// The words of the field `postgres.answering.reason`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PostgresTrouble::Full => "full",
            PostgresTrouble::Refused => "refused",
            PostgresTrouble::NoAnswer | PostgresTrouble::Lost => "no answer",
            PostgresTrouble::Starting => "starting",
            PostgresTrouble::LoginRefused => "login refused",
            PostgresTrouble::DiskFull => "disk full",
            PostgresTrouble::NotPermitted | PostgresTrouble::Unasked | PostgresTrouble::NotYet | PostgresTrouble::Other => {
                "other"
            }
        })
    }
}

/// Trouble with PostgreSQL, and what the server or the system said about it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{words}")]
pub struct PostgresError {
    /// To branch on.
    pub trouble: PostgresTrouble,
    /// For people.
    pub words: String,
}

impl PostgresError {
    /// Trouble of this sort, in these words.
    pub fn new(trouble: PostgresTrouble, words: impl Into<String>) -> Self {
        Self { trouble, words: words.into() }
    }

    /// No answer within this time.
    pub fn no_answer(within: Duration) -> Self {
        Self::new(PostgresTrouble::NoAnswer, format!("no answer within {}", humanize_duration(within)))
    }

    /// Whether the connection is of no more use after it.
    pub(crate) fn ends_the_connection(error: &sqlx::Error) -> bool {
        match error {
            sqlx::Error::Database(error) => {
                // 57P01..57P03 and class 08: the server is about to close it.
                error.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08"))
            }
            // A value that could not be decoded or bound leaves the conversation itself in order.
            sqlx::Error::RowNotFound
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_) => false,
            _ => true,
        }
    }
}

impl From<&sqlx::Error> for PostgresError {
    fn from(error: &sqlx::Error) -> Self {
        use PostgresTrouble as T;
        match error {
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                let trouble = match code.as_ref() {
                    "53300" => T::Full,
                    "53100" => T::DiskFull,
                    "42501" => T::NotPermitted,
                    "57P03" => T::Starting,
                    "57P01" | "57P02" | "57P05" => T::Lost,
                    // A statement that the server itself ended because it took too long.
                    "57014" => T::NoAnswer,
                    code if code.starts_with("28") => T::LoginRefused,
                    code if code.starts_with("08") => T::Lost,
                    _ => T::Other,
                };
                Self::new(trouble, format!("{} ({code})", inert(database.message(), 300)))
            }
            sqlx::Error::Io(io) => {
                let trouble = match io.kind() {
                    ErrorKind::ConnectionRefused | ErrorKind::NotFound => T::Refused,
                    ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => T::NoAnswer,
                    ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::BrokenPipe
                    | ErrorKind::UnexpectedEof
                    | ErrorKind::NotConnected => T::Lost,
                    _ => T::Other,
                };
                Self::new(trouble, inert(&io.to_string(), 300))
            }
            other => Self::new(T::Other, inert(&other.to_string(), 300)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transport_errors_are_told_apart() {
        let table = [
            (ErrorKind::ConnectionRefused, PostgresTrouble::Refused, "refused"),
            (ErrorKind::NotFound, PostgresTrouble::Refused, "refused"),
            (ErrorKind::TimedOut, PostgresTrouble::NoAnswer, "no answer"),
            (ErrorKind::UnexpectedEof, PostgresTrouble::Lost, "no answer"),
            (ErrorKind::PermissionDenied, PostgresTrouble::Other, "other"),
        ];
        for (kind, trouble, word) in table {
            let error = sqlx::Error::Io(kind.into());
            let told = PostgresError::from(&error);
            assert_eq!((told.trouble, told.trouble.to_string().as_str()), (trouble, word));
            assert!(PostgresError::ends_the_connection(&error));
        }
        assert!(!PostgresError::ends_the_connection(&sqlx::Error::RowNotFound));
    }
}
