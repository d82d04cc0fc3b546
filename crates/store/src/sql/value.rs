//! Values of columns and rows of results: four types that every database has.

use super::SqlError;

/// The value of a column or a parameter.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A whole number.
    Int(i64),
    /// Text without NUL.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Int(_) => "a number",
            Self::Text(_) => "text",
            Self::Blob(_) => "bytes",
        }
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The content of text and bytes stays out of logs: sealed secrets and token hashes are among them.
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "text of {} bytes", text.len()),
            Self::Blob(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Null => f.write_str("null"),
        }
    }
}

macro_rules! from {
    ($($type:ty, $value:ident => $made:expr;)+) => {
        $(impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $made
            }
        })+
    };
}

from! {
    i64, value => Self::Int(value);
    u32, value => Self::Int(i64::from(value));
    u16, value => Self::Int(i64::from(value));
    bool, value => Self::Int(i64::from(value));
    // A number beyond 2^63 milliseconds, bytes or revisions does not occur; the largest stands for it.
    u64, value => Self::Int(i64::try_from(value).unwrap_or(i64::MAX));
    usize, value => Self::Int(i64::try_from(value).unwrap_or(i64::MAX));
    &str, value => Self::Text(value.to_owned());
    String, value => Self::Text(value);
    &String, value => Self::Text(value.clone());
    &[u8], value => Self::Blob(value.to_vec());
    [u8; 32], value => Self::Blob(value.to_vec());
    Vec<u8>, value => Self::Blob(value);
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(pub Vec<Value>);

impl Row {
    fn get(&self, column: usize) -> &Value {
        self.0.get(column).unwrap_or(&Value::Null)
    }

    fn wrong(&self, column: usize, expected: &'static str) -> SqlError {
        let found = self.get(column).kind();
        SqlError::Column {
            column,
            expected,
            found,
        }
    }

    /// A whole number.
    pub fn int(&self, column: usize) -> Result<i64, SqlError> {
        match self.get(column) {
            Value::Int(number) => Ok(*number),
            _ => Err(self.wrong(column, "a number")),
        }
    }

    /// A whole number that is not negative.
    pub fn unsigned(&self, column: usize) -> Result<u64, SqlError> {
        u64::try_from(self.int(column)?).map_err(|_| self.wrong(column, "a number from 0"))
    }

    /// Zero or anything else.
    pub fn flag(&self, column: usize) -> Result<bool, SqlError> {
        Ok(self.int(column)? != 0)
    }

    /// Text.
    pub fn text(&self, column: usize) -> Result<&str, SqlError> {
        match self.get(column) {
            Value::Text(text) => Ok(text),
            _ => Err(self.wrong(column, "text")),
        }
    }

    /// Bytes.
    pub fn blob(&self, column: usize) -> Result<&[u8], SqlError> {
        match self.get(column) {
            Value::Blob(bytes) => Ok(bytes),
            _ => Err(self.wrong(column, "bytes")),
        }
    }

    /// 32 bytes: a hash.
    pub fn hash(&self, column: usize) -> Result<[u8; 32], SqlError> {
        let bytes = self.blob(column)?;
        bytes.try_into().map_err(|_| self.wrong(column, "32 bytes"))
    }

    /// Text or nothing.
    pub fn opt_text(&self, column: usize) -> Result<Option<&str>, SqlError> {
        match self.get(column) {
            Value::Null => Ok(None),
            _ => self.text(column).map(Some),
        }
    }

    /// Bytes or nothing.
    pub fn opt_blob(&self, column: usize) -> Result<Option<&[u8]>, SqlError> {
        match self.get(column) {
            Value::Null => Ok(None),
            _ => self.blob(column).map(Some),
        }
    }

    /// A number from 0, or nothing.
    pub fn opt_unsigned(&self, column: usize) -> Result<Option<u64>, SqlError> {
        match self.get(column) {
            Value::Null => Ok(None),
            _ => self.unsigned(column).map(Some),
        }
    }
}
