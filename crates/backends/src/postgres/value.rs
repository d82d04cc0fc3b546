//! Values on their way to PostgreSQL and back.

use atoll_store::sql::{Row, SqlError, Value};
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// A parameter of a statement.
#[derive(Debug)]
pub(super) struct Parameter<'a>(pub &'a Value);

type Encoded = Result<IsNull, Box<dyn std::error::Error + Sync + Send>>;

impl ToSql for Parameter<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Encoded {
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(number) if *kind == Type::INT8 => number.to_sql(kind, out),
            Value::Int(number) if *kind == Type::INT4 => i32::try_from(*number)?.to_sql(kind, out),
            Value::Text(text) if <&str as ToSql>::accepts(kind) => text.as_str().to_sql(kind, out),
            Value::Blob(bytes) if *kind == Type::BYTEA => bytes.as_slice().to_sql(kind, out),
            other => Err(format!("{other:?} is no value of type {kind}").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        // It depends on the value: judged above.
        true
    }

    to_sql_checked!();
}

/// A row of a result.
pub(super) fn row(row: &tokio_postgres::Row) -> Result<Row, SqlError> {
    let column = |at: usize| -> Result<Value, tokio_postgres::Error> {
        let kind = row.columns()[at].type_();
        let value = if *kind == Type::INT8 {
            row.try_get::<_, Option<i64>>(at)?.map(Value::Int)
        } else if *kind == Type::INT4 {
            row.try_get::<_, Option<i32>>(at)?
                .map(|number| Value::Int(number.into()))
        } else if *kind == Type::BYTEA {
            row.try_get::<_, Option<Vec<u8>>>(at)?.map(Value::Blob)
        } else {
            // Whatever is no text is an error here, and names the column's type.
            row.try_get::<_, Option<String>>(at)?.map(Value::Text)
        };
        Ok(value.unwrap_or(Value::Null))
    };
    let values: Result<Vec<Value>, _> = (0..row.len()).map(column).collect();
    values
        .map(Row)
        .map_err(|error| SqlError::Failed(error.to_string().into()))
}
